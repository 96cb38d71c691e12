//! Tarn's own actions, JSON in and JSON out.

use super::status::{hidden, refuse, to_status};
use crate::engine::Engine;
use crate::error::QueryError;
use crate::federation;
use serde::{Deserialize, Serialize};
use tarn_catalog::{Catalog, ColumnInfo, SearchAnswer, SearchRequest, TableStorage};
use tarn_schemas::code::ErrorCode;
use tarn_schemas::{DatasetRef, LabName, Layout, Principal, SiteReport};
use tonic::Status;

/// Searches the catalog: body a `SearchRequest`, answer a
/// `SearchAnswer` with `sites: […]`.
pub(crate) const SEARCH: &str = "tarn.search";
/// Describes a dataset and its tables: body `{"dataset": "lab.name@version"}`.
pub(crate) const DATASET: &str = "tarn.dataset";
/// The receipt of a stream that was read, as far as it was: body the ticket.
pub(crate) const RECEIPT: &str = "tarn.stream.receipt";

/// Type and description of every action of Tarn, for `ListActions`.
pub(crate) const ALL: [(&str, &str); 3] = [
    (SEARCH, "Search the catalog. JSON: {text, filters: [[key, value]], facets: [key], limit}"),
    (DATASET, "Describe a dataset and its tables. JSON: {dataset: \"lab.name\"}"),
    (RECEIPT, "Receipt of a stream that was read. Body: the ticket"),
];

fn catalog(engine: &Engine) -> Result<&Catalog, Status> {
    engine.catalog().ok_or_else(|| refuse(ErrorCode::NotFound, "this node has no catalog"))
}

fn parse<'a, T: Deserialize<'a>>(action: &str, body: &'a [u8]) -> Result<T, Status> {
    serde_json::from_slice(body)
        .map_err(|error| refuse(ErrorCode::InvalidArgument, format!("{action}: {error}")))
}

/// An answer as JSON text.
pub(crate) fn json(answer: &impl Serialize) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(answer)
        .map_err(|error| hidden(ErrorCode::Internal, "the answer cannot be written", &error))
}

#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    answer: SearchAnswer,
    sites: Vec<SiteReport>,
}

/// Searches what the caller may know of, here and at the peers.
pub(crate) async fn search(
    engine: &Engine,
    who: &Principal,
    body: &[u8],
) -> Result<Vec<u8>, Status> {
    let request: SearchRequest = parse(SEARCH, body)?;
    let (answer, sites) =
        federation::search(engine, who, &request).await.map_err(|error| to_status(&error))?;
    json(&Found { answer, sites })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatasetBody {
    dataset: String,
}

#[derive(Serialize)]
struct DatasetAnswer {
    lab: LabName,
    name: String,
    version: u32,
    title: String,
    description: String,
    ark: String,
    tier: String,
    tables: Vec<TableAnswer>,
}

#[derive(Serialize)]
struct TableAnswer {
    name: String,
    /// `delta`, `cells` or `tensors` (the last two for files in place).
    layout: &'static str,
    rows: Option<u64>,
    columns: Vec<ColumnInfo>,
}

/// A dataset of this node with its tables.
pub(crate) async fn dataset(
    engine: &Engine,
    who: &Principal,
    body: &[u8],
) -> Result<Vec<u8>, Status> {
    let body: DatasetBody = parse(DATASET, body)?;
    let name: DatasetRef =
        body.dataset.parse().map_err(|error| refuse(ErrorCode::InvalidArgument, error))?;
    let found = catalog(engine)?.dataset(who, &name).await;
    let found = found.map_err(|error| to_status(&QueryError::Catalog(error)))?;
    let tables = found.tables.into_iter().map(|table| TableAnswer {
        name: table.name.to_string(),
        layout: match table.storage {
            TableStorage::Delta { .. } => "delta",
            TableStorage::InPlace { options, .. } => match options.layout {
                Layout::Cells => "cells",
                Layout::Tensors => "tensors",
            },
        },
        rows: table.rows,
        columns: table.columns,
    });
    json(&DatasetAnswer {
        lab: found.lab,
        name: found.name.to_string(),
        version: found.version,
        title: found.record.title,
        description: found.record.description,
        ark: found.ark,
        tier: found.tier.to_string(),
        tables: tables.collect(),
    })
}
