//! Memory for batches that is used again: fresh pages cost more than the rows that are copied into them.

use crate::error::QueryError;
use arrow::buffer::{Buffer, MutableBuffer};
use bytes::Bytes;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    free: Vec<MutableBuffer>,
    /// Bytes of the free buffers.
    kept: usize,
}

/// What a stream may hold, until it is dropped.
#[derive(Debug)]
pub(crate) struct Promise {
    pool: Arc<Pool>,
    bytes: usize,
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.promised = state.promised.saturating_sub(self.bytes);
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
    ///
    /// # Errors
    /// [`QueryError::ResourceExhausted`] where the streams that run have it all. They go on.
    pub(crate) fn promise(self: &Arc<Self>, bytes: usize) -> Result<Promise, QueryError> {
        let mut state = self.state();
        let promised = state.promised.saturating_add(bytes);
        if state.promised > 0 && promised > self.most {
            return Err(QueryError::ResourceExhausted(format!(
                "stream: it needs {} MiB for its batches, and of {} MiB the streams that run have {}; try again later, \
                 or use a smaller batch_size, or fewer columns",
                bytes.div_ceil(1 << 20),
                self.most >> 20,
                state.promised.div_ceil(1 << 20)
            )));
        }
        state.promised = promised;
        drop(state);
        Ok(Promise { pool: Arc::clone(self), bytes })
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

    #[test]
    fn memory_is_used_again_while_a_stream_runs_and_given_back_after_it() {
        let pool = Pool::new(1 << 20);
        let promise = pool.promise(1 << 20).unwrap();
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
        let alone = pool.promise(1000).unwrap();
        assert!(matches!(pool.promise(1), Err(QueryError::ResourceExhausted(_))));
        drop(alone);
        let one = pool.promise(60).unwrap();
        assert!(pool.promise(41).is_err());
        let _other = pool.promise(40).unwrap();
        drop(one);
        let _third = pool.promise(60).unwrap();
    }
}
