//! The login of a node, as its clients see it.

use super::code::Tokens;
use super::config::check_url;
use super::{OidcError, transport};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tarn_schemas::{ErrorCode, LabName};

/// What a node says of how to log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doors {
    /// The lab.
    pub lab: LabName,
    /// Its Flight address.
    pub flight: String,
    /// Its issuers.
    pub issuers: Vec<IssuerDoor>,
}

/// An issuer, as a client needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerDoor {
    /// Its name here.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// The client of terminals.
    pub device_client_id: String,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Whether the node asks the issuer itself, and needs the access token for it.
    pub userinfo: bool,
}

/// A token of the node for somebody who logged in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The token.
    pub token: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
    /// The person, as the lab names them.
    pub name: String,
    /// How people call them.
    pub called: String,
}

impl std::fmt::Debug for Session {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A node, by its HTTP address.
#[derive(Debug)]
pub struct Node {
    client: Client,
    url: String,
}

impl Node {
    /// A node at an address.
    ///
    /// # Errors
    /// [`OidcError::Node`] for an address by which tokens may not travel.
    pub fn new(url: &str) -> Result<Self, OidcError> {
        check_url(url).map_err(|problem| OidcError::Node {
            code: ErrorCode::InvalidArgument,
            problem: format!("the address of the node {problem}"),
        })?;
        Ok(Self { client: transport::client()?, url: url.trim_end_matches('/').to_owned() })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How to log in.
    ///
    /// # Errors
    /// [`OidcError::Node`] with what the node says.
    pub async fn doors(&self) -> Result<Doors, OidcError> {
        self.call(Method::GET, "/api/v1/login", None, None).await
    }

    /// Gives what an issuer gave for a token of the node.
    ///
    /// # Errors
    /// [`OidcError::Node`] with what the node says.
    pub async fn login(&self, issuer: &IssuerDoor, tokens: &Tokens) -> Result<Session, OidcError> {
        let id_token = tokens.id_token.as_deref().ok_or(OidcError::Claim("id_token"))?;
        let mut body = json!({"issuer": issuer.name, "id_token": id_token});
        if let (true, Some(token), Some(body)) =
            (issuer.userinfo, &tokens.access_token, body.as_object_mut())
        {
            body.insert("access_token".to_owned(), token.as_str().into());
        }
        self.call(Method::POST, "/api/v1/login", None, Some(body)).await
    }

    /// Ends the session of a token.
    ///
    /// # Errors
    /// [`OidcError::Node`] with what the node says.
    pub async fn logout(&self, token: &str) -> Result<(), OidcError> {
        self.call::<Value>(Method::POST, "/logout", Some(token), None).await.map(drop)
    }

    /// Makes the person of a token an administrator, by a one-time token.
    ///
    /// # Errors
    /// [`OidcError::Node`] with what the node says.
    pub async fn become_administrator(&self, token: &str, once: &str) -> Result<(), OidcError> {
        let body = json!({"token": once});
        let path = "/api/v1/administrators";
        self.call::<Value>(Method::POST, path, Some(token), Some(body)).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<T, OidcError> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let refused = |code, problem| OidcError::Node { code, problem };
        let (status, bytes) =
            transport::send(request, &self.url).await.map_err(|error| match error {
                OidcError::Unreachable { issuer, problem } => refused(
                    ErrorCode::Unavailable,
                    format!(
                        "the node {issuer} cannot be asked ({problem}); is `tarn serve` running?"
                    ),
                ),
                other => other,
            })?;
        if status.is_success() {
            let bytes = if bytes.is_empty() { b"null".to_vec() } else { bytes };
            return serde_json::from_slice(&bytes).map_err(|error| {
                refused(
                    ErrorCode::Unavailable,
                    format!("{} is no node of Tarn ({error})", self.url),
                )
            });
        }
        #[derive(Deserialize)]
        struct Problem {
            code: ErrorCode,
            detail: String,
        }
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => refused(problem.code, problem.detail),
            Err(_) => refused(ErrorCode::Unavailable, format!("{} answers {status}", self.url)),
        })
    }
}
