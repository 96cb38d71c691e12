//! One zero: -0.0 and 0.0 are equal wherever SQL asks whether two floats are.
//!
//! DataFusion's `=`, joins and groups hold them for equal (IEEE 754, section 5.11), and `IN` with a list,
//! `CASE x WHEN`, `nullif`, aggregates of DISTINCT values and windows compare bits. Adding 0.0 makes a
//! positive zero of both and leaves every other float as it is.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, InList, WindowFunction};
use datafusion::logical_expr::{Case, Expr, ExprSchemable, Operator, binary_expr, lit, when};

/// One expression, the ones inside it not again.
pub(super) fn of_expression(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expression {
        Expr::InList(InList { expr, list, negated }) if may_be_zero(&list, &expr, schema) => {
            let list = list.into_iter().map(|value| one_zero(value, schema)).collect();
            let expr = Box::new(one_zero(*expr, schema));
            Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
        }
        Expr::Case(Case { expr: Some(value), when_then_expr, else_expr })
            if is_float(&value, schema) =>
        {
            let one_zero_when =
                |(when, then): (Box<Expr>, Box<Expr>)| (Box::new(one_zero(*when, schema)), then);
            Ok(Transformed::yes(Expr::Case(Case {
                expr: Some(Box::new(one_zero(*value, schema))),
                when_then_expr: when_then_expr.into_iter().map(one_zero_when).collect(),
                else_expr,
            })))
        }
        Expr::ScalarFunction(mut function) if function.name() == "nullif" => {
            match function.args.as_mut_slice() {
                [value, other] if is_float(value, schema) && !value.is_volatile() => {
                    let equal = value.clone().eq(other.clone());
                    let null = lit(ScalarValue::try_from(value.get_type(schema)?)?);
                    Ok(Transformed::yes(when(equal, null).otherwise(value.clone())?))
                }
                _ => Ok(Transformed::no(Expr::ScalarFunction(function))),
            }
        }
        Expr::AggregateFunction(AggregateFunction { func, mut params })
            if params.distinct && params.order_by.is_empty() =>
        {
            params.args = params.args.into_iter().map(|value| one_zero(value, schema)).collect();
            Ok(Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params })))
        }
        Expr::WindowFunction(function) => {
            let WindowFunction { fun, mut params } = *function;
            let partitions = params.partition_by.into_iter();
            params.partition_by = partitions.map(|value| one_zero(value, schema)).collect();
            for sort in &mut params.order_by {
                sort.expr = one_zero(std::mem::take(&mut sort.expr), schema);
            }
            Ok(Transformed::yes(Expr::from(WindowFunction { fun, params })))
        }
        // The sign of a NaN would be turned, and one with a sign is below every number. Taken from zero
        // it stays as it is.
        Expr::Negative(value) if is_float(&value, schema) => {
            let data_type = value.get_type(schema)?;
            let zero = ScalarValue::new_zero(&data_type)?;
            Ok(Transformed::yes(binary_expr(lit(zero), Operator::Minus, *value)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether a float is compared with values of which one may be zero. Most lists hold none: they stay
/// as they are, and a plain column among them can still be looked up in its index.
fn may_be_zero(list: &[Expr], value: &Expr, schema: &DFSchema) -> bool {
    let zero = |value: &Expr| match value {
        Expr::Literal(value, _) => value
            .cast_to(&DataType::Float64)
            .is_ok_and(|value| matches!(value, ScalarValue::Float64(Some(value)) if value == 0.0)),
        _ => true,
    };
    is_float(value, schema) && list.iter().any(zero)
}

fn is_float(expression: &Expr, schema: &DFSchema) -> bool {
    expression.get_type(schema).is_ok_and(|data_type| data_type.is_floating())
}

/// The value with a positive zero in place of a negative one. Changes nothing but floats.
fn one_zero(expression: Expr, schema: &DFSchema) -> Expr {
    let zero = expression.get_type(schema).ok().filter(DataType::is_floating);
    match zero.map(|data_type| ScalarValue::new_zero(&data_type)) {
        Some(Ok(zero)) => expression + lit(zero),
        _ => expression,
    }
}
