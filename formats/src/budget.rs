//! How much memory the metadata of one file may take.
//!
//! Names and attributes that are in a file once can be referred to any number of times: by links, by
//! references to one text, by dimensions. What is listed grows with the references then, and not
//! with the file.

use crate::contents::{Attribute, AttributeValue, Dimension};
use crate::error::FormatError;
use arrow::array::Array;
use std::cell::Cell;

/// Bytes for the metadata of any file, and of those that it leads to: ten thousand variables with all
/// their attributes take a tenth of it.
const LEAST: u64 = 256 << 20;
/// Bytes more for one of the file.
const PER_BYTE: u64 = 4;
/// Bytes that an entry of a list takes beside what it holds.
const ENTRY: u64 = 64;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Budget {
    all: u64,
    left: Cell<u64>,
}

impl Budget {
    /// For a file of so many bytes.
    pub(crate) fn new(length: u64) -> Self {
        let all = length.saturating_mul(PER_BYTE).saturating_add(LEAST);
        Self { all, left: Cell::new(all) }
    }

    /// Takes bytes for an entry at `place`. Once there are not enough, there are none.
    pub(crate) fn take(&self, location: &str, place: &str, bytes: u64) -> Result<(), FormatError> {
        let before = self.left.get();
        let left = before.checked_sub(bytes.saturating_add(ENTRY));
        self.left.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or_else(|| FormatError::TooLarge {
            location: location.to_owned(),
            place: place.chars().take(200).collect(),
            what: "the metadata of the file (names and attributes, each where it is referred to)"
                .to_owned(),
            needed: self.all.saturating_sub(before).saturating_add(bytes),
            limit: self.all,
        })
    }
}

/// Bytes of a list of attributes.
pub(crate) fn of_attributes(attributes: &[Attribute]) -> u64 {
    let of = |attribute: &Attribute| {
        let value = match &attribute.value {
            AttributeValue::Text(texts) => {
                texts.iter().map(|text| text.len() as u64 + ENTRY).fold(0, u64::saturating_add)
            }
            AttributeValue::Numbers(numbers) => numbers.get_array_memory_size() as u64,
            AttributeValue::Unreadable(reason) => reason.len() as u64,
        };
        value.saturating_add(attribute.name.len() as u64).saturating_add(ENTRY)
    };
    attributes.iter().map(of).fold(0, u64::saturating_add)
}

/// Bytes of the dimensions of a variable.
pub(crate) fn of_dimensions(dimensions: &[Dimension]) -> u64 {
    let of = |dimension: &Dimension| {
        let coordinate = dimension.coordinate.as_ref().map_or(0, String::len);
        (dimension.name.len() as u64).saturating_add(coordinate as u64).saturating_add(ENTRY)
    };
    dimensions.iter().map(of).fold(0, u64::saturating_add)
}
