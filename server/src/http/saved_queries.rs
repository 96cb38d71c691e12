//! Queries under citable identifiers: `/api/v1/queries`.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use super::sql::{Buffer, format};
use crate::output::BatchWriter;
use crate::saved_queries::{Wish, run as run_again, save as keep, shown};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

/// A query that is to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QueryToKeep {
    /// A name, one of the caller's: 1 to 100 characters that can be seen.
    name: String,
    /// One SELECT, over tables of this lab.
    query: String,
    /// Values of its parameters `$1`, `$2`, …: texts, numbers, Booleans, nulls.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    parameters: Vec<Value>,
    /// Whom to share it with: `public`, `NAME` of this lab, `NAME@LAB` of a peer.
    #[serde(default)]
    readers: Vec<String>,
}

/// Where to go on.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    cursor: Option<String>,
}

/// Queries that the caller may know of: their own, and those that are shared with them and name no
/// table that they may not know of.
#[utoipa::path(get, path = "/api/v1/queries",
    params(("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "`queries` by id, and `next`")))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
    Query(Page { cursor }): Query<Page>,
) -> Result<Json<Value>, Refusal> {
    let (queries, next) = door.catalog.saved_queries(&who, cursor.as_deref()).await?;
    let queries: Vec<Value> = queries.iter().map(|query| shown(&door.catalog, query)).collect();
    Ok(Json(json!({"queries": queries, "next": next})))
}

/// Runs a query and keeps it under a new ARK: its text and parameters, the version of every table that it
/// reads, and number of rows and checksum of its answer. What stands under an ARK never changes.
#[utoipa::path(post, path = "/api/v1/queries", request_body = QueryToKeep,
    responses((status = 201, description = "The query"),
        (status = 400, description = "No name, wrong SQL, or a query whose answer depends on more than pinned tables", body = Problem),
        (status = 403, description = "Not signed in, or refused by policy", body = Problem),
        (status = 404, description = "No such table", body = Problem),
        (status = 409, description = "The caller has a query of that name, or too many", body = Problem),
        (status = 429, description = "A limit was reached", body = Problem),
        (status = 504, description = "It ran for too long", body = Problem)))]
pub(crate) async fn save(
    State(door): State<Door>,
    Caller(who): Caller,
    Json(asked): Json<QueryToKeep>,
) -> Result<Response, Refusal> {
    let QueryToKeep { name, query, parameters, readers } = asked;
    let wish = Wish { name, sql: query, parameters, readers };
    let query = Box::pin(keep(&door.engine, &door.catalog, &who, wish)).await?;
    let place = [(header::LOCATION, format!("/api/v1/queries/{}", query.id))];
    Ok((StatusCode::CREATED, place, Json(shown(&door.catalog, &query))).into_response())
}

/// One of them. `answer` is null for who may not read the same of every table as its owner could.
#[utoipa::path(get, path = "/api/v1/queries/{id}",
    params(("id" = String, Path, description = "The last part of its ARK, or the caller's own name for it")),
    responses((status = 200, description = "The query"),
        (status = 404, description = "No query that the caller may know of", body = Problem)))]
pub(crate) async fn one(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(shown(&door.catalog, &door.catalog.saved_query(&who, &id).await?)))
}

/// Deletes a query of the caller's. Its ARK is not given out again.
#[utoipa::path(delete, path = "/api/v1/queries/{id}",
    params(("id" = String, Path, description = "The last part of its ARK, or the caller's own name for it")),
    responses((status = 204, description = "Gone"),
        (status = 403, description = "Another person's", body = Problem),
        (status = 404, description = "No query that the caller may know of", body = Problem)))]
pub(crate) async fn delete(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    door.catalog.delete_query(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a saved query once more, with the rights of the caller, over the versions that it was saved with.
/// The answer is that of then, or a problem says why it cannot be. `Accept` chooses its format as for
/// `POST /api/v1/sql`; nothing of it is sent before all of it was compared.
#[utoipa::path(post, path = "/api/v1/queries/{id}/run",
    params(("id" = String, Path, description = "The last part of its ARK, or the caller's own name for it")),
    responses((status = 200, description = "The answer"),
        (status = 400, description = "No such format", body = Problem),
        (status = 403, description = "A table that the caller may not read, or not as it was read then", body = Problem),
        (status = 404, description = "No query that the caller may know of, or a table that is gone", body = Problem),
        (status = 409, description = "The answer is another one", body = Problem),
        (status = 422, description = "A file is no longer what was registered", body = Problem),
        (status = 429, description = "A limit was reached", body = Problem),
        (status = 504, description = "It ran for too long", body = Problem)))]
pub(crate) async fn run(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (format, media_type) = format(&headers)?;
    let (query, whole) = Box::pin(run_again(&door.engine, &door.catalog, &who, &id)).await?;
    let buffer = Buffer::default();
    let mut writer = BatchWriter::to(format, Box::new(buffer.clone()), "answer", &whole.schema)?;
    for batch in &whole.batches {
        writer.write(batch)?;
    }
    writer.finish(&whole.sites)?;
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (HeaderName::from_static("x-tarn-query-ark"), query.ark),
    ];
    Ok((headers, buffer.take()).into_response())
}
