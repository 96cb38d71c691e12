//! A region of a dataset: which bytes, and where they go.

use super::Hdf5Reader;
use super::datatype::Datatype;
use super::heap::{Heap, Reference};
use super::index::{Frame, H5Dataset, Layout};
use super::values::{self, Around, Place};
use crate::error::FormatError;
use crate::fetch::fetch;
use crate::hyperslab::{self, Runs};
use crate::reader::region_bytes;
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use arrow::buffer::MutableBuffer;
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// Most runs of bytes that are planned at once.
pub(super) const PLAN: usize = 65_536;

/// One dataset of an open file.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) reader: &'a Hdf5Reader,
    pub(super) source: &'a Arc<dyn ByteSource>,
    pub(super) frame: Frame,
    /// Place of the dataset in the index.
    pub(super) place: usize,
    pub(super) dataset: &'a H5Dataset,
    /// Virtual datasets that this one is read for.
    pub(super) depth: u8,
    /// Cells that may yet be read for the parts of virtual datasets.
    pub(super) left: &'a Cell<u64>,
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

impl<'a> Read<'a> {
    /// `None` if there is no such dataset.
    pub(super) fn of(
        reader: &'a Hdf5Reader,
        place: usize,
        depth: u8,
        left: &'a Cell<u64>,
    ) -> Option<Self> {
        let (source, frame) = (&reader.source, reader.index.frame);
        let dataset = reader.index.datasets.get(place)?;
        Some(Self { reader, source, frame, place, dataset, depth, left })
    }

    /// The values of a region, which may reach past the stored extent of unlimited dimensions:
    /// there, and where nothing was written, they are the fill value.
    pub(super) fn region(&self, region: &Region) -> Result<ArrayRef, FormatError> {
        let dataset = self.dataset;
        let (cells, values) = self.stored(region)?;
        let heap = self.heap(&values)?;
        let objects = &self.reader.index.objects;
        let around = Around { frame: self.frame, heap: &heap, objects };
        let place = Place { location: self.location(), path: &dataset.path, around: Some(around) };
        values::array(place, &dataset.datatype, values, cells)
    }

    /// The elements of a region as they are stored, and their number.
    pub(super) fn stored(&self, region: &Region) -> Result<(usize, MutableBuffer), FormatError> {
        let dataset = self.dataset;
        let size = dataset.datatype.size();
        let (cells, bytes) = region_bytes(self.location(), &dataset.path, region.cells(), size)?;
        let extent: Vec<Range<u64>> = dataset.shape.iter().map(|n| 0..*n).collect();
        let stored = hyperslab::overlap(region.ranges(), &extent);
        let wanted = Wanted { region: region.ranges(), stored, bytes };
        let values = if wanted.stored.iter().any(Range::is_empty) {
            self.blank(&wanted)?
        } else {
            match &dataset.layout {
                Layout::Compact(stored) => {
                    let mut values = self.blank(&wanted)?;
                    let (from, to) = (&extent, wanted.region);
                    hyperslab::copy(stored, from, &mut values, to, &wanted.stored, size)
                        .ok_or_else(|| self.corrupt("its values are shorter than its shape"))?;
                    values
                }
                Layout::Contiguous(None) => self.blank(&wanted)?,
                Layout::Contiguous(Some(address)) => {
                    let begin = address.checked_add(self.frame.base);
                    let runs = Runs::new(&extent, wanted.region, &wanted.stored);
                    let block = begin.zip(runs).map(|(begin, runs)| Block { begin, runs });
                    let block = block.ok_or_else(|| self.overflow())?;
                    self.blocks(std::iter::once(block), &wanted, wanted.is_stored())?
                }
                Layout::Chunked(index) => self.chunked(index, &wanted)?,
                Layout::Virtual(_) => self.assembled(&wanted)?,
            }
        };
        Ok((cells, values))
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
                return Ok(self.source.read_owned(range.clone())?.into());
            }
            let values = match &mut values {
                Some(values) => values,
                None if covers => values.insert(MutableBuffer::from_len_zeroed(wanted.bytes)),
                None => values.insert(self.blank(wanted)?),
            };
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

    /// The heaps that the references among `values` point to, and those in the sequences there.
    fn heap(&self, values: &[u8]) -> Result<Heap, FormatError> {
        let datatype = &self.dataset.datatype;
        let mut heap = Heap::new(self.frame);
        if !datatype.is_variable() {
            return Ok(heap);
        }
        let mut found = References { frame: self.frame, plain: vec![], nested: vec![] };
        values.chunks_exact(datatype.size()).for_each(|element| found.add(datatype, element));
        loop {
            let nested = std::mem::take(&mut found.nested);
            let all = found.plain.drain(..).chain(nested.iter().map(|(_, reference)| *reference));
            heap.load(self.source.as_ref(), &self.dataset.path, all)?;
            for (base, reference) in &nested {
                let sequence = heap.value(*reference, base.size());
                let sequence = sequence.map_err(|damaged| self.corrupt(damaged.0))?;
                sequence.chunks_exact(base.size()).for_each(|element| found.add(base, element));
            }
            let count = found.plain.len().saturating_add(found.nested.len());
            if count == 0 {
                return Ok(heap);
            }
            region_bytes(self.location(), &self.dataset.path, Some(count as u64), REFERENCE)?;
        }
    }
}

/// Bytes of memory for one reference.
const REFERENCE: usize = 32;

/// References to heaps.
struct References<'a> {
    frame: Frame,
    plain: Vec<Reference>,
    /// Those to sequences of elements that refer to heaps themselves, with the elements' type.
    nested: Vec<(&'a Datatype, Reference)>,
}

impl<'a> References<'a> {
    /// Adds those inside an element.
    fn add(&mut self, datatype: &'a Datatype, element: &[u8]) {
        match datatype {
            Datatype::VariableString { .. } => {
                self.plain.extend(Reference::sequence(element, self.frame));
            }
            Datatype::Variable { base, .. } => {
                let reference = Reference::sequence(element, self.frame);
                if base.is_variable() {
                    self.nested.extend(reference.map(|reference| (&**base, reference)));
                } else {
                    self.plain.extend(reference);
                }
            }
            Datatype::RegionReference { .. } => {
                self.plain.extend(Reference::object(element, self.frame));
            }
            Datatype::Array { base, .. } if base.is_variable() => {
                element.chunks_exact(base.size()).for_each(|inner| self.add(base, inner));
            }
            Datatype::Compound { members, .. } => {
                for member in members.iter().filter(|member| member.datatype.is_variable()) {
                    let end = member.offset.saturating_add(member.datatype.size());
                    if let Some(inner) = element.get(member.offset..end) {
                        self.add(&member.datatype, inner);
                    }
                }
            }
            _ => {}
        }
    }
}
