//! A part of a table's rows that is drawn by a hash of where each row is, so that it is the same in every epoch, order and
//! filter, and parts that do not overlap share no row.

use super::order::Block;
use crate::error::QueryError;
use arrow::buffer::BooleanBuffer;
use serde::{Deserialize, Serialize};

/// The number of values of a hash: 2^32.
const VALUES: f64 = 4_294_967_296.0;

/// Which part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Split {
    /// A part that everybody means alike: `train` is the first four fifths, `validation` and `test` a tenth each.
    Named(String),
    /// From a fraction of the rows to another, the second excluded: `[0, 0.5]`.
    Range(f64, f64),
}

// Fractions are checked to be numbers before they are compared.
impl Eq for Split {}

impl Split {
    fn range(&self) -> Result<(f64, f64), QueryError> {
        let wrong = |problem: String| {
            QueryError::Invalid(format!(
                "stream: split {problem}: use train, validation, test, or two fractions like [0, 0.8]"
            ))
        };
        match self {
            Self::Named(name) => match name.as_str() {
                "train" => Ok((0.0, 0.8)),
                "validation" => Ok((0.8, 0.9)),
                "test" => Ok((0.9, 1.0)),
                _ => Err(wrong(format!("{name:?} is not known"))),
            },
            Self::Range(low, high) => {
                if 0.0 <= *low && low < high && *high <= 1.0 {
                    Ok((*low, *high))
                } else {
                    Err(wrong(format!("[{low}, {high}] is no part of the rows")))
                }
            }
        }
    }

    /// Refuses what is no part.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.range().map(drop)
    }

    /// Of the rows of each block those that are in the part. `table` is the table's name, so that rows of two tables
    /// are drawn independently.
    pub(crate) fn of(&self, table: &str, blocks: Vec<Block>) -> Vec<Block> {
        let Ok((low, high)) = self.range() else { return blocks };
        let key = *blake3::hash(table.as_bytes()).as_bytes();
        let mut first = 0_u64;
        let mut part = Vec::with_capacity(blocks.len());
        for block in blocks {
            let rows = usize::try_from(block.rows).unwrap_or(usize::MAX);
            let mask = BooleanBuffer::collect_bool(rows, |row| {
                let row = row as u64;
                let drawn = fraction(&key, first.saturating_add(row));
                block.shows(row) && low <= drawn && drawn < high
            });
            first = first.saturating_add(block.rows);
            part.push(Block::masked(mask));
        }
        part
    }
}

/// A number of 0 to 1, the same for a row of a table every time.
fn fraction(key: &[u8; 32], row: u64) -> f64 {
    let hash = blake3::keyed_hash(key, &row.to_le_bytes());
    let (words, _) = hash.as_bytes().as_chunks::<4>();
    f64::from(words.first().map_or(0, |bytes| u32::from_le_bytes(*bytes))) / VALUES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(split: &Split) -> Vec<u64> {
        let blocks = split.of("ornl.a.t", vec![Block::whole(700), Block::whole(300)]);
        let rows = |(block, first): (&Block, u64)| {
            let shown: Vec<u64> = (0..block.rows).filter(|row| block.shows(*row)).collect();
            assert_eq!(block.selected, shown.len() as u64);
            shown.into_iter().map(move |row| first + row).collect::<Vec<_>>()
        };
        blocks.iter().zip([0, 700]).flat_map(rows).collect()
    }

    #[test]
    fn the_named_parts_are_all_rows_and_share_none() {
        let parts =
            ["train", "validation", "test"].map(|name| shown(&Split::Named(name.to_owned())));
        let mut all: Vec<u64> = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert!((740..860).contains(&parts[0].len()), "{}", parts[0].len());
        assert_eq!(shown(&Split::Range(0.0, 0.8)), parts[0]);
        assert_eq!(shown(&Split::Range(0.0, 1.0)).len(), 1000);
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for split in [
            Split::Named("dev".to_owned()),
            Split::Range(0.5, 0.5),
            Split::Range(-0.1, 0.5),
            Split::Range(0.5, 1.1),
            Split::Range(f64::NAN, 1.0),
        ] {
            assert!(split.check().is_err(), "{split:?}");
        }
    }
}
