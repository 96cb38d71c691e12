//! An issuer over HTTP: its metadata and its keys, kept for a while.

use super::config::{check_url, is_local};
use super::jws::Algorithm;
use super::keys::Keys;
use super::{OidcError, transport};
use reqwest::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard, RwLock};

/// After this time keys are asked for again.
const FRESH: Duration = Duration::from_secs(3600);
/// Older keys are not used any more, should the issuer not answer: one of them may have been withdrawn.
const STALE: Duration = Duration::from_secs(24 * 3600);
/// An issuer is not asked more often, whatever keys tokens name.
const PAUSE: Duration = Duration::from_secs(30);
/// One whose metadata could not be had is not asked for them again before, whoever calls `/login`.
const RESPITE: Duration = Duration::from_secs(5);

/// What an issuer publishes of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    pub(super) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint: Option<String>,
    #[serde(default)]
    pub(super) userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub(super) device_authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether it names itself in its answers to browsers (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// Asks an issuer for its metadata.
pub(super) async fn discover(client: &Client, issuer: &str) -> Result<Metadata, OidcError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let found: Metadata = get(client, &url, issuer).await?;
    if found.issuer != issuer {
        let problem = "its metadata are those of another issuer; write `url` exactly as there";
        return Err(OidcError::unreachable(issuer, problem));
    }
    let endpoints = [
        Some(&found.jwks_uri),
        found.authorization_endpoint.as_ref(),
        found.token_endpoint.as_ref(),
        found.userinfo_endpoint.as_ref(),
        found.device_authorization_endpoint.as_ref(),
    ];
    let local = url::Url::parse(issuer).is_ok_and(|url| is_local(&url));
    for endpoint in endpoints.into_iter().flatten() {
        let endpoint = check_url(endpoint)
            .map_err(|problem| OidcError::unreachable(issuer, format!("an endpoint {problem}")))?;
        // An issuer elsewhere has this node send nothing to programs of this machine.
        if !local && endpoint.scheme() != "https" {
            return Err(OidcError::unreachable(issuer, "an endpoint is none of https"));
        }
    }
    Ok(found)
}

async fn get<T: DeserializeOwned>(client: &Client, url: &str, whom: &str) -> Result<T, OidcError> {
    let bytes = bytes(client, url, whom).await?;
    serde_json::from_slice(&bytes).map_err(|_| OidcError::unreadable(whom))
}

async fn bytes(client: &Client, url: &str, whom: &str) -> Result<Vec<u8>, OidcError> {
    let (status, body) = transport::send(client.get(url), whom).await?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(OidcError::unreachable(whom, format!("it answers {status}")))
    }
}

/// When something was asked last, held while it is asked again.
type Mark = OwnedMutexGuard<Option<Instant>>;

/// Where keys are found.
#[derive(Debug, Clone)]
enum Place {
    /// In the metadata of an issuer.
    Discovered,
    /// At a URL that the operator wrote.
    Pinned(String),
}

/// An issuer and what was last heard of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    client: Client,
    issuer: String,
    place: Place,
    metadata: Arc<RwLock<Option<(Instant, Arc<Metadata>)>>>,
    /// When they could not be had last; held while asking.
    failed: Arc<Mutex<Option<Instant>>>,
    keys: Arc<RwLock<Option<(Instant, Arc<Keys>)>>>,
    /// When keys were last asked for, whatever came of it; held while asking, so that many tokens are
    /// one question.
    asked: Arc<Mutex<Option<Instant>>>,
    /// How long it is not asked for keys again.
    pause: Duration,
    /// How long keys are used without asking for them again.
    fresh: Duration,
}

impl Provider {
    /// An issuer with metadata.
    pub(super) fn discovered(client: Client, issuer: String) -> Self {
        Self::new(client, issuer, Place::Discovered)
    }

    /// An issuer of which only keys are needed.
    pub(super) fn pinned(client: Client, issuer: String, keys: String) -> Self {
        Self::new(client, issuer, Place::Pinned(keys))
    }

    fn new(client: Client, issuer: String, place: Place) -> Self {
        Self {
            client,
            issuer,
            place,
            metadata: Arc::default(),
            failed: Arc::default(),
            keys: Arc::default(),
            asked: Arc::default(),
            pause: PAUSE,
            fresh: FRESH,
        }
    }

    #[cfg(test)]
    pub(super) fn without_pause(self) -> Self {
        Self { pause: Duration::ZERO, ..self }
    }

    #[cfg(test)]
    pub(super) fn never_fresh(self) -> Self {
        Self { fresh: Duration::ZERO, ..self }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The issuer's metadata, at most an hour old. Who asks for them may go: the question is a task of its
    /// own, whose answer the next one has.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, OidcError> {
        if let Some(found) = self.known().await {
            return Ok(found);
        }
        let failed = self.failed.clone().lock_owned().await;
        if let Some(found) = self.known().await {
            return Ok(found);
        }
        if failed.is_some_and(|at| at.elapsed() < RESPITE) {
            return Err(OidcError::unreachable(&self.issuer, "it did not answer a moment ago"));
        }
        let provider = self.clone();
        let asking = tokio::spawn(async move { provider.ask_metadata(failed).await });
        asking.await.unwrap_or_else(|error| Err(OidcError::unreachable(&self.issuer, error)))
    }

    async fn ask_metadata(&self, mut failed: Mark) -> Result<Arc<Metadata>, OidcError> {
        match discover(&self.client, &self.issuer).await {
            Ok(found) => {
                let found = Arc::new(found);
                *self.metadata.write().await = Some((Instant::now(), found.clone()));
                Ok(found)
            }
            Err(error) => {
                *failed = Some(Instant::now());
                Err(error)
            }
        }
    }

    async fn known(&self) -> Option<Arc<Metadata>> {
        let kept = self.metadata.read().await;
        kept.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, found)| found.clone())
    }

    async fn kept(&self) -> Option<(Duration, Arc<Keys>)> {
        self.keys.read().await.as_ref().map(|(at, keys)| (at.elapsed(), keys.clone()))
    }

    /// Keys among which the one that a token names should be. Those that are older than they should be
    /// are asked for again beside, so that nobody waits for a slow issuer whose keys are known.
    pub(super) async fn keys(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Arc<Keys>, OidcError> {
        if let Some((age, keys)) = self.kept().await
            && age < STALE
            && keys.has(algorithm, kid)
        {
            if age >= self.fresh {
                let provider = self.clone();
                tokio::spawn(async move { provider.refresh().await });
            }
            return Ok(keys);
        }
        let asked = self.asked.clone().lock_owned().await;
        // Somebody else may have asked meanwhile.
        let kept = self.kept().await;
        let soon = asked.is_some_and(|at| at.elapsed() < self.pause);
        if let Some((age, keys)) = kept
            && age < STALE
            && (soon || (age < self.fresh && keys.has(algorithm, kid)))
        {
            return Ok(keys);
        }
        if soon {
            let problem = "it did not answer a moment ago";
            return Err(OidcError::unreachable(&self.issuer, problem));
        }
        let provider = self.clone();
        let asking = tokio::spawn(async move { provider.ask_keys(asked).await });
        let answer =
            asking.await.unwrap_or_else(|error| Err(OidcError::unreachable(&self.issuer, error)));
        match answer {
            Ok(keys) => Ok(keys),
            Err(error) => match self.kept().await {
                Some((age, keys)) if age < STALE => Ok(keys),
                _ => Err(error),
            },
        }
    }

    /// Asks for the keys again, unless somebody does or did a moment ago.
    async fn refresh(&self) {
        let Ok(asked) = self.asked.clone().try_lock_owned() else { return };
        if !asked.is_some_and(|at| at.elapsed() < self.pause) {
            // Whatever came of it is in the log.
            let _ = self.ask_keys(asked).await;
        }
    }

    /// Asks for the keys, and keeps them. That they were asked for is noted when there is an answer, or
    /// none in time; a stranger whose token made this node ask, and who hangs up, ends no question: this
    /// has to run in a task of its own.
    async fn ask_keys(&self, mut asked: Mark) -> Result<Arc<Keys>, OidcError> {
        let answer = self.ask().await;
        *asked = Some(Instant::now());
        match answer {
            Ok(keys) => Ok(self.keep(keys).await),
            Err(error) => {
                tracing::warn!(%error, "keys of an issuer cannot be had");
                Err(error)
            }
        }
    }

    async fn keep(&self, keys: Keys) -> Arc<Keys> {
        let keys = Arc::new(keys);
        *self.keys.write().await = Some((Instant::now(), keys.clone()));
        keys
    }

    async fn ask(&self) -> Result<Keys, OidcError> {
        let url = match &self.place {
            Place::Discovered => self.metadata().await?.jwks_uri.clone(),
            Place::Pinned(url) => url.clone(),
        };
        let bytes = bytes(&self.client, &url, &self.issuer).await?;
        Keys::parse(&bytes).map_err(|problem| OidcError::unreachable(&self.issuer, problem))
    }
}
