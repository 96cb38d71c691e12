//! Queries that run: how far they are, and an end to them; and what one would read.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use super::sql::SqlRequest;
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event, Sse};
use chrono::SecondsFormat;
use futures::stream::{self, Stream};
use serde::Serialize;
use std::time::Duration;
use tarn_query::{Estimate, Query, Stop};
use tarn_schemas::{ErrorCode, Principal};
use utoipa::ToSchema;
use uuid::Uuid;

/// How often the events of a query come.
const PACE: Duration = Duration::from_millis(500);

/// How far a query is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueryProgress {
    /// The query.
    id: String,
    /// `waiting`, `planning`, `planned`, `running`, `done`, `cancelled` or `failed`.
    state: &'static str,
    /// Why it failed: a code as in problems.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    /// The same in words, where that may be told: an answer that ends in its middle cannot say so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// When it was asked.
    began: String,
    /// Seconds since then, until it ended.
    seconds: f64,
    /// Rows of the answer so far.
    rows: u64,
    /// Bytes of these rows, as Arrow columns.
    bytes: u64,
    /// Rows read from tables of this lab.
    scanned_rows: u64,
    /// Bytes read from tables of this lab, as Arrow columns.
    scanned_bytes: u64,
    /// What it reads in all, once it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<SqlEstimate>,
}

/// What a query reads from tables of this lab.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SqlEstimate {
    /// Rows.
    rows: u64,
    /// Bytes, as Arrow columns. A value of text or of a list is taken for 16 bytes.
    bytes: u64,
    /// Whether it reads tables whose size is not known here: those of other labs, and those of which nobody
    /// but their stewards may know how many rows there are.
    beyond: bool,
    /// Whether it will read all of that, and not at most that.
    certain: bool,
}

impl From<Estimate> for SqlEstimate {
    fn from(estimate: Estimate) -> Self {
        let Estimate { rows, bytes, beyond, certain } = estimate;
        Self { rows, bytes, beyond, certain }
    }
}

impl QueryProgress {
    fn of(query: &Query) -> Self {
        let progress = query.progress();
        Self {
            id: query.id().to_string(),
            state: progress.state.as_str(),
            code: progress.state.code().map(ErrorCode::as_str),
            problem: progress.problem,
            began: progress.began.to_rfc3339_opts(SecondsFormat::Millis, true),
            seconds: progress.elapsed.as_secs_f64(),
            rows: progress.rows,
            bytes: progress.bytes,
            scanned_rows: progress.scanned_rows,
            scanned_bytes: progress.scanned_bytes,
            estimate: progress.estimate.map(SqlEstimate::from),
        }
    }
}

/// How far a query of the caller's is. What became of one can be asked for ten minutes after it ended.
#[utoipa::path(get, path = "/api/v1/sql/{id}", params(("id" = String, Path, description = "The query")),
    responses((status = 200, description = "How far it is", body = QueryProgress),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 404, description = "No query of the caller's", body = Problem)))]
pub(crate) async fn progress(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Result<Json<QueryProgress>, Refusal> {
    Ok(Json(QueryProgress::of(&find(&door, &who, &id)?)))
}

/// How far a query of the caller's is, again and again until it has ended: server-sent events, each
/// `event: progress` with the data of `GET /api/v1/sql/{id}`.
#[utoipa::path(get, path = "/api/v1/sql/{id}/events", params(("id" = String, Path, description = "The query")),
    responses((status = 200, description = "Events", content_type = "text/event-stream", body = String),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 404, description = "No query of the caller's", body = Problem)))]
pub(crate) async fn events(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, axum::Error>>>, Refusal> {
    let query = find(&door, &who, &id)?;
    let events = stream::unfold(Some((query, Duration::ZERO)), |going| async {
        let (query, pause) = going?;
        tokio::time::sleep(pause).await;
        let ended = query.progress().state.is_final();
        let event = Event::default().event("progress").json_data(QueryProgress::of(&query));
        Some((event, (!ended).then_some((query, PACE))))
    });
    Ok(Sse::new(events))
}

/// What a statement would read. It is planned, and does not run.
#[utoipa::path(post, path = "/api/v1/sql/estimate", request_body = SqlRequest,
    responses((status = 200, description = "What it would read", body = SqlEstimate),
        (status = 400, description = "Wrong SQL", body = Problem),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 403, description = "Refused by policy", body = Problem),
        (status = 404, description = "No such table", body = Problem),
        (status = 409, description = "The id names another query of the caller's", body = Problem),
        (status = 429, description = "Too many queries wait", body = Problem),
        (status = 503, description = "A lab did not answer", body = Problem)))]
pub(crate) async fn estimate(
    State(door): State<Door>,
    Caller(who): Caller,
    Json(request): Json<SqlRequest>,
) -> Result<Json<SqlEstimate>, Refusal> {
    let (session, query) = request.begin(&door, who).await?;
    let planned = session.plan_as(&query, request.text(), &[]).await?;
    Ok(Json(planned.estimate().into()))
}

/// Cancels a query of the caller's. One that has ended stays as it is.
#[utoipa::path(delete, path = "/api/v1/sql/{id}", params(("id" = String, Path, description = "The query")),
    responses((status = 200, description = "What it came to", body = QueryProgress),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 404, description = "No query of the caller's", body = Problem)))]
pub(crate) async fn cancel(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Result<Json<QueryProgress>, Refusal> {
    let query = find(&door, &who, &id)?;
    query.stop(Stop::Cancelled);
    Ok(Json(QueryProgress::of(&query)))
}

/// The caller's query of this id. Another person's, one that never was and no id at all are the same.
fn find(door: &Door, who: &Principal, id: &str) -> Result<Query, Failure> {
    let found = id.parse::<Uuid>().ok().and_then(|id| door.engine.query(who, id));
    found.ok_or_else(|| Failure::new(ErrorCode::NotFound, "you have no such query"))
}
