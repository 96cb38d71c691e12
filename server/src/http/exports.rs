//! Datasets in the formats of others, and profiles.

use super::Door;
use super::auth::Caller;
use super::datasets::find;
use super::problem::Refusal;
use super::tombstone::{self, Gone};
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tarn_catalog::Dataset;
use tarn_schemas::export::{self, Format, Source};
use tarn_schemas::profile::LAB_CORE;
use tarn_schemas::profile::community::Community;
use tarn_schemas::{ErrorCode, Principal};

/// A dataset in one format: `datacite`, `datacite-json`, `dcat-us`, `schema.org`, `croissant`,
/// `ro-crate`, `stac`, `elink`, `oai_dc`, `oai_datacite`.
#[utoipa::path(get, path = "/api/v1/datasets/{lab}/{name}/export/{format}",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version"), ("format" = String, Path, description = "Format")),
    responses((status = 200, description = "The dataset in the format, with its media type"),
        (status = 400, description = "No name of a dataset", body = super::problem::Problem),
        (status = 403, description = "The format needs what may not be told", body = super::problem::Problem),
        (status = 410, description = "Withdrawn: its tombstone", body = Gone),
        (status = 422, description = "The record does not say what the format needs", body = super::problem::Problem),
        (status = 404, description = "No such dataset or format", body = super::problem::Problem)))]
pub(crate) async fn one(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name, format)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let format: Format =
        format.parse().map_err(|problem: String| Failure::new(ErrorCode::NotFound, problem))?;
    let dataset = find(&door, &who, &lab, &name).await?;
    let answer = match tombstone::of(&dataset) {
        Some(gone) => Ok(gone),
        None => answer(&source(&door, &dataset).await?, format),
    };
    Ok(shown(&door, &who, &dataset, format.as_str(), answer).await?)
}

/// An answer about a dataset, once it is in the audit log that it leaves, or why not.
pub(super) async fn shown(
    door: &Door,
    who: &Principal,
    dataset: &Dataset,
    by: &str,
    answer: Result<Response, Failure>,
) -> Result<Response, Failure> {
    let refused = answer.as_ref().err().map(ToString::to_string);
    door.catalog.note_shown(who, by, dataset, refused.as_deref()).await?;
    answer
}

/// What exports of a dataset are made from.
pub(super) async fn source(door: &Door, dataset: &Dataset) -> Result<Source, Failure> {
    Ok(dataset.source(&door.catalog.defaults().await?, &door.base))
}

/// A dataset in a format, with its media type.
pub(super) fn answer(source: &Source, format: Format) -> Result<Response, Failure> {
    let kind = match format.profile() {
        Some(profile) => format!("{}; profile=\"{profile}\"", format.media_type()),
        None => format.media_type().to_owned(),
    };
    Ok(([(header::CONTENT_TYPE, kind)], export::export(source, format)?).into_response())
}

/// Typed links of a dataset's page (FAIR Signposting, level 2).
#[utoipa::path(get, path = "/datasets/{lab}/{name}/linkset",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version")),
    responses((status = 200, description = "RFC 9264", content_type = "application/linkset+json"),
        (status = 400, description = "No name of a dataset", body = super::problem::Problem),
        (status = 404, description = "No such dataset", body = super::problem::Problem)))]
pub(crate) async fn linkset(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    let source = source(&door, &dataset).await?;
    Ok(shown(&door, &who, &dataset, "linkset", Ok(links(&source))).await?)
}

/// The linkset as an answer.
pub(super) fn links(source: &Source) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/linkset+json")];
    (kind, export::linkset(source).to_string()).into_response()
}

/// Names of the profiles that records of this lab may be checked by.
#[utoipa::path(get, path = "/api/v1/profiles", responses((status = 200, description = "Names")))]
pub(crate) async fn profiles(State(door): State<Door>) -> Result<Json<Value>, Refusal> {
    let known = door.catalog.profiles()?;
    let names: Vec<&str> = known.iter().map(Community::name).collect();
    let names: Vec<&str> = ["lab-core"].into_iter().chain(names).collect();
    Ok(Json(json!({"profiles": names})))
}

/// A profile as JSON Schema.
#[utoipa::path(get, path = "/api/v1/profiles/{name}",
    params(("name" = String, Path, description = "lab-core, or a community profile")),
    responses((status = 200, description = "JSON Schema 2020-12"), (status = 404, description = "No such profile", body = super::problem::Problem)))]
pub(crate) async fn profile(
    State(door): State<Door>,
    Path(name): Path<String>,
) -> Result<Response, Refusal> {
    let kind = [(header::CONTENT_TYPE, "application/schema+json")];
    if name == "lab-core" {
        return Ok((kind, LAB_CORE).into_response());
    }
    let known = door.catalog.profiles()?;
    let profile = known.iter().find(|profile| profile.name() == name).ok_or_else(|| {
        Failure::new(ErrorCode::NotFound, format!("no profile {name:?}; see /api/v1/profiles"))
    })?;
    Ok((kind, profile.document().to_string()).into_response())
}
