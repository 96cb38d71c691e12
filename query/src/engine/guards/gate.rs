//! Whose query runs next.
//!
//! Few queries run at once; others wait for their turn. The next turn is that of the person with the
//! fewest queries running, among equals of whoever had none for longest: a person with a thousand waiting
//! queries keeps one with a single query waiting for one turn only.

use super::stop::Stop;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tarn_schemas::Principal;
use tokio::sync::oneshot;

/// Places for queries, and who waits for one.
#[derive(Debug)]
pub(super) struct Gate {
    all: usize,
    each: usize,
    queue: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    people: HashMap<Principal, Person>,
    /// Turns that were given so far.
    turns: u64,
}

#[derive(Debug, Default)]
struct Person {
    running: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
    /// The turn that this person had last.
    last: u64,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    /// `None` for one that counts nowhere.
    held: Option<(Arc<Gate>, Principal)>,
}

impl Slot {
    /// A place that counts nowhere.
    pub(in crate::engine) fn free() -> Self {
        Self { held: None }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some((gate, who)) = self.held.take() {
            gate.leave(&who);
        }
    }
}

impl Gate {
    /// A gate for so many queries, so many of one person, and so many of one person that wait.
    pub(super) fn new(all: usize, each: usize, queue: usize) -> Self {
        Self { all: all.max(1), each: each.max(1), queue, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    pub(super) async fn enter(
        self: &Arc<Self>,
        who: &Principal,
        patience: Duration,
    ) -> Result<Slot, Stop> {
        let turn = {
            let mut state = self.state();
            let person = state.people.entry(who.clone()).or_default();
            // Those who gave up waiting take no place in the queue.
            person.waiting.retain(|waiting| !waiting.is_closed());
            if person.waiting.len() >= self.queue.max(1) {
                return Err(Stop::QueueFull { waiting: person.waiting.len() });
            }
            let (sender, turn) = oneshot::channel();
            person.waiting.push_back(sender);
            self.give(&mut state);
            turn
        };
        match tokio::time::timeout(patience, turn).await {
            Ok(Ok(slot)) => Ok(slot),
            _ => Err(Stop::Queue { seconds: patience.as_secs() }),
        }
    }

    fn leave(self: &Arc<Self>, who: &Principal) {
        let mut state = self.state();
        state.release(who);
        self.give(&mut state);
    }

    /// Gives free places to those whose turn it is.
    fn give(self: &Arc<Self>, state: &mut State) {
        while state.running < self.all {
            let next = state
                .people
                .iter()
                .filter(|(_, person)| person.running < self.each && !person.waiting.is_empty())
                .min_by_key(|(_, person)| (person.running, person.last))
                .map(|(who, _)| who.clone());
            let Some(who) = next else { return };
            state.turns = state.turns.saturating_add(1);
            let (turn, mut given) = (state.turns, false);
            if let Some(person) = state.people.get_mut(&who)
                && let Some(waiting) = person.waiting.pop_front()
            {
                let slot = Slot { held: Some((Arc::clone(self), who.clone())) };
                match waiting.send(slot) {
                    Ok(()) => {
                        (person.running, person.last) = (person.running.saturating_add(1), turn);
                        given = true;
                    }
                    // Whoever waited has gone. The place was never counted.
                    Err(mut slot) => slot.held = None,
                }
            }
            if given {
                state.running = state.running.saturating_add(1);
            } else {
                state.forget(&who);
            }
        }
    }
}

impl State {
    fn release(&mut self, who: &Principal) {
        self.running = self.running.saturating_sub(1);
        if let Some(person) = self.people.get_mut(who) {
            person.running = person.running.saturating_sub(1);
        }
        self.forget(who);
    }

    /// Keeps nothing of a person without queries.
    fn forget(&mut self, who: &Principal) {
        let idle = |person: &Person| person.running == 0 && person.waiting.is_empty();
        if self.people.get(who).is_some_and(idle) {
            self.people.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_schemas::Scope;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn person(name: &str) -> Principal {
        Principal::person(name, Scope::Read)
    }

    #[tokio::test]
    async fn one_person_with_many_queries_keeps_another_waiting_for_one_turn_only() {
        let gate = Arc::new(Gate::new(2, 2, 100));
        let (greedy, modest) = (person("greedy"), person("modest"));
        let first = gate.enter(&greedy, PATIENCE).await.unwrap();
        let second = gate.enter(&greedy, PATIENCE).await.unwrap();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (gate, who) = (Arc::clone(&gate), greedy.clone());
            waiting.spawn(async move { gate.enter(&who, PATIENCE).await.map(drop) });
        }
        tokio::task::yield_now().await;
        let one = tokio::spawn({
            let (gate, who) = (Arc::clone(&gate), modest.clone());
            async move { gate.enter(&who, PATIENCE).await }
        });
        tokio::task::yield_now().await;
        drop(first);
        let slot = tokio::time::timeout(Duration::from_secs(1), one).await.unwrap().unwrap();
        assert!(slot.is_ok());
        assert_eq!(waiting.len(), 20);
        assert!(waiting.try_join_next().is_none());
        drop((slot, second));
        while let Some(done) = waiting.join_next().await {
            done.unwrap().unwrap();
        }
        assert!(gate.state().people.is_empty());
        assert_eq!(gate.state().running, 0);
    }

    #[tokio::test]
    async fn who_gives_up_leaves_no_place_taken() {
        let gate = Arc::new(Gate::new(1, 1, 1));
        let ann = person("ann");
        let slot = gate.enter(&ann, PATIENCE).await.unwrap();
        let impatient = gate.enter(&ann, Duration::from_millis(10)).await;
        assert!(matches!(impatient, Err(Stop::Queue { .. })), "{impatient:?}");
        let waiting = tokio::spawn({
            let (gate, ann) = (Arc::clone(&gate), ann.clone());
            async move { gate.enter(&ann, PATIENCE).await }
        });
        tokio::task::yield_now().await;
        let full = gate.enter(&ann, PATIENCE).await;
        assert!(matches!(full, Err(Stop::QueueFull { waiting: 1 })), "{full:?}");
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(slot);
        gate.enter(&ann, PATIENCE).await.unwrap();
        assert_eq!(gate.state().running, 0);
    }
}
