//! [`H5Index`] as rows, and back.
//!
//! Objects are named by their place in the list of objects: addresses differ between files that are
//! the same otherwise.

use super::Hdf5Reader;
use super::chunks::{Chunk, ChunkIndex, ChunkTable, IndexKind, Owner};
use super::datatype::Datatype;
use super::fill::Fill;
use super::index::{Frame, H5Attribute, H5Dataset, H5Group, H5Index, H5Value, Layout};
use super::links::Links;
use super::variable_path;
use crate::contents::{AttributeValue, Unreadable};
use crate::error::FormatError;
use crate::filters::Filter;
use crate::saved::{self, Entry, FileDescription, hexadecimal};
use arrow::datatypes::DataType;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::OnceLock;

/// What a file is, without its arrays.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Metadata {
    offset_size: u8,
    length_size: u8,
    groups: Vec<(String, Vec<SavedAttribute>)>,
    /// Path and reason.
    unreadable: Vec<(String, String)>,
    /// First paths of the objects whose addresses are in the row.
    objects: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedDataset {
    path: String,
    object: Target,
    shape: Vec<u64>,
    unlimited: Vec<bool>,
    datatype: Datatype,
    layout: SavedLayout,
    filters: Vec<(u16, Vec<u32>)>,
    /// Inside the stored extent, and past it.
    fills: (Option<Bytes>, Option<Bytes>),
    attributes: Vec<SavedAttribute>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedLayout {
    Compact(Bytes),
    /// Never written.
    Nothing,
    Contiguous,
    /// Shape of a chunk.
    Chunked(Vec<u64>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Bytes(#[serde(with = "hexadecimal")] Vec<u8>);

type SavedAttribute = (String, SavedValue);

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SavedValue {
    Text(Vec<String>),
    /// Arrow type and little-endian bytes.
    Numbers(String, Bytes),
    Unreadable(String),
    References(Vec<Vec<Target>>),
}

/// An object of the file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    /// By its place in the list of objects.
    Object(usize),
    /// By an address that no object has.
    Address(u64),
}

/// The objects of a file in the order of their paths.
struct Objects<'a> {
    list: Vec<(&'a str, u64)>,
    places: HashMap<u64, usize>,
}

impl<'a> Objects<'a> {
    fn of(index: &'a H5Index) -> Self {
        let mut list: Vec<_> =
            index.objects.iter().map(|(address, path)| (path.as_str(), *address)).collect();
        list.sort_unstable();
        let places = list.iter().enumerate().map(|(place, (_, address))| (*address, place));
        Self { places: places.collect(), list }
    }

    fn target(&self, address: u64) -> Target {
        self.places.get(&address).map_or(Target::Address(address), |place| Target::Object(*place))
    }

    fn attributes(&self, attributes: &[H5Attribute]) -> Option<Vec<SavedAttribute>> {
        let value = |value: &H5Value| {
            Some(match value {
                H5Value::Plain(AttributeValue::Text(texts)) => SavedValue::Text(texts.clone()),
                H5Value::Plain(AttributeValue::Numbers(numbers)) => SavedValue::Numbers(
                    numbers.data_type().to_string(),
                    Bytes(saved::bytes(numbers)?),
                ),
                H5Value::Plain(AttributeValue::Unreadable(what)) => {
                    SavedValue::Unreadable(what.clone())
                }
                H5Value::References(lists) => SavedValue::References(
                    lists
                        .iter()
                        .map(|list| list.iter().map(|address| self.target(*address)).collect())
                        .collect(),
                ),
            })
        };
        attributes.iter().map(|own| Some((own.name.clone(), value(&own.value)?))).collect()
    }
}

impl Hdf5Reader {
    /// The rows of the file; `None` where it refers to other files or is put together from parts.
    pub(super) fn rows(&self) -> Result<Option<Vec<Entry>>, FormatError> {
        let index = &self.index;
        let is_virtual = |dataset: &H5Dataset| matches!(dataset.layout, Layout::Virtual(_));
        if !index.externals.is_empty() || index.datasets.iter().any(is_virtual) {
            return Ok(None);
        }
        let location = self.source.location();
        let objects = Objects::of(index);
        let groups = index
            .groups
            .iter()
            .map(|group| Some((group.path.clone(), objects.attributes(&group.attributes)?)));
        let Some(groups) = groups.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let unreadable = index.unreadable.iter();
        let description = FileDescription::Hdf5(Metadata {
            offset_size: index.frame.offset_size,
            length_size: index.frame.length_size,
            groups,
            unreadable: unreadable.map(|u| (u.path.clone(), u.reason.clone())).collect(),
            objects: objects.list.iter().map(|(path, _)| (*path).to_owned()).collect(),
        });
        let addresses = objects.list.iter().map(|(_, address)| *address);
        let mut entries = vec![Entry {
            description: description.text(location)?,
            offsets: std::iter::once(index.frame.base).chain(addresses).collect(),
            ..Entry::default()
        }];
        let refused = index.refused.iter().map(|(dataset, _)| dataset);
        for dataset in index.datasets.iter().chain(refused) {
            match self.row(dataset, &objects)? {
                Some(entry) => entries.push(entry),
                None => return Ok(None),
            }
        }
        saved::add_values(self, &mut entries)?;
        Ok(Some(entries))
    }

    fn row(
        &self,
        dataset: &H5Dataset,
        objects: &Objects<'_>,
    ) -> Result<Option<Entry>, FormatError> {
        let Some(attributes) = objects.attributes(&dataset.attributes) else { return Ok(None) };
        let mut entry = Entry { path: variable_path(&dataset.path), ..Entry::default() };
        let layout = match &dataset.layout {
            Layout::Compact(bytes) => SavedLayout::Compact(Bytes(bytes.to_vec())),
            Layout::Contiguous(None) | Layout::Virtual(_) => SavedLayout::Nothing,
            Layout::Contiguous(Some(address)) => {
                let size = dataset.datatype.size() as u64;
                let bytes = dataset.shape.iter().try_fold(size, |bytes, n| bytes.checked_mul(*n));
                let start = address.checked_add(self.index.frame.base);
                let Some((start, bytes)) = start.zip(bytes) else { return Ok(None) };
                (entry.offsets, entry.sizes) = (vec![start], vec![bytes]);
                SavedLayout::Contiguous
            }
            Layout::Chunked(index) => {
                let element = dataset.datatype.size();
                let owner = Owner { path: &dataset.path, shape: &dataset.shape, element };
                index.table(&self.source, self.index.frame, owner)?.save(&mut entry);
                SavedLayout::Chunked(index.shape.clone())
            }
        };
        let (inside, past) = dataset.fill.parts();
        let description = SavedDataset {
            path: dataset.path.clone(),
            object: objects.target(dataset.address),
            shape: dataset.shape.clone(),
            unlimited: dataset.unlimited.clone(),
            datatype: dataset.datatype.clone(),
            layout,
            filters: dataset.filters.iter().map(|f| (f.id, f.parameters.clone())).collect(),
            fills: (inside.cloned().map(Bytes), past.cloned().map(Bytes)),
            attributes,
        };
        entry.description = saved::text(self.source.location(), &description)?;
        Ok(Some(entry))
    }
}

impl ChunkTable {
    fn save(&self, entry: &mut Entry) {
        let count = self.grid.iter().try_fold(1_u64, |count, n| count.checked_mul(*n));
        // Places are sorted and differ: as many as there are are all of them.
        if count != Some(self.chunks.len() as u64) {
            entry.places = Some(self.chunks.iter().map(|(place, _)| *place).collect());
        }
        entry.offsets = self.chunks.iter().map(|(_, chunk)| chunk.start).collect();
        entry.sizes = self.chunks.iter().map(|(_, chunk)| chunk.bytes).collect();
        if self.chunks.iter().any(|(_, chunk)| chunk.mask != 0) {
            entry.masks = Some(self.chunks.iter().map(|(_, chunk)| chunk.mask).collect());
        }
    }

    /// The table of a row; `None` if its lists do not fit together.
    fn of(entry: &Entry, grid: Vec<u64>) -> Option<Self> {
        let count = grid.iter().try_fold(1_u64, |count, n| count.checked_mul(*n))?;
        let length = entry.offsets.len();
        let places = match &entry.places {
            Some(places) => places.clone(),
            None => (0..count).take(length).collect(),
        };
        let masks = entry.masks.clone().unwrap_or_else(|| vec![0; length]);
        let sorted = places.is_sorted_by(|a, b| a < b) && places.last().is_none_or(|p| *p < count);
        let fits = entry.places.is_some() || count == length as u64;
        if !sorted || !fits || [places.len(), entry.sizes.len(), masks.len()] != [length; 3] {
            return None;
        }
        let chunks = entry.offsets.iter().zip(&entry.sizes).zip(masks).zip(places);
        let chunks = chunks.map(|(((start, bytes), mask), place)| {
            (place, Chunk { start: *start, bytes: *bytes, mask })
        });
        Some(Self { chunks: chunks.collect(), grid })
    }
}

impl Metadata {
    /// The index that was saved; `None` if the rows do not fit together.
    pub(crate) fn index(self, file: &Entry, arrays: &[Entry]) -> Option<H5Index> {
        let (base, addresses) = file.offsets.split_first()?;
        if addresses.len() != self.objects.len() {
            return None;
        }
        let frame =
            Frame { base: *base, offset_size: self.offset_size, length_size: self.length_size };
        let groups = self
            .groups
            .into_iter()
            .map(|(path, own)| Some(H5Group { path, attributes: attributes(own, addresses)? }));
        let groups = groups.collect::<Option<_>>()?;
        let datasets = arrays.iter().map(|entry| dataset(entry, frame, addresses));
        let unreadable = self.unreadable.into_iter();
        Some(H5Index {
            frame,
            groups,
            datasets: datasets.collect::<Option<_>>()?,
            unreadable: unreadable.map(|(path, reason)| Unreadable { path, reason }).collect(),
            refused: vec![],
            objects: addresses.iter().copied().zip(self.objects).collect(),
            // Only other files are led along these.
            links: Links::new(0),
            externals: vec![],
        })
    }
}

fn address(target: Target, addresses: &[u64]) -> Option<u64> {
    match target {
        Target::Object(place) => addresses.get(place).copied(),
        Target::Address(address) => Some(address),
    }
}

fn attributes(saved: Vec<SavedAttribute>, addresses: &[u64]) -> Option<Vec<H5Attribute>> {
    let value = |value| {
        Some(match value {
            SavedValue::Text(texts) => H5Value::Plain(AttributeValue::Text(texts)),
            SavedValue::Numbers(data_type, bytes) => {
                let data_type: DataType = data_type.parse().ok()?;
                data_type.primitive_width()?;
                let numbers = saved::array(&data_type, &bytes.0).ok()?;
                H5Value::Plain(AttributeValue::Numbers(numbers))
            }
            SavedValue::Unreadable(what) => H5Value::Plain(AttributeValue::Unreadable(what)),
            SavedValue::References(lists) => H5Value::References(
                lists
                    .into_iter()
                    .map(|list| list.into_iter().map(|target| address(target, addresses)).collect())
                    .collect::<Option<_>>()?,
            ),
        })
    };
    saved.into_iter().map(|(name, own)| Some(H5Attribute { name, value: value(own)? })).collect()
}

fn dataset(entry: &Entry, frame: Frame, addresses: &[u64]) -> Option<H5Dataset> {
    let saved: SavedDataset = serde_json::from_str(&entry.description).ok()?;
    let layout = match saved.layout {
        SavedLayout::Compact(bytes) => Layout::Compact(bytes.0.into()),
        SavedLayout::Nothing => Layout::Contiguous(None),
        SavedLayout::Contiguous => {
            Layout::Contiguous(Some(entry.offsets.first()?.checked_sub(frame.base)?))
        }
        SavedLayout::Chunked(shape) => {
            if shape.len() != saved.shape.len() || shape.contains(&0) {
                return None;
            }
            let grid = saved.shape.iter().zip(&shape).map(|(n, chunk)| n.div_ceil(*chunk));
            let table = ChunkTable::of(entry, grid.collect())?;
            Layout::Chunked(ChunkIndex {
                kind: IndexKind::Implicit,
                address: None,
                shape,
                // The masks of the table know.
                unfiltered_edges: false,
                max_shape: None,
                table: OnceLock::from(table),
            })
        }
    };
    let filters = saved.filters.into_iter().map(|(id, parameters)| Filter { id, parameters });
    Some(H5Dataset {
        path: saved.path,
        address: address(saved.object, addresses)?,
        unlimited: saved.unlimited,
        shape: saved.shape,
        datatype: saved.datatype,
        layout,
        filters: filters.collect(),
        fill: Fill::known(saved.fills.0.map(|fill| fill.0), saved.fills.1.map(|fill| fill.0)),
        attributes: attributes(saved.attributes, addresses)?,
    })
}
