//! Login in a terminal: device code (RFC 8628).

use super::code::{Refusal, Tokens};
use super::provider::{Metadata, discover};
use super::{OidcError, transport};
use reqwest::Client;
use serde::Deserialize;
use std::time::{Duration, Instant};
use tarn_schemas::shown::is_obeyed;
use url::Url;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions where the issuer does not say, and by how much to slow down.
const INTERVAL: u64 = 5;
/// An issuer that asks for longer waits, or says that a code is good for longer, is not believed.
const LONGEST_INTERVAL: u64 = 60;
const LONGEST_LIFE: u64 = 3600;

/// What the person is told.
#[derive(Debug, Clone, Deserialize)]
pub struct DeviceCode {
    device_code: String,
    /// What they type.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    #[serde(default)]
    pub verification_uri_complete: Option<String>,
    /// For how many seconds.
    pub expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

/// A login in a terminal on its way.
#[derive(Debug)]
pub struct DeviceLogin {
    client: Client,
    issuer: String,
    client_id: String,
    /// What the tokens are asked to be good for alone, if the issuer takes that.
    resource: Option<String>,
    metadata: Metadata,
    /// What the person is told.
    pub code: DeviceCode,
    /// The host of the page that they are sent to, where it is not the issuer's: some issuers have such
    /// pages, and whoever pretends to be one has.
    pub elsewhere: Option<String>,
}

impl DeviceLogin {
    /// Asks an issuer for a code, and for tokens that are good at one `resource` alone (RFC 8707). Many
    /// issuers do not know such a wish, and some refuse it: those are asked without.
    ///
    /// # Errors
    /// [`OidcError::Unreachable`] if the issuer does not answer or has no login for terminals;
    /// [`OidcError::Refused`] if it does not know the client.
    pub async fn begin(
        issuer: &str,
        client_id: &str,
        scopes: &[String],
        resource: &str,
    ) -> Result<Self, OidcError> {
        super::config::check_url(issuer)
            .map_err(|problem| OidcError::unreachable(issuer, problem))?;
        let client = transport::client()?;
        let metadata = discover(&client, issuer).await?;
        let endpoint = metadata.device_authorization_endpoint.as_deref().ok_or_else(|| {
            OidcError::unreachable(issuer, "it has no login for terminals; log in with a browser")
        })?;
        let scopes = scopes.join(" ");
        let ask = async |resource: Option<&str>| {
            let mut form = vec![("client_id", client_id), ("scope", scopes.as_str())];
            form.extend(resource.map(|resource| ("resource", resource)));
            transport::send(client.post(endpoint).form(&form), issuer).await
        };
        let mut resource = Some(resource);
        let (mut status, mut body) = ask(resource).await?;
        if !status.is_success() && is_about_the_resource(&body) {
            resource = None;
            (status, body) = ask(None).await?;
        }
        if !status.is_success() {
            return Err(match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) => refusal.into(),
                Err(_) => OidcError::unreachable(issuer, format!("it answers {status}")),
            });
        }
        let code: DeviceCode =
            serde_json::from_slice(&body).map_err(|_| OidcError::unreadable(issuer))?;
        // It is printed, and a terminal obeys control characters.
        let shown = [Some(&code.user_code), Some(&code.verification_uri)];
        let shown = shown.into_iter().chain([code.verification_uri_complete.as_ref()]).flatten();
        if shown.into_iter().any(|text| text.chars().any(is_obeyed)) {
            return Err(OidcError::unreachable(issuer, "its code cannot be shown"));
        }
        let pages = [Some(&code.verification_uri), code.verification_uri_complete.as_ref()];
        let mut elsewhere = None;
        for page in pages.into_iter().flatten() {
            let page = super::config::check_url(page).map_err(|problem| {
                OidcError::unreachable(issuer, format!("the page for its code {problem}"))
            })?;
            elsewhere = elsewhere.or_else(|| foreign_host(issuer, &page));
        }
        let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
        let resource = resource.map(str::to_owned);
        Ok(Self { client, issuer, client_id, resource, metadata, code, elsewhere })
    }

    /// Waits until the person has confirmed; what the issuer gives then.
    ///
    /// # Errors
    /// [`OidcError::TooLate`] if they did not in time, [`OidcError::Refused`] if they refused.
    pub async fn wait(self) -> Result<Tokens, OidcError> {
        let endpoint = self
            .metadata
            .token_endpoint
            .as_deref()
            .ok_or_else(|| OidcError::unreachable(&self.issuer, "it has no token endpoint"))?;
        let life = Duration::from_secs(self.code.expires_in.min(LONGEST_LIFE));
        let mut pause = self.code.interval.unwrap_or(INTERVAL).clamp(1, LONGEST_INTERVAL);
        let began = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            if began.elapsed() >= life {
                return Err(OidcError::TooLate);
            }
            let mut form = vec![
                ("grant_type", GRANT),
                ("device_code", self.code.device_code.as_str()),
                ("client_id", self.client_id.as_str()),
            ];
            form.extend(self.resource.as_deref().map(|resource| ("resource", resource)));
            let sent = transport::send(self.client.post(endpoint).form(&form), &self.issuer).await;
            let (status, body) = match sent {
                Ok(answer) => answer,
                // A network that fails for a moment ends no login.
                Err(OidcError::Unreachable { .. }) => {
                    pause = slower(pause);
                    continue;
                }
                Err(error) => return Err(error),
            };
            if status.is_success() {
                return serde_json::from_slice(&body)
                    .map_err(|_| OidcError::unreadable(&self.issuer));
            }
            match next(&body, pause) {
                Next::Ask(later) => pause = later,
                Next::End(error) => return Err(error),
            }
        }
    }
}

/// The host of a page, where it is another than the issuer's.
fn foreign_host(issuer: &str, page: &Url) -> Option<String> {
    let own = Url::parse(issuer).ok();
    let own = own.as_ref().and_then(Url::host_str);
    page.host_str().filter(|host| own != Some(*host)).map(str::to_owned)
}

/// What an answer that is no token means.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Ask(u64),
    End(OidcError),
}

/// Whether an issuer refuses because it was asked for tokens for one resource.
fn is_about_the_resource(body: &[u8]) -> bool {
    serde_json::from_slice::<Refusal>(body)
        .is_ok_and(|refusal| ["invalid_target", "invalid_request"].contains(&&*refusal.error))
}

fn slower(pause: u64) -> u64 {
    pause.saturating_add(INTERVAL).min(LONGEST_INTERVAL)
}

fn next(body: &[u8], pause: u64) -> Next {
    let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else {
        return Next::Ask(slower(pause));
    };
    match refusal.error.as_str() {
        "authorization_pending" => Next::Ask(pause),
        "slow_down" => Next::Ask(slower(pause)),
        "expired_token" => Next::End(OidcError::TooLate),
        _ => Next::End(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_mean_what_the_standard_says() {
        let said = |error: &str| next(format!("{{\"error\":\"{error}\"}}").as_bytes(), 5);
        assert_eq!(said("authorization_pending"), Next::Ask(5));
        assert_eq!(said("slow_down"), Next::Ask(10));
        assert_eq!(said("expired_token"), Next::End(OidcError::TooLate));
        assert_eq!(
            said("access_denied"),
            Next::End(OidcError::Refused("access_denied".to_owned()))
        );
        assert_eq!(next(b"<html>", 5), Next::Ask(10));
        assert_eq!(next(b"<html>", 60), Next::Ask(60));
    }

    #[test]
    fn a_page_of_another_host_is_known() {
        let elsewhere = |page: &str| foreign_host("https://sso.lab.gov/r", &page.parse().unwrap());
        assert_eq!(elsewhere("https://sso.lab.gov:8443/device"), None);
        assert_eq!(elsewhere("https://SSO.lab.gov/device"), None);
        for host in ["sso.lab.gov.evil.org", "sso.1ab.gov", "lab.gov"] {
            assert_eq!(elsewhere(&format!("https://{host}/device")).as_deref(), Some(host));
        }
    }

    #[test]
    fn an_issuer_without_resources_is_asked_without() {
        for (body, expected) in [
            (r#"{"error": "invalid_target"}"#, true),
            (r#"{"error": "invalid_request", "error_description": "AADSTS901002"}"#, true),
            (r#"{"error": "invalid_client"}"#, false),
            ("<html>", false),
        ] {
            assert_eq!(is_about_the_resource(body.as_bytes()), expected, "{body}");
        }
    }
}
