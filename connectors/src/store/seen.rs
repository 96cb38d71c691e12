//! States of objects that were confirmed a moment ago.

use super::{FileStat, hierarchy, remote};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a state that a store confirmed is taken for its state. Answers with bytes of an object
/// are compared with its pinned state whatever this says, so an object that was exchanged meanwhile
/// is never read as what it was; for this long only queries that read nothing of it may still answer
/// from what is registered of it.
const FRESH: Duration = Duration::from_secs(10);
/// Most states that are remembered.
const MOST: usize = 1 << 16;

/// States of objects by location, and when the store confirmed them.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<HashMap<String, (FileStat, Instant)>>);

impl Seen {
    /// Whether the store said of late that the object is in this state.
    pub(super) fn has(&self, file: &FileStat) -> bool {
        self.has_at(file, Instant::now())
    }

    fn has_at(&self, file: &FileStat, now: Instant) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |at: Instant| now.saturating_duration_since(at) < FRESH;
        all.get(&file.location).is_some_and(|(seen, at)| seen == file && fresh(*at))
    }

    /// Remembers a state that the store has just confirmed. Of a Zarr store, and of an object without
    /// a tag, nothing is: their answers tell no state.
    pub(super) fn put(&self, file: &FileStat) {
        if hierarchy::is_store(file) || file.tag == remote::NO_TAG {
            return;
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(file.location.clone(), (file.clone(), Instant::now()));
    }

    /// Forgets an object whose answer was of another state.
    pub(super) fn forget(&self, location: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(location);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_believed_for_ten_seconds_unless_an_answer_was_of_another() {
        let seen = Seen::default();
        let object =
            |tag: &str| FileStat { location: "s3://b/x".to_owned(), bytes: 3, tag: tag.to_owned() };
        assert!(!seen.has(&object("\"a\"")));
        seen.put(&object("\"a\""));
        assert!(seen.has(&object("\"a\"")));
        assert!(!seen.has(&object("\"b\"")));
        assert!(!seen.has(&FileStat { bytes: 4, ..object("\"a\"") }));
        assert!(!seen.has_at(&object("\"a\""), Instant::now() + FRESH));
        seen.forget("s3://b/x");
        assert!(!seen.has(&object("\"a\"")));

        // What tells no state is asked for every time.
        for tag in [remote::NO_TAG, "zarr-root 1", "zarr-whole 2"] {
            seen.put(&object(tag));
            assert!(!seen.has(&object(tag)), "{tag}");
        }
    }
}
