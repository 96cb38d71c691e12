//! Who the caller is, and how they become an administrator.

use crate::http::Door;
use crate::http::auth::Caller;
use crate::http::problem::{Problem, Refusal};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tarn_catalog::About;
use utoipa::ToSchema;

/// A token that works once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct OneTime {
    /// What `tarn init` or `tarn user invite` printed.
    token: String,
}

/// Who the caller is: subject, groups, assurance, grants, and the tiers that they may read.
#[utoipa::path(get, path = "/api/v1/me",
    responses((status = 200, description = "The caller; `signed_in` is false for nobody in particular"), (status = 401, description = "The token is not valid", body = Problem)))]
pub(in crate::http) async fn me(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<About>, Refusal> {
    Ok(Json(door.catalog.about(&who).await?))
}

/// Makes the caller an administrator, by a token that works once.
#[utoipa::path(post, path = "/api/v1/administrators", request_body = OneTime,
    responses((status = 204, description = "The caller is an administrator"), (status = 400, description = "No JSON", body = Problem),
        (status = 401, description = "The caller's own token is not valid", body = Problem), (status = 403, description = "The one-time token was used, has expired or is unknown; the caller did not log in; or by a cookie, from a page of another site", body = Problem),
        (status = 415, description = "No JSON by its header", body = Problem), (status = 422, description = "Fields are missing or unknown", body = Problem)))]
pub(in crate::http) async fn administrator(
    State(door): State<Door>,
    Caller(who): Caller,
    Json(OneTime { token }): Json<OneTime>,
) -> Result<StatusCode, Refusal> {
    door.catalog.become_administrator(&who, &token).await?;
    Ok(StatusCode::NO_CONTENT)
}
