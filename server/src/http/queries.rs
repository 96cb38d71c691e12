//! Queries that run: how far they are, and an end to them.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, State};
use chrono::SecondsFormat;
use serde::Serialize;
use tarn_query::{Query, Stop};
use tarn_schemas::{ErrorCode, Principal};
use utoipa::ToSchema;
use uuid::Uuid;

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
}

impl QueryProgress {
    fn of(query: &Query) -> Self {
        let progress = query.progress();
        Self {
            id: query.id().to_string(),
            state: progress.state.as_str(),
            code: progress.state.code().map(ErrorCode::as_str),
            began: progress.began.to_rfc3339_opts(SecondsFormat::Millis, true),
            seconds: progress.elapsed.as_secs_f64(),
            rows: progress.rows,
            bytes: progress.bytes,
            scanned_rows: progress.scanned_rows,
            scanned_bytes: progress.scanned_bytes,
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
