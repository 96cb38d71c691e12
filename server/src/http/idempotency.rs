//! `Idempotency-Key`: what changes something and is sent again with the same key is done once.
//!
//! As in draft-ietf-httpapi-idempotency-key-header. An answer of success is kept for a day and given again,
//! with `Idempotency-Replayed: true`. What was refused changed nothing, and runs anew.

use super::auth::Caller;
use super::problem::{NothingDone, Refusal};
use super::{BODY_BYTES, Door};
use crate::failure::Failure;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tarn_catalog::{Catalog, KeptResponse, KeyedRequest, Known};
use tarn_schemas::{ErrorCode, Principal};

/// The header.
pub(super) const KEY: &str = "idempotency-key";
/// What says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key.
const LONGEST_KEY: usize = 255;
/// What marks an answer that is told once.
const ONCE: &str = "no-store";
/// Longest body that is kept.
const LONGEST_BODY: usize = 64 << 10;
/// Headers that are kept of an answer.
const KEPT: [HeaderName; 4] = [CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION];

/// Whether a route changes something that is kept, by its method and its template.
pub(super) fn takes_key(method: &Method, route: &str) -> bool {
    // Searches and runs only read, and so does SQL but for CREATE and DROP, which a name that is taken or gone
    // keeps from being done twice; a login is somebody's first word and has no name yet.
    matches!(*method, Method::POST | Method::PUT | Method::DELETE)
        && route.starts_with("/api/v1/")
        && !route.starts_with("/api/v1/sql")
        && !route.ends_with("/run")
        && !route.ends_with("/check")
        && route != "/api/v1/login"
}

/// Runs a request with a key once, however often it is sent.
pub(super) async fn once(State(door): State<Door>, request: Request, next: Next) -> Response {
    let matched = request.extensions().get::<MatchedPath>();
    let takes = matched.is_some_and(|route| takes_key(request.method(), route.as_str()));
    if !takes || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match read(&door, request).await {
        // It begins, runs to its end and is noted even if the client goes away: that one will ask again.
        Ok((who, keyed, request)) => {
            let run = run(door.catalog, who, keyed, request, next);
            tokio::spawn(run).await.unwrap_or_else(|error| {
                Refusal::from(Failure::new(ErrorCode::Internal, error.to_string())).into_response()
            })
        }
        Err(response) => *response,
    }
}

/// Who asks, what makes the request the same as another, and the request with its body read.
async fn read(
    door: &Door,
    request: Request,
) -> Result<(Principal, KeyedRequest, Request), Box<Response>> {
    let refused = |refusal: Refusal| Box::new(refusal.into_response());
    let key = key(request.headers()).map_err(refused)?;
    let (mut parts, body) = request.into_parts();
    let Caller(who) = Caller::from_request_parts(&mut parts, door).await.map_err(refused)?;
    if !who.is_signed_in() {
        let problem =
            "an Idempotency-Key is kept for whoever sends it: send a token or a login with it";
        return Err(refused(Failure::new(ErrorCode::PermissionDenied, problem).into()));
    }
    let body = to_bytes(body, BODY_BYTES).await;
    let body = body.map_err(|_| Box::new(StatusCode::PAYLOAD_TOO_LARGE.into_response()))?;
    let said: Vec<&[u8]> = [CONTENT_TYPE.as_str(), "if-match", "if-none-match"]
        .iter()
        .map(|name| parts.headers.get(*name).map_or(&[][..], HeaderValue::as_bytes))
        .collect();
    let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
    let mut asked = vec![parts.method.as_str().as_bytes(), address.as_bytes(), &body];
    asked.extend(said);
    let keyed = KeyedRequest::new(&who, &key, &asked);
    Ok((who, keyed, Request::from_parts(parts, Body::from(body))))
}

/// The key of a request: a text in quotes (RFC 8941), or without.
fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let mut all = headers.get_all(KEY).iter();
    let text = all.next().and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
    let inside = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let fits = (1..=LONGEST_KEY).contains(&inside.len()) && all.next().is_none();
    if fits {
        return Ok(inside.to_owned());
    }
    let problem = format!(
        "Idempotency-Key is one text of 1 to {LONGEST_KEY} characters, such as a new UUID in quotes"
    );
    Err(Failure::new(ErrorCode::InvalidArgument, problem).into())
}

/// Runs a request, unless it was done before, and notes how it ended.
async fn run(
    catalog: Catalog,
    who: Principal,
    keyed: KeyedRequest,
    request: Request,
    next: Next,
) -> Response {
    match catalog.begin_keyed(&keyed).await {
        Ok(Known::New) => {}
        Ok(Known::Done(kept)) => return again(kept).unwrap_or_else(IntoResponse::into_response),
        Err(error) => return Refusal::from(error).into_response(),
    }
    let response = next.run(request).await;
    let status = response.status();
    // A defect, or a database that went away, may have come after the effect: then nobody knows, and it is not
    // run again.
    if status.is_server_error() && response.extensions().get::<NothingDone>().is_none() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let kept = status.is_success().then(|| kept(status, &parts.headers, &body));
    if let Err(error) = catalog.end_keyed(&keyed, kept.as_ref()).await {
        tracing::warn!(%error, who = who.label(), "the end of a request with a key is not noted");
    }
    Response::from_parts(parts, Body::from(body))
}

/// What is kept of an answer.
fn kept(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> KeptResponse {
    let once = headers.get(CACHE_CONTROL).is_some_and(|value| value.as_bytes() == ONCE.as_bytes());
    let fits = !once && body.len() <= LONGEST_BODY;
    let text = |name: &HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.as_str().to_owned(), value.to_owned()))
    };
    KeptResponse {
        status: status.as_u16(),
        headers: KEPT.iter().filter_map(text).collect(),
        body: std::str::from_utf8(body).ok().filter(|_| fits).map(str::to_owned),
    }
}

/// The answer that was given before.
fn again(kept: KeptResponse) -> Result<Response, Refusal> {
    let once = kept.headers.iter().any(|(name, value)| name == "cache-control" && value == ONCE);
    let Some(body) = kept.body else {
        let problem = if once {
            "this was done, and its answer is told once only: if it did not arrive, take back what was made \
             (revoke the token), and ask anew with another Idempotency-Key"
        } else {
            "this was done, and its answer is too long to be kept: read what was changed with a GET"
        };
        return Err(Failure::new(ErrorCode::Conflict, problem).into());
    };
    let status = StatusCode::from_u16(kept.status).unwrap_or(StatusCode::OK);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    for (name, value) in kept.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_change_something_take_a_key() {
        for (method, route, takes) in [
            (Method::POST, "/api/v1/access/requests", true),
            (Method::PUT, "/api/v1/drafts/{name}", true),
            (Method::DELETE, "/api/v1/queries/{id}", true),
            (Method::GET, "/api/v1/drafts", false),
            (Method::POST, "/api/v1/sql", false),
            (Method::DELETE, "/api/v1/sql/{id}", false),
            (Method::POST, "/api/v1/queries/{id}/run", false),
            (Method::POST, "/api/v1/login", false),
            (Method::POST, "/oai", false),
        ] {
            assert_eq!(takes_key(&method, route), takes, "{method} {route}");
        }
    }

    #[test]
    fn a_key_is_one_text_with_quotes_or_without() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, value.parse().unwrap());
            }
            key(&headers).ok()
        };
        assert_eq!(read(&["\"a b\""]).as_deref(), Some("a b"));
        assert_eq!(read(&["a"]).as_deref(), Some("a"));
        for wrong in [&["\"\""][..], &[""], &["a", "a"], &["x".repeat(256).as_str()]] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn secrets_and_long_answers_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_static("\"3\""));
        headers.insert("x-request-id", HeaderValue::from_static("1"));
        let short = kept(StatusCode::CREATED, &headers, &Bytes::from_static(b"{}"));
        assert_eq!((short.status, short.body.as_deref()), (201, Some("{}")));
        assert_eq!(short.headers, [("etag".to_owned(), "\"3\"".to_owned())]);
        let long = Bytes::from(vec![b' '; LONGEST_BODY + 1]);
        assert_eq!(kept(StatusCode::OK, &headers, &long).body, None);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        assert_eq!(kept(StatusCode::OK, &headers, &Bytes::from_static(b"{}")).body, None);
    }
}
