//! A region of a virtual dataset, put together from its sources.

use super::Hdf5Reader;
use super::mapping::Axis;
use super::read::{Read, Wanted};
use crate::error::FormatError;
use crate::region::Region;
use arrow::buffer::MutableBuffer;
use std::ops::Range;
use std::sync::Arc;

/// Virtual datasets that are parts of each other one after another, at most.
const DEEPEST: u8 = 8;
/// Cells that are read along for one that is wanted.
const SPARSE: u64 = 4;

/// A part of a virtual dataset that is a part of another dataset.
#[derive(Debug)]
pub(super) struct Part {
    source: Source,
    pub(super) target_axes: Vec<Axis>,
    source_axes: Vec<Axis>,
    /// Which axis of the target is which of the source; the others have one index.
    pairs: Vec<(usize, usize)>,
}

/// A dataset, by its place in the index.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Own(usize),
    Other(Arc<Hdf5Reader>, usize),
}

/// Cells that are read for one that is wanted, through all virtual datasets on the way: each level
/// has holes, and some parts that lie over others.
const AGAIN: u64 = 256;
/// What a part costs, in cells.
const PART: u64 = 64;
/// For regions of any size, in cells: a million parts.
const FLOOR: u64 = PART << 20;

/// Cells that may be read for a region, in all parts.
pub(super) fn most_read(region: &Region) -> u64 {
    region.cells().unwrap_or(0).saturating_mul(AGAIN).saturating_add(FLOOR)
}

impl Part {
    /// `None` where the two selections have other shapes, beside axes with one index.
    pub(super) fn new(
        source: Source,
        target_axes: Vec<Axis>,
        source_axes: Vec<Axis>,
    ) -> Option<Self> {
        let long = |axes: &[Axis]| -> Vec<usize> {
            let long = axes.iter().enumerate().filter(|(_, axis)| axis.length != 1);
            long.map(|(place, _)| place).collect()
        };
        let (targets, sources) = (long(&target_axes), long(&source_axes));
        let length = |axes: &[Axis], place: usize| axes.get(place).map(|axis| axis.length);
        let empty = |axes: &[Axis]| axes.iter().any(|axis| axis.length == 0);
        if empty(&target_axes) && empty(&source_axes) {
            return Some(Self { source, target_axes, source_axes, pairs: vec![] });
        }
        let pairs: Vec<_> = targets.iter().copied().zip(sources.iter().copied()).collect();
        let equal = targets.len() == sources.len()
            && pairs.iter().all(|(t, s)| length(&target_axes, *t) == length(&source_axes, *s));
        equal.then_some(Self { source, target_axes, source_axes, pairs })
    }
}

impl Read<'_> {
    /// The values of a region of a virtual dataset.
    pub(super) fn assembled(&self, wanted: &Wanted<'_>) -> Result<MutableBuffer, FormatError> {
        let mut values = self.blank(wanted)?;
        let place = self.place;
        for part in self.reader.assemblies.get(&place).into_iter().flatten() {
            let axes = part.target_axes.iter().zip(&wanted.stored);
            let places: Vec<Range<u64>> = axes.map(|(axis, range)| axis.places(range)).collect();
            if places.iter().all(|places| !places.is_empty()) {
                self.part(part, &places, wanted, &mut values)?;
            }
        }
        Ok(values)
    }

    /// Copies the selected indices at `places`, along each axis of the target, to where they belong.
    fn part(
        &self,
        part: &Part,
        places: &[Range<u64>],
        wanted: &Wanted<'_>,
        values: &mut [u8],
    ) -> Result<(), FormatError> {
        let lost = || self.corrupt("the mapping of the virtual dataset is damaged");
        let mut region: Vec<Range<u64>> = part
            .source_axes
            .iter()
            .map(|axis| axis.index(0)..axis.index(0).saturating_add(1))
            .collect();
        let (mut cells, mut read) = (1_u64, 1_u64);
        for (target, source) in &part.pairs {
            let places = places.get(*target).ok_or_else(lost)?;
            let axis = part.source_axes.get(*source).ok_or_else(lost)?;
            let range = axis.index(places.start)
                ..axis.index(places.end.saturating_sub(1)).saturating_add(1);
            cells = cells.saturating_mul(places.end.saturating_sub(places.start));
            read = read.saturating_mul(range.end.saturating_sub(range.start));
            *region.get_mut(*source).ok_or_else(lost)? = range;
        }
        if read > cells.saturating_mul(SPARSE) {
            // Run by run along the outermost axis that has gaps.
            for (target, source) in &part.pairs {
                let range = places.get(*target).ok_or_else(lost)?;
                let axis = part.source_axes.get(*source).ok_or_else(lost)?;
                if axis.end_of_run(range.start) >= range.end {
                    continue;
                }
                let mut start = range.start;
                while start < range.end {
                    let end = axis.end_of_run(start).min(range.end);
                    let mut run = places.to_vec();
                    *run.get_mut(*target).ok_or_else(lost)? = start..end;
                    self.part(part, &run, wanted, values)?;
                    start = end;
                }
                return Ok(());
            }
        }
        let (reader, place) = match &part.source {
            Source::Own(place) => (self.reader, *place),
            Source::Other(reader, place) => (reader.as_ref(), *place),
        };
        let depth = self.depth + 1;
        let source = Read::of(reader, place, depth, self.left)
            .filter(|_| depth <= DEEPEST)
            .ok_or_else(|| {
                self.corrupt(
                    "virtual datasets are parts of each other in a circle, or in too long a row",
                )
            })?;
        let region = Region::new(region);
        // Parts that lie one over the other, of datasets that are made of such parts, would be read
        // again and again.
        let needed = PART.saturating_add(region.cells().unwrap_or(u64::MAX));
        let left = self.left.get().checked_sub(needed);
        self.left.set(left.ok_or_else(|| self.corrupt("its parts lie one over the other"))?);
        let (_, bytes) = source.stored(&region)?;
        let copied =
            scatter(part, places, &region, wanted, self.dataset.datatype.size(), &bytes, values);
        copied.ok_or_else(lost)
    }
}

/// Copies what was read of a source. `None` where something does not fit.
fn scatter(
    part: &Part,
    places: &[Range<u64>],
    region: &Region,
    wanted: &Wanted<'_>,
    element: usize,
    bytes: &[u8],
    values: &mut [u8],
) -> Option<()> {
    let (to, from) = (strides(wanted.region)?, strides(region.ranges())?);
    let mut first = 0_u64;
    for ((axis, range), stride) in part.target_axes.iter().zip(wanted.region).zip(&to) {
        if axis.length == 1 {
            first += axis.index(0).checked_sub(range.start)?.checked_mul(*stride)?;
        }
    }
    let mut levels = Vec::with_capacity(part.pairs.len());
    for (target, source) in &part.pairs {
        levels.push(Level {
            places: places.get(*target)?.clone(),
            target: *part.target_axes.get(*target)?,
            source: *part.source_axes.get(*source)?,
            target_start: wanted.region.get(*target)?.start,
            source_start: region.ranges().get(*source)?.start,
            target_stride: *to.get(*target)?,
            source_stride: *from.get(*source)?,
        });
    }
    copy(&levels, first, 0, element, bytes, values)
}

/// An axis that is copied along.
struct Level {
    places: Range<u64>,
    target: Axis,
    source: Axis,
    target_start: u64,
    source_start: u64,
    target_stride: u64,
    source_stride: u64,
}

fn copy(
    levels: &[Level],
    to: u64,
    from: u64,
    element: usize,
    bytes: &[u8],
    values: &mut [u8],
) -> Option<()> {
    let Some((level, inner)) = levels.split_first() else {
        return elements((to, from, 1), element, bytes, values);
    };
    let mut place = level.places.start;
    while place < level.places.end {
        let index = level.target.index(place).checked_sub(level.target_start)?;
        let to = to.checked_add(index.checked_mul(level.target_stride)?)?;
        let index = level.source.index(place).checked_sub(level.source_start)?;
        let from = from.checked_add(index.checked_mul(level.source_stride)?)?;
        if inner.is_empty() && level.target_stride == 1 && level.source_stride == 1 {
            let end = level.target.end_of_run(place).min(level.source.end_of_run(place));
            let end = end.min(level.places.end);
            elements((to, from, end.checked_sub(place)?), element, bytes, values)?;
            place = end;
        } else {
            copy(inner, to, from, element, bytes, values)?;
            place += 1;
        }
    }
    Some(())
}

/// Copies elements that lie side by side: the first in the target, the first in the source, and how
/// many.
fn elements(
    (to, from, count): (u64, u64, u64),
    element: usize,
    bytes: &[u8],
    values: &mut [u8],
) -> Option<()> {
    let range = |start: u64| {
        let start = usize::try_from(start).ok()?.checked_mul(element)?;
        let length = usize::try_from(count).ok()?.checked_mul(element)?;
        Some(start..start.checked_add(length)?)
    };
    values.get_mut(range(to)?)?.copy_from_slice(bytes.get(range(from)?)?);
    Some(())
}

/// Elements from one index to the next along each dimension of a box.
fn strides(ranges: &[Range<u64>]) -> Option<Vec<u64>> {
    let mut stride = 1_u64;
    let mut strides = Vec::with_capacity(ranges.len());
    for range in ranges.iter().rev() {
        strides.push(stride);
        stride = stride.checked_mul(range.end.checked_sub(range.start)?)?;
    }
    strides.reverse();
    Some(strides)
}
