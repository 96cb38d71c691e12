//! The metadata of files as rows, so that a file that was opened once need not be opened again to
//! plan a query: groups, attributes, dimensions, types, filters and fill values as JSON, the table
//! of chunks as lists, coordinates as bytes.
//!
//! A file has a row for itself and one for each of its arrays. What differs between files of one
//! kind (addresses) is kept out of the descriptions, so that these are the same text in all of them
//! and are kept and understood once.

mod reader;
mod shelf;

pub use shelf::{Shelf, to_batch};

use crate::cf::is_time;
use crate::contents::{Contents, Variable};
use crate::error::FormatError;
use crate::reader::Reader;
use crate::region::Region;
use arrow::array::{Array, ArrayRef};
use arrow::buffer::MutableBuffer;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Version of the rows. Rows of another one are not read.
pub const VERSION: u32 = 2;

/// Most bytes of the values of one coordinate or time that are kept.
const MOST_VALUES: u64 = 512 << 10;
/// Most bytes of the values of any other variable that are kept.
const MOST_OTHER: u64 = 64;

/// A row: a file (with an empty path, first) or an array in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Path of the variable; empty for the file.
    pub path: String,
    /// What it is, as JSON.
    pub description: String,
    /// Places of the stored chunks in the grid of chunks, counted in C order; `None` if every chunk
    /// is stored.
    pub places: Option<Vec<u64>>,
    /// First bytes of the chunks in the file, or of all values where there are no chunks. Of a file:
    /// the byte that addresses begin at, and the addresses of its objects.
    pub offsets: Vec<u64>,
    /// Bytes of each.
    pub sizes: Vec<u64>,
    /// Filters that were left out of each chunk, a bit each; `None` if there are none.
    pub masks: Option<Vec<u32>>,
    /// All stored values, little-endian, where they are few and planning needs them.
    pub values: Option<Vec<u8>>,
}

/// What the row of a file says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case")]
pub(crate) enum FileDescription {
    Hdf5(crate::hdf5::saved::Metadata),
    NetCdf3(crate::netcdf3::saved::Metadata),
}

impl FileDescription {
    /// As text.
    pub(crate) fn text(&self, location: &str) -> Result<String, FormatError> {
        text(location, &(VERSION, self))
    }

    /// From text; `None` if it is of another version, or damaged.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (version, description): (u32, Self) = serde_json::from_str(text).ok()?;
        (version == VERSION).then_some(description)
    }
}

/// JSON of something that has one.
pub(crate) fn text(location: &str, value: &impl Serialize) -> Result<String, FormatError> {
    serde_json::to_string(value)
        .map_err(|error| FormatError::corrupt(location, "metadata", error.to_string()))
}

/// Adds the values that planning needs to the rows of their variables.
pub(crate) fn add_values(reader: &dyn Reader, entries: &mut [Entry]) -> Result<(), FormatError> {
    let contents = reader.contents();
    let wanted = wanted(contents);
    for entry in entries {
        let variable = contents.variable(&entry.path).filter(|_| wanted.contains(&*entry.path));
        let Some(variable) = variable else { continue };
        let values = reader.read(&variable.path, &Region::whole(&variable.shape()))?;
        entry.values = bytes(&values);
    }
    Ok(())
}

/// Paths of variables whose values are kept: coordinates, times and their bounds, single values.
fn wanted(contents: &Contents) -> HashSet<&str> {
    let coordinates: HashSet<&str> = contents
        .variables
        .iter()
        .flat_map(|variable| &variable.dimensions)
        .filter_map(|dimension| dimension.coordinate.as_deref())
        .collect();
    let bounds: HashSet<&str> = contents
        .variables
        .iter()
        .filter(|variable| is_time(variable))
        .filter_map(|variable| variable.text("bounds"))
        .collect();
    let is_wanted = |variable: &&Variable| {
        let width = variable.data_type.primitive_width().map(|width| width as u64);
        let cells = variable.shape().iter().try_fold(1_u64, |cells, n| cells.checked_mul(*n));
        let bytes = width.zip(cells).and_then(|(width, cells)| width.checked_mul(cells));
        let plans = coordinates.contains(&*variable.path)
            || bounds.contains(&*variable.name)
            || is_time(variable);
        bytes.is_some_and(|bytes| bytes <= if plans { MOST_VALUES } else { MOST_OTHER })
    };
    contents.variables.iter().filter(is_wanted).map(|variable| variable.path.as_str()).collect()
}

/// Little-endian bytes of fixed-width values without NULLs.
pub(crate) fn bytes(values: &ArrayRef) -> Option<Vec<u8>> {
    let width = values.data_type().primitive_width()?;
    let data = values.to_data();
    if cfg!(target_endian = "big") || values.null_count() > 0 {
        return None;
    }
    let start = data.offset().checked_mul(width)?;
    let end = start.checked_add(data.len().checked_mul(width)?)?;
    Some(data.buffers().first()?.get(start..end)?.to_vec())
}

/// The array of such bytes.
pub(crate) fn array(
    data_type: &arrow::datatypes::DataType,
    bytes: &[u8],
) -> Result<ArrayRef, FormatError> {
    let width = data_type.primitive_width().unwrap_or(1);
    let mut copy = MutableBuffer::with_capacity(bytes.len());
    copy.extend_from_slice(bytes);
    let length = bytes.len().checked_div(width).unwrap_or(0);
    Ok(crate::elements::fixed_width(data_type.clone(), copy, length)?)
}

/// Bytes as hexadecimal text, for serde.
pub(crate) mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        };
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        bytes.filter(|_| rest.is_empty()).ok_or_else(|| D::Error::custom("no hexadecimal text"))
    }
}
