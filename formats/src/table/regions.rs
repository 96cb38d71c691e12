//! A selection of a grid, cut into boxes along its chunks.

use crate::region::{Region, Selection, intersect};
use std::ops::Range;

/// Small chunks are read together until about this many cells: NetCDF-4 writes time series with
/// one value a chunk, and a batch of one row costs more than its data.
const CELLS: u64 = 65_536;

/// The boxes of a selection in chunk order, as [`super::Part::regions`] promises. `row` is the
/// number of cells behind one index of `shape`: 1, or for tensors those of one tensor.
pub(super) fn regions(
    shape: &[u64],
    chunk: Option<&[u64]>,
    row: u64,
    selection: &Selection,
    max_cells: u64,
) -> Vec<Region> {
    let max_cells = (max_cells / row.max(1)).max(1);
    let unit = match chunk {
        Some(chunk) if chunk.len() == shape.len() => {
            grown(shape, chunk, max_cells.min(CELLS.div_ceil(row.max(1))))
        }
        _ => shape.to_vec(),
    };
    let whole = Selection::all(shape);
    // For each dimension, for each chunk with something selected, the selected ranges in it.
    let mut pieces: Vec<Vec<Vec<Range<u64>>>> = Vec::with_capacity(shape.len());
    for (dimension, (all, length)) in whole.dimensions().iter().zip(&unit).enumerate() {
        let selected = match selection.dimensions().get(dimension) {
            Some(ranges) => intersect(ranges, all),
            None => all.clone(),
        };
        pieces.push(by_chunk(&selected, (*length).max(1)));
    }
    let mut regions = Vec::new();
    for_each_combination(&pieces, &mut |ranges_of_chunk| {
        for_each_combination(ranges_of_chunk, &mut |ranges| {
            split(ranges, max_cells, &mut regions);
        });
    });
    regions
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

/// Sorted ranges cut at the multiples of `length`, grouped by the chunk they lie in.
fn by_chunk(ranges: &[Range<u64>], length: u64) -> Vec<Vec<Range<u64>>> {
    let mut chunks: Vec<Vec<Range<u64>>> = Vec::new();
    let mut last = None;
    for range in ranges {
        let mut start = range.start;
        while start < range.end {
            let chunk = start / length;
            let end = (chunk + 1).saturating_mul(length).min(range.end);
            match chunks.last_mut() {
                Some(pieces) if last == Some(chunk) => pieces.push(start..end),
                _ => chunks.push(std::iter::once(start..end).collect()),
            }
            last = Some(chunk);
            start = end;
        }
    }
    chunks
}

/// Calls `visit` with one element of each list, the last list running fastest.
fn for_each_combination<T: Clone>(lists: &[Vec<T>], visit: &mut impl FnMut(&[T])) {
    fn walk<T: Clone>(lists: &[Vec<T>], chosen: &mut Vec<T>, visit: &mut impl FnMut(&[T])) {
        match lists.split_first() {
            None => visit(chosen),
            Some((first, rest)) => {
                for element in first {
                    chosen.push(element.clone());
                    walk(rest, chosen, visit);
                    chosen.pop();
                }
            }
        }
    }
    walk::<T>(lists, &mut Vec::with_capacity(lists.len()), visit);
}

/// Cuts a box along its outer dimensions into boxes of at most `max_cells` cells.
fn split(ranges: &[Range<u64>], max_cells: u64, regions: &mut Vec<Region>) {
    // The innermost dimensions that fit whole.
    let mut inner = 1_u64;
    let mut cut = ranges.len();
    while let Some(range) = cut.checked_sub(1).and_then(|outer| ranges.get(outer)) {
        let cells = inner.saturating_mul(range.end - range.start);
        if cells > max_cells {
            break;
        }
        inner = cells;
        cut -= 1;
    }
    let Some(outer) = cut.checked_sub(1) else {
        regions.push(Region::new(ranges.to_vec()));
        return;
    };
    let slices: Vec<Vec<Range<u64>>> = ranges
        .iter()
        .enumerate()
        .map(|(dimension, range)| {
            let step = match dimension.cmp(&outer) {
                std::cmp::Ordering::Less => 1,
                std::cmp::Ordering::Equal => (max_cells / inner.max(1)).max(1),
                std::cmp::Ordering::Greater => return vec![range.clone()],
            };
            let mut slices = Vec::new();
            let mut start = range.start;
            while start < range.end {
                let end = start.saturating_add(step).min(range.end);
                slices.push(start..end);
                start = end;
            }
            slices
        })
        .collect();
    for_each_combination(&slices, &mut |ranges| regions.push(Region::new(ranges.to_vec())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::region::ranges_where;
    use proptest::prelude::*;

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
        let boxes = regions(&[240, 37, 49], Some(&[1, 37, 49]), 1, &all, 1 << 20);
        assert_eq!(boxes.len(), 7);
        assert_eq!(boxes[0].shape(), [36, 37, 49]);
        let boxes = regions(&[240, 37, 49], None, 1, &all, 1_813);
        assert_eq!(boxes.len(), 240);
        let series = regions(&[1_440], Some(&[1]), 1, &Selection::all(&[1_440]), 1 << 20);
        assert_eq!(series, [Region::whole(&[1_440])]);
        assert_eq!(regions(&[], None, 1, &Selection::all(&[]), 10), [Region::new(vec![])]);
        assert_eq!(regions(&[0, 3], None, 1, &Selection::all(&[0, 3]), 10), []);
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
            let boxes = regions(&shape, chunked.then_some(&chunk), 1, &selection, max_cells);
            let mut found: Vec<Vec<u64>> = vec![];
            for region in &boxes {
                prop_assert!(region.fits(&shape) && region.cells().unwrap() <= max_cells);
                found.extend(cells_of(region.ranges()));
            }
            let mut expected = cells_of(&shape.iter().map(|length| 0..*length).collect::<Vec<_>>());
            expected.retain(|cell| cell.iter().zip(&dimensions).all(|(i, (keep, _))| keep[usize::try_from(*i).unwrap()]));
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
