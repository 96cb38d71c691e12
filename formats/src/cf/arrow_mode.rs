//! `decode = "arrow"`: NULL where there is no value, and nothing lost (rule 16).

use super::characters::{Texts, is_characters};
use super::mask::{self, Mask};
use super::scale::Scale;
use super::{TimeAxis, from_integer, kernels, reinterpreted, to_integer};
use crate::contents::Variable;
use arrow::array::{
    Array, ArrayRef, AsArray, PrimitiveArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampNanosecondType,
    UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The steps from stored to decoded values.
#[derive(Debug, Clone)]
pub(super) struct Arrow {
    data_type: DataType,
    /// The type of [`Self::numbers`].
    numbers: DataType,
    /// Texts of so many characters.
    texts: Option<(Texts, usize)>,
    /// The type that `_Unsigned` makes of the stored integers.
    reinterpreted: Option<DataType>,
    mask: Mask,
    scale: Option<Scale>,
}

impl Arrow {
    /// # Errors
    /// The attribute that makes no sense.
    pub(super) fn new(variable: &Variable, time: Option<&TimeAxis>) -> Result<Self, String> {
        let texts =
            is_characters(variable).then(|| Texts::new(variable)).transpose()?.map(|t| (t, 1));
        let reinterpreted = reinterpreted(variable);
        let mask =
            Mask::new(variable, reinterpreted.as_ref()).map_err(|error| error.to_string())?;
        let scale = Scale::new(variable, mask.is_nan_alone())?;
        let numbers = match &scale {
            Some(scale) => scale.target().clone(),
            None => reinterpreted.clone().unwrap_or_else(|| variable.data_type.clone()),
        };
        let data_type = if let Some(axis) = time.filter(|axis| axis.is_civil()) {
            let unit = if i64::try_from(axis.reference()).is_ok() {
                TimeUnit::Nanosecond
            } else {
                TimeUnit::Microsecond
            };
            DataType::Timestamp(unit, None)
        } else if texts.is_some() {
            DataType::Utf8
        } else if variable.text("dtype") == Some("bool") && numbers.is_numeric() {
            DataType::Boolean
        } else {
            numbers.clone()
        };
        Ok(Self { data_type, numbers, texts, reinterpreted, mask, scale })
    }

    /// The unit of timestamps that holds whatever numbers are stored, if one does: nanoseconds where
    /// they hold all values of an integer type, else microseconds where no time lies between two.
    pub(super) fn unit_of_all(&self, axis: &TimeAxis) -> Option<TimeUnit> {
        let (least, greatest) = integers(&self.numbers)?;
        let (unit, reference) = (i128::from(axis.unit()), axis.reference());
        let holds = |value: i128| {
            let instant = value.checked_mul(unit).and_then(|own| own.checked_add(reference));
            instant.is_some_and(|instant| i64::try_from(instant).is_ok())
        };
        if holds(least) && holds(greatest) {
            Some(TimeUnit::Nanosecond)
        } else {
            (unit % 1_000 == 0 && reference % 1_000 == 0).then_some(TimeUnit::Microsecond)
        }
    }

    pub(super) fn data_type(&self) -> &DataType {
        &self.data_type
    }

    pub(super) fn set_text_length(&mut self, length: usize) {
        if let Some((_, own)) = &mut self.texts {
            *own = length;
        }
    }

    pub(super) fn set_microseconds(&mut self) {
        self.data_type = DataType::Timestamp(TimeUnit::Microsecond, None);
    }

    pub(super) fn decode(
        &self,
        stored: &ArrayRef,
        time: Option<&TimeAxis>,
    ) -> Result<ArrayRef, ArrowError> {
        if let Some((texts, length)) = &self.texts {
            return Ok(Arc::new(texts.decode(stored, *length)));
        }
        let numbers = self.numbers(stored)?;
        Ok(match (&self.data_type, time) {
            (DataType::Timestamp(unit, None), Some(axis)) => timestamps(&numbers, axis, *unit)?,
            (DataType::Boolean, _) => cast(&numbers, &DataType::Boolean)?,
            _ => numbers,
        })
    }

    /// The values as numbers on the time axis: masked and unpacked, no timestamps.
    pub(super) fn numbers(&self, stored: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let masked = self.mask.apply(stored)?;
        let masked = match &self.reinterpreted {
            Some(data_type) => mask::bits_as(&masked, data_type)?,
            None => masked,
        };
        match &self.scale {
            Some(scale) => {
                let nan = masked.data_type().is_floating() || scale.makes_nan();
                let unpacked = scale.apply(&masked)?;
                Ok(if nan { kernels::one_nan(&unpacked) } else { unpacked })
            }
            None => Ok(masked),
        }
    }
}

/// The least and the greatest value of an integer type.
fn integers(data_type: &DataType) -> Option<(i128, i128)> {
    Some(match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        _ => return None,
    })
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
