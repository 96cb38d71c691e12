//! Errors as `application/problem+json` (RFC 9457).

use crate::failure::Failure;
use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tarn_schemas::ErrorCode;
use utoipa::ToSchema;

/// An error as clients read it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Stable code, such as `not_found`.
    pub code: String,
    /// Short text for the code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
}

/// A failed request.
#[derive(Debug)]
pub(crate) struct Refusal(Failure);

impl<E> From<E> for Refusal
where
    Failure: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.0.code();
        let status =
            StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let detail = if code == ErrorCode::Internal {
            let id = uuid::Uuid::now_v7();
            tracing::error!(%id, error = %self.0, "internal error");
            format!("internal error {id}; the operator finds it in the log")
        } else {
            self.0.to_string()
        };
        let problem = Problem {
            code: code.as_str().to_owned(),
            title: code.as_str().replace('_', " "),
            status: status.as_u16(),
            detail,
        };
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/problem+json"),
        );
        if code == ErrorCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Any other path.
pub(crate) async fn no_route(uri: Uri) -> Refusal {
    Refusal(Failure::new(
        ErrorCode::NotFound,
        format!("no page {}; the API is described at /api/v1/openapi.json", uri.path()),
    ))
}
