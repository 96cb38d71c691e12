//! What files cost: requests and bytes, counted where they are asked for.
//!
//! A source counts in the thread that asks it, so that a scan knows its own share also while other
//! queries read the same file.

use std::cell::Cell;
use std::ops::{Add, Sub};

/// Requests to files and stores, and the bytes that were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Reads of a local file, or requests to a store. What a cache answers is none.
    pub requests: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

thread_local! {
    static OF_THREAD: Cell<Traffic> = const { Cell::new(Traffic { requests: 0, bytes: 0 }) };
}

/// Counts requests that this thread makes. For sources.
pub fn count(requests: u64, bytes: u64) {
    OF_THREAD.set(OF_THREAD.get() + Traffic { requests, bytes });
}

/// What `work` asks for, in this thread.
pub fn during<R>(work: impl FnOnce() -> R) -> (R, Traffic) {
    let before = OF_THREAD.get();
    let result = work();
    (result, OF_THREAD.get() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_counts_its_own_requests_and_not_those_of_others() {
        let ((), traffic) = during(|| {
            count(1, 10);
            std::thread::scope(|scope| {
                scope.spawn(|| count(7, 7));
            });
            let ((), inner) = during(|| count(2, 5));
            assert_eq!(inner, Traffic { requests: 2, bytes: 5 });
        });
        assert_eq!(traffic, Traffic { requests: 3, bytes: 15 });
    }
}
