//! Logging in and out, and who one is.

pub(super) mod browser;
pub(super) mod me;
mod pace;
mod seal;
pub(super) mod terminal;

pub(super) use browser::{begin, end, finish};
pub(super) use me::{administrator, me};
pub(super) use terminal::{doors, terminal};

use super::problem::Refusal;
use super::{Addresses, Door};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use pace::Pace;
use seal::Seal;
use std::time::Duration;
use tarn_connectors::oidc::{Issuer, OidcError, Tokens};
use url::Url;

/// For how long a login in a browser may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// A cookie of this node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cookie {
    /// The token of a session.
    Session,
    /// A login on its way.
    Login,
}

/// What logins share.
#[derive(Debug)]
pub(crate) struct Logins {
    /// Address of this node, without a slash at the end.
    base: String,
    /// The same as browsers write it in `Origin`.
    origin: String,
    flight: String,
    hours: u32,
    seal: Seal,
    pace: Pace,
}

impl Logins {
    pub(super) fn new(addresses: &Addresses, hours: u32) -> Self {
        let base = addresses.http.trim_end_matches('/').to_owned();
        let origin = Url::parse(&base).map(|url| url.origin().ascii_serialization());
        Self {
            origin: origin.unwrap_or_else(|_| base.clone()),
            base,
            flight: addresses.flight.clone(),
            hours,
            seal: Seal::default(),
            pace: Pace::default(),
        }
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    fn is_secure(&self) -> bool {
        self.base.starts_with("https://")
    }

    /// The name of a cookie. Browsers take one that begins with `__Host-` from this host alone and
    /// only by TLS.
    pub(super) fn cookie_name(&self, cookie: Cookie) -> &'static str {
        match (cookie, self.is_secure()) {
            (Cookie::Session, true) => "__Host-tarn_session",
            (Cookie::Session, false) => "tarn_session",
            (Cookie::Login, true) => "__Host-tarn_login",
            (Cookie::Login, false) => "tarn_login",
        }
    }

    /// The header that sets a cookie for some seconds; for none it is removed.
    fn set_cookie(&self, cookie: Cookie, value: &str, seconds: u64) -> Option<HeaderValue> {
        let name = self.cookie_name(cookie);
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}");
        HeaderValue::from_str(&text).ok()
    }
}

/// A login that is refused. One that names a person, by an ID token that the issuer signed for this
/// node, is in the log; tokens for others are not, of which people have as many as they like, nor is what
/// was refused because the issuer did not answer.
async fn refused(
    door: &Door,
    issuer: &Issuer,
    tokens: &Tokens,
    by: &str,
    why: OidcError,
) -> Refusal {
    let passes = matches!(why, OidcError::Audience { .. } | OidcError::Unreachable { .. });
    let Some(id_token) = tokens.id_token.as_ref().filter(|_| !passes) else { return why.into() };
    if let Some((name, token)) = issuer.named_in(id_token).await {
        let url = &issuer.config().url;
        let noted = door.catalog.note_refused_login((&name, &token), url, by, &why).await;
        if let Err(error) = noted {
            return error.into();
        }
    }
    why.into()
}

/// The value of a cookie.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins(http: &str) -> Logins {
        let addresses = Addresses { http: http.to_owned(), flight: "http://x:1".to_owned() };
        Logins::new(&addresses, 12)
    }

    #[test]
    fn cookies_are_for_this_node_and_for_no_script() {
        let set = |http: &str| {
            let header = logins(http).set_cookie(Cookie::Session, "v", 60).unwrap();
            header.to_str().unwrap().to_owned()
        };
        assert_eq!(
            set("http://127.0.0.1:8080/"),
            "tarn_session=v; Path=/; HttpOnly; SameSite=Lax; Max-Age=60"
        );
        let secure = set("https://lake.lab.gov");
        assert!(
            secure.starts_with("__Host-tarn_session=v; Path=/;") && secure.ends_with("; Secure")
        );
        assert_eq!(logins("https://lake.lab.gov:443/x/").origin(), "https://lake.lab.gov");
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "xtarn_session=1; a=b".parse().unwrap());
        headers.append(COOKIE, "tarn_session=2==; tarn_session=3".parse().unwrap());
        assert_eq!(cookie(&headers, "tarn_session").as_deref(), Some("2=="));
        assert_eq!(cookie(&headers, "session"), None);
    }
}
