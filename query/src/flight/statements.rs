//! Planned statements, prepared statements and sessions, held between the calls of a client.

use super::parts::{self, Parts};
use super::status::refuse;
use crate::engine::{Prepared, Query, SessionOptions};
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

/// A statement that was prepared.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) text: Text,
    /// Its plan, for whoever runs it at once: most clients do.
    pub(crate) first: Option<Uuid>,
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

    /// The id of the query that it is planned as.
    pub(crate) fn id(&self) -> Uuid {
        let query = self.plan.as_ref().and_then(|(plan, _)| plan.query());
        query.map_or_else(Uuid::new_v4, Query::id)
    }

    /// Endpoints that its answer is given at.
    pub(crate) fn endpoints(&self) -> usize {
        self.plan.as_ref().map_or(1, |(plan, _)| endpoints(plan))
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
    prepared: Shelf<Known>,
    /// What is to be changed once it is read.
    changes: Shelf<String>,
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

    /// Holds a plan that has no ticket yet, for as long as it may be run.
    pub(crate) fn hold_first(&self, who: &Principal, planned: Planned) -> Option<Uuid> {
        let id = planned.id();
        put(&self.planned, who, id, planned, FRESH, |planned| planned.plan.is_none()).ok()?;
        Some(id)
    }

    /// A plan that was held without a ticket and gets one now: the columns of its answer and how many
    /// endpoints it has. `None` where it is too old by now.
    pub(crate) fn promote(&self, id: Uuid) -> Option<(SchemaRef, usize)> {
        with(&self.planned, id, Some(STATEMENT_LIFE), |planned| {
            let (plan, _) = planned.plan.as_ref().filter(|(_, at)| at.elapsed() < FRESH)?;
            Some((planned.schema.clone(), endpoints(plan)))
        })
        .flatten()
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
        with(&self.planned, id, Some(STATEMENT_LIFE), |_| ())
            .or_else(|| with(&self.changes, id, Some(STATEMENT_LIFE), |_| ()))
            .ok_or_else(|| gone("statement"))
    }

    /// Forgets a statement; whether there was one.
    pub(crate) fn cancel(&self, id: Uuid) -> bool {
        let held = lock(&self.planned).remove(&id);
        held.is_some() || self.take_change(id).is_some()
    }

    /// Holds a statement that changes something until its ticket expires.
    pub(crate) fn hold_change(&self, who: &Principal, id: Uuid, sql: String) -> Result<(), Status> {
        put(&self.changes, who, id, sql, STATEMENT_LIFE, |_| false)
    }

    /// A statement that changes something, which is given away once.
    pub(crate) fn take_change(&self, id: Uuid) -> Option<String> {
        let held = lock(&self.changes).remove(&id).filter(|held| held.until > Instant::now());
        held.map(|held| held.item)
    }

    /// Keeps a prepared statement.
    pub(crate) fn prepare(&self, who: &Principal, known: Known) -> Result<Uuid, Status> {
        let id = Uuid::new_v4();
        put(&self.prepared, who, id, known, PREPARED_LIFE, |_| false).map(|()| id)
    }

    /// A prepared statement, to be run; the plan of its preparation is given away once.
    pub(crate) fn execute(&self, id: Uuid) -> Result<Known, Status> {
        let known = with(&self.prepared, id, Some(PREPARED_LIFE), |known| {
            let text = known.text.clone();
            Known { text, first: known.first.take() }
        });
        known.ok_or_else(|| gone("prepared statement"))
    }

    /// The text of a prepared statement.
    pub(crate) fn text(&self, id: Uuid) -> Result<Text, Status> {
        with(&self.prepared, id, Some(PREPARED_LIFE), |known| known.text.clone())
            .ok_or_else(|| gone("prepared statement"))
    }

    /// Binds values to the parameters of a prepared statement.
    pub(crate) fn bind(&self, id: Uuid, rows: Vec<Vec<ScalarValue>>) -> Result<(), Status> {
        with(&self.prepared, id, Some(PREPARED_LIFE), |known| {
            known.text.rows = rows;
            known.first = None;
        })
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
