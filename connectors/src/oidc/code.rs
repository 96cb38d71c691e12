//! Login in a browser: authorisation code with PKCE (RFC 6749, RFC 7636, OpenID Connect Core).

use super::assertion::Assertion;
use super::{Issuer, OidcError, transport};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tarn_schemas::shown::is_obeyed;
use url::Url;

/// 256 random bits as text.
pub fn random() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A proof key: the verifier stays here, its hash goes with the browser.
#[derive(Clone)]
pub struct Pkce {
    /// What is shown when the code is redeemed.
    pub verifier: String,
}

impl std::fmt::Debug for Pkce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pkce")
    }
}

impl Default for Pkce {
    fn default() -> Self {
        Self { verifier: random() }
    }
}

impl Pkce {
    fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier.as_bytes()))
    }
}

/// One login on its way: what has to come back.
#[derive(Debug, Clone)]
pub struct Flow {
    /// Comes back with the code, in the browser.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// The proof key.
    pub pkce: Pkce,
    /// Where the issuer sends the browser.
    pub redirect: String,
}

impl Flow {
    /// A new login.
    pub fn new(redirect: String) -> Self {
        Self { state: random(), nonce: random(), pkce: Pkce::default(), redirect }
    }
}

/// What a token endpoint answers.
#[derive(Deserialize)]
pub struct Tokens {
    /// For the issuer's own endpoints.
    #[serde(default)]
    pub access_token: Option<String>,
    /// Who logged in.
    #[serde(default)]
    pub id_token: Option<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

/// What it answers when it refuses.
#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    #[serde(default)]
    pub(super) error_description: Option<String>,
}

impl From<Refusal> for OidcError {
    fn from(refusal: Refusal) -> Self {
        let plain = |text: String| text.chars().filter(|c| !is_obeyed(*c)).take(200).collect();
        let error: String = plain(refusal.error);
        Self::Refused(match refusal.error_description.map(plain) {
            Some(description) if !description.is_empty() => format!("{error}: {description}"),
            _ => error,
        })
    }
}

impl Issuer {
    /// Where the browser goes to log in.
    ///
    /// # Errors
    /// [`OidcError::Unreachable`] if the issuer does not say where.
    pub async fn login_url(&self, flow: &Flow) -> Result<String, OidcError> {
        let metadata = self.provider.metadata().await?;
        let endpoint = metadata.authorization_endpoint.as_deref().ok_or_else(|| {
            OidcError::unreachable(self.provider.issuer(), "it has no authorization endpoint")
        })?;
        let mut url = Url::parse(endpoint)
            .map_err(|error| OidcError::unreachable(self.provider.issuer(), error))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", &flow.redirect)
            .append_pair("scope", &self.config.scopes.join(" "))
            .append_pair("state", &flow.state)
            .append_pair("nonce", &flow.nonce)
            .append_pair("code_challenge", &flow.pkce.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// What the issuer says of the person whose code was redeemed.
    ///
    /// # Errors
    /// Whatever is wrong with the ID token.
    pub async fn browser(&self, flow: &Flow, tokens: &Tokens) -> Result<Assertion, OidcError> {
        let id_token = tokens.id_token.as_deref().ok_or(OidcError::Claim("id_token"))?;
        self.told(id_token, tokens.access_token.as_deref(), Some(&flow.nonce)).await
    }

    /// What the issuer says of a person who logged in at a terminal: by an access token for this node
    /// alone, or by an ID token. With an ID token comes an access token only for the userinfo endpoint,
    /// where the operator has that asked; `tarn login` sends none, and its people do without.
    ///
    /// # Errors
    /// Whatever is wrong with the token.
    pub async fn terminal(&self, tokens: &Tokens, node: &str) -> Result<Assertion, OidcError> {
        match (tokens.id_token.as_deref(), tokens.access_token.as_deref()) {
            (Some(id_token), None) => self.identify(id_token, None, None).await,
            (Some(id_token), access_token) => self.told(id_token, access_token, None).await,
            (None, Some(access_token)) => self.accept_for(access_token, node).await,
            (None, None) => Err(OidcError::Claim("id_token")),
        }
    }

    /// Whether it names itself in what a browser brings back, so that an answer without is another's.
    ///
    /// # Errors
    /// [`OidcError::Unreachable`] if its metadata cannot be had.
    pub async fn names_itself(&self) -> Result<bool, OidcError> {
        Ok(self.provider.metadata().await?.authorization_response_iss_parameter_supported)
    }

    async fn told(
        &self,
        id_token: &str,
        access_token: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<Assertion, OidcError> {
        let said = self.identify(id_token, nonce, None).await?;
        if !self.config.userinfo {
            return Ok(said);
        }
        // Asked only for somebody who did log in.
        let token = access_token.ok_or(OidcError::Claim("access_token"))?;
        let told = self.userinfo(token).await?;
        self.identify(id_token, nonce, Some(told)).await
    }

    /// Redeems the code that came back.
    ///
    /// # Errors
    /// [`OidcError::Refused`] for a code that the issuer does not accept.
    pub async fn redeem(&self, flow: &Flow, code: &str) -> Result<Tokens, OidcError> {
        let (provider, config) = (&self.provider, &self.config);
        let metadata = provider.metadata().await?;
        let endpoint = metadata
            .token_endpoint
            .as_deref()
            .ok_or_else(|| OidcError::unreachable(provider.issuer(), "it has no token endpoint"))?;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &flow.redirect),
            ("code_verifier", &flow.pkce.verifier),
        ];
        let mut request = provider.client().post(endpoint);
        // Basic is what every issuer has to take, unless it says otherwise.
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let basic = methods.is_none_or(|all| all.iter().any(|one| one == "client_secret_basic"));
        match &self.secret {
            Some(secret) if basic => {
                // RFC 6749, 2.3.1: both are form-encoded before they are put together.
                let encoded = |text: &str| {
                    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                request = request.basic_auth(encoded(&config.client_id), Some(encoded(secret)));
            }
            Some(secret) => {
                form.push(("client_id", &config.client_id));
                form.push(("client_secret", secret));
            }
            None => form.push(("client_id", &config.client_id)),
        }
        let (status, body) = transport::send(request.form(&form), provider.issuer()).await?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|_| OidcError::unreadable(provider.issuer()));
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => Err(refusal.into()),
            Err(_) => {
                Err(OidcError::unreachable(provider.issuer(), format!("it answers {status}")))
            }
        }
    }

    async fn userinfo(
        &self,
        access_token: &str,
    ) -> Result<serde_json::Map<String, serde_json::Value>, OidcError> {
        let provider = &self.provider;
        let metadata = provider.metadata().await?;
        let endpoint = metadata.userinfo_endpoint.as_deref().ok_or_else(|| {
            OidcError::unreachable(provider.issuer(), "it has no userinfo endpoint")
        })?;
        let request = provider.client().get(endpoint).bearer_auth(access_token);
        let (status, body) = transport::send(request, provider.issuer()).await?;
        if !status.is_success() {
            let problem = format!("its userinfo endpoint answers {status}");
            return Err(OidcError::unreachable(provider.issuer(), problem));
        }
        serde_json::from_slice(&body).map_err(|_| OidcError::unreadable(provider.issuer()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636, appendix B.
    #[test]
    fn the_challenge_is_that_of_the_standard() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned();
        assert_eq!(Pkce { verifier }.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn no_two_logins_are_alike() {
        let (one, other) = (Flow::new(String::new()), Flow::new(String::new()));
        assert_eq!(one.state.len(), 43);
        assert!(one.state != other.state && one.nonce != other.nonce && one.state != one.nonce);
        assert_ne!(one.pkce.verifier, other.pkce.verifier);
    }
}
