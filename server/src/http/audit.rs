//! The audit log: entries, heads and proofs, for administrators.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use crate::commands::moment;
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::json;
use tarn_catalog::audit::AuditFilter;
use tarn_schemas::{ErrorCode, Principal, Scope};

/// Which entries.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    person: Option<String>,
    dataset: Option<String>,
    since: Option<String>,
    until: Option<String>,
    from: u64,
    limit: Option<u32>,
}

/// An entry in a log of a size.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inclusion {
    sequence: u64,
    size: u64,
}

/// Two sizes of the log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Consistency {
    first: u64,
    second: u64,
}

/// Entries of the audit log, the oldest first, at most 1,000. The next page begins at the last
/// `sequence` + 1.
#[utoipa::path(get, path = "/api/v1/audit",
    params(("person" = Option<String>, Query, description = "owner, person:NAME, visitor:LAB:NAME or anonymous"),
        ("dataset" = Option<String>, Query, description = "name or lab.name"),
        ("since" = Option<String>, Query, description = "At or after this day or moment (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Before this day or moment"),
        ("from" = Option<u64>, Query, description = "From this entry on"),
        ("limit" = Option<u32>, Query, description = "Most entries, 1 to 1000")),
    responses((status = 200, description = "Entries"), (status = 400, description = "No such parameter or value", body = Problem),
        (status = 403, description = "Not an administrator", body = Problem)))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
    Query(wanted): Query<Wanted>,
) -> Result<Json<serde_json::Value>, Refusal> {
    let filter = AuditFilter {
        person: wanted.person,
        dataset: wanted.dataset.as_deref().map(str::parse).transpose()?,
        since: wanted.since.as_deref().map(moment).transpose()?,
        until: wanted.until.as_deref().map(moment).transpose()?,
        from: wanted.from,
        limit: wanted.limit,
    };
    Ok(Json(json!(door.catalog.audit(&who, &filter).await?)))
}

/// The state of the log now, signed by this node (Ed25519 over the canonical JSON of the other fields).
#[utoipa::path(get, path = "/api/v1/audit/head",
    responses((status = 200, description = "The signed head"), (status = 403, description = "Not an administrator", body = Problem)))]
pub(crate) async fn head(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<serde_json::Value>, Refusal> {
    administrator(&who)?;
    Ok(Json(json!(door.catalog.audit_head().await?)))
}

/// Hashes that prove that an entry is in the log of a size (RFC 9162, 2.1.3).
#[utoipa::path(get, path = "/api/v1/audit/inclusion",
    params(("sequence" = u64, Query, description = "Number of the entry"), ("size" = u64, Query, description = "Number of entries in the log")),
    responses((status = 200, description = "Hashes, the nearest first"), (status = 400, description = "Not in the log", body = Problem),
        (status = 403, description = "Not an administrator", body = Problem)))]
pub(crate) async fn inclusion(
    State(door): State<Door>,
    Caller(who): Caller,
    Query(Inclusion { sequence, size }): Query<Inclusion>,
) -> Result<Json<serde_json::Value>, Refusal> {
    administrator(&who)?;
    let hashes = door.catalog.audit_inclusion(sequence, size).await?;
    Ok(Json(json!({"sequence": sequence, "size": size, "hashes": hashes})))
}

/// Hashes that prove that a log is the beginning of a longer one (RFC 9162, 2.1.4).
#[utoipa::path(get, path = "/api/v1/audit/consistency",
    params(("first" = u64, Query, description = "Number of entries in the shorter log"), ("second" = u64, Query, description = "Number of entries in the longer")),
    responses((status = 200, description = "Hashes"), (status = 400, description = "Not in the log", body = Problem),
        (status = 403, description = "Not an administrator", body = Problem)))]
pub(crate) async fn consistency(
    State(door): State<Door>,
    Caller(who): Caller,
    Query(Consistency { first, second }): Query<Consistency>,
) -> Result<Json<serde_json::Value>, Refusal> {
    administrator(&who)?;
    let hashes = door.catalog.audit_consistency(first, second).await?;
    Ok(Json(json!({"first": first, "second": second, "hashes": hashes})))
}

/// How long the log is says how busy the node is, with data too that others may not know of.
fn administrator(who: &Principal) -> Result<(), Failure> {
    if who.has_scope(Scope::Admin) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::PermissionDenied,
        "heads and proofs are for administrators: send a token with scope admin",
    ))
}
