//! Errors as `application/problem+json` (RFC 9457).

use crate::failure::Failure;
use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tarn_catalog::parse_ark;
use tarn_schemas::ErrorCode;
use utoipa::ToSchema;

/// Media type of a problem.
pub(super) const PROBLEM: &str = "application/problem+json";

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

/// Marks an answer to a request that changed nothing: a store or a lab that it needed was away. Of a
/// database that was away nobody knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NothingDone;

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
        let text = self.0.to_string();
        // Where the catalog lies is for the operator.
        let inside = code == ErrorCode::Internal || text.starts_with("catalog database ");
        let detail = if inside {
            let id = uuid::Uuid::now_v7();
            tracing::error!(%id, error = %self.0, "internal error");
            format!("internal error {id}; the operator finds it in the log")
        } else {
            text
        };
        let problem = Problem {
            code: code.as_str().to_owned(),
            title: code.as_str().replace('_', " "),
            status: status.as_u16(),
            detail,
        };
        let mut response = (status, Json(problem)).into_response();
        let ours = ["catalog database ", "search index "];
        let text = self.0.to_string();
        if code == ErrorCode::Unavailable && !ours.iter().any(|start| text.starts_with(start)) {
            response.extensions_mut().insert(NothingDone);
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROBLEM));
        if code == ErrorCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A refusal with another status than its code has, where HTTP has one of its own for it.
pub(super) fn as_status(status: StatusCode, error: impl Into<Failure>) -> Response {
    let failure = error.into();
    let problem = Problem {
        code: failure.code().as_str().to_owned(),
        title: failure.code().as_str().replace('_', " "),
        status: status.as_u16(),
        detail: failure.to_string(),
    };
    (status, [(header::CONTENT_TYPE, PROBLEM)], Json(problem)).into_response()
}

/// Longest text of a refusal that is not ours.
const LONGEST: usize = 4096;

/// The same answer, with refusals of the framework itself (method, media type, JSON, size) as
/// problems too. Their status says more than our codes can, and stays.
pub(crate) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_problem = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes() == PROBLEM.as_bytes());
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, LONGEST).await.unwrap_or_default();
    let code = match status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::ResourceExhausted,
        status if status.is_client_error() => ErrorCode::InvalidArgument,
        _ => ErrorCode::Internal,
    };
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let allowed = parts.headers.get(header::ALLOW).and_then(|value| value.to_str().ok());
            format!("this path takes {}", allowed.unwrap_or("another method"))
        }
        StatusCode::PAYLOAD_TOO_LARGE => "the body is longer than 1 MiB".to_owned(),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            "send JSON, with the header Content-Type: application/json".to_owned()
        }
        _ => String::from_utf8_lossy(&text).into_owned(),
    };
    let problem = Problem {
        code: code.as_str().to_owned(),
        title: code.as_str().replace('_', " "),
        status: status.as_u16(),
        detail,
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    let mut answer = (status, parts.headers, Json(problem)).into_response();
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(PROBLEM));
    answer
}

/// An address with a NUL in it.
pub(crate) fn no_nul() -> Refusal {
    let problem = "no name, identifier or text has the character U+0000 in it";
    Refusal(Failure::new(ErrorCode::InvalidArgument, problem))
}

/// Any other path. An ARK that is written otherwise than here (`/ark:99999/…`, `/ARK:/…`, with a slash at its
/// end) leads to the page that resolves it.
pub(crate) async fn no_route(uri: Uri) -> Response {
    let path = uri.path().replace("%3A", ":").replace("%3a", ":");
    if let Some(ark) = path.get(1..).and_then(parse_ark).map(|ark| format!("/{ark}"))
        && ark != uri.path()
    {
        return (StatusCode::FOUND, [(header::LOCATION, ark)]).into_response();
    }
    let problem = format!("no page {}; the API is described at /api/v1/openapi.json", uri.path());
    Refusal(Failure::new(ErrorCode::NotFound, problem)).into_response()
}
