//! Logging in and out, and who one is.

pub(super) mod browser;
pub(super) mod me;
mod seal;
pub(super) mod terminal;

pub(super) use browser::{begin, end, finish};
pub(super) use me::{administrator, me};
pub(super) use terminal::{doors, terminal};

use super::problem::Refusal;
use super::{Addresses, Door};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use seal::Seal;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tarn_connectors::oidc::{Issuer, OidcError, Tokens};
use url::Url;

/// For how long a login in a browser may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most states that are remembered as used; within ten minutes no more logins are finished.
const MOST_STATES: usize = 100_000;

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
    /// States that came back, until nobody can have them any more: each counts once.
    used: Mutex<HashMap<String, Instant>>,
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
            used: Mutex::default(),
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

    /// Marks a state as used. False if it was before, or if more come back than can be remembered.
    fn use_up(&self, state: &str) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= MOST_STATES {
            used.retain(|_, at| at.elapsed() < PATIENCE);
        }
        used.len() < MOST_STATES && used.insert(state.to_owned(), Instant::now()).is_none()
    }
}

/// A login that is refused. One that names a person, by a token that the issuer did sign, is in the
/// log.
async fn refused(
    door: &Door,
    issuer: &Issuer,
    tokens: &Tokens,
    by: &str,
    why: OidcError,
) -> Refusal {
    let Some(id_token) = &tokens.id_token else { return why.into() };
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
    fn a_state_counts_once() {
        let logins = logins("http://127.0.0.1:8080");
        assert!(logins.use_up("a") && logins.use_up("b"));
        assert!(!logins.use_up("a"));
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
