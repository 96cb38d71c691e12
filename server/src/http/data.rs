//! Data of a dataset: rows of its tables, bytes of its files. Each asks the policy of the data.

use super::Door;
use super::auth::Caller;
use super::datasets::find;
use super::problem::Refusal;
use super::ranges::{self, Part};
use super::sql::rows;
use super::tombstone::{self, Gone};
use crate::cli::SqlFormat;
use crate::failure::Failure;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::ops::Range;
use tarn_connectors::Location;
use tarn_schemas::ErrorCode;

/// All rows of a table: `TABLE.csv`, `TABLE.json` or `TABLE.arrow` (an IPC stream). Of CSV, columns
/// that hold lists or structures are left out.
#[utoipa::path(get, path = "/api/v1/datasets/{lab}/{name}/tables/{table}",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version"), ("table" = String, Path, description = "Name of the table with .csv, .json or .arrow")),
    responses((status = 200, description = "The rows"),
        (status = 403, description = "Refused by policy", body = super::problem::Problem),
        (status = 410, description = "Withdrawn: its tombstone", body = Gone),
        (status = 404, description = "No such dataset or table", body = super::problem::Problem)))]
pub(crate) async fn table(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name, table)): Path<(String, String, String)>,
) -> Result<Response, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    if let Some(gone) = tombstone::of(&dataset) {
        // That it was asked for is in the audit log, as every decision about data.
        door.catalog.admit(&who, &dataset, tarn_catalog::Door::Sql).await?;
        return Ok(gone);
    }
    let (wanted, format) = match table.rsplit_once('.') {
        Some((table, "csv")) => (table, (SqlFormat::Csv, "text/csv; charset=utf-8")),
        Some((table, "json")) => (table, (SqlFormat::Json, "application/json")),
        Some((table, "arrow")) => {
            (table, (SqlFormat::Arrow, "application/vnd.apache.arrow.stream"))
        }
        _ => {
            let problem = format!("no {table:?}: write TABLE.csv, TABLE.json or TABLE.arrow");
            return Err(Failure::new(ErrorCode::NotFound, problem).into());
        }
    };
    let Some(entry) = dataset.tables.iter().find(|entry| entry.name.as_str() == wanted) else {
        let problem = format!("dataset {lab}.{name} has no table {wanted:?}");
        return Err(Failure::new(ErrorCode::NotFound, problem).into());
    };
    let nested = |kind: &str| {
        ["List", "LargeList", "FixedSizeList", "Struct", "Map", "Union"]
            .iter()
            .any(|nested| kind.starts_with(nested))
    };
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns: Vec<String> = entry
        .columns
        .iter()
        .filter(|column| !(format.0 == SqlFormat::Csv && nested(&column.data_type)))
        .map(|column| quoted(&column.name))
        .collect();
    let columns = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
    let at = format!("{}@{}", dataset.name, dataset.version);
    let from = [quoted(&lab), quoted(&at), quoted(wanted)].join(".");
    rows(&door, who, &format!("SELECT {columns} FROM {from}"), format).await
}

/// The bytes of a file of the record, by its place in it, or one range of them. Its entity tag is the
/// SHA-256 of the whole file.
#[utoipa::path(get, path = "/api/v1/datasets/{lab}/{name}/files/{place}/{file}",
    params(("lab" = String, Path, description = "Lab"), ("name" = String, Path, description = "name or name@version"), ("place" = usize, Path, description = "Place in the record, from 0"), ("file" = String, Path, description = "Name of the file; not looked at"),
        ("Range" = Option<String>, Header, description = "One range, such as bytes=0-1023; of several the whole file comes"),
        ("If-Range" = Option<String>, Header, description = "Entity tag that the range is of; the whole file comes if it is another by now"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the caller has")),
    responses((status = 200, description = "The bytes"), (status = 206, description = "The bytes of the range"),
        (status = 304, description = "The caller has it"),
        (status = 403, description = "Refused by policy", body = super::problem::Problem),
        (status = 410, description = "Withdrawn: its tombstone", body = Gone),
        (status = 404, description = "No such dataset or file", body = super::problem::Problem),
        (status = 409, description = "The file has changed", body = super::problem::Problem),
        (status = 416, description = "The range begins behind the end", body = super::problem::Problem)))]
pub(crate) async fn file(
    State(door): State<Door>,
    Caller(who): Caller,
    Path((lab, name, place, _)): Path<(String, String, usize, String)>,
    asked: HeaderMap,
) -> Result<Response, Refusal> {
    let dataset = find(&door, &who, &lab, &name).await?;
    // Whoever has the bytes already, and wants to know whether they are still these, is asked too.
    let decision = door.catalog.admit(&who, &dataset, tarn_catalog::Door::File).await?;
    if let Some(gone) = tombstone::of(&dataset) {
        return Ok(gone);
    }
    if let Some(reason) = decision.refusal_at(tarn_catalog::Door::File) {
        return Err(Failure::new(ErrorCode::PermissionDenied, reason).into());
    }
    let missing =
        || Failure::new(ErrorCode::NotFound, format!("dataset {lab}.{name} has no file {place}"));
    let file = dataset.files.get(place).ok_or_else(missing)?;
    let tag = format!("\"{}\"", file.sha256);
    let part = ranges::part(&asked, &tag, file.bytes);
    if part == Part::Known || part == Part::None {
        return Ok(without_bytes(&part, &tag, file.bytes));
    }
    let range = if let Part::Range(range) = &part { Some(range.clone()) } else { None };
    // Where files lie is for those who may write; a refusal does not say it.
    let bytes = match Location::parse(&file.location) {
        Ok(location) => door.stores.stream(&location, file.bytes, range.clone()).await,
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| {
        let failure = Failure::from(error);
        tracing::warn!(%lab, %name, place, error = %failure, "a file cannot be read");
        // Other bytes than were registered are a conflict, and no fault of this node.
        let code = match failure.code() {
            ErrorCode::DataLoss => ErrorCode::Conflict,
            code => code,
        };
        Failure::new(
            code,
            format!(
                "file {place} of {lab}.{name} cannot be read, or is not the one that was registered"
            ),
        )
    })?;
    let mut response = Body::from_stream(bytes).into_response();
    let mut length = file.bytes;
    if let Some(Range { start, end }) = range {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        length = end.saturating_sub(start);
        let last = end.saturating_sub(1);
        put(&mut response, header::CONTENT_RANGE, &format!("bytes {start}-{last}/{}", file.bytes));
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A file of others is never shown as a page of this node.
    headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    put(&mut response, header::CONTENT_TYPE, &file.media_type);
    put(&mut response, header::ETAG, &tag);
    Ok(response)
}

/// The answer to who has the file already, or asked for what is not in it.
fn without_bytes(part: &Part, tag: &str, bytes: u64) -> Response {
    if *part == Part::Known {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        put(&mut response, header::ETAG, tag);
        return response;
    }
    let problem = format!("the file has {bytes} bytes, and the range begins behind them");
    let mut response = (StatusCode::RANGE_NOT_SATISFIABLE, problem).into_response();
    put(&mut response, header::CONTENT_RANGE, &format!("bytes */{bytes}"));
    response
}

/// Adds a header, unless its value cannot stand in one.
fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
