//! Which query runs on which connection, for clients that ask over another one to stop it.

use crate::engine::{Query, Stop};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a client names a connection by: a number and a secret.
pub(super) type Key = (i32, i32);

/// What runs on one connection.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Option<Query>>);

impl Slot {
    /// This query runs from now on.
    pub(super) fn put(&self, query: &Query) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(query.clone());
    }

    /// Stops what runs. One that has ended stays as it is.
    fn cancel(&self) {
        let query = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(query) = query {
            query.stop(Stop::Cancelled);
        }
    }
}

/// All connections of a door.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashMap<Key, Arc<Slot>>>);

/// A connection among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    all: Arc<Running>,
    key: Key,
    slot: Arc<Slot>,
}

impl Running {
    fn all(&self) -> MutexGuard<'_, HashMap<Key, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, with a key that nobody guesses.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let slot = Arc::new(Slot::default());
        let mut all = self.all();
        let key = loop {
            let key = (rand::random_range(1..=i32::MAX), rand::random());
            if !all.contains_key(&key) {
                break key;
            }
        };
        all.insert(key, Arc::clone(&slot));
        drop(all);
        Place { all: Arc::clone(self), key, slot }
    }

    /// Stops what runs on the connection of this key.
    pub(super) fn cancel(&self, key: Key) {
        let slot = self.all().get(&key).cloned();
        if let Some(slot) = slot {
            slot.cancel();
        }
    }
}

impl Place {
    /// What the client names it by.
    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// What runs there.
    pub(super) fn slot(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.all().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stops_nothing_but_its_own_and_is_forgotten() {
        let running = Arc::new(Running::default());
        let (one, two) = (running.enter(), running.enter());
        assert_ne!(one.key(), two.key());
        running.cancel((one.key().0, one.key().1.wrapping_add(1)));
        running.cancel(one.key());
        drop(one);
        assert_eq!(running.all().len(), 1);
    }
}
