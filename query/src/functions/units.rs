//! `convert_units(x, from, to)` over the units of UDUNITS-2.

use crate::error::QueryError;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;
use tarn_schemas::units::Conversion;

/// The function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ConvertUnits {
    signature: Signature,
}

impl ConvertUnits {
    /// The function.
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(3, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for ConvertUnits {
    fn name(&self) -> &'static str {
        "convert_units"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [value, _, _] if numeric(value) => Ok(DataType::Float64),
            [value, ..] => Err(QueryError::Invalid(format!(
                "convert_units(x, from, to): x must be a number, not {value}"
            ))
            .into()),
            [] => Err(QueryError::Invalid("convert_units(x, from, to)".to_owned()).into()),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value, from, to] = arguments.args.as_slice() else {
            return Err(QueryError::Invalid(
                "convert_units takes three arguments: convert_units(x, from, to)".to_owned(),
            )
            .into());
        };
        let conversion = conversion(&constant(from)?, &constant(to)?)?;
        let convert = |array: &arrow::array::ArrayRef| -> Result<arrow::array::ArrayRef> {
            let numbers = cast(array, &DataType::Float64)?;
            let converted = numbers
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(|x| conversion.apply(x));
            Ok(Arc::new(converted))
        };
        match value {
            ColumnarValue::Array(array) => Ok(ColumnarValue::Array(convert(array)?)),
            ColumnarValue::Scalar(scalar) => {
                let converted = convert(&scalar.to_array()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&converted, 0)?))
            }
        }
    }
}

fn conversion(from: &str, to: &str) -> Result<Conversion, QueryError> {
    Conversion::with_reciprocals(from, to)
        .map_err(|error| QueryError::Invalid(format!("convert_units: {error}")))
}

fn numeric(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => numeric(values),
        DataType::RunEndEncoded(_, values) => numeric(values.data_type()),
        other => other.is_numeric() || other.is_null(),
    }
}

fn constant(value: &ColumnarValue) -> Result<String, QueryError> {
    match value {
        ColumnarValue::Scalar(scalar) => scalar.try_as_str().flatten().map(str::to_owned),
        ColumnarValue::Array(_) => None,
    }
    .ok_or_else(|| {
        QueryError::Invalid(
            "convert_units(x, from, to): from and to must be constant text, such as 'degC'"
                .to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(value: f64, from: &str, to: &str) -> f64 {
        conversion(from, to).unwrap().apply(value)
    }

    #[test]
    fn conversions_are_those_of_the_si() {
        // Expected values by hand from the SI Brochure and NIST SP 811.
        for (value, from, to, expected) in [
            (0.0, "degC", "K", 273.15),
            (273.15, "K", "degC", 0.0),
            (1013.25, "hPa", "Pa", 101_325.0),
            (1013.25, "hPa", "atm", 1.0),
            (1000.0, "mbar", "bar", 1.0),
            (36.0, "km/h", "m s-1", 10.0),
            (1.0, "day", "h", 24.0),
            (0.3, "1", "%", 30.0),
            (180.0, "degrees", "radians", std::f64::consts::PI),
            (12.0, "keV", "eV", 12_000.0),
            (2.5, "g", "kg", 0.0025),
            (7.0, "mm", "mm", 7.0),
            (7.0, "10-3 kg m-3", "kg m-3", 0.007),
            (5.0, "ms", "Hz", 200.0),
        ] {
            let got = convert(value, from, to);
            assert!((got - expected).abs() <= f64::EPSILON * expected.abs(), "{from}: {got}");
        }
        assert!((convert(212.0, "degF", "degC") - 100.0).abs() < 1e-12);
        assert!((convert(-40.0, "degC", "degF") + 40.0).abs() < 1e-12);
        assert!((convert(1.0, "eV", "J") - 1.602_176_634e-19).abs() < 1e-34);
    }

    #[test]
    fn an_unknown_unit_and_a_wrong_dimension_are_named() {
        let unknown = conversion("bananas", "m").unwrap_err().to_string();
        assert!(unknown.contains("bananas"), "{unknown}");
        let mismatch = conversion("K", "Pa").unwrap_err().to_string();
        assert!(mismatch.contains("\"K\"") && mismatch.contains("\"Pa\""), "{mismatch}");
    }
}
