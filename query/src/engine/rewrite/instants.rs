//! Dates that nanoseconds do not hold, those before 1677-09-21 and after 2262-04-11.
//!
//! DataFusion reads `TIMESTAMP '…'` in nanoseconds, and moves whatever is compared with nanoseconds to
//! nanoseconds: an error for a date beyond them, also where the answer is plain, as in `time < '9999-12-31'`.
//! Here such a constant is in microseconds, and a comparison of nanoseconds with it becomes one with the
//! last or first nanosecond there is, which says the same.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{InList, InSubquery, SetComparison};
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{
    Between, BinaryExpr, Expr, ExprSchemable, Join, LogicalPlanBuilder, Operator, Subquery,
    TryCast, binary_expr, cast, lit,
};
use std::sync::Arc;

/// One expression, the ones inside it not again.
pub(super) fn of_expression(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::Cast(cast) => match far_text(&cast.expr, cast.field.data_type()) {
            Some(far) => Ok(Transformed::yes(lit(far))),
            None => Ok(Transformed::no(Expr::Cast(cast))),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let left = Box::new(of_date(*left, &right, schema));
            let right = Box::new(of_date(*right, &left, schema));
            let turned = match op.swap() {
                Some(swapped) if is_nanoseconds(&right, schema).is_some() => {
                    compared(&right, swapped, &left, schema)
                }
                _ => None,
            };
            Ok(match compared(&left, op, &right, schema).or(turned) {
                Some(compared) => Transformed::yes(compared),
                None => counted(left, op, right, schema),
            })
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
            let (expr, subquery, changed) = among(expr, subquery, schema)?;
            let expression = Expr::InSubquery(InSubquery { expr, subquery, negated });
            Ok(if changed { Transformed::yes(expression) } else { Transformed::no(expression) })
        }
        Expr::SetComparison(comparison) => {
            let SetComparison { expr, subquery, op, quantifier } = comparison;
            let (expr, subquery, changed) = among(expr, subquery, schema)?;
            let expression = Expr::SetComparison(SetComparison { expr, subquery, op, quantifier });
            Ok(if changed { Transformed::yes(expression) } else { Transformed::no(expression) })
        }
        Expr::Between(between) => Ok(between_instants(between, schema)),
        Expr::InList(InList { expr, list, negated }) => {
            let far = |value: &Expr| beyond(&expr, value, schema).is_some();
            if !list.iter().any(far) {
                return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
            }
            let mut near = list.clone();
            near.retain(|value| !far(value));
            Ok(Transformed::yes(match (near.is_empty(), last(&expr, schema)) {
                (true, Some(last)) if negated => binary_expr(*expr, Operator::LtEq, last),
                (true, Some(last)) => binary_expr(*expr, Operator::Gt, last),
                _ => Expr::InList(InList { expr, list: near, negated }),
            }))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A join on nanoseconds and a coarser unit: a time that nanoseconds do not hold equals none of them,
/// and is not an error.
pub(super) fn of_join(mut join: Join) -> Result<Join> {
    let (left, right) = (Arc::clone(join.left.schema()), Arc::clone(join.right.schema()));
    for (on_left, on_right) in &mut join.on {
        equal(on_left, &left, on_right, &right);
    }
    let both = left.join(&right)?;
    join.filter = join.filter.map(|filter| of_condition(filter, &both));
    Ok(join)
}

/// The same for a condition that keeps rows, where NULL is as good as false.
pub(super) fn of_condition(condition: Expr, schema: &DFSchema) -> Expr {
    let parts = split_conjunction_owned(condition).into_iter().map(|part| match part {
        Expr::BinaryExpr(BinaryExpr { mut left, op: Operator::Eq, mut right }) => {
            equal(&mut left, schema, &mut right, schema);
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })
        }
        other => other,
    });
    parts.reduce(Expr::and).unwrap_or_else(|| lit(true))
}

/// Moves the coarser of two timestamps to nanoseconds, where it has them.
fn equal(left: &mut Expr, of_left: &DFSchema, right: &mut Expr, of_right: &DFSchema) {
    // A constant is moved to the unit of what it meets.
    if value_of(left).or_else(|| value_of(right)).is_some() {
        return;
    }
    let (coarse, data_type) = match (is_nanoseconds(left, of_left), is_nanoseconds(right, of_right))
    {
        (Some(data_type), None) if is_coarse(right, of_right) => (right, data_type),
        (None, Some(data_type)) if is_coarse(left, of_left) => (left, data_type),
        _ => return,
    };
    let inner = Box::new(std::mem::take(coarse));
    *coarse = Expr::TryCast(TryCast::new(inner, data_type));
}

/// A comparison of nanoseconds with a coarser unit, neither of them a constant, as one of nanoseconds
/// counted in 128 bits, which hold the times of every unit.
fn counted(
    left: Box<Expr>,
    op: Operator,
    right: Box<Expr>,
    schema: &DFSchema,
) -> Transformed<Expr> {
    let constant = value_of(&left).or_else(|| value_of(&right)).is_some();
    let types = (left.get_type(schema), right.get_type(schema));
    if let (Ok(of_left), Ok(of_right)) = types
        && super::compares(op)
        && !constant
        && differ(&of_left, &of_right)
        && let (Some(left), Some(right)) =
            (nanoseconds(*left.clone(), &of_left), nanoseconds(*right.clone(), &of_right))
    {
        return Transformed::yes(binary_expr(left, op, right));
    }
    Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))
}

/// The same for a value among the rows of a subquery.
fn among(
    expr: Box<Expr>,
    subquery: Subquery,
    schema: &DFSchema,
) -> Result<(Box<Expr>, Subquery, bool)> {
    let rows = subquery.subquery.schema();
    let (Ok(of_value), Some(field)) = (expr.get_type(schema), rows.fields().first()) else {
        return Ok((expr, subquery, false));
    };
    let of_rows = field.data_type().clone();
    let row = Expr::Column(Column::from(rows.qualified_field(0)));
    if differ(&of_value, &of_rows)
        && let (Some(value), Some(row)) =
            (nanoseconds(*expr.clone(), &of_value), nanoseconds(row, &of_rows))
    {
        let rows = LogicalPlanBuilder::from(Arc::clone(&subquery.subquery));
        let rows = rows.project([row.alias("nanoseconds")])?.build()?;
        let subquery = Subquery { subquery: Arc::new(rows), ..subquery };
        return Ok((Box::new(value), subquery, true));
    }
    Ok((expr, subquery, false))
}

/// Whether one is a timestamp in nanoseconds and the other a time in a coarser unit, both with a zone
/// or both without.
fn differ(one: &DataType, other: &DataType) -> bool {
    let zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(_)));
    let fine =
        |data_type: &DataType| matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _));
    fine(one) != fine(other) && zoned(one) == zoned(other)
}

/// A time as nanoseconds since 1970, `Decimal128(31, 0)`; none for what is no time.
fn nanoseconds(time: Expr, data_type: &DataType) -> Option<Expr> {
    let (count, factor) = match data_type {
        DataType::Timestamp(TimeUnit::Second, _) => (cast(time, DataType::Int64), 1_000_000_000),
        DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Date64 => {
            (cast(time, DataType::Int64), 1_000_000)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => (cast(time, DataType::Int64), 1_000),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => (cast(time, DataType::Int64), 1),
        DataType::Date32 => {
            let days = cast(cast(time, DataType::Int32), DataType::Int64);
            (days * lit(86_400_i64), 1_000_000_000)
        }
        _ => return None,
    };
    let factor = lit(ScalarValue::Decimal128(Some(factor), 10, 0));
    Some(cast(count, DataType::Decimal128(20, 0)) * factor)
}

/// A constant date that meets a timestamp coarser than nanoseconds, as a timestamp in microseconds:
/// DataFusion would move both to nanoseconds.
fn of_date(constant: Expr, other: &Expr, schema: &DFSchema) -> Expr {
    let Ok(DataType::Timestamp(unit, zone)) = other.get_type(schema) else { return constant };
    let date = value_of(&constant)
        .filter(|value| matches!(value.data_type(), DataType::Date32 | DataType::Date64));
    match date.map(|date| date.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, zone))) {
        Some(Ok(instant)) if unit != TimeUnit::Nanosecond => lit(instant),
        _ => constant,
    }
}

/// On which side of all nanoseconds a constant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Before,
    After,
}

/// The type of an expression that is a timestamp in nanoseconds.
fn is_nanoseconds(expression: &Expr, schema: &DFSchema) -> Option<DataType> {
    let data_type = expression.get_type(schema).ok()?;
    matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _)).then_some(data_type)
}

fn is_coarse(expression: &Expr, schema: &DFSchema) -> bool {
    expression.get_type(schema).is_ok_and(|data_type| {
        matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64)
    })
}

/// The constant text of a date that is cast to nanoseconds which do not hold it, in microseconds.
fn far_text(inner: &Expr, to: &DataType) -> Option<ScalarValue> {
    let (Expr::Literal(text, _), DataType::Timestamp(TimeUnit::Nanosecond, zone)) = (inner, to)
    else {
        return None;
    };
    if !text.data_type().is_string() || text.cast_to(to).is_ok() {
        return None;
    }
    let far = text.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, zone.clone())).ok()?;
    (!far.is_null()).then_some(far)
}

/// The value of a constant: a literal, or the cast of one, as `DATE '…'` is before it is simplified.
pub(super) fn value_of(constant: &Expr) -> Option<ScalarValue> {
    match constant {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => match cast.expr.as_ref() {
            Expr::Literal(value, _) => value.cast_to(cast.field.data_type()).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// Where a constant lies that is compared with nanoseconds which do not hold it.
fn beyond(nanoseconds: &Expr, constant: &Expr, schema: &DFSchema) -> Option<Beyond> {
    let value = value_of(constant)?;
    let date = value.data_type();
    let is_date = date.is_string()
        || matches!(date, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
    if !is_date || value.is_null() {
        return None;
    }
    let to = is_nanoseconds(nanoseconds, schema)?;
    if value.cast_to(&to).is_ok_and(|value| !value.is_null()) {
        return None;
    }
    let DataType::Timestamp(_, zone) = to else { return None };
    let coarse = [TimeUnit::Microsecond, TimeUnit::Second].into_iter().find_map(|unit| {
        value
            .cast_to(&DataType::Timestamp(unit, zone.clone()))
            .ok()
            .filter(|value| !value.is_null())
    })?;
    let after = match coarse {
        ScalarValue::TimestampMicrosecond(Some(value), _)
        | ScalarValue::TimestampSecond(Some(value), _) => value > 0,
        _ => return None,
    };
    Some(if after { Beyond::After } else { Beyond::Before })
}

/// The last nanosecond of the type of an expression.
fn last(expression: &Expr, schema: &DFSchema) -> Option<Expr> {
    extreme(expression, i64::MAX, schema)
}

fn first(expression: &Expr, schema: &DFSchema) -> Option<Expr> {
    extreme(expression, i64::MIN, schema)
}

fn extreme(expression: &Expr, value: i64, schema: &DFSchema) -> Option<Expr> {
    match is_nanoseconds(expression, schema)? {
        DataType::Timestamp(_, zone) => {
            Some(lit(ScalarValue::TimestampNanosecond(Some(value), zone)))
        }
        _ => None,
    }
}

/// A comparison of nanoseconds with a constant beyond them.
fn compared(value: &Expr, op: Operator, constant: &Expr, schema: &DFSchema) -> Option<Expr> {
    use Beyond::{After, Before};
    let beyond = beyond(value, constant, schema)?;
    // `<= last` is true of every time and NULL of NULL, `> last` is false and NULL.
    let everywhere = match (op, beyond) {
        (Operator::Lt | Operator::LtEq, After)
        | (Operator::Gt | Operator::GtEq, Before)
        | (Operator::NotEq, _) => true,
        (Operator::Lt | Operator::LtEq, Before)
        | (Operator::Gt | Operator::GtEq, After)
        | (Operator::Eq, _) => false,
        (Operator::IsDistinctFrom, _) => return Some(lit(true)),
        (Operator::IsNotDistinctFrom, _) => return Some(lit(false)),
        _ => return None,
    };
    let op = if everywhere { Operator::LtEq } else { Operator::Gt };
    Some(binary_expr(value.clone(), op, last(value, schema)?))
}

fn between_instants(between: Between, schema: &DFSchema) -> Transformed<Expr> {
    use Beyond::{After, Before};
    let low = beyond(&between.expr, &between.low, schema);
    let high = beyond(&between.expr, &between.high, schema);
    let (Some(first), Some(last)) = (first(&between.expr, schema), last(&between.expr, schema))
    else {
        return apart(between, schema);
    };
    let Between { expr, negated, low: low_value, high: high_value } = between;
    match (low, high) {
        (None, None) => Transformed::no(Expr::Between(Between {
            expr,
            negated,
            low: low_value,
            high: high_value,
        })),
        // An interval that holds no nanosecond.
        (Some(After), _) | (_, Some(Before)) => {
            let op = if negated { Operator::LtEq } else { Operator::Gt };
            Transformed::yes(binary_expr(*expr, op, last))
        }
        (low, high) => {
            let low = if low.is_some() { Box::new(first) } else { low_value };
            let high = if high.is_some() { Box::new(last) } else { high_value };
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
    }
}

/// A coarser time between bounds of which one is in nanoseconds: each bound is compared on its own, so
/// that the other does not have to be one of nanoseconds.
fn apart(between: Between, schema: &DFSchema) -> Transformed<Expr> {
    let bounds = [&between.low, &between.high];
    let mixed = bounds.iter().any(|bound| is_nanoseconds(bound, schema).is_some());
    if !mixed || !is_coarse(&between.expr, schema) || between.expr.is_volatile() {
        return Transformed::no(Expr::Between(between));
    }
    let Between { expr, negated, low, high } = between;
    let (low, high) = (of_date(*low, &expr, schema), of_date(*high, &expr, schema));
    let inside = expr.clone().gt_eq(low).and(expr.lt_eq(high));
    Transformed::yes(if negated { Expr::Not(Box::new(inside)) } else { inside })
}
