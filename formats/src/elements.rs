//! Bytes of numbers → Arrow arrays.
#![expect(
    clippy::inline_always,
    reason = "a loop has to be inlined to be compiled for the machine's vector instructions"
)]

use crate::simd::{self, Kernel};
use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::buffer::MutableBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

/// Most bytes one read may ask for: a file may declare any shape, so this is checked before memory
/// is taken. Callers read larger arrays in parts.
pub(crate) const MAX_REGION_BYTES: u64 = 4 << 30;

/// Order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// Order of this machine.
    pub(crate) const NATIVE: Self =
        if cfg!(target_endian = "big") { Self::Big } else { Self::Little };
}

/// Turns numbers of `size` bytes into this machine's order, in place.
pub(crate) fn to_native(bytes: &mut [u8], size: usize, order: ByteOrder) {
    if order == ByteOrder::NATIVE {
        return;
    }
    match size {
        0 | 1 => {}
        2 => simd::run(Swap::<2>(bytes)),
        4 => simd::run(Swap::<4>(bytes)),
        8 => simd::run(Swap::<8>(bytes)),
        _ => bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse),
    }
}

/// Reverses the bytes of each number.
struct Swap<'a, const SIZE: usize>(&'a mut [u8]);

impl<const SIZE: usize> Kernel for Swap<'_, SIZE> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.0.as_chunks_mut::<SIZE>().0.iter_mut().for_each(|number| number.reverse());
    }
}

/// Big-endian numbers that become native ones as they arrive, in memory that is not cleared first.
#[derive(Debug)]
pub(crate) enum BigEndian {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
    Eight(Vec<u64>),
}

impl BigEndian {
    /// Room for `count` numbers of `size` bytes, which is 1, 2, 4 or 8.
    pub(crate) fn with_capacity(size: usize, count: usize) -> Self {
        match size {
            2 => Self::Two(Vec::with_capacity(count)),
            4 => Self::Four(Vec::with_capacity(count)),
            8 => Self::Eight(Vec::with_capacity(count)),
            _ => Self::One(Vec::with_capacity(count)),
        }
    }

    /// Adds numbers.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::One(numbers) => numbers.extend_from_slice(bytes),
            Self::Two(numbers) => {
                simd::run(Extend(numbers, bytes.as_chunks().0, u16::from_be_bytes));
            }
            Self::Four(numbers) => {
                simd::run(Extend(numbers, bytes.as_chunks().0, u32::from_be_bytes));
            }
            Self::Eight(numbers) => {
                simd::run(Extend(numbers, bytes.as_chunks().0, u64::from_be_bytes));
            }
        }
    }

    /// All that was added.
    pub(crate) fn into_native(self) -> MutableBuffer {
        match self {
            Self::One(numbers) => numbers.into(),
            Self::Two(numbers) => numbers.into(),
            Self::Four(numbers) => numbers.into(),
            Self::Eight(numbers) => numbers.into(),
        }
    }
}

/// Adds numbers made of bytes.
struct Extend<'a, const SIZE: usize, T, F>(&'a mut Vec<T>, &'a [[u8; SIZE]], F);

impl<const SIZE: usize, T, F: Fn([u8; SIZE]) -> T> Kernel for Extend<'_, SIZE, T, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        self.0.extend(self.1.iter().map(|bytes| self.2(*bytes)));
    }
}

/// An array of a fixed-width type over native bytes, without NULLs.
///
/// # Errors
/// If there are fewer bytes than `length` values take.
pub(crate) fn fixed_width(
    data_type: DataType,
    bytes: MutableBuffer,
    length: usize,
) -> Result<ArrayRef, ArrowError> {
    // Bytes that come as they are in the file may, on some allocators, lie at an odd address.
    let data = ArrayData::builder(data_type)
        .len(length)
        .add_buffer(bytes.into())
        .align_buffers(true)
        .build()?;
    Ok(make_array(data))
}

/// Text from a file: UTF-8, or Latin-1 where the bytes are no UTF-8 (old files carry degree signs
/// and accents so).
pub(crate) fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_are_turned_round_wherever_they_are(
            bytes in prop::collection::vec(any::<u8>(), 0..1500),
            size in prop::sample::select(vec![1_usize, 2, 3, 4, 8, 12]),
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = &bytes[..bytes.len() / size * size];
            let expected: Vec<u8> =
                bytes.chunks(size).flat_map(|number| number.iter().rev().copied()).collect();
            let foreign = match ByteOrder::NATIVE {
                ByteOrder::Little => ByteOrder::Big,
                ByteOrder::Big => ByteOrder::Little,
            };
            let mut turned = bytes.to_vec();
            to_native(&mut turned, size, foreign);
            prop_assert_eq!(&turned, &expected);
            to_native(&mut turned, size, ByteOrder::NATIVE);
            prop_assert_eq!(&turned, &expected);
            if [1, 2, 4, 8].contains(&size) {
                let middle = cut.index(bytes.len() / size + 1) * size;
                let mut numbers = BigEndian::with_capacity(size, bytes.len() / size);
                numbers.push(&bytes[..middle]);
                numbers.push(&bytes[middle..]);
                let native = numbers.into_native();
                let expected = if cfg!(target_endian = "big") { bytes } else { &expected };
                prop_assert_eq!(native.as_slice(), expected);
            }
        }
    }
}
