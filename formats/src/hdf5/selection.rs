//! Selections of a dataspace, as region references and virtual datasets store them.
//!
//! Format: HDF5 File Format Specification VIII, "Dataspace selections" (the encodings of
//! `H5S_select_serialize`): the kind, then a version that says how wide numbers are.

use crate::cursor::Cursor;
use std::fmt;

/// The specification's `H5S_MAX_RANK`.
const MAX_RANK: usize = 32;

/// A part of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    Nothing,
    Everything,
    /// Single elements.
    Points(Vec<Vec<u64>>),
    /// Along each dimension, blocks at equal distances.
    Regular(Vec<Steps>),
    /// Boxes: along each dimension the first index and the last.
    Boxes(Vec<Vec<(u64, u64)>>),
}

/// `count` blocks of `block` indices, the first at `start`, one every `stride`. `None` is without
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) start: u64,
    pub(super) stride: u64,
    pub(super) count: Option<u64>,
    pub(super) block: Option<u64>,
}

impl Selection {
    /// Reads a selection from the front of the bytes; `None` where they break off or make no sense.
    pub(super) fn parse(cursor: &mut Cursor<'_>) -> Option<Self> {
        let kind = cursor.u32_le()?;
        let version = cursor.u32_le()?;
        match (kind, version) {
            (0 | 3, 1) => {
                // Reserved, and the length of nothing.
                cursor.take(8)?;
                Some(if kind == 0 { Self::Nothing } else { Self::Everything })
            }
            (1, 1) => {
                cursor.take(8)?;
                points(cursor, 4)
            }
            (1, 2) => {
                let width = width(cursor)?;
                points(cursor, width)
            }
            (2, 1) => {
                cursor.take(8)?;
                boxes(cursor, 4)
            }
            (2, 2) => {
                let regular = cursor.u8()? & 1 == 1;
                // The length of what follows.
                cursor.take(4)?;
                if regular { steps(cursor, 8) } else { None }
            }
            (2, 3) => {
                let regular = cursor.u8()? & 1 == 1;
                let width = width(cursor)?;
                if regular { steps(cursor, width) } else { boxes(cursor, width) }
            }
            _ => None,
        }
    }
}

/// Bytes of a number.
fn width(cursor: &mut Cursor<'_>) -> Option<usize> {
    let width = usize::from(cursor.u8()?);
    matches!(width, 2 | 4 | 8).then_some(width)
}

fn rank(cursor: &mut Cursor<'_>) -> Option<usize> {
    let rank = usize::try_from(cursor.u32_le()?).ok()?;
    (1..=MAX_RANK).contains(&rank).then_some(rank)
}

fn numbers(cursor: &mut Cursor<'_>, width: usize, count: usize) -> Option<Vec<u64>> {
    (0..count).map(|_| cursor.uint_le(width)).collect()
}

fn points(cursor: &mut Cursor<'_>, width: usize) -> Option<Selection> {
    let rank = rank(cursor)?;
    let count = fitting(cursor, width, rank)?;
    let points = (0..count).map(|_| numbers(cursor, width, rank));
    Some(Selection::Points(points.collect::<Option<_>>()?))
}

fn boxes(cursor: &mut Cursor<'_>, width: usize) -> Option<Selection> {
    let rank = rank(cursor)?;
    let count = fitting(cursor, width, 2 * rank)?;
    let boxes = (0..count).map(|_| {
        let (first, last) = (numbers(cursor, width, rank)?, numbers(cursor, width, rank)?);
        let ends: Vec<(u64, u64)> = first.into_iter().zip(last).collect();
        ends.iter().all(|(first, last)| first <= last && *last < u64::MAX).then_some(ends)
    });
    Some(Selection::Boxes(boxes.collect::<Option<_>>()?))
}

/// A count of things of `numbers` numbers each, for which there are bytes.
fn fitting(cursor: &mut Cursor<'_>, width: usize, numbers: usize) -> Option<usize> {
    let count = usize::try_from(cursor.uint_le(width)?).ok()?;
    let bytes = count.checked_mul(numbers)?.checked_mul(width)?;
    (bytes <= cursor.remaining()).then_some(count)
}

fn steps(cursor: &mut Cursor<'_>, width: usize) -> Option<Selection> {
    let rank = rank(cursor)?;
    let unlimited = u64::MAX >> (64 - 8 * width);
    let axes = (0..rank).map(|_| {
        let (start, stride) = (cursor.uint_le(width)?, cursor.uint_le(width)?);
        let limited = |number: u64| (number != unlimited).then_some(number);
        let (count, block) = (limited(cursor.uint_le(width)?), limited(cursor.uint_le(width)?));
        // Blocks do not overlap, and the last of them ends somewhere.
        if block == Some(0) {
            return None;
        }
        let apart = count == Some(1) || count == Some(0) || block.is_some_and(|b| b <= stride);
        let ends = || {
            let blocks =
                count.unwrap_or(0).checked_sub(1).map_or(Some(0), |n| n.checked_mul(stride));
            start.checked_add(blocks?)?.checked_add(block.unwrap_or(0))
        };
        ends()?;
        apart.then_some(Steps { start, stride, count, block })
    });
    Some(Selection::Regular(axes.collect::<Option<_>>()?))
}

/// As in Python: `[0:5, 2]`, `[0:20:4]` for every fourth, `[0:18:4x2]` for two of every four; boxes
/// and points one after another, a point in round brackets. Nothing for everything.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => Ok(()),
            Self::Nothing => f.write_str("[]"),
            Self::Points(points) => points.iter().try_for_each(|point| {
                let indices: Vec<String> = point.iter().map(u64::to_string).collect();
                write!(f, "({})", indices.join(", "))
            }),
            Self::Regular(axes) => {
                let axes: Vec<String> = axes.iter().map(Steps::to_string).collect();
                write!(f, "[{}]", axes.join(", "))
            }
            Self::Boxes(boxes) => boxes.iter().try_for_each(|ends| {
                let axes: Vec<String> =
                    ends.iter().map(|(first, last)| span(*first, last.saturating_add(1))).collect();
                write!(f, "[{}]", axes.join(", "))
            }),
        }
    }
}

fn span(start: u64, end: u64) -> String {
    if end == start.saturating_add(1) { start.to_string() } else { format!("{start}:{end}") }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, stride, count, block } = *self;
        match (count, block) {
            (Some(0), _) | (_, Some(0)) => write!(f, "{start}:{start}"),
            (Some(1), Some(block)) => f.write_str(&span(start, start.saturating_add(block))),
            (Some(1), None) => write!(f, "{start}:"),
            (count, block) => {
                write!(f, "{start}:")?;
                if let (Some(count), Some(block)) = (count, block) {
                    let last = start.saturating_add((count - 1).saturating_mul(stride));
                    write!(f, "{}", last.saturating_add(block))?;
                }
                match block {
                    Some(1) => write!(f, ":{stride}"),
                    Some(block) if block == stride => Ok(()),
                    Some(block) => write!(f, ":{stride}x{block}"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[u32]) -> Option<Selection> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Selection::parse(&mut Cursor::new(&bytes))
    }

    #[test]
    fn the_first_versions_are_read_as_the_specification_lays_them_out() {
        assert_eq!(parsed(&[0, 1, 0, 0]), Some(Selection::Nothing));
        assert_eq!(parsed(&[3, 1, 0, 0]), Some(Selection::Everything));
        let points = parsed(&[1, 1, 0, 24, 2, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(points, Selection::Points(vec![vec![3, 4], vec![5, 6]]));
        assert_eq!(points.to_string(), "(3, 4)(5, 6)");
        let boxes = parsed(&[2, 1, 0, 40, 2, 2, 0, 1, 2, 3, 5, 5, 5, 9]).unwrap();
        assert_eq!(boxes, Selection::Boxes(vec![vec![(0, 2), (1, 3)], vec![(5, 5), (5, 9)]]));
        assert_eq!(boxes.to_string(), "[0:3, 1:4][5, 5:10]");
    }

    #[test]
    fn wide_numbers_and_unlimited_steps_are_read() {
        let mut bytes = vec![2, 0, 0, 0, 3, 0, 0, 0, 1, 2, 2, 0, 0, 0];
        for number in [7_u16, 4, u16::MAX, 2, 0, 1, 1, 5] {
            bytes.extend(number.to_le_bytes());
        }
        let selection = Selection::parse(&mut Cursor::new(&bytes)).unwrap();
        let first = Steps { start: 7, stride: 4, count: None, block: Some(2) };
        let second = Steps { start: 0, stride: 1, count: Some(1), block: Some(5) };
        assert_eq!(selection, Selection::Regular(vec![first, second]));
        assert_eq!(selection.to_string(), "[7::4x2, 0:5]");
        for length in 0..bytes.len() {
            assert_eq!(Selection::parse(&mut Cursor::new(&bytes[..length])), None);
        }
    }

    #[test]
    fn counts_that_no_bytes_stand_behind_are_refused() {
        assert_eq!(parsed(&[1, 1, 0, 0, 2, u32::MAX, 0]), None);
        assert_eq!(parsed(&[2, 1, 0, 0, 33, 0]), None);
        assert_eq!(parsed(&[2, 1, 0, 0, 0, 0]), None);
        assert_eq!(parsed(&[2, 1, 0, 0, 1, 1, 5, 4]), None, "a box that ends before it begins");
    }
}
