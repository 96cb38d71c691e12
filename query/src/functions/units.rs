//! `convert_units(x, from, to)` over a small table of exact factors.

use crate::error::QueryError;
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// What a unit measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    Temperature,
    Pressure,
    Length,
    Time,
    Speed,
    Mass,
    Ratio,
    Angle,
    Energy,
}

/// `value in the base unit = value × numerator / denominator + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    quantity: Quantity,
    numerator: f64,
    denominator: f64,
    offset: f64,
}

/// The unit of a name as UDUNITS and CF write it. Factors are those of the SI Brochure (9th
/// edition), of NIST SP 811 for `degF` and `atm`, and of the 2019 SI for the electronvolt.
fn unit(name: &str) -> Option<Unit> {
    use Quantity::{Angle, Energy, Length, Mass, Pressure, Ratio, Speed, Temperature, Time};
    let (quantity, numerator, denominator, offset) = match name.trim() {
        "K" | "kelvin" => (Temperature, 1.0, 1.0, 0.0),
        "degC" | "deg_C" | "celsius" | "Celsius" | "degrees_C" | "°C" => {
            (Temperature, 1.0, 1.0, 273.15)
        }
        // Kelvin = (Fahrenheit + 459.67) × 5/9
        "degF" | "deg_F" | "fahrenheit" | "Fahrenheit" | "°F" => {
            (Temperature, 5.0, 9.0, 459.67 * 5.0 / 9.0)
        }
        "Pa" | "pascal" => (Pressure, 1.0, 1.0, 0.0),
        "hPa" | "mbar" | "millibar" => (Pressure, 100.0, 1.0, 0.0),
        "kPa" => (Pressure, 1e3, 1.0, 0.0),
        "MPa" => (Pressure, 1e6, 1.0, 0.0),
        "GPa" => (Pressure, 1e9, 1.0, 0.0),
        "bar" => (Pressure, 1e5, 1.0, 0.0),
        "atm" => (Pressure, 101_325.0, 1.0, 0.0),
        "m" | "meter" | "metre" | "meters" | "metres" => (Length, 1.0, 1.0, 0.0),
        "km" => (Length, 1e3, 1.0, 0.0),
        "cm" => (Length, 1.0, 1e2, 0.0),
        "mm" => (Length, 1.0, 1e3, 0.0),
        "um" | "µm" | "micron" => (Length, 1.0, 1e6, 0.0),
        "nm" => (Length, 1.0, 1e9, 0.0),
        "angstrom" | "Angstrom" | "Å" => (Length, 1.0, 1e10, 0.0),
        "s" | "sec" | "second" | "seconds" => (Time, 1.0, 1.0, 0.0),
        "ms" => (Time, 1.0, 1e3, 0.0),
        "min" | "minute" | "minutes" => (Time, 60.0, 1.0, 0.0),
        "h" | "hr" | "hour" | "hours" => (Time, 3600.0, 1.0, 0.0),
        "d" | "day" | "days" => (Time, 86_400.0, 1.0, 0.0),
        "m s-1" | "m/s" | "m s^-1" | "m.s-1" => (Speed, 1.0, 1.0, 0.0),
        "cm s-1" | "cm/s" => (Speed, 1.0, 1e2, 0.0),
        "km/h" | "km h-1" => (Speed, 1e3, 3600.0, 0.0),
        "knot" | "kt" => (Speed, 1852.0, 3600.0, 0.0),
        "kg" => (Mass, 1.0, 1.0, 0.0),
        "g" => (Mass, 1.0, 1e3, 0.0),
        "mg" => (Mass, 1.0, 1e6, 0.0),
        "t" | "tonne" => (Mass, 1e3, 1.0, 0.0),
        "1" => (Ratio, 1.0, 1.0, 0.0),
        "%" | "percent" => (Ratio, 1.0, 1e2, 0.0),
        "radian" | "radians" | "rad" => (Angle, 1.0, 1.0, 0.0),
        "degree" | "degrees" | "degrees_north" | "degrees_east" | "deg" | "°" => {
            (Angle, std::f64::consts::PI, 180.0, 0.0)
        }
        "J" | "joule" => (Energy, 1.0, 1.0, 0.0),
        "kJ" => (Energy, 1e3, 1.0, 0.0),
        "eV" => (Energy, 1.602_176_634e-19, 1.0, 0.0),
        "keV" => (Energy, 1.602_176_634e-16, 1.0, 0.0),
        "MeV" => (Energy, 1.602_176_634e-13, 1.0, 0.0),
        _ => return None,
    };
    Some(Unit { quantity, numerator, denominator, offset })
}

/// `y = (x × multiply / divide) + shift`, with as few roundings as the factors allow.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Conversion {
    multiply: f64,
    divide: f64,
    shift: f64,
}

impl Conversion {
    fn between(from: &str, to: &str) -> Result<Self, QueryError> {
        let known = |name: &str| {
            unit(name).ok_or_else(|| {
                QueryError::Invalid(format!(
                    "convert_units: the unit {name:?} is not known; known are for example K, degC, \
                     degF, Pa, hPa, bar, atm, m, km, s, h, day, 'm s-1', kg, g, %, degrees, eV, J"
                ))
            })
        };
        let (source, target) = (known(from)?, known(to)?);
        if source.quantity != target.quantity {
            return Err(QueryError::Invalid(format!(
                "convert_units: {from:?} is a unit of {:?} and {to:?} one of {:?}: there is no \
                 conversion",
                source.quantity, target.quantity
            )));
        }
        let (up, down) =
            (source.numerator * target.denominator, source.denominator * target.numerator);
        let factor = Self::exact(up, down);
        let shift = (source.offset - target.offset) * target.denominator / target.numerator;
        Ok(Self { shift, ..factor })
    }

    /// A whole factor multiplies, a whole reciprocal divides; only a true fraction does both.
    fn exact(up: f64, down: f64) -> Self {
        let (quotient, reciprocal) = (up / down, down / up);
        let whole = |x: f64| x >= 0.5 && (x - x.round()).abs() <= 4.0 * f64::EPSILON * x;
        let (multiply, divide) = if whole(quotient) {
            (quotient.round(), 1.0)
        } else if whole(reciprocal) {
            (1.0, reciprocal.round())
        } else {
            (up, down)
        };
        Self { multiply, divide, shift: 0.0 }
    }

    fn apply(self, value: f64) -> f64 {
        value * self.multiply / self.divide + self.shift
    }
}

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
        let conversion = Conversion::between(&constant(from)?, &constant(to)?)?;
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
        Conversion::between(from, to).unwrap().apply(value)
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
        let unknown = Conversion::between("furlong", "m").unwrap_err().to_string();
        assert!(unknown.contains("furlong"), "{unknown}");
        let mismatch = Conversion::between("K", "Pa").unwrap_err().to_string();
        assert!(mismatch.contains("\"K\"") && mismatch.contains("\"Pa\""), "{mismatch}");
    }
}
