//! A region of a dataset: which bytes, and where they go.

use super::chunks::{ChunkIndex, Owner};
use super::filters;
use super::heap::Heap;
use super::index::{Frame, H5Dataset, Layout};
use super::values::{self, Place};
use crate::error::FormatError;
use crate::fetch::fetch;
use crate::hyperslab::{self, Runs};
use crate::reader::region_bytes;
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use arrow::buffer::MutableBuffer;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Largest chunk that is decoded.
const MAX_CHUNK_BYTES: u64 = 512 * 1024 * 1024;
/// Most runs of a contiguous dataset that are planned at once.
const PLAN: usize = 65_536;

/// One dataset of an open file.
pub(super) struct Read<'a> {
    pub(super) source: &'a Arc<dyn ByteSource>,
    pub(super) frame: Frame,
    pub(super) dataset: &'a H5Dataset,
}

impl Read<'_> {
    /// The values of a region, which may reach past the stored extent of unlimited dimensions:
    /// there, and where nothing was written, they are the fill value.
    pub(super) fn region(&self, region: &Region) -> Result<ArrayRef, FormatError> {
        let dataset = self.dataset;
        let size = dataset.datatype.size();
        let (cells, bytes) = region_bytes(self.location(), &dataset.path, region.cells(), size)?;
        let mut values = MutableBuffer::from_len_zeroed(bytes);
        if let Some(fill) = dataset.fill.as_ref().filter(|fill| fill.iter().any(|b| *b != 0)) {
            values.chunks_exact_mut(size).for_each(|cell| cell.copy_from_slice(fill));
        }
        let extent: Vec<Range<u64>> = dataset.shape.iter().map(|n| 0..*n).collect();
        let stored = hyperslab::overlap(region.ranges(), &extent);
        let mut into = Target { values: &mut values, region: region.ranges(), stored: &stored };
        if stored.iter().all(|range| range.start < range.end) {
            match &dataset.layout {
                Layout::Compact(bytes) => {
                    hyperslab::copy(bytes, &extent, into.values, into.region, &stored, size)
                        .ok_or_else(|| self.corrupt("its values are shorter than its shape"))?;
                }
                Layout::Contiguous(None) => {}
                Layout::Contiguous(Some(address)) => {
                    self.contiguous(*address, &extent, &mut into)?;
                }
                Layout::Chunked(index) => self.chunked(index, &mut into)?,
            }
        }
        let place = Place { location: self.location(), path: &dataset.path };
        let heap = dataset.datatype.is_variable().then(|| self.heap(&values)).transpose()?;
        values::array(place, &dataset.datatype, values, cells, heap.as_ref())
    }

    fn location(&self) -> &str {
        self.source.location()
    }

    fn corrupt(&self, problem: impl Into<String>) -> FormatError {
        FormatError::corrupt(self.location(), &self.dataset.path, problem)
    }

    fn overflow(&self) -> FormatError {
        self.corrupt("its values lie past the end of any file")
    }

    fn contiguous(
        &self,
        address: u64,
        extent: &[Range<u64>],
        into: &mut Target<'_>,
    ) -> Result<(), FormatError> {
        let size = self.dataset.datatype.size();
        let wide = size as u64;
        let begin = address.checked_add(self.frame.base).ok_or_else(|| self.overflow())?;
        let mut runs =
            Runs::new(extent, into.region, into.stored).ok_or_else(|| self.overflow())?.peekable();
        while runs.peek().is_some() {
            let mut ranges = Vec::new();
            let mut places = Vec::new();
            for (from, to, length) in runs.by_ref().take(PLAN) {
                let run = || {
                    let start = begin.checked_add(from.checked_mul(wide)?)?;
                    let end = start.checked_add(length.checked_mul(wide)?)?;
                    Some((start..end, usize::try_from(to.checked_mul(wide)?).ok()?))
                };
                let (range, place) = run().ok_or_else(|| self.overflow())?;
                ranges.push(range);
                places.push(place);
            }
            fetch(self.source.as_ref(), &ranges, |run, bytes| {
                places
                    .get(run)
                    .and_then(|at| into.values.get_mut(*at..at.checked_add(bytes.len())?))
                    .map(|target| target.copy_from_slice(bytes))
                    .ok_or_else(|| self.overflow())
            })?;
        }
        Ok(())
    }

    fn chunked(&self, index: &ChunkIndex, into: &mut Target<'_>) -> Result<(), FormatError> {
        let dataset = self.dataset;
        let element = dataset.datatype.size();
        let owner = Owner { path: &dataset.path, shape: &dataset.shape, element };
        let table = index.table(self.source, self.frame, owner)?;
        let bytes = index.shape.iter().try_fold(element as u64, |bytes, n| bytes.checked_mul(*n));
        let needed = bytes.unwrap_or(u64::MAX);
        let size = bytes.filter(|bytes| *bytes <= MAX_CHUNK_BYTES);
        let size = size.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
            FormatError::TooLarge {
                location: self.location().to_owned(),
                place: dataset.path.clone(),
                what: "one chunk".to_owned(),
                needed,
                limit: MAX_CHUNK_BYTES,
            }
        })?;

        let axes = into.stored.iter().zip(&index.shape);
        let touched: Vec<_> =
            axes.map(|(range, chunk)| range.start / chunk..range.end.div_ceil(*chunk)).collect();
        let chunks = table.in_box(&touched);
        let ranges = chunks
            .iter()
            .map(|(_, chunk)| Some(chunk.start..chunk.start.checked_add(chunk.bytes)?))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.overflow())?;
        fetch(self.source.as_ref(), &ranges, |at, stored| {
            let Some((place, chunk)) = chunks.get(at) else { return Ok(()) };
            let filters = &dataset.filters;
            let undo = || filters::undo(filters, chunk.mask, stored, element, size);
            let values = catch_unwind(AssertUnwindSafe(undo))
                .unwrap_or_else(|_| Err("its filters cannot be undone".to_owned()))
                .map_err(|problem| self.corrupt(format!("chunk {place:?}: {problem}")))?;
            let inside: Option<Vec<_>> = place
                .iter()
                .zip(&index.shape)
                .map(|(i, n)| Some(i.checked_mul(*n)?..i.checked_add(1)?.checked_mul(*n)?))
                .collect();
            inside
                .and_then(|inside| {
                    let common = hyperslab::overlap(&inside, into.stored);
                    hyperslab::copy(&values, &inside, into.values, into.region, &common, element)
                })
                .ok_or_else(|| self.overflow())
        })
    }

    /// The heaps that the references among `values` point to.
    fn heap(&self, values: &[u8]) -> Result<Heap, FormatError> {
        let datatype = &self.dataset.datatype;
        let mut places = Vec::new();
        for element in values.chunks_exact(datatype.size()) {
            references(datatype, element, &mut places);
        }
        let (source, path) = (self.source.as_ref(), &self.dataset.path);
        Heap::load(source, self.frame, path, places.into_iter())
    }
}

/// Where the values of a region go.
struct Target<'a> {
    values: &'a mut [u8],
    /// The region asked for, which `values` holds.
    region: &'a [Range<u64>],
    /// The part of it inside the stored extent.
    stored: &'a [Range<u64>],
}

/// The references to heaps inside an element.
fn references<'a>(
    datatype: &super::datatype::Datatype,
    element: &'a [u8],
    places: &mut Vec<&'a [u8]>,
) {
    use super::datatype::Datatype;
    match datatype {
        Datatype::VariableString { .. } | Datatype::Variable { .. } => places.push(element),
        Datatype::Array { base, .. } if base.is_variable() => {
            element.chunks_exact(base.size()).for_each(|inner| references(base, inner, places));
        }
        Datatype::Compound { members, .. } => {
            for member in members.iter().filter(|member| member.datatype.is_variable()) {
                let end = member.offset.saturating_add(member.datatype.size());
                if let Some(inner) = element.get(member.offset..end) {
                    references(&member.datatype, inner, places);
                }
            }
        }
        _ => {}
    }
}
