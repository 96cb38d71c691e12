//! Planned statements and prepared statements, held between the calls of a client.

use super::status::refuse;
use crate::engine::{Prepared, SessionOptions};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use uuid::Uuid;

/// How long a planned statement waits for its `DoGet`.
pub(crate) const STATEMENT_LIFE: Duration = Duration::from_secs(300);
/// How long a prepared statement is kept after it was last used.
pub(crate) const PREPARED_LIFE: Duration = Duration::from_secs(3600);
/// How old the decision behind a plan may be when it is run; an older one is planned again.
const FRESH: Duration = Duration::from_secs(1);
/// Most statements that are held for one principal, of each kind.
const MOST: usize = 256;

/// The text of a statement, to be planned under the policy of the moment at which it is run.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) sql: String,
    pub(crate) options: SessionOptions,
}

/// A statement that waits for its `DoGet`.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) text: Text,
    pub(crate) plan: Prepared,
    at: Instant,
}

impl Planned {
    /// A plan that was made now.
    pub(crate) fn new(text: Text, plan: Prepared) -> Self {
        Self { text, plan, at: Instant::now() }
    }

    /// Whether policy was asked just now.
    pub(crate) fn is_fresh(&self) -> bool {
        self.at.elapsed() < FRESH
    }
}

#[derive(Debug)]
struct Held<T> {
    who: Principal,
    until: Instant,
    item: T,
}

type Shelf<T> = Mutex<HashMap<Uuid, Held<T>>>;

/// What the door holds for its clients.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    planned: Shelf<Planned>,
    prepared: Shelf<Text>,
}

fn lock<T>(shelf: &Shelf<T>) -> MutexGuard<'_, HashMap<Uuid, Held<T>>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put<T>(shelf: &Shelf<T>, who: &Principal, item: T, life: Duration) -> Result<Uuid, Status> {
    let mut shelf = lock(shelf);
    let now = Instant::now();
    shelf.retain(|_, held| held.until > now);
    if shelf.values().filter(|held| held.who == *who).count() >= MOST {
        return Err(refuse(
            ErrorCode::ResourceExhausted,
            format!("you hold {MOST} open statements; read or close some, or wait a few minutes"),
        ));
    }
    let id = Uuid::new_v4();
    shelf.insert(id, Held { who: who.clone(), until: now + life, item });
    Ok(id)
}

fn gone(what: &str) -> Status {
    refuse(ErrorCode::Conflict, format!("the {what} was run, closed or has expired; send it again"))
}

impl Statements {
    /// Holds a plan until it is run once.
    pub(crate) fn hold(&self, who: &Principal, planned: Planned) -> Result<Uuid, Status> {
        put(&self.planned, who, planned, STATEMENT_LIFE)
    }

    /// The plan, to be run now. A second call finds nothing.
    pub(crate) fn take(&self, id: Uuid) -> Result<Planned, Status> {
        let held = lock(&self.planned).remove(&id).filter(|held| held.until > Instant::now());
        held.map(|held| held.item).ok_or_else(|| gone("statement"))
    }

    /// Forgets a plan; whether there was one.
    pub(crate) fn cancel(&self, id: Uuid) -> bool {
        lock(&self.planned).remove(&id).is_some()
    }

    /// Keeps a prepared statement.
    pub(crate) fn prepare(&self, who: &Principal, text: Text) -> Result<Uuid, Status> {
        put(&self.prepared, who, text, PREPARED_LIFE)
    }

    /// The text of a prepared statement.
    pub(crate) fn execute(&self, id: Uuid) -> Result<Text, Status> {
        let mut shelf = lock(&self.prepared);
        let now = Instant::now();
        let held = shelf
            .get_mut(&id)
            .filter(|held| held.until > now)
            .ok_or_else(|| gone("prepared statement"))?;
        held.until = now + PREPARED_LIFE;
        Ok(held.item.clone())
    }

    /// Closes a prepared statement. Closing one that is gone is no error.
    pub(crate) fn close(&self, id: Uuid) {
        lock(&self.prepared).remove(&id);
    }
}
