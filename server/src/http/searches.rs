//! Searches that the caller keeps: `/api/v1/searches`.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use super::search::{request, shown};
use crate::failure::Failure;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tarn_query::federation;
use tarn_schemas::ErrorCode;

/// Where to go on.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    cursor: Option<String>,
}

/// The searches that the caller keeps, by name.
#[utoipa::path(get, path = "/api/v1/searches",
    responses((status = 200, description = "Searches by name"),
        (status = 403, description = "Not signed in", body = Problem)))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"searches": door.catalog.saved_searches(&who).await?})))
}

/// One of them: what it asks, and when it ran last.
#[utoipa::path(get, path = "/api/v1/searches/{name}",
    params(("name" = String, Path, description = "Name of the search")),
    responses((status = 200, description = "The search"),
        (status = 403, description = "Not signed in", body = Problem),
        (status = 404, description = "No such search of the caller's", body = Problem)))]
pub(crate) async fn one(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!(door.catalog.saved_search(&who, &name).await?)))
}

/// Keeps a search, in place of the one of this name. It takes the parameters of `GET /api/v1/search`,
/// all but `cursor`.
#[utoipa::path(put, path = "/api/v1/searches/{name}",
    params(("name" = String, Path, description = "Name: 1 to 100 characters that can be seen"),
        ("q" = Option<String>, Query, description = "Words"),
        ("limit" = Option<usize>, Query, description = "Most hits, 1 to 1000; 20 without"),
        ("facet" = Option<Vec<String>>, Query, description = "Keys to count values of"),
        ("standard_name" = Option<String>, Query, description = "Filter; so are all others of `GET /api/v1/search`")),
    responses((status = 200, description = "The search"),
        (status = 400, description = "No name, or what `GET /api/v1/search` refuses", body = Problem),
        (status = 403, description = "Not signed in", body = Problem),
        (status = 409, description = "Too many searches of the caller's", body = Problem)))]
pub(crate) async fn save(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    if !body.is_empty() {
        let problem = "a search is kept by the parameters of the URL, as in ?q=ice&facet=lab, and has no body";
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    let request = request(query.as_deref())?;
    Ok(Json(json!(door.catalog.save_search(&who, &name, &request).await?)))
}

/// Forgets a search.
#[utoipa::path(delete, path = "/api/v1/searches/{name}",
    params(("name" = String, Path, description = "Name of the search")),
    responses((status = 204, description = "Gone"),
        (status = 403, description = "Not signed in", body = Problem),
        (status = 404, description = "No such search of the caller's", body = Problem)))]
pub(crate) async fn forget(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    door.catalog.forget_search(&who, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a search as the caller is now. `new` names the hits of this lab that were registered, or
/// registered anew, since it ran before; null the first time.
#[utoipa::path(post, path = "/api/v1/searches/{name}/run",
    params(("name" = String, Path, description = "Name of the search"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "Hits, total, facets, sites, new"),
        (status = 400, description = "No cursor of such an answer, or that of another search", body = Problem),
        (status = 403, description = "Not signed in", body = Problem),
        (status = 404, description = "No such search of the caller's", body = Problem)))]
pub(crate) async fn run(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    axum::extract::Query(Page { cursor }): axum::extract::Query<Page>,
) -> Result<Json<Value>, Refusal> {
    let mut run = door.catalog.begin_saved_search(&who, &name, cursor).await?;
    run.request = run.request.opened(&who)?;
    let (answer, sites) = federation::search(&door.engine, &who, &run.request).await?;
    let new = door.catalog.end_saved_search(&who, &run, &answer.hits).await?;
    let mut json = shown(&who, &run.request, &answer, &sites);
    json["new"] = json!(new);
    Ok(Json(json))
}
