//! `great_circle_distance(lat1, lon1, lat2, lon2)` in metres.

use crate::error::QueryError;
use arrow::array::AsArray;
use arrow::array::{Array, Float64Array, Float64Builder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// Mean radius of the Earth in metres (IUGG R1, Moritz 2000).
const RADIUS: f64 = 6_371_008.8;

/// Distance on the sphere by the formula with the arctangent of two arguments, which equals the
/// haversine formula and is exact for near points and for antipodes too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GreatCircleDistance {
    signature: Signature,
}

impl GreatCircleDistance {
    /// The function.
    pub(super) fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64; 4], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for GreatCircleDistance {
    fn name(&self) -> &'static str {
        "great_circle_distance"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { arguments.number_rows };
        let degrees = arguments
            .args
            .iter()
            .map(|value| {
                let array = cast(&value.to_array(rows)?, &DataType::Float64)?;
                Ok(array.as_primitive::<Float64Type>().clone())
            })
            .collect::<Result<Vec<Float64Array>>>()?;
        let [lat1, lon1, lat2, lon2] = degrees.as_slice() else {
            return Err(QueryError::Invalid(
                "great_circle_distance takes four numbers in degrees: lat1, lon1, lat2, lon2"
                    .to_owned(),
            )
            .into());
        };
        let mut metres = Float64Builder::with_capacity(rows);
        for row in 0..rows {
            let known = [lat1, lon1, lat2, lon2].iter().all(|degrees| degrees.is_valid(row));
            metres.append_option(known.then(|| {
                distance([lat1.value(row), lon1.value(row)], [lat2.value(row), lon2.value(row)])
            }));
        }
        let metres = metres.finish();
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&metres, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(metres)))
    }
}

/// Metres between two points given as latitude and longitude in degrees.
fn distance(from: [f64; 2], to: [f64; 2]) -> f64 {
    let [lat1, lon1] = from.map(f64::to_radians);
    let [lat2, lon2] = to.map(f64::to_radians);
    let (sin1, cos1) = lat1.sin_cos();
    let (sin2, cos2) = lat2.sin_cos();
    let (sin, cos) = (lon2 - lon1).sin_cos();
    let across = (cos2 * sin).hypot(cos1 * sin2 - sin1 * cos2 * cos);
    RADIUS * across.atan2(sin1 * sin2 + cos1 * cos2 * cos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_agree_with_the_arcs_they_are() {
        let quarter = std::f64::consts::FRAC_PI_2 * RADIUS;
        for (from, to, expected) in [
            ([0.0, 0.0], [0.0, 0.0], 0.0),
            ([0.0, 0.0], [90.0, 0.0], quarter),
            ([0.0, 0.0], [0.0, 90.0], quarter),
            ([10.0, -170.0], [-10.0, 10.0], 2.0 * quarter),
            ([45.0, 350.0], [45.0, -10.0], 0.0),
        ] {
            let got = distance(from, to);
            assert!((got - expected).abs() < 1e-6, "{from:?} {to:?}: {got} {expected}");
        }
        // Berkeley to Oak Ridge by the spherical law of cosines, evaluated in Python.
        let got = distance([37.8768, -122.2506], [35.9311, -84.3100]);
        let (a, b) = ((37.8768_f64).to_radians(), (35.9311_f64).to_radians());
        let angle =
            (a.sin() * b.sin() + a.cos() * b.cos() * (37.9406_f64).to_radians().cos()).acos();
        assert!((got - RADIUS * angle).abs() < 1e-3, "{got}");
        assert!(distance([f64::NAN, 0.0], [0.0, 0.0]).is_nan());
    }
}
