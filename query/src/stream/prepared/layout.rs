//! Which blocks are kept in one file.
//!
//! Blocks are small, so that a shuffled window has rows of many places. Files are large, so that rows which follow each
//! other lie side by side for many batches, and a client that maps opens few of them.

use super::{Mapped, Name};
use arrow::array::RecordBatch;
use std::ops::Range;

/// Bytes that a file of several blocks aims at.
const PACK_BYTES: u64 = 64 << 20;

/// The blocks of a table and their files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// First row of each block, and the end of the last.
    starts: Vec<u64>,
    /// Blocks of a file.
    per_pack: usize,
}

impl Layout {
    /// For blocks of so many rows, of which each takes about `row_bytes`.
    pub(crate) fn new(rows: &[u64], row_bytes: u64) -> Self {
        let mut starts = Vec::with_capacity(rows.len().saturating_add(1));
        let mut end = 0_u64;
        starts.push(end);
        for rows in rows {
            end = end.saturating_add(*rows);
            starts.push(end);
        }
        let block = (end / (rows.len() as u64).max(1)).saturating_mul(row_bytes).max(1);
        let per_pack = usize::try_from(PACK_BYTES / block).unwrap_or(usize::MAX);
        Self { starts, per_pack: per_pack.clamp(1, rows.len().max(1)) }
    }

    /// Blocks of a file.
    pub(crate) fn per_pack(&self) -> usize {
        self.per_pack
    }

    /// The file that a block is in when it is in its place.
    pub(super) fn name(&self, block: usize) -> Name {
        if self.per_pack == 1 { Name::Block(block) } else { Name::Pack(block / self.per_pack) }
    }

    /// All files of the table.
    pub(super) fn packs(&self) -> impl Iterator<Item = Name> + use<> {
        let (count, per_pack) = (self.starts.len().saturating_sub(1), self.per_pack);
        (0..count.div_ceil(per_pack))
            .map(move |number| if per_pack == 1 { Name::Block(number) } else { Name::Pack(number) })
    }

    /// The blocks of a file.
    pub(super) fn blocks(&self, name: Name) -> Range<usize> {
        let count = self.starts.len().saturating_sub(1);
        let (first, blocks) = match name {
            Name::Block(number) => (number, 1),
            Name::Pack(number) => (number.saturating_mul(self.per_pack), self.per_pack),
        };
        first.min(count)..first.saturating_add(blocks).min(count)
    }

    fn start(&self, block: usize) -> u64 {
        self.starts.get(block).copied().unwrap_or(0)
    }

    /// The rows of a file.
    pub(super) fn rows(&self, name: Name) -> u64 {
        let blocks = self.blocks(name);
        self.start(blocks.end).saturating_sub(self.start(blocks.start))
    }

    /// A block in the rows of a file.
    pub(super) fn mapped(&self, batch: RecordBatch, block: usize, name: Name) -> Mapped {
        let begins = self.blocks(name).start;
        let first = self.start(block).saturating_sub(self.start(begins));
        let pack = match name {
            Name::Block(_) => None,
            Name::Pack(_) => Some(begins),
        };
        Mapped { batch, first: usize::try_from(first).unwrap_or(usize::MAX), pack }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_file_and_files_follow_each_other() {
        for (rows, row_bytes) in [
            (vec![42_u64; 476], 49_152_u64),
            (vec![3, 0, 5, 1], 1),
            (vec![7], 1 << 40),
            (vec![100, 50], PACK_BYTES / 100),
            (vec![], 8),
        ] {
            let layout = Layout::new(&rows, row_bytes);
            let packs: Vec<Name> = layout.packs().collect();
            let blocks: Vec<usize> = packs.iter().flat_map(|name| layout.blocks(*name)).collect();
            assert_eq!(blocks, (0..rows.len()).collect::<Vec<_>>());
            let sum: u64 = packs.iter().map(|name| layout.rows(*name)).sum();
            assert_eq!(sum, rows.iter().sum::<u64>());
            for name in packs {
                for block in layout.blocks(name) {
                    assert_eq!(layout.name(block), name);
                }
            }
        }
        assert_eq!(Layout::new(&[42; 476], 49_152).per_pack(), 32);
        assert_eq!(Layout::new(&[100, 50], PACK_BYTES / 100).per_pack(), 1);
    }
}
