//! Where the chunks of a dataset are: loaded from the file when the first region is read.

use super::index::Frame;
use super::parse::guard;
use super::storage::PagedStorage;
use crate::error::FormatError;
use crate::source::ByteSource;
use hdf5_reader::Storage;
use hdf5_reader::btree_v1::{BTreeV1Key, BTreeV1Node, collect_btree_v1_leaves_storage};
use hdf5_reader::chunk_index::{
    ChunkEntry, collect_implicit_chunk_entries, collect_v2_chunk_entries_storage,
};
use hdf5_reader::error::Error;
use hdf5_reader::extensible_array::collect_extensible_array_chunk_entries_storage;
use hdf5_reader::fixed_array::collect_fixed_array_chunk_entries_storage;
use hdf5_reader::io::Cursor;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// How the addresses of chunks are kept in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexKind {
    BTreeV1,
    BTreeV2,
    Single { bytes: u64, mask: u32 },
    Implicit,
    FixedArray,
    ExtensibleArray,
}

/// The chunks of a dataset.
#[derive(Debug)]
pub(crate) struct ChunkIndex {
    pub(crate) kind: IndexKind,
    /// Address of the index; `None` if no chunk was ever written.
    pub(crate) address: Option<u64>,
    /// Shape of a chunk.
    pub(crate) shape: Vec<u64>,
    /// Whether chunks that reach past the extent were stored without filters.
    pub(crate) unfiltered_edges: bool,
    /// Largest extent of each dimension, as stored.
    pub(crate) max_shape: Option<Vec<u64>>,
    pub(crate) table: OnceLock<ChunkTable>,
}

/// One stored chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Byte in the file.
    pub(crate) start: u64,
    /// Bytes in the file.
    pub(crate) bytes: u64,
    /// Filters that were left out.
    pub(crate) mask: u32,
}

/// The stored chunks of a dataset by their place in the grid of chunks, in C order.
#[derive(Debug, Default)]
pub(crate) struct ChunkTable {
    /// Number of chunks along each dimension.
    pub(super) grid: Vec<u64>,
    /// Sorted by place.
    pub(super) chunks: Vec<(u64, Chunk)>,
}

impl ChunkTable {
    /// The stored chunks in a box of the grid of chunks, with the grid index of each.
    pub(crate) fn in_box(&self, wanted: &[Range<u64>]) -> Vec<(Vec<u64>, Chunk)> {
        let cells = wanted.iter().try_fold(1_u64, |cells, r| cells.checked_mul(r.end - r.start));
        let few = cells.is_some_and(|cells| cells < self.chunks.len() as u64);
        if !few {
            return self
                .chunks
                .iter()
                .map(|(place, chunk)| (self.index_of(*place), *chunk))
                .filter(|(index, _)| index.iter().zip(wanted).all(|(i, range)| range.contains(i)))
                .collect();
        }
        let mut found = Vec::new();
        let mut index: Vec<u64> = wanted.iter().map(|range| range.start).collect();
        for _ in 0..cells.unwrap_or(0) {
            let place = index.iter().zip(&self.grid).try_fold(0_u64, |place, (i, length)| {
                place.checked_mul(*length).and_then(|place| place.checked_add(*i))
            });
            let at = place.and_then(|place| self.chunks.binary_search_by_key(&place, |c| c.0).ok());
            if let Some((_, chunk)) = at.and_then(|at| self.chunks.get(at)) {
                found.push((index.clone(), *chunk));
            }
            for (i, range) in index.iter_mut().zip(wanted).rev() {
                *i += 1;
                if *i < range.end {
                    break;
                }
                *i = range.start;
            }
        }
        found
    }

    fn index_of(&self, place: u64) -> Vec<u64> {
        let mut rest = place;
        let mut index: Vec<u64> = self
            .grid
            .iter()
            .rev()
            .map(|length| {
                let i = rest.checked_rem(*length).unwrap_or(0);
                rest = rest.checked_div(*length).unwrap_or(0);
                i
            })
            .collect();
        index.reverse();
        index
    }
}

/// Most nodes of a B-tree that are fetched before it is parsed.
const MOST_NODES: usize = 1 << 16;

/// Fetches the nodes of a B-tree of chunks level by level, each level at once: parsed one after
/// another, each node of a file in a store would take a request.
fn prepare_tree(storage: &PagedStorage, frame: Frame, owner: Owner<'_>, root: u64) {
    let rank = owner.shape.len();
    // A key has the size of a chunk, its mask and its offsets, one more than there are dimensions.
    let key = 8 * (rank as u64).saturating_add(2);
    let head = 8 + 2 * u64::from(frame.offset_size);
    let mut level = vec![root];
    let mut seen = 0_usize;
    while !level.is_empty() {
        seen = seen.saturating_add(level.len());
        if seen > MOST_NODES {
            return;
        }
        storage.prepare(level.iter().map(|address| (*address, head)));
        let node = |address: u64| {
            let head = storage.read_range(address, usize::try_from(head).ok()?).ok()?;
            // Signature, type, level, entries.
            let [b'T', b'R', b'E', b'E', 1, level, low, high, ..] = head.as_ref() else {
                return None;
            };
            let entries = u64::from(u16::from_le_bytes([*low, *high]));
            let entry = key.checked_add(frame.offset_size.into())?;
            Some((address, *level, entries.checked_mul(entry)?.checked_add(key)?))
        };
        let nodes: Vec<_> = level.iter().filter_map(|address| node(*address)).collect();
        storage.prepare(nodes.iter().map(|(address, _, bytes)| (*address, head + bytes)));
        let below = nodes.iter().filter(|(_, level, _)| *level > 0).flat_map(|(at, _, bytes)| {
            let length = usize::try_from(head + bytes).ok();
            let bytes = length.and_then(|length| storage.read_range(*at, length).ok());
            let rank = u32::try_from(rank).ok();
            let node = bytes.and_then(|bytes| {
                let cursor = &mut Cursor::new(&bytes);
                BTreeV1Node::parse(cursor, frame.offset_size, frame.length_size, rank).ok()
            });
            node.map_or(vec![], |node| node.children)
        });
        level = below.collect();
    }
}

/// What is needed of a dataset to load its table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) path: &'a str,
    /// Stored extent.
    pub(crate) shape: &'a [u64],
    /// Bytes of an element.
    pub(crate) element: usize,
}

impl ChunkIndex {
    /// The table, loaded on first use.
    pub(crate) fn table(
        &self,
        source: &Arc<dyn ByteSource>,
        frame: Frame,
        owner: Owner<'_>,
    ) -> Result<&ChunkTable, FormatError> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let loaded = self.load(source, frame, owner)?;
        Ok(self.table.get_or_init(|| loaded))
    }

    fn load(
        &self,
        source: &Arc<dyn ByteSource>,
        frame: Frame,
        owner: Owner<'_>,
    ) -> Result<ChunkTable, FormatError> {
        let corrupt = |problem: &str| FormatError::corrupt(source.location(), owner.path, problem);
        let grid: Vec<u64> =
            owner.shape.iter().zip(&self.shape).map(|(n, chunk)| n.div_ceil(*chunk)).collect();
        grid.iter()
            .try_fold(1_u64, |places, length| places.checked_mul(*length))
            .ok_or_else(|| corrupt("its shape has too many chunks"))?;
        let Some(address) = self.address.filter(|_| owner.shape.iter().all(|n| *n > 0)) else {
            return Ok(ChunkTable { grid, chunks: vec![] });
        };
        let storage = PagedStorage::new(Arc::clone(source), frame.base);
        if self.kind == IndexKind::BTreeV1 && storage.is_remote() {
            prepare_tree(&storage, frame, owner, address);
        }
        let entries = guard(source.location(), owner.path, &storage, || {
            self.entries(&storage, frame, owner, address)
        })?;

        // Chunks without filters have no size of their own in the newer indexes.
        let size = self.shape.iter().try_fold(owner.element as u64, |size, n| size.checked_mul(*n));
        let size = size.ok_or_else(|| corrupt("its chunks are too large"))?;
        let mut chunks = Vec::with_capacity(entries.len());
        for entry in entries {
            let start = entry.address.checked_add(frame.base);
            let start = start.ok_or_else(|| corrupt("a chunk lies outside the file"))?;
            if entry.offsets.len() != grid.len() {
                return Err(corrupt("a chunk has another rank than its dataset"));
            }
            let axes = entry.offsets.iter().zip(&self.shape).zip(&grid);
            if axes.clone().any(|((offset, chunk), _)| offset % chunk != 0) {
                return Err(corrupt("a chunk does not lie on the grid of chunks"));
            }
            // The library leaves chunks behind when a dataset shrinks.
            if axes.clone().any(|((offset, chunk), length)| offset / chunk >= *length) {
                continue;
            }
            let place = axes.fold(0, |place, ((offset, chunk), n)| place * n + offset / chunk);
            let mut extent = entry.offsets.iter().zip(&self.shape).zip(owner.shape);
            let partial = extent.any(|((offset, chunk), n)| n - offset < *chunk);
            let whole = partial && self.unfiltered_edges;
            let mask = if whole { u32::MAX } else { entry.filter_mask };
            let bytes = if entry.size == 0 { size } else { entry.size };
            chunks.push((place, Chunk { start, bytes, mask }));
        }
        chunks.sort_unstable_by_key(|(place, _)| *place);
        if chunks.windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0)) {
            return Err(corrupt("two chunks have the same place"));
        }
        Ok(ChunkTable { grid, chunks })
    }

    fn entries(
        &self,
        storage: &PagedStorage,
        frame: Frame,
        owner: Owner<'_>,
        address: u64,
    ) -> Result<Vec<ChunkEntry>, Error> {
        let rank = u32::try_from(owner.shape.len()).unwrap_or(u32::MAX);
        let lengths: Vec<u32> =
            self.shape.iter().map(|n| u32::try_from(*n).unwrap_or(u32::MAX)).collect();
        let (offset_size, length_size) = (frame.offset_size, frame.length_size);
        // The indexes of datasets that cannot grow without limit count the chunks of the largest
        // extent, not those of today's.
        let largest = self.max_shape.as_deref().unwrap_or(owner.shape);
        match self.kind {
            IndexKind::BTreeV1 => collect_btree_v1_leaves_storage(
                storage,
                address,
                offset_size,
                length_size,
                Some(rank),
                &lengths,
                None,
            )?
            .into_iter()
            .map(|(key, address)| match key {
                BTreeV1Key::RawData { chunk_size, filter_mask, mut offsets } => {
                    // The key has one more offset, inside the element.
                    offsets.truncate(owner.shape.len());
                    Ok(ChunkEntry { address, size: chunk_size.into(), filter_mask, offsets })
                }
                BTreeV1Key::Group { .. } => {
                    Err(Error::InvalidData("the chunk index is an index of a group".to_owned()))
                }
            })
            .collect(),
            IndexKind::BTreeV2 => collect_v2_chunk_entries_storage(
                storage,
                address,
                offset_size,
                length_size,
                rank,
                &lengths,
                None,
            ),
            IndexKind::Single { bytes, mask } => Ok(vec![ChunkEntry {
                address,
                size: bytes,
                filter_mask: mask,
                offsets: vec![0; owner.shape.len()],
            }]),
            IndexKind::Implicit => collect_implicit_chunk_entries(
                address,
                largest,
                &lengths,
                owner.element,
                None,
                storage.len(),
            ),
            IndexKind::FixedArray => collect_fixed_array_chunk_entries_storage(
                storage,
                address,
                offset_size,
                length_size,
                largest,
                &lengths,
                None,
            ),
            IndexKind::ExtensibleArray => collect_extensible_array_chunk_entries_storage(
                storage,
                address,
                offset_size,
                length_size,
                owner.shape,
                self.max_shape.as_deref(),
                &lengths,
                None,
            ),
        }
    }
}
