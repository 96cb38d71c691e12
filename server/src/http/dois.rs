//! DOIs: asked for, and how they stand.

use super::Door;
use super::auth::Caller;
use super::datasets::find;
use super::problem::{Problem, Refusal};
use crate::registrar::none_configured;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tarn_catalog::Doi;

/// Asks for a DOI for a dataset. It is registered by itself, as soon as the registrar can be reached;
/// until then nothing shows it.
#[utoipa::path(post, path = "/api/v1/datasets/{lab}/{name}/doi",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "Name")),
    responses((status = 202, description = "The DOI and where it is"),
        (status = 400, description = "No name of a dataset, or this lab registers no DOIs", body = Problem),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 403, description = "Not yours to change, or its record is not for everyone", body = Problem),
        (status = 404, description = "No such dataset", body = Problem)))]
pub(crate) async fn request(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Doi>), Refusal> {
    let registrar = door.registrar.as_ref().ok_or_else(none_configured)?;
    let dataset = find(&door, &who, &lab, &name).await?;
    let choose = |blade: &str| registrar.doi_for(blade);
    let doi = door.catalog.request_doi(&who, &dataset.name, choose).await?;
    Ok((StatusCode::ACCEPTED, Json(doi)))
}

/// The DOIs of datasets that the caller may change, and where they are.
#[utoipa::path(get, path = "/api/v1/dois",
    responses((status = 200, description = "DOIs by dataset: `waiting`, `registered`, `hidden` or `refused`, and why"),
        (status = 401, description = "The token is not valid", body = Problem),
        (status = 403, description = "No token with scope write", body = Problem)))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"dois": door.catalog.dois(&who).await?})))
}
