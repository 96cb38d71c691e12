//! Durations: `units` of a time without `since`, and a `dtype` attribute of `timedelta64` (rule 13).

use super::dtypes::astype;
use crate::cf::{from_integer, to_integer};
use arrow::array::{
    Array, ArrayRef, AsArray, DurationMicrosecondArray, DurationMillisecondArray,
    DurationNanosecondArray, DurationSecondArray, Float32Array, Float64Array, Int64Array,
};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit};
use arrow::error::ArrowError;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;

/// The units that make a duration, and nothing else.
pub(super) fn unit(units: &str) -> Option<i64> {
    Some(match units {
        "nanoseconds" => 1,
        "microseconds" => 1_000,
        "milliseconds" => 1_000_000,
        "seconds" => SECOND,
        "minutes" => 60 * SECOND,
        "hours" => 3_600 * SECOND,
        "days" => 86_400 * SECOND,
        _ => return None,
    })
}

/// Nanoseconds of the resolution that a dtype such as `timedelta64[ms]` asks for; coarser ones are
/// seconds, finer ones nanoseconds.
///
/// # Errors
/// A dtype that names no resolution.
pub(super) fn resolution(dtype: &str) -> Result<i64, String> {
    let inside = dtype.strip_prefix("timedelta64[").and_then(|rest| rest.strip_suffix(']'));
    match inside.unwrap_or_default() {
        "Y" | "M" | "W" | "D" | "h" | "m" | "s" => Ok(SECOND),
        "ms" => Ok(1_000_000),
        "us" => Ok(1_000),
        "ns" | "ps" | "fs" | "as" => Ok(1),
        _ => Err(format!("the dtype {dtype:?}")),
    }
}

/// What all values of a variable have in common.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Look {
    values: bool,
    valid: bool,
    /// Thousandfolds until no float has a fraction.
    steps: u32,
    /// Smallest and largest float that is not NaN.
    extremes: Option<(f64, f64)>,
}

/// How numbers become durations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Durations {
    /// Nanoseconds of the resolution asked for.
    target: i64,
    /// Multiplied with first: units coarser than seconds.
    factor: i64,
    /// Nanoseconds of one unit after that.
    unit: i64,
    steps: u32,
    /// Nanoseconds of the result's resolution.
    result: i64,
}

impl Durations {
    /// Units and resolution, before the values are known.
    pub(super) fn new(unit: i64, target: i64) -> Self {
        Self {
            target,
            factor: (unit / SECOND).max(1),
            unit: unit.min(SECOND),
            steps: 0,
            result: target,
        }
    }

    /// Looks at the numbers of a box of the variable.
    pub(super) fn look(&self, look: &mut Look, numbers: &ArrayRef) -> Result<(), ArrowError> {
        look.values |= !numbers.is_empty();
        if !numbers.data_type().is_floating() {
            let integers = astype(numbers, &DataType::Int64)?;
            let integers = integers.as_primitive::<Int64Type>().values();
            look.valid |= integers.iter().any(|value| *value != i64::MIN);
            return Ok(());
        }
        let doubles = astype(numbers, &DataType::Float64)?;
        for value in doubles.as_primitive::<Float64Type>().values() {
            if !value.is_nan() {
                let (min, max) = look.extremes.unwrap_or((*value, *value));
                look.extremes = Some((min.min(*value), max.max(*value)));
            }
        }
        let most = thousands(self.unit);
        let mut now = self.in_seconds(numbers)?;
        for steps in 0..=most {
            let doubles = astype(&now, &DataType::Float64)?;
            let doubles = doubles.as_primitive::<Float64Type>().values();
            look.valid |= doubles.iter().any(|value| !value.is_nan());
            if !doubles.iter().any(|value| value.fract() != 0.0 && value.is_finite()) {
                look.steps = look.steps.max(steps);
                return Ok(());
            }
            now = thousandfold(&now);
        }
        look.steps = most;
        Ok(())
    }

    /// The durations of a variable with such values.
    ///
    /// # Errors
    /// A value that xarray cannot decode.
    #[expect(clippy::float_cmp, reason = "the two ends are powers of two")]
    pub(super) fn known(mut self, look: &Look) -> Result<Self, String> {
        // xarray looks at the ends alone, and takes 2^63 and -2^63 for NaT.
        let fits = |end: f64| {
            end.abs() == from_integer(i64::MIN).abs()
                || to_integer(end).is_some_and(|end| end.checked_mul(self.factor).is_some())
        };
        if look.extremes.is_some_and(|(min, max)| !fits(min) || !fits(max)) {
            return Err(too_long());
        }
        self.steps = look.steps;
        let own = self.unit / 1_000_i64.pow(self.steps);
        self.result = match look {
            Look { values: true, valid: false, .. } => self.target,
            Look { values: false, .. } => own,
            _ => own.min(self.target),
        };
        Ok(self)
    }

    pub(super) fn data_type(&self) -> DataType {
        DataType::Duration(match self.result {
            1 => TimeUnit::Nanosecond,
            1_000 => TimeUnit::Microsecond,
            1_000_000 => TimeUnit::Millisecond,
            _ => TimeUnit::Second,
        })
    }

    /// # Errors
    /// A duration that the resolution cannot hold.
    pub(super) fn apply(&self, numbers: &ArrayRef) -> Result<ArrayRef, String> {
        let text = |error: ArrowError| error.to_string();
        let own = self.unit / 1_000_i64.pow(self.steps);
        let whole: Vec<Option<i64>> = if numbers.data_type().is_floating() {
            let mut now = self.in_seconds(numbers).map_err(text)?;
            for _ in 0..self.steps {
                now = thousandfold(&now);
            }
            let doubles = astype(&now, &DataType::Float64).map_err(text)?;
            doubles.as_primitive::<Float64Type>().values().iter().map(|v| to_integer(*v)).collect()
        } else {
            let integers = astype(numbers, &DataType::Int64).map_err(text)?;
            let integers = integers.as_primitive::<Int64Type>().values();
            let present = |value: &i64| Some(*value).filter(|value| *value != i64::MIN);
            let scaled = |value: &i64| match present(value) {
                None => Ok(None),
                Some(value) => value.checked_mul(self.factor).map(Some).ok_or_else(too_long),
            };
            integers.iter().map(scaled).collect::<Result<_, _>>()?
        };
        let finer = (own / self.result).max(1);
        let durations = whole.into_iter().map(|value| match value.filter(|v| *v != i64::MIN) {
            None => Ok(None),
            Some(value) => value.checked_mul(finer).map(Some).ok_or_else(too_long),
        });
        let durations: Int64Array = durations.collect::<Result<Vec<_>, _>>()?.into();
        Ok(match self.data_type() {
            DataType::Duration(TimeUnit::Nanosecond) => {
                Arc::new(durations.reinterpret_cast::<_>() as DurationNanosecondArray)
            }
            DataType::Duration(TimeUnit::Microsecond) => {
                Arc::new(durations.reinterpret_cast::<_>() as DurationMicrosecondArray)
            }
            DataType::Duration(TimeUnit::Millisecond) => {
                Arc::new(durations.reinterpret_cast::<_>() as DurationMillisecondArray)
            }
            _ => Arc::new(durations.reinterpret_cast::<_>() as DurationSecondArray),
        })
    }

    /// Floats in units of at most a second: multiplied as doubles, or left in their own dtype.
    fn in_seconds(&self, numbers: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        if self.factor == 1 {
            return match numbers.data_type() {
                DataType::Float16 => astype(numbers, &DataType::Float32),
                _ => Ok(Arc::clone(numbers)),
            };
        }
        let doubles = astype(numbers, &DataType::Float64)?;
        let factor = from_integer(self.factor);
        let doubles = doubles.as_primitive::<Float64Type>();
        Ok(Arc::new(doubles.unary::<_, Float64Type>(|value| value * factor)))
    }
}

fn too_long() -> String {
    "durations that xarray cannot decode: one is longer than 64 bits hold".to_owned()
}

/// How often a unit divides by a thousand down to nanoseconds.
fn thousands(unit: i64) -> u32 {
    match unit {
        SECOND => 3,
        1_000_000 => 2,
        1_000 => 1,
        _ => 0,
    }
}

fn thousandfold(numbers: &ArrayRef) -> ArrayRef {
    match numbers.data_type() {
        DataType::Float32 => {
            let numbers: &Float32Array = numbers.as_primitive();
            Arc::new(numbers.unary::<_, Float32Type>(|value| value * 1_000.0))
        }
        _ => {
            let numbers: &Float64Array = numbers.as_primitive();
            Arc::new(numbers.unary::<_, Float64Type>(|value| value * 1_000.0))
        }
    }
}
