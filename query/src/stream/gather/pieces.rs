//! The blocks of one batch while its rows are collected from them.
//!
//! A shuffled batch has rows of nearly as many blocks as it has rows. What is mapped costs nothing while it is held; of
//! other blocks the rows are taken out as soon as they are more than a few, so that a batch holds about what it weighs
//! and not all that it touches.

use crate::error::QueryError;
use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use std::collections::{BTreeMap, HashMap};

use super::super::blocks::Found;
use super::super::order::Row;
use super::super::prepared::Mapped;
use super::MOST;

/// Most bytes of blocks that are not mapped and held whole until the batch is made.
const HELD: usize = 32 << 20;

/// What a batch needs of each block, and what was found so far.
#[derive(Debug)]
pub(crate) struct Pieces {
    /// Block → the place of each row in the batch, and its number in the block.
    wanted: BTreeMap<usize, Vec<(usize, u64)>>,
    rows: usize,
    pieces: Vec<RecordBatch>,
    /// The piece that is the file of several blocks.
    packs: HashMap<usize, usize>,
    /// Of each row of the batch: which piece, and which row of it.
    indices: Vec<(usize, usize)>,
    held: usize,
    taken: usize,
}

impl Pieces {
    /// For the rows of a batch, in its order.
    pub(crate) fn new(rows: &[Row]) -> Self {
        let mut wanted: BTreeMap<usize, Vec<(usize, u64)>> = BTreeMap::new();
        for (place, row) in rows.iter().enumerate() {
            wanted.entry(row.block).or_default().push((place, row.row));
        }
        let indices = vec![(usize::MAX, 0); rows.len()];
        Self {
            wanted,
            rows: rows.len(),
            pieces: Vec::new(),
            packs: HashMap::new(),
            indices,
            held: 0,
            taken: 0,
        }
    }

    /// The blocks that rows are in.
    pub(crate) fn blocks(&self) -> Vec<usize> {
        self.wanted.keys().copied().collect()
    }

    /// Adds a block of so many rows. One that is not mapped takes memory as long as it is held; those that are mapped
    /// with others are one piece with them, so that rows which follow each other do so in memory too.
    ///
    /// # Errors
    /// [`QueryError::ResourceExhausted`] where the batch becomes too large, and [`QueryError::Internal`] for a row that
    /// is not in its block.
    pub(crate) fn add(&mut self, number: usize, rows: u64, block: Found) -> Result<(), QueryError> {
        let alone = self.wanted.len() == 1 && self.pieces.is_empty();
        let Some(places) = self.wanted.remove(&number) else { return Ok(()) };
        if places.iter().any(|(_, row)| *row >= rows) {
            return Err(missing());
        }
        let block = match block {
            Found::Decoded(block) => block,
            Found::Mapped(Mapped { batch, first, pack }) => {
                let next = self.pieces.len();
                let piece = match pack {
                    Some(pack) => *self.packs.entry(pack).or_insert(next),
                    None => next,
                };
                if piece == next {
                    self.pieces.push(batch);
                }
                for (place, row) in places {
                    let row = usize::try_from(row).ok().and_then(|row| row.checked_add(first));
                    let row = row.ok_or_else(missing)?;
                    *self.indices.get_mut(place).ok_or_else(missing)? = (piece, row);
                }
                return Ok(());
            }
        };
        if block.num_rows() as u64 != rows {
            return Err(missing());
        }
        let bytes = block.get_array_memory_size();
        let whole = alone || self.held.saturating_add(bytes) <= HELD;
        let piece = self.pieces.len();
        for (nth, (place, row)) in places.iter().enumerate() {
            let row = if whole { usize::try_from(*row).map_err(|_| missing())? } else { nth };
            *self.indices.get_mut(*place).ok_or_else(missing)? = (piece, row);
        }
        if whole {
            self.held = self.held.saturating_add(bytes);
            self.pieces.push(block);
            return Ok(());
        }
        let rows: UInt64Array = places.iter().map(|(_, row)| *row).collect();
        let taken = take_record_batch(&block, &rows)
            .map_err(|error| QueryError::Internal(format!("taking rows of a block: {error}")))?;
        self.taken = self.taken.saturating_add(taken.get_array_memory_size());
        if self.taken as u64 > MOST {
            return Err(QueryError::ResourceExhausted(format!(
                "stream: a batch of {} rows takes more than {} MiB; use a smaller batch_size, or fewer columns",
                self.rows,
                MOST >> 20
            )));
        }
        self.pieces.push(taken);
        Ok(())
    }

    /// The pieces, and which row of which piece each row of the batch is.
    ///
    /// # Errors
    /// [`QueryError::Internal`] where a block was not added.
    pub(crate) fn finish(self) -> Result<(Vec<RecordBatch>, Vec<(usize, usize)>), QueryError> {
        if self.wanted.is_empty() { Ok((self.pieces, self.indices)) } else { Err(missing()) }
    }
}

fn missing() -> QueryError {
    QueryError::Internal("a row of the order is not in its block".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;

    fn block(number: usize, megabytes: usize) -> RecordBatch {
        let texts = (0..4).map(|row| format!("{number} {row} {}", "x".repeat(megabytes << 18)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        RecordBatch::try_from_iter([("text", texts)]).unwrap()
    }

    fn begins(pieces: Pieces) -> (Vec<String>, usize) {
        let (pieces, indices) = pieces.finish().unwrap();
        let bytes = pieces.iter().map(RecordBatch::get_array_memory_size).sum();
        let text = |(piece, row): &(usize, usize)| {
            let texts = pieces[*piece].column(0).as_any().downcast_ref::<StringArray>().unwrap();
            texts.value(*row)[..3].to_owned()
        };
        (indices.iter().map(text).collect(), bytes)
    }

    #[test]
    fn of_large_blocks_only_the_rows_are_held_and_all_rows_are_right() {
        let row = |block, row| Row { block, row };
        let order: Vec<Row> = (0..6).flat_map(|block| [row(5 - block, 3), row(block, 1)]).collect();
        let expected: Vec<String> =
            order.iter().map(|row| format!("{} {}", row.block, row.row)).collect();
        let mut pieces = Pieces::new(&order);
        for number in pieces.blocks() {
            pieces.add(number, 4, Found::Decoded(block(number, 20))).unwrap();
        }
        let (found, bytes) = begins(pieces);
        assert_eq!(found, expected);
        assert!(bytes < 90 << 20, "{bytes}");
        // Two in a file each, the second behind the first.
        let schema = block(0, 0).schema();
        let file = |pack: usize| {
            let parts = [block(pack * 2, 0), block(pack * 2 + 1, 0)];
            arrow::compute::concat_batches(&schema, &parts).unwrap()
        };
        let mut pieces = Pieces::new(&order);
        for number in pieces.blocks() {
            let (pack, first) = (number / 2, number % 2 * 4);
            let mapped = Mapped { batch: file(pack), first, pack: Some(pack) };
            pieces.add(number, 4, Found::Mapped(mapped)).unwrap();
        }
        assert_eq!(pieces.pieces.len(), 3);
        assert_eq!(begins(pieces).0, expected);
    }

    #[test]
    fn a_row_that_is_not_in_its_block_is_an_error() {
        let mut pieces = Pieces::new(&[Row { block: 2, row: 4 }]);
        assert!(pieces.add(2, 4, Found::Decoded(block(2, 0))).is_err());
        let mut pieces = Pieces::new(&[Row { block: 2, row: 3 }]);
        assert!(pieces.add(2, 5, Found::Decoded(block(2, 0))).is_err());
        assert!(Pieces::new(&[Row { block: 2, row: 3 }]).finish().is_err());
    }
}
