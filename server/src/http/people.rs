//! What is known of people: `/api/v1/people`, for administrators. And who becomes one.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use crate::commands::principal;
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use serde_json::{Value, json};
use tarn_catalog::{KnownPerson, PersonAttributes, subject};
use tarn_schemas::ErrorCode;

/// What is told once only.
pub(super) const ONCE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// Everybody of whom an administrator or an issuer said something.
#[utoipa::path(get, path = "/api/v1/people",
    responses((status = 200, description = "`people`, by subject"),
        (status = 403, description = "Not an administrator", body = Problem)))]
pub(super) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"people": door.catalog.people(&who).await?})))
}

/// One of them.
#[utoipa::path(get, path = "/api/v1/people/{name}",
    params(("name" = String, Path, description = "`ann` of this lab, `bob@anl` of a peer, `login:…` of an issuer")),
    responses((status = 200, description = "Attributes, and what an issuer said"),
        (status = 400, description = "No name", body = Problem),
        (status = 403, description = "Not an administrator", body = Problem),
        (status = 404, description = "Nothing is known of them", body = Problem)))]
pub(super) async fn one(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> Result<Json<KnownPerson>, Refusal> {
    let person = subject(&principal(&name)?);
    let known = door.catalog.person(&who, &person).await?;
    Ok(Json(known.ok_or_else(|| nobody(&name))?))
}

/// Says what is known of somebody, in place of what was: their groups, clearances, training and the like.
/// Nobody says it of themselves. `identities` are added to those that are known: forget the person to take one back.
#[utoipa::path(put, path = "/api/v1/people/{name}", request_body(content = HashMap<String, Value>, description = "Groups, assurance, clearances, training, affiliations, countries, us_person, terms, identities"),
    params(("name" = String, Path, description = "`ann` of this lab, `bob@anl` of a peer, `login:…` of an issuer")),
    responses((status = 200, description = "Attributes, and what an issuer said"),
        (status = 400, description = "No name, or an attribute that is none", body = Problem),
        (status = 403, description = "Not an administrator; of themselves, or of a program of their own", body = Problem),
        (status = 415, description = "No JSON by its header", body = Problem),
        (status = 422, description = "Fields are unknown", body = Problem)))]
pub(super) async fn put(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Json(attributes): Json<PersonAttributes>,
) -> Result<Json<Value>, Refusal> {
    let person = subject(&principal(&name)?);
    let attributes = door.catalog.put_person(&who, &person, &attributes).await?;
    Ok(Json(json!({"subject": person, "attributes": attributes})))
}

/// Forgets what is known of somebody. Who logs in at an issuer is locked out; tokens and grants are
/// revoked by themselves.
#[utoipa::path(delete, path = "/api/v1/people/{name}",
    params(("name" = String, Path, description = "`ann` of this lab, `bob@anl` of a peer, `login:…` of an issuer")),
    responses((status = 204, description = "Nothing is known of them any more"),
        (status = 400, description = "No name", body = Problem),
        (status = 403, description = "Not an administrator", body = Problem),
        (status = 404, description = "Nothing was known of them", body = Problem)))]
pub(super) async fn forget(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    let person = subject(&principal(&name)?);
    if door.catalog.remove_person(&who, &person).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(nobody(&name).into())
}

/// Makes a one-time token: whoever logs in and shows it within seven days becomes an administrator.
#[utoipa::path(post, path = "/api/v1/administrators/invitations",
    responses((status = 201, description = "`administrator_token`, told once"),
        (status = 403, description = "Not an administrator", body = Problem)))]
pub(super) async fn invite(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<Value>), Refusal> {
    let token = door.catalog.invite_administrator(&who).await?;
    Ok((StatusCode::CREATED, ONCE, Json(json!({"administrator_token": token}))))
}

fn nobody(name: &str) -> Failure {
    Failure::new(ErrorCode::NotFound, format!("nothing is known of {name}; see GET /api/v1/people"))
}
