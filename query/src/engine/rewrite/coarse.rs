//! Constant times that are finer than the unit of what they are compared with.
//!
//! DataFusion moves such a constant to the coarser unit and cuts off what does not fit, so that a time in
//! microseconds is equal to one a nanosecond later. No time of the coarser unit lies between the constant
//! and the last one before it: comparisons with the constant are comparisons with that one.

use super::instants::value_of;
use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, Operator};
use datafusion::logical_expr::{binary_expr, lit};
use std::sync::Arc;

/// One expression, the ones inside it not again.
pub(super) fn of_expression(expression: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if super::compares(op) => {
            let turned = || compared(&right, op.swap()?, &left, schema);
            match compared(&left, op, &right, schema).or_else(turned) {
                Some(exact) => Transformed::yes(exact),
                None => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        Expr::Between(between) => {
            let Between { expr, negated, low, high } = &between;
            let above = compared(expr, Operator::GtEq, low, schema);
            let below = compared(expr, Operator::LtEq, high, schema);
            if (above.is_none() && below.is_none()) || expr.is_volatile() {
                return Transformed::no(Expr::Between(between));
            }
            let plain = |op, bound: &Expr| binary_expr(expr.as_ref().clone(), op, bound.clone());
            let above = above.unwrap_or_else(|| plain(Operator::GtEq, low));
            let below = below.unwrap_or_else(|| plain(Operator::LtEq, high));
            let inside = above.and(below);
            Transformed::yes(if *negated { Expr::Not(Box::new(inside)) } else { inside })
        }
        Expr::InList(InList { expr, list, negated }) => {
            let finer =
                |value: &Expr| near(&expr, value, schema).is_some_and(|(_, near)| near.between);
            if !list.iter().any(finer) {
                return Transformed::no(Expr::InList(InList { expr, list, negated }));
            }
            let left: Vec<Expr> = list.iter().filter(|value| !finer(value)).cloned().collect();
            Transformed::yes(if left.is_empty() {
                let op = if negated { Operator::NotEq } else { Operator::Eq };
                let first = list.first().and_then(|value| compared(&expr, op, value, schema));
                first.unwrap_or_else(|| lit(negated))
            } else {
                Expr::InList(InList { expr, list: left, negated })
            })
        }
        other => Transformed::no(other),
    }
}

/// Where a constant lies among the times of a coarser unit.
struct Near {
    /// The last one that is not after it.
    before: ScalarValue,
    /// Whether it lies between that one and the next.
    between: bool,
    /// The last time of all.
    last: ScalarValue,
}

/// A value in a coarser unit than a constant, and where the constant lies among its times.
fn near<'a>(value: &'a Expr, constant: &Expr, schema: &DFSchema) -> Option<(&'a Expr, Near)> {
    let counted = counted_in(value, schema);
    let value = coarsest(value, schema);
    let data_type = value.get_type(schema).ok()?;
    let unit: i64 = match &data_type {
        DataType::Date32 => 86_400_000_000_000,
        DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1_000,
        _ => return None,
    };
    let mut found = value_of(constant).filter(|_| value_of(value).is_none())?;
    if let (Some(unit), ScalarValue::Int64(Some(count))) = (counted, &found) {
        found = time(unit, *count, None);
    }
    let zone = match &data_type {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let is_text = found.data_type().is_string();
    let fits = match found.data_type() {
        DataType::Timestamp(_, of_constant) => of_constant.is_some() == zone.is_some(),
        // Text meets a date as a date, and a number as one.
        text => text.is_string() && data_type != DataType::Date32 && counted.is_none(),
    };
    if !fits {
        return None;
    }
    let ScalarValue::TimestampNanosecond(Some(count), _) =
        found.cast_to(&DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())).ok()?
    else {
        return None;
    };
    let between = count.rem_euclid(unit) != 0;
    // Text that fits is read in the unit.
    if !between && is_text {
        return None;
    }
    let before = count.div_euclid(unit);
    let (before, last) = match data_type {
        DataType::Date32 => (
            ScalarValue::Date32(Some(i32::try_from(before).ok()?)),
            ScalarValue::Date32(Some(i32::MAX)),
        ),
        DataType::Timestamp(unit, _) => {
            (time(unit, before, zone.clone()), time(unit, i64::MAX, zone))
        }
        _ => return None,
    };
    Some((value, Near { before, between, last }))
}

/// A time by its count.
fn time(unit: TimeUnit, count: i64, zone: Option<Arc<str>>) -> ScalarValue {
    match unit {
        TimeUnit::Second => ScalarValue::TimestampSecond(Some(count), zone),
        TimeUnit::Millisecond => ScalarValue::TimestampMillisecond(Some(count), zone),
        TimeUnit::Microsecond => ScalarValue::TimestampMicrosecond(Some(count), zone),
        TimeUnit::Nanosecond => ScalarValue::TimestampNanosecond(Some(count), zone),
    }
}

/// The time itself, where it was moved to a finer unit or counted in one: that changes no comparison.
fn coarsest<'a>(value: &'a Expr, schema: &DFSchema) -> &'a Expr {
    let Expr::Cast(cast) = value else { return value };
    let inner = cast.expr.as_ref();
    let same = match (inner.get_type(schema), cast.field.data_type()) {
        (Ok(DataType::Timestamp(_, None)), DataType::Int64)
        | (Ok(DataType::Date32), DataType::Timestamp(_, None)) => true,
        (Ok(DataType::Timestamp(from, one)), DataType::Timestamp(to, other)) => {
            from <= *to && one == *other
        }
        _ => false,
    };
    if same { coarsest(inner, schema) } else { value }
}

/// The unit in which a time without a zone is counted, where a whole number counts it.
fn counted_in(value: &Expr, schema: &DFSchema) -> Option<TimeUnit> {
    let Expr::Cast(cast) = value else { return None };
    match (cast.field.data_type(), cast.expr.get_type(schema)) {
        (DataType::Int64, Ok(DataType::Timestamp(unit, None))) => Some(unit),
        _ => None,
    }
}

/// A comparison with a constant that is finer than the unit.
fn compared(value: &Expr, op: Operator, constant: &Expr, schema: &DFSchema) -> Option<Expr> {
    let (value, Near { before, between, last }) = near(value, constant, schema)?;
    let of = |op, constant: ScalarValue| Some(binary_expr(value.clone(), op, lit(constant)));
    if !between {
        return of(op, before);
    }
    match op {
        Operator::Lt | Operator::LtEq => of(Operator::LtEq, before),
        Operator::Gt | Operator::GtEq => of(Operator::Gt, before),
        // False of every time, and NULL of NULL; and true.
        Operator::Eq => of(Operator::Gt, last),
        Operator::NotEq => of(Operator::LtEq, last),
        Operator::IsDistinctFrom => Some(lit(true)),
        Operator::IsNotDistinctFrom => Some(lit(false)),
        _ => None,
    }
}
