//! Predicates that may be asked of rows that the caller may not see.

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Column;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, Operator};

/// The type of a column, if there is such a column.
type Types<'a> = &'a dyn Fn(&Column) -> Option<DataType>;

/// Whether a predicate can fail on no row: comparisons of columns with constants, tests for NULL, and
/// what AND, OR and NOT make of them. No arithmetic, no function, and no cast but to a wider number.
pub(super) fn cannot_fail(predicate: &Expr, schema: &Schema) -> bool {
    is_infallible(predicate, &|column| {
        schema.field_with_name(&column.name).ok().map(|field| field.data_type().clone())
    })
}

/// The same over columns of these types.
pub(in crate::engine) fn is_infallible(predicate: &Expr, types: Types<'_>) -> bool {
    let side = |expr: &Expr| matches!(expr, Expr::Literal(..)) || plain(expr, types);
    match predicate {
        Expr::Literal(..) => true,
        Expr::Column(_) => plain(predicate, types),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            is_infallible(left, types) && is_infallible(right, types)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            compares(*op) && side(left) && side(right)
        }
        Expr::Not(inner) => is_infallible(inner, types),
        Expr::IsNull(inner)
        | Expr::IsNotNull(inner)
        | Expr::IsTrue(inner)
        | Expr::IsFalse(inner)
        | Expr::IsNotTrue(inner)
        | Expr::IsNotFalse(inner) => plain(inner, types) || is_infallible(inner, types),
        Expr::Between(between) => {
            plain(&between.expr, types) && side(&between.low) && side(&between.high)
        }
        Expr::InList(list) => plain(&list.expr, types) && list.list.iter().all(side),
        _ => false,
    }
}

fn compares(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// A column of a simple type, or such a column as a wider number.
fn plain(expr: &Expr, types: Types<'_>) -> bool {
    match expr {
        Expr::Column(column) => types(column).is_some_and(|kind| simple(&kind)),
        Expr::Cast(Cast { expr, field }) => match expr.as_ref() {
            Expr::Column(column) => {
                types(column).is_some_and(|from| widens(&from, field.data_type()))
            }
            _ => false,
        },
        _ => false,
    }
}

fn simple(data_type: &DataType) -> bool {
    data_type.is_primitive()
        || matches!(
            data_type,
            DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        )
}

/// Whether every value of a type has one in the other.
pub(in crate::engine) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match (from, to) {
        (Int8, Int16 | Int32 | Int64)
        | (Int16, Int32 | Int64)
        | (Int32, Int64)
        | (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64)
        | (UInt16, UInt32 | UInt64 | Int32 | Int64)
        | (UInt32, UInt64 | Int64)
        | (Float32, Float64) => true,
        (from, Float64) => from.is_integer(),
        (from, to) => from == to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;
    use datafusion::common::DFSchema;
    use datafusion::prelude::SessionContext;

    #[test]
    fn only_comparisons_with_constants_go_below() {
        let schema = Schema::new(vec![
            Field::new("i", DataType::Int32, true),
            Field::new("t", DataType::Utf8, true),
            Field::new("l", DataType::new_list(DataType::Int32, true), true),
        ]);
        let columns = DFSchema::try_from(schema.clone()).unwrap();
        let context = SessionContext::new();
        let asked = |sql: &str| {
            let expr = context.state().create_logical_expr(sql, &columns).unwrap();
            cannot_fail(&expr, &schema)
        };
        for sql in [
            "i = 1",
            "3 < i",
            "i IN (1, 2) AND t <> 'x'",
            "NOT (i IS NULL OR t = 'a')",
            "i BETWEEN 1 AND 2",
            "CAST(i AS BIGINT) > 5",
            "CAST(i AS DOUBLE) = 0.5",
            "t IS NOT NULL",
            "true",
        ] {
            assert!(asked(sql), "{sql}");
        }
        for sql in [
            "1 / (i - 1) = 0",
            "CAST(t AS INT) > 1",
            "i + 1 = 2",
            "abs(i) = 1",
            "t LIKE 'a%'",
            "t || 'x' = 'ax'",
            "i = 1 OR 10 / i = 1",
            "CAST(i AS SMALLINT) = 1",
            "CASE WHEN i = 1 THEN 1 / i END = 0",
            "i = 1 AND NOT (CAST(t AS DATE) = '2000-01-01')",
            "l = [1]",
            "i IN (1, 1 / i)",
            "upper(t) = 'A'",
            "i BETWEEN 1 AND 1 / i",
            "-i = 1",
        ] {
            assert!(!asked(sql), "{sql}");
        }
    }
}
