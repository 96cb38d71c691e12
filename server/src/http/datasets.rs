//! `GET /api/v1/datasets…`

use super::Door;
use super::auth::Caller;
use super::problem::Refusal;
use super::tombstone::{self, Gone};
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tarn_catalog::{Action, Dataset};
use tarn_schemas::{DatasetRef, ErrorCode, Principal};

/// Datasets of a page where nothing is said, and most of one.
const PAGE: usize = 100;
const MOST: usize = 1000;

/// A page.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// All datasets of this lab that the caller may know of, by name, in pages.
#[utoipa::path(get, path = "/api/v1/datasets",
    params(("cursor" = Option<String>, Query, description = "`next` of the page before"),
        ("limit" = Option<usize>, Query, description = "Most datasets, 1 to 1000; 100 without")),
    responses((status = 200, description = "`datasets` and `next`"),
        (status = 400, description = "No such limit", body = super::problem::Problem)))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
    Query(Page { cursor, limit }): Query<Page>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let limit = limit.unwrap_or(PAGE);
    if !(1..=MOST).contains(&limit) {
        let problem = format!("limit={limit}: write a number from 1 to {MOST}");
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    let after = cursor.unwrap_or_default();
    let (page, more) = door.catalog.datasets_after(&who, &after, limit).await?;
    let next = page.last().filter(|_| more).map(|last| last.name.to_string());
    door.catalog.note_listed(&who, "list", &page).await?;
    let mut shown = Vec::with_capacity(page.len());
    for dataset in &page {
        shown.push(view(&door, &who, dataset).await?);
    }
    Ok(Json(json!({"datasets": shown, "next": next})))
}

/// One dataset: `name` or `name@version`. Its entity tag is its version, for `If-Match` of what is edited from it.
#[utoipa::path(get, path = "/api/v1/datasets/{lab}/{name}",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version")),
    responses((status = 200, description = "The dataset"), (status = 410, description = "Withdrawn: its tombstone", body = Gone), (status = 404, description = "No such dataset", body = super::problem::Problem)))]
pub(crate) async fn one(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    door.catalog.note_shown(&who, "record", &dataset, None).await?;
    match tombstone::of(&dataset) {
        Some(gone) => Ok(gone),
        None => {
            let tag = [(header::ETAG, tag(dataset.version))];
            Ok((tag, Json(view(&door, &who, &dataset).await?)).into_response())
        }
    }
}

/// Versions of a dataset.
#[utoipa::path(get, path = "/api/v1/datasets/{lab}/{name}/versions",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "Name")),
    responses((status = 200, description = "Versions, oldest first"), (status = 404, description = "No such dataset", body = super::problem::Problem)))]
pub(crate) async fn versions(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    door.catalog.note_shown(&who, "versions", &dataset, None).await?;
    Ok(Json(json!(door.catalog.versions(&who, &dataset.name).await?)))
}

/// The entity tag of a version. Those of drafts are numbers alone.
pub(super) fn tag(version: u32) -> String {
    format!("\"v{version}\"")
}

/// The dataset of a path; another lab's is not here.
pub(crate) async fn find(
    door: &Door,
    who: &Principal,
    lab: &str,
    name: &str,
) -> Result<Dataset, Failure> {
    let wanted: DatasetRef = format!("{lab}.{name}").parse()?;
    if wanted.lab.as_ref() != Some(door.catalog.lab()) {
        let own = door.catalog.lab();
        let problem =
            format!("no dataset {wanted} here; this is {own}, ask {lab} for its own datasets");
        return Err(Failure::new(ErrorCode::NotFound, problem));
    }
    Ok(door.catalog.dataset(who, &wanted).await?)
}

/// A dataset as the caller may see it: where files and tables lie is for those who may write.
async fn view(
    door: &Door,
    who: &Principal,
    dataset: &Dataset,
) -> Result<serde_json::Value, Failure> {
    let mut json = json!(dataset);
    let read = door.catalog.decide(who, Action::Read, dataset).await?;
    json["may_read"] = json!(read.allowed);
    if door.catalog.decide(who, Action::Write, dataset).await?.allowed {
        return Ok(json);
    }
    for table in json["tables"].as_array_mut().into_iter().flatten() {
        if let Some(table) = table.as_object_mut() {
            for place in ["url", "files", "options"] {
                table.remove(place);
            }
        }
    }
    let names = |value: &mut serde_json::Value| {
        if let Some(text) = value.as_str() {
            *value = json!(text.rsplit('/').next().unwrap_or(text));
        }
    };
    for file in json["files"].as_array_mut().into_iter().flatten() {
        names(&mut file["location"]);
    }
    for file in json["record"]["files"].as_array_mut().into_iter().flatten() {
        names(file);
    }
    Ok(json)
}
