//! What a coordinate may be by its own attributes: `valid_min`, `valid_max`, `valid_range`.
//!
//! Values are served as they are stored, whatever these say. Where the data lie is another question:
//! a latitude of -9999 that its variable declares invalid places nothing.

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::{cast, nullif};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use tarn_formats::Variable;
use tarn_formats::cf::Decoder;
use tarn_schemas::facts::Horizontal;

/// Smallest and largest value of a latitude or longitude that places data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Valid {
    least: f64,
    most: f64,
}

impl Valid {
    /// What a latitude or longitude states; none of another variable, of one that states nothing, and
    /// of a packed one, whose limits are those of stored values (CF 1.11, section 8.1).
    pub(super) fn of(variable: &Variable, decoder: &Decoder) -> Option<Self> {
        Horizontal::of(variable.text("standard_name"), variable.text("units"))?;
        let attributes = decoder.field().metadata();
        if ["scale_factor", "add_offset"].iter().any(|name| attributes.contains_key(*name)) {
            return None;
        }
        let number = |name: &str| attributes.get(name)?.trim().parse::<f64>().ok();
        let range = attributes.get("valid_range");
        let range = range.and_then(|text| serde_json::from_str::<[f64; 2]>(text).ok());
        let least = number("valid_min").or(range.map(|[least, _]| least));
        let most = number("valid_max").or(range.map(|[_, most]| most));
        if least.is_none() && most.is_none() {
            return None;
        }
        Some(Self {
            least: least.unwrap_or(f64::NEG_INFINITY),
            most: most.unwrap_or(f64::INFINITY),
        })
    }

    /// The array with what is not valid taken out.
    pub(super) fn mask(self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let numbers = cast(array, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        let wrong: BooleanArray = numbers
            .iter()
            .map(|number| Some(number.is_some_and(|at| at < self.least || at > self.most)))
            .collect();
        nullif(array, &wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array, Float32Array};
    use std::sync::Arc;

    #[test]
    fn what_is_not_valid_is_taken_out() {
        let stored: ArrayRef =
            Arc::new(Float32Array::from(vec![Some(-9999.0), Some(-90.0), None, Some(45.5)]));
        let valid = Valid { least: -90.0, most: 90.0 };
        let masked = valid.mask(&stored).unwrap();
        let expected: ArrayRef =
            Arc::new(Float32Array::from(vec![None, Some(-90.0), None, Some(45.5)]));
        assert_eq!(&masked, &expected);
        assert_eq!(masked.null_count(), 2);
    }
}
