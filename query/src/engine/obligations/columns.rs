//! Columns as they may be seen.

use super::pseudonym::Pseudonym;
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions::datetime::expr_fn::date_trunc;
use datafusion::functions::math::expr_fn::{floor, round};
use datafusion::logical_expr::{Expr, ScalarUDF, cast, lit, try_cast, when};
use tarn_catalog::{Catalog, Masking, Step};

/// A number whose zero has no sign: what was below zero before it was rounded must not show.
pub(super) fn without_sign_of_zero(number: Expr) -> Result<Expr> {
    when(number.clone().eq(lit(0.0)), lit(0.0)).otherwise(number)
}

/// The column under a masking, of the same type. What cannot be masked so is an error in words for
/// the operator.
pub(super) fn masked(
    catalog: &Catalog,
    column: Expr,
    field: &Field,
    masking: &Masking,
) -> std::result::Result<Expr, String> {
    let kind = field.data_type();
    let unfit = |what: &str| format!("{what}: the column {:?} is of type {kind}", field.name());
    match masking {
        Masking::Null => {
            let null = ScalarValue::try_new_null(kind).map_err(|error| error.to_string())?;
            Ok(lit(null))
        }
        Masking::Hash if matches!(kind, DataType::Utf8 | DataType::LargeUtf8) => {
            let key = catalog.pseudonym_key().map_err(|error| error.to_string())?;
            Ok(ScalarUDF::from(Pseudonym::new(key)).call(vec![column]))
        }
        Masking::Hash => Err(unfit("hash is of text")),
        Masking::Round { to: Step::Time(span) } => match kind {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => {
                Ok(try_cast(date_trunc(lit(span.as_str()), column), kind.clone()))
            }
            _ => Err(unfit("times are rounded to parts of the calendar")),
        },
        Masking::Round { to: Step::Number(step) } | Masking::Coarsen { to: Step::Number(step) } => {
            if !kind.is_numeric() {
                return Err(unfit("numbers are rounded to a step"));
            }
            let step: f64 = step.parse().map_err(|_| unfit("the step is no number"))?;
            let steps = cast(column, DataType::Float64) / lit(step);
            let near = match masking {
                Masking::Coarsen { .. } => floor(steps) * lit(step) + lit(step / 2.0),
                _ => round(vec![steps]) * lit(step),
            };
            // What no longer fits is NULL: an error would tell that there is such a value.
            let near = without_sign_of_zero(near).map_err(|error| error.to_string())?;
            Ok(try_cast(near, kind.clone()))
        }
        Masking::Coarsen { to: Step::Time(_) } => Err(unfit("times are not coarsened")),
    }
}
