//! Which stored values mean "no value".

use crate::cf::{attributes, kernels};
use crate::contents::{AttributeValue, Variable};
use crate::default_fill::default_fill;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, BooleanBuilder, PrimitiveArray,
    StringArray, new_empty_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{cast, concat, filter, kernels::cmp};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The stored values of a variable that become NULL.
#[derive(Debug, Clone)]
pub(crate) struct Mask {
    /// Of the stored type; text for text.
    fills: ArrayRef,
    /// Whether NaN is a fill.
    nan: bool,
}

impl Mask {
    /// The members of `_FillValue` and `missing_value`, and the default fill of the type where no
    /// `_FillValue` names one. `reinterpreted` is the type that `_Unsigned` asks for.
    ///
    /// A number of another type counts where the stored type holds exactly its value; a float
    /// that was written wider than the data counts as rounded to it (1e20 as f8 on f4 data).
    pub(crate) fn new(
        variable: &Variable,
        reinterpreted: Option<&DataType>,
    ) -> Result<Self, ArrowError> {
        let stored = &variable.data_type;
        if *stored == DataType::Utf8 {
            let texts: Vec<&String> = ["_FillValue", "missing_value"]
                .iter()
                .filter_map(|name| match variable.attribute(name)? {
                    AttributeValue::Text(texts) => Some(texts),
                    _ => None,
                })
                .flatten()
                .collect();
            let fills = StringArray::from_iter_values(texts);
            return Ok(Self { fills: Arc::new(fills), nan: false });
        }
        let mut parts = vec![new_empty_array(stored)];
        if stored.is_numeric() {
            for name in ["_FillValue", "missing_value"] {
                let before = parts.len();
                if let Some(numbers) = attributes::numbers(variable.attribute(name)) {
                    parts.push(representable(numbers, stored)?);
                    if let Some(other) = reinterpreted {
                        parts.push(bits_as(&representable(numbers, other)?, stored)?);
                    }
                }
                let named = parts.iter().skip(before).any(|part| !part.is_empty());
                // netCDF4 compares the default with the reinterpreted data, where it never occurs.
                let default = name == "_FillValue" && variable.default_fill && !named;
                if default && reinterpreted.is_none() {
                    // Every byte is taken for a value, as the NetCDF User's Guide asks of readers.
                    let is_byte = matches!(stored, DataType::Int8 | DataType::UInt8);
                    parts.extend(default_fill(stored).filter(|_| !is_byte));
                }
            }
        }
        let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
        let fills = distinct(&concat(&parts)?)?;
        let nan = match stored {
            DataType::Float16 | DataType::Float32 | DataType::Float64 => {
                let fills = cast(&fills, &DataType::Float64)?;
                fills.as_primitive::<Float64Type>().values().iter().any(|fill| fill.is_nan())
            }
            _ => false,
        };
        Ok(Self { fills, nan })
    }

    /// Whether NaN is the only fill.
    pub(crate) fn is_nan_alone(&self) -> bool {
        self.nan && self.fills.len() == 1
    }

    /// The stored values with NULL where they are a fill, and with one NaN, see [`kernels::one_nan`].
    /// The values are not copied unless there is another NaN, and where none is a fill there is no
    /// bitmap.
    pub(crate) fn apply(&self, stored: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        if self.fills.is_empty() {
            return Ok(kernels::one_nan(stored));
        }
        macro_rules! masked {
            ($($variant:ident => $kind:ty),*) => {
                match stored.data_type() {
                    $(DataType::$variant => self.apply_to::<$kind>(stored),)*
                    DataType::Utf8 => {
                        let fills: Vec<Option<&str>> = self.fills.as_string::<i32>().iter().collect();
                        let values = stored.as_string::<i32>();
                        let kept = values.iter().map(|value| value.filter(|_| !fills.contains(&value)));
                        Ok(Arc::new(kept.collect::<StringArray>()))
                    }
                    _ => Ok(Arc::clone(stored)),
                }
            };
        }
        masked!(
            Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
            UInt8 => UInt8Type, UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type,
            Float16 => Float16Type, Float32 => Float32Type, Float64 => Float64Type
        )
    }

    fn apply_to<T: ArrowPrimitiveType>(&self, stored: &ArrayRef) -> Result<ArrayRef, ArrowError>
    where
        T::Native: PartialOrd,
    {
        let fills = self.fills.as_primitive::<T>().values();
        let array = stored.as_primitive::<T>();
        let values: &[T::Native] = array.values();
        // NaN is the one value that does not compare with itself.
        let is_nan = |value: T::Native| value.partial_cmp(&value).is_none();
        // Most data have neither, and one pass tells.
        if let ([fill], false) = (&fills[..], self.nan)
            && !kernels::any(values, |value| (value == *fill) | is_nan(value))
        {
            return Ok(Arc::clone(stored));
        }
        let kept = match (&fills[..], self.nan) {
            ([_], true) => kernels::kept(values, is_nan),
            ([fill], false) => kernels::kept(values, |value| value == *fill),
            ([a, b], false) => kernels::kept(values, |value| (value == *a) || (value == *b)),
            (fills, nan) => {
                kernels::kept(values, |value| fills.contains(&value) | (nan & is_nan(value)))
            }
        };
        let Some(kept) = kept else { return Ok(kernels::one_nan(stored)) };
        let nulls = NullBuffer::union(array.nulls(), Some(&NullBuffer::new(kept)));
        let masked: ArrayRef =
            Arc::new(PrimitiveArray::<T>::try_new(array.values().clone(), nulls)?);
        Ok(kernels::one_nan(&masked))
    }
}

/// The numbers that type `to` holds exactly, in it; floats round to a narrower float.
fn representable(numbers: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let there = cast(numbers, to)?;
    let keep = if numbers.data_type().is_floating() && to.is_floating() {
        let (before, after) =
            (cast(numbers, &DataType::Float64)?, cast(&there, &DataType::Float64)?);
        let (before, after) =
            (before.as_primitive::<Float64Type>(), after.as_primitive::<Float64Type>());
        let overflows = |(before, after): (&f64, &f64)| before.is_finite() && after.is_infinite();
        before.values().iter().zip(after.values()).map(|pair| Some(!overflows(pair))).collect()
    } else {
        let equal: BooleanArray = cmp::eq(&cast(&there, numbers.data_type())?, numbers)?;
        equal
    };
    filter(&there, &keep)
}

/// Each fill once: `missing_value` mostly repeats `_FillValue`, and one comparison is enough.
fn distinct(fills: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let mut first = BooleanBuilder::with_capacity(fills.len());
    for index in 0..fills.len() {
        let fill = fills.slice(index, 1);
        let before = (0..index).any(|earlier| fills.slice(earlier, 1).as_ref() == fill.as_ref());
        first.append_value(!before);
    }
    filter(fills, &first.finish())
}

/// The same bits under another integer type of the same width.
pub(crate) fn bits_as(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let data = array.to_data().into_builder().data_type(to.clone()).build()?;
    Ok(arrow::array::make_array(data))
}
