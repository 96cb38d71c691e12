//! HDF5 datatypes, and what they are in Arrow.
//!
//! Format: HDF5 file format specification, IV.A.2.d, "The Datatype Message". Parsed here from the
//! stored bytes, so that bit offsets, precisions and exotic floats are seen and not misread.

use crate::cursor::Cursor;
use crate::elements::{self, ByteOrder};
use arrow::datatypes::{DataType, Field, Fields};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Deepest nesting of compound, array, enumeration and variable-length types.
const MAX_DEPTH: usize = 32;

/// How a fixed-length string ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Padding {
    NullTerminated,
    NullPadded,
    SpacePadded,
}

/// A floating-point format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FloatFormat {
    Half,
    BFloat16,
    Single,
    Double,
}

/// A field of a compound type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) offset: usize,
    pub(crate) datatype: Datatype,
}

/// The type of the elements of a dataset or attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Datatype {
    /// `precision` bits from bit `offset` of `size` bytes.
    Integer {
        size: usize,
        signed: bool,
        order: ByteOrder,
        offset: u16,
        precision: u16,
    },
    Float {
        format: FloatFormat,
        order: ByteOrder,
    },
    /// Bits as an unsigned integer of this many bytes.
    Bitfield {
        size: usize,
        order: ByteOrder,
    },
    FixedString {
        size: usize,
        padding: Padding,
    },
    VariableString {
        size: usize,
    },
    Opaque {
        size: usize,
    },
    Compound {
        size: usize,
        members: Vec<Member>,
    },
    /// FALSE and TRUE, stored as an integer.
    Boolean {
        base: Box<Datatype>,
    },
    Array {
        base: Box<Datatype>,
        lengths: Vec<usize>,
    },
    /// A sequence of any length, in the global heap.
    Variable {
        size: usize,
        base: Box<Datatype>,
    },
    /// Object address.
    ObjectReference {
        size: usize,
    },
    /// An object and a selection of it, in the global heap.
    RegionReference {
        size: usize,
    },
    /// Not read, for the reason given.
    Unreadable {
        size: usize,
        reason: String,
    },
}

impl Datatype {
    /// Parses the body of a datatype message; `None` where it breaks off or contradicts itself.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        parse(&mut Cursor::new(bytes), 0)
    }

    /// Bytes of one element in the file.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Integer { size, .. }
            | Self::Bitfield { size, .. }
            | Self::FixedString { size, .. }
            | Self::VariableString { size }
            | Self::Opaque { size }
            | Self::Compound { size, .. }
            | Self::Variable { size, .. }
            | Self::ObjectReference { size }
            | Self::RegionReference { size }
            | Self::Unreadable { size, .. } => *size,
            Self::Float { format: FloatFormat::Half | FloatFormat::BFloat16, .. } => 2,
            Self::Float { format: FloatFormat::Single, .. } => 4,
            Self::Float { format: FloatFormat::Double, .. } => 8,
            Self::Boolean { base } => base.size(),
            Self::Array { base, lengths } => lengths.iter().product::<usize>() * base.size(),
        }
    }

    /// The type in Arrow.
    ///
    /// # Errors
    /// The reason why it is not read.
    pub(crate) fn data_type(&self) -> Result<DataType, String> {
        Ok(match self {
            Self::Integer { size, signed, .. } => {
                integer(*size, *signed).ok_or_else(|| format!("an integer of {size} bytes"))?
            }
            Self::Bitfield { size, .. } => {
                integer(*size, false).ok_or_else(|| format!("a bit field of {size} bytes"))?
            }
            Self::Float { format: FloatFormat::Half, .. } => DataType::Float16,
            Self::Float { format: FloatFormat::BFloat16 | FloatFormat::Single, .. } => {
                DataType::Float32
            }
            Self::Float { format: FloatFormat::Double, .. } => DataType::Float64,
            Self::FixedString { .. } | Self::VariableString { .. } => DataType::Utf8,
            // What they refer to, by its path.
            Self::ObjectReference { .. } | Self::RegionReference { .. } => DataType::Utf8,
            Self::Opaque { size } => DataType::FixedSizeBinary(
                i32::try_from(*size).map_err(|_| format!("an opaque type of {size} bytes"))?,
            ),
            Self::Compound { members, .. } => {
                let fields = members
                    .iter()
                    .map(|member| Ok(Field::new(&member.name, member.datatype.data_type()?, true)))
                    .collect::<Result<Fields, String>>()?;
                DataType::Struct(fields)
            }
            Self::Boolean { .. } => DataType::Boolean,
            Self::Array { base, lengths } => {
                lengths.iter().rev().try_fold(base.data_type()?, |inner, length| {
                    let length = i32::try_from(*length)
                        .map_err(|_| format!("an array type of {length} elements"))?;
                    let item = Arc::new(Field::new_list_field(inner, true));
                    Ok::<_, String>(DataType::FixedSizeList(item, length))
                })?
            }
            Self::Variable { base, .. } => {
                DataType::List(Arc::new(Field::new_list_field(base.data_type()?, true)))
            }
            Self::Unreadable { reason, .. } => return Err(reason.clone()),
        })
    }

    /// Whether values mean something only in the file where they are stored.
    pub(crate) fn refers(&self) -> bool {
        match self {
            Self::ObjectReference { .. } => true,
            Self::Array { base, .. } => base.refers(),
            Self::Compound { members, .. } => members.iter().any(|m| m.datatype.refers()),
            other => other.is_variable(),
        }
    }

    /// Whether values lie in the global heap, so that the stored bytes are only references.
    pub(crate) fn is_variable(&self) -> bool {
        match self {
            Self::VariableString { .. } | Self::Variable { .. } | Self::RegionReference { .. } => {
                true
            }
            Self::Array { base, .. } => base.is_variable(),
            Self::Compound { members, .. } => members.iter().any(|m| m.datatype.is_variable()),
            _ => false,
        }
    }
}

/// The Arrow integer that holds this many bytes.
fn integer(size: usize, signed: bool) -> Option<DataType> {
    Some(match (size, signed) {
        (1, true) => DataType::Int8,
        (2, true) => DataType::Int16,
        (3..=4, true) => DataType::Int32,
        (5..=8, true) => DataType::Int64,
        (1, false) => DataType::UInt8,
        (2, false) => DataType::UInt16,
        (3..=4, false) => DataType::UInt32,
        (5..=8, false) => DataType::UInt64,
        _ => return None,
    })
}

fn parse(cursor: &mut Cursor<'_>, depth: usize) -> Option<Datatype> {
    if depth > MAX_DEPTH {
        return None;
    }
    let class_and_version = cursor.u8()?;
    let (class, version) = (class_and_version & 0x0f, class_and_version >> 4);
    let flags = u32::try_from(cursor.uint_le(3)?).ok()?;
    let size = usize::try_from(cursor.u32_le()?).ok().filter(|size| *size > 0)?;
    let order = if flags & 1 == 0 { ByteOrder::Little } else { ByteOrder::Big };
    let unreadable = |reason: String| Some(Datatype::Unreadable { size, reason });
    match class {
        0 => {
            let (offset, precision) = (cursor.u16_le()?, cursor.u16_le()?);
            let bits = size.checked_mul(8)?;
            let used = usize::from(offset) + usize::from(precision);
            if precision == 0 || used > bits {
                return None;
            }
            Some(Datatype::Integer { size, signed: flags & 8 != 0, order, offset, precision })
        }
        1 => float(cursor, size, flags, order),
        2 => {
            cursor.u16_le()?;
            unreadable("HDF5's time type (H5T_TIME)".to_owned())
        }
        3 => {
            let padding = match flags & 0x0f {
                0 => Padding::NullTerminated,
                1 => Padding::NullPadded,
                2 => Padding::SpacePadded,
                other => return unreadable(format!("strings with padding {other}")),
            };
            Some(Datatype::FixedString { size, padding })
        }
        4 => {
            cursor.take(4)?;
            Some(Datatype::Bitfield { size, order })
        }
        5 => {
            let tag = usize::try_from(flags & 0xff).ok()?;
            cursor.take(tag.checked_next_multiple_of(8)?)?;
            Some(Datatype::Opaque { size })
        }
        6 => compound(cursor, size, flags, version, depth),
        7 => match flags & 0x0f {
            0 => Some(Datatype::ObjectReference { size }),
            1 => Some(Datatype::RegionReference { size }),
            _ => unreadable("a reference of HDF5 1.12 (H5T_STD_REF)".to_owned()),
        },
        8 => enumeration(cursor, flags, version, depth),
        9 => {
            let base = parse(cursor, depth + 1)?;
            match flags & 0x0f {
                0 => Some(Datatype::Variable { size, base: Box::new(base) }),
                1 => Some(Datatype::VariableString { size }),
                other => unreadable(format!("a variable-length type of kind {other}")),
            }
        }
        10 => array(cursor, version, depth),
        11 => unreadable("HDF5 2's complex numbers".to_owned()),
        other => unreadable(format!("datatype class {other}")),
    }
}

fn float(cursor: &mut Cursor<'_>, size: usize, flags: u32, order: ByteOrder) -> Option<Datatype> {
    let (offset, precision) = (cursor.u16_le()?, cursor.u16_le()?);
    let exponent = (cursor.u8()?, cursor.u8()?);
    let mantissa = (cursor.u8()?, cursor.u8()?);
    let bias = cursor.u32_le()?;
    let vax = flags & 0x40 != 0;
    let implied_bit = (flags >> 4) & 3 == 2;
    let sign = (flags >> 8) & 0xff;
    let format = match (size, precision, sign, exponent, mantissa, bias) {
        (2, 16, 15, (10, 5), (0, 10), 15) => Some(FloatFormat::Half),
        (2, 16, 15, (7, 8), (0, 7), 127) => Some(FloatFormat::BFloat16),
        (4, 32, 31, (23, 8), (0, 23), 127) => Some(FloatFormat::Single),
        (8, 64, 63, (52, 11), (0, 52), 1023) => Some(FloatFormat::Double),
        _ => None,
    };
    Some(match format {
        Some(format) if offset == 0 && implied_bit && !vax => Datatype::Float { format, order },
        _ => Datatype::Unreadable {
            size,
            reason: format!("a floating-point format of {precision} bits in {size} bytes"),
        },
    })
}

/// The name of a member or of an enumeration's value: padded to eight bytes before version 3.
fn name(cursor: &mut Cursor<'_>, version: u8) -> Option<String> {
    let start = cursor.position();
    let name = elements::text(cursor.until_nul()?);
    if version < 3 {
        let used = cursor.position() - start;
        cursor.take(used.checked_next_multiple_of(8)? - used)?;
    }
    Some(name)
}

fn compound(
    cursor: &mut Cursor<'_>,
    size: usize,
    flags: u32,
    version: u8,
    depth: usize,
) -> Option<Datatype> {
    let offset_bytes = match size {
        _ if version < 3 => 4,
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xff_ffff => 3,
        _ => 4,
    };
    let mut members: Vec<Member> = Vec::new();
    for _ in 0..flags & 0xffff {
        let name = name(cursor, version)?;
        let offset = usize::try_from(cursor.uint_le(offset_bytes)?).ok()?;
        let mut lengths = Vec::new();
        if version == 1 {
            // Rank, 3 reserved, permutation, 4 reserved, and always four lengths.
            let rank = cursor.u8()?;
            cursor.take(11)?;
            let all = [cursor.u32_le()?, cursor.u32_le()?, cursor.u32_le()?, cursor.u32_le()?];
            let used = all.get(..usize::from(rank))?;
            lengths = used.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<_>>()?;
        }
        let base = parse(cursor, depth + 1)?;
        let datatype = if lengths.is_empty() { base } else { array_of(base, lengths)? };
        if offset.checked_add(datatype.size())? > size {
            return None;
        }
        if members.iter().any(|other| other.name == name) {
            return None;
        }
        members.push(Member { name, offset, datatype });
    }
    Some(Datatype::Compound { size, members })
}

/// An enumeration is its integer; FALSE = 0 and TRUE = 1, as h5py writes them, are Boolean.
fn enumeration(cursor: &mut Cursor<'_>, flags: u32, version: u8, depth: usize) -> Option<Datatype> {
    let base = parse(cursor, depth + 1)?;
    let count = usize::try_from(flags & 0xffff).ok()?;
    let names: Vec<String> = (0..count).map(|_| name(cursor, version)).collect::<Option<_>>()?;
    let values: Vec<&[u8]> = (0..count).map(|_| cursor.take(base.size())).collect::<Option<_>>()?;
    let named = |wanted: &str, value: u8| {
        let found = names.iter().position(|name| name == wanted).and_then(|at| values.get(at));
        found.is_some_and(|bytes| {
            bytes.iter().map(|b| u32::from(*b)).sum::<u32>() == u32::from(value)
        })
    };
    let boolean = count == 2 && base.size() == 1 && named("FALSE", 0) && named("TRUE", 1);
    Some(if boolean { Datatype::Boolean { base: Box::new(base) } } else { base })
}

fn array(cursor: &mut Cursor<'_>, version: u8, depth: usize) -> Option<Datatype> {
    let rank = usize::from(cursor.u8()?);
    if version < 3 {
        cursor.take(3)?;
    }
    let lengths = (0..rank)
        .map(|_| usize::try_from(cursor.u32_le()?).ok())
        .collect::<Option<Vec<usize>>>()?;
    if version < 3 {
        cursor.take(rank.checked_mul(4)?)?;
    }
    array_of(parse(cursor, depth + 1)?, lengths)
}

fn array_of(base: Datatype, lengths: Vec<usize>) -> Option<Datatype> {
    let size = lengths.iter().try_fold(base.size(), |size, length| size.checked_mul(*length))?;
    // The size of an element is a 32-bit number in the file.
    (size > 0 && u32::try_from(size).is_ok())
        .then(|| Datatype::Array { base: Box::new(base), lengths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_known_by_their_bits_and_not_by_their_size() {
        let message = |order: u8, fields: [u8; 4], bias: u32, size: u8| {
            let bits = size * 8;
            let mut bytes = vec![0x11, 0x20 | order, bits - 1, 0, size, 0, 0, 0, 0, 0, bits, 0];
            bytes.extend(fields);
            bytes.extend(bias.to_le_bytes());
            Datatype::parse(&bytes).unwrap().data_type()
        };
        assert_eq!(message(0, [10, 5, 0, 10], 15, 2), Ok(DataType::Float16));
        assert_eq!(message(1, [7, 8, 0, 7], 127, 2), Ok(DataType::Float32));
        assert_eq!(message(0, [52, 11, 0, 52], 1023, 8), Ok(DataType::Float64));
        assert!(message(0, [112, 15, 0, 112], 16383, 16).is_err());
        assert!(message(0x40, [23, 8, 0, 23], 127, 4).is_err(), "VAX order");
    }

    #[test]
    fn a_type_that_breaks_off_is_refused() {
        let integer = [0x10, 0x08, 0, 0, 4, 0, 0, 0, 0, 0, 32, 0];
        assert!(Datatype::parse(&integer).is_some());
        for length in 0..integer.len() {
            assert_eq!(Datatype::parse(&integer[..length]), None);
        }
        // 33 bits of 4 bytes.
        assert_eq!(Datatype::parse(&[0x10, 0x08, 0, 0, 4, 0, 0, 0, 0, 0, 33, 0]), None);
    }
}
