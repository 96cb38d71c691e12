//! What one query, one person and all of them together may use.

use std::time::Duration;
use tarn_schemas::Principal;

/// Limits of a node. The owner, working at the machine itself, is bound by memory and disk alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Queries that run at once; 0 means four for each core, and eight at least.
    pub queries: usize,
    /// Queries of one person that run at once; 0 means half of `queries`.
    pub queries_each: usize,
    /// Queries of one person that wait for their turn.
    pub queue: usize,
    /// How long a query waits for its turn.
    pub queue_time: Duration,
    /// How long a query may be planned.
    pub plan_time: Duration,
    /// How long a query may run; `None` for as long as it takes.
    pub run_time: Option<Duration>,
    /// Rows of an answer.
    pub rows: Option<u64>,
    /// Bytes that a query reads from tables, as Arrow columns.
    pub scan_bytes: Option<u64>,
    /// Share of the memory that one query may hold, in percent.
    pub query_memory_percent: u8,
    /// Share of the memory that all queries of one person may hold, in percent.
    pub person_memory_percent: u8,
    /// Bytes on disk that queries may use together where memory does not suffice.
    pub spill_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queries: 0,
            queries_each: 0,
            queue: 256,
            queue_time: Duration::from_secs(60),
            plan_time: Duration::from_secs(20),
            run_time: Some(Duration::from_secs(600)),
            rows: Some(1_000_000_000),
            scan_bytes: Some(1 << 40),
            query_memory_percent: 50,
            person_memory_percent: 75,
            spill_bytes: 100 << 30,
        }
    }
}

/// Bounds that whoever asks sets for one query, within those of the node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Most rows of the answer.
    pub rows: Option<u64>,
    /// Longest time to run.
    pub run_time: Option<Duration>,
}

/// What holds for one query.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Effective {
    pub(super) plan_time: Option<Duration>,
    pub(super) run_time: Option<Duration>,
    pub(super) rows: Option<u64>,
    pub(super) scan_bytes: Option<u64>,
}

impl Limits {
    /// Queries that run at once.
    pub(super) fn at_once(&self) -> usize {
        if self.queries > 0 {
            return self.queries;
        }
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        cores.saturating_mul(4).max(8)
    }

    /// Queries of one person that run at once.
    pub(super) fn at_once_each(&self) -> usize {
        let all = self.at_once();
        if self.queries_each > 0 { self.queries_each.min(all) } else { (all / 2).max(1) }
    }

    /// What holds for a query of `who` that was asked for with `asked`.
    pub(in crate::engine) fn of(&self, who: &Principal, asked: Bounds) -> Effective {
        let least = |own: Option<u64>, asked: Option<u64>| match (own, asked) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        };
        if *who == Principal::Owner {
            return Effective {
                plan_time: None,
                run_time: asked.run_time,
                rows: asked.rows,
                scan_bytes: None,
            };
        }
        let run_time = match (self.run_time, asked.run_time) {
            (Some(own), Some(asked)) => Some(own.min(asked)),
            (own, asked) => own.or(asked),
        };
        Effective {
            plan_time: Some(run_time.map_or(self.plan_time, |time| time.min(self.plan_time))),
            run_time,
            rows: least(self.rows, asked.rows),
            scan_bytes: self.scan_bytes,
        }
    }

    /// Bytes of memory that a query of `who` may hold, and all queries of `who` together.
    pub(super) fn memory_of(&self, who: &Principal, whole: usize) -> (usize, usize) {
        if *who == Principal::Owner {
            return (whole, whole);
        }
        let share = |percent: u8| (whole / 100).saturating_mul(usize::from(percent.clamp(1, 100)));
        let person = share(self.person_memory_percent);
        (share(self.query_memory_percent).min(person), person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_less_gets_less_and_nobody_gets_more() {
        let limits = Limits { rows: Some(10), ..Limits::default() };
        let asked = |rows, seconds| Bounds { rows, run_time: Some(Duration::from_secs(seconds)) };
        let less = limits.of(&Principal::Anonymous, asked(Some(3), 1));
        assert_eq!((less.rows, less.run_time), (Some(3), Some(Duration::from_secs(1))));
        assert_eq!(less.plan_time, Some(Duration::from_secs(1)));
        let more = limits.of(&Principal::Anonymous, asked(Some(30), 100_000));
        assert_eq!((more.rows, more.run_time), (Some(10), limits.run_time));
        let owner = limits.of(&Principal::Owner, Bounds::default());
        assert_eq!((owner.rows, owner.run_time, owner.plan_time), (None, None, None));
    }

    #[test]
    fn one_person_has_at_most_half_of_the_places() {
        let limits = Limits { queries: 9, ..Limits::default() };
        assert_eq!(limits.at_once_each(), 4);
        assert_eq!(Limits { queries: 1, ..Limits::default() }.at_once_each(), 1);
        assert!(Limits::default().at_once() >= 8);
    }
}
