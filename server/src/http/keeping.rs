//! What browsers and proxies may keep of answers, and what pages may load.

use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, VARY,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// Pages of this node load nothing, send nothing, and stand in no page of others. One that needs more says
/// so itself.
const PAGE: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Says of each answer that it depends on who asks, and of those to somebody that nobody else may keep it.
pub(super) async fn mind(request: Request, next: Next) -> Response {
    let somebody = [COOKIE, AUTHORIZATION].iter().any(|name| request.headers().contains_key(name));
    let mut response = next.run(request).await;
    mark(response.headers_mut(), somebody);
    response
}

fn mark(headers: &mut HeaderMap, somebody: bool) {
    headers.append(VARY, HeaderValue::from_static("Cookie, Authorization"));
    if somebody && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
    let page =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if page && !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_who_may_keep_them() {
        let marked = |before: &[(&'static str, &'static str)], somebody| {
            let mut headers = HeaderMap::new();
            for (name, value) in before {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            mark(&mut headers, somebody);
            headers
        };
        let page =
            marked(&[("content-type", "text/html; charset=utf-8"), ("vary", "Accept")], true);
        let vary: Vec<_> = page.get_all(VARY).iter().collect();
        assert_eq!(vary, ["Accept", "Cookie, Authorization"]);
        assert_eq!(page[CACHE_CONTROL], "private, no-cache");
        assert_eq!(page[CONTENT_SECURITY_POLICY], PAGE);
        let own =
            [("cache-control", "no-store"), ("content-security-policy", "default-src 'self'")];
        let own = marked(&[&own[..], &[("content-type", "text/html")]].concat(), true);
        assert_eq!(own[CACHE_CONTROL], "no-store");
        assert_eq!(own[CONTENT_SECURITY_POLICY], "default-src 'self'");
        let anonymous = marked(&[("content-type", "application/json")], false);
        assert!(!anonymous.contains_key(CACHE_CONTROL) && anonymous.contains_key(VARY));
        assert!(!anonymous.contains_key(CONTENT_SECURITY_POLICY));
    }
}
