//! The engine of one node and the session of one principal.

mod answer;
mod casts;
mod catalogs;
mod change;
mod citable;
mod conjuncts;
mod constants;
mod derive;
mod describe;
mod estimate;
mod expansion;
mod explain;
mod guards;
mod joins;
mod listing;
mod measured;
mod names;
pub(crate) mod nesting;
mod obligations;
mod output;
mod parameters;
mod planner;
#[cfg(feature = "postgres")]
mod postgres;
mod rewrite;
mod session;
mod split;
mod statement;
mod times;
mod veil;
mod workers;

pub use answer::{Answer, Prepared, Sites};
pub use change::{Change, Creation, Dropping, ViewCreation};
pub use citable::{AnswerDigest, engine_name, parameter};
pub use describe::Described;
pub use estimate::Estimate;
pub use guards::{Bounds, Limits, Progress, Query, State, Stop};
pub use nesting::NestingError;
pub use session::{Session, SessionOptions};
pub use split::Statements;
pub use workers::STACK_BYTES;

#[cfg(feature = "postgres")]
pub(crate) use guards::Held;
pub(crate) use statement::Call;
pub(crate) use veil::Veil;

use crate::error::QueryError;
use crate::functions;
use crate::provider::{AggregateBelowBroadcast, Opener};
use crate::stream::PreparedConfig;
use constants::NoFalseConstants;
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use guards::{Guards, StoppableJoins};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use tarn_catalog::Catalog;
use tarn_connectors::Stores;
use tarn_schemas::Principal;
use uuid::Uuid;
use workers::Workers;

/// Users of memory that the text of an exhausted pool names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(2);

/// A side of a join that is known to have no more bytes and rows is one hash table.
const ONE_TABLE_BYTES: usize = 64 << 20;
const ONE_TABLE_ROWS: usize = 2_000_000;

/// Limits and settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Bytes that queries may hold in memory together.
    pub memory_bytes: usize,
    /// Partitions of a query; 0 means the number of cores.
    pub partitions: usize,
    /// Seconds to wait for a peer's first answer.
    pub peer_seconds: u64,
    /// For how many seconds of this lab's silence peers may show its records as they are.
    pub peer_grace_seconds: u64,
    /// What queries and people may use of it.
    pub limits: Limits,
    /// Folder for what does not fit into memory; without, the system's temporary folder.
    pub spill: Option<PathBuf>,
    /// Where blocks of streams are prepared; without, they are decoded whenever they are needed.
    pub prepared: Option<PreparedConfig>,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 4 << 30,
            partitions: 0,
            peer_seconds: 30,
            peer_grace_seconds: 7 * 24 * 3600,
            limits: Limits::default(),
            spill: None,
            prepared: None,
        }
    }
}

/// The engine of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    catalog: Option<Catalog>,
    stores: Stores,
    config: EngineConfig,
    shared: Arc<Shared>,
}

/// What all sessions of an engine share.
#[derive(Debug)]
struct Shared {
    guards: Guards,
    /// Functions and settings; sessions add names and stores of their own.
    template: Arc<SessionState>,
    opener: Opener,
    /// Threads that plan and run queries.
    workers: Arc<Workers>,
}

impl Engine {
    /// The engine of a home, or (without a catalog) one that reads files only.
    pub fn new(
        catalog: Option<Catalog>,
        stores: Stores,
        config: EngineConfig,
    ) -> Result<Self, QueryError> {
        let memory: Arc<dyn MemoryPool> = Arc::new(TrackConsumersPool::new(
            FairSpillPool::new(config.memory_bytes),
            NAMED_CONSUMERS,
        ));
        let mut settings = SessionConfig::new()
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(false);
        if config.partitions > 0 {
            settings = settings.with_target_partitions(config.partitions);
        }
        // Text stays Utf8, the type that the catalog, peers and clients know a column by.
        let options = settings.options_mut();
        options.execution.parquet.schema_force_view_types = false;
        // Nanoseconds of 64 bits end in 2262, and files of Spark hold the year 9999 in this type.
        options.execution.parquet.coerce_int96 = Some("us".to_owned());
        options.sql_parser.map_string_types_to_utf8view = false;
        // The two schemas of a union differ in their metadata: the logical one keeps what all inputs
        // share, the physical one what any has. Answers carry the logical one.
        options.execution.skip_physical_aggregate_schema_check = true;
        // Up to here one hash table for all threads costs less than to send both sides of a join about.
        options.optimizer.hash_join_single_partition_threshold = ONE_TABLE_BYTES;
        options.optimizer.hash_join_single_partition_threshold_rows = ONE_TABLE_ROWS;
        let mut template = SessionStateBuilder::new()
            .with_config(settings)
            .with_runtime_env(
                RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&memory)).build_arc()?,
            )
            .with_default_features()
            .with_optimizer_rules(conjuncts::rules())
            .with_physical_optimizer_rules(AggregateBelowBroadcast::rules(vec![Arc::new(
                NoFalseConstants,
            )]))
            .with_physical_optimizer_rule(Arc::new(StoppableJoins))
            .build();
        let bounded = functions::bounded(template.scalar_functions().values());
        let own = functions::scalar_functions().into_iter().map(Arc::new);
        for function in own.chain(bounded) {
            datafusion::execution::FunctionRegistry::register_udf(&mut template, function)?;
        }
        for function in functions::aggregate_functions() {
            datafusion::execution::FunctionRegistry::register_udaf(&mut template, function)?;
        }
        let template = Arc::new(template);
        let index = catalog.as_ref().map(|catalog| catalog.chunk_index().clone());
        let opener = Opener::new(stores.clone(), Arc::clone(&template), index);
        let (limits, spill) = (config.limits.clone(), config.spill.as_deref());
        let guards = Guards::new(limits, config.memory_bytes, memory, spill)?;
        let shared = Arc::new(Shared { guards, template, opener, workers: Arc::default() });
        Ok(Self { catalog, stores, config, shared })
    }

    /// The catalog, if there is a home.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_ref()
    }

    /// The stores.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Settings.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Functions and settings that every session starts from.
    pub(crate) fn template(&self) -> &SessionState {
        &self.shared.template
    }

    /// Threads that plan and run queries.
    fn workers(&self) -> &Arc<Workers> {
        &self.shared.workers
    }

    /// What keeps queries from harming one another.
    fn guards(&self) -> &Guards {
        &self.shared.guards
    }

    /// The query of this id, if `who` asked it: while it runs, and for some minutes after. What others
    /// asked is as if it did not exist.
    pub fn query(&self, who: &Principal, id: Uuid) -> Option<Query> {
        self.guards().find(who, id)
    }

    /// How many queries wait, are planned or run.
    pub fn active_queries(&self) -> usize {
        self.guards().active()
    }

    /// Opens tables of the catalog and keeps them open.
    pub(crate) fn opener(&self) -> &Opener {
        &self.shared.opener
    }

    /// A session of a principal: it sees the tables that the principal may know of, here and at
    /// the peers.
    #[expect(clippy::unused_async, reason = "part of the interface: peers may be asked here")]
    pub async fn session(
        &self,
        who: Principal,
        options: SessionOptions,
    ) -> Result<Session, QueryError> {
        Session::new(self.clone(), who, options)
    }
}
