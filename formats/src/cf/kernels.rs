//! Loops over values: one pass through memory, in blocks that stay in the processor's cache.
#![expect(
    clippy::inline_always,
    reason = "a loop has to be inlined to be compiled for the machine's vector instructions"
)]

use crate::simd::{self, Kernel};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float32Array, Float64Array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Values of one block. A multiple of 64, so that blocks begin at whole words of a bitmap.
const BLOCK: usize = 1_024;

/// A bit per value, whether it is none that `is_fill` names; `None` where no value is.
pub(super) fn kept<T: Copy>(values: &[T], is_fill: impl Fn(T) -> bool) -> Option<BooleanBuffer> {
    let words = simd::run(Kept { values, is_fill })?;
    Some(BooleanBuffer::new(Buffer::from_vec(words), 0, values.len()))
}

/// The work of [`kept`]: words of bits.
struct Kept<'a, T, F> {
    values: &'a [T],
    is_fill: F,
}

impl<T: Copy, F: Fn(T) -> bool> Kernel for Kept<'_, T, F> {
    type Output = Option<Vec<u64>>;

    #[inline(always)]
    fn run(self) -> Option<Vec<u64>> {
        let Self { values, is_fill } = self;
        // Most data have no fill: no memory is taken before the first one is found.
        let first = first_block(values, &is_fill)?;
        let mut words = Vec::with_capacity(values.len().div_ceil(64));
        words.resize(first * (BLOCK / 64), u64::MAX);
        let (whole, rest) = values.get(first * BLOCK..).unwrap_or_default().as_chunks::<64>();
        for values in whole {
            words.push(packed(&values.map(|value| u8::from(!is_fill(value)))));
        }
        if !rest.is_empty() {
            let mut flags = [0_u8; 64];
            for (flag, value) in flags.iter_mut().zip(rest) {
                *flag = u8::from(!is_fill(*value));
            }
            words.push(packed(&flags));
        }
        Some(words)
    }
}

/// Whether any value is one that `is_fill` names.
pub(super) fn any<T: Copy>(values: &[T], is_fill: impl Fn(T) -> bool) -> bool {
    simd::run(Any { values, is_fill })
}

/// The work of [`any`].
struct Any<'a, T, F> {
    values: &'a [T],
    is_fill: F,
}

impl<T: Copy, F: Fn(T) -> bool> Kernel for Any<'_, T, F> {
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        first_block(self.values, self.is_fill).is_some()
    }
}

/// The values with NumPy's NaN in place of every other. Processors make a negative NaN of 0/0, and SQL
/// orders NaNs by their bits: negative ones below every number, and each kind a group of its own.
pub(super) fn one_nan(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float16 => {
            one_nan_of::<Float16Type>(array, <Float16Type as ArrowPrimitiveType>::Native::NAN)
        }
        DataType::Float32 => one_nan_of::<Float32Type>(array, f32::NAN),
        DataType::Float64 => one_nan_of::<Float64Type>(array, f64::NAN),
        _ => Arc::clone(array),
    }
}

fn one_nan_of<T: ArrowPrimitiveType>(array: &ArrayRef, nan: T::Native) -> ArrayRef
where
    T::Native: PartialOrd,
{
    let is_nan = |value: T::Native| value.partial_cmp(&value).is_none();
    let floats = array.as_primitive::<T>();
    if !any(floats.values(), is_nan) {
        return Arc::clone(array);
    }
    Arc::new(floats.unary::<_, T>(|value| if is_nan(value) { nan } else { value }))
}

/// The first block with a fill. Without an early exit the inner loop compiles to vector instructions.
#[inline(always)]
fn first_block<T: Copy>(values: &[T], is_fill: impl Fn(T) -> bool) -> Option<usize> {
    let any = |block: &[T]| block.iter().fold(false, |any, value| any | is_fill(*value));
    values.chunks(BLOCK).position(any)
}

/// 64 flags of 0 or 1 as bits, the first one lowest.
#[inline(always)]
fn packed(flags: &[u8; 64]) -> u64 {
    let (eights, _) = flags.as_chunks::<8>();
    eights.iter().rev().fold(0, |word, eight| {
        // Byte i holds bit i: the product moves bit 8i to bit 56 + i, and no two parts meet.
        word << 8 | (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56)
    })
}

/// A float that values unpack into.
pub(super) trait Target:
    Copy + PartialEq + std::ops::MulAssign + std::ops::AddAssign
{
    /// The NaN of NumPy.
    const NAN: Self;
}

impl Target for f32 {
    const NAN: Self = Self::NAN;
}

impl Target for f64 {
    const NAN: Self = Self::NAN;
}

/// A stored number that is converted to the nearest float.
pub(super) trait Stored<M>: Copy {
    fn convert(self) -> M;
}

macro_rules! stored {
    ($($stored:ty),*) => {
        $(
            impl Stored<f32> for $stored {
                #[inline(always)]
                fn convert(self) -> f32 {
                    self as f32
                }
            }
            impl Stored<f64> for $stored {
                #[inline(always)]
                fn convert(self) -> f64 {
                    self as f64
                }
            }
        )*
    };
}

#[expect(
    clippy::cast_lossless,
    clippy::cast_possible_truncation,
    reason = "every type is converted to the nearest float, as NumPy does"
)]
mod conversions {
    use super::Stored;
    stored!(i8, u8, i16, u16, i32, u32, i64, u64, f32, f64);
}

/// How floats come from stored numbers.
#[derive(Debug, Clone)]
pub(super) struct Unpack<M> {
    /// Values that become NaN, compared after the conversion.
    pub(super) fills: Vec<M>,
    pub(super) factor: Option<M>,
    pub(super) offset: Option<M>,
}

impl<M> Default for Unpack<M> {
    fn default() -> Self {
        Self { fills: vec![], factor: None, offset: None }
    }
}

impl<M: Target> Unpack<M> {
    /// Whether values of the result's type stay as they are.
    pub(super) fn changes_nothing(&self, stored: &[M]) -> bool {
        let masks = || match self.fills.as_slice() {
            [fill] => any(stored, |value| value == *fill),
            fills => any(stored, |value| fills.contains(&value)),
        };
        self.factor.is_none() && self.offset.is_none() && !masks()
    }

    /// Each value converted, NaN where it is a fill, multiplied, then added to: each step rounds.
    pub(super) fn apply<S: Stored<M>>(&self, stored: &[S]) -> Vec<M> {
        simd::run(Steps { unpack: self, stored })
    }
}

/// The work of [`Unpack::apply`].
struct Steps<'a, M, S> {
    unpack: &'a Unpack<M>,
    stored: &'a [S],
}

impl<M: Target, S: Stored<M>> Kernel for Steps<'_, M, S> {
    type Output = Vec<M>;

    #[inline(always)]
    fn run(self) -> Vec<M> {
        let Self { unpack, stored } = self;
        let mut unpacked: Vec<M> = Vec::with_capacity(stored.len());
        for block in stored.chunks(BLOCK) {
            let start = unpacked.len();
            unpacked.extend(block.iter().map(|value| value.convert()));
            let block = unpacked.get_mut(start..).unwrap_or_default();
            for fill in &unpack.fills {
                for value in &mut *block {
                    *value = if *value == *fill { M::NAN } else { *value };
                }
            }
            if let Some(factor) = unpack.factor {
                for value in &mut *block {
                    *value *= factor;
                }
            }
            if let Some(offset) = unpack.offset {
                for value in block {
                    *value += offset;
                }
            }
        }
        unpacked
    }
}

/// Runs the steps over the values of a numeric array, whatever its type.
macro_rules! unpack {
    ($stored:expr, $steps:expr; $($variant:ident => $kind:ty),*) => {
        match $stored.data_type() {
            $(DataType::$variant => $steps.apply($stored.as_primitive::<$kind>().values()),)*
            // Halves, which floats hold exactly.
            _ => {
                let singles = cast($stored, &DataType::Float32)?;
                $steps.apply(singles.as_primitive::<Float32Type>().values())
            }
        }
    };
}

macro_rules! unpack_numbers {
    ($stored:expr, $steps:expr) => {
        unpack!(
            $stored, $steps;
            Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
            UInt8 => UInt8Type, UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type,
            Float32 => Float32Type, Float64 => Float64Type
        )
    };
}

/// Stored numbers as f4. NULLs stay.
pub(super) fn singles(stored: &ArrayRef, steps: &Unpack<f32>) -> Result<ArrayRef, ArrowError> {
    let values = unpack_numbers!(stored, steps);
    Ok(Arc::new(Float32Array::try_new(values.into(), stored.nulls().cloned())?))
}

/// Stored numbers as f8. NULLs stay.
pub(super) fn doubles(stored: &ArrayRef, steps: &Unpack<f64>) -> Result<ArrayRef, ArrowError> {
    let values = unpack_numbers!(stored, steps);
    Ok(Arc::new(Float64Array::try_new(values.into(), stored.nulls().cloned())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_are_those_of_a_plain_loop(values in prop::collection::vec(0_u8..4, 0..3_000), fill in 0_u8..6) {
            let expected: Vec<bool> = values.iter().map(|value| *value != fill).collect();
            match kept(&values, |value| value == fill) {
                None => prop_assert!(expected.iter().all(|kept| *kept)),
                Some(bits) => prop_assert_eq!(bits.iter().collect::<Vec<_>>(), expected),
            }
        }
    }

    #[test]
    fn no_bitmap_is_made_where_nothing_is_masked() {
        assert!(kept(&vec![1_u8; 5_000], |value| value == 2).is_none());
        let mut late = vec![1_u8; 5_000];
        late[4_999] = 2;
        let bits = kept(&late, |value| value == 2).unwrap();
        assert_eq!((bits.len(), bits.count_set_bits()), (5_000, 4_999));
        assert!(!bits.value(4_999));
    }

    #[test]
    fn there_is_one_nan() {
        let kinds = [0x7fc0_0000_u32, 0xffc0_0000, 0x7f80_0001, 0xffff_ffff];
        let singles = Float32Array::from_iter_values(kinds.map(f32::from_bits));
        let (of_singles, of_halves) = (one_nan(&(Arc::new(singles.clone()) as ArrayRef)), {
            let halves = cast(&singles, &DataType::Float16).unwrap();
            one_nan(&halves)
        });
        let of_singles = of_singles.as_primitive::<Float32Type>().values();
        assert!(of_singles.iter().all(|value| value.to_bits() == 0x7fc0_0000));
        let of_halves = of_halves.as_primitive::<Float16Type>().values();
        assert!(of_halves.iter().all(|value| value.to_bits() == 0x7e00));
        let doubles: ArrayRef =
            Arc::new(Float64Array::from(vec![Some(-f64::NAN), None, Some(-0.0)]));
        let of_doubles = one_nan(&doubles);
        let of_doubles = of_doubles.as_primitive::<Float64Type>();
        assert_eq!(of_doubles.value(0).to_bits(), f64::NAN.to_bits());
        assert_eq!(of_doubles.value(2).to_bits(), (-0.0_f64).to_bits());
        assert!(of_doubles.is_null(1) && of_doubles.null_count() == 1);
    }

    #[test]
    fn steps_round_one_after_the_other() {
        let unpack = Unpack { fills: vec![7.0, 9.0], factor: Some(0.01_f32), offset: Some(273.15) };
        let found = unpack.apply(&[12_345_i16, 7, 32_767, 9]);
        assert_eq!((found[0], found[2]), (396.599_98, 600.819_95));
        assert!(found[1].is_nan() && found[3].is_nan());
        let plain = Unpack::<f64> { fills: vec![], factor: None, offset: None };
        assert_eq!(plain.apply(&[u64::MAX]), [18_446_744_073_709_551_615.0]);
    }
}
