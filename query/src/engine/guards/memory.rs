//! The memory of one query: a share of its person's, which is a share of the engine's.

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the queries of one person hold.
#[derive(Debug)]
pub(super) struct PersonMemory {
    used: AtomicUsize,
    limit: usize,
}

impl PersonMemory {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    fn take(&self, bytes: usize) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|used| *used <= self.limit)
            })
            .is_ok()
    }
}

/// The pool of one query. Steps that can spill share it fairly.
#[derive(Debug)]
pub(super) struct QueryPool {
    own: FairSpillPool,
    person: Arc<PersonMemory>,
    whole: Arc<dyn MemoryPool>,
}

impl QueryPool {
    /// A pool of so many bytes, taken from the person's and from the whole.
    pub(super) fn new(limit: usize, person: Arc<PersonMemory>, whole: Arc<dyn MemoryPool>) -> Self {
        Self { own: FairSpillPool::new(limit), person, whole }
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.own)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
        self.whole.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
        self.whole.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.person.used.fetch_add(additional, Ordering::Relaxed);
        self.whole.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.person.used.fetch_sub(shrink, Ordering::Relaxed);
        self.whole.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        if !self.person.take(additional) {
            self.own.shrink(reservation, additional);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "your queries hold the {} MiB that one person may have; wait until some have ended",
                self.person.limit >> 20
            )));
        }
        self.whole.try_grow(reservation, additional).inspect_err(|_| {
            self.own.shrink(reservation, additional);
            self.person.used.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_takes_no_more_than_its_share_and_gives_all_of_it_back() {
        let whole: Arc<dyn MemoryPool> = Arc::new(FairSpillPool::new(1000));
        let person = Arc::new(PersonMemory::new(700));
        let pool = |limit| -> Arc<dyn MemoryPool> {
            Arc::new(QueryPool::new(limit, Arc::clone(&person), Arc::clone(&whole)))
        };
        let (first, second) = (pool(500), pool(500));
        let one = MemoryConsumer::new("one").register(&first);
        let two = MemoryConsumer::new("two").register(&second);
        one.try_grow(500).unwrap();
        assert!(one.try_grow(1).is_err(), "the share of the query");
        assert!(two.try_grow(201).is_err(), "the share of the person");
        two.try_grow(200).unwrap();
        let other = Arc::new(PersonMemory::new(700));
        let third: Arc<dyn MemoryPool> =
            Arc::new(QueryPool::new(500, Arc::clone(&other), Arc::clone(&whole)));
        let three = MemoryConsumer::new("three").register(&third);
        assert!(three.try_grow(301).is_err(), "the whole");
        three.try_grow(300).unwrap();
        drop((one, two, three));
        assert_eq!((whole.reserved(), first.reserved(), third.reserved()), (0, 0, 0));
        assert_eq!(person.used.load(Ordering::Relaxed), 0);
        assert_eq!(other.used.load(Ordering::Relaxed), 0);
    }
}
