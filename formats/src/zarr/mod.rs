//! Zarr, versions 2 and 3: hierarchies of arrays whose chunks are values under keys.
//!
//! The metadata are read once, at open: in one request where they are consolidated. Chunks are asked
//! for by key when a region touches them. Codecs, filters, byte orders, transposed chunks and shards
//! are undone here; what is not supported is named by [`Contents::unreadable`], and the rest of the
//! store is read.

mod arithmetic;
mod array;
mod attributes;
mod codecs;
mod crc32c;
mod element;
mod json;
mod nodes;
mod read;
mod shards;
mod transpose;
mod values;

use crate::cache::FileChunks;
use crate::contents::{Contents, Dimension, Format, Unreadable, Variable};
use crate::error::FormatError;
use crate::grids::{grids, group_of};
use crate::keys::KeySource;
use crate::reader::{OpenOptions, Reader, checked};
use crate::region::Region;
use array::Array;
use arrow::array::ArrayRef;
use json::Json;
use nodes::{Node, Nodes, is_group};
use read::Read;
use std::collections::HashMap;
use std::sync::Arc;

/// Name of an array that is a whole store: it has none of its own.
const ROOT_ARRAY: &str = "data";

/// An open Zarr store.
#[derive(Debug)]
pub struct ZarrReader {
    keys: Arc<dyn KeySource>,
    contents: Contents,
    /// By path of the variable, with its place among them.
    arrays: HashMap<String, (u64, Array)>,
    chunks: FileChunks,
}

impl ZarrReader {
    /// Reads the metadata of a store.
    ///
    /// # Errors
    /// [`FormatError::UnknownFormat`] if this is no Zarr store, [`FormatError::Corrupt`] if the
    /// metadata of its root cannot be read, [`FormatError::Options`] if they are not consolidated and
    /// the keys cannot be listed. An array that cannot be read is no error: it is listed in
    /// [`Contents::unreadable`].
    pub fn open(keys: Arc<dyn KeySource>, options: &OpenOptions) -> Result<Self, FormatError> {
        let Nodes { version, by_key, mut unreadable } = nodes::nodes(keys.as_ref())?;
        let (mut root, mut groups, mut arrays) = (vec![], vec![], vec![]);
        for (key, node) in &by_key {
            let path = path_of(key);
            match parse(key, node) {
                Parsed::Group(attributes) if key.is_empty() => {
                    root = attributes::visible(attributes);
                }
                Parsed::Group(attributes) => groups.push((path, attributes::visible(attributes))),
                Parsed::Array(Ok(array)) => arrays.push(*array),
                Parsed::Array(Err(reason)) => {
                    unreadable.push(Unreadable { path: array_path(key), reason });
                }
            }
        }
        let variables = variables(&arrays, version);
        let contents = Contents {
            format: if version == 2 { Format::Zarr2 } else { Format::Zarr3 },
            attributes: root,
            groups,
            grids: grids(&variables),
            variables,
            unreadable,
        };
        let numbered = (0..).zip(arrays);
        let arrays = numbered.map(|(number, a)| (array_path(&a.key), (number, a))).collect();
        let chunks = Arc::clone(&options.chunk_cache).file();
        Ok(Self { keys, contents, arrays, chunks })
    }
}

impl Reader for ZarrReader {
    fn location(&self) -> &str {
        self.keys.location()
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        let variable = checked(self.location(), &self.contents, path, region)?;
        let path = variable.path.as_str();
        let (number, array) = self
            .arrays
            .get(path)
            .ok_or_else(|| FormatError::corrupt(self.location(), path, "it is not in the index"))?;
        Read { reader: self, number: *number, array, path }.region(region)
    }
}

enum Parsed<'a> {
    Group(&'a [(String, Json)]),
    Array(Result<Box<Array>, String>),
}

fn parse<'a>(key: &str, node: &'a Node) -> Parsed<'a> {
    let members = |value: Option<&'a Json>| value.and_then(Json::members).unwrap_or_default();
    match node {
        Node::Two { array: None, attributes } => Parsed::Group(members(attributes.as_ref())),
        Node::Two { array: Some(array), attributes } => {
            Parsed::Array(match array.get("zarr_format").and_then(Json::integer) {
                Some(2) => Array::of_version_2(key, array, attributes.as_ref()).map(Box::new),
                _ => Err("metadata of another version of Zarr than 2".to_owned()),
            })
        }
        Node::Three(metadata) => match metadata.get("zarr_format").and_then(Json::integer) {
            Some(3) if is_group(metadata) => Parsed::Group(members(metadata.get("attributes"))),
            Some(3) => Parsed::Array(Array::of_version_3(key, metadata).map(Box::new)),
            _ => Parsed::Array(Err("metadata of another version of Zarr than 3".to_owned())),
        },
    }
    .supported()
}

impl Parsed<'_> {
    /// Without arrays whose type Arrow does not have.
    fn supported(self) -> Self {
        match self {
            Self::Array(Ok(array)) if array.element.data_type().is_none() => {
                Self::Array(Err("elements that are too long".to_owned()))
            }
            other => other,
        }
    }
}

fn path_of(key: &str) -> String {
    format!("/{key}")
}

fn array_path(key: &str) -> String {
    path_of(if key.is_empty() { ROOT_ARRAY } else { key })
}

fn variables(arrays: &[Array], version: u8) -> Vec<Variable> {
    // Arrays of one dimension of their own name hold its coordinates.
    let coordinates: HashMap<String, u64> = arrays
        .iter()
        .filter_map(|array| match (array.dimensions.as_slice(), array.shape.as_slice()) {
            ([Some(name)], [length]) if array_path(&array.key).ends_with(&format!("/{name}")) => {
                Some((array_path(&array.key), *length))
            }
            _ => None,
        })
        .collect();
    let coordinate = |path: &str, name: &str, length: u64| {
        let mut group = group_of(path);
        loop {
            let candidate = format!("{}/{name}", group.trim_end_matches('/'));
            if coordinates.get(&candidate) == Some(&length) {
                return Some(candidate);
            }
            if group == "/" {
                return None;
            }
            group = group_of(group);
        }
    };
    arrays
        .iter()
        .map(|array| {
            let path = array_path(&array.key);
            let axes = array.dimensions.iter().zip(&array.shape).enumerate();
            let dimensions = axes
                .map(|(axis, (name, length))| Dimension {
                    name: name.clone().unwrap_or_else(|| format!("dim_{axis}")),
                    length: *length,
                    unlimited: false,
                    coordinate: name.as_ref().and_then(|name| coordinate(&path, name, *length)),
                })
                .collect();
            Variable {
                name: path.rsplit('/').next().unwrap_or_default().to_owned(),
                dimensions,
                data_type: array.element.data_type().unwrap_or(arrow::datatypes::DataType::Null),
                chunk_shape: Some(array.chunk.clone()),
                filters: array.chain.names().map(str::to_owned).collect(),
                fallback: false,
                stored_bytes: None,
                attributes: attributes::of_array(array, version),
                default_fill: false,
                path,
            }
        })
        .collect()
}
