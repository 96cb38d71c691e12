//! Attributes: small values in the metadata.

use super::datatype::{Datatype, Padding};
use super::heap::{Heap, Reference};
use super::index::{Frame, H5Attribute, H5Value};
use super::values;
use crate::budget::Budget;
use crate::contents::AttributeValue;
use crate::cursor::Cursor;
use crate::elements;
use crate::error::FormatError;
use crate::source::ByteSource;
use arrow::buffer::MutableBuffer;
use hdf5_reader::RawAttribute;

/// Decodes the attributes of one object. What cannot be decoded becomes
/// [`AttributeValue::Unreadable`]; only a failure of the source and too much of them are errors.
pub(super) fn decode(
    source: &dyn ByteSource,
    frame: Frame,
    path: &str,
    raw: Vec<RawAttribute>,
    budget: &Budget,
) -> Result<Vec<H5Attribute>, FormatError> {
    raw.into_iter()
        .map(|attribute| {
            let (message, datatype) = attribute.into_parts();
            let value = match Datatype::parse(&datatype) {
                Some(datatype) => {
                    match value(source, frame, path, &datatype, &message.raw_data, budget) {
                        // What is pending is noted, and what the other attributes need as well.
                        Err(error @ FormatError::Source(_)) if !error.is_pending() => {
                            return Err(error);
                        }
                        Err(error @ FormatError::TooLarge { .. }) => return Err(error),
                        Err(error) => H5Value::Plain(AttributeValue::Unreadable(error.to_string())),
                        Ok(value) => value,
                    }
                }
                None => H5Value::Plain(AttributeValue::Unreadable("a damaged type".to_owned())),
            };
            Ok(H5Attribute { name: message.name, value })
        })
        .collect()
}

fn value(
    source: &dyn ByteSource,
    frame: Frame,
    path: &str,
    datatype: &Datatype,
    bytes: &[u8],
    budget: &Budget,
) -> Result<H5Value, FormatError> {
    let size = datatype.size();
    budget.take(source.location(), path, bytes.len() as u64)?;
    let plain = |value| Ok(H5Value::Plain(value));
    let damaged = |problem: String| FormatError::corrupt(source.location(), path, problem);
    let heap = || {
        let mut heap = Heap::new(frame);
        let references = bytes.chunks_exact(size).filter_map(|r| Reference::sequence(r, frame));
        heap.load(source, path, references)?;
        Ok::<_, FormatError>(heap)
    };
    match datatype {
        Datatype::FixedString { padding, .. } => {
            let texts = bytes.chunks_exact(size).map(|text| elements::text(trim(text, *padding)));
            plain(AttributeValue::Text(texts.collect()))
        }
        Datatype::VariableString { .. } => {
            let heap = heap()?;
            let texts = bytes.chunks_exact(size).map(|reference| {
                let text = heap.sequence(reference, 1).map_err(|d| damaged(d.0))?;
                budget.take(source.location(), path, text.len() as u64)?;
                Ok(elements::text(trim(text, Padding::NullTerminated)))
            });
            plain(AttributeValue::Text(texts.collect::<Result<_, FormatError>>()?))
        }
        Datatype::Variable { base, .. }
            if matches!(base.as_ref(), Datatype::ObjectReference { .. }) =>
        {
            let heap = heap()?;
            let lists = bytes.chunks_exact(size).map(|reference| {
                let list = heap.sequence(reference, base.size()).map_err(|d| damaged(d.0))?;
                budget.take(source.location(), path, list.len() as u64)?;
                Ok(list.chunks_exact(base.size()).filter_map(|r| address(r, frame)).collect())
            });
            Ok(H5Value::References(lists.collect::<Result<_, FormatError>>()?))
        }
        Datatype::ObjectReference { .. } => Ok(H5Value::References(
            bytes.chunks_exact(size).map(|r| address(r, frame).into_iter().collect()).collect(),
        )),
        Datatype::Integer { .. } | Datatype::Float { .. } | Datatype::Bitfield { .. } => {
            numbers(source, path, datatype, bytes)
        }
        Datatype::RegionReference { .. } => {
            plain(AttributeValue::Unreadable("region references".to_owned()))
        }
        Datatype::Boolean { base } => numbers(source, path, base, bytes),
        other => {
            let name = match other.data_type() {
                Ok(data_type) => format!("{data_type}"),
                Err(reason) => reason,
            };
            plain(AttributeValue::Unreadable(name))
        }
    }
}

fn numbers(
    source: &dyn ByteSource,
    path: &str,
    datatype: &Datatype,
    bytes: &[u8],
) -> Result<H5Value, FormatError> {
    let count = bytes.len().checked_div(datatype.size()).unwrap_or(0);
    let mut copy = MutableBuffer::from_len_zeroed(bytes.len());
    copy.copy_from_slice(bytes);
    let place = values::Place { location: source.location(), path, around: None };
    let array = values::array(place, datatype, copy, count)?;
    Ok(H5Value::Plain(AttributeValue::Numbers(array)))
}

/// The address that an object reference is; `None` for a null reference.
pub(super) fn address(reference: &[u8], frame: Frame) -> Option<u64> {
    let address = Cursor::new(reference).uint_le(frame.offset_size.into())?;
    (address != 0 && !frame.is_undefined(address)).then_some(address)
}

/// The text without its padding.
pub(super) fn trim(bytes: &[u8], padding: Padding) -> &[u8] {
    let is_padding = |byte: &u8| *byte == 0 || (padding == Padding::SpacePadded && *byte == b' ');
    let end = match padding {
        Padding::NullTerminated => bytes.iter().position(|byte| *byte == 0),
        Padding::NullPadded | Padding::SpacePadded => {
            bytes.iter().rposition(|byte| !is_padding(byte)).map(|last| last + 1).or(Some(0))
        }
    };
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes)
}
