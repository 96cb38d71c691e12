//! Opening a file of a slow source in few requests.
//!
//! Parsers ask for one small piece of metadata after another. Here they are shown what has been
//! fetched; what they ask for beyond it is noted, fetched all at once, and the file is opened again
//! from the beginning, until nothing is missing. Opening costs little once the bytes are there.

use crate::error::FormatError;
use crate::source::{Access, ByteSource, SourceError, check_ranges};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Times that a file is opened again; after them the parser waits for each piece.
const MOST_ROUNDS: u32 = 32;
/// Bytes of metadata that are held while a file is opened; after them as after so many rounds.
const MOST_BYTES: u64 = 256 << 20;
/// Bytes that are read along behind a missing piece in the second round, then twice as many in each:
/// metadata that lead on to others lie near them more often than not.
const ALONG: u64 = 64 << 10;

/// Opens a file whose first bytes are `head` by `open`, which may be called several times.
///
/// # Errors
/// Those of `open`, and of the source.
pub(crate) fn open<R>(
    source: Arc<dyn ByteSource>,
    head: Bytes,
    open: impl Fn(Arc<dyn ByteSource>) -> Result<R, FormatError>,
) -> Result<R, FormatError> {
    let held = std::iter::once((0, head)).filter(|(_, head)| !head.is_empty()).collect();
    let state = State { held, wanted: vec![] };
    let replay = Arc::new(Replay { source, opened: AtomicBool::new(false), state: state.into() });
    for round in 0..MOST_ROUNDS {
        let outcome = open(Arc::clone(&replay) as Arc<dyn ByteSource>);
        if !replay.fetch_wanted(round)? {
            replay.finish();
            return outcome;
        }
        if replay.bytes() > MOST_BYTES {
            break;
        }
    }
    replay.finish();
    open(replay)
}

/// A source while a file of it is opened; afterwards the source itself.
#[derive(Debug)]
struct Replay {
    source: Arc<dyn ByteSource>,
    opened: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Runs of bytes by their first, disjoint.
    held: BTreeMap<u64, Bytes>,
    wanted: Vec<Range<u64>>,
}

impl State {
    /// The bytes of a range, if they are held, in one run or in several that follow each other.
    fn get(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            return Some(Bytes::new());
        }
        let (first, run) = self.held.range(..=range.start).next_back()?;
        let from = usize::try_from(range.start - first).ok()?;
        let length = usize::try_from(range.end - range.start).ok()?;
        if let Some(end) = from.checked_add(length).filter(|end| *end <= run.len()) {
            return Some(run.slice(from..end));
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(run.get(from..)?);
        while let Some(missing) = length.checked_sub(bytes.len()).filter(|missing| *missing > 0) {
            let at = range.start.checked_add(bytes.len() as u64)?;
            let run = self.held.get(&at)?;
            bytes.extend_from_slice(run.get(..missing.min(run.len()))?);
        }
        Some(bytes.into())
    }

    /// What of the wanted ranges, made longer by `along`, is not held: sorted and disjoint, those that
    /// are near each other as one.
    fn missing(&mut self, access: Access, length: u64, along: u64) -> Vec<Range<u64>> {
        let mut wanted = std::mem::take(&mut self.wanted);
        wanted.sort_by_key(|range| range.start);
        let mut missing: Vec<Range<u64>> = vec![];
        for Range { start, end } in wanted {
            let end = end.saturating_add(along).min(length);
            let mut at = start.max(missing.last().map_or(0, |last| last.end));
            while at < end {
                let before = self.held.range(..=at).next_back();
                let covered = before.map_or(0, |(first, run)| first + run.len() as u64);
                if covered > at {
                    at = covered;
                    continue;
                }
                let next = self.held.range(at..).next().map_or(end, |(first, _)| end.min(*first));
                match missing.last_mut() {
                    Some(last)
                        if at - last.end <= access.gap
                            && next - last.start <= access.run
                            && self.held.range(last.end..at).next().is_none() =>
                    {
                        last.end = next;
                    }
                    _ => missing.push(at..next),
                }
                at = next;
            }
        }
        missing
    }
}

impl Replay {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches what was missing; false if nothing was.
    fn fetch_wanted(&self, round: u32) -> Result<bool, FormatError> {
        let along = if round == 0 { 0 } else { ALONG << (round - 1).min(4) };
        let mut state = self.state();
        if state.wanted.is_empty() {
            return Ok(false);
        }
        let missing = state.missing(self.source.access(), self.source.len(), along);
        let fetched = self.source.read_ranges(&missing)?;
        state.held.extend(missing.iter().map(|range| range.start).zip(fetched));
        Ok(true)
    }

    fn bytes(&self) -> u64 {
        self.state().held.values().map(|run| run.len() as u64).sum()
    }

    /// From now on everything is asked of the source.
    fn finish(&self) {
        self.opened.store(true, Ordering::Release);
        self.state().held.clear();
    }
}

impl ByteSource for Replay {
    fn location(&self) -> &str {
        self.source.location()
    }

    fn len(&self) -> u64 {
        self.source.len()
    }

    fn access(&self) -> Access {
        self.source.access()
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        if self.opened.load(Ordering::Acquire) {
            return self.source.read_ranges(ranges);
        }
        check_ranges(self.location(), self.len(), ranges)?;
        let mut state = self.state();
        let found: Vec<_> = ranges.iter().map(|range| state.get(range)).collect();
        let missing = ranges.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<_> = missing.map(|(range, _)| range.clone()).collect();
        state.wanted.extend(missing);
        let pending = || SourceError::Pending { location: self.location().to_owned() };
        found.into_iter().collect::<Option<_>>().ok_or_else(pending)
    }

    fn read_owned(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        if self.opened.load(Ordering::Acquire) {
            return self.source.read_owned(range);
        }
        self.read(range).map(Vec::from)
    }

    fn announce(&self, ranges: &[Range<u64>]) {
        self.source.announce(ranges);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;
    use crate::traffic;

    /// Bytes that count every call.
    #[derive(Debug)]
    struct Slow(MemorySource);

    impl ByteSource for Slow {
        fn location(&self) -> &str {
            self.0.location()
        }

        fn len(&self) -> u64 {
            self.0.len()
        }

        fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
            traffic::count(1, ranges.iter().map(|range| range.end - range.start).sum());
            self.0.read_ranges(ranges)
        }
    }

    fn bytes() -> Vec<u8> {
        (0..400_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    fn slow() -> Arc<dyn ByteSource> {
        Arc::new(Slow(MemorySource::new("slow", bytes())))
    }

    #[test]
    fn what_a_parser_misses_is_fetched_at_once_and_read_again() {
        // Two pieces that are known from the head, one of them leads to a third.
        let parse = |source: Arc<dyn ByteSource>| {
            let (one, two) = (source.read(1_000_000..1_000_004), source.read(1_500_000..1_500_004));
            let (one, two) = (one?, two?);
            Ok((one, two, source.read(999_998..1_000_002)?, source))
        };
        let head = slow().read(0..1024).unwrap();
        let (opened, traffic) = traffic::during(|| open(slow(), head, parse));
        let (one, two, three, source) = opened.unwrap();
        let all = bytes();
        assert_eq!(one, all[1_000_000..1_000_004]);
        assert_eq!(two, all[1_500_000..1_500_004]);
        assert_eq!(three, all[999_998..1_000_002]);
        assert_eq!(traffic.requests, 2);
        // Open, it is the source.
        let (read, traffic) = traffic::during(|| source.read(0..4).unwrap());
        assert_eq!(read, all[..4]);
        assert_eq!(traffic.requests, 1);
    }

    #[test]
    fn a_chain_without_end_is_read_piece_by_piece() {
        let parse = |source: Arc<dyn ByteSource>| {
            let mut sum = 0;
            for at in (0..1_500_000).rev().step_by(20_000) {
                sum += u64::from(source.read(at..at + 1)?[0]);
            }
            Ok(sum)
        };
        let (sum, traffic) = traffic::during(|| open(slow(), Bytes::new(), parse));
        assert_eq!(sum.unwrap(), parse(Arc::new(MemorySource::new("memory", bytes()))).unwrap());
        assert_eq!(traffic.requests, u64::from(MOST_ROUNDS) + 75);
    }

    #[test]
    fn errors_of_the_parser_and_the_source_come_through() {
        let parse = |source: Arc<dyn ByteSource>| Ok(source.read(1_599_999..1_600_001)?);
        assert!(matches!(
            open(slow(), Bytes::new(), parse),
            Err(FormatError::Source(SourceError::OutOfBounds { .. }))
        ));
    }
}
