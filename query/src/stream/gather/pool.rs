//! Memory for batches that is used again: fresh pages cost more than the rows that are copied into them.

use crate::error::QueryError;
use arrow::buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tarn_schemas::Principal;

/// Buffers of all streams of a node.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Most bytes that streams may have promised to them.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    promised: usize,
    /// What of it each person has.
    people: HashMap<Principal, usize>,
    free: Vec<MutableBuffer>,
    /// Bytes of the free buffers.
    kept: usize,
}

/// What a stream may hold, until it is dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    pool: Arc<Pool>,
    who: Principal,
    bytes: usize,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.promised = state.promised.saturating_sub(self.bytes);
        if let Some(own) = state.people.get_mut(&self.who) {
            *own = own.saturating_sub(self.bytes);
            if *own == 0 {
                state.people.remove(&self.who);
            }
        }
        // No buffer is free for longer than somebody may need it.
        while state.kept > state.promised {
            let Some(gone) = state.free.pop() else { break };
            state.kept = state.kept.saturating_sub(gone.len());
        }
    }
}

impl Pool {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises memory to a stream. A single one always gets it: it was looked at whether its batches are too large.
    /// Of more, one person gets half at most.
    ///
    /// # Errors
    /// [`QueryError::ResourceExhausted`] where the streams that run have it all. They go on.
    pub(crate) fn promise(
        self: &Arc<Self>,
        who: &Principal,
        bytes: usize,
    ) -> Result<Promise, QueryError> {
        let mut state = self.state();
        let who = who.whoever();
        let own = state.people.get(&who).copied().unwrap_or(0);
        let refuse = |whose: &str, most: usize, has: usize| {
            let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
            Err(QueryError::ResourceExhausted(format!(
                "stream: it needs {} MiB for its batches, and of {} MiB {whose} {}; try again later, or use a smaller \
                 batch_size, or fewer columns",
                mebibytes(bytes),
                most >> 20,
                mebibytes(has)
            )))
        };
        if own > 0 && own.saturating_add(bytes) > self.most / 2 {
            return refuse("for one person your streams that run have", self.most / 2, own);
        }
        let promised = state.promised.saturating_add(bytes);
        if state.promised > 0 && promised > self.most {
            return refuse("the streams that run have", self.most, state.promised);
        }
        state.promised = promised;
        state.people.insert(who.clone(), own.saturating_add(bytes));
        drop(state);
        Ok(Promise { pool: Arc::clone(self), who, bytes })
    }

    /// Memory of so many bytes at least, with anything in it.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Lent {
        let mut state = self.state();
        let fits = |buffer: &MutableBuffer| {
            buffer.len() >= bytes && buffer.len() <= bytes.saturating_mul(2)
        };
        let memory = match state.free.iter().position(fits) {
            Some(place) => {
                let memory = state.free.swap_remove(place);
                state.kept = state.kept.saturating_sub(memory.len());
                memory
            }
            None => {
                drop(state);
                MutableBuffer::from_len_zeroed(bytes)
            }
        };
        Lent { memory, pool: Arc::clone(self) }
    }
}

/// Memory that goes back when nobody reads it any more.
#[derive(Debug)]
pub(crate) struct Lent {
    memory: MutableBuffer,
    pool: Arc<Pool>,
}

impl Lent {
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        self.memory.as_slice_mut()
    }

    /// The first bytes, to be read.
    pub(crate) fn freeze(self, bytes: usize) -> Buffer {
        let bytes = bytes.min(self.memory.len());
        Buffer::from(Bytes::from_owner(self)).slice_with_length(0, bytes)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_slice()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let memory = mem::replace(&mut self.memory, MutableBuffer::new(0));
        let mut state = self.pool.state();
        let kept = state.kept.saturating_add(memory.len());
        if kept <= state.promised {
            state.kept = kept;
            state.free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_schemas::Scope;

    #[test]
    fn memory_is_used_again_while_a_stream_runs_and_given_back_after_it() {
        let pool = Pool::new(1 << 20);
        let promise = pool.promise(&Principal::Anonymous, 1 << 20).unwrap();
        let mut lent = pool.take(1000);
        lent.as_mut()[0] = 7;
        let buffer = lent.freeze(900);
        let place = buffer.as_ptr();
        assert_eq!((buffer.len(), buffer[0], place as usize % 64), (900, 7, 0));
        let other = buffer.clone();
        drop(buffer);
        assert_eq!(pool.state().free.len(), 0);
        drop(other);
        assert_eq!(pool.take(600).as_ref().as_ptr(), place);
        assert_ne!(pool.take(100).as_ref().as_ptr(), place);
        drop(promise);
        assert_eq!(pool.state().free.len(), 0);
        assert_eq!(pool.state().kept, 0);
        drop(pool.take(1000));
        assert_eq!(pool.state().free.len(), 0);
    }

    #[test]
    fn a_new_stream_is_refused_where_others_have_all_memory_and_one_alone_never() {
        let pool = Pool::new(100);
        let people = ["ada", "eve", "ann"].map(|name| Principal::person(name, Scope::Read));
        let [ada, eve, ann] = &people;
        let alone = pool.promise(ada, 1000).unwrap();
        assert!(matches!(pool.promise(eve, 1), Err(QueryError::ResourceExhausted(_))));
        drop(alone);
        let one = pool.promise(ada, 60).unwrap();
        assert!(pool.promise(eve, 41).is_err());
        let _other = pool.promise(eve, 40).unwrap();
        drop(one);
        let _third = pool.promise(ann, 60).unwrap();
    }

    #[test]
    fn one_person_has_half_of_the_memory_at_most() {
        let pool = Pool::new(100);
        let (ada, eve) = (Principal::Anonymous, Principal::person("eve", Scope::Read));
        let one = pool.promise(&ada, 30).unwrap();
        let refused = pool.promise(&ada, 21).unwrap_err().to_string();
        assert!(refused.contains("for one person your streams"), "{refused}");
        let _other = pool.promise(&ada, 20).unwrap();
        let _hers = pool.promise(&eve, 50).unwrap();
        drop(one);
        assert_eq!(pool.state().people[&ada], 20);
    }
}
