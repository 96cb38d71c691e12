//! The order "fz1": a keyed permutation of the rows of a table that needs memory per block, not per
//! row.
//!
//! Blocks are permuted by a Feistel network with cycle walking. Consecutive permuted blocks form
//! windows, and the rows of a window are permuted by a second network. Rows that a filter hides are
//! skipped while walking, so that hiding rows never changes the relative order of the others.
//! Without shuffling both permutations are the identity and the order is that of the table.

use arrow::buffer::BooleanBuffer;
use std::sync::Arc;

/// Name of the shuffled order, as in the plan's metadata. It changes if the permutation changes.
pub(crate) const SHUFFLED: &str = "fz1";
/// Name of the order of the table itself.
pub(crate) const UNSHUFFLED: &str = "table";

pub(super) const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
const WINDOW_FACTOR: u64 = 0xD134_2543_DE82_EF95;
const ROUNDS: usize = 6;

/// The finaliser of splitmix64.
pub(super) fn mix(mut value: u64) -> u64 {
    value ^= value >> 30;
    value = value.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value ^= value >> 27;
    value = value.wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The key of an epoch. Seed 1 in epoch 1 and seed 2 in epoch 0 have nothing in common.
pub(super) fn epoch_key(seed: u64, epoch: u32) -> u64 {
    mix(seed.wrapping_mul(GOLDEN).wrapping_add(u64::from(epoch)))
}

/// A bijection of `0..length` in constant memory.
#[derive(Debug, Clone)]
pub(crate) enum Permutation {
    Identity,
    Feistel { length: u64, left: u32, right: u32, keys: [u64; ROUNDS] },
}

impl Permutation {
    pub(crate) fn new(length: u64, mut seed: u64) -> Self {
        let bits = (u64::BITS - length.saturating_sub(1).leading_zeros()).max(2);
        let keys = std::array::from_fn(|_| {
            seed = seed.wrapping_add(GOLDEN);
            mix(seed)
        });
        Self::Feistel { length, left: bits / 2, right: bits - bits / 2, keys }
    }

    /// Where `index` goes. Both are below the length.
    pub(crate) fn apply(&self, index: u64) -> u64 {
        let Self::Feistel { length, left, right, keys } = self else { return index };
        let mut value = index;
        loop {
            let (mut high, mut low) = (value >> right, value & ((1 << right) - 1));
            let (mut wide, mut narrow) = (*left, *right);
            for key in keys {
                (high, low) = (low, high ^ (mix(low ^ key) & ((1 << wide) - 1)));
                std::mem::swap(&mut wide, &mut narrow);
            }
            value = (high << narrow) | low;
            if value < *length {
                return value;
            }
        }
    }
}

/// The rows of one block that are part of the stream.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// All rows of the block.
    pub(crate) rows: u64,
    /// Rows that are part of the stream.
    pub(crate) selected: u64,
    /// Which ones; `None` where it is all of them or none.
    pub(crate) mask: Option<BooleanBuffer>,
}

impl Block {
    /// A block of which every row is part of the stream.
    pub(crate) fn whole(rows: u64) -> Self {
        Self { rows, selected: rows, mask: None }
    }

    /// A block of which the marked rows are part of the stream.
    pub(crate) fn masked(mask: BooleanBuffer) -> Self {
        let rows = mask.len() as u64;
        let selected = mask.count_set_bits() as u64;
        let mask = (selected > 0 && selected < rows).then_some(mask);
        Self { rows, selected, mask }
    }

    pub(crate) fn shows(&self, row: u64) -> bool {
        match &self.mask {
            None => self.selected > 0,
            Some(mask) => usize::try_from(row).is_ok_and(|row| row < mask.len() && mask.value(row)),
        }
    }
}

/// One row: which block, and which row of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) block: usize,
    pub(crate) row: u64,
}

#[derive(Debug)]
struct Window {
    /// First slot (place in the permuted sequence of blocks) of the window.
    first: usize,
    /// Global position of its first selected row.
    start: u64,
    rows: u64,
    selected: u64,
}

/// The order of one epoch.
#[derive(Debug)]
pub(crate) struct Order {
    blocks: Arc<Vec<Block>>,
    windows: Vec<Window>,
    window_blocks: usize,
    slots: Permutation,
    key: Option<u64>,
    selected: u64,
}

impl Order {
    /// The shuffled order of a key, as [`epoch_key`] gives it, or the order of the table.
    pub(crate) fn new(blocks: Arc<Vec<Block>>, window_blocks: usize, key: Option<u64>) -> Self {
        let window_blocks = window_blocks.max(1);
        let slots =
            key.map_or(Permutation::Identity, |key| Permutation::new(blocks.len() as u64, key));
        let mut order =
            Self { blocks, windows: Vec::new(), window_blocks, slots, key, selected: 0 };
        let mut first = 0;
        while first < order.blocks.len() {
            let (mut rows, mut selected) = (0, 0);
            for slot in first..(first + window_blocks).min(order.blocks.len()) {
                if let Some(block) = order.blocks.get(order.block_at(slot)) {
                    rows += block.rows;
                    selected += block.selected;
                }
            }
            order.windows.push(Window { first, start: order.selected, rows, selected });
            order.selected += selected;
            first += window_blocks;
        }
        order
    }

    /// Rows of the whole stream.
    #[cfg(test)]
    pub(crate) fn selected(&self) -> u64 {
        self.selected
    }

    fn block_at(&self, slot: usize) -> usize {
        // A permutation of `0..blocks.len()` fits where the length fits.
        usize::try_from(self.slots.apply(slot as u64)).unwrap_or(usize::MAX)
    }

    /// A walk from a global position on.
    pub(crate) fn walk(self: &Arc<Self>, position: u64) -> Walk {
        let mut walk = Walk {
            order: Arc::clone(self),
            window: 0,
            raw: 0,
            blocks: Vec::new(),
            ends: Vec::new(),
            rows: Permutation::Identity,
        };
        let window = self.windows.partition_point(|window| window.start <= position);
        walk.enter(window.saturating_sub(1));
        let start = self.windows.get(walk.window).map_or(0, |window| window.start);
        walk.advance(position.saturating_sub(start));
        walk
    }
}

/// A walk along an order, one selected row after the other.
#[derive(Debug)]
pub(crate) struct Walk {
    order: Arc<Order>,
    window: usize,
    /// Next index in the window, hidden rows included.
    raw: u64,
    /// Blocks of the window in permuted order.
    blocks: Vec<usize>,
    /// Running sum of their rows.
    ends: Vec<u64>,
    rows: Permutation,
}

impl Walk {
    fn enter(&mut self, window: usize) {
        self.window = window;
        self.raw = 0;
        self.blocks.clear();
        self.ends.clear();
        let Some(range) = self.order.windows.get(window) else { return };
        let last = (range.first + self.order.window_blocks).min(self.order.blocks.len());
        let mut end = 0;
        for slot in range.first..last {
            let block = self.order.block_at(slot);
            end += self.order.blocks.get(block).map_or(0, |block| block.rows);
            self.blocks.push(block);
            self.ends.push(end);
        }
        self.rows = match self.order.key {
            None => Permutation::Identity,
            Some(key) => {
                let number = (window as u64).wrapping_add(1).wrapping_mul(WINDOW_FACTOR);
                Permutation::new(range.rows, mix(key ^ number))
            }
        };
    }

    /// Leaves out the next `count` selected rows.
    pub(crate) fn advance(&mut self, mut count: u64) {
        while count > 0 {
            let Some(window) = self.order.windows.get(self.window) else { return };
            if self.raw == 0 && count >= window.selected {
                count -= window.selected;
                self.enter(self.window + 1);
            } else if window.selected == window.rows {
                let step = count.min(window.rows - self.raw);
                self.raw += step;
                count -= step;
                if self.raw == window.rows {
                    self.enter(self.window + 1);
                }
            } else {
                self.next();
                count -= 1;
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        loop {
            let window = self.order.windows.get(self.window)?;
            if self.raw >= window.rows {
                self.enter(self.window + 1);
                continue;
            }
            let index = self.rows.apply(self.raw);
            self.raw += 1;
            let slot = self.ends.partition_point(|end| *end <= index);
            let before = slot.checked_sub(1).and_then(|slot| self.ends.get(slot)).unwrap_or(&0);
            let row = Row { block: *self.blocks.get(slot)?, row: index - before };
            if self.order.blocks.get(row.block)?.shows(row.row) {
                return Some(row);
            }
        }
    }
}

#[cfg(test)]
mod tests;
