//! Logins that come back from issuers: each counts once, and not too many at a time are redeemed.
//!
//! Whoever calls `/login` can come back with a code of their own making, so what is kept here of a login
//! that nobody at an issuer vouched for would be filled by strangers, and asking the issuer would be a
//! way to have this node flood it.

use super::PATIENCE;
use crate::failure::Failure;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tarn_schemas::ErrorCode;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Most states that are remembered; the oldest are forgotten for newer ones.
const MOST_STATES: usize = 100_000;
/// Codes that are redeemed at once.
const AT_ONCE: usize = 16;
/// The least time between two of them: fifty in a second.
const BETWEEN: Duration = Duration::from_millis(20);
/// How long one waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// States of finished logins, oldest first.
#[derive(Debug, Default)]
struct Finished {
    order: VecDeque<(Instant, String)>,
    states: HashSet<String>,
}

/// How logins come back.
#[derive(Debug)]
pub(super) struct Pace {
    finished: Mutex<Finished>,
    turns: Semaphore,
    /// When the next code may be redeemed.
    next: Mutex<Option<Instant>>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { finished: Mutex::default(), turns: Semaphore::new(AT_ONCE), next: Mutex::default() }
    }
}

impl Pace {
    /// Whether a login of this state was finished.
    pub(super) fn is_finished(&self, state: &str) -> bool {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).states.contains(state)
    }

    /// Remembers that the issuer redeemed the code of this state. False if it did before.
    pub(super) fn finish(&self, state: &str) -> bool {
        let mut finished = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((at, _)) = finished.order.front() {
            if at.elapsed() < PATIENCE && finished.order.len() < MOST_STATES {
                break;
            }
            if let Some((_, old)) = finished.order.pop_front() {
                finished.states.remove(&old);
            }
        }
        if !finished.states.insert(state.to_owned()) {
            return false;
        }
        finished.order.push_back((Instant::now(), state.to_owned()));
        true
    }

    /// A turn to redeem a code, in the order of asking.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] if too many others wait.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let busy = || {
            let problem = "too many logins come back at once; begin again at /login in a minute";
            Failure::new(ErrorCode::Unavailable, problem)
        };
        let waited = tokio::time::timeout(LONGEST_WAIT, self.turns.acquire()).await;
        let permit = waited.map_err(|_| busy())?.map_err(|_| busy())?;
        let wait = self.book(Instant::now()).ok_or_else(busy)?;
        tokio::time::sleep(wait).await;
        Ok(permit)
    }

    /// How long it is until the next free moment, which is booked; none if that is too late.
    fn book(&self, now: Instant) -> Option<Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next.map_or(now, |next| next.max(now));
        let wait = at.saturating_duration_since(now);
        if wait > LONGEST_WAIT {
            return None;
        }
        *next = at.checked_add(BETWEEN);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_counts_once_and_the_oldest_makes_room() {
        let pace = Pace::default();
        assert!(!pace.is_finished("a"));
        assert!(pace.finish("a") && pace.is_finished("a"));
        assert!(!pace.finish("a"));
        for number in 0..MOST_STATES {
            assert!(pace.finish(&number.to_string()), "{number}");
        }
        assert!(!pace.is_finished("a") && pace.is_finished("99999"));
        let finished = pace.finished.lock().unwrap();
        assert!(finished.states.len() <= MOST_STATES && finished.order.len() <= MOST_STATES);
    }

    #[test]
    fn codes_are_redeemed_one_after_another() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.book(now), Some(Duration::ZERO));
        assert_eq!(pace.book(now), Some(BETWEEN));
        for _ in 0..498 {
            assert!(pace.book(now).is_some());
        }
        assert_eq!(pace.book(now), Some(LONGEST_WAIT));
        assert_eq!(pace.book(now), None);
        assert_eq!(pace.book(now + LONGEST_WAIT + BETWEEN), Some(Duration::ZERO));
    }
}
