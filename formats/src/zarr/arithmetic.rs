//! The filters of numcodecs that calculate: `delta` and `fixedscaleoffset`.
//!
//! Format: numcodecs, `delta.py` and `fixedscaleoffset.py`, with NumPy's arithmetic: integers wrap,
//! floats of four bytes are rounded at each step.

use super::element::{Element, Kind, to_single};
use super::json::Json;
use crate::elements::ByteOrder;
use arrow::datatypes::DataType;

/// A type of numbers as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    data_type: DataType,
    size: usize,
    order: ByteOrder,
}

impl Numbers {
    /// # Errors
    /// What is not supported.
    pub(crate) fn new(dtype: &Json) -> Result<Self, String> {
        let element = Element::of_version_2(dtype, &[])?;
        match element.kind {
            Kind::Number(data_type) if data_type != DataType::Float16 => {
                Ok(Self { data_type, size: element.size, order: element.order })
            }
            _ => Err(format!("a filter of the data type {dtype}")),
        }
    }

    /// Bytes of a number.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    fn is_float(&self) -> bool {
        self.data_type.is_floating()
    }

    /// The bits of a number, in 64 bits.
    fn bits(&self, word: &[u8]) -> u64 {
        let shifted = |bits: u64, byte: &u8| (bits << 8) | u64::from(*byte);
        match self.order {
            ByteOrder::Big => word.iter().fold(0, shifted),
            ByteOrder::Little => word.iter().rev().fold(0, shifted),
        }
    }

    /// An integer, sign-extended, as it wraps in 64 bits.
    fn integer(&self, word: &[u8]) -> u64 {
        let bits = self.bits(word);
        let signed = self.data_type.is_signed_integer();
        let free = u32::try_from(64 - 8 * self.size.min(8)).unwrap_or(0);
        if signed { ((bits << free).cast_signed() >> free).cast_unsigned() } else { bits }
    }

    fn float(&self, word: &[u8]) -> f64 {
        match self.data_type {
            DataType::Float32 => {
                f64::from(f32::from_bits(u32::try_from(self.bits(word)).unwrap_or(0)))
            }
            DataType::Float64 => f64::from_bits(self.bits(word)),
            _ if self.data_type.is_signed_integer() => self.integer(word).cast_signed() as f64,
            _ => self.integer(word) as f64,
        }
    }

    fn write(&self, bits: u64, word: &mut [u8]) {
        let bytes = bits.to_le_bytes();
        match self.order {
            ByteOrder::Little => word.iter_mut().zip(bytes).for_each(|(to, from)| *to = from),
            ByteOrder::Big => word.iter_mut().rev().zip(bytes).for_each(|(to, from)| *to = from),
        }
    }

    /// A number of NumPy's `astype`: floats rounded, integers cut.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cutting off the fraction is what is wanted"
    )]
    #[expect(clippy::cast_sign_loss, reason = "only values that do not fit change their sign")]
    fn write_float(&self, value: f64, word: &mut [u8]) {
        let bits = match self.data_type {
            DataType::Float32 => u64::from(to_single(value).to_bits()),
            DataType::Float64 => value.to_bits(),
            _ if self.data_type.is_signed_integer() => (value as i64).cast_unsigned(),
            _ => value as u64,
        };
        self.write(bits, word);
    }
}

/// The sums of differences, in `output`; gives the number of bytes.
pub(crate) fn sum(
    input: &[u8],
    stored: &Numbers,
    output: &mut [u8],
    decoded: &Numbers,
) -> Option<usize> {
    let words = pairs(input, stored, output, decoded)?;
    let mut length = 0;
    if decoded.is_float() {
        let single = decoded.data_type == DataType::Float32;
        let mut total = -0.0_f64;
        for (from, to) in words {
            let next = stored.float(from);
            // A sum of two singles is exact enough in double to be rounded to single once.
            total = if single {
                f64::from(to_single(total + f64::from(to_single(next))))
            } else {
                total + next
            };
            decoded.write_float(total, to);
            length += to.len();
        }
    } else {
        let mut total = 0_u64;
        for (from, to) in words {
            total = total.wrapping_add(stored.integer(from));
            decoded.write(total, to);
            length += to.len();
        }
    }
    Some(length)
}

/// `stored / scale + offset`, in `output`; gives the number of bytes.
pub(crate) fn unscale(
    input: &[u8],
    stored: &Numbers,
    output: &mut [u8],
    decoded: &Numbers,
    scale: f64,
    offset: f64,
) -> Option<usize> {
    let single = stored.data_type == DataType::Float32;
    let rounded = |value: f64| if single { f64::from(to_single(value)) } else { value };
    let (scale, offset) = (rounded(scale), rounded(offset));
    let mut length = 0;
    for (from, to) in pairs(input, stored, output, decoded)? {
        decoded.write_float(rounded(rounded(stored.float(from) / scale) + offset), to);
        length += to.len();
    }
    Some(length)
}

/// Each stored number, and where it goes. `None` where there is no room, or are bytes too many.
fn pairs<'a>(
    input: &'a [u8],
    stored: &Numbers,
    output: &'a mut [u8],
    decoded: &Numbers,
) -> Option<impl Iterator<Item = (&'a [u8], &'a mut [u8])>> {
    let count = input.len() / stored.size;
    let fits = input.len().is_multiple_of(stored.size) && output.len() / decoded.size >= count;
    fits.then(|| input.chunks_exact(stored.size).zip(output.chunks_exact_mut(decoded.size)))
}
