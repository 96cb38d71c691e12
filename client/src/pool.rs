//! Memory for the bodies of messages, used again.
//!
//! Fresh memory of some megabytes is mapped and cleared by the system each time, which takes longer than the bytes need to
//! come. Buffers are lent to batches here, and taken back once their batches are gone: one that nobody else holds is free.

use arrow::buffer::{Buffer, MutableBuffer};
use std::collections::VecDeque;

/// Buffers that batches may hold.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    lent: VecDeque<Buffer>,
}

/// Buffers that are known of: those that a reader holds beyond are freed by the last who has them.
const MOST: usize = 16;
/// A buffer is used again for a body that fills so much of it.
const FILLED: usize = 4;

impl Pool {
    /// Memory for at least `length` bytes, aligned to 64 bytes (Arrow format, "Buffer Alignment and Padding").
    pub(crate) fn take(&mut self, length: usize) -> MutableBuffer {
        let fits = |buffer: &Buffer| {
            buffer.strong_count() == 1 && buffer.len() >= length && buffer.len() / FILLED <= length
        };
        let free = self.lent.iter().position(fits).and_then(|place| self.lent.remove(place));
        match free.map(Buffer::into_mutable) {
            Some(Ok(buffer)) => buffer,
            _ => MutableBuffer::from_len_zeroed(length),
        }
    }

    /// Lends what was filled: its first `length` bytes.
    pub(crate) fn lend(&mut self, filled: MutableBuffer, length: usize) -> Buffer {
        let whole = Buffer::from(filled);
        let part = whole.slice_with_length(0, length.min(whole.len()));
        if self.lent.len() >= MOST {
            self.lent.pop_front();
        }
        self.lent.push_back(whole);
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_holds_it() {
        let mut pool = Pool::default();
        let mut first = pool.take(1 << 20);
        first.as_slice_mut()[..3].copy_from_slice(b"abc");
        let lent = pool.lend(first, 3);
        let address = lent.as_ptr();
        let other = pool.take(1 << 20);
        assert_ne!(other.as_ptr(), address);
        drop(pool.lend(other, 1 << 20));
        assert_eq!(lent.as_slice(), b"abc");
        drop(lent);
        let again = [pool.take(1 << 19), pool.take(1 << 20)];
        assert!(again.iter().any(|buffer| buffer.as_ptr() == address));
        assert!(again.iter().all(|buffer| buffer.as_ptr().align_offset(64) == 0));
        // Not for a body of which it would be the greater part empty.
        for buffer in again {
            drop(pool.lend(buffer, 1));
        }
        assert!(pool.take(8).len() < 1 << 19);
    }

    #[test]
    fn a_pool_forgets_what_is_held_for_long() {
        let mut pool = Pool::default();
        let held: Vec<Buffer> = (0..40)
            .map(|_| {
                let taken = pool.take(64);
                pool.lend(taken, 64)
            })
            .collect();
        assert_eq!((held.len(), pool.lent.len()), (40, MOST));
    }
}
