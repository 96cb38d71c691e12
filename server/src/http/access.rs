//! Access: asking, deciding, revoking, explaining.

use super::Door;
use super::auth::Caller;
use super::datasets::find;
use super::problem::{Problem, Refusal};
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tarn_catalog::IntendedUse;
use tarn_schemas::{DatasetRef, ErrorCode};
use utoipa::ToSchema;

/// A request for access.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    /// `lab.name` or `name`.
    dataset: String,
    /// Purpose, justification and the agreement that is accepted, by its SHA-256.
    #[schema(value_type = Object)]
    ask: IntendedUse,
}

/// For how long.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = GrantApproval)]
pub(crate) struct Approval {
    /// As long as the agreement and the data use allow, without.
    months: Option<u32>,
}

/// Why not.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Denial {
    reason: String,
}

/// Asks for access to a dataset.
#[utoipa::path(post, path = "/api/v1/access/requests", request_body = Ask,
    responses((status = 201, description = "The request"), (status = 400, description = "It does not fit the dataset's agreement", body = Problem),
        (status = 403, description = "Not signed in", body = Problem), (status = 404, description = "No such dataset", body = Problem),
        (status = 409, description = "There is an open request", body = Problem)))]
pub(crate) async fn ask(
    State(door): State<Door>,
    Caller(who): Caller,
    Json(Ask { dataset, ask }): Json<Ask>,
) -> Result<(StatusCode, Json<serde_json::Value>), Refusal> {
    let dataset: DatasetRef = dataset.parse()?;
    let request = door.catalog.request_access(&who, None, &dataset, &ask).await?;
    Ok((StatusCode::CREATED, Json(json!(request))))
}

/// The caller's requests, and those that they decide about.
#[utoipa::path(get, path = "/api/v1/access/requests",
    responses((status = 200, description = "Requests, newest first")))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<serde_json::Value>, Refusal> {
    Ok(Json(json!(door.catalog.access_requests(&who).await?)))
}

/// Grants what was asked for.
#[utoipa::path(post, path = "/api/v1/access/requests/{id}/approve", request_body = Approval,
    params(("id" = String, Path, description = "Id of the request")),
    responses((status = 200, description = "The grant"),
        (status = 400, description = "For longer than the agreement or the data use allow", body = Problem), (status = 403, description = "The caller's own request", body = Problem),
        (status = 404, description = "No such request", body = Problem), (status = 409, description = "Decided before", body = Problem)))]
pub(crate) async fn approve(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Json(Approval { months }): Json<Approval>,
) -> Result<Json<serde_json::Value>, Refusal> {
    Ok(Json(json!(door.catalog.approve_access(&who, &id, months).await?)))
}

/// Refuses what was asked for.
#[utoipa::path(post, path = "/api/v1/access/requests/{id}/deny", request_body = Denial,
    params(("id" = String, Path, description = "Id of the request")),
    responses((status = 204, description = "Refused"), (status = 404, description = "No such request", body = Problem),
        (status = 409, description = "Decided before", body = Problem)))]
pub(crate) async fn deny(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
    Json(Denial { reason }): Json<Denial>,
) -> Result<StatusCode, Refusal> {
    door.catalog.deny_access(&who, &id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a grant.
#[utoipa::path(post, path = "/api/v1/access/grants/{id}/revoke",
    params(("id" = String, Path, description = "Id of the grant")),
    responses((status = 204, description = "Revoked"), (status = 404, description = "No such grant", body = Problem),
        (status = 409, description = "Revoked before", body = Problem)))]
pub(crate) async fn revoke(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    door.catalog.revoke_access(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why a dataset is withdrawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retraction {
    reason: String,
    /// What to use in its place.
    #[serde(default)]
    replaced_by: Option<String>,
}

/// Withdraws a dataset: its page and identifier stay, its data are for nobody. Tells what was made from
/// it, as far as the caller may know of that, and the receipts of its streams: the first hundred, and where
/// `GET /api/v1/streams/receipts` goes on.
#[utoipa::path(post, path = "/api/v1/datasets/{lab}/{name}/retract", request_body = Retraction,
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "Its name")),
    responses((status = 200, description = "Datasets that were made from it, and from those, and receipts of its streams"),
        (status = 400, description = "No reason", body = Problem), (status = 403, description = "The caller may not", body = Problem),
        (status = 404, description = "No such dataset", body = Problem), (status = 409, description = "Withdrawn before", body = Problem)))]
pub(crate) async fn retract(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
    Json(Retraction { reason, replaced_by }): Json<Retraction>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    if name.contains('@') {
        let problem = "a dataset is withdrawn with all of its versions; leave the version out";
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    let made = door.catalog.withdraw(&who, &dataset.name, &reason, replaced_by.as_deref()).await?;
    let affected = DatasetRef { lab: None, name: dataset.name.clone(), version: None };
    let (receipts, next) = door.catalog.receipts(&who, Some(&affected), None).await?;
    Ok(Json(json!({
        "dataset": dataset.name, "derived": made, "receipts": receipts, "next_receipts": next,
    })))
}

/// What the caller may do with a dataset, and why not.
#[utoipa::path(get, path = "/api/v1/datasets/{lab}/{name}/access",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version")),
    responses((status = 200, description = "A decision for each action"), (status = 404, description = "No such dataset", body = Problem)))]
pub(crate) async fn explain(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name)): Path<(String, String)>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    let wanted =
        DatasetRef { lab: Some(dataset.lab), name: dataset.name, version: Some(dataset.version) };
    let decisions = door.catalog.explain_access(&who, &who, &wanted).await?;
    let decisions: serde_json::Map<String, serde_json::Value> = decisions
        .into_iter()
        .map(|(action, decision)| (action.as_str().to_owned(), json!(decision)))
        .collect();
    Ok(Json(decisions.into()))
}
