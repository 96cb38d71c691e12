//! NumPy's rules on dtypes, as xarray applies them.

use crate::cf::kernels::{self, Unpack};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Bytes of a number; 0 for what is none.
pub(super) fn size(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(0)
}

/// The dtype that NumPy computes in for operands of two numeric dtypes (NEP 50, both typed).
pub(super) fn promote(a: &DataType, b: &DataType) -> DataType {
    if a == b {
        return a.clone();
    }
    let (a_float, b_float) = (a.is_floating(), b.is_floating());
    if a_float || b_float {
        // The float that holds an integer of this size, by NumPy's table.
        let needed = |data_type: &DataType| match (data_type.is_floating(), size(data_type)) {
            (true, size) => size,
            (false, 1) => 2,
            (false, 2) => 4,
            (false, _) => 8,
        };
        return float(needed(a).max(needed(b)));
    }
    let (a_signed, b_signed) = (a.is_signed_integer(), b.is_signed_integer());
    if a_signed == b_signed {
        return if size(a) >= size(b) { a.clone() } else { b.clone() };
    }
    let (signed, unsigned) = if a_signed { (a, b) } else { (b, a) };
    if size(signed) > size(unsigned) {
        return signed.clone();
    }
    match size(unsigned) {
        1 => DataType::Int16,
        2 => DataType::Int32,
        4 => DataType::Int64,
        _ => DataType::Float64,
    }
}

fn float(size: usize) -> DataType {
    match size {
        2 => DataType::Float16,
        4 => DataType::Float32,
        _ => DataType::Float64,
    }
}

macro_rules! integers {
    ($data_type:expr, $kind:ident => $then:expr, $other:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $kind = Int8Type;
                $then
            }
            DataType::Int16 => {
                type $kind = Int16Type;
                $then
            }
            DataType::Int32 => {
                type $kind = Int32Type;
                $then
            }
            DataType::Int64 => {
                type $kind = Int64Type;
                $then
            }
            DataType::UInt8 => {
                type $kind = UInt8Type;
                $then
            }
            DataType::UInt16 => {
                type $kind = UInt16Type;
                $then
            }
            DataType::UInt32 => {
                type $kind = UInt32Type;
                $then
            }
            DataType::UInt64 => {
                type $kind = UInt64Type;
                $then
            }
            _ => $other,
        }
    };
}

/// `array.astype(to)` of a numeric array: to a float the nearest, to an integer the low bits. A float
/// that an integer type cannot hold becomes what x86 processors make of it.
pub(super) fn astype(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match to {
        DataType::Float32 => return kernels::singles(array, &Unpack::default()),
        DataType::Float64 => return kernels::doubles(array, &Unpack::default()),
        to if to.is_floating() => return cast(array, to),
        _ => {}
    }
    let bits: Vec<i64> = integers!(
        array.data_type(),
        Kind => low_bits(array.as_primitive::<Kind>()),
        {
            let doubles = cast(array, &DataType::Float64)?;
            let doubles = doubles.as_primitive::<Float64Type>().values();
            doubles.iter().map(|value| truncated(*value, to)).collect()
        }
    );
    Ok(integers!(to, Kind => Arc::new(from_bits::<Kind>(&bits)), cast(array, to)?))
}

/// An integer's bits as those of 64, sign extended.
pub(super) trait Bits: Copy {
    fn widen(self) -> i64;
    fn narrow(bits: i64) -> Self;
}

macro_rules! bits {
    ($($integer:ty),*) => {
        $(impl Bits for $integer {
            fn widen(self) -> i64 {
                self as i64
            }
            fn narrow(bits: i64) -> Self {
                bits as Self
            }
        })*
    };
}

#[expect(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    trivial_numeric_casts,
    reason = "the bits are what is asked for"
)]
mod casts {
    use super::Bits;
    bits!(i8, i16, i32, i64, u8, u16, u32, u64);
}

fn low_bits<T: ArrowPrimitiveType<Native: Bits>>(array: &PrimitiveArray<T>) -> Vec<i64> {
    array.values().iter().map(|value| value.widen()).collect()
}

fn from_bits<T: ArrowPrimitiveType<Native: Bits>>(bits: &[i64]) -> PrimitiveArray<T> {
    PrimitiveArray::from_iter_values(bits.iter().map(|bits| T::Native::narrow(*bits)))
}

/// A double towards zero. Where it does not fit, C leaves the result open; NumPy's is the "integer
/// indefinite" of x86's conversions to 32 and 64 bits.
fn truncated(value: f64, to: &DataType) -> i64 {
    let whole = crate::cf::to_integer(value).unwrap_or(i64::MIN);
    let narrow = size(to) < 4 || *to == DataType::Int32;
    if narrow && i32::try_from(whole).is_err() { i32::MIN.into() } else { whole }
}

/// The two steps of unpacking.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Multiply,
    Add,
}

/// `array *= operand` or `array += operand`, the operand an array of one: computed in the dtype of
/// both, then cast back.
pub(super) fn in_place(
    array: &ArrayRef,
    step: Step,
    operand: &ArrayRef,
) -> Result<ArrayRef, ArrowError> {
    let own = array.data_type();
    let common = promote(own, operand.data_type());
    let values = astype(array, &common)?;
    let operand = astype(operand, &common)?;
    let done = match common {
        DataType::Float32 | DataType::Float16 => {
            // NumPy computes on halves in singles, and rounds to halves after each step.
            let operand = singles(&operand)?;
            let steps = match step {
                Step::Multiply => Unpack { factor: operand, ..Unpack::default() },
                Step::Add => Unpack { offset: operand, ..Unpack::default() },
            };
            kernels::singles(&values, &steps)?
        }
        DataType::Float64 => {
            let operand = operand.as_primitive::<Float64Type>().iter().next().flatten();
            let steps = match step {
                Step::Multiply => Unpack { factor: operand, ..Unpack::default() },
                Step::Add => Unpack { offset: operand, ..Unpack::default() },
            };
            kernels::doubles(&values, &steps)?
        }
        _ => integers!(
            common,
            Kind => {
                let operand = low_bits(operand.as_primitive::<Kind>()).first().copied();
                let operand = operand.unwrap_or_default();
                let apply = |value: i64| match step {
                    Step::Multiply => value.wrapping_mul(operand),
                    Step::Add => value.wrapping_add(operand),
                };
                let values = low_bits(values.as_primitive::<Kind>());
                let values: Vec<i64> = values.into_iter().map(apply).collect();
                Arc::new(from_bits::<Kind>(&values)) as ArrayRef
            },
            values
        ),
    };
    astype(&done, own)
}

fn singles(operand: &ArrayRef) -> Result<Option<f32>, ArrowError> {
    let operand = cast(operand, &DataType::Float32)?;
    Ok(operand.as_primitive::<arrow::datatypes::Float32Type>().iter().next().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::{
        Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
    };

    /// From `numpy.result_type` of NumPy 2.4.
    #[test]
    fn dtypes_promote_as_in_numpy() {
        for (a, b, both) in [
            (Int8, UInt8, Int16),
            (Int16, UInt8, Int16),
            (Int16, UInt16, Int32),
            (Int8, UInt32, Int64),
            (Int64, UInt32, Int64),
            (Int64, UInt64, Float64),
            (UInt8, UInt32, UInt32),
            (Int8, Float16, Float16),
            (Int16, Float16, Float32),
            (UInt16, Float16, Float32),
            (Int32, Float16, Float64),
            (Int16, Float32, Float32),
            (Int32, Float32, Float64),
            (UInt64, Float32, Float64),
            (Float16, Float64, Float64),
        ] {
            assert_eq!(promote(&a, &b), both, "{a} {b}");
            assert_eq!(promote(&b, &a), both, "{b} {a}");
        }
    }

    #[test]
    fn integers_wrap_and_floats_are_cut() {
        let array: ArrayRef = Arc::new(arrow::array::Int16Array::from(vec![-1, 300]));
        let bytes = astype(&array, &UInt8).unwrap();
        assert_eq!(bytes.as_primitive::<UInt8Type>().values()[..], [255, 44]);
        let array: ArrayRef = Arc::new(arrow::array::Float64Array::from(vec![-2.9, 1e30]));
        let whole = astype(&array, &Int32).unwrap();
        assert_eq!(whole.as_primitive::<Int32Type>().values()[0], -2);
    }
}
