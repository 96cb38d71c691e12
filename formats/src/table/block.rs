//! What is read at once: a box of a part's rows, of which some indices may be left out.

use crate::region::{Region, intersect};
use std::ops::Range;

/// Selected rows inside one tile of a part.
///
/// The rows are all combinations of the selected indices of each dimension, in C order. Gaps
/// between them are read over only where that needs no further chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Block {
    tile: Region,
    selected: Vec<Vec<Range<u64>>>,
}

impl Block {
    /// Rows of `tile`: for each dimension the selected indices as sorted, disjoint, non-empty
    /// ranges inside the tile's own.
    pub(super) fn new(tile: Region, selected: Vec<Vec<Range<u64>>>) -> Self {
        Self { tile, selected }
    }

    /// All rows of a box.
    pub fn whole(tile: Region) -> Self {
        let selected = tile.ranges().iter().map(|range| vec![range.clone()]).collect();
        Self { tile, selected }
    }

    /// The tile the rows lie in. Tiles are the same for every selection, so that what is learned
    /// about one holds for the next query.
    pub fn tile(&self) -> &Region {
        &self.tile
    }

    /// The selected indices of each dimension.
    pub fn selected(&self) -> &[Vec<Range<u64>>] {
        &self.selected
    }

    /// How many indices of each dimension are selected.
    pub fn shape(&self) -> Vec<u64> {
        self.selected.iter().map(|ranges| length(ranges)).collect()
    }

    /// Number of rows; `None` on overflow.
    pub fn rows(&self) -> Option<u64> {
        self.shape().iter().try_fold(1_u64, |rows, length| rows.checked_mul(*length))
    }

    /// Whether every row of the tile is selected.
    pub fn is_whole_tile(&self) -> bool {
        self.shape() == self.tile.shape()
    }

    /// The smallest box around the rows: what is read.
    pub fn bounds(&self) -> Region {
        Region::new(
            self.selected
                .iter()
                .map(|ranges| match (ranges.first(), ranges.last()) {
                    (Some(first), Some(last)) => first.start..last.end,
                    _ => 0..0,
                })
                .collect(),
        )
    }

    /// The block without what is not in `ranges` (sorted, disjoint) along `dimension`; `None` if
    /// nothing is left.
    #[must_use]
    pub fn restricted(&self, dimension: usize, ranges: &[Range<u64>]) -> Option<Self> {
        let mut block = self.clone();
        let own = block.selected.get_mut(dimension)?;
        *own = intersect(own, ranges);
        (!own.is_empty()).then_some(block)
    }

    /// Places of the rows in the bounding box, in C order; `None` where the block is that box.
    pub(super) fn places(&self) -> Option<Vec<u64>> {
        if self.selected.iter().all(|ranges| ranges.len() <= 1) {
            return None;
        }
        let bounds = self.bounds();
        let mut places = vec![0_u64];
        for (ranges, (bounds, length)) in
            self.selected.iter().zip(bounds.ranges().iter().zip(bounds.shape()))
        {
            places = places
                .iter()
                .flat_map(|place| {
                    let start = place.saturating_mul(length);
                    let indices = ranges.iter().flat_map(Clone::clone);
                    indices.map(move |index| start.saturating_add(index - bounds.start))
                })
                .collect();
        }
        Some(places)
    }
}

fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "one range of indices")]
    fn a_block_with_gaps_names_the_places_of_its_rows() {
        let tile = Region::new(vec![10..14, 0..5]);
        let block = Block::new(tile.clone(), vec![vec![11..12, 13..14], vec![1..3]]);
        assert_eq!((block.shape(), block.rows()), (vec![2, 2], Some(4)));
        assert_eq!(block.bounds(), Region::new(vec![11..14, 1..3]));
        assert_eq!(block.places(), Some(vec![0, 1, 4, 5]));
        assert!(!block.is_whole_tile());
        let whole = Block::whole(tile);
        assert!(whole.is_whole_tile() && whole.places().is_none());
        let part = whole.restricted(1, &[0..1, 4..9]).unwrap();
        assert_eq!(part.selected(), [vec![10..14], vec![0..1, 4..5]]);
        assert_eq!(whole.restricted(0, &[0..10]), None);
        assert_eq!(Block::whole(Region::new(vec![])).rows(), Some(1));
    }
}
