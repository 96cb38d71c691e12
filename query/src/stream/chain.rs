//! What of an epoch one reader was sent, over as many connections as it took.
//!
//! The node keeps nothing of it: what was sent so far travels, sealed, behind the cursor of each message, and comes back
//! when the stream is resumed. So a chain outlives the node, and holds nothing that was not sent: its reader
//! has the message that says so.

use serde::{Deserialize, Serialize};
use tarn_catalog::ReceiptSegment;
use tarn_schemas::order_hash::OrderHash;
use uuid::Uuid;

/// Most parts of a chain. Parts are joined where one goes on with the ranks of the one before.
const MOST_PARTS: usize = 64;

/// A range of steps of which one rank was sent its share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) rank: u32,
    pub(crate) world_size: u32,
    pub(crate) batch_size: u32,
    /// Global position of the first step.
    pub(crate) from: u64,
    /// Global position after the last step.
    pub(crate) to: u64,
    pub(crate) rows: u64,
    pub(crate) batches: u64,
    pub(crate) hash: OrderHash,
}

/// What one reader was sent, in the order of the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chain {
    /// Number of the receipt.
    pub(crate) id: Uuid,
    pub(crate) parts: Vec<Part>,
}

impl Chain {
    /// Nothing yet. Later ones have greater numbers.
    pub(crate) fn new() -> Self {
        Self { id: Uuid::now_v7(), parts: Vec::new() }
    }

    /// Goes on at a position as a rank. A chain that would leave something out begins anew, and one that goes on as
    /// another rank is another reader's.
    pub(crate) fn go_on(mut self, place: Part) -> Self {
        let same = |last: &Part| {
            (last.rank, last.world_size, last.batch_size)
                == (place.rank, place.world_size, place.batch_size)
        };
        match self.parts.last() {
            Some(last) if last.to == place.from && same(last) => return self,
            Some(last) if last.to == place.from && self.parts.len() < MOST_PARTS => {
                self.id = Uuid::now_v7();
            }
            _ => self = Self::new(),
        }
        self.parts.push(place);
        self
    }

    /// Adds a batch that leads to a position.
    pub(crate) fn add(&mut self, rows: u32, hash: OrderHash, next_position: u64) {
        if let Some(part) = self.parts.last_mut() {
            part.rows = part.rows.saturating_add(u64::from(rows));
            part.batches = part.batches.saturating_add(1);
            part.to = next_position;
            part.hash.merge(hash);
        }
    }

    /// Rows that were sent.
    pub(crate) fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).fold(0, u64::saturating_add)
    }

    /// Batches that were sent.
    pub(crate) fn batches(&self) -> u64 {
        self.parts.iter().map(|part| part.batches).fold(0, u64::saturating_add)
    }

    /// Global position of the first step.
    pub(crate) fn start(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.from)
    }

    /// Global position after the last step.
    pub(crate) fn end(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.to)
    }

    /// Sum over all parts.
    pub(crate) fn hash(&self) -> OrderHash {
        let mut sum = OrderHash::default();
        for part in &self.parts {
            sum.merge(part.hash);
        }
        sum
    }

    /// The parts, as a receipt has them.
    pub(crate) fn segments(&self) -> Vec<ReceiptSegment> {
        let segment = |part: &Part| ReceiptSegment {
            batch_size: part.batch_size,
            from: part.from,
            hash: part.hash.to_hexadecimal(),
            rank: part.rank,
            rows: part.rows,
            to: part.to,
            world_size: part.world_size,
        };
        self.parts.iter().filter(|part| part.rows > 0).map(segment).collect()
    }
}

/// Where a stream was, sealed: what `resume` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResumePoint {
    /// First 32 bytes in hexadecimal.
    pub(crate) plan_id: String,
    pub(crate) epoch: u32,
    pub(crate) seed: u64,
    pub(crate) global_batch: u64,
    pub(crate) position: u64,
    pub(crate) chain: Chain,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(rank: u32, world_size: u32, from: u64) -> Part {
        let hash = OrderHash::default();
        Part {
            rank,
            world_size,
            batch_size: 12 / world_size,
            from,
            to: from,
            rows: 0,
            batches: 0,
            hash,
        }
    }

    #[test]
    fn a_chain_joins_what_follows_and_begins_anew_where_something_is_missing() {
        let mut chain = Chain::new().go_on(place(0, 1, 0));
        chain.add(12, OrderHash::default(), 12);
        let again = chain.clone().go_on(place(0, 1, 12));
        assert_eq!(again, chain);
        let other = chain.clone().go_on(place(1, 3, 12));
        assert_ne!(other.id, chain.id);
        assert_eq!((other.parts.len(), other.rows(), other.start()), (2, 12, 0));
        let gap = chain.clone().go_on(place(0, 1, 24));
        assert_ne!(gap.id, chain.id);
        assert_eq!((gap.parts.len(), gap.rows(), gap.start()), (1, 0, 24));
    }

    #[test]
    fn a_chain_does_not_grow_without_end() {
        let mut chain = Chain::new();
        for step in 0..200 {
            let world = 1 + u32::try_from(step % 2).unwrap();
            chain = chain.go_on(place(0, world, step * 12));
            chain.add(12 / world, OrderHash::default(), (step + 1) * 12);
        }
        assert!(chain.parts.len() <= MOST_PARTS);
        assert_eq!(chain.end(), 2400);
    }
}
