//! `POST /api/v1/sql`

use super::Door;
use super::auth::Caller;
use super::problem::Refusal;
use crate::cli::SqlFormat;
use crate::derived::{Workshop, change};
use crate::failure::Failure;
use crate::output::BatchWriter;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tarn_query::{Answer, Bounds, Query, QueryError, Session, SessionOptions};
use tarn_schemas::{ErrorCode, PartialMode, Principal, SiteStatus};
use utoipa::ToSchema;
use uuid::Uuid;

/// Largest answer that may lack a lab: it is held back until it is known which labs answered.
const PARTIAL_BYTES: usize = 256 << 20;
/// The header that names a query.
const QUERY_HEADER: HeaderName = HeaderName::from_static("x-tarn-query-id");

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlRequest {
    /// One statement that reads, or `CREATE TABLE dataset.table AS SELECT …`, `DROP TABLE dataset.table`,
    /// `CREATE VIEW dataset.view WITH (security_invoker = …) AS SELECT …`, `DROP VIEW dataset.view`.
    query: String,
    /// `error` (default) or `allow`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    partial: PartialMode,
    /// An id for the query, so that it can be asked about and cancelled before its answer begins. Without
    /// one it gets a random one.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "uuid")]
    id: Option<Uuid>,
    /// Limits of this query, within those of the node.
    #[serde(default)]
    limits: SqlLimits,
}

impl SqlRequest {
    /// The statement.
    pub(super) fn text(&self) -> &str {
        &self.query
    }

    /// A session for the statement, and the query that it is.
    pub(super) async fn begin(
        &self,
        door: &Door,
        who: Principal,
    ) -> Result<(Session, Query), Refusal> {
        let bounds = self.limits.bounds()?;
        let options = SessionOptions { partial: self.partial, files: false, bounds };
        let session = door.engine.session(who, options).await?;
        let query = match self.id {
            Some(id) => session.begin_as(id).ok_or_else(|| {
                let problem = format!("{id} names another query of yours; choose a new id");
                Failure::new(ErrorCode::Conflict, problem)
            })?,
            None => session.begin(),
        };
        Ok((session, query))
    }
}

/// Limits of one query. What goes beyond them fails; no answer is cut short.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlLimits {
    /// Most rows of the answer.
    #[serde(default)]
    #[schema(minimum = 0)]
    rows: Option<u64>,
    /// Seconds that it may run.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 31_536_000.0)]
    seconds: Option<f64>,
}

impl SqlLimits {
    fn bounds(&self) -> Result<Bounds, Failure> {
        let wrong = || {
            let problem = "limits.seconds is a number from 0 to 31536000";
            Failure::new(ErrorCode::InvalidArgument, problem)
        };
        let within = |seconds: f64| (0.0..=31_536_000.0).contains(&seconds).then_some(seconds);
        let run_time = match self.seconds {
            Some(seconds) => Some(Duration::from_secs_f64(within(seconds).ok_or_else(wrong)?)),
            None => None,
        };
        Ok(Bounds { rows: self.rows, run_time })
    }
}

/// Runs a statement. `Accept` chooses Arrow IPC (`application/vnd.apache.arrow.stream`), CSV
/// (`text/csv`) or JSON. `sites` stand in the JSON; an answer with `partial = allow` carries them in the header
/// `x-tarn-sites` too, and has status 206 if a lab is missing. The header `x-tarn-query-id`, and `query` in the
/// JSON, name the query. `CREATE TABLE dataset.table AS SELECT …` makes a table of this lab, in a dataset that the
/// caller registered, and answers in JSON what was made from what; `DROP TABLE dataset.table` takes such a table away. `CREATE VIEW`
/// and `DROP VIEW` do so for views, which say with whose rights they read (`security_invoker`).
#[utoipa::path(post, path = "/api/v1/sql", request_body = SqlRequest,
    responses(
        (status = 200, description = "The answer"), (status = 206, description = "An answer that lacks a lab"),
        (status = 400, description = "Wrong SQL", body = super::problem::Problem),
        (status = 403, description = "Refused by policy", body = super::problem::Problem),
        (status = 404, description = "No such table", body = super::problem::Problem),
        (status = 409, description = "The id names another query of the caller's", body = super::problem::Problem),
        (status = 429, description = "A limit was reached, or too many queries wait", body = super::problem::Problem),
        (status = 499, description = "It was cancelled", body = super::problem::Problem),
        (status = 503, description = "A lab did not answer", body = super::problem::Problem),
        (status = 504, description = "It ran for too long", body = super::problem::Problem)))]
pub(crate) async fn run(
    State(door): State<Door>,
    Caller(who): Caller,
    headers: HeaderMap,
    Json(request): Json<SqlRequest>,
) -> Result<Response, Refusal> {
    let format = format(&headers)?;
    let (session, query) = request.begin(&door, who).await?;
    if let Some(wanted) = session.change(&request.query).await? {
        let Door { catalog, stores, store, .. } = &door;
        let workshop = Workshop { catalog, stores, store };
        let done = Box::pin(change(workshop, &session, &query, wanted)).await;
        let done = done.map(|done| Json(done).into_response()).map_err(Refusal::from);
        return Ok(named(&query, done));
    }
    Ok(named(&query, answer(&session, &query, &request.query, format).await))
}

/// Rows of one statement, as they come. Every lab has to answer.
pub(super) async fn rows(
    door: &Door,
    who: Principal,
    sql: &str,
    format: (SqlFormat, &'static str),
) -> Result<Response, Refusal> {
    let session = door.engine.session(who, SessionOptions::default()).await?;
    let query = session.begin();
    Ok(named(&query, answer(&session, &query, sql, format).await))
}

/// The answer with the name of its query.
fn named(query: &Query, answer: Result<Response, Refusal>) -> Response {
    let mut response = answer.into_response();
    if let Ok(id) = HeaderValue::from_str(&query.id().to_string()) {
        response.headers_mut().insert(QUERY_HEADER, id);
    }
    response
}

async fn answer(
    session: &Session,
    query: &Query,
    sql: &str,
    (format, media_type): (SqlFormat, &'static str),
) -> Result<Response, Refusal> {
    let answer = session.plan_as(query, sql, &[]).await?.start().await?;
    let chunks = Chunks::new(format, answer, query.id())?;
    match session.options().partial {
        PartialMode::Error => streamed(chunks, media_type).await,
        PartialMode::Allow => whole(chunks, media_type).await,
    }
}

async fn streamed(mut chunks: Chunks, media_type: &'static str) -> Result<Response, Refusal> {
    // A query that fails before its first row can still say so by its status.
    let first = chunks.next().await.transpose()?;
    let rest = futures::stream::unfold(chunks, |mut chunks| async move {
        chunks.next().await.map(|chunk| (chunk, chunks))
    });
    let body = Body::from_stream(futures::stream::iter(first.map(Ok)).chain(rest));
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

pub(super) fn format(headers: &HeaderMap) -> Result<(SqlFormat, &'static str), Failure> {
    const JSON: (SqlFormat, &str) = (SqlFormat::Json, "application/json");
    let accept =
        headers.get(header::ACCEPT).map_or("*/*", |value| value.to_str().unwrap_or_default());
    for wanted in accept.split(',') {
        match wanted.split(';').next().unwrap_or_default().trim() {
            "application/json" | "application/*" | "*/*" => return Ok(JSON),
            "text/csv" | "text/*" => return Ok((SqlFormat::Csv, "text/csv; charset=utf-8")),
            "application/vnd.apache.arrow.stream" => {
                return Ok((SqlFormat::Arrow, "application/vnd.apache.arrow.stream"));
            }
            _ => {}
        }
    }
    Err(Failure::new(
        ErrorCode::InvalidArgument,
        "Accept one of application/json, text/csv, application/vnd.apache.arrow.stream",
    ))
}

/// An answer that may lack a lab says so before its first byte.
async fn whole(mut chunks: Chunks, media_type: &'static str) -> Result<Response, Refusal> {
    let mut body = Vec::new();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > PARTIAL_BYTES {
            let problem = "answers with partial = allow are limited to 256 MiB over HTTP; add a LIMIT or use Flight";
            return Err(Failure::new(ErrorCode::ResourceExhausted, problem).into());
        }
    }
    let sites = chunks.sites.reports();
    let missing = sites.iter().any(|site| site.status != SiteStatus::Ok);
    let status = if missing { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let sites = serde_json::json!(sites).to_string();
    let headers = [
        (header::CONTENT_TYPE, media_type.to_owned()),
        (HeaderName::from_static("x-tarn-sites"), sites),
    ];
    Ok((status, headers, body).into_response())
}

/// The bytes of an answer, piece by piece.
struct Chunks {
    answer: Option<Answer>,
    sites: tarn_query::Sites,
    writer: Option<BatchWriter>,
    buffer: Buffer,
}

impl Chunks {
    fn new(format: SqlFormat, answer: Answer, query: Uuid) -> Result<Self, Failure> {
        let buffer = Buffer::default();
        let writer = BatchWriter::to(format, Box::new(buffer.clone()), "answer", &answer.schema)?
            .of_query(query);
        let sites = answer.sites.clone();
        Ok(Self { answer: Some(answer), sites, writer: Some(writer), buffer })
    }

    /// The next bytes; `None` at the end. After an error there is nothing more.
    async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        let answer = self.answer.as_mut()?;
        let step = match answer.stream.next().await {
            Some(Ok(batch)) => self.writer.as_mut()?.write(&batch),
            Some(Err(error)) => Err(QueryError::from(error).into()),
            None => {
                self.answer = None;
                self.writer.take()?.finish(&self.sites.reports()).map(|_| ())
            }
        };
        if step.is_err() {
            self.answer = None;
        }
        Some(step.map(|()| self.buffer.take()))
    }
}

/// Memory that a writer fills and the answer empties.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// What was written since it was asked before.
    pub(super) fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
