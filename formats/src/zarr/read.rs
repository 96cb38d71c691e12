//! A region of an array: which chunks, and where their elements go.
//!
//! A chunk that is wanted whole is decoded straight into the memory that becomes the array, where its
//! elements lie side by side there. A chunk that is wanted in part is decoded once and kept.

use super::ZarrReader;
use super::array::Array;
use super::shards::Part;
use super::{transpose, values};
use crate::error::FormatError;
use crate::hyperslab::{self, Runs};
use crate::keys::Span;
use crate::reader::region_bytes;
use crate::region::Region;
use arrow::array::ArrayRef;
use arrow::buffer::{Buffer, MutableBuffer};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Largest chunk that is decoded.
pub(super) const MAX_CHUNK_BYTES: usize = 512 << 20;
/// Most chunks that are asked for at once.
const AT_ONCE: usize = 256;
/// Bytes of memory for one element without a fixed length.
const REFERENCE: usize = 16;

/// One array of an open store.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub(super) reader: &'a ZarrReader,
    /// Place of the array in the store.
    pub(super) number: u64,
    pub(super) array: &'a Array,
    pub(super) path: &'a str,
}

/// A chunk that a region touches.
pub(super) struct Piece {
    /// Indices of the chunk along each dimension.
    pub(super) place: Vec<u64>,
    /// What tells it from other chunks of the array.
    pub(super) number: u64,
    /// The chunk's box in the array, past its extent too.
    inside: Vec<Range<u64>>,
    /// What of the chunk is wanted.
    common: Vec<Range<u64>>,
    /// Whether that is all of it that lies inside the extent.
    whole: bool,
}

/// Memory that is used for one chunk after the other.
#[derive(Default)]
struct Scratch {
    decoded: Vec<u8>,
    turned: Vec<u8>,
}

impl Read<'_> {
    /// The values of a region.
    pub(super) fn region(&self, region: &Region) -> Result<ArrayRef, FormatError> {
        let element = &self.array.element;
        if element.is_variable() {
            return self.variable(region);
        }
        let location = self.reader.keys.location();
        let (cells, bytes) = region_bytes(location, self.path, region.cells(), element.size)?;
        let mut target = MutableBuffer::from_len_zeroed(bytes);
        if cells > 0 {
            self.fixed(region.ranges(), &mut target)?;
        }
        values::array(element, target, cells)?.map_err(|problem| self.corrupt(None, problem))
    }

    fn fixed(&self, region: &[Range<u64>], target: &mut [u8]) -> Result<(), FormatError> {
        let size = self.chunk_size()?;
        let mut scratch = Scratch::default();
        let fill = Some(&self.array.fill).filter(|fill| fill.iter().any(|byte| *byte != 0));
        self.each(region, size, |piece, stored| {
            let stored = match stored {
                Stored::Kept(kept) => return self.place(&kept, &piece, region, target),
                Stored::Bytes(stored) => stored,
                Stored::Missing => {
                    let Some(fill) = fill else { return Ok(()) };
                    return self.fill(fill, &piece, region, target);
                }
            };
            if !piece.whole {
                let key = (self.number, piece.number);
                let kept = self.reader.chunks.get_or_decode(key, size, || {
                    self.decode(&piece, &stored, size, &mut scratch)?;
                    Ok::<_, FormatError>(Buffer::from(self.result(&scratch)))
                })?;
                return self.place(&kept, &piece, region, target);
            }
            if self.array.order.is_none()
                && let Some(target) = side_by_side(&piece, region, self.array.element.size, target)
                && target.len() == size
            {
                return self.undo(&piece, || self.array.chain.undo_into(&stored, target));
            }
            self.decode(&piece, &stored, size, &mut scratch)?;
            self.place(self.result(&scratch), &piece, region, target)
        })
    }

    /// The values of a region of elements without a fixed length.
    fn variable(&self, region: &Region) -> Result<ArrayRef, FormatError> {
        let location = self.reader.keys.location();
        let (cells, _) = region_bytes(location, self.path, region.cells(), REFERENCE)?;
        let count = self.array.chunk.iter().try_fold(1_u64, |count, n| count.checked_mul(*n));
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count
            .filter(|count| count.checked_mul(REFERENCE).is_some_and(|n| n <= MAX_CHUNK_BYTES));
        let count = count.ok_or_else(|| self.too_large("one chunk", u64::MAX, MAX_CHUNK_BYTES))?;
        let mut pieces: Vec<(Piece, Option<Buffer>)> = Vec::new();
        let mut bytes = 0_usize;
        if cells > 0 {
            self.each(region.ranges(), count.saturating_mul(REFERENCE), |piece, stored| {
                let buffer = match stored {
                    Stored::Missing => None,
                    Stored::Kept(kept) => Some(kept),
                    Stored::Bytes(stored) => Some(self.texts(&piece, &stored)?),
                };
                bytes = bytes.saturating_add(buffer.as_ref().map_or(0, Buffer::len));
                if i32::try_from(bytes).is_err() {
                    let what = "one read of texts (ask for a smaller region)";
                    return Err(self.too_large(what, bytes as u64, i32::MAX as usize));
                }
                pieces.push((piece, buffer));
                Ok(())
            })?;
        }
        let mut elements: Vec<&[u8]> = vec![&self.array.fill; cells];
        for (piece, buffer) in &pieces {
            let Some(buffer) = buffer else { continue };
            let chunk = values::variable(buffer, count);
            let mut chunk = chunk.map_err(|problem| self.corrupt(Some(piece), problem))?;
            if let Some(order) = &self.array.order {
                let mut turned = vec![[].as_slice(); count];
                transpose::undo(&chunk, &self.shape()?, order, &mut turned)
                    .ok_or_else(|| self.overflow())?;
                chunk = turned;
            }
            for run in self.runs(piece, region.ranges())? {
                let (from, to) = run_of(run, 1).ok_or_else(|| self.overflow())?;
                let from = chunk.get(from).ok_or_else(|| self.overflow())?;
                elements.get_mut(to).ok_or_else(|| self.overflow())?.copy_from_slice(from);
            }
        }
        values::variable_array(&self.array.element.kind, &elements)
            .map_err(|problem| self.corrupt(None, problem))
    }

    /// A chunk of elements without a fixed length, kept for the next read.
    fn texts(&self, piece: &Piece, stored: &[u8]) -> Result<Buffer, FormatError> {
        let mut decoded = vec![];
        self.undo(piece, || {
            decoded = self.array.chain.undo(stored, MAX_CHUNK_BYTES)?;
            Ok(())
        })?;
        let length = decoded.len();
        let buffer = Buffer::from(decoded);
        let key = (self.number, piece.number);
        self.reader.chunks.get_or_decode(key, length, || Ok::<_, FormatError>(buffer))
    }

    /// Hands every chunk that a region touches to `work`, as it is stored. `size` is about what a
    /// chunk takes.
    fn each(
        &self,
        region: &[Range<u64>],
        size: usize,
        mut work: impl FnMut(Piece, Stored) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        let batch = usize::try_from(self.reader.keys.access().batch).unwrap_or(usize::MAX);
        let at_once = (batch / size.max(1)).clamp(1, AT_ONCE);
        let touched: Vec<Range<u64>> = region
            .iter()
            .zip(&self.array.chunk)
            .map(|(range, chunk)| range.start / chunk..range.end.div_ceil(*chunk))
            .collect();
        let mut places = Some(touched.iter().map(|range| range.start).collect::<Vec<u64>>());
        while places.is_some() {
            let mut missing = Vec::new();
            while let Some(place) = places.as_mut().filter(|_| missing.len() < at_once) {
                let piece = self.piece(place, region).ok_or_else(|| self.overflow())?;
                if !advance(place, &touched) {
                    places = None;
                }
                match self.reader.chunks.get((self.number, piece.number)) {
                    Some(kept) => work(piece, Stored::Kept(kept))?,
                    None => missing.push(piece),
                }
            }
            if self.array.shard.is_some() {
                for (piece, stored) in self.in_shards(missing)? {
                    work(piece, stored.map_or(Stored::Missing, Stored::Bytes))?;
                }
                continue;
            }
            let most = self.array.chain.most_stored(if self.array.element.is_variable() {
                MAX_CHUNK_BYTES
            } else {
                size
            });
            let wanted: Vec<_> = missing
                .iter()
                .map(|piece| (self.key(&piece.place), Span::Whole(most as u64)))
                .collect();
            for (piece, stored) in missing.into_iter().zip(self.reader.keys.read(&wanted)?) {
                let stored = stored.map(|bytes| Part { range: 0..bytes.len(), bytes });
                work(piece, stored.map_or(Stored::Missing, Stored::Bytes))?;
            }
        }
        Ok(())
    }

    /// `None` where its numbers are larger than can be counted.
    fn piece(&self, place: &[u64], region: &[Range<u64>]) -> Option<Piece> {
        let axes = place.iter().zip(&self.array.chunk);
        let inside: Vec<Range<u64>> = axes
            .map(|(i, n)| Some(i.checked_mul(*n)?..i.checked_add(1)?.checked_mul(*n)?))
            .collect::<Option<_>>()?;
        let common = hyperslab::overlap(&inside, region);
        let extent: Vec<_> = self.array.shape.iter().map(|n| 0..*n).collect();
        let whole = hyperslab::overlap(&inside, &extent) == common;
        let counts =
            self.array.shape.iter().zip(&self.array.chunk).map(|(n, chunk)| n.div_ceil(*chunk));
        let number = place.iter().zip(counts).try_fold(0_u64, |number, (index, count)| {
            number.checked_mul(count)?.checked_add(*index)
        })?;
        Some(Piece { place: place.to_vec(), number, inside, common, whole })
    }

    /// The key of a chunk, or of a shard.
    pub(super) fn key(&self, place: &[u64]) -> String {
        self.array.keys.key(&self.array.key, place)
    }

    /// Bytes of a decoded chunk.
    fn chunk_size(&self) -> Result<usize, FormatError> {
        let bytes = self.array.chunk_bytes();
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .filter(|bytes| *bytes <= MAX_CHUNK_BYTES)
            .ok_or_else(|| self.too_large("one chunk", bytes.unwrap_or(u64::MAX), MAX_CHUNK_BYTES))
    }

    fn shape(&self) -> Result<Vec<usize>, FormatError> {
        let shape = self.array.chunk.iter().map(|n| usize::try_from(*n).ok());
        shape.collect::<Option<_>>().ok_or_else(|| self.overflow())
    }

    /// Decodes a chunk into the scratch memory, in C order.
    fn decode(
        &self,
        piece: &Piece,
        stored: &[u8],
        size: usize,
        scratch: &mut Scratch,
    ) -> Result<(), FormatError> {
        let Scratch { decoded, turned } = scratch;
        self.undo(piece, || {
            self.array.chain.plausible(stored.len(), size)?;
            decoded.resize(size, 0);
            self.array.chain.undo_into(stored, decoded)
        })?;
        if let Some(order) = &self.array.order {
            turned.resize(size, 0);
            let element = self.array.element.size;
            transpose::undo_bytes(decoded, &self.shape()?, order, element, turned)
                .ok_or_else(|| self.overflow())?;
        }
        Ok(())
    }

    /// What [`Self::decode`] left.
    fn result<'s>(&self, scratch: &'s Scratch) -> &'s [u8] {
        if self.array.order.is_some() { &scratch.turned } else { &scratch.decoded }
    }

    fn undo(
        &self,
        piece: &Piece,
        work: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), FormatError> {
        catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|_| Err("its codecs cannot be undone".to_owned()))
            .map_err(|problem| self.corrupt(Some(piece), problem))
    }

    /// Puts the wanted part of a chunk where it belongs in the region.
    fn place(
        &self,
        chunk: &[u8],
        piece: &Piece,
        region: &[Range<u64>],
        target: &mut [u8],
    ) -> Result<(), FormatError> {
        let element = self.array.element.size;
        for run in self.runs(piece, region)? {
            run_of(run, element)
                .and_then(|(from, to)| {
                    target.get_mut(to)?.copy_from_slice(chunk.get(from)?);
                    Some(())
                })
                .ok_or_else(|| self.overflow())?;
        }
        Ok(())
    }

    /// Puts the fill value where a chunk would be.
    fn fill(
        &self,
        fill: &[u8],
        piece: &Piece,
        region: &[Range<u64>],
        target: &mut [u8],
    ) -> Result<(), FormatError> {
        for run in self.runs(piece, region)? {
            let to = run_of(run, fill.len()).and_then(|(_, to)| target.get_mut(to));
            let to = to.ok_or_else(|| self.overflow())?;
            to.chunks_exact_mut(fill.len()).for_each(|cell| cell.copy_from_slice(fill));
        }
        Ok(())
    }

    fn runs(&self, piece: &Piece, region: &[Range<u64>]) -> Result<Runs, FormatError> {
        Runs::new(&piece.inside, region, &piece.common).ok_or_else(|| self.overflow())
    }

    /// Damage in a chunk, or in values.
    pub(super) fn corrupt(&self, piece: Option<&Piece>, problem: impl Into<String>) -> FormatError {
        let place = match (piece, &self.array.shard) {
            (None, _) => self.path.to_owned(),
            (Some(piece), None) => format!("{}, key {}", self.path, self.key(&piece.place)),
            (Some(piece), Some(shard)) => {
                let key = self.key(&shard.of(&piece.place));
                format!("{}, key {key}, chunk {:?}", self.path, piece.place)
            }
        };
        FormatError::corrupt(self.reader.keys.location(), place, problem)
    }

    pub(super) fn overflow(&self) -> FormatError {
        self.corrupt(None, "numbers larger than any array has")
    }

    pub(super) fn too_large(&self, what: &str, needed: u64, limit: usize) -> FormatError {
        FormatError::TooLarge {
            location: self.reader.keys.location().to_owned(),
            place: self.path.to_owned(),
            what: what.to_owned(),
            needed,
            limit: limit as u64,
        }
    }
}

/// A chunk before it is decoded, or after.
enum Stored {
    Kept(Buffer),
    Bytes(Part),
    Missing,
}

/// The next place in C order; whether there is one.
fn advance(place: &mut [u64], touched: &[Range<u64>]) -> bool {
    for (index, range) in place.iter_mut().zip(touched).rev() {
        *index += 1;
        if *index < range.end {
            return true;
        }
        *index = range.start;
    }
    false
}

/// A run of elements as ranges of bytes of the chunk and of the region.
fn run_of(
    (from, to, length): (u64, u64, u64),
    element: usize,
) -> Option<(Range<usize>, Range<usize>)> {
    let bytes = |elements: u64| usize::try_from(elements).ok()?.checked_mul(element);
    let (from, to, length) = (bytes(from)?, bytes(to)?, bytes(length)?);
    Some((from..from.checked_add(length)?, to..to.checked_add(length)?))
}

/// The bytes of a region that are all of a chunk, if the whole chunk lies side by side there.
fn side_by_side<'t>(
    piece: &Piece,
    region: &[Range<u64>],
    element: usize,
    target: &'t mut [u8],
) -> Option<&'t mut [u8]> {
    let mut runs = Runs::new(&piece.inside, region, &piece.common)?;
    let run = runs.next()?;
    if runs.next().is_some() {
        return None;
    }
    let (from, to) = run_of(run, element)?;
    (from.start == 0).then(|| target.get_mut(to)).flatten()
}
