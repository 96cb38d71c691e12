//! A region of a chunked dataset.
//!
//! A chunk that is wanted whole, or a run of it, is decoded straight into the memory that becomes
//! the array. A chunk that is wanted in part is decoded once and kept for the other parts.

use super::chunks::{Chunk, ChunkIndex, ChunkTable, Owner};
use super::read::{Block, Read, Wanted};
use crate::error::FormatError;
use crate::fetch::fetch;
use crate::filters::{self, Values};
use crate::hyperslab::{self, Runs};
use arrow::buffer::{Buffer, MutableBuffer};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Largest chunk that is decoded.
const MAX_CHUNK_BYTES: u64 = 512 * 1024 * 1024;

/// A chunk that a region touches.
pub(super) struct Piece {
    pub(super) chunk: Chunk,
    /// The chunk's box in the array, past its extent too.
    inside: Vec<Range<u64>>,
    /// What of the chunk is wanted.
    common: Vec<Range<u64>>,
    /// Whether that is all of it that lies inside the extent.
    whole: bool,
}

impl Piece {
    /// Its first cell.
    pub(super) fn first(&self) -> Vec<u64> {
        self.inside.iter().map(|range| range.start).collect()
    }
}

impl Read<'_> {
    /// The values of a region, which has elements inside the extent.
    pub(super) fn chunked(
        &self,
        index: &ChunkIndex,
        wanted: &Wanted<'_>,
    ) -> Result<MutableBuffer, FormatError> {
        let dataset = self.dataset;
        let element = dataset.datatype.size();
        let owner = Owner { path: &dataset.path, shape: &dataset.shape, element };
        let table = index.table(self.source, self.frame, owner)?;
        let size = self.chunk_size(index)?;
        let axes = wanted.stored.iter().zip(&index.shape);
        let touched: Vec<_> =
            axes.map(|(range, chunk)| range.start / chunk..range.end.div_ceil(*chunk)).collect();
        let pieces = self.pieces(index, table, &touched, wanted)?;
        let places =
            touched.iter().try_fold(1, |n: u64, range| n.checked_mul(range.end - range.start));
        // Whether every element of the region is in a chunk that was written.
        let covers = wanted.is_stored() && places == Some(pieces.len() as u64);

        if dataset.filters.is_empty() {
            let blocks = pieces.iter().map(|Piece { chunk, inside, common, .. }| {
                let runs = Runs::new(inside, wanted.region, common)?;
                Some(Block { begin: chunk.start, runs })
            });
            let blocks: Option<Vec<_>> = blocks.collect();
            return self.blocks(blocks.ok_or_else(|| self.overflow())?, wanted, covers);
        }
        if let ([piece], true) = (pieces.as_slice(), covers) {
            return self.single(piece, wanted, size);
        }
        let mut values =
            if covers { MutableBuffer::from_len_zeroed(wanted.bytes) } else { self.blank(wanted)? };
        let mut missing = Vec::new();
        for piece in &pieces {
            match self.reader.chunks.get((dataset.address, piece.chunk.start)) {
                Some(kept) => {
                    let kept = Values::Plain { bytes: &kept, element };
                    self.place(&kept, piece, wanted, &mut values)?;
                }
                None => missing.push(piece),
            }
        }
        let ranges =
            missing.iter().map(|piece| self.bytes_of(piece)).collect::<Result<Vec<_>, _>>()?;
        fetch(self.source.as_ref(), &ranges, |at, stored| {
            let Some(piece) = missing.get(at) else { return Ok(()) };
            if piece.whole {
                return self.undo(piece, stored, size, |chunk| {
                    self.place(&chunk, piece, wanted, &mut values)
                });
            }
            let kept = self.kept(piece, size, || self.decoded(piece, stored, size))?;
            self.place(&Values::Plain { bytes: &kept, element }, piece, wanted, &mut values)
        })?;
        Ok(values)
    }

    /// The bytes of the chunks that a region touches and that are not kept.
    pub(super) fn chunk_ranges(
        &self,
        index: &ChunkIndex,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Range<u64>>, FormatError> {
        let dataset = self.dataset;
        let element = dataset.datatype.size();
        let owner = Owner { path: &dataset.path, shape: &dataset.shape, element };
        let table = index.table(self.source, self.frame, owner)?;
        let axes = wanted.stored.iter().zip(&index.shape);
        let touched: Vec<_> =
            axes.map(|(range, chunk)| range.start / chunk..range.end.div_ceil(*chunk)).collect();
        let pieces = self.pieces(index, table, &touched, wanted)?;
        let kept =
            |piece: &&Piece| self.reader.chunks.get((dataset.address, piece.chunk.start)).is_none();
        pieces.iter().filter(kept).map(|piece| self.bytes_of(piece)).collect()
    }

    /// The stored chunks at the places of the grid of chunks that a region touches.
    fn pieces(
        &self,
        index: &ChunkIndex,
        table: &ChunkTable,
        touched: &[Range<u64>],
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Piece>, FormatError> {
        table
            .in_box(touched)
            .into_iter()
            .map(|(place, chunk)| self.piece(index, &place, chunk, wanted))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.overflow())
    }

    /// Bytes of a decoded chunk.
    fn chunk_size(&self, index: &ChunkIndex) -> Result<usize, FormatError> {
        let element = self.dataset.datatype.size() as u64;
        let bytes = index.shape.iter().try_fold(element, |bytes, n| bytes.checked_mul(*n));
        let size = bytes.filter(|bytes| *bytes <= MAX_CHUNK_BYTES);
        size.and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| FormatError::TooLarge {
            location: self.location().to_owned(),
            place: self.dataset.path.clone(),
            what: "one chunk".to_owned(),
            needed: bytes.unwrap_or(u64::MAX),
            limit: MAX_CHUNK_BYTES,
        })
    }

    /// `None` where its numbers are larger than any file.
    fn piece(
        &self,
        index: &ChunkIndex,
        place: &[u64],
        chunk: Chunk,
        wanted: &Wanted<'_>,
    ) -> Option<Piece> {
        let axes = place.iter().zip(&index.shape);
        let inside: Vec<Range<u64>> = axes
            .map(|(i, n)| Some(i.checked_mul(*n)?..i.checked_add(1)?.checked_mul(*n)?))
            .collect::<Option<_>>()?;
        let common = hyperslab::overlap(&inside, &wanted.stored);
        let extent: Vec<_> = self.dataset.shape.iter().map(|n| 0..*n).collect();
        let whole = hyperslab::overlap(&inside, &extent) == common;
        Some(Piece { chunk, inside, common, whole })
    }

    /// A region of one chunk.
    fn single(
        &self,
        piece: &Piece,
        wanted: &Wanted<'_>,
        size: usize,
    ) -> Result<MutableBuffer, FormatError> {
        let element = self.dataset.datatype.size();
        let stored = || Ok::<_, FormatError>(self.source.read(self.bytes_of(piece)?)?);
        if !piece.whole {
            let kept = self.kept(piece, size, || self.decoded(piece, &stored()?, size))?;
            return self.cut(&Values::Plain { bytes: &kept, element }, piece, wanted);
        }
        match self.reader.chunks.get((self.dataset.address, piece.chunk.start)) {
            Some(kept) => self.cut(&Values::Plain { bytes: &kept, element }, piece, wanted),
            None => self.undo(piece, &stored()?, size, |chunk| self.cut(&chunk, piece, wanted)),
        }
    }

    /// The wanted part of a chunk, which is all of the region.
    fn cut(
        &self,
        chunk: &Values<'_>,
        piece: &Piece,
        wanted: &Wanted<'_>,
    ) -> Result<MutableBuffer, FormatError> {
        let mut runs = self.runs(piece, wanted)?;
        if let (Some(run), None) = (runs.next(), runs.next()) {
            let values = elements(run).and_then(|(from, _)| chunk.collect(from));
            return values.ok_or_else(|| self.overflow());
        }
        let mut values = MutableBuffer::from_len_zeroed(wanted.bytes);
        self.place(chunk, piece, wanted, &mut values)?;
        Ok(values)
    }

    /// Puts the wanted part of a chunk where it belongs in the region.
    fn place(
        &self,
        chunk: &Values<'_>,
        piece: &Piece,
        wanted: &Wanted<'_>,
        values: &mut [u8],
    ) -> Result<(), FormatError> {
        let element = self.dataset.datatype.size();
        for run in self.runs(piece, wanted)? {
            elements(run)
                .and_then(|(from, to)| {
                    let end = to.checked_add(from.len())?.checked_mul(element)?;
                    let target = values.get_mut(to.checked_mul(element)?..end)?;
                    chunk.write(from, target)
                })
                .ok_or_else(|| self.overflow())?;
        }
        Ok(())
    }

    fn runs(&self, piece: &Piece, wanted: &Wanted<'_>) -> Result<Runs, FormatError> {
        Runs::new(&piece.inside, wanted.region, &piece.common).ok_or_else(|| self.overflow())
    }

    /// Where a chunk's bytes are in the file.
    fn bytes_of(&self, piece: &Piece) -> Result<Range<u64>, FormatError> {
        let Chunk { start, bytes, .. } = piece.chunk;
        let end = start.checked_add(bytes).ok_or_else(|| self.overflow())?;
        Ok(start..end)
    }

    /// A chunk from the cache, or decoded for it.
    fn kept(
        &self,
        piece: &Piece,
        size: usize,
        decode: impl FnOnce() -> Result<Buffer, FormatError>,
    ) -> Result<Buffer, FormatError> {
        self.reader.chunks.get_or_decode((self.dataset.address, piece.chunk.start), size, decode)
    }

    /// All of a chunk.
    fn decoded(&self, piece: &Piece, stored: &[u8], size: usize) -> Result<Buffer, FormatError> {
        let count = size.checked_div(self.dataset.datatype.size()).unwrap_or(0);
        self.undo(piece, stored, size, |chunk| {
            chunk.collect(0..count).map(Buffer::from).ok_or_else(|| self.overflow())
        })
    }

    /// Undoes the filters of a chunk and hands its values to `take`.
    fn undo<R>(
        &self,
        piece: &Piece,
        stored: &[u8],
        size: usize,
        take: impl FnOnce(Values<'_>) -> Result<R, FormatError>,
    ) -> Result<R, FormatError> {
        let filters = &self.dataset.filters;
        let element = self.dataset.datatype.size();
        if filters::are_foreign(filters, piece.chunk.mask) {
            let bytes = self.by_library(piece, stored, size)?;
            return take(Values::Plain { bytes: &bytes, element });
        }
        let undo = || filters::undo(filters, piece.chunk.mask, stored, element, size, take);
        catch_unwind(AssertUnwindSafe(undo))
            .unwrap_or_else(|_| Err("its filters cannot be undone".to_owned()))
            .map_err(|problem| {
                self.corrupt(format!("the chunk at {:?}: {problem}", piece.first()))
            })?
    }
}

/// A run as the elements of the chunk and the first element of the region.
fn elements((from, to, length): (u64, u64, u64)) -> Option<(Range<usize>, usize)> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    Some((from..from.checked_add(usize::try_from(length).ok()?)?, to))
}
