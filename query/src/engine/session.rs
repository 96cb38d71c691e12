//! The session of one principal: plans read-only statements over what it may see.

use crate::engine::answer::{Answer, Prepared, Sites};
use crate::engine::catalogs::{Catalogs, OwnLab, ResolvingLab};
use crate::engine::guards::{Awaited, Bounds, Query, Slot, patient};
use crate::engine::measured::MeasuredExec;
use crate::engine::names::{self, NO_DATASET, Names, Read, Use};
use crate::engine::planner::FederatedPlanner;
#[cfg(feature = "postgres")]
use crate::engine::statement::parse_as;
use crate::engine::statement::{Kind, Parsed, parse};
use crate::engine::{
    Engine, Veil, casts, explain, joins, nesting, obligations, output, parameters, rewrite, times,
};
use crate::error::QueryError;
use crate::federation::{self, Attachment};
use crate::functions::{FileFunction, FileTables, Work, unknown_table_function};
#[cfg(feature = "postgres")]
use crate::postgres::translate;
use crate::provider::{blocking, schema_of};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::CatalogProvider;
use datafusion::common::{DataFusionError, ScalarValue, TableReference};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;
use std::fmt;
use std::sync::Arc;
use tarn_catalog::PinnedTable;
use tarn_schemas::{LabName, PartialMode, Principal, SiteReport, SiteStatus, TableRef};
use uuid::Uuid;

/// The catalog of a session without a home. No lab can have this name.
const NO_LAB: &str = "*";

/// How a session behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// What to do when a lab does not answer.
    pub partial: PartialMode,
    /// Whether `read_netcdf(…)` and its like may open paths and URLs. Only for people at the
    /// machine itself (the owner of a home, or no home at all); never over the network.
    pub files: bool,
    /// Bounds of each statement, within those of the node.
    pub bounds: Bounds,
}

/// A statement that is planned and not optimized.
pub(super) struct Logical {
    pub(super) planning: Planning,
    pub(super) plan: LogicalPlan,
}

/// A session of one principal. Cheap to clone; every statement sees the catalog as it is then.
#[derive(Clone)]
pub struct Session {
    pub(super) engine: Engine,
    who: Principal,
    options: SessionOptions,
    context: SessionContext,
    veil: Veil,
    /// What a client of PostgreSQL is told of itself; the tables of `pg_catalog` are there with it.
    #[cfg(feature = "postgres")]
    pub(super) postgres: Option<Arc<crate::postgres::Facts>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("who", &self.who)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Names that are resolved and the state that plans a statement over them.
#[derive(Debug)]
pub(super) struct Planning {
    pub(super) state: SessionState,
    sites: Sites,
    lab: Option<LabName>,
    /// The tables of the own lab that it reads.
    pub(super) read: Read,
}

impl Session {
    pub(super) fn new(
        engine: Engine,
        who: Principal,
        options: SessionOptions,
    ) -> Result<Self, QueryError> {
        let veil = Veil::of(&who);
        let own = ResolvingLab::new(engine.clone(), who.clone(), veil.clone());
        let state = state(&engine, Err(&who), Arc::new(own), None, FileTables::default())?;
        let context = SessionContext::new_with_state(state);
        Ok(Self {
            engine,
            who,
            options,
            context,
            veil,
            #[cfg(feature = "postgres")]
            postgres: None,
        })
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.who
    }

    /// How the session behaves.
    pub fn options(&self) -> SessionOptions {
        self.options
    }

    /// The lab of the node, if there is a home.
    pub fn lab(&self) -> Option<&LabName> {
        self.engine.catalog().map(tarn_catalog::Catalog::lab)
    }

    /// Plans a read-only statement; nothing runs yet.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for SQL that is wrong or writes, [`QueryError::NotFound`] for names
    /// that do not exist or may not be known, [`QueryError::Denied`] where policy refuses.
    ///
    /// Where a partial answer is allowed and a table belongs to a lab that is away before it ever
    /// said what its tables are like, the answer has no columns, no rows and the report of that lab.
    pub async fn plan(&self, sql: &str) -> Result<Prepared, QueryError> {
        let planned = self.plan_as(&self.begin(), sql, &[]).await?;
        Ok(planned.holding(None))
    }

    /// A new query, to be planned and run by what takes one.
    pub fn begin(&self) -> Query {
        loop {
            // Of random ids none comes twice.
            if let Some(query) = self.begin_as(Uuid::new_v4()) {
                return query;
            }
        }
    }

    /// A new query with an id that the caller chose; `None` if that names another query of theirs.
    pub fn begin_as(&self, id: Uuid) -> Option<Query> {
        self.engine.guards().begin(&self.who, self.options.bounds, id)
    }

    /// Plans a statement with values for its parameters: a row of them for each time that it is to run,
    /// none at all where it has none. It starts in the same turn.
    ///
    /// # Errors
    /// As [`Session::plan`], and where values do not fit the parameters.
    pub async fn plan_as(
        &self,
        query: &Query,
        sql: &str,
        rows: &[Vec<ScalarValue>],
    ) -> Result<Prepared, QueryError> {
        let awaited = Awaited::new(query);
        let (planned, slot) =
            self.in_turn(query, Box::pin(self.plan_whole(query, sql, rows))).await;
        match planned {
            Err(QueryError::SiteUnavailable { lab, problem })
                if self.options.partial == PartialMode::Allow =>
            {
                self.plan_nothing(query, &lab, problem)
            }
            planned => planned,
        }
        .map(|planned| {
            awaited.over();
            planned.holding(slot)
        })
    }

    /// Plans in the query's turn; the place is given along.
    pub(super) async fn in_turn<T>(
        &self,
        query: &Query,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> (Result<T, QueryError>, Option<Slot>) {
        let slot = match self.engine.guards().turn(query).await {
            Ok(slot) => slot,
            Err(error) => return (Err(error), None),
        };
        query.plan();
        let planned = query.work(work).await.map_err(|error| self.veil.error(error));
        query.planned();
        (planned, Some(slot))
    }

    fn plan_nothing(
        &self,
        query: &Query,
        lab: &str,
        problem: String,
    ) -> Result<Prepared, QueryError> {
        let lab = LabName::new(lab).map_err(|error| QueryError::Internal(error.to_string()))?;
        let sites = Sites::default();
        sites.put(SiteReport {
            lab,
            status: SiteStatus::Skipped,
            rows: 0,
            bytes: 0,
            ms: 0,
            as_of: None,
            state: None,
            age_seconds: None,
            error: Some(problem),
        });
        let nothing = Arc::new(EmptyExec::new(Arc::new(Schema::empty())));
        let task = self.context.state().task_ctx();
        let nothing = Prepared::new(nothing, &Schema::empty(), task, sites, None);
        Ok(nothing.on(&self.engine, query))
    }

    async fn plan_whole(
        &self,
        query: &Query,
        sql: &str,
        rows: &[Vec<ScalarValue>],
    ) -> Result<Prepared, QueryError> {
        let logical = self.plan_logical(query, sql, &[]).await?;
        let (session, query, rows) = (self.clone(), query.clone(), rows.to_vec());
        let work = async move { session.finish(&query, logical, &rows).await };
        self.engine.workers().run(work).await
    }

    /// A statement, parsed on the threads of queries.
    async fn parsed(&self, sql: &str) -> Result<Parsed, QueryError> {
        let text = sql.to_owned();
        #[cfg(feature = "postgres")]
        if let Some(facts) = self.postgres.clone() {
            let words = move || parse_as(&text, |said| translate(said, &facts).map(drop));
            return self.engine.workers().run(async move { words() }).await;
        }
        self.engine.workers().run(async move { parse(&text) }).await
    }

    /// Resolves the names of a statement and plans it. Tables that are pinned are read at these versions.
    pub(super) async fn plan_logical(
        &self,
        query: &Query,
        sql: &str,
        pins: &[PinnedTable],
    ) -> Result<Logical, QueryError> {
        let parsed = self.parsed(sql).await?;
        let owner = self.who == Principal::Owner;
        if parsed.kind == (Kind::Explain { detailed: true }) && !owner {
            return Err(QueryError::Denied(
                "EXPLAIN with VERBOSE or a format shows where data lie, which is for the owner of the node; \
                 EXPLAIN and EXPLAIN ANALYZE work"
                    .to_owned(),
            ));
        }
        let shared = &self.engine.shared;
        let files = FileTables::open(&shared.opener, &parsed.calls, self.options.files).await?;
        let called = |reference: &TableReference| {
            matches!(reference, TableReference::Bare { table }
                if parsed.calls.iter().any(|call| call.function == table.as_ref()))
        };
        let references: Vec<TableReference> = shared
            .template
            .resolve_table_references(&parsed.statement)?
            .into_iter()
            .filter(|reference| !called(reference))
            .collect();
        let used = if parsed.kind == Kind::Listing { Use::Describe } else { Use::Read };
        let planning = self.planning(query, (&references, pins), used, files).await?;
        if planning.read.has_views() {
            nesting::check_share(sql, 2).map_err(|error| {
                QueryError::Invalid(format!(
                    "a statement that reads views may nest half of what others may: {error}"
                ))
            })?;
        }
        let unknown = parsed
            .calls
            .iter()
            .find(|call| !planning.state.table_functions().contains_key(&call.function))
            .map(|call| unknown_table_function(&call.function));
        let statement = parsed.statement;
        let work = async move {
            let plan = match (casts::planned(&planning.state, &statement).await, unknown) {
                (Err(error), Some(unknown)) if error.to_string().contains("table function '") => {
                    tracing::debug!(%error, "an unknown table function");
                    return Err(unknown);
                }
                (planned, _) => planned?,
            };
            Ok(Logical { planning, plan: parameters::widened(plan)? })
        };
        self.engine.workers().run(work).await
    }

    /// Plans and starts a read-only statement.
    pub async fn sql(&self, sql: &str) -> Result<Answer, QueryError> {
        self.plan_as(&self.begin(), sql, &[]).await?.start().await
    }

    /// A context for plans that do not come as SQL, such as fragments from peers. Every table of
    /// the own lab that a plan names is resolved and decided when it is looked up; tables of peers
    /// and files do not exist in it. Finish with [`Session::prepare`].
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// Checks, optimizes and plans a logical plan that was made in [`Session::context`].
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for a plan that would change something.
    pub async fn prepare(&self, plan: LogicalPlan) -> Result<Prepared, QueryError> {
        let query = self.begin();
        let builder = SessionStateBuilder::new_from_existing(self.context.state());
        let state = guarded(&self.engine, &query, builder)?;
        let planning =
            Planning { state, sites: Sites::default(), lab: None, read: Read::default() };
        let (session, own) = (self.clone(), query.clone());
        let work = async move { session.finish(&own, Logical { planning, plan }, &[]).await };
        let (prepared, slot) =
            Box::pin(self.in_turn(&query, self.engine.workers().run(work))).await;
        Ok(prepared?.holding(slot))
    }

    /// Checks, optimizes and plans a statement with each row of values, or once without any.
    pub(super) async fn finish(
        &self,
        query: &Query,
        logical: Logical,
        rows: &[Vec<ScalarValue>],
    ) -> Result<Prepared, QueryError> {
        let Logical { planning: Planning { state, sites, lab, .. }, plan } = logical;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        if rows.len() > parameters::MOST_ROWS {
            return Err(QueryError::Invalid(format!(
                "{} rows of values were bound, and a statement runs with {} at most; join VALUES instead",
                rows.len(),
                parameters::MOST_ROWS
            )));
        }
        let (mut state, mut first, mut more) = (state, None, Vec::new());
        let once = [Vec::new()];
        for values in if rows.is_empty() { &once } else { rows } {
            let plan = parameters::bind(plan.clone(), values)?;
            let (plan, measured) = match plan {
                LogicalPlan::Analyze(analyze) if self.who != Principal::Owner => {
                    (Arc::unwrap_or_clone(analyze.input), Some(analyze.schema))
                }
                other => (other, None),
            };
            let plan = obligations::protect(plan, &state)?;
            times::check(&plan)?;
            let plan = rewrite::rewrite(plan)?;
            if let LogicalPlan::Explain(explain) = &plan
                && self.who != Principal::Owner
            {
                let inner = explain.plan.as_ref().clone();
                let (state, inner) = optimize(state, inner).await?;
                let physical = physical(&state, &inner).await?;
                let answer = explain::answer(explain, &inner, &physical, state.task_ctx())?;
                return Ok(answer.on(&self.engine, query));
            }
            let (kept, plan) = optimize(state, plan).await?;
            state = kept;
            let mut physical = physical(&state, &plan).await?;
            let schema = measured.as_ref().unwrap_or(plan.schema()).as_arrow();
            if let Some(told) = &measured {
                physical = Arc::new(MeasuredExec::new(physical, Arc::clone(told.inner())));
            }
            let task = state.task_ctx();
            let Some(first) = &first else {
                let planned = Prepared::new(physical, schema, task, sites.clone(), lab.clone());
                first = Some(planned);
                continue;
            };
            if Prepared::schema(first) != output::schema_of(schema, &physical.schema()) {
                return Err(QueryError::Invalid(
                    "rows of values with different types give answers of different types; cast the \
                     parameters, as in CAST($1 AS BIGINT)"
                        .to_owned(),
                ));
            }
            more.push(physical);
        }
        first
            .map(|planned| planned.then(more).behind(self.veil.clone()).on(&self.engine, query))
            .ok_or_else(|| QueryError::Internal("nothing was planned".to_owned()))
    }

    /// All tables and views the session sees, with their Arrow schemas: own lab and peers.
    pub async fn tables(&self) -> Result<Vec<(TableRef, SchemaRef)>, QueryError> {
        let Some(catalog) = self.engine.catalog() else { return Ok(vec![]) };
        let mut tables = Vec::new();
        for dataset in catalog.datasets(&self.who).await? {
            for entry in &dataset.tables {
                let name = TableRef {
                    lab: dataset.lab.clone(),
                    dataset: dataset.name.clone(),
                    table: entry.name.clone(),
                };
                tables.push((name, schema_of(entry)?));
            }
            for view in &dataset.views {
                let name = TableRef {
                    lab: dataset.lab.clone(),
                    dataset: dataset.name.clone(),
                    table: view.name.clone(),
                };
                tables.push((name, names::schema_of_view(view)?));
            }
        }
        let Some(attachment) = self.attach(&Sites::default()).await? else { return Ok(tables) };
        for (lab, peer) in attachment.catalogs {
            for dataset in peer.schema_names() {
                let Some(schema) = peer.schema(&dataset) else { continue };
                for table in schema.table_names() {
                    let Ok(name) = format!("{lab}.{dataset}.{table}").parse::<TableRef>() else {
                        continue;
                    };
                    if let Some(provider) = schema.table(&table).await? {
                        tables.push((name, provider.schema()));
                    }
                }
            }
        }
        Ok(tables)
    }

    /// Names of all functions that a statement may call, in order; those that make tables are the second.
    pub fn functions(&self) -> (Vec<String>, Vec<String>) {
        let state = self.context.state();
        let scalar = state.scalar_functions().keys();
        let calls =
            scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
        let (mut values, mut tables): (Vec<String>, Vec<String>) =
            (calls.cloned().collect(), state.table_functions().keys().cloned().collect());
        values.sort_unstable();
        values.dedup();
        tables.sort_unstable();
        (values, tables)
    }

    /// What federation adds. A visitor from a peer sees this lab alone: no lab asks another on
    /// behalf of a third.
    async fn attach(&self, sites: &Sites) -> Result<Option<Attachment>, QueryError> {
        match (self.engine.catalog(), &self.who) {
            (None, _) | (_, Principal::Visitor { .. }) => Ok(None),
            (Some(catalog), who) => {
                let config = self.engine.config();
                federation::attach(catalog, who, sites, self.options, config).await.map(Some)
            }
        }
    }

    async fn planning(
        &self,
        query: &Query,
        (references, pins): (&[TableReference], &[PinnedTable]),
        used: Use,
        files: FileTables,
    ) -> Result<Planning, QueryError> {
        let sites = Sites::default();
        let (mut own, mut read) = (OwnLab::default(), Read::default());
        let listing = references.iter().any(names::is_information);
        let foreign = references.iter().any(|reference| {
            reference.catalog().is_some_and(|lab| self.lab().is_none_or(|own| own.as_str() != lab))
        });
        let attachment = if listing || foreign { self.attach(&sites).await? } else { None };
        let peers = attachment.as_ref().map_or(&[][..], |attachment| &attachment.catalogs);
        let catalog = match self.engine.catalog() {
            Some(catalog) if !references.is_empty() => {
                Some((catalog, catalog.reading(&self.who).await?))
            }
            _ => None,
        };
        for reference in references {
            #[cfg(feature = "postgres")]
            if self.open_system_table(reference, &mut own).await? {
                continue;
            }
            if names::is_information(reference) {
                // SHOW TABLES and its like name all of them, also those nobody asked for.
                if used == Use::Read {
                    names::check_information(reference)?;
                }
                continue;
            }
            let Some((catalog, reading)) = &catalog else {
                return Err(names::no_home(reference));
            };
            let catalog = (*catalog, reading);
            let names = Names::new(&self.engine, catalog, &self.who, peers, &self.veil);
            read.add(Box::pin(names.pinned(pins).open(reference, used, &mut own)).await?);
        }
        if listing && let Some((catalog, reading)) = &catalog {
            let catalog = (*catalog, reading);
            Names::new(&self.engine, catalog, &self.who, peers, &self.veil).list(&mut own).await?;
        }
        let lab = self.lab().filter(|_| used == Use::Read && !own.reads_nothing()).cloned();
        let state = state(&self.engine, Ok(query), Arc::new(own), attachment, files)?;
        #[cfg(feature = "postgres")]
        let state = self.with_functions_of_postgres(state)?;
        Ok(Planning { state, sites, lab, read })
    }
}

/// A state of its own for one statement, or for what a principal does beside statements.
pub(super) fn state(
    engine: &Engine,
    query: Result<&Query, &Principal>,
    own: Arc<dyn CatalogProvider>,
    attachment: Option<Attachment>,
    files: FileTables,
) -> Result<SessionState, QueryError> {
    let shared = &engine.shared;
    let default = engine.catalog().map_or(NO_LAB, |catalog| catalog.lab().as_str());
    let config =
        shared.template.config().clone().with_default_catalog_and_schema(default, NO_DATASET);
    let mut labs: Vec<(String, Arc<dyn CatalogProvider>)> = vec![(default.to_owned(), own)];
    let mut builder = SessionStateBuilder::new_from_existing(shared.template.as_ref().clone())
        .with_session_id(uuid::Uuid::now_v7().to_string())
        .with_config(config);
    if let Some(attachment) = attachment {
        labs.extend(attachment.catalogs.into_iter().map(|(lab, peer)| (lab.to_string(), peer)));
        for rule in attachment.rules {
            builder = builder.with_optimizer_rule(rule);
        }
        let planner = FederatedPlanner::new(attachment.planner);
        builder = builder.with_query_planner(Arc::new(planner));
    }
    let builder = builder.with_catalog_list(Arc::new(Catalogs::new(labs)));
    let mut state = match query {
        Ok(query) => guarded(engine, query, builder)?,
        Err(who) => builder.with_runtime_env(engine.guards().runtime(who)?).build(),
    };
    // now() and its kin are the time at which the statement began.
    state.mark_start_execution();
    let files = Arc::new(files);
    for name in FileTables::names() {
        state.register_udtf(name, Arc::new(FileFunction::new(name, Arc::clone(&files))));
    }
    Ok(state)
}

/// A state whose plans are made and run as this query: with its memory, until it is stopped.
fn guarded(
    engine: &Engine,
    query: &Query,
    mut builder: SessionStateBuilder,
) -> Result<SessionState, QueryError> {
    let mut config = builder.config().take().unwrap_or_default();
    let runtime = engine.guards().runtime(query.principal())?;
    let work = Work::new(query.clone(), &runtime.memory_pool);
    config.options_mut().extensions.insert(work);
    let builder = builder
        .with_config(config.with_extension(Arc::new(query.clone())))
        .with_runtime_env(runtime);
    Ok(patient(builder, query).build())
}

/// Runs the optimizer where it may block: predicates on coordinates read the coordinates.
async fn optimize(
    state: SessionState,
    plan: LogicalPlan,
) -> Result<(SessionState, LogicalPlan), QueryError> {
    blocking(move || {
        let plan = joins::in_best_order(state.optimize(&plan)?)?;
        Ok((state, plan))
    })
    .await
}

/// Plans how an optimized statement runs. What is wrong with the statement has been found by then:
/// a plan that cannot be made is a defect of ours, and its text may show where data lie.
async fn physical(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
    state.query_planner().create_physical_plan(plan, state).await.map_err(|error| {
        match error.find_root() {
            DataFusionError::Plan(text) => QueryError::Internal(text.clone()),
            _ => QueryError::from(error),
        }
    })
}
