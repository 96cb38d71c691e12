//! The owner's side: what a peer asks is planned again, and decided, here.
//!
//! The Flight service calls [`do_get`] for tickets that [`is_fragment`](super::wire::is_fragment) and
//! [`do_action`] for the actions of [`wire`](super::wire), with the principal that the secret and the
//! visitor's name stand for. A plan from a peer is a stranger's input: limits on its size, depth and
//! number of nodes, nothing beyond the list in `allow`, and only tables of this lab, which the
//! visitor's own session resolves or does not.

use super::allow::check_plan;
use super::codec::{decode, plan_bytes, read_plan};
use super::peers::address;
use super::wire::{
    ACCEPT, AcceptAnswer, AcceptRequest, FEED, FragmentTicket, Payload, RECORD, RECORDS,
    RecordRequest, SEARCH, ScanRequest, TABLES, TREE, TableInfo, TablesAnswer, VERSION,
    schema_to_text, signed_to_bytes,
};
use crate::engine::{Engine, SessionOptions};
use crate::error::QueryError;
use arrow::datatypes::{Fields, Schema};
use datafusion::common::{Column, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion_substrait::substrait::proto::read_rel::ReadType;
use datafusion_substrait::substrait::proto::rel::RelType;
use datafusion_substrait::substrait::proto::{Plan, Rel, plan_rel};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tarn_catalog::{Catalog, Peer, SearchRequest};
use tarn_schemas::{LabName, Principal};

/// Largest body of an action and largest ticket.
const LARGEST_REQUEST: usize = 2 << 20;

/// Runs the fragment of a ticket for a visitor.
///
/// # Errors
/// [`QueryError::Unauthenticated`] unless the principal is a visitor; [`QueryError::Invalid`] for a
/// plan that may not travel or does not fit; [`QueryError::NotFound`] and [`QueryError::Denied`] for
/// tables the visitor may not know of or not read; and whatever the query itself fails with.
pub async fn do_get(
    engine: &Engine,
    who: &Principal,
    ticket: &[u8],
) -> Result<SendableRecordBatchStream, QueryError> {
    let lab = visited(engine, who)?.lab().clone();
    let fragment = Fragment::read(ticket, &lab)?;
    let session = engine.session(who.clone(), SessionOptions::default()).await?;
    let plan = fragment.plan(&session.context().state()).await?;
    Ok(Box::pin(session.prepare(plan)).await?.start().await?.stream)
}

/// Answers an action of a peer; `None` if it is none of federation's.
///
/// `tarn.peer.accept` comes without a header: the invitation's secret in it is what authenticates.
///
/// # Errors
/// As [`do_get`]; and for an invitation that was redeemed, has expired or was never made.
pub async fn do_action(
    engine: &Engine,
    who: &Principal,
    kind: &str,
    body: &[u8],
) -> Result<Option<Vec<u8>>, QueryError> {
    if body.len() > LARGEST_REQUEST {
        return Err(QueryError::ResourceExhausted(format!(
            "the request has more than {LARGEST_REQUEST} bytes"
        )));
    }
    match kind {
        ACCEPT => {
            let catalog = engine.catalog().ok_or_else(no_home)?;
            answer(&redeem(catalog, read(body)?).await?).map(Some)
        }
        TABLES => {
            let catalog = visited(engine, who)?;
            let session = engine.session(who.clone(), SessionOptions::default()).await?;
            let rows = rows_of_tables(catalog, who).await?;
            let mut tables = Vec::new();
            for (table, schema) in session.tables().await? {
                if &table.lab != catalog.lab() {
                    continue;
                }
                let schema = schema_to_text(&with_nulls(&schema))
                    .map_err(|error| QueryError::Internal(format!("schema of {table}: {error}")))?;
                let rows = rows.get(&(table.dataset.to_string(), table.table.to_string())).copied();
                tables.push(TableInfo { dataset: table.dataset, table: table.table, schema, rows });
            }
            let functions = function_names(&session.context().state());
            let lab = catalog.lab().clone();
            answer(&TablesAnswer { version: VERSION, lab, functions, tables }).map(Some)
        }
        SEARCH => {
            let catalog = visited(engine, who)?;
            let request: SearchRequest = read(body)?;
            answer(&catalog.search(who, &request).await?).map(Some)
        }
        FEED => {
            let (catalog, peer) = asking_peer(engine, who)?;
            let grace = Duration::from_secs(engine.config().peer_grace_seconds);
            let page = catalog.feed_page(peer, &read(body)?, grace).await?;
            Ok(Some(signed_to_bytes(&page)))
        }
        TREE => {
            let (catalog, peer) = asking_peer(engine, who)?;
            Ok(Some(signed_to_bytes(&catalog.feed_tree(peer, &read(body)?).await?)))
        }
        RECORDS => {
            let (catalog, peer) = asking_peer(engine, who)?;
            Ok(Some(signed_to_bytes(&catalog.feed_records(peer, &read(body)?).await?)))
        }
        RECORD => {
            let RecordRequest { name } = read(body)?;
            answer(&visited(engine, who)?.record_for_peer(who, &name).await?).map(Some)
        }
        _ => Ok(None),
    }
}

/// The catalog that a peer reads, and which peer that is. Who asks there does not matter: what a lab is told is for
/// everyone there.
fn asking_peer<'a>(
    engine: &'a Engine,
    who: &'a Principal,
) -> Result<(&'a Catalog, &'a LabName), QueryError> {
    let catalog = visited(engine, who)?;
    match who {
        Principal::Visitor { lab, .. } => Ok((catalog, lab)),
        _ => Err(no_home()),
    }
}

/// The schema with NULLs in every column: a policy may mask any of them for the visitor when it is
/// read, and the asking lab must not have planned that there are none.
fn with_nulls(schema: &Schema) -> Schema {
    let fields = schema.fields().iter();
    let fields: Fields =
        fields.map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
    Schema::new_with_metadata(fields, schema.metadata().clone())
}

pub(super) fn no_home() -> QueryError {
    QueryError::NotFound("this node has no home, so it has no peers; run `tarn init`".to_owned())
}

/// The catalog a visitor asks.
fn visited<'a>(engine: &'a Engine, who: &Principal) -> Result<&'a Catalog, QueryError> {
    if !matches!(who, Principal::Visitor { .. }) {
        return Err(QueryError::Unauthenticated(
            "only a peer lab may ask this, with the secret that both labs share".to_owned(),
        ));
    }
    engine.catalog().ok_or_else(no_home)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, QueryError> {
    serde_json::from_slice(body)
        .map_err(|error| QueryError::Invalid(format!("the request cannot be read: {error}")))
}

fn answer<T: serde::Serialize>(answer: &T) -> Result<Vec<u8>, QueryError> {
    serde_json::to_vec(answer)
        .map_err(|error| QueryError::Internal(format!("the answer cannot be written: {error}")))
}

/// Redeems an invitation: from now on the accepting lab is a peer.
async fn redeem(catalog: &Catalog, request: AcceptRequest) -> Result<AcceptAnswer, QueryError> {
    if &request.lab == catalog.lab() {
        return Err(QueryError::Invalid(format!(
            "both labs are called {}; a lab cannot be its own peer",
            request.lab
        )));
    }
    let refused = || {
        QueryError::Unauthenticated(
            "the invitation has expired, was used already or is not genuine; ask for a new one"
                .to_owned(),
        )
    };
    // Who is a peer is for those who hold an invitation. Looking does not use it up.
    if !catalog.invitation_is_open(&request.secret).await? {
        return Err(refused());
    }
    if catalog.peers().await?.iter().any(|peer| peer.lab == request.lab) {
        return Err(QueryError::Invalid(format!(
            "lab {} is a peer of {} already; there, run `tarn peer remove {}` first",
            request.lab,
            catalog.lab(),
            request.lab
        )));
    }
    let (flight, http) = (address(&request.flight, "Flight")?, address(&request.http, "HTTP")?);
    if !catalog.redeem_invitation(&request.secret).await? {
        return Err(refused());
    }
    let peer = Peer {
        lab: request.lab,
        flight,
        http,
        secret: request.secret,
        since: super::sites::now(),
        key: request.key,
    };
    catalog.put_peer(peer).await?;
    Ok(AcceptAnswer { lab: catalog.lab().clone() })
}

async fn rows_of_tables(
    catalog: &Catalog,
    who: &Principal,
) -> Result<BTreeMap<(String, String), u64>, QueryError> {
    let mut rows = BTreeMap::new();
    for dataset in catalog.datasets(who).await? {
        for table in dataset.tables {
            if let Some(count) = table.rows {
                rows.insert((dataset.name.to_string(), table.name.to_string()), count);
            }
        }
    }
    Ok(rows)
}

/// Names of all scalar and aggregate functions of a session.
pub(super) fn function_names(state: &SessionState) -> Vec<String> {
    let mut names: Vec<String> = state
        .scalar_functions()
        .keys()
        .chain(state.aggregate_functions().keys())
        .cloned()
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What a ticket asks for, read but not yet planned.
pub(super) struct Fragment {
    payload: Request,
    /// The tables it names, all of this lab.
    tables: Vec<TableReference>,
}

enum Request {
    Plan(Box<Plan>),
    Scan(ScanRequest),
}

impl Fragment {
    /// Reads a ticket for tables of `lab`.
    pub(super) fn read(ticket: &[u8], lab: &LabName) -> Result<Self, QueryError> {
        if ticket.len() > LARGEST_REQUEST {
            return Err(QueryError::ResourceExhausted(format!(
                "the ticket has more than {LARGEST_REQUEST} bytes"
            )));
        }
        let ticket: FragmentTicket = read(ticket)?;
        if ticket.version != VERSION {
            return Err(QueryError::Invalid(format!(
                "fragments of version {} are not understood here; this node has version {VERSION}",
                ticket.version
            )));
        }
        let (payload, tables) = match ticket.payload {
            Payload::Plan(text) => {
                let plan = read_plan(&plan_bytes(&text).map_err(refused)?).map_err(refused)?;
                let tables = tables_of(&plan).map_err(refused)?;
                (Request::Plan(Box::new(plan)), tables)
            }
            Payload::Scan(scan) => {
                let table =
                    TableReference::full(lab.as_str(), scan.dataset.as_str(), scan.table.as_str());
                (Request::Scan(scan), vec![table])
            }
        };
        if let Some(other) = tables.iter().find(|table| table.catalog() != Some(lab.as_str())) {
            return Err(refused(format!("{other} is no table of lab {lab}")));
        }
        Ok(Self { payload, tables })
    }

    /// Its plan over the tables that a state has.
    pub(super) async fn plan(&self, state: &SessionState) -> Result<LogicalPlan, QueryError> {
        for table in &self.tables {
            let found = state.schema_for_ref(table.clone())?.table(table.table()).await?;
            // A fragment speaks of tables, and such a view is a plan in the place of one.
            if found.is_some_and(|found| found.get_logical_plan().is_some()) {
                return Err(refused(format!(
                    "{table} is a view that reads with the rights of whoever asks, which other labs cannot: read \
                     the tables that it reads"
                )));
            }
        }
        match &self.payload {
            Request::Scan(scan) => self.scan(state, scan).await,
            Request::Plan(plan) => {
                let plan = decode(plan, state).await?;
                let has_function = |name: &str| {
                    state.scalar_functions().contains_key(name)
                        || state.aggregate_functions().contains_key(name)
                };
                check_plan(&plan, &has_function).map_err(refused)?;
                Ok(plan)
            }
        }
    }

    async fn scan(
        &self,
        state: &SessionState,
        scan: &ScanRequest,
    ) -> Result<LogicalPlan, QueryError> {
        let Some(name) = self.tables.first() else {
            return Err(refused("it names no table".to_owned()));
        };
        let schema = state.schema_for_ref(name.clone())?;
        let table = schema
            .table(name.table())
            .await?
            .ok_or_else(|| QueryError::NotFound(format!("there is no table {name}")))?;
        let columns =
            scan.columns.iter().map(|column| Expr::Column(Column::new(Some(name.clone()), column)));
        let limit = scan.limit.and_then(|limit| usize::try_from(limit).ok());
        Ok(LogicalPlanBuilder::scan(name.clone(), provider_as_source(table), None)?
            .project(columns)?
            .limit(0, limit)?
            .build()?)
    }
}

fn refused(reason: String) -> QueryError {
    QueryError::Invalid(format!("the fragment is refused: {reason}"))
}

/// The tables that a plan names. Refuses relations that never travel before anything resolves them.
fn tables_of(plan: &Plan) -> Result<Vec<TableReference>, String> {
    let mut tables = Vec::new();
    for relation in &plan.relations {
        match &relation.rel_type {
            Some(plan_rel::RelType::Root(root)) => {
                let input = root.input.as_ref().ok_or("the plan is not complete")?;
                tables_below(input, &mut tables)?;
            }
            _ => return Err("the plan has no root".to_owned()),
        }
    }
    tables.sort_unstable_by_key(TableReference::to_string);
    tables.dedup();
    Ok(tables)
}

fn tables_below(relation: &Rel, tables: &mut Vec<TableReference>) -> Result<(), String> {
    let inputs: Vec<Option<&Rel>> = match &relation.rel_type {
        Some(RelType::Read(read)) => {
            let Some(ReadType::NamedTable(table)) = &read.read_type else {
                return Err("only named tables may be read".to_owned());
            };
            let [lab, dataset, name] = table.names.as_slice() else {
                return Err("tables are named lab.dataset.table".to_owned());
            };
            tables.push(TableReference::full(lab.as_str(), dataset.as_str(), name.as_str()));
            vec![]
        }
        Some(RelType::Filter(filter)) => vec![filter.input.as_deref()],
        Some(RelType::Project(project)) => vec![project.input.as_deref()],
        Some(RelType::Aggregate(aggregate)) => vec![aggregate.input.as_deref()],
        Some(RelType::Sort(sort)) => vec![sort.input.as_deref()],
        Some(RelType::Fetch(fetch)) => vec![fetch.input.as_deref()],
        Some(RelType::Join(join)) => vec![join.left.as_deref(), join.right.as_deref()],
        Some(RelType::Set(set)) => set.inputs.iter().map(Some).collect(),
        _ => return Err("the plan has a relation that does not travel".to_owned()),
    };
    for input in inputs {
        tables_below(input.ok_or("the plan is not complete")?, tables)?;
    }
    Ok(())
}
