//! The bytes of a region of a variable, in the order of the region.

use super::Stored;
use crate::error::FormatError;
use crate::fetch::fetch;
use crate::hyperslab::Runs;
use crate::region::Region;
use crate::source::{Access, ByteSource};
use std::ops::Range;

/// Most runs of bytes that are planned at once.
const PLAN: usize = 65_536;

/// The bytes of a region: the same runs in every record; without the record dimension the whole
/// variable is one record.
pub(super) struct Rows {
    /// Where record 0 begins.
    begin: u64,
    records: Range<u64>,
    /// Bytes from one record to the next.
    stride: u64,
    /// Bytes of a value.
    size: u64,
    /// The variable inside a record, and what of it is wanted.
    whole: Vec<Range<u64>>,
    wanted: Vec<Range<u64>>,
}

impl Stored {
    /// `None` where the region has another rank than the variable.
    pub(super) fn rows(&self, shape: &[u64], region: &Region) -> Option<Rows> {
        let ranges = region.ranges();
        let ((shape, wanted), records) = match self.record {
            None => ((shape, ranges), 0..1),
            Some(_) => ((shape.get(1..)?, ranges.get(1..)?), ranges.first()?.clone()),
        };
        Some(Rows {
            begin: self.begin,
            records,
            stride: self.record.unwrap_or(0),
            size: u64::try_from(self.kind.size()).ok()?,
            whole: shape.iter().map(|length| 0..*length).collect(),
            wanted: wanted.to_vec(),
        })
    }
}

impl Rows {
    /// Hands the bytes to `each`, piece by piece. `Ok(None)` where they lie past the end of any
    /// file.
    pub(super) fn read(
        &self,
        source: &dyn ByteSource,
        mut each: impl FnMut(&[u8]),
    ) -> Result<Option<()>, FormatError> {
        let access = source.access();
        match self.slabs(access) {
            None => return Ok(None),
            Some(None) => {}
            Some(Some(slabs)) => {
                slabs.read_along(source, each)?;
                return Ok(Some(()));
            }
        }
        let mut ranges = Vec::new();
        for run in self.values() {
            let Some(run) = run else { return Ok(None) };
            for block in blocks(run, access.run) {
                ranges.push(block);
                if ranges.len() >= PLAN {
                    fetch(source, &ranges, |_, bytes| {
                        each(bytes);
                        Ok(())
                    })?;
                    ranges.clear();
                }
            }
        }
        // Ranges in order come in order.
        fetch(source, &ranges, |_, bytes| {
            each(bytes);
            Ok(())
        })?;
        Ok(Some(()))
    }

    /// What [`Self::read`] asks of a source, up to a number of ranges. `None` as there.
    pub(super) fn ranges(&self, access: Access) -> Option<Vec<Range<u64>>> {
        match self.slabs(access)? {
            Some(slabs) => Some(slabs.windows(access.run).take(PLAN).collect()),
            None => self.values().take(PLAN).collect(),
        }
    }

    /// The slabs of the records, where they lie so close together that they are read with what is
    /// between them. The outer `None` where they lie past the end of any file.
    fn slabs(&self, access: Access) -> Option<Option<Slabs>> {
        let mut runs = self.runs()?;
        let (Some((from, _, length)), None) = (runs.next(), runs.next()) else { return Some(None) };
        let run = length.checked_mul(self.size)?;
        let first = self.record(self.records.start)?;
        let start = first.checked_add(from.checked_mul(self.size)?)?;
        let count = self.records.end.checked_sub(self.records.start)?;
        start.checked_add(count.checked_mul(self.stride)?)?;
        let slabs = Slabs { start, run, stride: self.stride, count };
        let gap = slabs.stride.saturating_sub(slabs.run);
        Some(access.reads_along(gap, slabs.run, gap).then_some(slabs))
    }

    /// The bytes of the runs of every record; `None` for one past the end of any file.
    fn values(&self) -> impl Iterator<Item = Option<Range<u64>>> {
        self.records.clone().flat_map(move |record| {
            let found = self.record(record).zip(self.runs());
            let (first, runs) =
                found.map_or((None, None), |(first, runs)| (Some(first), Some(runs)));
            let lost = runs.is_none().then_some(None);
            let runs = runs.into_iter().flatten().map(move |(from, _, length)| {
                let start = first?.checked_add(from.checked_mul(self.size)?)?;
                Some(start..start.checked_add(length.checked_mul(self.size)?)?)
            });
            lost.into_iter().chain(runs)
        })
    }

    /// The runs of values in a record.
    fn runs(&self) -> Option<Runs> {
        Runs::new(&self.whole, &self.wanted, &self.wanted)
    }

    fn record(&self, number: u64) -> Option<u64> {
        number.checked_mul(self.stride)?.checked_add(self.begin)
    }
}

/// One run of bytes in each of a number of records.
#[derive(Debug, Clone, Copy)]
struct Slabs {
    start: u64,
    run: u64,
    stride: u64,
    count: u64,
}

impl Slabs {
    /// Reads windows of several records each.
    fn read_along(
        self,
        source: &dyn ByteSource,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), FormatError> {
        let windows = self.windows(source.access().run);
        if self.stride <= self.run {
            return in_batches(source, windows, &mut each);
        }
        let run = usize::try_from(self.run).unwrap_or(0);
        let stride = usize::try_from(self.stride).unwrap_or(usize::MAX);
        in_batches(source, windows, &mut |window| {
            for record in window.chunks(stride) {
                each(record.get(..run).unwrap_or_default());
            }
        })
    }

    /// Windows of about `length` bytes that hold the slabs.
    fn windows(self, length: u64) -> Box<dyn Iterator<Item = Range<u64>>> {
        let Self { start, run, stride, count } = self;
        if stride <= run {
            // Nothing is between the slabs, or there is only one.
            let end = start.saturating_add(run.saturating_mul(count));
            return Box::new(blocks(start..end, length));
        }
        let records = (length / stride).max(1);
        let step = usize::try_from(records).unwrap_or(usize::MAX);
        Box::new((0..count).step_by(step).map(move |first| {
            let last = first.saturating_add(records).min(count).saturating_sub(1);
            let at = |record: u64| start.saturating_add(record.saturating_mul(stride));
            at(first)..at(last).saturating_add(run)
        }))
    }
}

/// A range of values cut into ranges of about `length`, none of which ends inside a value.
fn blocks(range: Range<u64>, length: u64) -> impl Iterator<Item = Range<u64>> {
    let length = (length & !7).max(8);
    let step = usize::try_from(length).unwrap_or(usize::MAX);
    let Range { start, end } = range;
    (start..end).step_by(step).map(move |start| start..end.min(start.saturating_add(length)))
}

/// Reads ranges as they come, as many bytes at once as the source likes.
fn in_batches(
    source: &dyn ByteSource,
    ranges: impl Iterator<Item = Range<u64>>,
    each: &mut impl FnMut(&[u8]),
) -> Result<(), FormatError> {
    let mut asked = Vec::new();
    let mut bytes = 0_u64;
    let mut ranges = ranges.peekable();
    while let Some(range) = ranges.next() {
        bytes = bytes.saturating_add(range.end.saturating_sub(range.start));
        asked.push(range);
        if bytes >= source.access().batch || ranges.peek().is_none() {
            source.read_ranges(&asked)?.iter().for_each(|bytes| each(bytes));
            asked.clear();
            bytes = 0;
        }
    }
    Ok(())
}
