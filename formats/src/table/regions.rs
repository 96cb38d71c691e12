//! A selection of a grid, cut into blocks along its chunks.

use super::block::Block;
use crate::region::{Region, Selection, intersect};
use std::ops::Range;

/// Small chunks are read together until about this many cells: NetCDF-4 writes time series with
/// one value a chunk, and a batch of one row costs more than its data.
const CELLS: u64 = 65_536;

/// In data without chunks, gaps of up to about this many cells are read over: one longer read costs
/// less than two.
const NEAR: u64 = 4_096;

/// Blocks of a selection that are made at once. A file may declare any shape, so that all of them
/// may be more than memory holds.
const AT_ONCE: u64 = 1_024;

/// How the rows of a part are cut, whatever is selected.
#[derive(Debug, Clone)]
pub(super) struct Tiling {
    shape: Vec<u64>,
    /// Length of a chunk, or of several that are read together.
    chunk: Vec<u64>,
    /// Length of a tile. Tiles start anew with each chunk.
    step: Vec<u64>,
    /// Indices that are read together with their neighbours: the length of one stored chunk.
    stored: Vec<u64>,
}

/// Selected indices of one tile along one dimension, near each other.
#[derive(Debug, Clone)]
struct Run {
    tile: Range<u64>,
    ranges: Vec<Range<u64>>,
}

impl Tiling {
    /// Tiles of at most `max_cells` cells. `row` is the number of cells behind one index of
    /// `shape`: 1, or for tensors those of one tensor.
    pub(super) fn new(shape: &[u64], chunk: Option<&[u64]>, row: u64, max_cells: u64) -> Self {
        let max_cells = (max_cells / row.max(1)).max(1);
        let (chunk, stored) = match chunk {
            Some(stored) if stored.len() == shape.len() => {
                let cells = max_cells.min(CELLS.div_ceil(row.max(1)));
                (grown(shape, stored, cells), stored.to_vec())
            }
            _ => (shape.to_vec(), near(shape)),
        };
        let mut step: Vec<u64> = Vec::with_capacity(chunk.len());
        let mut inner = 1_u64;
        for length in chunk.iter().rev() {
            let own = (max_cells / inner.max(1)).clamp(1, (*length).max(1));
            inner = inner.saturating_mul(own);
            step.push(own);
        }
        step.reverse();
        Self { shape: shape.to_vec(), chunk, step, stored }
    }

    /// The blocks of a selection, chunk by chunk. With `gaps`, selected indices that lie in the
    /// same or in neighbouring stored chunks share a block; without, every block is a box.
    pub(super) fn blocks(self, selection: &Selection, gaps: bool) -> Blocks {
        let rest = vec![self.inside(selection)];
        Blocks { tiling: self, gaps, rest, listed: vec![].into_iter() }
    }

    /// How many blocks a selection makes, as [`Self::blocks`] with gaps.
    pub(super) fn count_of(&self, selection: &Selection) -> u64 {
        self.count_in(&self.inside(selection), true)
    }

    /// The selected indices of each dimension that exist.
    fn inside(&self, selection: &Selection) -> Selected {
        let whole = Selection::all(&self.shape);
        let dimensions = whole.dimensions().iter().enumerate();
        dimensions
            .map(|(dimension, all)| match selection.dimensions().get(dimension) {
                Some(ranges) => intersect(ranges, all),
                None => all.clone(),
            })
            .collect()
    }

    fn count_in(&self, selected: &Selected, gaps: bool) -> u64 {
        let dimensions = selected.iter().enumerate();
        let counts = dimensions.map(|(dimension, ranges)| self.count_runs(dimension, ranges, gaps));
        counts.fold(1, u64::saturating_mul)
    }

    /// How many runs [`Self::runs`] gives.
    fn count_runs(&self, dimension: usize, ranges: &[Range<u64>], gaps: bool) -> u64 {
        let stored = length_along(&self.stored, dimension);
        let mut count = 0_u64;
        let mut before: Option<&Range<u64>> = None;
        for range in ranges {
            let (first, last) = (
                self.tile(dimension, range.start),
                self.tile(dimension, range.end.saturating_sub(1)),
            );
            count = count.saturating_add(last.saturating_sub(first)).saturating_add(1);
            if let Some(before) = before.filter(|_| gaps)
                && self.tile(dimension, before.end.saturating_sub(1)) == first
                && near_each_other(before, range, stored)
            {
                count = count.saturating_sub(1);
            }
            before = Some(range);
        }
        count
    }

    /// A number for the tile of an index along one dimension, which grows by one from tile to tile.
    fn tile(&self, dimension: usize, index: u64) -> u64 {
        let (chunk, step) =
            (length_along(&self.chunk, dimension), length_along(&self.step, dimension));
        (index / chunk).saturating_mul(chunk.div_ceil(step)).saturating_add(index % chunk / step)
    }

    /// Cuts a selection in two that make the same blocks in the same order; `None` where it lies in
    /// one tile.
    fn halves(&self, selected: &Selected) -> Option<(Selected, Selected)> {
        let bounds: Vec<(u64, u64)> = selected
            .iter()
            .map(|ranges| Some((ranges.first()?.start, ranges.last()?.end.saturating_sub(1))))
            .collect::<Option<_>>()?;
        // Blocks follow each other chunk by chunk, the outermost dimension slowest, and in a chunk
        // tile by tile.
        let chunks = bounds.iter().enumerate().find_map(|(dimension, (first, last))| {
            let chunk = length_along(&self.chunk, dimension);
            let (first, last) = (first / chunk, last / chunk);
            (first < last).then(|| (dimension, (first + (last - first).div_ceil(2)) * chunk))
        });
        let cut = chunks.or_else(|| {
            bounds.iter().enumerate().find_map(|(dimension, (first, last))| {
                let (chunk, step) =
                    (length_along(&self.chunk, dimension), length_along(&self.step, dimension));
                let start = first / chunk * chunk;
                let (first, last) = ((first - start) / step, (last - start) / step);
                (first < last)
                    .then(|| (dimension, start + (first + (last - first).div_ceil(2)) * step))
            })
        });
        let (dimension, index) = cut?;
        let (mut before, mut after) = (selected.clone(), selected.clone());
        *before.get_mut(dimension)? = intersect(selected.get(dimension)?, &below(index));
        *after.get_mut(dimension)? = intersect(selected.get(dimension)?, &from(index));
        Some((before, after))
    }

    /// The blocks of a selection, all at once.
    fn list(&self, selected: &Selected, gaps: bool) -> Vec<Block> {
        // For each dimension, for each chunk with something selected, its runs.
        let dimensions = selected.iter().enumerate();
        let runs: Vec<Vec<Vec<Run>>> =
            dimensions.map(|(dimension, ranges)| self.runs(dimension, ranges, gaps)).collect();
        let mut blocks = Vec::new();
        for_each_combination(&runs, &mut |chunk: &[&Vec<Run>]| {
            for_each_combination(chunk, &mut |runs: &[&Run]| {
                let tile = Region::new(runs.iter().map(|run| run.tile.clone()).collect());
                let selected = runs.iter().map(|run| run.ranges.clone()).collect();
                blocks.push(Block::new(tile, selected));
            });
        });
        blocks
    }

    /// How many blocks the whole part makes; of how many tiles it consists.
    pub(super) fn count(&self) -> u64 {
        let lengths = self.shape.iter().zip(&self.chunk).zip(&self.step);
        lengths
            .map(|((shape, chunk), step)| {
                let (chunk, step) = ((*chunk).max(1), (*step).max(1));
                let rest = (shape % chunk).div_ceil(step);
                (shape / chunk).saturating_mul(chunk.div_ceil(step)).saturating_add(rest)
            })
            .fold(1, u64::saturating_mul)
    }

    /// Sorted ranges cut at the edges of the tiles, grouped by chunk.
    fn runs(&self, dimension: usize, ranges: &[Range<u64>], gaps: bool) -> Vec<Vec<Run>> {
        let length = |lengths: &[u64]| length_along(lengths, dimension);
        let (chunk, step) = (length(&self.chunk), length(&self.step));
        let (stored, shape) = (length(&self.stored), length(&self.shape));
        let mut chunks: Vec<Vec<Run>> = Vec::new();
        let mut last = None;
        for range in ranges {
            let mut start = range.start;
            while start < range.end {
                let number = start / chunk;
                let first = number.saturating_mul(chunk);
                let tile = first.saturating_add((start - first) / step * step);
                let end = tile.saturating_add(step).min(first.saturating_add(chunk)).min(shape);
                let own = start..end.min(range.end).max(start.saturating_add(1));
                start = own.end;
                let new = Run { tile: tile..end, ranges: vec![own.clone()] };
                match chunks.last_mut() {
                    Some(runs) if last == Some(number) => match runs.last_mut() {
                        Some(run) if gaps && run.tile == new.tile && run.near(&own, stored) => {
                            run.ranges.push(own);
                        }
                        _ => runs.push(new),
                    },
                    _ => chunks.push(vec![new]),
                }
                last = Some(number);
            }
        }
        chunks
    }
}

impl Run {
    fn near(&self, next: &Range<u64>, stored: u64) -> bool {
        self.ranges.last().is_none_or(|last| near_each_other(last, next, stored))
    }
}

/// Whether reading over the gap between two ranges needs no stored chunk that is not needed anyway.
fn near_each_other(before: &Range<u64>, next: &Range<u64>, stored: u64) -> bool {
    next.start / stored <= (before.end.saturating_sub(1) / stored).saturating_add(1)
}

/// One of the lengths, at least 1.
fn length_along(lengths: &[u64], dimension: usize) -> u64 {
    lengths.get(dimension).copied().unwrap_or(1).max(1)
}

/// All indices before one.
fn below(index: u64) -> [Range<u64>; 1] {
    std::array::from_fn(|_| 0..index)
}

/// An index and all after it.
fn from(index: u64) -> [Range<u64>; 1] {
    std::array::from_fn(|_| index..u64::MAX)
}

/// The selected indices of each dimension: sorted, disjoint, non-empty ranges.
type Selected = Vec<Vec<Range<u64>>>;

/// The blocks of a selection, some at a time.
#[derive(Debug)]
pub struct Blocks {
    tiling: Tiling,
    gaps: bool,
    /// Parts of the selection that are yet to be cut, the next one last.
    rest: Vec<Selected>,
    listed: std::vec::IntoIter<Block>,
}

impl Iterator for Blocks {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        loop {
            if let Some(block) = self.listed.next() {
                return Some(block);
            }
            let selected = self.rest.pop()?;
            let few = self.tiling.count_in(&selected, self.gaps) <= AT_ONCE;
            match self.tiling.halves(&selected).filter(|_| !few) {
                Some((before, after)) => self.rest.extend([after, before]),
                // One tile has at most as many blocks as cells.
                None => self.listed = self.tiling.list(&selected, self.gaps).into_iter(),
            }
        }
    }
}

/// Chunks joined with their neighbours, inner dimensions first, while they stay within `cells`.
fn grown(shape: &[u64], chunk: &[u64], cells: u64) -> Vec<u64> {
    let mut unit: Vec<u64> = chunk
        .iter()
        .zip(shape)
        .map(|(chunk, length)| (*chunk).clamp(1, (*length).max(1)))
        .collect();
    for dimension in (0..unit.len()).rev() {
        let now = unit.iter().fold(1_u64, |cells, length| cells.saturating_mul(*length)).max(1);
        let (Some(length), Some(full)) = (unit.get_mut(dimension), shape.get(dimension)) else {
            break;
        };
        let step = *length;
        *length = step.saturating_mul((cells / now).max(1)).min((*full).max(1));
        if *length < *full {
            break;
        }
    }
    unit
}

/// For each dimension of data without chunks, how many indices hold about [`NEAR`] cells.
fn near(shape: &[u64]) -> Vec<u64> {
    let mut inner = 1_u64;
    let mut near: Vec<u64> = shape
        .iter()
        .rev()
        .map(|length| {
            let own = (NEAR / inner.max(1)).max(1);
            inner = inner.saturating_mul(*length);
            own
        })
        .collect();
    near.reverse();
    near
}

/// Calls `visit` with one element of each list, the last list running fastest.
fn for_each_combination<T, L: AsRef<[T]>>(lists: &[L], visit: &mut impl FnMut(&[&T])) {
    fn walk<'a, T, L: AsRef<[T]>>(
        lists: &'a [L],
        chosen: &mut Vec<&'a T>,
        visit: &mut impl FnMut(&[&T]),
    ) {
        match lists.split_first() {
            None => visit(chosen),
            Some((first, rest)) => {
                for element in first.as_ref() {
                    chosen.push(element);
                    walk(rest, chosen, visit);
                    chosen.pop();
                }
            }
        }
    }
    walk(lists, &mut Vec::with_capacity(lists.len()), visit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::ranges_where;
    use proptest::prelude::*;

    fn regions(
        shape: &[u64],
        chunk: Option<&[u64]>,
        selection: &Selection,
        most: u64,
    ) -> Vec<Region> {
        let blocks = Tiling::new(shape, chunk, 1, most).blocks(selection, false);
        blocks.map(|block| block.bounds()).collect()
    }

    fn cells_of(ranges: &[Range<u64>]) -> Vec<Vec<u64>> {
        ranges.iter().fold(vec![vec![]], |cells, range| {
            let extend = |cell: &Vec<u64>| {
                let cell = cell.clone();
                range.clone().map(move |i| [cell.clone(), vec![i]].concat()).collect::<Vec<_>>()
            };
            cells.iter().flat_map(extend).collect()
        })
    }

    #[test]
    fn small_chunks_are_read_together_and_large_ones_cut() {
        let all = Selection::all(&[240, 37, 49]);
        let boxes = regions(&[240, 37, 49], Some(&[1, 37, 49]), &all, 1 << 20);
        assert_eq!(boxes.len(), 7);
        assert_eq!(boxes[0].shape(), [36, 37, 49]);
        let boxes = regions(&[240, 37, 49], None, &all, 1_813);
        assert_eq!(boxes.len(), 240);
        let series = regions(&[1_440], Some(&[1]), &Selection::all(&[1_440]), 1 << 20);
        assert_eq!(series, [Region::whole(&[1_440])]);
        assert_eq!(regions(&[], None, &Selection::all(&[]), 10), [Region::new(vec![])]);
        assert_eq!(regions(&[0, 3], None, &Selection::all(&[0, 3]), 10), []);
    }

    #[test]
    fn the_blocks_of_any_shape_come_one_by_one() {
        for (shape, chunk) in [
            (vec![1 << 44], Some(vec![1_000])),
            (vec![1 << 44], None),
            (vec![1 << 21, 1 << 21, 1 << 20], Some(vec![1, 7, 100])),
            (vec![u64::MAX, u64::MAX], None),
            (vec![u64::MAX, 3], Some(vec![1, 1])),
        ] {
            let tiling = Tiling::new(&shape, chunk.as_deref(), 1, 1 << 20);
            let all = Selection::all(&shape);
            assert_eq!(tiling.count_of(&all), tiling.count(), "{shape:?}");
            let first: Vec<Block> = tiling.blocks(&all, true).take(3_000).collect();
            assert_eq!(first.len(), 3_000);
            assert!(first[0].bounds().ranges().iter().all(|range| range.start == 0));
        }
    }

    proptest! {
        #[test]
        fn boxes_hold_exactly_the_selected_cells_within_the_limit(
            dimensions in prop::collection::vec((prop::collection::vec(any::<bool>(), 1..9), 1_u64..5), 0..4),
            chunked in any::<bool>(),
            max_cells in 1_u64..40,
        ) {
            let shape: Vec<u64> = dimensions.iter().map(|(keep, _)| keep.len() as u64).collect();
            let chunk: Vec<u64> = dimensions.iter().map(|(_, chunk)| *chunk).collect();
            let mut selection = Selection::all(&shape);
            for (dimension, (keep, _)) in dimensions.iter().enumerate() {
                selection.restrict(dimension, &ranges_where(keep.iter().copied()));
            }
            let boxes = regions(&shape, chunked.then_some(&chunk[..]), &selection, max_cells);
            let mut found: Vec<Vec<u64>> = vec![];
            for region in &boxes {
                prop_assert!(region.fits(&shape) && region.cells().unwrap() <= max_cells);
                found.extend(cells_of(region.ranges()));
            }
            let mut expected = cells_of(&shape.iter().map(|length| 0..*length).collect::<Vec<_>>());
            expected.retain(|cell| cell.iter().zip(&dimensions).all(|(i, (keep, _))| keep[usize::try_from(*i).unwrap()]));
            found.sort();
            prop_assert_eq!(&found, &expected);

            // With gaps the rows are the same, tiles are those of the whole, and no stored chunk
            // without a selected cell is read.
            let tiling = Tiling::new(&shape, chunked.then_some(&chunk[..]), 1, max_cells);
            let tiles: Vec<Region> =
                tiling.clone().blocks(&Selection::all(&shape), true).map(|b| b.tile().clone()).collect();
            prop_assert_eq!(tiling.count(), tiles.len() as u64);
            // Some at a time they are the same, in the same order, as many as counted.
            let selected = tiling.inside(&selection);
            for gaps in [false, true] {
                let at_once = tiling.list(&selected, gaps);
                prop_assert_eq!(tiling.count_in(&selected, gaps), at_once.len() as u64);
                let mut rest = vec![selected.clone()];
                let mut one_by_one = vec![];
                while let Some(part) = rest.pop() {
                    match tiling.halves(&part) {
                        Some((before, after)) => rest.extend([after, before]),
                        None => one_by_one.extend(tiling.list(&part, gaps)),
                    }
                }
                prop_assert_eq!(&one_by_one, &at_once);
            }
            let mut found: Vec<Vec<u64>> = vec![];
            for block in tiling.clone().blocks(&selection, true) {
                prop_assert!(tiles.contains(block.tile()));
                prop_assert!(block.tile().cells().unwrap() <= max_cells);
                let cells = cells_of(block.bounds().ranges());
                let places = block.places().unwrap_or_else(|| (0..cells.len() as u64).collect());
                let kept: Vec<Vec<u64>> =
                    places.iter().map(|place| cells[usize::try_from(*place).unwrap()].clone()).collect();
                prop_assert_eq!(kept.len() as u64, block.rows().unwrap());
                let stored = |cell: &Vec<u64>| cell.iter().zip(&chunk).map(|(i, c)| i / c).collect::<Vec<_>>();
                if chunked {
                    for cell in &cells {
                        prop_assert!(kept.iter().any(|other| stored(other) == stored(cell)));
                    }
                }
                found.extend(kept);
            }
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
