//! Logins that come back from issuers: each counts once, and not too many at a time are redeemed.
//!
//! Whoever calls `/login` can come back with a code of their own making, and asking the issuer would be a
//! way to have this node flood it. So each issuer has a queue of its own, in which one client has a few
//! places alone; who goes while they wait leaves nothing behind.

use super::PATIENCE;
use crate::failure::Failure;
use crate::http::ClientAddress;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tarn_schemas::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most states that are remembered; the oldest are forgotten for newer ones, and what their issuer had
/// redeemed it does not redeem again.
const MOST_STATES: usize = 100_000;
/// Codes that are redeemed at an issuer at once.
const AT_ONCE: usize = 16;
/// How many of them, and of those that wait for that, are of one client; its others wait for these. All
/// whom a proxy brings are one client.
const OF_ONE: usize = 8;
/// The least time between two of them: fifty in a second.
const BETWEEN: Duration = Duration::from_millis(20);
/// How long one waits for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// States of logins that came back, oldest first.
#[derive(Debug, Default)]
struct Tried {
    order: VecDeque<(Instant, String)>,
    states: HashSet<String>,
}

/// Those who wait for one issuer.
#[derive(Debug)]
struct Queue {
    turns: Arc<Semaphore>,
    /// By the address of the client.
    shares: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    /// When a code was redeemed last. Held while waiting for the next moment: who goes then lets the next
    /// one wait, and has taken no moment away.
    last: tokio::sync::Mutex<Option<Instant>>,
}

/// A turn at an issuer, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _share: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

/// How logins come back.
#[derive(Debug, Default)]
pub(super) struct Pace {
    tried: Mutex<Tried>,
    /// By the name of the issuer, which is one of the configuration.
    queues: Mutex<HashMap<String, Arc<Queue>>>,
}

impl Pace {
    /// Remembers that a login of this state came back. False if it did before.
    pub(super) fn begin(&self, state: &str) -> bool {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((at, _)) = tried.order.front() {
            if at.elapsed() < PATIENCE && tried.order.len() < MOST_STATES {
                break;
            }
            if let Some((_, old)) = tried.order.pop_front() {
                tried.states.remove(&old);
            }
        }
        if !tried.states.insert(state.to_owned()) {
            return false;
        }
        tried.order.push_back((Instant::now(), state.to_owned()));
        true
    }

    /// A turn at an issuer of this name for a client, in the order of asking.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`] if too many others wait.
    pub(super) async fn turn(&self, issuer: &str, of: ClientAddress) -> Result<Turn, Failure> {
        let queue = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            queues.entry(issuer.to_owned()).or_default().clone()
        };
        let turn = tokio::time::timeout(LONGEST_WAIT, queue.turn(of.whose())).await;
        turn.ok().flatten().ok_or_else(|| {
            let problem = "too many logins come back at once; begin again at /login in a minute";
            Failure::new(ErrorCode::Unavailable, problem)
        })
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            shares: Mutex::default(),
            last: tokio::sync::Mutex::default(),
        }
    }
}

impl Queue {
    async fn turn(&self, client: IpAddr) -> Option<Turn> {
        let share = self.share(client).acquire_owned().await.ok()?;
        let turn = self.turns.clone().acquire_owned().await.ok()?;
        let mut last = self.last.lock().await;
        if let Some(last) = *last {
            tokio::time::sleep(BETWEEN.saturating_sub(last.elapsed())).await;
        }
        *last = Some(Instant::now());
        Some(Turn { _share: share, _turn: turn })
    }

    /// The places of a client. Those of clients that wait no more are forgotten.
    fn share(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.retain(|_, share| Arc::strong_count(share) > 1);
        shares.entry(client).or_insert_with(|| Arc::new(Semaphore::new(OF_ONE))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> ClientAddress {
        ClientAddress(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_state_counts_once_and_the_oldest_makes_room() {
        let pace = Pace::default();
        assert!(pace.begin("a"));
        assert!(!pace.begin("a"));
        for number in 0..MOST_STATES {
            assert!(pace.begin(&number.to_string()), "{number}");
        }
        let tried = pace.tried.lock().unwrap();
        assert!(!tried.states.contains("a") && tried.states.contains("99999"));
        assert!(tried.states.len() <= MOST_STATES && tried.order.len() <= MOST_STATES);
    }

    /// Whether somebody who asks now still waits after a moment.
    async fn waits(pace: &Pace, issuer: &str, of: ClientAddress) -> bool {
        tokio::time::timeout(Duration::from_millis(300), pace.turn(issuer, of)).await.is_err()
    }

    #[tokio::test]
    async fn one_client_keeps_nobody_out_and_no_issuer_another() {
        let pace = Pace::default();
        let mut held = Vec::new();
        for _ in 0..OF_ONE {
            held.push(pace.turn("lab", client(1)).await.unwrap());
        }
        // Its next one waits, and others do not.
        assert!(waits(&pace, "lab", client(1)).await);
        let other = pace.turn("lab", client(2)).await.unwrap();
        for last in 3..10 {
            held.push(pace.turn("lab", client(last)).await.unwrap());
        }
        assert!(waits(&pace, "lab", client(10)).await);
        assert!(pace.turn("cilogon", client(10)).await.is_ok());
        drop(other);
        assert!(pace.turn("lab", client(10)).await.is_ok());
        drop(held);
        pace.turn("lab", client(11)).await.unwrap();
        let queues = pace.queues.lock().unwrap();
        assert!(queues["lab"].shares.lock().unwrap().len() <= 2);
    }

    #[tokio::test]
    async fn codes_are_redeemed_one_after_another_and_who_goes_takes_no_moment() {
        let pace = Pace::default();
        let began = Instant::now();
        for _ in 0..5 {
            pace.turn("lab", client(1)).await.unwrap();
        }
        assert!(began.elapsed() >= 4 * BETWEEN);
        // A thousand who hang up at once would have booked twenty seconds.
        let began = Instant::now();
        for _ in 0..1000 {
            let _ = tokio::time::timeout(Duration::ZERO, pace.turn("lab", client(1))).await;
        }
        pace.turn("lab", client(2)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}
