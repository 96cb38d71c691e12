//! Decimals compared with constants: `price = 136.67` means the number as it is written.
//!
//! SQL reads `136.67` as a double, and DataFusion makes a decimal of fifteen places of that, which is
//! 136.669999999999987 there and equal to no price. The shortest text that reads back as the double is what
//! was written, wherever that has no more digits than a double holds.

use super::compares;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, ExprSchemable, lit};

/// Most digits of a decimal of 128 bits.
const MOST_DIGITS: usize = 38;

/// Digits before the point, and behind it.
type Places = (usize, usize);

/// One expression, the ones inside it not again.
pub(super) fn of_expression(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    Ok(match expression {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let (of_left, of_right) = (places(&left, schema), places(&right, schema));
            let (left, right) = (with(*left, of_right), with(*right, of_left));
            let changed = left.transformed || right.transformed;
            let (left, right) = (Box::new(left.data), Box::new(right.data));
            let expression = Expr::BinaryExpr(BinaryExpr { left, op, right });
            Transformed::new_transformed(expression, changed)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let of = places(&expr, schema);
            let (low, high) = (with(*low, of), with(*high, of));
            let changed = low.transformed || high.transformed;
            let (low, high) = (Box::new(low.data), Box::new(high.data));
            let expression = Expr::Between(Between { expr, negated, low, high });
            Transformed::new_transformed(expression, changed)
        }
        Expr::InList(InList { expr, list, negated }) => {
            let (of, mut changed) = (places(&expr, schema), false);
            let one = |value| {
                let value = with(value, of);
                changed |= value.transformed;
                value.data
            };
            let list = list.into_iter().map(one).collect();
            let expression = Expr::InList(InList { expr, list, negated });
            Transformed::new_transformed(expression, changed)
        }
        other => Transformed::no(other),
    })
}

/// The places of a decimal; `None` for anything else.
fn places(expression: &Expr, schema: &DFSchema) -> Option<Places> {
    let (digits, behind) = match expression.get_type(schema).ok()? {
        DataType::Decimal32(digits, behind)
        | DataType::Decimal64(digits, behind)
        | DataType::Decimal128(digits, behind) => (usize::from(digits), usize::try_from(behind)),
        _ => return None,
    };
    let behind = behind.ok()?;
    Some((digits.checked_sub(behind)?, behind))
}

/// A constant as a decimal, where it is compared with one and both fit one type.
fn with(expression: Expr, of: Option<Places>) -> Transformed<Expr> {
    match of.and_then(|of| written(&expression, of)) {
        Some(decimal) => Transformed::yes(lit(decimal)),
        None => Transformed::no(expression),
    }
}

fn written(expression: &Expr, (whole, behind): Places) -> Option<ScalarValue> {
    let value = match expression {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) => *value,
        Expr::Negative(inner) => match inner.as_ref() {
            Expr::Literal(ScalarValue::Float64(Some(value)), _) => -value,
            _ => return None,
        },
        _ => return None,
    };
    if !value.is_finite() {
        return None;
    }
    // Never with an exponent.
    let text = value.to_string();
    let (before, after) = text.split_once('.').unwrap_or((&text, ""));
    let before_digits = before.trim_start_matches(['-', '0']).len();
    if whole.max(before_digits).checked_add(behind.max(after.len()))? > MOST_DIGITS {
        return None;
    }
    let number: i128 = format!("{before}{after}").parse().ok()?;
    let digits = u8::try_from(before_digits.checked_add(after.len())?.max(1)).ok()?;
    Some(ScalarValue::Decimal128(Some(number), digits, i8::try_from(after.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_the_decimal_that_was_written() {
        let of = |value: f64| written(&lit(value), (13, 2));
        for (value, number, digits, behind) in [
            (136.67, 13_667, 5, 2),
            (-0.5, -5, 1, 1),
            (0.0625, 625, 4, 4),
            (123_456_789_012.34, 12_345_678_901_234, 14, 2),
            (0.0, 0, 1, 0),
        ] {
            let expected = ScalarValue::Decimal128(Some(number), digits, behind);
            assert_eq!(of(value), Some(expected), "{value}");
        }
        for value in [f64::NAN, f64::INFINITY, 1e300, 1e-300] {
            assert_eq!(of(value), None, "{value}");
        }
        assert_eq!(written(&lit(1_i64), (13, 2)), None);
    }
}
