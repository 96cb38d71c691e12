//! The login of a node, as its clients see it.

use super::code::Tokens;
use super::config::check_url;
use super::jws::parse;
use super::{OidcError, transport};
use reqwest::{Client, Method};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tarn_schemas::shown::{harmless, is_obeyed};
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
}

/// What a node is given of a login: one token, and of those that the issuer gave the one that is of
/// least use to others. What the node says has no part in that.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// An access token for this node alone: no other node takes it.
    Bound(String),
    /// An ID token for the client alone: every node that has this client takes it.
    Identity(String),
}

impl std::fmt::Debug for Proof {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bound(_) => "Bound",
            Self::Identity(_) => "Identity",
        })
    }
}

impl Proof {
    /// What the node at an address is to be given of what an issuer gave to a client.
    ///
    /// # Errors
    /// [`OidcError::Claim`] without an ID token, [`OidcError::Audience`] for one that is for others too.
    pub fn of(tokens: Tokens, node: &str, client: &str) -> Result<Self, OidcError> {
        let is_for =
            |token: &str, whom: &str| parse(token).is_ok_and(|parsed| parsed.audiences() == [whom]);
        if let Some(token) = tokens.access_token
            && is_for(&token, node)
        {
            return Ok(Self::Bound(token));
        }
        let token = tokens.id_token.ok_or(OidcError::Claim("id_token"))?;
        if is_for(&token, client) {
            Ok(Self::Identity(token))
        } else {
            Err(OidcError::Audience { expected: client.to_owned() })
        }
    }
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
    /// [`OidcError::Node`] with what the node says, or for a token that could not be sent or shown.
    pub async fn login(&self, issuer: &IssuerDoor, proof: &Proof) -> Result<Session, OidcError> {
        let body = match proof {
            Proof::Bound(token) => json!({"issuer": issuer.name, "access_token": token}),
            Proof::Identity(token) => json!({"issuer": issuer.name, "id_token": token}),
        };
        let made: Session = self.call(Method::POST, "/api/v1/login", None, Some(body)).await?;
        if !made.token.bytes().all(|byte| byte.is_ascii_graphic())
            || made.expires_at.chars().any(is_obeyed)
        {
            return Err(self.is_no_node("its token is none"));
        }
        Ok(made)
    }

    fn is_no_node(&self, problem: impl std::fmt::Display) -> OidcError {
        OidcError::Node {
            code: ErrorCode::Unavailable,
            problem: format!("{} is no node of Tarn ({problem})", self.url),
        }
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
            return serde_json::from_slice(&bytes).map_err(|error| self.is_no_node(error));
        }
        #[derive(Deserialize)]
        struct Problem {
            code: ErrorCode,
            detail: String,
        }
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => refused(problem.code, harmless(&problem.detail)),
            Err(_) => refused(ErrorCode::Unavailable, format!("{} answers {status}", self.url)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(&json!({"alg": "ES256"})), part(claims))
    }

    #[test]
    fn a_node_is_given_what_is_of_least_use_to_others() {
        let node = "https://lake.lab.gov";
        let proof = |access: Option<Value>, id: Option<Value>| {
            let tokens = Tokens {
                access_token: access.map(|claims| token(&claims)),
                id_token: id.map(|claims| token(&claims)),
            };
            Proof::of(tokens, node, "cli")
        };
        let (own, id) = (json!({"aud": node}), json!({"aud": "cli"}));
        assert_eq!(proof(Some(own.clone()), Some(id.clone())), Ok(Proof::Bound(token(&own))));
        assert_eq!(proof(Some(own.clone()), None), Ok(Proof::Bound(token(&own))));
        // An access token that others take too stays here, whatever the node would like to have.
        for aud in [
            json!("urn:api"),
            json!([node, "https://other.lab.gov"]),
            json!("https://lake.lab.gov.evil.org"),
            json!(null),
        ] {
            let given = proof(Some(json!({ "aud": aud })), Some(id.clone()));
            assert_eq!(given, Ok(Proof::Identity(token(&id))), "{aud}");
        }
        for aud in [json!("web"), json!(["cli", "web"])] {
            assert!(proof(None, Some(json!({ "aud": aud }))).is_err(), "{aud}");
        }
        assert!(proof(None, None).is_err());
    }
}
