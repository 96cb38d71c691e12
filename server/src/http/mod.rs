//! The HTTP door: REST under `/api/v1`, health, metrics, dataset pages and ARKs.

mod access;
mod audit;
mod auth;
mod client;
mod data;
mod datasets;
mod dois;
mod drafts;
mod exports;
mod health;
mod idempotency;
mod keeping;
mod listen;
mod login;
mod oai;
mod openapi;
mod page;
mod people;
mod problem;
mod queries;
mod ranges;
mod receipts;
mod saved_queries;
mod search;
mod searches;
mod sql;
mod tokens;
mod tombstone;
mod visas;

use client::ClientAddress;
pub(crate) use listen::serve;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tarn_catalog::Catalog;
use tarn_connectors::registrar::Registrar;
use tarn_connectors::{Location, Stores};
use tarn_query::Engine;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// Largest request body.
const BODY_BYTES: usize = 1 << 20;
/// Records whose files are read at once, to check them.
const READINGS: usize = 32;

/// What handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    engine: Engine,
    catalog: Catalog,
    stores: Stores,
    /// Where the lab's tables are.
    store: Location,
    /// Address that others reach this node at.
    base: String,
    /// Who registers DOIs.
    registrar: Option<Arc<dyn Registrar>>,
    readings: Arc<Semaphore>,
    requests: Arc<AtomicU64>,
    logins: Arc<login::Logins>,
}

/// Addresses that others reach this node at.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) http: String,
    pub(crate) flight: String,
}

/// All routes. A login lasts for so many hours.
pub(crate) fn router(
    engine: Engine,
    catalog: Catalog,
    (stores, store): (Stores, Location),
    addresses: Addresses,
    session_hours: u32,
    registrar: Option<Arc<dyn Registrar>>,
) -> Router {
    let logins = login::Logins::new(&addresses, session_hours);
    let door = Door {
        engine,
        catalog,
        stores,
        store,
        base: addresses.http,
        logins: Arc::new(logins),
        registrar,
        readings: Arc::new(Semaphore::new(READINGS)),
        requests: Arc::default(),
    };
    Router::new()
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/sql", post(sql::run))
        .route("/api/v1/sql/estimate", post(queries::estimate))
        .route("/api/v1/sql/{id}/events", get(queries::events))
        .route("/api/v1/sql/{id}", get(queries::progress).delete(queries::cancel))
        .route("/api/v1/queries", get(saved_queries::list).post(saved_queries::save))
        .route("/api/v1/queries/{id}", get(saved_queries::one).delete(saved_queries::delete))
        .route("/api/v1/queries/{id}/run", post(saved_queries::run))
        .route("/api/v1/streams/receipts", get(receipts::list))
        .route("/api/v1/search", get(search::run))
        .route("/api/v1/searches", get(searches::list))
        .route(
            "/api/v1/searches/{name}",
            get(searches::one).put(searches::save).delete(searches::forget),
        )
        .route("/api/v1/searches/{name}/run", post(searches::run))
        .route("/api/v1/datasets", get(datasets::list))
        .route("/api/v1/datasets/{lab}/{name}", get(datasets::one))
        .route("/api/v1/datasets/{lab}/{name}/doi", post(dois::request))
        .route("/api/v1/dois", get(dois::list))
        .route("/api/v1/datasets/{lab}/{name}/versions", get(datasets::versions))
        .route("/api/v1/datasets/{lab}/{name}/export/{format}", get(exports::one))
        .route("/api/v1/datasets/{lab}/{name}/tables/{table}", get(data::table))
        .route("/api/v1/datasets/{lab}/{name}/files/{place}/{file}", get(data::file))
        .route("/api/v1/profiles", get(exports::profiles))
        .route("/api/v1/profiles/{name}", get(exports::profile))
        .route("/api/v1/datasets/{lab}/{name}/access", get(access::explain))
        .route("/api/v1/datasets/{lab}/{name}/retract", post(access::retract))
        .route("/api/v1/access/requests", get(access::list).post(access::ask))
        .route("/api/v1/access/requests/{id}/approve", post(access::approve))
        .route("/api/v1/access/requests/{id}/deny", post(access::deny))
        .route("/api/v1/access/grants/{id}/revoke", post(access::revoke))
        .route("/api/v1/access/visas", get(visas::mine))
        .route("/.well-known/jwks.json", get(visas::keys))
        .route("/login", get(login::begin))
        .route("/login/callback", get(login::finish))
        .route("/logout", post(login::end))
        .route("/api/v1/login", get(login::doors).post(login::terminal))
        .route("/api/v1/me", get(login::me))
        .route("/api/v1/administrators", post(login::administrator))
        .route("/api/v1/administrators/invitations", post(people::invite))
        .route("/api/v1/people", get(people::list))
        .route("/api/v1/people/{name}", get(people::one).put(people::put).delete(people::forget))
        .route("/api/v1/tokens", get(tokens::list).post(tokens::make))
        .route("/api/v1/tokens/{token}", delete(tokens::revoke))
        .route("/api/v1/drafts", get(drafts::list))
        .route("/api/v1/drafts/{name}", get(drafts::one).put(drafts::save).delete(drafts::delete))
        .route("/api/v1/drafts/{name}/check", post(drafts::check))
        .route("/api/v1/drafts/{name}/submit", post(drafts::submit))
        .route("/api/v1/drafts/{name}/approve", post(drafts::approve))
        .route("/api/v1/drafts/{name}/return", post(drafts::give_back))
        .route("/api/v1/audit", get(audit::list))
        .route("/api/v1/audit/head", get(audit::head))
        .route("/api/v1/audit/inclusion", get(audit::inclusion))
        .route("/api/v1/audit/consistency", get(audit::consistency))
        .route("/datasets/{lab}/{name}", get(page::dataset))
        .route("/datasets/{lab}/{name}/linkset", get(exports::linkset))
        .route("/oai", get(oai::answer).post(oai::answer))
        .route("/ark:/{naan}/{name}", get(page::resolve))
        .route_layer(middleware::from_fn_with_state(door.clone(), idempotency::once))
        .fallback(problem::no_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(listen::patient))
        .layer(middleware::from_fn(keeping::mind))
        .layer(middleware::from_fn_with_state(door.clone(), about_request))
        .with_state(door)
}

/// Gives each request an id, in the answer and the log.
async fn about_request(
    axum::extract::State(door): axum::extract::State<Door>,
    request: Request,
    next: Next,
) -> Response {
    let id = Uuid::now_v7().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    door.requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    // PostgreSQL has no text with a NUL in it, and nothing here has a name with one.
    let nul = request.uri().path_and_query().is_some_and(|text| text.as_str().contains("%00"));
    let answer = if nul { problem::no_nul().into_response() } else { next.run(request).await };
    let mut response = problem::as_problem(answer).await;
    tracing::debug!(%id, %method, %path, status = response.status().as_u16(), "request");
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    response
}
