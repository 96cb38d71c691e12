//! Floats of 32 and 16 bits that meet integers: both become doubles.
//!
//! DataFusion makes the integer a float of the same width, so that `x = 16777217` finds 16777216. A double
//! holds every such float, and every integer up to 2^53.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, cast};

/// One expression, the ones inside it not again.
pub(super) fn of_expression(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let meets = |values: &[&Expr]| {
        let any = |is: fn(&DataType) -> bool| {
            values.iter().any(|value| value.get_type(schema).is_ok_and(|found| is(&found)))
        };
        any(is_narrow) && any(DataType::is_integer)
    };
    Ok(match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if super::compares(op) && meets(&[&left, &right]) =>
        {
            let (left, right) = (Box::new(double(*left)), Box::new(double(*right)));
            Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
        }
        Expr::Between(Between { expr, negated, low, high }) if meets(&[&expr, &low, &high]) => {
            let [expr, low, high] = [expr, low, high].map(|value| Box::new(double(*value)));
            Transformed::yes(Expr::Between(Between { expr, negated, low, high }))
        }
        Expr::InList(InList { expr, list, negated })
            if list.iter().any(|value| meets(&[&expr, value])) =>
        {
            let list = list.into_iter().map(double).collect();
            let expr = Box::new(double(*expr));
            Transformed::yes(Expr::InList(InList { expr, list, negated }))
        }
        other => Transformed::no(other),
    })
}

fn is_narrow(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float16 | DataType::Float32)
}

fn double(value: Expr) -> Expr {
    cast(value, DataType::Float64)
}
