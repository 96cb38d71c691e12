//! What keeps one query from harming others: turns, memory, disk, time, rows and bytes.

mod gate;
mod held;
mod joins;
mod limits;
mod memory;
mod planning;
mod registry;
mod running;
mod spill;
mod stop;
mod watch;

pub use limits::{Bounds, Limits};
pub use running::{Progress, Query, State};
pub use stop::Stop;

pub(super) use gate::Slot;
pub(crate) use held::Held;
pub(super) use joins::StoppableJoins;
pub(super) use planning::patient;
pub(super) use running::Awaited;

use crate::error::QueryError;
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use gate::Gate;
use memory::{PersonMemory, QueryPool};
use registry::Registry;
use spill::Spill;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use tarn_schemas::Principal;
use uuid::Uuid;

/// The guards of one engine.
#[derive(Debug)]
pub(super) struct Guards {
    limits: Limits,
    /// Bytes of memory that queries may hold together.
    memory_bytes: usize,
    memory: Arc<dyn MemoryPool>,
    people: Mutex<HashMap<Principal, Weak<PersonMemory>>>,
    spill: Spill,
    /// Places for queries of this lab.
    own: Arc<Gate>,
    /// Places for what peers ask. Labs that wait for one another's answers would wait for ever if both
    /// took places of one kind.
    visitors: Arc<Gate>,
    registry: Arc<Registry>,
    watching: OnceLock<()>,
}

impl Guards {
    /// Guards over so much memory, and a folder to spill into.
    pub(super) fn new(
        limits: Limits,
        memory_bytes: usize,
        memory: Arc<dyn MemoryPool>,
        spill: Option<&Path>,
    ) -> Result<Self, QueryError> {
        let gate = || Arc::new(Gate::new(limits.at_once(), limits.at_once_each(), limits.queue));
        Ok(Self {
            memory_bytes,
            memory,
            people: Mutex::default(),
            spill: Spill::new(spill, limits.spill_bytes)?,
            own: gate(),
            visitors: gate(),
            registry: Arc::default(),
            watching: OnceLock::new(),
            limits,
        })
    }

    /// A new query of `who`; `None` if the id names another of theirs.
    pub(super) fn begin(&self, who: &Principal, asked: Bounds, id: Uuid) -> Option<Query> {
        self.watching.get_or_init(|| watch::start(&self.registry));
        let query = Query::new(who.whoever(), self.limits.of(who, asked), id);
        self.registry.add(&query).then_some(query)
    }

    /// The query of this id, if `who` asked it.
    pub(super) fn find(&self, who: &Principal, id: Uuid) -> Option<Query> {
        self.registry.find(&who.whoever(), id)
    }

    /// Queries that have not ended.
    pub(super) fn active(&self) -> usize {
        self.registry.active().len()
    }

    /// Waits until it is the query's turn.
    pub(super) async fn turn(&self, query: &Query) -> Result<Slot, QueryError> {
        if *query.principal() != Principal::Owner {
            query.wait();
        }
        self.another_turn(query).await
    }

    /// Waits until it is the turn of a query that runs and gave its place back. Its time goes on.
    pub(super) async fn another_turn(&self, query: &Query) -> Result<Slot, QueryError> {
        let who = query.principal();
        let gate = match who {
            Principal::Owner => return Ok(Slot::free()),
            Principal::Visitor { .. } => &self.visitors,
            Principal::Anonymous | Principal::Person { .. } => &self.own,
        };
        let patience = self.limits.queue_time;
        query.work(async { Ok(gate.enter(who, patience).await?) }).await
    }

    /// The memory and the disk of a query, with stores and caches of its own.
    ///
    /// DataFusion registers object stores by host alone and keys Parquet footers by path alone
    /// (query-engine note, section 3), so sharing them between statements could serve one table with the
    /// credentials or the footer of another.
    pub(super) fn runtime(&self, who: &Principal) -> Result<Arc<RuntimeEnv>, QueryError> {
        let (query, person) = self.limits.memory_of(who, self.memory_bytes);
        let held = self.person(&who.whoever(), person);
        let pool = QueryPool::new(query, held, Arc::clone(&self.memory));
        let mut runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build()?;
        runtime.disk_manager = Arc::clone(self.spill.manager());
        Ok(Arc::new(runtime))
    }

    /// What all queries of a person hold.
    fn person(&self, who: &Principal, limit: usize) -> Arc<PersonMemory> {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = people.get(who).and_then(Weak::upgrade) {
            return person;
        }
        people.retain(|_, person| person.strong_count() > 0);
        let person = Arc::new(PersonMemory::new(limit));
        people.insert(who.clone(), Arc::downgrade(&person));
        person
    }
}
