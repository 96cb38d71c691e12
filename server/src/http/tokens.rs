//! API tokens: `/api/v1/tokens`, for administrators.

use super::Door;
use super::auth::Caller;
use super::people::ONCE;
use super::problem::{Problem, Refusal};
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tarn_schemas::{ErrorCode, Scope};
use utoipa::ToSchema;

/// Days that a token is valid for where nothing is said; as on the command line.
const DAYS: u32 = 90;

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenToMake {
    /// Whose it is: the name of a person or program, 1 to 128 characters.
    name: String,
    /// The widest thing that it may do: `read`, `write` or `admin`; `read` without.
    #[serde(default = "read")]
    #[schema(value_type = Option<String>)]
    scope: Scope,
    /// Days until it expires, 1 to 3660; 90 without.
    #[serde(default = "days")]
    #[schema(value_type = Option<u32>)]
    days: u32,
}

fn read() -> Scope {
    Scope::Read
}

fn days() -> u32 {
    DAYS
}

/// All tokens, newest first, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens",
    responses((status = 200, description = "`tokens`"),
        (status = 403, description = "Not an administrator", body = Problem)))]
pub(super) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"tokens": door.catalog.tokens(&who).await?})))
}

/// Makes a token.
#[utoipa::path(post, path = "/api/v1/tokens", request_body = TokenToMake,
    responses((status = 201, description = "`name`, `token`, `days`; the token is told once"),
        (status = 400, description = "No name, or no time", body = Problem),
        (status = 403, description = "Not an administrator", body = Problem),
        (status = 415, description = "No JSON by its header", body = Problem),
        (status = 422, description = "Fields are missing or unknown", body = Problem)))]
pub(super) async fn make(
    State(door): State<Door>,
    Caller(who): Caller,
    Json(TokenToMake { name, scope, days }): Json<TokenToMake>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<Value>), Refusal> {
    let token = door.catalog.create_token(&who, &name, scope, days).await?;
    Ok((StatusCode::CREATED, ONCE, Json(json!({"name": name, "token": token, "days": days}))))
}

/// Revokes the token of this id, or all of this name.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}",
    params(("token" = String, Path, description = "Id or name")),
    responses((status = 200, description = "`revoked`: how many"),
        (status = 403, description = "Not an administrator", body = Problem),
        (status = 404, description = "No valid token of that id or name", body = Problem)))]
pub(super) async fn revoke(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(token): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let revoked = door.catalog.revoke_token(&who, &token).await?;
    if revoked == 0 {
        let problem = format!("no valid token {token:?}; see GET /api/v1/tokens");
        return Err(Failure::new(ErrorCode::NotFound, problem).into());
    }
    Ok(Json(json!({"revoked": revoked})))
}
