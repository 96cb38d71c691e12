//! CF conventions: stored values → decoded Arrow columns, and the calendars of CF time.
//!
//! Rules: `decode = "arrow"` of the design, section 5, and rule 16 of the array-engine note.
//! `valid_min`, `valid_max` and `valid_range` are not applied.

mod attributes;
mod calendar;
mod mask;
mod scale;
mod time;

pub(crate) use attributes::text as attribute_text;
pub use time::{CalendarDate, TimeAxis};
pub(crate) use time::{from_integer, to_integer};

use crate::contents::Variable;
use crate::error::FormatError;
use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Field, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampNanosecondType, UInt64Type,
};
use arrow::error::ArrowError;
use mask::Mask;
use scale::Scale;
use std::sync::Arc;

/// How one variable's stored values become a column: made once per file, used for every region.
#[derive(Debug, Clone)]
pub struct Decoder {
    field: Field,
    /// The type that `_Unsigned` makes of the stored integers.
    reinterpreted: Option<DataType>,
    mask: Mask,
    scale: Option<Scale>,
    time: Option<TimeAxis>,
}

impl Decoder {
    /// The decoder of a variable. `parent` is the variable that names this one in its `bounds`
    /// attribute: bounds inherit its units and calendar where they have none.
    ///
    /// A time of a standard calendar becomes `Timestamp(Nanosecond)`, or `Timestamp(Microsecond)`
    /// where its reference date is outside the years 1678 to 2261 that nanoseconds can hold.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] for a `scale_factor` or `add_offset` that is not one number.
    pub fn new(
        location: &str,
        variable: &Variable,
        parent: Option<&Variable>,
    ) -> Result<Self, FormatError> {
        let mut metadata = attributes::metadata(&variable.attributes);
        let axis = |variable: &Variable| {
            // A calendar that is not text names no calendar.
            let calendar = variable.attribute("calendar").map(|_| variable.text("calendar"));
            TimeAxis::parse(variable.text("units")?, calendar.map(Option::unwrap_or_default))
        };
        let mut time = None;
        if variable.data_type.is_numeric() {
            time = axis(variable);
            let heir = variable.attribute("units").is_none();
            if let Some(parent) = parent.filter(|parent| heir && axis(parent).is_some()) {
                time = axis(parent);
                for name in ["units", "calendar"] {
                    if let Some(text) = parent.text(name) {
                        metadata.insert(name.to_owned(), text.to_owned());
                    }
                }
            }
        }
        let reinterpreted = match (variable.text("_Unsigned"), &variable.data_type) {
            (Some("true"), DataType::Int8) => Some(DataType::UInt8),
            (Some("true"), DataType::Int16) => Some(DataType::UInt16),
            (Some("true"), DataType::Int32) => Some(DataType::UInt32),
            (Some("true"), DataType::Int64) => Some(DataType::UInt64),
            (Some("false"), DataType::UInt8) => Some(DataType::Int8),
            (Some("false"), DataType::UInt16) => Some(DataType::Int16),
            (Some("false"), DataType::UInt32) => Some(DataType::Int32),
            (Some("false"), DataType::UInt64) => Some(DataType::Int64),
            _ => None,
        };
        let mask = Mask::new(variable, reinterpreted.as_ref())?;
        let scale = Scale::new(variable, mask.is_nan_alone()).map_err(|feature| {
            FormatError::Unsupported {
                location: location.to_owned(),
                place: variable.path.clone(),
                feature,
            }
        })?;
        let numbers = match &scale {
            Some(scale) => scale.target().clone(),
            None => reinterpreted.clone().unwrap_or_else(|| variable.data_type.clone()),
        };
        let data_type = if let Some(axis) = time.as_ref().filter(|axis| axis.is_civil()) {
            let unit = if i64::try_from(axis.reference()).is_ok() {
                TimeUnit::Nanosecond
            } else {
                TimeUnit::Microsecond
            };
            DataType::Timestamp(unit, None)
        } else if variable.text("dtype") == Some("bool") && numbers.is_numeric() {
            DataType::Boolean
        } else {
            numbers
        };
        let field = Field::new(&variable.name, data_type, true).with_metadata(metadata);
        Ok(Self { field, reinterpreted, mask, scale, time })
    }

    /// Name, decoded type, nullability and metadata: every attribute as text under its own name
    /// (several values as a JSON array).
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// The time axis, if the variable is a CF time of any calendar.
    pub fn time(&self) -> Option<&TimeAxis> {
        self.time.as_ref()
    }

    /// The same decoder giving timestamps in microseconds, for times beyond what nanoseconds hold.
    /// Changes nothing on other columns.
    #[must_use]
    pub fn with_microseconds(mut self) -> Self {
        if matches!(self.field.data_type(), DataType::Timestamp(..)) {
            self.field.set_data_type(DataType::Timestamp(TimeUnit::Microsecond, None));
        }
        self
    }

    /// The decoded values: fills, missing values and NetCDF's default fills are NULL, packed
    /// values are unpacked, standard-calendar times are timestamps. A time that a timestamp cannot
    /// hold is NULL.
    pub fn decode(&self, stored: &ArrayRef) -> Result<ArrayRef, FormatError> {
        let numbers = self.numbers(stored)?;
        Ok(match (self.field.data_type(), &self.time) {
            (DataType::Timestamp(unit, None), Some(axis)) => timestamps(&numbers, axis, *unit)?,
            (DataType::Boolean, _) => cast(&numbers, &DataType::Boolean)?,
            _ => numbers,
        })
    }

    /// The values as numbers on the time axis: masked and unpacked, no timestamps.
    pub(crate) fn numbers(&self, stored: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let masked = self.mask.apply(stored)?;
        let masked = match &self.reinterpreted {
            Some(data_type) => mask::bits_as(&masked, data_type)?,
            None => masked,
        };
        match &self.scale {
            Some(scale) => scale.apply(&masked),
            None => Ok(masked),
        }
    }

    /// Whether microseconds would hold times of these stored values that nanoseconds cannot.
    pub(crate) fn needs_microseconds(&self, stored: &ArrayRef) -> Result<bool, FormatError> {
        if *self.field.data_type() != DataType::Timestamp(TimeUnit::Nanosecond, None) {
            return Ok(false);
        }
        let nulls = self.decode(stored)?.null_count();
        Ok(nulls > 0 && self.clone().with_microseconds().decode(stored)?.null_count() < nulls)
    }

    /// A part of the dates that stored values have in their own calendar, as Int64; NULL for what
    /// is masked, NaN or out of range, and everywhere if this is no CF time.
    pub(crate) fn dates(
        &self,
        stored: &ArrayRef,
        part: impl Fn(CalendarDate) -> i64,
    ) -> Result<ArrayRef, ArrowError> {
        let numbers = self.numbers(stored)?;
        let axis = self.time.as_ref();
        Ok(if numbers.data_type().is_floating() {
            let numbers = cast(&numbers, &DataType::Float64)?;
            let date = |value| axis?.date(value).map(&part);
            Arc::new(numbers.as_primitive::<Float64Type>().unary_opt::<_, Int64Type>(date))
        } else {
            let numbers = cast(&numbers, &DataType::Int64)?;
            let date = |value| axis?.date_of_integer(value).map(&part);
            Arc::new(numbers.as_primitive::<Int64Type>().unary_opt::<_, Int64Type>(date))
        })
    }
}

/// Numbers on a civil axis as timestamps. Nanoseconds follow xarray: integers are exact, floats
/// are multiplied as doubles and truncated. Microseconds are rounded to the nearest.
fn timestamps(numbers: &ArrayRef, axis: &TimeAxis, unit: TimeUnit) -> Result<ArrayRef, ArrowError> {
    let reference = axis.reference();
    let in_unit = |nanoseconds: i128| {
        if unit == TimeUnit::Nanosecond {
            i64::try_from(nanoseconds).ok()
        } else {
            i64::try_from((nanoseconds + 500).div_euclid(1_000)).ok()
        }
    };
    let of_integer =
        |value: i128| in_unit(value.checked_mul(i128::from(axis.unit()))?.checked_add(reference)?);
    let per_unit = from_integer(axis.unit());
    let of_float = |value: f64| {
        let offset = if unit == TimeUnit::Nanosecond {
            i128::from(to_integer(value * per_unit)?)
        } else {
            axis.offset(value)?
        };
        in_unit(offset.checked_add(reference)?)
    };
    let instants: PrimitiveArray<Int64Type> = match numbers.data_type() {
        DataType::UInt64 => {
            numbers.as_primitive::<UInt64Type>().unary_opt(|value| of_integer(i128::from(value)))
        }
        data_type if data_type.is_integer() => cast(numbers, &DataType::Int64)?
            .as_primitive::<Int64Type>()
            .unary_opt(|value| of_integer(i128::from(value))),
        _ => cast(numbers, &DataType::Float64)?.as_primitive::<Float64Type>().unary_opt(of_float),
    };
    Ok(if unit == TimeUnit::Nanosecond {
        let instants: TimestampNanosecondArray =
            instants.reinterpret_cast::<TimestampNanosecondType>();
        Arc::new(instants)
    } else {
        let instants: TimestampMicrosecondArray =
            instants.reinterpret_cast::<TimestampMicrosecondType>();
        Arc::new(instants)
    })
}

#[cfg(test)]
mod tests;
