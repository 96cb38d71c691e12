//! The place of a query that runs, while somebody reads its rows.

use super::gate::Slot;
use std::sync::{Arc, Mutex, PoisonError};

/// A place that may be given back before the query ends, and taken again. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<Mutex<Option<Slot>>>);

impl Held {
    /// A place that a query has.
    pub(in crate::engine) fn new(slot: Slot) -> Self {
        Self(Arc::new(Mutex::new(Some(slot))))
    }

    fn put(&self, slot: Option<Slot>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *held, slot);
        // Given back without the lock: the next query begins at once.
        drop(held);
        drop(before);
    }

    /// Lets another query have the place. This one goes on for the few batches that may wait, and then rests.
    pub(crate) fn give_back(&self) {
        self.put(None);
    }

    /// Has a place again.
    #[cfg(feature = "postgres")]
    pub(in crate::engine) fn take(&self, slot: Slot) {
        self.put(Some(slot));
    }

    /// Whether it has none.
    #[cfg(feature = "postgres")]
    pub(in crate::engine) fn is_given_back(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}
