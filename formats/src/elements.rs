//! Bytes of numbers → Arrow arrays.

use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::buffer::MutableBuffer;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// Most bytes one read may ask for: a file may declare any shape, so this is checked before memory
/// is taken. Callers read larger arrays in parts.
pub(crate) const MAX_REGION_BYTES: u64 = 4 << 30;

/// Order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    if order != ByteOrder::NATIVE && size > 1 {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
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
    let data = ArrayData::builder(data_type).len(length).add_buffer(bytes.into()).build()?;
    Ok(make_array(data))
}

/// Text from a file: UTF-8, or Latin-1 where the bytes are no UTF-8 (old files carry degree signs
/// and accents so).
pub(crate) fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes)
        .map_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect(), str::to_owned)
}
