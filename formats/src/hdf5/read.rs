//! A region of a dataset: which bytes, and where they go.

use super::heap::Heap;
use super::index::{Frame, H5Dataset, Layout};
use super::values::{self, Place};
use crate::cache::FileChunks;
use crate::error::FormatError;
use crate::fetch::fetch;
use crate::hyperslab::{self, Runs};
use crate::reader::region_bytes;
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use arrow::buffer::MutableBuffer;
use std::ops::Range;
use std::sync::Arc;

/// Most runs of bytes that are planned at once.
const PLAN: usize = 65_536;

/// One dataset of an open file.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) source: &'a Arc<dyn ByteSource>,
    pub(super) frame: Frame,
    pub(super) dataset: &'a H5Dataset,
    pub(super) chunks: &'a FileChunks,
}

/// A region of a dataset.
pub(super) struct Wanted<'a> {
    pub(super) region: &'a [Range<u64>],
    /// The part of it inside the stored extent.
    pub(super) stored: Vec<Range<u64>>,
    /// Bytes of the region's elements.
    pub(super) bytes: usize,
}

impl Wanted<'_> {
    /// Whether all of it lies inside the stored extent.
    pub(super) fn is_stored(&self) -> bool {
        self.stored == self.region
    }
}

/// Runs of elements in the file: the byte where they begin there, and [`Runs`] of the whole and the
/// region.
pub(super) struct Block {
    pub(super) begin: u64,
    pub(super) runs: Runs,
}

impl Read<'_> {
    /// The values of a region, which may reach past the stored extent of unlimited dimensions:
    /// there, and where nothing was written, they are the fill value.
    pub(super) fn region(&self, region: &Region) -> Result<ArrayRef, FormatError> {
        let dataset = self.dataset;
        let size = dataset.datatype.size();
        let (cells, bytes) = region_bytes(self.location(), &dataset.path, region.cells(), size)?;
        let extent: Vec<Range<u64>> = dataset.shape.iter().map(|n| 0..*n).collect();
        let stored = hyperslab::overlap(region.ranges(), &extent);
        let wanted = Wanted { region: region.ranges(), stored, bytes };
        let values = if wanted.stored.iter().any(Range::is_empty) {
            self.blank(bytes)
        } else {
            match &dataset.layout {
                Layout::Compact(stored) => {
                    let mut values = self.blank(bytes);
                    let (from, to) = (&extent, wanted.region);
                    hyperslab::copy(stored, from, &mut values, to, &wanted.stored, size)
                        .ok_or_else(|| self.corrupt("its values are shorter than its shape"))?;
                    values
                }
                Layout::Contiguous(None) => self.blank(bytes),
                Layout::Contiguous(Some(address)) => {
                    let begin = address.checked_add(self.frame.base);
                    let runs = Runs::new(&extent, wanted.region, &wanted.stored);
                    let block = begin.zip(runs).map(|(begin, runs)| Block { begin, runs });
                    let block = block.ok_or_else(|| self.overflow())?;
                    self.blocks(std::iter::once(block), &wanted, wanted.is_stored())?
                }
                Layout::Chunked(index) => self.chunked(index, &wanted)?,
            }
        };
        let place = Place { location: self.location(), path: &dataset.path };
        let heap = dataset.datatype.is_variable().then(|| self.heap(&values)).transpose()?;
        values::array(place, &dataset.datatype, values, cells, heap.as_ref())
    }

    pub(super) fn location(&self) -> &str {
        self.source.location()
    }

    pub(super) fn corrupt(&self, problem: impl Into<String>) -> FormatError {
        FormatError::corrupt(self.location(), &self.dataset.path, problem)
    }

    pub(super) fn overflow(&self) -> FormatError {
        self.corrupt("its values lie past the end of any file")
    }

    /// Memory full of the fill value.
    pub(super) fn blank(&self, bytes: usize) -> MutableBuffer {
        let fill = self.dataset.fill.as_deref().filter(|fill| fill.iter().any(|b| *b != 0));
        let Some(fill) = fill.filter(|fill| !fill.is_empty()) else {
            return MutableBuffer::from_len_zeroed(bytes);
        };
        let mut values = MutableBuffer::with_capacity(bytes);
        values.repeat_slice_n_times(fill, bytes / fill.len());
        values
    }

    /// Values that are in the file as they are in memory. `covers` says that the blocks hold every
    /// element of the region.
    pub(super) fn blocks(
        &self,
        blocks: impl IntoIterator<Item = Block>,
        wanted: &Wanted<'_>,
        covers: bool,
    ) -> Result<MutableBuffer, FormatError> {
        let wide = self.dataset.datatype.size() as u64;
        let mut runs = blocks.into_iter().flat_map(|Block { begin, runs }| {
            runs.map(move |(from, to, length)| {
                let start = begin.checked_add(from.checked_mul(wide)?)?;
                let end = start.checked_add(length.checked_mul(wide)?)?;
                Some((start..end, usize::try_from(to.checked_mul(wide)?).ok()?))
            })
        });
        let mut values = None;
        loop {
            let plan: Option<Vec<_>> = runs.by_ref().take(PLAN).collect();
            let (ranges, places): (Vec<Range<u64>>, Vec<usize>) =
                plan.ok_or_else(|| self.overflow())?.into_iter().unzip();
            if let ([range], true, None) = (ranges.as_slice(), covers, &values) {
                // The bytes are the values: no copy.
                return Ok(Vec::from(self.source.read(range.clone())?).into());
            }
            let values = values.get_or_insert_with(|| match covers {
                true => MutableBuffer::from_len_zeroed(wanted.bytes),
                false => self.blank(wanted.bytes),
            });
            if ranges.is_empty() {
                break;
            }
            fetch(self.source.as_ref(), &ranges, |run, bytes| {
                places
                    .get(run)
                    .and_then(|at| values.get_mut(*at..at.checked_add(bytes.len())?))
                    .map(|target| target.copy_from_slice(bytes))
                    .ok_or_else(|| self.overflow())
            })?;
        }
        Ok(values.unwrap_or_default())
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
