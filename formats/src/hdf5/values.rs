//! Stored elements → Arrow arrays.

use super::attribute::{address, trim};
use super::datatype::{Datatype, FloatFormat, Member, Padding};
use super::heap::{Heap, Reference};
use super::index::Frame;
use super::selection::Selection;
use crate::cursor::Cursor;
use crate::elements::{self, ByteOrder, MAX_REGION_BYTES};
use crate::error::FormatError;
use arrow::array::{
    ArrayRef, BooleanArray, FixedSizeListArray, ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::{MutableBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use std::collections::HashMap;
use std::sync::Arc;

/// Where values come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) location: &'a str,
    pub(super) path: &'a str,
    /// What of the file they refer to; numbers refer to nothing.
    pub(super) around: Option<Around<'a>>,
}

/// What stored values refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) frame: Frame,
    /// The heaps of the values at hand.
    pub(super) heap: &'a Heap,
    /// The path of each object, by its address.
    pub(super) objects: &'a HashMap<u64, String>,
}

impl<'a> Place<'a> {
    fn corrupt(self, problem: impl Into<String>) -> FormatError {
        FormatError::corrupt(self.location, self.path, problem)
    }

    fn around(self) -> Result<Around<'a>, FormatError> {
        self.around.ok_or_else(|| self.corrupt("what it refers to was not read"))
    }

    fn too_large(self, needed: u64) -> FormatError {
        FormatError::TooLarge {
            location: self.location.to_owned(),
            place: self.path.to_owned(),
            what: "one read (ask for a smaller region)".to_owned(),
            needed,
            limit: MAX_REGION_BYTES,
        }
    }
}

/// `count` elements as an array.
pub(super) fn array(
    place: Place<'_>,
    datatype: &Datatype,
    mut bytes: MutableBuffer,
    count: usize,
) -> Result<ArrayRef, FormatError> {
    let unsupported = |feature: String| FormatError::Unsupported {
        location: place.location.to_owned(),
        place: place.path.to_owned(),
        feature,
    };
    let data_type = datatype.data_type().map_err(unsupported)?;
    let size = datatype.size();
    match datatype {
        Datatype::Integer { size, signed, order, offset, precision } => {
            elements::to_native(&mut bytes, *size, *order);
            if usize::from(*precision) != size * 8 || !matches!(size, 1 | 2 | 4 | 8) {
                bytes = widen(&bytes, *size, *signed, *offset, *precision);
            }
            Ok(elements::fixed_width(data_type, bytes, count)?)
        }
        Datatype::Bitfield { size, order } => {
            elements::to_native(&mut bytes, *size, *order);
            if !matches!(size, 1 | 2 | 4 | 8) {
                let bits = u16::try_from(size * 8).unwrap_or(64);
                bytes = widen(&bytes, *size, false, 0, bits);
            }
            Ok(elements::fixed_width(data_type, bytes, count)?)
        }
        Datatype::Float { format: FloatFormat::BFloat16, order } => {
            elements::to_native(&mut bytes, 2, *order);
            // The upper half of a single.
            let mut singles = MutableBuffer::with_capacity(count.saturating_mul(4));
            for half in bytes.as_slice().chunks_exact(2) {
                let bits: u32 = match half {
                    [a, b] => u16::from_ne_bytes([*a, *b]).into(),
                    _ => 0,
                };
                singles.push(f32::from_bits(bits << 16));
            }
            Ok(elements::fixed_width(data_type, singles, count)?)
        }
        Datatype::Float { order, .. } => {
            elements::to_native(&mut bytes, size, *order);
            Ok(elements::fixed_width(data_type, bytes, count)?)
        }
        Datatype::Opaque { .. } => Ok(elements::fixed_width(data_type, bytes, count)?),
        Datatype::Boolean { .. } => {
            let values = bytes.as_slice().chunks_exact(size.max(1));
            let values: Vec<bool> = values.map(|value| value.iter().any(|b| *b != 0)).collect();
            Ok(Arc::new(BooleanArray::from(values)))
        }
        Datatype::FixedString { padding, .. } => {
            let texts = bytes.as_slice().chunks_exact(size).map(|text| Ok(trim(text, *padding)));
            strings(place, texts, count)
        }
        Datatype::VariableString { .. } => {
            let heap = place.around()?.heap;
            let texts = bytes.as_slice().chunks_exact(size).map(|reference| {
                let text =
                    heap.sequence(reference, 1).map_err(|damaged| place.corrupt(damaged.0))?;
                Ok(trim(text, Padding::NullTerminated))
            });
            strings(place, texts, count)
        }
        Datatype::ObjectReference { .. } => {
            let Around { frame, objects, .. } = place.around()?;
            let texts = bytes.as_slice().chunks_exact(size);
            let texts = texts.map(|reference| Some(object(objects, address(reference, frame)?)));
            Ok(Arc::new(texts.collect::<StringArray>()))
        }
        Datatype::RegionReference { .. } => {
            let around = place.around()?;
            let references = bytes.as_slice().chunks_exact(size);
            let texts = references.map(|reference| region(place, around, reference));
            Ok(Arc::new(texts.collect::<Result<StringArray, _>>()?))
        }
        Datatype::Compound { size, members } => {
            compound(place, &bytes, (*size, members), &data_type, count)
        }
        Datatype::Array { base, lengths } => {
            let inner = lengths.iter().try_fold(count, |n, length| n.checked_mul(*length));
            let inner = inner.ok_or_else(|| place.too_large(u64::MAX))?;
            let values = array(place, base, bytes, inner)?;
            nest(values, lengths)
        }
        Datatype::Variable { base, .. } => lists(place, &bytes, size, base, &data_type, count),
        Datatype::Unreadable { reason, .. } => Err(unsupported(reason.clone())),
    }
}

/// Integers that use only some of their bits, or an odd number of bytes, as whole ones.
fn widen(bytes: &[u8], size: usize, signed: bool, offset: u16, precision: u16) -> MutableBuffer {
    let width = size.next_power_of_two();
    let mut wide = MutableBuffer::with_capacity(bytes.len().saturating_mul(2));
    let spare = 64 - u32::from(precision.clamp(1, 64));
    for element in bytes.chunks_exact(size.max(1)) {
        let native = element.iter();
        let bits = match ByteOrder::NATIVE {
            ByteOrder::Little => native.rev().fold(0_u64, |bits, b| bits << 8 | u64::from(*b)),
            ByteOrder::Big => native.fold(0_u64, |bits, b| bits << 8 | u64::from(*b)),
        };
        let bits = bits.checked_shr(offset.into()).unwrap_or(0) << spare;
        let value =
            if signed { (bits.cast_signed() >> spare).cast_unsigned() } else { bits >> spare };
        match ByteOrder::NATIVE {
            ByteOrder::Little => {
                wide.extend_from_slice(value.to_le_bytes().get(..width).unwrap_or_default());
            }
            ByteOrder::Big => {
                wide.extend_from_slice(value.to_be_bytes().get(8 - width..).unwrap_or_default());
            }
        }
    }
    wide
}

/// An object by its path; one that no path leads to, by its address.
pub(super) fn object(objects: &HashMap<u64, String>, address: u64) -> String {
    objects.get(&address).cloned().unwrap_or_else(|| format!("#{address}"))
}

/// A part of an object: its path and the selection. `None` for a null reference.
fn region(
    place: Place<'_>,
    around: Around<'_>,
    stored: &[u8],
) -> Result<Option<String>, FormatError> {
    let Around { frame, heap, objects } = around;
    let Some(reference) = Reference::object(stored, frame) else { return Ok(None) };
    let bytes = heap.value(reference, 1).map_err(|damaged| place.corrupt(damaged.0))?;
    let mut cursor = Cursor::new(bytes);
    let address = cursor.uint_le(frame.offset_size.into());
    let selection = Selection::parse(&mut cursor);
    let (address, selection) = address
        .zip(selection)
        .ok_or_else(|| place.corrupt("the selection of a region reference is damaged"))?;
    Ok(Some(format!("{}{selection}", object(objects, address))))
}

fn strings<'a>(
    place: Place<'_>,
    texts: impl Iterator<Item = Result<&'a [u8], FormatError>>,
    count: usize,
) -> Result<ArrayRef, FormatError> {
    let mut builder = StringBuilder::with_capacity(count.min(1 << 20), 0);
    let mut total = 0_usize;
    for text in texts {
        let text = elements::text(text?);
        total = total.saturating_add(text.len());
        // Offsets of Utf8 are 32-bit.
        if i32::try_from(total).is_err() {
            return Err(place.too_large(total as u64));
        }
        builder.append_value(text);
    }
    Ok(Arc::new(builder.finish()))
}

fn compound(
    place: Place<'_>,
    bytes: &[u8],
    (size, members): (usize, &[Member]),
    data_type: &DataType,
    count: usize,
) -> Result<ArrayRef, FormatError> {
    let DataType::Struct(fields) = data_type else {
        return Err(place.corrupt("a compound type that is no struct"));
    };
    let columns = members
        .iter()
        .map(|member| {
            let width = member.datatype.size();
            let mut column = MutableBuffer::with_capacity(count.saturating_mul(width));
            for element in bytes.chunks_exact(size.max(1)) {
                let cell = element.get(member.offset..member.offset.saturating_add(width));
                column.extend_from_slice(cell.unwrap_or_default());
            }
            array(place, &member.datatype, column, count)
        })
        .collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Ok(Arc::new(StructArray::new_empty_fields(count, None)));
    }
    Ok(Arc::new(StructArray::try_new(fields.clone(), columns, None)?))
}

/// Values in C order as lists of these lengths, innermost last.
fn nest(values: ArrayRef, lengths: &[usize]) -> Result<ArrayRef, FormatError> {
    lengths.iter().rev().try_fold(values, |inner, length| {
        let item = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        let length = i32::try_from(*length).unwrap_or(i32::MAX);
        Ok(Arc::new(FixedSizeListArray::try_new(item, length, inner, None)?) as ArrayRef)
    })
}

fn lists(
    place: Place<'_>,
    bytes: &[u8],
    size: usize,
    base: &Datatype,
    data_type: &DataType,
    count: usize,
) -> Result<ArrayRef, FormatError> {
    let DataType::List(item) = data_type else {
        return Err(place.corrupt("a variable-length type that is no list"));
    };
    let heap = place.around()?.heap;
    let width = base.size();
    let mut values = MutableBuffer::new(0);
    let mut offsets = Vec::with_capacity(count.saturating_add(1));
    offsets.push(0_i32);
    for reference in bytes.chunks_exact(size) {
        let list = heap.sequence(reference, width).map_err(|damaged| place.corrupt(damaged.0))?;
        let length = values.len().saturating_add(list.len());
        let end = i32::try_from(length.checked_div(width).unwrap_or(0));
        offsets.push(end.map_err(|_| place.too_large(length as u64))?);
        if length as u64 > MAX_REGION_BYTES {
            return Err(place.too_large(length as u64));
        }
        values.extend_from_slice(list);
    }
    let inner = values.len().checked_div(width).unwrap_or(0);
    let values = array(place, base, values, inner)?;
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(Arc::clone(item), offsets, values, None)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int32Array, UInt16Array};

    #[test]
    fn integers_of_some_bits_are_cut_out_and_signed() {
        // 12 bits from bit 4, as the nbit filter's users store them: 0xffe = -2.
        let build = |signed| {
            let datatype = Datatype::Integer {
                size: 2,
                signed,
                order: ByteOrder::Big,
                offset: 4,
                precision: 12,
            };
            let mut bytes = MutableBuffer::new(0);
            bytes.extend_from_slice(&[0xff_u8, 0xe7, 0x00, 0x3f]);
            let place = Place { location: "f", path: "/x", around: None };
            array(place, &datatype, bytes, 2).unwrap()
        };
        assert_eq!(
            build(false).as_ref(),
            &UInt16Array::from(vec![0xffe, 3]) as &dyn arrow::array::Array
        );
        let signed = arrow::compute::cast(&build(true), &DataType::Int32).unwrap();
        assert_eq!(signed.as_ref(), &Int32Array::from(vec![-2, 3]) as &dyn arrow::array::Array);
    }
}
