//! The owner's side: what a peer asks is planned again, and decided, here.
//!
//! The Flight service calls [`do_get`] for tickets that [`is_fragment`](super::wire::is_fragment) and
//! [`do_action`] for the actions of [`wire`](super::wire), with the principal that the secret and the
//! visitor's name stand for. A plan from a peer is a stranger's input: limits on its size, depth and
//! number of nodes, nothing beyond the list in `allow`, and only tables of this lab, which the
//! visitor's own session resolves or does not.

use super::allow::check_plan;
use super::codec::{decode, plan_bytes};
use super::wire::{
    ACCEPT, AcceptAnswer, AcceptRequest, FragmentTicket, Payload, SEARCH, ScanRequest, TABLES,
    TableInfo, TablesAnswer, VERSION, schema_to_text,
};
use crate::engine::{Engine, SessionOptions};
use crate::error::QueryError;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{Expr, SessionContext};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use tarn_catalog::{Catalog, Peer, SearchRequest};
use tarn_schemas::{LabName, Principal};

/// Largest body of an action and largest ticket.
const LARGEST_REQUEST: usize = 2 << 20;

/// Runs the fragment of a ticket for a visitor.
///
/// # Errors
/// [`QueryError::Unauthenticated`] unless the principal is a visitor; [`QueryError::Invalid`] for a
/// plan that may not travel or does not fit; [`QueryError::NotFound`] for tables the visitor may not
/// know of; and whatever the query itself fails with.
pub async fn do_get(
    engine: &Engine,
    who: &Principal,
    ticket: &[u8],
) -> Result<SendableRecordBatchStream, QueryError> {
    let lab = visited(engine, who)?.lab().clone();
    let session = engine.session(who.clone(), SessionOptions::default()).await?;
    run_fragment(session.context(), &lab, ticket).await
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
                let schema = schema_to_text(&schema)
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
        _ => Ok(None),
    }
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
    if catalog.peers().await?.iter().any(|peer| peer.lab == request.lab) {
        return Err(QueryError::Invalid(format!(
            "lab {} is a peer of {} already; there, run `tarn peer remove {}` first",
            request.lab,
            catalog.lab(),
            request.lab
        )));
    }
    if !catalog.redeem_invitation(&request.secret).await? {
        return Err(QueryError::Unauthenticated(
            "the invitation has expired or was used already; ask for a new one".to_owned(),
        ));
    }
    let peer = Peer {
        lab: request.lab,
        flight: request.flight,
        http: request.http,
        secret: request.secret,
        since: super::sites::now(),
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

/// Runs the fragment of a ticket in the session of a visitor of `lab`.
pub(super) async fn run_fragment(
    context: &SessionContext,
    lab: &LabName,
    ticket: &[u8],
) -> Result<SendableRecordBatchStream, QueryError> {
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
    let state = context.state();
    let plan = match ticket.payload {
        Payload::Plan(text) => plan_of(&state, lab, &text).await?,
        Payload::Scan(scan) => scan_of(context, lab, &scan).await?,
    };
    let plan = state.create_physical_plan(&plan).await?;
    Ok(execute_stream(plan, context.task_ctx())?)
}

async fn plan_of(
    state: &SessionState,
    lab: &LabName,
    text: &str,
) -> Result<LogicalPlan, QueryError> {
    let refused = |reason| QueryError::Invalid(format!("the fragment is refused: {reason}"));
    let plan = decode(&plan_bytes(text).map_err(refused)?, state).await.map_err(refused)?;
    let functions = |name: &str| {
        state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
    };
    check_plan(&plan, &functions).map_err(refused)?;
    let mut foreign = None;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.catalog() != Some(lab.as_str())
        {
            foreign = Some(scan.table_name.to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    match foreign {
        Some(name) => Err(refused(format!("{name} is no table of lab {lab}"))),
        None => Ok(plan),
    }
}

async fn scan_of(
    context: &SessionContext,
    lab: &LabName,
    scan: &ScanRequest,
) -> Result<LogicalPlan, QueryError> {
    let name = TableReference::full(lab.as_str(), scan.dataset.as_str(), scan.table.as_str());
    let table = context.table(name.clone()).await?.into_unoptimized_plan();
    let columns: Vec<Expr> = scan
        .columns
        .iter()
        .map(|column| Expr::Column(datafusion::common::Column::new(Some(name.clone()), column)))
        .collect();
    let limit = scan.limit.and_then(|limit| usize::try_from(limit).ok());
    Ok(LogicalPlanBuilder::from(table).project(columns)?.limit(0, limit)?.build()?)
}
