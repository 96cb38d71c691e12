//! Hyperslabs and selections: which part of an array.

use std::ops::Range;

/// A box of cells: one range per dimension, outermost first. A scalar's region has no ranges.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region {
    ranges: Vec<Range<u64>>,
}

impl Region {
    /// A box of these ranges.
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        Self { ranges }
    }

    /// The whole of an array of this shape.
    pub fn whole(shape: &[u64]) -> Self {
        Self::new(shape.iter().map(|length| 0..*length).collect())
    }

    /// One range per dimension.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// Length along each dimension.
    pub fn shape(&self) -> Vec<u64> {
        self.ranges.iter().map(|range| range.end.saturating_sub(range.start)).collect()
    }

    /// Number of cells; `None` on overflow.
    pub fn cells(&self) -> Option<u64> {
        self.shape().iter().try_fold(1_u64, |cells, length| cells.checked_mul(*length))
    }

    /// Whether the box lies inside an array of this shape.
    pub fn fits(&self, shape: &[u64]) -> bool {
        self.ranges.len() == shape.len()
            && self.ranges.iter().zip(shape).all(|(r, length)| r.start <= r.end && r.end <= *length)
    }
}

/// The part of a grid that a query needs: for each dimension the sorted, disjoint, non-empty ranges
/// of indices that are selected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Selection {
    dimensions: Vec<Vec<Range<u64>>>,
}

impl Selection {
    /// Everything of a grid of this shape.
    pub fn all(shape: &[u64]) -> Self {
        Self {
            dimensions: shape
                .iter()
                .map(|length| {
                    std::iter::once(0..*length).filter(|range| !range.is_empty()).collect()
                })
                .collect(),
        }
    }

    /// The ranges along each dimension.
    pub fn dimensions(&self) -> &[Vec<Range<u64>>] {
        &self.dimensions
    }

    /// Keeps of dimension `dimension` only the indices in `ranges` (sorted and disjoint).
    /// A dimension that does not exist is left alone.
    pub fn restrict(&mut self, dimension: usize, ranges: &[Range<u64>]) {
        if let Some(own) = self.dimensions.get_mut(dimension) {
            *own = intersect(own, ranges);
        }
    }

    /// Number of selected cells; `None` on overflow.
    pub fn cells(&self) -> Option<u64> {
        self.dimensions.iter().try_fold(1_u64, |cells, ranges| {
            let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            cells.checked_mul(length)
        })
    }
}

/// Sorted, disjoint ranges of the indices for which `keep` holds.
pub fn ranges_where(keep: impl IntoIterator<Item = bool>) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for (index, _) in (0_u64..).zip(keep).filter(|(_, keep)| *keep) {
        match ranges.last_mut() {
            Some(last) if last.end == index => last.end = index + 1,
            _ => ranges.push(index..index + 1),
        }
    }
    ranges
}

/// The indices in both lists of sorted, disjoint ranges.
pub fn intersect(a: &[Range<u64>], b: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut both = Vec::new();
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        let (start, end) = (x.start.max(y.start), x.end.min(y.end));
        if start < end {
            both.push(start..end);
        }
        if x.end <= y.end {
            left.next();
        } else {
            right.next();
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_scalar_has_one_cell_and_an_empty_dimension_none() {
        assert_eq!(Region::whole(&[]).cells(), Some(1));
        assert_eq!(Region::whole(&[3, 0]).cells(), Some(0));
        assert_eq!(Selection::all(&[3, 0]).cells(), Some(0));
        assert_eq!(Region::whole(&[u64::MAX, 2]).cells(), None);
    }

    proptest! {
        #[test]
        fn intersecting_ranges_is_intersecting_sets(a in prop::collection::vec(any::<bool>(), 0..40), b in prop::collection::vec(any::<bool>(), 0..40)) {
            let expected = ranges_where(a.iter().zip(&b).map(|(x, y)| *x && *y));
            prop_assert_eq!(intersect(&ranges_where(a), &ranges_where(b)), expected);
        }
    }
}
