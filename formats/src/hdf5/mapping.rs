//! Virtual datasets: which part of them is which part of which other dataset.
//!
//! Format: HDF5 File Format Specification III.F, "Global Heap Block for Virtual Datasets", and for the
//! names of sources `H5Pset_virtual`: `%b` stands for the number of a block of an unlimited selection,
//! `%%` for a per cent sign, the file `.` for the file itself.

use super::selection::{Selection, Steps};
use crate::cursor::Cursor;
use crate::elements;
use hdf5_reader::checksum::jenkins_lookup3;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Entries of the second version of the block share names, or have none.
const SHARED_FILE: u8 = 1;
const SHARED_DATASET: u8 = 2;
const SAME_FILE: u8 = 4;

/// One mapping, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Name of the source's file.
    pub(super) file: Arc<str>,
    /// Path of the source in it.
    pub(super) dataset: Arc<str>,
    pub(super) source: Selection,
    pub(super) target: Selection,
}

/// Reads the block; `None` where it breaks off, or its checksum does not fit.
pub(super) fn parse(bytes: &[u8], length_size: u8) -> Option<Vec<Mapping>> {
    let (bytes, sum) = bytes.split_last_chunk::<4>()?;
    if jenkins_lookup3(bytes) != u32::from_le_bytes(*sum) {
        return None;
    }
    let mut cursor = Cursor::new(bytes);
    let version = cursor.u8().filter(|version| *version <= 1)?;
    let count = cursor.uint_le(length_size.into())?;
    let mut mappings: Vec<Mapping> = Vec::new();
    for _ in 0..count {
        let flags = if version == 0 { 0 } else { cursor.u8()? };
        let earlier = |cursor: &mut Cursor<'_>| {
            let place = usize::try_from(cursor.uint_le(length_size.into())?).ok()?;
            mappings.get(place)
        };
        let file = match flags {
            _ if flags & SAME_FILE != 0 => ".".into(),
            _ if flags & SHARED_FILE != 0 => Arc::clone(&earlier(&mut cursor)?.file),
            _ => elements::text(cursor.until_nul()?).into(),
        };
        let dataset = if flags & SHARED_DATASET != 0 {
            Arc::clone(&earlier(&mut cursor)?.dataset)
        } else {
            elements::text(cursor.until_nul()?).into()
        };
        let (source, target) = (Selection::parse(&mut cursor)?, Selection::parse(&mut cursor)?);
        mappings.push(Mapping { file, dataset, source, target });
    }
    Some(mappings)
}

/// A name with the number of a block in it; `None` where a per cent sign stands before anything else
/// than `b` or another one.
pub(super) fn substituted(name: &str, block: u64) -> Option<String> {
    let mut result = String::new();
    let mut parts = name.split('%');
    result.push_str(parts.next()?);
    while let Some(part) = parts.next() {
        if let Some(rest) = part.strip_prefix('b') {
            result.push_str(&block.to_string());
            result.push_str(rest);
        } else if part.is_empty() {
            result.push('%');
            result.push_str(parts.next()?);
        } else {
            return None;
        }
    }
    Some(result)
}

/// The selected indices along one dimension: `length` of them, in blocks at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    start: u64,
    stride: u64,
    block: u64,
    pub(super) length: u64,
}

impl Axis {
    fn of(range: Range<u64>) -> Self {
        let length = range.end.saturating_sub(range.start);
        Self { start: range.start, stride: length, block: length, length }
    }

    /// The first `length` indices of steps, which need not end.
    pub(super) fn first(steps: Steps, length: u64) -> Self {
        let Steps { start, stride, block, .. } = steps;
        match block.filter(|block| *block < stride && *block < length) {
            Some(block) => Self { start, stride, block, length },
            None => Self::of(start..start.saturating_add(length)),
        }
    }

    /// The index at a place among the selected ones.
    pub(super) fn index(&self, place: u64) -> u64 {
        let (blocks, rest) = (
            place.checked_div(self.block).unwrap_or(0),
            place.checked_rem(self.block).unwrap_or(0),
        );
        self.start.saturating_add(blocks.saturating_mul(self.stride)).saturating_add(rest)
    }

    /// One past the last index.
    pub(super) fn end(&self) -> u64 {
        self.length.checked_sub(1).map_or(0, |last| self.index(last).saturating_add(1))
    }

    /// The places of the indices in a range.
    pub(super) fn places(&self, range: &Range<u64>) -> Range<u64> {
        let below = |index: u64| {
            let Some(past) = index.checked_sub(self.start) else { return 0 };
            let (blocks, rest) = (
                past.checked_div(self.stride).unwrap_or(0),
                past.checked_rem(self.stride).unwrap_or(0),
            );
            blocks.saturating_mul(self.block).saturating_add(rest.min(self.block)).min(self.length)
        };
        below(range.start)..below(range.end)
    }

    /// The last place of the block that a place is in, and one.
    pub(super) fn end_of_run(&self, place: u64) -> u64 {
        let blocks = place.checked_div(self.block).unwrap_or(0);
        blocks.saturating_add(1).saturating_mul(self.block).min(self.length)
    }
}

impl Steps {
    /// Whether there is no last index.
    fn is_unlimited(&self) -> bool {
        self.count.is_none() || self.block.is_none()
    }

    fn axis(self) -> Option<Axis> {
        Some(Axis::first(self, self.count?.checked_mul(self.block?)?))
    }

    /// Indices that are smaller than `extent`.
    pub(super) fn below(&self, extent: u64) -> u64 {
        let past = extent.saturating_sub(self.start);
        let Some(block) = self.block else { return past };
        let (blocks, rest) = (
            past.checked_div(self.stride).unwrap_or(0),
            past.checked_rem(self.stride).unwrap_or(0),
        );
        blocks.saturating_mul(block).saturating_add(rest.min(block))
    }
}

impl Selection {
    /// The dimension without end, with its steps.
    pub(super) fn unlimited(&self) -> Option<(usize, Steps)> {
        let Self::Regular(axes) = self else { return None };
        axes.iter().copied().enumerate().find(|(_, steps)| steps.is_unlimited())
    }

    /// The selection with the first `length` indices of its unlimited dimension.
    pub(super) fn limited(&self, length: u64) -> Option<Vec<Axis>> {
        let Self::Regular(axes) = self else { return None };
        axes.iter()
            .map(|steps| {
                if steps.is_unlimited() { Some(Axis::first(*steps, length)) } else { steps.axis() }
            })
            .collect()
    }

    /// Block number `block` of a selection whose unlimited dimension is made of blocks.
    pub(super) fn block(&self, number: u64) -> Option<Vec<Axis>> {
        let Self::Regular(axes) = self else { return None };
        axes.iter()
            .map(|steps| match (steps.count, steps.block) {
                (None, Some(block)) => {
                    let start = steps.start.checked_add(number.checked_mul(steps.stride)?)?;
                    Some(Axis::of(start..start.checked_add(block)?))
                }
                _ => steps.axis(),
            })
            .collect()
    }

    /// The boxes of a selection of an array of this shape, in the order of their elements: the
    /// elements of one come before those of the next. `None` where they have no such order, or the
    /// selection has another rank.
    pub(super) fn boxes(&self, shape: &[u64]) -> Option<Vec<Vec<Axis>>> {
        let boxes = match self {
            Self::Nothing => vec![],
            Self::Everything => vec![shape.iter().map(|length| Axis::of(0..*length)).collect()],
            Self::Points(_) => return None,
            Self::Regular(axes) => {
                vec![axes.iter().map(|steps| steps.axis()).collect::<Option<Vec<_>>>()?]
            }
            Self::Boxes(boxes) if regular(boxes).is_some() => regular(boxes).into_iter().collect(),
            Self::Boxes(boxes) => {
                let axes = |ends: &Vec<(u64, u64)>| {
                    let axis =
                        |(first, last): &(u64, u64)| Axis::of(*first..last.saturating_add(1));
                    ends.iter().map(axis).collect::<Vec<_>>()
                };
                let mut boxes: Vec<Vec<Axis>> = boxes.iter().map(axes).collect();
                boxes.sort_by_key(|axes| axes.first().map(|axis| axis.start));
                let apart = |pair: &[Vec<Axis>]| match pair {
                    [a, b] => a.first().map(Axis::end) <= b.first().map(|axis| axis.start),
                    _ => true,
                };
                if !boxes.windows(2).all(apart) {
                    return None;
                }
                boxes
            }
        };
        boxes.iter().all(|axes| axes.len() == shape.len()).then_some(boxes)
    }
}

/// The axes of boxes that are the blocks of a regular selection: so the first version of the format
/// stores it.
fn regular(boxes: &[Vec<(u64, u64)>]) -> Option<Vec<Axis>> {
    let rank = boxes.first()?.len();
    let mut axes = Vec::with_capacity(rank);
    let mut blocks = 1_usize;
    for place in 0..rank {
        let ends: BTreeSet<(u64, u64)> =
            boxes.iter().map(|ends| ends.get(place).copied()).collect::<Option<_>>()?;
        let mut ends = ends.iter();
        let (start, last) = *ends.next()?;
        let block = last.checked_sub(start)?.checked_add(1)?;
        let stride =
            ends.clone().next().map_or(Some(block), |(next, _)| next.checked_sub(start))?;
        let mut count = 1_u64;
        for (first, last) in ends {
            let expected = start.checked_add(count.checked_mul(stride)?)?;
            if (*first, last.checked_add(1)?) != (expected, expected.checked_add(block)?) {
                return None;
            }
            count += 1;
        }
        if block > stride {
            return None;
        }
        let steps = Steps { start, stride, count: Some(count), block: Some(block) };
        axes.push(steps.axis()?);
        blocks = blocks.checked_mul(usize::try_from(count).ok()?)?;
    }
    // As many boxes as there are combinations, and no two alike, are all of them.
    let distinct: BTreeSet<&Vec<(u64, u64)>> = boxes.iter().collect();
    (blocks == boxes.len() && distinct.len() == boxes.len()).then_some(axes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_take_the_number_of_a_block() {
        assert_eq!(substituted("f-%b.h5", 12).unwrap(), "f-12.h5");
        assert_eq!(substituted("%b%b", 3).unwrap(), "33");
        assert_eq!(substituted("100%%%b%%", 3).unwrap(), "100%3%");
        assert_eq!(substituted("plain", 3).unwrap(), "plain");
        assert_eq!(substituted("%d", 3), None);
        assert_eq!(substituted("50%", 3), None);
    }

    #[test]
    fn boxes_of_a_regular_selection_are_one_box_again() {
        let boxes = |ends: &[[(u64, u64); 2]]| {
            Selection::Boxes(ends.iter().map(|ends| ends.to_vec()).collect()).boxes(&[20, 20])
        };
        let steps = |start, stride, count, block| {
            Steps { start, stride, count: Some(count), block: Some(block) }.axis().unwrap()
        };
        let four = [[(1, 2), (5, 5)], [(1, 2), (7, 7)], [(5, 6), (5, 5)], [(5, 6), (7, 7)]];
        assert_eq!(boxes(&four), Some(vec![vec![steps(1, 4, 2, 2), steps(5, 2, 2, 1)]]));
        // One is missing, and two of them lie side by side.
        assert_eq!(boxes(&four[..3]), None);
        // Unequal boxes one below the other are read in turn.
        let two = [[(3, 4), (0, 5)], [(0, 0), (2, 3)]];
        let expected = vec![
            vec![steps(0, 1, 1, 1), steps(2, 2, 1, 2)],
            vec![steps(3, 2, 1, 2), steps(0, 6, 1, 6)],
        ];
        assert_eq!(boxes(&two), Some(expected));
    }

    proptest! {
        #[test]
        fn places_and_indices_are_those_of_the_listed_ones(
            start in 0_u64..5, gap in 0_u64..4, block in 1_u64..5, count in 0_u64..5,
            cut in 0_u64..6, range in (0_u64..50, 0_u64..50), extent in 0_u64..40,
        ) {
            let stride = block + gap;
            let all: Vec<u64> =
                (0..count).flat_map(|n| (0..block).map(move |i| start + n * stride + i)).collect();
            let steps = Steps { start, stride, count: Some(count), block: Some(block) };
            let listed: Vec<u64> = all.iter().copied().take(usize::try_from(cut).unwrap()).collect();
            let axis = Axis::first(steps, listed.len() as u64);
            let indices: Vec<u64> = (0..axis.length).map(|place| axis.index(place)).collect();
            prop_assert_eq!(&indices, &listed);
            prop_assert_eq!(axis.end(), listed.last().map_or(0, |last| last + 1));
            let range = range.0.min(range.1)..range.0.max(range.1);
            let inside: Vec<u64> = axis.places(&range).map(|place| axis.index(place)).collect();
            let expected: Vec<u64> = listed.iter().copied().filter(|i| range.contains(i)).collect();
            prop_assert_eq!(inside, expected);
            for place in 0..axis.length {
                let end = axis.end_of_run(place);
                prop_assert!(end > place && end <= axis.length);
                prop_assert_eq!(axis.index(end - 1) - axis.index(place), end - 1 - place);
            }
            let unlimited = Steps { count: None, ..steps };
            let below = (0..40).flat_map(|n| (0..block).map(move |i| start + n * stride + i));
            prop_assert_eq!(unlimited.below(extent), below.filter(|i| *i < extent).count() as u64);
        }
    }
}
