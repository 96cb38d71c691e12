//! The caller's grants as GA4GH visas, and the keys that these are signed with.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

/// A signed visa for each grant of the caller, as `ga4gh_passport_v1`. They are good for an hour.
#[utoipa::path(get, path = "/api/v1/access/visas",
    responses((status = 200, description = "Visas (JWT), none without grants"), (status = 401, description = "Not logged in, or the token is not valid", body = Problem)))]
pub(crate) async fn mine(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<Value>, Refusal> {
    let visas = door.catalog.visas(&who, &door.base).await?;
    Ok(Json(json!({ "ga4gh_passport_v1": visas })))
}

/// The public keys of this node's visas.
#[utoipa::path(get, path = "/.well-known/jwks.json",
    responses((status = 200, description = "JSON Web Key Set (RFC 7517)")))]
pub(crate) async fn keys(State(door): State<Door>) -> Result<Json<Value>, Refusal> {
    Ok(Json(door.catalog.visa_keys()?))
}
