//! OSTI's E-Link 2 (<https://www.osti.gov/elink2api/>): records of product type `DA`, whose DOIs OSTI
//! gives out and registers at DataCite.

use super::answer::{is_doi, json};
use super::datacite::client;
use super::{Publication, Registrar, RegistrarError, Registration};
use async_trait::async_trait;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::fmt;
use tarn_schemas::export::Format;
use url::Url;

/// A lab's account at OSTI.
pub struct Osti {
    url: Url,
    token: String,
    client: Client,
}

impl fmt::Debug for Osti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Osti").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Osti {
    /// The account of a token at an address.
    ///
    /// # Errors
    /// [`RegistrarError::Config`] if no client can be made.
    pub fn new(url: Url, token: String) -> Result<Self, RegistrarError> {
        Ok(Self { url, token, client: client()? })
    }

    fn address(&self, path: &str) -> String {
        format!("{}/{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// The answer to a request, as JSON.
    async fn answer(&self, request: RequestBuilder) -> Result<Value, RegistrarError> {
        let sent = request.bearer_auth(&self.token).send().await;
        let answer = sent.map_err(|error| RegistrarError::unreachable("OSTI", &error))?;
        if !answer.status().is_success() {
            return Err(RegistrarError::of("OSTI", answer, &[&self.token]).await);
        }
        json("OSTI", answer).await
    }
}

/// The number of a record. It becomes part of an address.
fn number(record: &Value) -> Option<String> {
    let id = record.get("osti_id")?;
    let id = id.as_u64().map(|id| id.to_string()).or_else(|| id.as_str().map(str::to_owned))?;
    let digits = !id.is_empty() && id.len() <= 20 && id.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(id)
}

#[async_trait]
impl Registrar for Osti {
    fn format(&self) -> Format {
        Format::ELink
    }

    fn doi_for(&self, _name: &str) -> Option<String> {
        None
    }

    async fn find(&self, name: &str) -> Result<Option<String>, RegistrarError> {
        let request = self.client.get(self.address("records")).query(&[("site_unique_id", name)]);
        let found = self.answer(request).await?;
        let of_name =
            |record: &&Value| record.get("site_unique_id").and_then(Value::as_str) == Some(name);
        Ok(found.as_array().and_then(|all| all.iter().find(of_name)).and_then(number))
    }

    async fn publish(&self, publication: &Publication) -> Result<Registration, RegistrarError> {
        let request = match &publication.id {
            Some(id) => self.client.put(self.address(&format!("records/{id}/submit"))),
            None => self.client.post(self.address("records/submit")),
        };
        let answer = self.answer(request.json(&publication.metadata)).await?;
        // One record, or a list of one.
        let record = answer.as_array().and_then(|all| all.first()).unwrap_or(&answer);
        let doi = record
            .get("doi")
            .and_then(Value::as_str)
            .map(|doi| doi.trim_start_matches("https://doi.org/").to_owned());
        let id = number(record).or_else(|| publication.id.clone());
        Ok(Registration { doi: doi.filter(|doi| is_doi(doi)), id })
    }

    async fn hide(&self, publication: &Publication) -> Result<(), RegistrarError> {
        // Whoever asks has looked for it: without a number OSTI never heard of the dataset.
        let Some(id) = &publication.id else { return Ok(()) };
        Err(RegistrarError::Refused {
            service: "OSTI".to_owned(),
            problem: format!("record {id} is published there"),
            fix: "what was published is withdrawn by OSTI's staff: write to them".to_owned(),
        })
    }
}
