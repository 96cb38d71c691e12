//! Loops over decoded values: count, sum and extremes of runs, and element by element.
//!
//! Validity comes as words of 64 bits. Words of ones, which most are, take a loop without a test;
//! others select in lanes of eight, which compiles to vector code without any instruction set beyond
//! the baseline of the target.

use arrow::datatypes::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::fmt::Debug;

const LANES: usize = 8;
/// Values of a word of validity.
const WORD: usize = 64;
/// The bit of each lane in a byte of validity.
const BITS: [u8; LANES] = [1, 2, 4, 8, 16, 32, 64, 128];

/// A number as the kernels see it.
pub(crate) trait Value: ArrowPrimitiveType {
    /// An integer that sorts as the value does. Floats sort as IEEE 754's `totalOrder`: -0 before
    /// +0, positive NaN after everything.
    type Key: Copy + Ord + Debug + Send + Sync + 'static;
    /// The key that no other is below.
    const LOWEST: Self::Key;
    /// The key that no other is above.
    const HIGHEST: Self::Key;

    /// The value's place in the order.
    fn key(value: Self::Native) -> Self::Key;
    /// The value of a key.
    fn of_key(key: Self::Key) -> Self::Native;
    /// The nearest double.
    fn double(value: Self::Native) -> f64;
    /// The value as a whole number; 0 for floats, which are never summed so.
    fn whole(value: Self::Native) -> i128;
    /// The same for types of up to 32 bits; 0 for others.
    fn narrow(value: Self::Native) -> i64;
}

macro_rules! integer {
    ($type:ty, $native:ty, $double:expr, $narrow:expr) => {
        impl Value for $type {
            type Key = $native;
            const LOWEST: $native = <$native>::MIN;
            const HIGHEST: $native = <$native>::MAX;

            #[inline]
            fn key(value: $native) -> $native {
                value
            }

            #[inline]
            fn of_key(key: $native) -> $native {
                key
            }

            #[inline]
            fn double(value: $native) -> f64 {
                $double(value)
            }

            #[inline]
            fn whole(value: $native) -> i128 {
                i128::from(value)
            }

            #[inline]
            fn narrow(value: $native) -> i64 {
                $narrow(value)
            }
        }
    };
}

integer!(Int8Type, i8, f64::from, i64::from);
integer!(Int16Type, i16, f64::from, i64::from);
integer!(Int32Type, i32, f64::from, i64::from);
integer!(Int64Type, i64, |value| value as f64, |_| 0);
integer!(UInt8Type, u8, f64::from, i64::from);
integer!(UInt16Type, u16, f64::from, i64::from);
integer!(UInt32Type, u32, f64::from, i64::from);
integer!(UInt64Type, u64, |value| value as f64, |_| 0);

macro_rules! float {
    ($type:ty, $native:ty, $bits:ty, $key:ty) => {
        impl Value for $type {
            type Key = $key;
            const LOWEST: $key = <$key>::MIN;
            const HIGHEST: $key = <$key>::MAX;

            #[inline]
            fn key(value: $native) -> $key {
                let bits = value.to_bits().cast_signed();
                bits ^ ((bits >> (<$bits>::BITS - 1)).cast_unsigned() >> 1).cast_signed()
            }

            #[inline]
            fn of_key(key: $key) -> $native {
                let bits = key ^ ((key >> (<$bits>::BITS - 1)).cast_unsigned() >> 1).cast_signed();
                <$native>::from_bits(bits.cast_unsigned())
            }

            #[inline]
            fn double(value: $native) -> f64 {
                f64::from(value)
            }

            #[inline]
            fn whole(_value: $native) -> i128 {
                0
            }

            #[inline]
            fn narrow(_value: $native) -> i64 {
                0
            }
        }
    };
}

float!(Float32Type, f32, u32, i32);
float!(Float64Type, f64, u64, i64);

/// How values are added.
pub(crate) trait Total<T: Value>: Copy + Default + Debug + Send + Sync + 'static {
    /// The sum and one more value.
    #[must_use]
    fn plus(self, value: T::Native) -> Self;
    /// Two sums as one.
    #[must_use]
    fn and(self, other: Self) -> Self;
}

/// Values as doubles.
impl<T: Value> Total<T> for f64 {
    #[inline]
    fn plus(self, value: T::Native) -> Self {
        self + T::double(value)
    }

    #[inline]
    fn and(self, other: Self) -> Self {
        self + other
    }
}

/// Integers of up to 32 bits. Of a block, which has fewer than 2^31 cells, the sum is exact.
impl<T: Value> Total<T> for i64 {
    #[inline]
    fn plus(self, value: T::Native) -> Self {
        self.wrapping_add(T::narrow(value))
    }

    #[inline]
    fn and(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

/// Integers of any width, of which no number of cells fills 128 bits.
impl<T: Value> Total<T> for i128 {
    #[inline]
    fn plus(self, value: T::Native) -> Self {
        self.wrapping_add(T::whole(value))
    }

    #[inline]
    fn and(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

/// No sum.
impl<T: Value> Total<T> for () {
    #[inline]
    fn plus(self, _value: T::Native) {}

    #[inline]
    fn and(self, _other: Self) {}
}

/// What is known of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments<T: Value, S> {
    /// How many there are.
    pub(crate) count: u64,
    /// Their sum.
    pub(crate) sum: S,
    /// Key of the least; [`Value::HIGHEST`] if there is none.
    pub(crate) least: T::Key,
    /// Key of the greatest; [`Value::LOWEST`] if there is none.
    pub(crate) greatest: T::Key,
}

impl<T: Value, S: Total<T>> Moments<T, S> {
    /// Of no value.
    pub(crate) fn none() -> Self {
        Self { count: 0, sum: S::default(), least: T::HIGHEST, greatest: T::LOWEST }
    }

    /// Of these values and those.
    pub(crate) fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.and(other.sum);
        self.least = self.least.min(other.least);
        self.greatest = self.greatest.max(other.greatest);
    }
}

/// Lanes of a run.
struct Lanes<T: Value, S> {
    sums: [S; LANES],
    least: [T::Key; LANES],
    greatest: [T::Key; LANES],
}

impl<T: Value, S: Total<T>> Lanes<T, S> {
    #[inline]
    fn all<const EXTREMES: bool>(&mut self, values: &[T::Native; LANES]) {
        for (sum, value) in self.sums.iter_mut().zip(values) {
            *sum = sum.plus(*value);
        }
        if EXTREMES {
            let extremes = self.least.iter_mut().zip(&mut self.greatest);
            for ((least, greatest), value) in extremes.zip(values) {
                let key = T::key(*value);
                *least = if key < *least { key } else { *least };
                *greatest = if key > *greatest { key } else { *greatest };
            }
        }
    }

    #[inline]
    fn some<const EXTREMES: bool>(&mut self, values: &[T::Native; LANES], valid: u8) {
        for ((sum, value), bit) in self.sums.iter_mut().zip(values).zip(BITS) {
            let value = if valid & bit == 0 { T::Native::default() } else { *value };
            *sum = sum.plus(value);
        }
        if EXTREMES {
            let extremes = self.least.iter_mut().zip(&mut self.greatest);
            for (((least, greatest), value), bit) in extremes.zip(values).zip(BITS) {
                let key = T::key(*value);
                let (low, high) =
                    if valid & bit == 0 { (T::HIGHEST, T::LOWEST) } else { (key, key) };
                *least = if low < *least { low } else { *least };
                *greatest = if high > *greatest { high } else { *greatest };
            }
        }
    }
}

/// Count, sum and (with `EXTREMES`) least and greatest of the valid values of a run.
#[inline]
pub(crate) fn run<T: Value, S: Total<T>, const EXTREMES: bool>(
    values: &[T::Native],
    validity: impl Iterator<Item = u64>,
) -> Moments<T, S> {
    let mut lanes: Lanes<T, S> = Lanes {
        sums: [S::default(); LANES],
        least: [T::HIGHEST; LANES],
        greatest: [T::LOWEST; LANES],
    };
    let mut count = 0_u64;
    for (values, valid) in values.chunks(WORD).zip(validity) {
        let (eights, rest) = values.as_chunks::<LANES>();
        if valid == u64::MAX && rest.is_empty() {
            count += values.len() as u64;
            for eight in eights {
                lanes.all::<EXTREMES>(eight);
            }
            continue;
        }
        let valid = if values.len() < WORD { valid & !(u64::MAX << values.len()) } else { valid };
        if valid == 0 {
            continue;
        }
        count += u64::from(valid.count_ones());
        let bytes = valid.to_le_bytes();
        for (eight, byte) in eights.iter().zip(bytes) {
            lanes.some::<EXTREMES>(eight, byte);
        }
        if let (false, Some(byte)) = (rest.is_empty(), bytes.get(eights.len())) {
            let mut padded = [T::Native::default(); LANES];
            for (place, value) in padded.iter_mut().zip(rest) {
                *place = *value;
            }
            lanes.some::<EXTREMES>(&padded, *byte);
        }
    }
    let mut moments: Moments<T, S> = Moments::none();
    moments.count = count;
    for ((sum, least), greatest) in lanes.sums.iter().zip(lanes.least).zip(lanes.greatest) {
        moments.sum = moments.sum.and(*sum);
        moments.least = moments.least.min(least);
        moments.greatest = moments.greatest.max(greatest);
    }
    moments
}

/// Adds the valid values of a row to sums and counts, element by element.
#[inline]
pub(crate) fn add_row<T: Value, S: Total<T>>(
    sums: &mut [S],
    counts: &mut [u64],
    values: &[T::Native],
    validity: impl Iterator<Item = u64>,
) {
    let places = sums.chunks_mut(WORD).zip(counts.chunks_mut(WORD));
    for (((sums, counts), values), valid) in places.zip(values.chunks(WORD)).zip(validity) {
        if valid == u64::MAX {
            for ((sum, count), value) in sums.iter_mut().zip(counts).zip(values) {
                *sum = sum.plus(*value);
                *count += 1;
            }
            continue;
        }
        let eights = sums.chunks_mut(LANES).zip(counts.chunks_mut(LANES));
        for (((sums, counts), values), byte) in
            eights.zip(values.chunks(LANES)).zip(valid.to_le_bytes())
        {
            for (((sum, count), value), bit) in sums.iter_mut().zip(counts).zip(values).zip(BITS) {
                let keep = byte & bit != 0;
                *sum = sum.plus(if keep { *value } else { T::Native::default() });
                *count += u64::from(keep);
            }
        }
    }
}

/// Counts the valid elements of a row, element by element.
#[inline]
pub(crate) fn count_row(counts: &mut [u64], validity: impl Iterator<Item = u64>) {
    for (counts, valid) in counts.chunks_mut(WORD).zip(validity) {
        for (counts, byte) in counts.chunks_mut(LANES).zip(valid.to_le_bytes()) {
            for (count, bit) in counts.iter_mut().zip(BITS) {
                *count += u64::from(byte & bit != 0);
            }
        }
    }
}

/// Widens least and greatest by the valid values of a row, element by element.
#[inline]
pub(crate) fn widen_row<T: Value>(
    least: &mut [T::Key],
    greatest: &mut [T::Key],
    values: &[T::Native],
    validity: impl Iterator<Item = u64>,
) {
    let places = least.chunks_mut(WORD).zip(greatest.chunks_mut(WORD));
    for (((least, greatest), values), valid) in places.zip(values.chunks(WORD)).zip(validity) {
        let eights = least.chunks_mut(LANES).zip(greatest.chunks_mut(LANES));
        for (((least, greatest), values), byte) in
            eights.zip(values.chunks(LANES)).zip(valid.to_le_bytes())
        {
            let extremes = least.iter_mut().zip(greatest);
            for (((least, greatest), value), bit) in extremes.zip(values).zip(BITS) {
                let key = T::key(*value);
                let (low, high) =
                    if byte & bit == 0 { (T::HIGHEST, T::LOWEST) } else { (key, key) };
                *least = if low < *least { low } else { *least };
                *greatest = if high > *greatest { high } else { *greatest };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::buffer::BooleanBuffer;
    use proptest::prelude::*;

    fn words(valid: &[bool]) -> Vec<u64> {
        BooleanBuffer::from(valid).bit_chunks().iter_padded().collect()
    }

    /// Values that are hard to order or to add.
    fn values() -> impl Strategy<Value = Vec<(f32, bool)>> {
        let value = prop_oneof![
            8 => (-1_000_i16..1_000).prop_map(f32::from),
            1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN, f32::MAX]),
        ];
        prop::collection::vec((value, prop::bool::weighted(0.9)), 0..300)
    }

    proptest! {
        #[test]
        fn runs_and_rows_agree_with_a_loop(values in values(), all in any::<bool>()) {
            let (numbers, mut valid): (Vec<f32>, Vec<bool>) = values.into_iter().unzip();
            if all {
                valid.fill(true);
            }
            let kept: Vec<f32> =
                numbers.iter().zip(&valid).filter(|(_, valid)| **valid).map(|(v, _)| *v).collect();
            let moments = run::<Float32Type, f64, true>(&numbers, words(&valid).into_iter());
            prop_assert_eq!(moments.count, kept.len() as u64);
            // Sums of whole numbers are exact in any order.
            let sum: f64 = kept.iter().map(|v| f64::from(*v)).sum();
            if kept.iter().all(|v| v.abs() < 1e6) {
                prop_assert!(moments.sum.total_cmp(&sum).is_eq() || moments.sum.abs() + sum.abs() <= 0.0);
            }
            if !kept.is_empty() {
                let least = kept.iter().copied().min_by(f32::total_cmp).unwrap();
                let greatest = kept.iter().copied().max_by(f32::total_cmp).unwrap();
                prop_assert_eq!(Float32Type::of_key(moments.least).to_bits(), least.to_bits());
                prop_assert_eq!(Float32Type::of_key(moments.greatest).to_bits(), greatest.to_bits());
            }
            let (mut sums, mut counts) = (vec![0.0; numbers.len()], vec![1_u64; numbers.len()]);
            add_row::<Float32Type, f64>(&mut sums, &mut counts, &numbers, words(&valid).into_iter());
            let mut least = vec![i32::MAX; numbers.len()];
            let mut greatest = vec![i32::MIN; numbers.len()];
            widen_row::<Float32Type>(&mut least, &mut greatest, &numbers, words(&valid).into_iter());
            let mut only = vec![1_u64; numbers.len()];
            count_row(&mut only, words(&valid).into_iter());
            for (place, (number, valid)) in numbers.iter().zip(&valid).enumerate() {
                prop_assert_eq!(counts[place], 1 + u64::from(*valid));
                prop_assert_eq!(only[place], counts[place]);
                let expected = if *valid { f64::from(*number) } else { 0.0 };
                prop_assert_eq!((sums[place] + 0.0).to_bits(), (expected + 0.0).to_bits());
                if *valid {
                    prop_assert_eq!(Float32Type::of_key(least[place]).to_bits(), number.to_bits());
                    prop_assert_eq!(least[place], greatest[place]);
                } else {
                    prop_assert_eq!((least[place], greatest[place]), (i32::MAX, i32::MIN));
                }
            }
        }

        #[test]
        fn sums_of_integers_are_exact(
            values in prop::collection::vec(any::<u64>(), 0..100),
            narrow in prop::collection::vec(any::<i32>(), 0..200),
        ) {
            let moments = run::<Int32Type, i64, true>(&narrow, std::iter::repeat(u64::MAX));
            prop_assert_eq!(moments.sum, narrow.iter().map(|value| i64::from(*value)).sum::<i64>());
            let moments = run::<UInt64Type, i128, true>(&values, std::iter::repeat(u64::MAX));
            let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
            prop_assert_eq!(moments.sum, sum);
            prop_assert_eq!(moments.least, values.iter().copied().min().unwrap_or(u64::MAX));
        }
    }
}
