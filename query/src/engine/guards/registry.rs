//! Queries by their ids: those that run, and for a while those that ended.

use super::running::Query;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tarn_schemas::Principal;
use uuid::Uuid;

/// How long what became of a query can be asked after it ended.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most ended queries that are remembered.
const MOST_ENDED: usize = 4096;
/// How long the watching thread sleeps while nothing runs.
const IDLE: Duration = Duration::from_secs(5);

/// All queries of an engine.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Ids are chosen by those who ask, so each has ids of its own.
    queries: Mutex<HashMap<(Principal, Uuid), Query>>,
    began: Condvar,
}

impl Registry {
    fn queries(&self) -> MutexGuard<'_, HashMap<(Principal, Uuid), Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a query; whether its id was free.
    pub(super) fn add(&self, query: &Query) -> bool {
        let key = (query.principal().clone(), query.id());
        match self.queries().entry(key) {
            Entry::Occupied(_) => return false,
            Entry::Vacant(free) => free.insert(query.clone()),
        };
        self.began.notify_one();
        true
    }

    /// The query of this id, if `who` asked it. Another's is none.
    pub(super) fn find(&self, who: &Principal, id: Uuid) -> Option<Query> {
        self.queries().get(&(who.clone(), id)).cloned()
    }

    /// Queries that have not ended.
    pub(super) fn active(&self) -> Vec<Query> {
        self.queries().values().filter(|query| query.ended().is_none()).cloned().collect()
    }

    /// Forgets what ended long ago.
    pub(super) fn sweep(&self, now: Instant) {
        let mut queries = self.queries();
        let old = |ended: Instant| now.saturating_duration_since(ended) > REMEMBERED;
        queries.retain(|_, query| !query.ended().is_some_and(old));
        let mut ended: Vec<Instant> = queries.values().filter_map(Query::ended).collect();
        if let Some(surplus) = ended.len().checked_sub(MOST_ENDED).filter(|surplus| *surplus > 0) {
            let (_, last, _) = ended.select_nth_unstable(surplus);
            let last = *last;
            queries.retain(|_, query| query.ended().is_none_or(|ended| ended >= last));
        }
    }

    /// Waits for so long, or longer while nothing runs.
    pub(super) fn sleep(&self, pace: Duration) {
        let queries = self.queries();
        let idle = !queries.values().any(|query| query.ended().is_none());
        if idle {
            drop(self.began.wait_timeout(queries, IDLE));
        } else {
            drop(queries);
            std::thread::sleep(pace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::guards::{Bounds, Limits, Stop};

    #[test]
    fn a_query_is_found_by_whoever_asked_it_and_forgotten_in_time() {
        let registry = Registry::default();
        let who = Principal::Anonymous;
        let bounds = Limits::default().of(&who, Bounds::default());
        let query = Query::new(who.clone(), bounds, Uuid::new_v4());
        assert!(registry.add(&query));
        assert!(!registry.add(&query), "the id is taken");
        let other = Query::new(Principal::Owner, bounds, query.id());
        assert!(registry.add(&other), "by that person alone");
        other.stop(Stop::Cancelled);
        assert!(registry.find(&who, query.id()).is_some());
        assert_eq!(registry.find(&Principal::Owner, query.id()).unwrap().id(), other.id());
        assert!(registry.find(&who, Uuid::new_v4()).is_none());
        registry.sweep(Instant::now() + REMEMBERED * 2);
        assert_eq!(registry.active().len(), 1, "it runs");
        query.stop(Stop::Cancelled);
        registry.sweep(Instant::now());
        assert!(registry.active().is_empty());
        assert!(registry.find(&who, query.id()).is_some());
        registry.sweep(Instant::now() + REMEMBERED * 2);
        assert!(registry.find(&who, query.id()).is_none());
    }
}
