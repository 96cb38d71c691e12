//! The rows of a stream, one step of one rank after the other.

use super::mixture::{At, MixtureRows};
use super::order::{Row, Walk};
use tarn_schemas::order_hash::OrderHash;

/// A walk along the rows of a stream.
#[derive(Debug)]
pub(crate) enum Rows {
    Table(Walk),
    Mixture(Box<MixtureRows>),
}

impl Rows {
    /// The rows of the next positions, and what they add to the hash of the order. `first` is the global
    /// position of the first one. At the end there are fewer, and of a share there are only those of its table.
    pub(crate) fn read(&mut self, first: u64, positions: u32) -> (Vec<Row>, OrderHash) {
        let mut rows = Vec::with_capacity(usize::try_from(positions).unwrap_or(0));
        let mut hash = OrderHash::default();
        for position in (first..).take(usize::try_from(positions).unwrap_or(usize::MAX)) {
            let (row, block) = match self {
                Self::Table(walk) => match walk.next() {
                    None => break,
                    Some(row) => (row, row.block as u64),
                },
                Self::Mixture(mixture) => match mixture.read() {
                    None => break,
                    Some(At::Elsewhere) => continue,
                    Some(At::Row(row, block)) => (row, block),
                },
            };
            hash.add(position, (block, row.row));
            rows.push(row);
        }
        (rows, hash)
    }

    /// Leaves out the next positions.
    pub(crate) fn advance(&mut self, positions: u64) {
        match self {
            Self::Table(walk) => walk.advance(positions),
            Self::Mixture(mixture) => mixture.advance(positions),
        }
    }
}
