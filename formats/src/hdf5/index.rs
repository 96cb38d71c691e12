//! What the metadata of an HDF5 file says, as plain data: the seam between the parser and everything
//! behind it.

use super::chunks::ChunkIndex;
use super::datatype::Datatype;
use super::fill::Fill;
use super::links::Links;
use super::mapping::Mapping;
use crate::contents::{AttributeValue, Unreadable};
use crate::filters::Filter;
use bytes::Bytes;
use std::collections::HashMap;

/// The metadata of a file. Immutable.
#[derive(Debug)]
pub(crate) struct H5Index {
    pub(crate) frame: Frame,
    /// Groups, the root first, in the order they were met.
    pub(crate) groups: Vec<H5Group>,
    pub(crate) datasets: Vec<H5Dataset>,
    pub(crate) unreadable: Vec<Unreadable>,
    /// Datasets behind filters that neither Tarn nor, here and now, the C library can undo, with the
    /// reason. Nothing is wrong with the file: what reads it later may have a plugin.
    pub(super) refused: Vec<(H5Dataset, String)>,
    /// The first path of each object, by its address.
    pub(crate) objects: HashMap<u64, String>,
    pub(super) links: Links,
    pub(super) externals: Vec<External>,
}

impl H5Index {
    /// Why the object at an address cannot be read, where it cannot.
    pub(super) fn reason_of(&self, address: u64) -> Option<&str> {
        if let Some((_, reason)) = self.refused.iter().find(|(own, _)| own.address == address) {
            return Some(reason);
        }
        let path = self.objects.get(&address)?;
        let found = self.unreadable.iter().find(|unreadable| unreadable.path == *path);
        found.map(|unreadable| unreadable.reason.as_str())
    }
}

/// A link to an object of another file.
#[derive(Debug)]
pub(super) struct External {
    pub(super) path: String,
    pub(super) file: String,
    pub(super) target: String,
}

/// How addresses and lengths are written in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// Byte that every address is relative to: the length of the user block.
    pub(crate) base: u64,
    /// Bytes of an address.
    pub(crate) offset_size: u8,
    /// Bytes of a length.
    pub(crate) length_size: u8,
}

impl Frame {
    /// Whether an address, all ones, says that there is none.
    pub(crate) fn is_undefined(self, address: u64) -> bool {
        address == u64::MAX >> (64 - 8 * u32::from(self.offset_size.clamp(1, 8)))
    }
}

#[derive(Debug)]
pub(crate) struct H5Group {
    pub(crate) path: String,
    pub(crate) attributes: Vec<H5Attribute>,
}

#[derive(Debug)]
pub(crate) struct H5Attribute {
    pub(crate) name: String,
    pub(crate) value: H5Value,
}

#[derive(Debug)]
pub(crate) enum H5Value {
    Plain(AttributeValue),
    /// Lists of object addresses, as in `DIMENSION_LIST`.
    References(Vec<Vec<u64>>),
}

#[derive(Debug)]
pub(crate) struct H5Dataset {
    pub(crate) path: String,
    /// Address of the object header: one object may have several paths.
    pub(crate) address: u64,
    pub(crate) shape: Vec<u64>,
    /// For each dimension whether it can grow without limit.
    pub(crate) unlimited: Vec<bool>,
    pub(crate) datatype: Datatype,
    pub(crate) layout: Layout,
    /// In the order of writing.
    pub(crate) filters: Vec<Filter>,
    pub(crate) fill: Fill,
    pub(crate) attributes: Vec<H5Attribute>,
}

impl H5Dataset {
    pub(crate) fn attribute(&self, name: &str) -> Option<&H5Value> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|a| &a.value)
    }

    /// The attribute, if it is one text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.attribute(name)? {
            H5Value::Plain(AttributeValue::Text(texts)) => texts.first().map(String::as_str),
            _ => None,
        }
    }

    /// Whether it is a dimension scale.
    pub(crate) fn is_scale(&self) -> bool {
        self.text("CLASS") == Some("DIMENSION_SCALE")
    }
}

/// Where the values of a dataset are.
#[derive(Debug)]
pub(crate) enum Layout {
    /// In the metadata.
    Compact(Bytes),
    /// In one block; `None` if it was never written.
    Contiguous(Option<u64>),
    Chunked(ChunkIndex),
    /// In other datasets, here or in other files.
    Virtual(Vec<Mapping>),
}
