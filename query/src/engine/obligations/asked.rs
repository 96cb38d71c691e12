//! What a statement asks of a table from which only aggregates leave.

use super::cells::{Disclosed, denied};
use super::leakproof::widens;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{AggregateFunction, Cast};

/// What is asked of cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

/// One aggregate of a statement.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) function: Function,
    /// `None` for `count(*)`.
    pub(super) column: Option<String>,
}

impl Asked {
    /// Reads one of the aggregates of a statement.
    ///
    /// # Errors
    /// [`QueryError::Denied`](crate::error::QueryError) for what may not be asked.
    pub(super) fn read(expr: &Expr, disclosed: &Disclosed, schema: &SchemaRef) -> Result<Self> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias()
        else {
            return denied(disclosed, "this is no aggregate that can be checked");
        };
        let name = func.name().to_owned();
        let function = match name.as_str() {
            "count" => Function::Count,
            "sum" => Function::Sum,
            "avg" | "mean" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            _ => return denied(disclosed, format!("{name} may not be asked")),
        };
        if !disclosed.allows(&name) {
            return denied(disclosed, format!("{name} may not be asked"));
        }
        if matches!(function, Function::Min | Function::Max) && disclosed.rounding.is_none() {
            return denied(
                disclosed,
                format!("{name} is the value of one unit, and the record says of no rounding"),
            );
        }
        if params.distinct || params.filter.is_some() || !params.order_by.is_empty() {
            return denied(
                disclosed,
                format!("{name} with DISTINCT, FILTER or ORDER BY may not be asked"),
            );
        }
        let column = match params.args.as_slice() {
            // As peers send it.
            [Expr::Cast(Cast { expr, field })] if widened(expr, field.data_type(), schema) => {
                expr.column_refs().into_iter().next().map(|column| column.name.clone())
            }
            [Expr::Literal(value, _)] if function == Function::Count && !value.is_null() => None,
            [Expr::Column(column)] => Some(column.name.clone()),
            _ => {
                return denied(
                    disclosed,
                    format!("{name} is of a column as it is, and not of what is computed from it"),
                );
            }
        };
        if let Some(column) = &column {
            let kind = schema.field_with_name(column)?.data_type();
            if *column == disclosed.unit {
                return denied(
                    disclosed,
                    format!("{column} is the unit, of which nothing is told"),
                );
            }
            if function != Function::Count && !kind.is_numeric() {
                return denied(disclosed, format!("{name} is of numbers, and {column} is {kind}"));
            }
        }
        Ok(Self { function, column })
    }
}

/// Whether this is a column as a wider number.
fn widened(expr: &Expr, to: &DataType, schema: &SchemaRef) -> bool {
    matches!(expr, Expr::Column(column)
        if schema.field_with_name(&column.name).is_ok_and(|field| widens(field.data_type(), to)))
}
