//! Ranges of objects: coalesced, fetched many at once within bounds, and kept.
//!
//! Runs of one object that are kept, or on their way, do not overlap. What is kept belongs to one
//! state of an object in one store, under the settings it is read with: whoever was given a file by
//! [`Stores`](super::Stores) could read it with the same rights, and nobody else reaches what is
//! kept of it. Who may have a file is decided before one is given.

use super::StoreError;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tarn_formats::{Access, Traffic};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Bytes that are kept of all objects of all stores.
const KEPT: u64 = 128 << 20;
/// Mebibytes that are on their way at once.
const ON_THEIR_WAY: usize = 64;
/// Mebibytes that a request counts for at least, so that there are not too many small ones.
const LEAST: u64 = 2;

/// The bytes of a run, when they have come.
pub(super) type Coming = Shared<BoxFuture<'static, Result<Bytes, Arc<StoreError>>>>;

/// Part of a wanted range: where it lies in a run.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) run: Coming,
    pub(super) inside: Range<u64>,
}

/// What is kept of objects, and what is on its way.
#[derive(Debug)]
pub(super) struct Ranges {
    capacity: u64,
    permits: Arc<Semaphore>,
    requests: AtomicU64,
    bytes: AtomicU64,
    kept: Mutex<Kept>,
}

impl Default for Ranges {
    fn default() -> Self {
        Self::new(KEPT)
    }
}

#[derive(Debug, Default)]
struct Kept {
    /// Runs of an object by their first byte.
    objects: HashMap<Arc<str>, BTreeMap<u64, Run>>,
    /// When a run was last used, from the longest ago.
    uses: BTreeMap<u64, (Arc<str>, u64)>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Run {
    end: u64,
    used: u64,
    coming: Coming,
}

impl Kept {
    /// The first kept run that ends behind `at`, if it begins before `end`; it is used now.
    fn next(&mut self, object: &Arc<str>, at: u64, end: u64) -> Option<(Range<u64>, Coming)> {
        let runs = self.objects.get_mut(object)?;
        let before = runs.range(..=at).next_back().filter(|(_, run)| run.end > at);
        let start = match before {
            Some((start, _)) => *start,
            None => *runs.range(at..end).next()?.0,
        };
        let run = runs.get_mut(&start)?;
        self.clock = self.clock.saturating_add(1);
        self.uses.remove(&run.used);
        self.uses.insert(self.clock, (Arc::clone(object), start));
        run.used = self.clock;
        Some((start..run.end, run.coming.clone()))
    }

    fn keep(&mut self, object: &Arc<str>, range: Range<u64>, coming: Coming) {
        self.clock = self.clock.saturating_add(1);
        self.bytes = self.bytes.saturating_add(range.end - range.start);
        self.uses.insert(self.clock, (Arc::clone(object), range.start));
        let run = Run { end: range.end, used: self.clock, coming };
        self.objects.entry(Arc::clone(object)).or_default().insert(range.start, run);
    }

    fn forget(&mut self, object: &Arc<str>, start: u64) {
        let Some(runs) = self.objects.get_mut(object) else { return };
        if let Some(run) = runs.remove(&start) {
            self.uses.remove(&run.used);
            self.bytes = self.bytes.saturating_sub(run.end - start);
        }
        if runs.is_empty() {
            self.objects.remove(object);
        }
    }
}

impl Ranges {
    /// Keeps at most so many bytes.
    fn new(capacity: u64) -> Self {
        Self {
            capacity,
            permits: Arc::new(Semaphore::new(ON_THEIR_WAY)),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            kept: Mutex::default(),
        }
    }

    /// All requests so far, and the bytes they asked for.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts a request.
    pub(super) fn count(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        tarn_formats::traffic::count(1, bytes);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For each range of an object the segments that make it up; what is not kept is asked for by
    /// `fetch`, on `runtime`. Ranges lie inside the object.
    pub(super) fn segments<F>(
        self: &Arc<Self>,
        runtime: &Handle,
        object: &Arc<str>,
        ranges: &[Range<u64>],
        fetch: impl Fn(Range<u64>) -> F,
    ) -> Vec<Vec<Segment>>
    where
        F: Future<Output = Result<Bytes, StoreError>> + Send + 'static,
    {
        let mut kept = self.kept();
        let runs = runs(holes(&mut kept, object, ranges), Access::REMOTE);
        let mut started = vec![];
        for run in runs {
            self.count(run.end - run.start);
            let permits = Arc::clone(&self.permits);
            let wanted = ((run.end - run.start) >> 20).max(LEAST);
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
            let answer = fetch(run.clone());
            let coming = async move {
                let _permit = permits.acquire_many(wanted).await;
                answer.await.map_err(Arc::new)
            };
            let coming = coming.boxed().shared();
            let (ranges, name) = (Arc::clone(self), Arc::clone(object));
            let (driven, start) = (coming.clone(), run.start);
            started.push(async move {
                if driven.await.is_err() {
                    ranges.kept().forget(&name, start);
                }
            });
            kept.keep(object, run, coming);
        }
        let segments = ranges.iter().map(|range| segments(&mut kept, object, range)).collect();
        while kept.bytes > self.capacity {
            let Some((_, (name, start))) = kept.uses.pop_first() else { break };
            kept.forget(&name, start);
        }
        drop(kept);
        for work in started {
            runtime.spawn(work);
        }
        segments
    }
}

/// What of the ranges is not kept; sorted, disjoint.
fn holes(kept: &mut Kept, object: &Arc<str>, ranges: &[Range<u64>]) -> Vec<Hole> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut holes: Vec<Hole> = vec![];
    let mut reached = 0;
    for Range { start, end } in sorted {
        let mut at = start.max(reached);
        while at < end {
            let next = kept.next(object, at, end).map_or(end..end, |(run, _)| run);
            if at < next.start {
                // Nothing that is kept may lie between holes that become one run.
                let before = holes.last().map_or(0, |hole| hole.bytes.end);
                let alone = kept.next(object, before, at).is_some();
                holes.push(Hole { bytes: at..next.start, alone });
            }
            at = next.end;
        }
        reached = reached.max(end);
    }
    holes
}

struct Hole {
    bytes: Range<u64>,
    /// Whether something that is kept lies between this one and the one before it.
    alone: bool,
}

/// Holes as runs: near ones together, long ones in pieces.
fn runs(holes: Vec<Hole>, access: Access) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = vec![];
    // Bytes of the last run that nobody wants.
    let mut waste = 0;
    for Hole { bytes: Range { start, end }, alone } in holes {
        if let Some(run) = runs.last_mut()
            && !alone
            && end - run.start <= access.run
        {
            let gap = start - run.end;
            if access.reads_along(gap, end - run.start - waste - gap, waste + gap) {
                waste += gap;
                run.end = end;
                continue;
            }
        }
        waste = 0;
        let mut at = start;
        while end - at > access.run {
            runs.push(at..at + access.run);
            at += access.run;
        }
        runs.push(at..end);
    }
    runs
}

/// The segments of a range of which everything is kept or on its way.
fn segments(kept: &mut Kept, object: &Arc<str>, range: &Range<u64>) -> Vec<Segment> {
    let mut segments = vec![];
    let mut at = range.start;
    while at < range.end {
        let Some((run, coming)) = kept.next(object, at, range.end) else { break };
        let end = run.end.min(range.end);
        segments.push(Segment { run: coming, inside: at - run.start..end - run.start });
        at = end;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    fn all() -> Bytes {
        (0..40_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect::<Vec<_>>().into()
    }

    struct Object {
        bytes: Bytes,
        name: Arc<str>,
        asked: Arc<Mutex<Vec<Range<u64>>>>,
        at_once: Arc<(AtomicU64, AtomicU64)>,
    }

    impl Object {
        fn new(name: &str) -> Self {
            Self { bytes: all(), name: name.into(), asked: Arc::default(), at_once: Arc::default() }
        }

        async fn read(&self, ranges: &Arc<Ranges>, wanted: &[Range<u64>]) -> Vec<Range<u64>> {
            let segments = ranges.segments(&Handle::current(), &self.name, wanted, |range| {
                let (bytes, at_once) = (self.bytes.clone(), Arc::clone(&self.at_once));
                self.asked.lock().unwrap().push(range.clone());
                async move {
                    let now = at_once.0.fetch_add(range.end - range.start, Ordering::SeqCst);
                    at_once.1.fetch_max(now + range.end - range.start, Ordering::SeqCst);
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                    at_once.0.fetch_sub(range.end - range.start, Ordering::SeqCst);
                    let [start, end] =
                        [range.start, range.end].map(|at| usize::try_from(at).unwrap());
                    Ok(bytes.slice(start..end))
                }
            });
            for (range, segments) in wanted.iter().zip(segments) {
                let mut read = vec![];
                for segment in segments {
                    let run = segment.run.await.unwrap();
                    let [start, end] = [segment.inside.start, segment.inside.end]
                        .map(|at| usize::try_from(at).unwrap());
                    read.extend_from_slice(&run[start..end]);
                }
                let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
                assert!(read == self.bytes[start..end], "{range:?}");
            }
            let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
            asked.sort_by_key(|range| range.start);
            asked
        }
    }

    const MIB: u64 = 1 << 20;

    #[tokio::test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of one range")]
    async fn near_ranges_are_one_request_far_ones_are_not_and_nothing_is_asked_for_twice() {
        let ranges = Arc::new(Ranges::new(64 * MIB));
        let object = Object::new("a");
        let near = 100 << 10;
        let wanted = [5 * MIB..5 * MIB + 9, 10..20, 0..5, 20..20, near..near + 1, 15..30];
        let asked = object.read(&ranges, &wanted).await;
        assert_eq!(asked, [0..near + 1, 5 * MIB..5 * MIB + 9]);
        assert_eq!(ranges.traffic(), Traffic { requests: 2, bytes: near + 10 });
        assert!(object.read(&ranges, &wanted).await.is_empty());
        // What is kept is not fetched again, and not read over.
        assert_eq!(
            object.read(&ranges, &[5 * MIB - 2..5 * MIB + 11]).await,
            [5 * MIB - 2..5 * MIB, 5 * MIB + 9..5 * MIB + 11]
        );
        let other = Object::new("b");
        assert_eq!(other.read(&ranges, &[0..5]).await, [0..5]);
        // As much as is wanted is read along, up to a mebibyte; more is not.
        let wanted = [10 * MIB..11 * MIB, 12 * MIB..13 * MIB, 14 * MIB + 1..16 * MIB];
        let wanted = [&wanted[..], &[16 * MIB + MIB / 2..16 * MIB + MIB / 2 + 1]].concat();
        assert_eq!(
            other.read(&ranges, &wanted).await,
            [10 * MIB..13 * MIB, 14 * MIB + 1..16 * MIB + MIB / 2 + 1]
        );
        let wanted = [20 * MIB..20 * MIB + 9, 20 * MIB + MIB / 2..20 * MIB + MIB / 2 + 9];
        assert_eq!(other.read(&ranges, &wanted).await, wanted);
    }

    #[tokio::test]
    async fn long_ranges_come_in_pieces_and_not_too_many_at_once() {
        let ranges = Arc::new(Ranges::new(20 * MIB));
        let object = Object::new("a");
        let end = object.bytes.len() as u64;
        #[expect(clippy::single_range_in_vec_init, reason = "a list of one range")]
        let asked = object.read(&ranges, &[3..end]).await;
        assert_eq!(asked, [3..16 * MIB + 3, 16 * MIB + 3..32 * MIB + 3, 32 * MIB + 3..end]);
        assert!(ranges.kept().bytes <= 20 * MIB);
        // Far apart, so that each is a request: 30 of two mebibytes each at least.
        let one = Object::new("b");
        let wanted: Vec<_> = (0..19).map(|i| i * 2 * MIB..i * 2 * MIB + 10).collect();
        assert_eq!(one.read(&ranges, &wanted).await, wanted);
        let most = object.at_once.1.load(Ordering::SeqCst);
        assert!(most <= (ON_THEIR_WAY as u64) * MIB, "{most}");
        let kept = ranges.kept();
        assert!(kept.bytes <= 20 * MIB, "{}", kept.bytes);
        let counted: u64 = kept
            .objects
            .values()
            .flat_map(|runs| runs.iter().map(|(start, run)| run.end - start))
            .sum();
        assert_eq!(
            (kept.bytes, kept.uses.len()),
            (counted, kept.objects.values().map(BTreeMap::len).sum())
        );
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_kept() {
        let ranges = Arc::new(Ranges::new(MIB));
        let name: Arc<str> = "a".into();
        #[expect(clippy::single_range_in_vec_init, reason = "a list of one range")]
        let segments = ranges.segments(&Handle::current(), &name, &[0..10], |_| async {
            Err(StoreError::NotFound { location: "a".to_owned() })
        });
        let run = segments[0][0].run.clone();
        assert!(matches!(*run.await.unwrap_err(), StoreError::NotFound { .. }));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(ranges.kept().objects.is_empty());
        assert_eq!(ranges.kept().bytes, 0);
    }
}
