//! DataCite's REST API, version 2 (<https://support.datacite.org/docs/api>): JSON:API documents of type
//! `dois`, basic authentication, states by `event`.

use super::answer::json as read_json;
use super::{Publication, Registrar, RegistrarError, Registration};
use crate::authorities::trusted;
use async_trait::async_trait;
use reqwest::{Client, StatusCode, header};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;
use tarn_schemas::export::Format;
use url::Url;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The media type of JSON:API.
const JSON_API: &str = "application/vnd.api+json";

/// A repository account at DataCite.
pub struct DataCite {
    url: Url,
    prefix: String,
    user: String,
    secret: String,
    client: Client,
}

impl fmt::Debug for DataCite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataCite").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// A client that follows no redirect: a secret goes to the configured address and no other.
pub(super) fn client() -> Result<Client, RegistrarError> {
    trusted(Client::builder())
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tarn/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| RegistrarError::Config { problem: error.to_string() })
}

impl DataCite {
    /// The account `user` at an address, with its DOIs under `prefix`.
    ///
    /// # Errors
    /// [`RegistrarError::Config`] if no client can be made.
    pub fn new(
        url: Url,
        prefix: String,
        user: String,
        secret: String,
    ) -> Result<Self, RegistrarError> {
        Ok(Self { url, prefix, user, secret, client: client()? })
    }

    /// What an answer says that is no success, without what was sent to prove who asks.
    async fn refusal(&self, answer: reqwest::Response) -> RegistrarError {
        let pair = format!("{}:{}", self.user, self.secret);
        RegistrarError::of("DataCite", answer, &[&pair, &self.secret]).await
    }

    /// Puts what is said of a DOI in place of what was said, or makes it.
    async fn put(&self, doi: &str, attributes: Value) -> Result<reqwest::Response, RegistrarError> {
        let address = format!("{}/dois/{doi}", self.url.as_str().trim_end_matches('/'));
        let document = json!({"data": {"id": doi, "type": "dois", "attributes": attributes}});
        self.client
            .put(address)
            .basic_auth(&self.user, Some(&self.secret))
            .header(header::CONTENT_TYPE, JSON_API)
            .header(header::ACCEPT, JSON_API)
            .body(document.to_string())
            .send()
            .await
            .map_err(|error| RegistrarError::unreachable("DataCite", &error))
    }
}

/// Checks that an answer is about a DOI, and that it is now in this state: something between here and
/// DataCite may answer anything with success.
async fn confirm(answer: reqwest::Response, doi: &str, state: &str) -> Result<(), RegistrarError> {
    let answer = read_json("DataCite", answer).await?;
    let text = |path: &str| answer.pointer(path).and_then(Value::as_str).unwrap_or_default();
    // DOIs have no case.
    if !text("/data/id").eq_ignore_ascii_case(doi) {
        return Err(RegistrarError::unreadable("DataCite", "its answer is about another DOI"));
    }
    if text("/data/attributes/state") != state {
        let problem = format!("the DOI is not in the state {state:?} after that");
        return Err(RegistrarError::unreadable("DataCite", &problem));
    }
    Ok(())
}

/// The DOI, which is chosen here.
fn doi(publication: &Publication) -> Result<&str, RegistrarError> {
    publication.doi.as_deref().ok_or_else(|| RegistrarError::Config {
        problem: "there is no DOI to register; its `service` was changed".to_owned(),
    })
}

#[async_trait]
impl Registrar for DataCite {
    fn format(&self) -> Format {
        Format::DataCiteJson
    }

    fn doi_for(&self, name: &str) -> Option<String> {
        Some(format!("{}/{name}", self.prefix))
    }

    async fn find(&self, _name: &str) -> Result<Option<String>, RegistrarError> {
        Ok(None)
    }

    async fn publish(&self, publication: &Publication) -> Result<Registration, RegistrarError> {
        let doi = doi(publication)?;
        let mut attributes = publication.metadata.clone();
        if let Some(fields) = attributes.as_object_mut() {
            fields.insert("doi".to_owned(), json!(doi));
            fields.insert("event".to_owned(), json!("publish"));
        }
        let answer = self.put(doi, attributes).await?;
        if answer.status().is_success() {
            confirm(answer, doi, "findable").await?;
            return Ok(Registration { doi: Some(doi.to_owned()), id: None });
        }
        Err(self.refusal(answer).await)
    }

    async fn hide(&self, publication: &Publication) -> Result<(), RegistrarError> {
        let doi = doi(publication)?;
        let address = format!("{}/dois/{doi}", self.url.as_str().trim_end_matches('/'));
        // Putting would make what was never registered.
        let known = self.client.get(address).basic_auth(&self.user, Some(&self.secret));
        let known = known.send().await;
        let known = known.map_err(|error| RegistrarError::unreachable("DataCite", &error))?;
        if known.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        if !known.status().is_success() {
            return Err(self.refusal(known).await);
        }
        let answer = self.put(doi, json!({"event": "hide"})).await?;
        if answer.status().is_success() {
            return confirm(answer, doi, "registered").await;
        }
        Err(self.refusal(answer).await)
    }
}
