//! Records on their way: `/api/v1/drafts`.

use super::Door;
use super::auth::Caller;
use super::problem::{self, Problem, Refusal};
use crate::commands::facts_of;
use crate::failure::Failure;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tarn_catalog::{CatalogError, Draft, NOT_OFFERED, Registered, Submission};
use tarn_connectors::{Location, Stores};
use tarn_schemas::facts::FileFacts;
use tarn_schemas::profile::{Document, Violation, read_document, salvage};
use tarn_schemas::{DatasetName, ErrorCode, Principal, Record};
use utoipa::ToSchema;

/// Which revision was looked at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DraftApproval)]
pub(crate) struct Approval {
    revision: u64,
}

/// Why it is given back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    reason: String,
}

/// Whose draft is meant, where several people have one of a dataset.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    author: Option<String>,
}

/// What a draft was edited from.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edited {
    from: Option<u32>,
}

/// Drafts of the caller, and submitted records that wait for them.
#[utoipa::path(get, path = "/api/v1/drafts",
    responses((status = 200, description = "Drafts by name")))]
pub(crate) async fn list(
    State(door): State<Door>,
    Caller(who): Caller,
) -> Result<Json<Value>, Refusal> {
    let drafts = door.catalog.drafts(&who).await?;
    door.catalog.note_drafts(&who, &drafts).await?;
    Ok(Json(json!({"drafts": drafts})))
}

/// One draft. Its revision is the entity tag.
#[utoipa::path(get, path = "/api/v1/drafts/{name}",
    params(("name" = String, Path, description = "Name of the dataset"),
        ("author" = Option<String>, Query, description = "Whose, as `author` of the draft says it, where several people have one")),
    responses((status = 200, description = "The draft, with `notices` where whoever agrees with it should know more"), (status = 400, description = "No name", body = Problem),
        (status = 404, description = "No such draft", body = Problem),
        (status = 409, description = "Several people's, and no `author`", body = Problem)))]
pub(crate) async fn one(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(Whose { author }): Query<Whose>,
) -> Result<Response, Refusal> {
    let draft = door.catalog.draft_of(&who, &DatasetName::new(&name)?, author.as_deref()).await?;
    door.catalog.note_drafts(&who, std::slice::from_ref(&draft)).await?;
    let notices = door.catalog.draft_notices(&draft).await?;
    Ok(shown(StatusCode::OK, &draft, &notices))
}

/// Keeps a record as a draft; it may be incomplete. With `If-Match` it replaces the revision that was
/// edited and no other; `If-None-Match: *` keeps a new one only. With `from`, or the entity tag of the dataset in
/// `If-Match`, it was edited from that version of the dataset, which has to be the newest. With neither, the first
/// save counts as edited from the version that is the newest then: a version that came since the author read theirs
/// is not noticed.
#[utoipa::path(put, path = "/api/v1/drafts/{name}", request_body(content = HashMap<String, Value>, description = "A record, by the profile at /api/v1/profiles/lab-core"),
    params(("name" = String, Path, description = "Name of the dataset"),
        ("from" = Option<u32>, Query, description = "Version of the dataset that the record was edited from; 0 for a new dataset"),
        ("If-Match" = Option<String>, Header, description = "Revision of the draft that was edited, such as \"3\", or version of the dataset, such as \"v2\"")),
    responses((status = 200, description = "The draft"), (status = 400, description = "No record", body = Problem),
        (status = 403, description = "No token with scope write", body = Problem),
        (status = 409, description = "Changed meanwhile, a newer version than `from`, or a new name that another person drafts under", body = Problem),
        (status = 412, description = "The dataset is at another version than `If-Match` names, or there is no draft and it is `*`", body = Problem),
        (status = 422, description = "Not in the shape of a record, with every `violations`", body = Problem)))]
pub(crate) async fn save(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(Edited { from }): Query<Edited>,
    headers: HeaderMap,
    Json(document): Json<Document>,
) -> Result<Response, Refusal> {
    let name = DatasetName::new(&name)?;
    let record: Record = match read_document(&document) {
        Ok(record) => record,
        Err(mut violations) => {
            if let Some(rest) = salvage(&document, &violations) {
                violations.extend(rest.others(rules(&door, &who, &rest.record).await));
            }
            return Ok(invalid(&name, &violations));
        }
    };
    if record.name != name {
        let problem = format!("the record has the name {}, the address {name}", record.name);
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    let (revision, version) = match edited(&headers)? {
        Some(Seen::Any) => match door.catalog.draft(&who, &name).await {
            Ok(draft) => (Some(draft.revision), None),
            Err(error @ CatalogError::NotFound { .. }) => {
                return Ok(problem::as_status(StatusCode::PRECONDITION_FAILED, error));
            }
            Err(error) => return Err(error.into()),
        },
        Some(Seen::Version(version)) => (None, Some(version)),
        Some(Seen::Revision(revision)) => (Some(revision), None),
        None => (None, None),
    };
    if let (Some(from), Some(version)) = (from, version)
        && from != version
    {
        let problem =
            format!("from={from} and If-Match \"v{version}\" are two versions: leave one out");
        return Err(Failure::new(ErrorCode::InvalidArgument, problem).into());
    }
    match door.catalog.save_draft_from(&who, record, revision, version.or(from)).await {
        Ok(draft) => Ok(shown(StatusCode::OK, &draft, &[])),
        Err(error @ CatalogError::Conflict(_)) if version.is_some() => {
            Ok(problem::as_status(StatusCode::PRECONDITION_FAILED, error))
        }
        Err(error) => Err(error.into()),
    }
}

/// Throws a draft away.
#[utoipa::path(delete, path = "/api/v1/drafts/{name}",
    params(("name" = String, Path, description = "Name of the dataset"),
        ("If-Match" = Option<String>, Header, description = "Revision of the draft, such as \"3\""),
        ("author" = Option<String>, Query, description = "Whose, as `author` of the draft says it, where several people have one")),
    responses((status = 204, description = "Gone"), (status = 400, description = "No name", body = Problem),
        (status = 404, description = "No such draft of the caller's", body = Problem),
        (status = 409, description = "Several people's, and no `author`; or at another revision by now", body = Problem)))]
pub(crate) async fn delete(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(Whose { author }): Query<Whose>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let name = DatasetName::new(&name)?;
    let revision = revision(&headers)?;
    door.catalog.delete_draft_of(&who, &name, author.as_deref(), revision).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What submitting a draft would say: its files are read and every rule is checked, and nothing changes.
#[utoipa::path(post, path = "/api/v1/drafts/{name}/check",
    params(("name" = String, Path, description = "Name of the dataset"),
        ("author" = Option<String>, Query, description = "Whose, as `author` of the draft says it, where several people have one")),
    responses((status = 200, description = "`violations`, `fair_score`, `missing`, `truth`, `notices`, and the `record` with what the files and the lab know"),
        (status = 400, description = "A file that is not in a store of this node", body = Problem),
        (status = 403, description = "Not the author", body = Problem),
        (status = 404, description = "No such draft or file", body = Problem),
        (status = 409, description = "Several people's, and no `author`", body = Problem)))]
pub(crate) async fn check(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(Whose { author }): Query<Whose>,
) -> Result<Json<Value>, Refusal> {
    let draft = door.catalog.draft_of(&who, &DatasetName::new(&name)?, author.as_deref()).await?;
    door.catalog.note_drafts(&who, std::slice::from_ref(&draft)).await?;
    let files = files(&door, &draft).await?;
    let mut assessment = door.catalog.check_draft(&who, &draft, &files.facts).await?;
    assessment.notices.extend(files.notices());
    Ok(Json(json!(assessment)))
}

/// Submits a draft: its files are read and every rule is checked. What is for everyone is registered
/// at once; anything else waits for a second person.
#[utoipa::path(post, path = "/api/v1/drafts/{name}/submit",
    params(("name" = String, Path, description = "Name of the dataset"),
        ("If-Match" = Option<String>, Header, description = "Revision of the draft, such as \"3\"")),
    responses((status = 201, description = "Registered"), (status = 202, description = "It waits for a second person; so does a record of files that are not there, or not for the author"),
        (status = 400, description = "A file that could be in no store of this node", body = Problem),
        (status = 403, description = "Not the author", body = Problem), (status = 404, description = "No such draft", body = Problem),
        (status = 409, description = "Changed meanwhile, or the dataset has another record by now than the one that it was edited from", body = Problem),
        (status = 422, description = "It breaks rules: `violations`", body = Problem)))]
pub(crate) async fn submit(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let name = DatasetName::new(&name)?;
    let draft = door.catalog.draft(&who, &name).await?;
    if let Some(meant) = revision(&headers)?.filter(|meant| *meant != draft.revision) {
        let problem = format!(
            "the draft {name} is at revision {} by now, not at {meant}: look again",
            draft.revision
        );
        return Err(Failure::new(ErrorCode::Conflict, problem).into());
    }
    let (submitted, notices) = match find_files(&door, &draft).await? {
        Ok(files) => {
            let notices = files.notices();
            (door.catalog.submit_draft(&who, &draft, files.facts).await, notices)
        }
        // Whether a file is there is for those who may see it: it waits like one on the files of others.
        Err(_) => (door.catalog.submit_unseen(&who, &draft).await, Vec::new()),
    };
    match submitted {
        Ok(Submission::Registered(done)) => Ok(registered(*done, notices)),
        Ok(Submission::Waiting(draft)) => Ok(shown(StatusCode::ACCEPTED, &draft, &[])),
        Err(CatalogError::Invalid { violations, .. }) => Ok(invalid(&name, &violations)),
        Err(error) => Err(error.into()),
    }
}

/// Registers a submitted record, by the word of a second person.
#[utoipa::path(post, path = "/api/v1/drafts/{name}/approve", request_body = Approval,
    params(("name" = String, Path, description = "Name of the dataset"),
        ("author" = Option<String>, Query, description = "Whose, as `author` of the draft says it, where several people have one")),
    responses((status = 201, description = "Registered"), (status = 400, description = "No revision", body = Problem),
        (status = 403, description = "The caller's own", body = Problem),
        (status = 404, description = "Nothing of that name waits for the caller", body = Problem),
        (status = 409, description = "It, or its dataset, changed since it was looked at; or several people's, and no `author`", body = Problem),
        (status = 422, description = "It breaks rules by now: `violations`", body = Problem)))]
pub(crate) async fn approve(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(Whose { author }): Query<Whose>,
    Json(Approval { revision }): Json<Approval>,
) -> Result<Response, Refusal> {
    let name = DatasetName::new(&name)?;
    // The catalog compares it with the revision that is there when it decides.
    let draft = door.catalog.draft_to_review(&who, &name, author.as_deref()).await?;
    let draft = Draft { revision, ..draft };
    let files = files(&door, &draft).await?;
    let notices = files.notices();
    match Box::pin(door.catalog.approve_draft(&who, &draft, files.facts)).await {
        Ok(done) => Ok(registered(done, notices)),
        Err(CatalogError::Invalid { violations, .. }) => Ok(invalid(&name, &violations)),
        Err(error) => Err(error.into()),
    }
}

/// Gives a submitted record back to its author.
#[utoipa::path(post, path = "/api/v1/drafts/{name}/return", request_body = Reason,
    params(("name" = String, Path, description = "Name of the dataset"),
        ("author" = Option<String>, Query, description = "Whose, as `author` of the draft says it, where several people have one")),
    responses((status = 200, description = "The draft"), (status = 400, description = "No reason", body = Problem),
        (status = 403, description = "The caller's own", body = Problem),
        (status = 404, description = "Nothing of that name waits for the caller", body = Problem),
        (status = 409, description = "Not submitted; or several people's, and no `author`", body = Problem)))]
pub(crate) async fn give_back(
    State(door): State<Door>,
    Caller(who): Caller,
    Path(name): Path<String>,
    Query(Whose { author }): Query<Whose>,
    Json(Reason { reason }): Json<Reason>,
) -> Result<Response, Refusal> {
    let name = DatasetName::new(&name)?;
    let draft = door.catalog.draft_to_review(&who, &name, author.as_deref()).await?;
    let draft = door.catalog.return_draft(&who, &draft, &reason).await?;
    Ok(shown(StatusCode::OK, &draft, &[]))
}

/// What the caller edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// A revision of the draft; 0 if there was none.
    Revision(u64),
    /// A version of the dataset.
    Version(u32),
    /// Whatever draft there is.
    Any,
}

/// What the caller says that they edited.
fn edited(headers: &HeaderMap) -> Result<Option<Seen>, Failure> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    if text(header::IF_NONE_MATCH) == Some("*") {
        return Ok(Some(Seen::Revision(0)));
    }
    let Some(tag) = text(header::IF_MATCH) else { return Ok(None) };
    if tag == "*" {
        return Ok(Some(Seen::Any));
    }
    let bare = tag.trim_matches('"');
    let seen = match bare.strip_prefix('v') {
        Some(version) => version.parse().ok().map(Seen::Version),
        None => bare.parse().ok().map(Seen::Revision),
    };
    seen.map(Some).ok_or_else(|| {
        Failure::new(
            ErrorCode::InvalidArgument,
            "If-Match holds one entity tag in quotes: the revision of the draft, such as \"3\", or the version of \
             the dataset that was edited, such as \"v2\"",
        )
    })
}

/// The rules that the readable part of a record breaks, as [`check`] would say it; none where that refuses.
async fn rules(door: &Door, who: &Principal, record: &Record) -> Vec<Violation> {
    let draft = Draft::unsaved(who, record.clone());
    let Ok(files) = files(door, &draft).await else { return Vec::new() };
    let checked = door.catalog.check_draft(who, &draft, &files.facts).await;
    checked.map_or_else(|_| Vec::new(), |assessment| assessment.violations)
}

/// The revision of the draft that the caller means, if they say one.
fn revision(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    match edited(headers)? {
        None | Some(Seen::Any) => Ok(None),
        Some(Seen::Revision(revision)) => Ok(Some(revision)),
        Some(Seen::Version(version)) => Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!(
                "If-Match \"v{version}\" is a version of the dataset; name a revision of the draft, such as \"3\""
            ),
        )),
    }
}

/// Most files of a record over the network.
const MOST: usize = 10_000;

/// Facts of the files of a record. Over the network only files of the stores that the configuration
/// names may be read, each by its name: this process can read, and list, more than who asks it.
async fn files(door: &Door, draft: &Draft) -> Result<Files, Failure> {
    find_files(door, draft).await?.map_err(|missing| refused(&missing))
}

/// Facts of the files of a record.
struct Files {
    facts: Vec<FileFacts>,
    /// Locations of those that are not there any more, of which the newest version of the dataset knows.
    gone: Vec<String>,
}

impl Files {
    /// What the steward should know of files that are not there any more.
    fn notices(&self) -> Vec<String> {
        let said = |gone| {
            format!("{gone} is not there any more: what the newest version knows of it stays")
        };
        self.gone.iter().map(said).collect()
    }
}

/// What is said of a file that is not read: the same words for each, and for files that are others', because which
/// one it is would tell of these.
fn refused(text: &str) -> Failure {
    Failure::new(ErrorCode::InvalidArgument, format!("{text}: {NOT_OFFERED}"))
}

/// As [`files`]; inside, the first that a store of this node would have and has not.
async fn find_files(door: &Door, draft: &Draft) -> Result<Result<Files, String>, Failure> {
    let record = &draft.record;
    if record.files.len() > MOST {
        let problem = format!("a record has at most {MOST} files over the network");
        return Err(Failure::new(ErrorCode::InvalidArgument, problem));
    }
    let (mut found, mut absent) = (Vec::new(), Vec::new());
    for text in record.files.iter().collect::<BTreeSet<_>>() {
        if text.contains(['*', '?', '[']) {
            return Err(refused(text));
        }
        if asked(&door.stores, text, Stores::lacks).await? {
            absent.push((found.len().saturating_add(absent.len()), text));
            continue;
        }
        if !asked(&door.stores, text, Stores::offers).await? {
            return Err(refused(text));
        }
        let files = match door.stores.find(text).await.map_err(Failure::from) {
            Ok(files) => files,
            Err(error) if error.code() == ErrorCode::NotFound => {
                absent.push((found.len().saturating_add(absent.len()), text));
                continue;
            }
            Err(error) => return Err(error),
        };
        let [file] = files.as_slice() else { return Err(refused(text)) };
        if !file.named || !asked(&door.stores, &file.stat.location, Stores::offers).await? {
            return Err(refused(text));
        }
        found.push(file.clone());
    }
    let mut gone = Vec::new();
    for (_, text) in &absent {
        let Ok(location) = Location::parse(text) else { return Ok(Err((*text).clone())) };
        gone.push(location.to_string());
    }
    let known = if gone.is_empty() {
        Vec::new()
    } else {
        match (door.catalog.known_files_of(draft, &gone).await?, absent.first()) {
            (None, Some((_, text))) => return Ok(Err((*text).clone())),
            (known, _) => known.unwrap_or_default(),
        }
    };
    // Reading files takes as much as a query does.
    let _turn = door.readings.acquire().await;
    let (mut facts, _) = facts_of(&door.stores, &found, |_| {}).await?;
    for ((place, _), known) in absent.into_iter().zip(known) {
        facts.insert(place.min(facts.len()), known);
    }
    Ok(Ok(Files { facts, gone }))
}

/// What the stores say of a location.
async fn asked(
    stores: &Stores,
    text: &str,
    question: fn(&Stores, &Location) -> bool,
) -> Result<bool, Failure> {
    let Ok(location) = Location::parse(text) else { return Ok(false) };
    let stores = stores.clone();
    tokio::task::spawn_blocking(move || question(&stores, &location))
        .await
        .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))
}

fn shown(status: StatusCode, draft: &Draft, notices: &[String]) -> Response {
    let tag = [(header::ETAG, format!("\"{}\"", draft.revision))];
    let mut body = json!(draft);
    if let Some(fields) = body.as_object_mut().filter(|_| !notices.is_empty()) {
        fields.insert("notices".to_owned(), json!(notices));
    }
    (status, tag, Json(body)).into_response()
}

fn registered(mut done: Registered, notices: Vec<String>) -> Response {
    done.notices.extend(notices);
    let dataset = &done.dataset;
    let place = format!("/api/v1/datasets/{}/{}", dataset.lab, dataset.name);
    let body = json!({
        "lab": dataset.lab, "name": dataset.name, "version": dataset.version, "ark": dataset.ark,
        "created": done.created, "fair_score": dataset.fair_score, "missing": done.missing,
        "notices": done.notices,
    });
    (StatusCode::CREATED, [(header::LOCATION, place)], Json(body)).into_response()
}

/// Every broken rule, as a problem.
fn invalid(name: &DatasetName, violations: &[Violation]) -> Response {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let body = json!({
        "code": ErrorCode::InvalidData, "title": "invalid data", "status": status.as_u16(),
        "detail": format!("the record of {name} breaks {} rule(s)", violations.len()),
        "violations": violations,
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
}
