//! Which runs of elements two boxes of an array have in common.

use std::ops::Range;

/// The runs of elements that lie side by side both in a source box and in a target box.
///
/// All boxes are in the coordinates of the whole array; the source and the target hold their box in
/// C order. Yields (first element in the source, first element in the target, number of elements).
#[derive(Debug)]
pub(crate) struct Runs {
    outer: Vec<Axis>,
    source: u64,
    target: u64,
    length: u64,
    done: bool,
}

#[derive(Debug)]
struct Axis {
    index: u64,
    length: u64,
    source_stride: u64,
    target_stride: u64,
}

impl Runs {
    /// `None` where the boxes do not have the same number of dimensions, where `overlap` is not
    /// inside both, or where a box has more elements than a `u64` counts.
    pub(crate) fn new(
        source: &[Range<u64>],
        target: &[Range<u64>],
        overlap: &[Range<u64>],
    ) -> Option<Self> {
        if source.len() != overlap.len() || target.len() != overlap.len() {
            return None;
        }
        let mut runs = Self { outer: vec![], source: 0, target: 0, length: 1, done: false };
        let (mut source_stride, mut target_stride, mut merging) = (1_u64, 1_u64, true);
        for ((own, other), common) in source.iter().zip(target).zip(overlap).rev() {
            let length = common.end.checked_sub(common.start)?;
            if length == 0 {
                return Some(Self { done: true, ..runs });
            }
            if own.end < common.end || other.end < common.end {
                return None;
            }
            let (skip_own, skip_other) =
                (common.start.checked_sub(own.start)?, common.start.checked_sub(other.start)?);
            runs.source = runs.source.checked_add(skip_own.checked_mul(source_stride)?)?;
            runs.target = runs.target.checked_add(skip_other.checked_mul(target_stride)?)?;
            if merging {
                runs.length = runs.length.checked_mul(length)?;
            } else {
                runs.outer.push(Axis { index: 0, length, source_stride, target_stride });
            }
            // Rows follow each other without a gap only while every inner dimension is whole.
            merging = merging && own == common && other == common;
            source_stride = source_stride.checked_mul(own.end.checked_sub(own.start)?)?;
            target_stride = target_stride.checked_mul(other.end.checked_sub(other.start)?)?;
        }
        Some(runs)
    }
}

impl Iterator for Runs {
    type Item = (u64, u64, u64);

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let run = (self.source, self.target, self.length);
        self.done = true;
        // The innermost outer axis stands first.
        for axis in &mut self.outer {
            axis.index += 1;
            if axis.index < axis.length {
                self.source += axis.source_stride;
                self.target += axis.target_stride;
                self.done = false;
                break;
            }
            self.source -= axis.source_stride * (axis.length - 1);
            self.target -= axis.target_stride * (axis.length - 1);
            axis.index = 0;
        }
        Some(run)
    }
}

/// Copies the elements in `overlap` from a source box to a target box; `None` where they do not fit.
pub(crate) fn copy(
    source: &[u8],
    source_box: &[Range<u64>],
    target: &mut [u8],
    target_box: &[Range<u64>],
    overlap: &[Range<u64>],
    element: usize,
) -> Option<()> {
    for (from, to, length) in Runs::new(source_box, target_box, overlap)? {
        let bytes = usize::try_from(length).ok()?.checked_mul(element)?;
        let from = usize::try_from(from).ok()?.checked_mul(element)?;
        let to = usize::try_from(to).ok()?.checked_mul(element)?;
        let read = source.get(from..from.checked_add(bytes)?)?;
        target.get_mut(to..to.checked_add(bytes)?)?.copy_from_slice(read);
    }
    Some(())
}

/// The box that two boxes have in common; empty ranges where they have nothing in common.
pub(crate) fn overlap(a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    a.iter()
        .zip(b)
        .map(|(a, b)| {
            let start = a.start.max(b.start);
            start..a.end.min(b.end).max(start)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxed(bounds: &[(u64, u64)]) -> Vec<Range<u64>> {
        bounds.iter().map(|(start, length)| *start..start + length).collect()
    }

    /// Index of a cell in a box, by the definition of C order.
    fn place(cell: &[u64], inside: &[Range<u64>]) -> u64 {
        cell.iter().zip(inside).fold(0, |at, (c, r)| at * (r.end - r.start) + (c - r.start))
    }

    proptest! {
        #[test]
        fn the_runs_visit_every_common_cell_once(
            dims in prop::collection::vec(((0_u64..4, 0_u64..5), (0_u64..4, 0_u64..5)), 0..4)
        ) {
            let source = boxed(&dims.iter().map(|d| d.0).collect::<Vec<_>>());
            let target = boxed(&dims.iter().map(|d| d.1).collect::<Vec<_>>());
            let common = overlap(&source, &target);
            let mut expected = vec![vec![]];
            for range in &common {
                expected = expected
                    .iter()
                    .flat_map(|cell: &Vec<u64>| range.clone().map(move |i| [cell.clone(), vec![i]].concat()))
                    .collect();
            }
            let expected: Vec<_> =
                expected.iter().map(|cell| (place(cell, &source), place(cell, &target))).collect();
            let actual: Vec<_> = Runs::new(&source, &target, &common)
                .unwrap()
                .flat_map(|(from, to, length)| (0..length).map(move |i| (from + i, to + i)))
                .collect();
            prop_assert_eq!(actual, expected);
        }
    }

    #[test]
    fn whole_boxes_are_one_run() {
        let whole = boxed(&[(0, 3), (0, 4)]);
        assert_eq!(Runs::new(&whole, &whole, &whole).unwrap().collect::<Vec<_>>(), [(0, 0, 12)]);
        assert_eq!(Runs::new(&[], &[], &[]).unwrap().collect::<Vec<_>>(), [(0, 0, 1)]);
    }
}
