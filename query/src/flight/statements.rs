//! Planned statements, prepared statements and sessions, held between the calls of a client.

use super::parts::{self, Parts};
use super::status::refuse;
use crate::engine::{Prepared, SessionOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use uuid::Uuid;

/// How long a ticket opens its statement; it may be renewed.
pub(crate) const STATEMENT_LIFE: Duration = Duration::from_secs(300);
/// How long the other tickets of a statement are good after the first was used: one may be read after the
/// other.
pub(crate) const PARTS_LIFE: Duration = Duration::from_secs(86_400);
/// Rows from which an answer is worth a second connection.
const MANY_ROWS: u64 = 1 << 17;
/// How long a prepared statement is kept after it was last used.
pub(crate) const PREPARED_LIFE: Duration = Duration::from_secs(3600);
/// How long a session is kept after it was last used.
const SESSION_LIFE: Duration = Duration::from_secs(3600);
/// How old the decision behind a plan may be when it is run; an older one is planned again.
const FRESH: Duration = Duration::from_secs(1);
/// Most statements that are held for one principal, of each kind.
const MOST: usize = 256;

/// The text of a statement, to be planned under the policy of the moment at which it is run.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) sql: String,
    pub(crate) options: SessionOptions,
    /// Values of its parameters, a row for each time that it is to run.
    pub(crate) rows: Vec<Vec<ScalarValue>>,
}

/// A statement with a ticket. Whoever has read it may read it again until the ticket expires; then it is
/// planned, and decided, anew.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) text: Text,
    pub(crate) schema: SchemaRef,
    /// Until it is run for the first time.
    plan: Option<(Prepared, Instant)>,
    /// Where several readers share one run.
    parts: Option<Arc<Parts>>,
}

impl Planned {
    /// A plan that was made now.
    pub(crate) fn new(text: Text, plan: Prepared) -> Self {
        let parts = (endpoints(&plan) > 1).then(Arc::default);
        Self { text, schema: plan.schema(), plan: Some((plan, Instant::now())), parts }
    }
}

/// Endpoints that an answer is given at: several where its rows are made in several streams and in no
/// order, and are so many that another connection costs less than it brings.
pub(crate) fn endpoints(plan: &Prepared) -> usize {
    let estimate = plan.estimate();
    if estimate.beyond || estimate.rows >= MANY_ROWS {
        plan.ways().clamp(1, parts::MOST)
    } else {
        1
    }
}

/// A statement that is to be run now.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) text: Text,
    pub(crate) schema: SchemaRef,
    pub(crate) plan: Option<Prepared>,
    /// Whether policy was asked just now.
    pub(crate) fresh: bool,
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
    sessions: Shelf<SessionOptions>,
}

fn lock<T>(shelf: &Shelf<T>) -> MutexGuard<'_, HashMap<Uuid, Held<T>>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts something on a shelf. `spare` says what may be thrown out where a person has too much there.
fn put<T>(
    shelf: &Shelf<T>,
    who: &Principal,
    id: Uuid,
    item: T,
    life: Duration,
    spare: impl Fn(&T) -> bool,
) -> Result<(), Status> {
    let mut shelf = lock(shelf);
    let now = Instant::now();
    shelf.retain(|_, held| held.until > now);
    if shelf.values().filter(|held| held.who == *who).count() >= MOST {
        let oldest = shelf
            .iter()
            .filter(|(_, held)| held.who == *who && spare(&held.item))
            .min_by_key(|(_, held)| held.until)
            .map(|(id, _)| *id);
        match oldest {
            Some(id) => drop(shelf.remove(&id)),
            None => {
                return Err(refuse(
                    ErrorCode::ResourceExhausted,
                    format!(
                        "you hold {MOST} open statements; read or close some, or wait a few minutes"
                    ),
                ));
            }
        }
    }
    shelf.insert(id, Held { who: who.clone(), until: now + life, item });
    Ok(())
}

fn gone(what: &str) -> Status {
    refuse(ErrorCode::Conflict, format!("the {what} was closed or has expired; send it again"))
}

/// Does something with what is held under an id, for a while longer.
fn with<T, R>(
    shelf: &Shelf<T>,
    id: Uuid,
    life: Option<Duration>,
    act: impl FnOnce(&mut T) -> R,
) -> Option<R> {
    let mut shelf = lock(shelf);
    let now = Instant::now();
    let held = shelf.get_mut(&id).filter(|held| held.until > now)?;
    if let Some(life) = life {
        held.until = now + life;
    }
    Some(act(&mut held.item))
}

impl Statements {
    /// Holds a plan until its ticket expires.
    pub(crate) fn hold(&self, who: &Principal, id: Uuid, planned: Planned) -> Result<(), Status> {
        put(&self.planned, who, id, planned, STATEMENT_LIFE, |planned| planned.plan.is_none())
    }

    /// The statement, to be run now.
    pub(crate) fn due(&self, id: Uuid) -> Result<Due, Status> {
        with(&self.planned, id, None, |planned| {
            let fresh = planned.plan.as_ref().is_some_and(|(_, at)| at.elapsed() < FRESH);
            Due {
                text: planned.text.clone(),
                schema: planned.schema.clone(),
                plan: planned.plan.take().map(|(plan, _)| plan),
                fresh,
            }
        })
        .ok_or_else(|| gone("statement"))
    }

    /// What readers of one run share, if they are several; kept for those that come late.
    pub(crate) fn parts(&self, id: Uuid) -> Result<Option<Arc<Parts>>, Status> {
        let parts = with(&self.planned, id, None, |planned| planned.parts.clone());
        let parts = parts.ok_or_else(|| gone("statement"))?;
        if parts.is_some() {
            with(&self.planned, id, Some(PARTS_LIFE), |_| ());
        }
        Ok(parts)
    }

    /// Keeps a statement for its whole life from now on.
    pub(crate) fn renew(&self, id: Uuid) -> Result<(), Status> {
        with(&self.planned, id, Some(STATEMENT_LIFE), |_| ()).ok_or_else(|| gone("statement"))
    }

    /// Forgets a statement; whether there was one.
    pub(crate) fn cancel(&self, id: Uuid) -> bool {
        let held = lock(&self.planned).remove(&id);
        held.is_some()
    }

    /// Keeps a prepared statement.
    pub(crate) fn prepare(&self, who: &Principal, text: Text) -> Result<Uuid, Status> {
        let id = Uuid::new_v4();
        put(&self.prepared, who, id, text, PREPARED_LIFE, |_| false).map(|()| id)
    }

    /// The text of a prepared statement.
    pub(crate) fn execute(&self, id: Uuid) -> Result<Text, Status> {
        with(&self.prepared, id, Some(PREPARED_LIFE), |text| text.clone())
            .ok_or_else(|| gone("prepared statement"))
    }

    /// Binds values to the parameters of a prepared statement.
    pub(crate) fn bind(&self, id: Uuid, rows: Vec<Vec<ScalarValue>>) -> Result<(), Status> {
        with(&self.prepared, id, Some(PREPARED_LIFE), |text| text.rows = rows)
            .ok_or_else(|| gone("prepared statement"))
    }

    /// Closes a prepared statement. Closing one that is gone is no error.
    pub(crate) fn close(&self, id: Uuid) {
        lock(&self.prepared).remove(&id);
    }

    /// Begins a session.
    pub(crate) fn open_session(
        &self,
        who: &Principal,
        options: SessionOptions,
    ) -> Result<Uuid, Status> {
        let id = Uuid::new_v4();
        put(&self.sessions, who, id, options, SESSION_LIFE, |_| true).map(|()| id)
    }

    /// Does something with the options of a session of `who`.
    pub(crate) fn session<R>(
        &self,
        who: &Principal,
        id: Uuid,
        act: impl FnOnce(&mut SessionOptions) -> R,
    ) -> Option<R> {
        let own = lock(&self.sessions).get(&id).is_some_and(|held| held.who == *who);
        if own { with(&self.sessions, id, Some(SESSION_LIFE), act) } else { None }
    }

    /// Ends a session of `who`; whether there was one.
    pub(crate) fn close_session(&self, who: &Principal, id: Uuid) -> bool {
        let mut sessions = lock(&self.sessions);
        if sessions.get(&id).is_some_and(|held| held.who == *who) {
            sessions.remove(&id);
            return true;
        }
        false
    }
}
