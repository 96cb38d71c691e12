//! Receipts of streams.

use super::Door;
use super::auth::Caller;
use super::problem::{Problem, Refusal};
use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use tarn_schemas::DatasetRef;

/// Which receipts.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Wanted {
    affected_by: Option<String>,
    cursor: Option<String>,
}

/// Receipts of streams, signed by the lab: the caller's own, those of datasets that they keep or decide about, and for
/// administrators all. The oldest first, a hundred at once. `key` is the lab's public key (Ed25519); a signature is over
/// the JSON of the other fields, by the order of their names and without spaces.
#[utoipa::path(get, path = "/api/v1/streams/receipts",
    params(("affected_by" = Option<String>, Query, description = "name or name@version: only streams that it is in"),
        ("cursor" = Option<String>, Query, description = "`next` of the page before")),
    responses((status = 200, description = "`receipts`, `next` and `key`"),
        (status = 400, description = "No such parameter, or a dataset of another lab", body = Problem)))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
    Query(Wanted { affected_by, cursor }): Query<Wanted>,
) -> Result<Json<Value>, Refusal> {
    let affected: Option<DatasetRef> = affected_by.as_deref().map(str::parse).transpose()?;
    let (receipts, next) =
        door.catalog.receipts(&who, affected.as_ref(), cursor.as_deref()).await?;
    let key = door.catalog.receipt_key()?;
    Ok(Json(json!({"receipts": receipts, "next": next, "key": key})))
}
