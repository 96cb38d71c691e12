//! Who is asking over HTTP.

use super::Door;
use super::login::{Cookie, cookie};
use super::problem::Refusal;
use crate::failure::Failure;
use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use tarn_schemas::code::Coded;
use tarn_schemas::{ErrorCode, Principal};

/// A header that pages of other sites cannot send: for clients with a cookie that send no `Origin`.
const OWN_HEADER: &str = "x-tarn-request";

/// The principal of a request: nobody without a header or cookie, never nobody with a wrong header.
#[derive(Debug)]
pub(crate) struct Caller(pub Principal);

/// The token of the `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = all.next() else { return Ok(None) };
    // Which of them counts, programs on the way may see otherwise than this one.
    if all.next().is_some() {
        let problem = "there are several Authorization headers: send one";
        return Err(Failure::new(ErrorCode::Unauthenticated, problem).into());
    }
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    if token.is_none() {
        let problem = "write `Authorization: Bearer TOKEN`";
        return Err(Failure::new(ErrorCode::Unauthenticated, problem).into());
    }
    Ok(token)
}

/// Refuses what a page of another site may have a browser do with a cookie: whatever changes
/// something has to come from this node's own pages.
pub(crate) fn check_origin(method: &Method, headers: &HeaderMap, own: &str) -> Result<(), Refusal> {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let fits = match headers.get(ORIGIN) {
        Some(origin) => origin.as_bytes() == own.as_bytes(),
        None => headers.contains_key(OWN_HEADER),
    };
    if fits {
        return Ok(());
    }
    let problem = format!(
        "a request by cookie that changes something has to come from {own} (or, without an Origin, \
         with the header {OWN_HEADER}); programs send `Authorization: Bearer TOKEN`"
    );
    Err(Failure::new(ErrorCode::PermissionDenied, problem).into())
}

impl FromRequestParts<Door> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, door: &Door) -> Result<Self, Refusal> {
        if let Some(token) = bearer(&parts.headers)? {
            return Ok(Self(door.catalog.authenticate(token).await?));
        }
        let Some(token) = cookie(&parts.headers, door.logins.cookie_name(Cookie::Session)) else {
            return Ok(Self(Principal::Anonymous));
        };
        check_origin(&parts.method, &parts.headers, door.logins.origin())?;
        // A browser sends its cookie long after the session has ended, to pages for everyone too.
        match door.catalog.authenticate(&token).await {
            Err(error) if error.code() == ErrorCode::Unauthenticated => {
                Ok(Self(Principal::Anonymous))
            }
            found => Ok(Self(found?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_token_or_none() {
        let mut headers = HeaderMap::new();
        assert!(matches!(bearer(&headers), Ok(None)));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        assert!(matches!(bearer(&headers), Ok(Some("a"))));
        headers.append(AUTHORIZATION, "Bearer a".parse().unwrap());
        assert!(bearer(&headers).is_err());
    }

    #[test]
    fn what_changes_something_by_cookie_comes_from_this_node() {
        let own = "https://lake.lab.gov";
        let asked = |method: Method, headers: &[(&str, &str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name: axum::http::HeaderName = name.parse().unwrap();
                map.insert(name, value.parse().unwrap());
            }
            check_origin(&method, &map, own).is_ok()
        };
        assert!(asked(Method::GET, &[("origin", "https://evil.org")]));
        assert!(asked(Method::POST, &[("origin", own)]));
        assert!(asked(Method::POST, &[("x-tarn-request", "1")]));
        for refused in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://lake.lab.gov.evil.org")],
            &[("origin", "http://lake.lab.gov")],
            &[("origin", "https://evil.org"), ("x-tarn-request", "1")],
        ] {
            assert!(!asked(Method::POST, refused), "{refused:?}");
            assert!(!asked(Method::DELETE, refused), "{refused:?}");
        }
    }
}
