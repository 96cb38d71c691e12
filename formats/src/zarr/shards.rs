//! Chunks in shards: one key holds many, and an index of where they are.
//!
//! Specification: "Sharding codec" of Zarr v3. The index has two 64-bit numbers for each chunk of the
//! shard, in C order: its first byte and its length; both are 2^64 - 1 for a chunk that is not there.

use super::array::Shard;
use super::crc32c;
use super::read::{Piece, Read};
use crate::elements::ByteOrder;
use crate::error::FormatError;
use crate::keys::Span;
use arrow::buffer::Buffer;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::{Deref, Range};

/// Most bytes of the index of a shard.
const MOST_INDEX: u64 = 64 << 20;
/// Bytes of an entry of the index.
const ENTRY: u64 = 16;
/// Set in the number under which the index of a shard is kept.
const INDEX: u64 = 1 << 63;

/// Some bytes of a key.
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) range: Range<usize>,
}

impl Deref for Part {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).unwrap_or_default()
    }
}

impl Shard {
    /// Indices of the shard of a chunk.
    pub(super) fn of(&self, place: &[u64]) -> Vec<u64> {
        place.iter().zip(&self.chunks).map(|(index, chunks)| index / chunks).collect()
    }

    /// Place of a chunk in the index of its shard; `None` on overflow.
    fn entry(&self, place: &[u64]) -> Option<usize> {
        let axes = place.iter().zip(&self.chunks);
        let entry = axes.fold(0_u64, |at, (index, chunks)| at * chunks + index % chunks);
        usize::try_from(entry).ok()
    }
}

impl Read<'_> {
    /// Chunks as they are stored in their shards, in the order in which they lie there.
    pub(super) fn in_shards(
        &self,
        pieces: Vec<Piece>,
    ) -> Result<Vec<(Piece, Option<Part>)>, FormatError> {
        let Some(shard) = &self.array.shard else { return Ok(vec![]) };
        let indices = self.indices(shard, &pieces)?;
        let mut found = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let place = shard.of(&piece.place);
            let entry = shard.entry(&piece.place).ok_or_else(|| self.overflow())?;
            let range = indices.get(&place).and_then(|index| chunk(index, entry));
            if let Some(range) = &range {
                let bytes = range.end.checked_sub(range.start);
                let most = self.array.chunk_bytes().and_then(|bytes| usize::try_from(bytes).ok());
                let most = if self.array.element.is_variable() {
                    Some(super::read::MAX_CHUNK_BYTES)
                } else {
                    most
                };
                let most = self.array.chain.most_stored(most.unwrap_or(0)) as u64;
                if bytes.is_none_or(|bytes| bytes > most) {
                    let problem = format!("its index places it at bytes {range:?}");
                    return Err(self.corrupt(Some(&piece), problem));
                }
            }
            found.push((piece, place, range));
        }
        found.sort_by(|a, b| {
            let place = |entry: &(Piece, Vec<u64>, Option<Range<u64>>)| {
                (entry.1.clone(), entry.2.as_ref().map(|range| range.start))
            };
            place(a).cmp(&place(b))
        });
        self.ranges(found)
    }

    /// The bytes of the ranges, near neighbours in one request.
    fn ranges(
        &self,
        found: Vec<(Piece, Vec<u64>, Option<Range<u64>>)>,
    ) -> Result<Vec<(Piece, Option<Part>)>, FormatError> {
        let access = self.reader.keys.access();
        let mut runs: Vec<(Vec<u64>, Range<u64>)> = Vec::new();
        let mut of_piece = Vec::with_capacity(found.len());
        for (_, place, range) in &found {
            let Some(range) = range else {
                of_piece.push(None);
                continue;
            };
            match runs.last_mut() {
                Some((own, run))
                    if own == place
                        && range.start <= run.end.saturating_add(access.gap)
                        && range.end.max(run.end) - run.start <= access.run =>
                {
                    run.end = run.end.max(range.end);
                }
                _ => runs.push((place.clone(), range.clone())),
            }
            of_piece.push(Some(runs.len() - 1));
        }
        let wanted: Vec<_> =
            runs.iter().map(|(place, run)| (self.key(place), Span::Range(run.clone()))).collect();
        let read = self.reader.keys.read(&wanted)?;
        let mut parts = Vec::with_capacity(found.len());
        for ((piece, _, range), run) in found.into_iter().zip(of_piece) {
            let part = match (run, range) {
                (Some(run), Some(range)) => {
                    let start = runs.get(run).map_or(0, |(_, run)| run.start);
                    let bytes = read.get(run).cloned().flatten();
                    let part = bytes.and_then(|bytes| {
                        let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
                        let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
                        Some(Part { bytes, range: from..to })
                    });
                    // Its index was there a moment ago.
                    let gone = || self.corrupt(Some(&piece), "it is gone");
                    Some(part.ok_or_else(gone)?)
                }
                _ => None,
            };
            parts.push((piece, part));
        }
        Ok(parts)
    }

    /// The indices of the shards of some chunks, by shard; empty for a shard that is not there.
    fn indices(
        &self,
        shard: &Shard,
        pieces: &[Piece],
    ) -> Result<BTreeMap<Vec<u64>, Buffer>, FormatError> {
        let entries = shard.count().and_then(|count| count.checked_mul(ENTRY));
        let bytes = entries.filter(|bytes| *bytes <= MOST_INDEX).ok_or_else(|| {
            self.too_large("the index of a shard", entries.unwrap_or(u64::MAX), 64 << 20)
        })?;
        let stored = bytes + if shard.index_checksum { 4 } else { 0 };
        let span = if shard.index_at_end { Span::Last(stored) } else { Span::Range(0..stored) };
        let mut indices = BTreeMap::new();
        let mut missing: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        for piece in pieces {
            let place = shard.of(&piece.place);
            if indices.contains_key(&place) || missing.contains_key(&place) {
                continue;
            }
            let number = self.shard_number(shard, &place).ok_or_else(|| self.overflow())?;
            match self.reader.chunks.get((self.number | INDEX, number)) {
                Some(index) => drop(indices.insert(place, index)),
                None => drop(missing.insert(place, number)),
            }
        }
        let wanted: Vec<_> = missing.keys().map(|place| (self.key(place), span.clone())).collect();
        for ((place, number), read) in missing.into_iter().zip(self.reader.keys.read(&wanted)?) {
            let index = match read {
                Some(read) => self.index(shard, &place, &read)?,
                None => Buffer::from(Vec::<u8>::new()),
            };
            let kept = index.clone();
            let key = (self.number | INDEX, number);
            let keep = || Ok::<_, FormatError>(kept);
            self.reader.chunks.get_or_decode(key, index.len().max(64), keep)?;
            indices.insert(place, index);
        }
        Ok(indices)
    }

    /// An index in this machine's order.
    fn index(&self, shard: &Shard, place: &[u64], read: &[u8]) -> Result<Buffer, FormatError> {
        let checked = if shard.index_checksum { crc32c::check(read) } else { Ok(read) };
        let checked = checked.map_err(|problem| {
            let place = format!("{}, key {}", self.path, self.key(place));
            let problem = format!("the index of the shard: {problem}");
            FormatError::corrupt(self.reader.keys.location(), place, problem)
        })?;
        let number = match shard.index_order {
            ByteOrder::Little => |bytes: &[u8; 8]| u64::from_le_bytes(*bytes),
            ByteOrder::Big => |bytes: &[u8; 8]| u64::from_be_bytes(*bytes),
        };
        Ok(Buffer::from_vec(checked.as_chunks::<8>().0.iter().map(number).collect::<Vec<u64>>()))
    }

    fn shard_number(&self, shard: &Shard, place: &[u64]) -> Option<u64> {
        let sizes = self.array.shape.iter().zip(&self.array.chunk).zip(&shard.chunks);
        let mut number = 0_u64;
        for (((length, chunk), chunks), index) in sizes.zip(place) {
            let count = length.div_ceil(chunk.checked_mul(*chunks)?);
            number = number.checked_mul(count)?.checked_add(*index)?;
        }
        Some(number)
    }
}

/// Where a chunk lies, by its entry; `None` if it is not there.
fn chunk(index: &Buffer, entry: usize) -> Option<Range<u64>> {
    let numbers: &[u64] = index.typed_data();
    let (start, bytes) = (numbers.get(entry * 2)?, numbers.get(entry * 2 + 1)?);
    if (*start, *bytes) == (u64::MAX, u64::MAX) {
        return None;
    }
    // One that reaches past all numbers is refused as one that is too long.
    Some(*start..start.checked_add(*bytes).unwrap_or(u64::MAX))
}
