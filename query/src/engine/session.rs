//! The session of one principal: plans read-only statements over what it may see.

use crate::engine::answer::{Answer, Prepared, Sites};
use crate::engine::catalogs::{Catalogs, OwnLab, ResolvingLab};
use crate::engine::names::{self, NO_DATASET, Names, Use};
use crate::engine::planner::FederatedPlanner;
use crate::engine::statement::{Kind, parse};
use crate::engine::{Engine, Veil, casts, explain, guard, rewrite, runtime, times};
use crate::error::QueryError;
use crate::federation::{self, Attachment};
use crate::functions::{FileFunction, FileTables, unknown_table_function};
use crate::provider::{blocking, schema_of};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::catalog::CatalogProvider;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::prelude::SessionContext;
use std::fmt;
use std::sync::Arc;
use tarn_schemas::{LabName, PartialMode, Principal, SiteReport, SiteStatus, TableRef};

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
}

/// A session of one principal. Cheap to clone; every statement sees the catalog as it is then.
#[derive(Clone)]
pub struct Session {
    engine: Engine,
    who: Principal,
    options: SessionOptions,
    context: SessionContext,
    veil: Veil,
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
struct Planning {
    state: SessionState,
    sites: Sites,
    lab: Option<LabName>,
}

impl Session {
    pub(super) fn new(
        engine: Engine,
        who: Principal,
        options: SessionOptions,
    ) -> Result<Self, QueryError> {
        let veil = Veil::of(&who);
        let own = ResolvingLab::new(engine.clone(), who.clone(), veil.clone());
        let state = state(&engine, Arc::new(own), None, FileTables::default())?;
        Ok(Self { engine, who, options, context: SessionContext::new_with_state(state), veil })
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
        match Box::pin(self.plan_whole(sql)).await.map_err(|error| self.veil.error(error)) {
            Err(QueryError::SiteUnavailable { lab, problem })
                if self.options.partial == PartialMode::Allow =>
            {
                self.plan_nothing(&lab, problem)
            }
            planned => planned,
        }
    }

    fn plan_nothing(&self, lab: &str, problem: String) -> Result<Prepared, QueryError> {
        let lab = LabName::new(lab).map_err(|error| QueryError::Internal(error.to_string()))?;
        let sites = Sites::default();
        sites.put(SiteReport {
            lab,
            status: SiteStatus::Skipped,
            rows: 0,
            bytes: 0,
            ms: 0,
            as_of: None,
            error: Some(problem),
        });
        let nothing = Arc::new(EmptyExec::new(Arc::new(Schema::empty())));
        let task = self.context.state().task_ctx();
        Ok(Prepared::new(nothing, &Schema::empty(), task, sites, None))
    }

    async fn plan_whole(&self, sql: &str) -> Result<Prepared, QueryError> {
        let text = sql.to_owned();
        let parsed = self.engine.workers().run(async move { parse(&text) }).await?;
        let owner = self.who == Principal::Owner;
        if parsed.kind == (Kind::Explain { detailed: true }) && !owner {
            return Err(QueryError::Denied(
                "EXPLAIN with ANALYZE, VERBOSE or a format shows where data lie, which is for the \
                 owner of the node; plain EXPLAIN works"
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
        let planning = self.planning(&references, used, files).await?;
        let unknown = parsed
            .calls
            .iter()
            .find(|call| !planning.state.table_functions().contains_key(&call.function))
            .map(|call| unknown_table_function(&call.function));
        let session = self.clone();
        let statement = parsed.statement;
        let work = async move {
            let planned = planning.state.statement_to_plan(statement.clone()).await;
            let plan = match (planned, unknown) {
                (Err(error), Some(unknown)) if error.to_string().contains("table function '") => {
                    tracing::debug!(%error, "an unknown table function");
                    return Err(unknown);
                }
                (Err(error), _) => {
                    // What is wrong is said of the statement as it was written.
                    match casts::plan(&planning.state, &statement).await {
                        Some(Ok(plan)) => plan,
                        _ => return Err(error.into()),
                    }
                }
                (Ok(plan), _) => plan,
            };
            session.finish(planning, plan).await
        };
        self.engine.workers().run(work).await
    }

    /// Plans and starts a read-only statement.
    pub async fn sql(&self, sql: &str) -> Result<Answer, QueryError> {
        self.plan(sql).await?.start().await
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
        let planning = Planning { state: self.context.state(), sites: Sites::default(), lab: None };
        let session = self.clone();
        let work = async move { session.finish(planning, plan).await };
        self.engine.workers().run(work).await.map_err(|error| self.veil.error(error))
    }

    async fn finish(&self, planning: Planning, plan: LogicalPlan) -> Result<Prepared, QueryError> {
        let Planning { state, sites, lab } = planning;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)?;
        let plan = guard::protect(plan, &state)?;
        times::check(&plan)?;
        let plan = rewrite::rewrite(plan)?;
        if let LogicalPlan::Explain(explain) = &plan
            && self.who != Principal::Owner
        {
            let inner = explain.plan.as_ref().clone();
            let (state, inner) = optimize(state, inner).await?;
            let physical = physical(&state, &inner).await?;
            let answer = explain::answer(explain, &inner, &physical, state.task_ctx())?;
            return Ok(answer.on(self.engine.workers()));
        }
        let (state, plan) = optimize(state, plan).await?;
        let physical = physical(&state, &plan).await?;
        let (schema, task) = (plan.schema().as_arrow(), state.task_ctx());
        Ok(Prepared::new(physical, schema, task, sites, lab)
            .behind(self.veil.clone())
            .on(self.engine.workers()))
    }

    /// All tables the session sees, with their Arrow schemas: own lab and peers.
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
        references: &[TableReference],
        used: Use,
        files: FileTables,
    ) -> Result<Planning, QueryError> {
        let sites = Sites::default();
        let mut own = OwnLab::default();
        let listing = references.iter().any(names::is_information);
        let foreign = references.iter().any(|reference| {
            reference.catalog().is_some_and(|lab| self.lab().is_none_or(|own| own.as_str() != lab))
        });
        let attachment = if listing || foreign { self.attach(&sites).await? } else { None };
        let peers = attachment.as_ref().map_or(&[][..], |attachment| &attachment.catalogs);
        for reference in references {
            if names::is_information(reference) {
                // SHOW TABLES and its like name all of them, also those nobody asked for.
                if used == Use::Read {
                    names::check_information(reference)?;
                }
                continue;
            }
            let Some(catalog) = self.engine.catalog() else {
                return Err(names::no_home(reference));
            };
            Names::new(&self.engine, catalog, &self.who, peers, &self.veil)
                .open(reference, used, &mut own)
                .await?;
        }
        if listing && let Some(catalog) = self.engine.catalog() {
            Names::new(&self.engine, catalog, &self.who, peers, &self.veil).list(&mut own).await?;
        }
        let lab = self.lab().filter(|_| used == Use::Read && !own.reads_nothing()).cloned();
        let state = state(&self.engine, Arc::new(own), attachment, files)?;
        Ok(Planning { state, sites, lab })
    }
}

/// A state of its own for one statement.
fn state(
    engine: &Engine,
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
        .with_config(config)
        .with_runtime_env(runtime(&shared.memory)?);
    if let Some(attachment) = attachment {
        labs.extend(attachment.catalogs.into_iter().map(|(lab, peer)| (lab.to_string(), peer)));
        for rule in attachment.rules {
            builder = builder.with_optimizer_rule(rule);
        }
        let planner = FederatedPlanner::new(attachment.planner);
        builder = builder.with_query_planner(Arc::new(planner));
    }
    let mut state = builder.with_catalog_list(Arc::new(Catalogs::new(labs))).build();
    // now() and its kin are the time at which the statement began.
    state.mark_start_execution();
    let files = Arc::new(files);
    for name in FileTables::names() {
        state.register_udtf(name, Arc::new(FileFunction::new(name, Arc::clone(&files))));
    }
    Ok(state)
}

/// Runs the optimizer where it may block: predicates on coordinates read the coordinates.
async fn optimize(
    state: SessionState,
    plan: LogicalPlan,
) -> Result<(SessionState, LogicalPlan), QueryError> {
    blocking(move || {
        let plan = state.optimize(&plan)?;
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
