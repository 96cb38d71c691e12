//! Liveness, readiness and metrics.

use super::Door;
use super::problem::Refusal;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::sync::atomic::Ordering;
use tarn_schemas::Principal;

/// The process runs.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "The process runs")))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// The catalog answers.
#[utoipa::path(get, path = "/readyz", responses((status = 200, description = "The catalog answers"), (status = 503, description = "It does not")))]
pub(crate) async fn ready(State(door): State<Door>) -> Result<&'static str, Refusal> {
    door.catalog.datasets(&Principal::Anonymous).await?;
    Ok("ready\n")
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(get, path = "/metrics", responses((status = 200, description = "Prometheus text format")))]
pub(crate) async fn metrics(State(door): State<Door>) -> Result<impl IntoResponse, Refusal> {
    let requests = door.requests.load(Ordering::Relaxed);
    let running = door.engine.active_queries();
    let text = format!(
        "# HELP tarn_http_requests_total Requests over HTTP since the start.\n\
         # TYPE tarn_http_requests_total counter\n\
         tarn_http_requests_total {requests}\n\
         # HELP tarn_queries_active Queries that wait, are planned or run now.\n\
         # TYPE tarn_queries_active gauge\n\
         tarn_queries_active {running}\n"
    );
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text))
}
