//! Login in a browser: to the issuer and back.

use super::{Cookie, PATIENCE, cookie, refused};
use crate::failure::Failure;
use crate::http::auth::{bearer, check_origin};
use crate::http::page::escape;
use crate::http::problem::{Problem, Refusal};
use crate::http::{ClientAddress, Door};
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};
use tarn_connectors::oidc::{Flow, OidcError, Pkce};
use tarn_schemas::ErrorCode;
use utoipa::IntoParams;

/// Where a browser goes after a login that was not asked for by a page.
const AFTERWARDS: &str = "/api/v1/me";

/// A login that begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Begin {
    /// Name of the issuer, where there are several.
    issuer: Option<String>,
    /// Path of this node to go to afterwards.
    next: Option<String>,
}

/// What comes back from the issuer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Answer {
    /// The code to be redeemed.
    code: Option<String>,
    /// What the login began with.
    state: Option<String>,
    /// The issuer (RFC 9207).
    iss: Option<String>,
    /// Why there is no code.
    error: Option<String>,
}

/// A login on its way, as the browser keeps it, sealed.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    issuer: String,
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    until: u64,
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A path of this node, and never an address elsewhere: browsers read `//host` and `/\host` as one.
fn own_path(next: Option<String>) -> Result<String, Failure> {
    let Some(next) = next else { return Ok(AFTERWARDS.to_owned()) };
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with('/') && !next.starts_with("//") && next.len() <= 1000 {
        return Ok(next);
    }
    let problem = "`next` has to be a path of this node, such as /datasets/ornl/sst";
    Err(Failure::new(ErrorCode::InvalidArgument, problem))
}

/// Sends the browser to an issuer to log in; to choose one where there are several.
#[utoipa::path(get, path = "/login", params(Begin),
    responses((status = 200, description = "Issuers to choose from (HTML)"), (status = 303, description = "To the issuer"),
        (status = 400, description = "`next` is no path of this node", body = Problem), (status = 404, description = "No such issuer, or none at all", body = Problem),
        (status = 503, description = "The issuer does not answer", body = Problem)))]
pub(in crate::http) async fn begin(
    State(door): State<Door>,
    Query(Begin { issuer, next }): Query<Begin>,
) -> Result<Response, Refusal> {
    let next = own_path(next)?;
    let issuers = door.catalog.issuers();
    if issuers.all().is_empty() {
        let problem = "this node accepts no logins: its operator adds [[issuers]] to tarn.toml";
        return Err(Failure::new(ErrorCode::NotFound, problem).into());
    }
    let unkept = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    if issuer.is_none() && issuers.all().len() > 1 {
        let names = issuers.all().iter().map(|issuer| issuer.config().name.as_str());
        return Ok((unkept, Html(choice(names, &next))).into_response());
    }
    let issuer = issuers.named(issuer.as_deref())?;
    let logins = &door.logins;
    let flow = Flow::new(format!("{}/login/callback", logins.base));
    let url = issuer.login_url(&flow).await?;
    let kept = Kept {
        issuer: issuer.config().name.clone(),
        state: flow.state,
        nonce: flow.nonce,
        verifier: flow.pkce.verifier,
        next,
        until: seconds().saturating_add(PATIENCE.as_secs()),
    };
    let sealed = serde_json::to_string(&kept).ok().and_then(|text| logins.seal.close(&text));
    let cookie = sealed
        .and_then(|sealed| logins.set_cookie(Cookie::Login, &sealed, PATIENCE.as_secs()))
        .ok_or_else(|| Failure::new(ErrorCode::Internal, "the login cannot be kept"))?;
    let mut response = (unkept, Redirect::to(&url)).into_response();
    response.headers_mut().append(SET_COOKIE, cookie);
    Ok(response)
}

/// A page to choose an issuer from.
fn choice<'a>(names: impl Iterator<Item = &'a str>, next: &str) -> String {
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let links: String = names
        .map(|name| {
            let name = escape(name);
            format!("<li><a href=\"/login?issuer={name}&amp;next={next}\">{name}</a></li>")
        })
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Log in</title></head>\
         <body><h1>Log in</h1><ul>{links}</ul></body></html>"
    )
}

/// Takes what the issuer answers, and begins a session.
#[utoipa::path(get, path = "/login/callback", params(Answer),
    responses((status = 303, description = "Logged in: to where the login began"), (status = 401, description = "The login is not accepted", body = Problem),
        (status = 404, description = "The issuer is not configured any more", body = Problem), (status = 503, description = "The issuer does not answer", body = Problem)))]
pub(in crate::http) async fn finish(
    State(door): State<Door>,
    Extension(client): Extension<ClientAddress>,
    headers: HeaderMap,
    Query(answer): Query<Answer>,
) -> Response {
    let finished = session(&door, client, &headers, answer).await;
    let mut response = match finished {
        Ok((next, token)) => {
            let mut response = Redirect::to(&next).into_response();
            let seconds = u64::from(door.logins.hours).saturating_mul(3600);
            if let Some(cookie) = door.logins.set_cookie(Cookie::Session, &token, seconds) {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            response
        }
        Err(refusal) => refusal.into_response(),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Whatever came of it, it cannot be tried again.
    if let Some(cookie) = door.logins.set_cookie(Cookie::Login, "", 0) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// A login that came back twice.
const AGAIN: OidcError = OidcError::State("came back before");

/// Where to go, and the token of the session.
async fn session(
    door: &Door,
    client: ClientAddress,
    headers: &HeaderMap,
    answer: Answer,
) -> Result<(String, String), Refusal> {
    let logins = &door.logins;
    let foreign =
        OidcError::State("did not begin in this browser, or took longer than ten minutes");
    let kept: Kept = cookie(headers, logins.cookie_name(Cookie::Login))
        .and_then(|sealed| logins.seal.open(&sealed))
        .and_then(|text| serde_json::from_str(&text).ok())
        .filter(|kept: &Kept| kept.until > seconds())
        .ok_or_else(|| foreign.clone())?;
    if answer.state.as_deref() != Some(kept.state.as_str()) {
        return Err(foreign.into());
    }
    let issuers = door.catalog.issuers();
    let issuer = issuers.named(Some(&kept.issuer))?;
    let by_another = match &answer.iss {
        Some(iss) => *iss != issuer.config().url,
        None => issuer.names_itself().await?,
    };
    if by_another {
        return Err(OidcError::State("was answered by another issuer").into());
    }
    if let Some(error) = answer.error {
        let plain = error.chars().filter(char::is_ascii_graphic).take(100).collect();
        return Err(OidcError::Refused(plain).into());
    }
    let code = answer.code.ok_or(OidcError::State("came back without a code"))?;
    let flow = Flow {
        state: kept.state,
        nonce: kept.nonce,
        pkce: Pkce { verifier: kept.verifier },
        redirect: format!("{}/login/callback", logins.base),
    };
    // Before anybody waits: a stranger's state takes one place, whatever codes come with it.
    if !logins.pace.begin(&flow.state) {
        return Err(AGAIN.into());
    }
    let tokens = {
        let _turn = logins.pace.turn(&kept.issuer, client).await?;
        issuer.redeem(&flow, &code).await?
    };
    let assertion = match issuer.browser(&flow, &tokens).await {
        Ok(assertion) => assertion,
        Err(error) => return Err(refused(door, issuer, &tokens, "browser", error).await),
    };
    let session = door.catalog.begin_session(&assertion, "browser", logins.hours).await?;
    // A browser has one session: what it had before is of no use to anybody but whoever copied it.
    if let Some(before) = cookie(headers, logins.cookie_name(Cookie::Session)) {
        door.catalog.end_session(&before).await?;
    }
    Ok((kept.next, session.token))
}

/// Ends the session of the cookie or of the bearer token.
#[utoipa::path(post, path = "/logout",
    responses((status = 204, description = "Logged out"), (status = 401, description = "No session", body = Problem),
        (status = 403, description = "By a cookie, from a page of another site", body = Problem)))]
pub(in crate::http) async fn end(
    State(door): State<Door>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let token = match bearer(&headers)? {
        Some(token) => Some(token.to_owned()),
        None => {
            let token = cookie(&headers, door.logins.cookie_name(Cookie::Session));
            if token.is_some() {
                check_origin(&method, &headers, door.logins.origin())?;
            }
            token
        }
    };
    let ended = match token {
        Some(token) => door.catalog.end_session(&token).await?,
        None => false,
    };
    if !ended {
        let problem = "there is no session to end: it has ended, or this is an API token, which its \
                       operator revokes (`tarn token revoke`)";
        return Err(Failure::new(ErrorCode::Unauthenticated, problem).into());
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(cookie) = door.logins.set_cookie(Cookie::Session, "", 0) {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_this_node_alone() {
        let path = |next: &str| own_path(Some(next.to_owned()));
        for fine in ["/", "/datasets/ornl/sst?x=1#y", "/a//b"] {
            assert_eq!(path(fine).unwrap(), fine);
        }
        for wrong in [
            "",
            "//evil.org",
            "/\\evil.org",
            "\\\\evil.org",
            "https://evil.org",
            "javascript:alert(1)",
            "/a b",
            "/a\r\nSet-Cookie: x",
            "/ü",
            "evil.org",
        ] {
            assert!(path(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(own_path(None).unwrap(), AFTERWARDS);
    }

    #[test]
    fn the_choice_holds_no_markup_of_others() {
        let page = choice(["lab", "a\"><script>"].into_iter(), "/x?\"><script>");
        assert!(
            !page.contains("<script>") && page.contains("issuer=lab&amp;next=%2Fx%3F"),
            "{page}"
        );
    }
}
