//! HTTP to issuers and nodes: short, small, without redirects.

use super::OidcError;
use crate::authorities::trusted;
use reqwest::{Client, RequestBuilder, StatusCode};
use std::time::Duration;

/// Longest answer.
const LONGEST: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that follows no redirect: an answer from elsewhere is not the issuer's.
pub(super) fn client() -> Result<Client, OidcError> {
    trusted(Client::builder())
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .user_agent(concat!("tarn/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| OidcError::unreachable("of every login", error))
}

/// Sends a request; the status and the body, which is not longer than a mebibyte.
pub(super) async fn send(
    request: RequestBuilder,
    whom: &str,
) -> Result<(StatusCode, Vec<u8>), OidcError> {
    // Without the URL, which may hold a code.
    let failed = |error: reqwest::Error| {
        let problem = match &error {
            e if e.is_timeout() => "no answer within 10 seconds".to_owned(),
            e if e.is_connect() => "no connection".to_owned(),
            _ => error.without_url().to_string(),
        };
        OidcError::unreachable(whom, problem)
    };
    let mut answer = request.send().await.map_err(failed)?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len().saturating_add(chunk.len()) > LONGEST {
            return Err(OidcError::unreachable(whom, "its answer is longer than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}
