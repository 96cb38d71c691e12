//! The issuers of a lab: whose tokens are accepted.

use super::assertion::{Assertion, fingerprint, subject_name};
use super::claims::{check, text, texts};
use super::jws::{Kind, Unverified, parse};
use super::kind::{check_access, check_id};
use super::provider::Provider;
use super::visa::{VisaIssuer, grants};
use super::{IssuerConfig, OidcError, VisaIssuerConfig, transport};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// All issuers of a lab. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Issuers {
    all: Arc<[Issuer]>,
}

/// One issuer.
pub struct Issuer {
    pub(super) config: IssuerConfig,
    pub(super) secret: Option<String>,
    pub(super) provider: Provider,
    visas: Arc<[VisaIssuer]>,
    rules: String,
}

impl std::fmt::Debug for Issuer {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("config", &self.config).finish_non_exhaustive()
    }
}

/// SHA-256 of what of a token is signed, whoever signed it: to know again one that was accepted before,
/// as [`Assertion::token`] has it.
pub fn fingerprint_of(token: &str) -> Option<String> {
    parse(token).ok().map(|parsed| fingerprint(parsed.signed()))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Issuers {
    /// The issuers of a home. Nothing is asked of them yet.
    ///
    /// # Errors
    /// [`OidcError::Config`] with the key that is wrong.
    pub fn new(
        home: &Path,
        issuers: &[IssuerConfig],
        visas: &[VisaIssuerConfig],
    ) -> Result<Self, OidcError> {
        if issuers.is_empty() {
            return Ok(Self::default());
        }
        let client = transport::client()?;
        if let Some(first) = visas.first()
            && !issuers.iter().any(|issuer| issuer.visas)
        {
            return Err(OidcError::Config {
                issuer: first.url.clone(),
                key: "visa_issuers",
                problem:
                    "is there, and no issuer may bring visas: write `visas = true` for the one \
                          whose logins carry them"
                        .to_owned(),
            });
        }
        let trusted: Arc<[VisaIssuer]> = visas
            .iter()
            .map(|config| VisaIssuer::new(config.clone(), client.clone()))
            .collect::<Result<_, _>>()?;
        let (mut names, mut urls) = (BTreeSet::new(), BTreeSet::new());
        let mut all = Vec::with_capacity(issuers.len());
        for config in issuers {
            config.check()?;
            if !names.insert(&config.name) {
                return Err(config.wrong("name", "is there twice: name each issuer once"));
            }
            if !urls.insert(&config.url) {
                return Err(config.wrong("url", "is there twice: name each issuer once"));
            }
            all.push(Issuer {
                secret: config.secret(home)?,
                provider: Provider::discovered(client.clone(), config.url.clone()),
                config: config.clone(),
                visas: if config.visas { trusted.clone() } else { Arc::default() },
                rules: config.rules(visas),
            });
        }
        Ok(Self { all: all.into() })
    }

    /// Every one, in the order of the configuration.
    pub fn all(&self) -> &[Issuer] {
        &self.all
    }

    /// The one of this name; without a name the only one there is.
    ///
    /// # Errors
    /// [`OidcError::NoIssuer`] if there is none, or several and none was named.
    pub fn named(&self, name: Option<&str>) -> Result<&Issuer, OidcError> {
        match (name, &*self.all) {
            (None, [only]) => Ok(only),
            (None, _) => Err(OidcError::NoIssuer(String::new())),
            (Some(name), all) => all
                .iter()
                .find(|issuer| issuer.config.name == name)
                .ok_or_else(|| OidcError::NoIssuer(name.to_owned())),
        }
    }

    /// What an access token says, if one of the issuers made it for this lab.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn accept(&self, token: &str) -> Result<Assertion, OidcError> {
        let parsed = parse(token)?;
        let issuer = self
            .all
            .iter()
            .find(|issuer| Some(issuer.config.url.as_str()) == parsed.issuer())
            .ok_or(OidcError::UnknownIssuer)?;
        issuer.accept(&parsed, &issuer.config.audience, now()).await
    }

    /// The one with this URL.
    pub fn of(&self, url: &str) -> Option<&Issuer> {
        self.all.iter().find(|issuer| issuer.config.url == url)
    }
}

impl Issuer {
    /// What the operator says of it.
    pub fn config(&self) -> &IssuerConfig {
        &self.config
    }

    /// By what rules its tokens are read now: those of its configuration, as a hash. What a token said
    /// by other rules counts no more.
    pub fn rules(&self) -> &str {
        &self.rules
    }

    /// Its client for terminals.
    pub fn device_client(&self) -> &str {
        self.config.device_client_id.as_deref().unwrap_or(&self.config.client_id)
    }

    /// The person whom a token names that this issuer signed, whatever else is wrong with it, and the
    /// SHA-256 of what of it is signed: for the log.
    pub async fn named_in(&self, token: &str) -> Option<(String, String)> {
        let parsed = parse(token).ok()?;
        let keys = self.provider.keys(parsed.algorithm, parsed.kid.as_deref()).await.ok()?;
        let claims = parsed.verify(&keys, Kind::Id).ok()?;
        let own = text(claims, "iss") == Some(&self.config.url);
        let sub = text(claims, "sub").filter(|_| own)?;
        Some((subject_name(&self.config.url, sub), fingerprint(parsed.signed())))
    }

    /// What an access token says that was made for one node alone, by its address: others can make no
    /// use of it there.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub(super) async fn accept_for(&self, token: &str, node: &str) -> Result<Assertion, OidcError> {
        let parsed = parse(token)?;
        if parsed.issuer() != Some(&self.config.url) {
            return Err(OidcError::UnknownIssuer);
        }
        if parsed.audiences() != [node] {
            return Err(OidcError::Audience { expected: node.to_owned() });
        }
        self.accept(&parsed, &[node.to_owned()], now()).await
    }

    async fn accept(
        &self,
        parsed: &Unverified<'_>,
        audience: &[String],
        now: i64,
    ) -> Result<Assertion, OidcError> {
        let keys = self.provider.keys(parsed.algorithm, parsed.kid.as_deref()).await?;
        let claims = parsed.verify(&keys, Kind::Access)?;
        let checked = check(claims, &self.config.url, Some(audience), now)?;
        check_access(claims)?;
        let visas = grants(&self.visas, claims, now).await;
        Ok(Assertion::new(&self.config, &self.rules, parsed.signed(), checked, claims, visas))
    }

    /// What an ID token says that was made for this node, in a login that began with this nonce.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub(super) async fn identify(
        &self,
        token: &str,
        nonce: Option<&str>,
        told: Option<Map<String, Value>>,
    ) -> Result<Assertion, OidcError> {
        let (parsed, now) = (parse(token)?, now());
        if parsed.issuer() != Some(&self.config.url) {
            return Err(OidcError::UnknownIssuer);
        }
        let keys = self.provider.keys(parsed.algorithm, parsed.kid.as_deref()).await?;
        let claims = parsed.verify(&keys, Kind::Id)?;
        // A code is redeemed by the one client, a device code by the other.
        let client = if nonce.is_some() { &self.config.client_id } else { self.device_client() };
        let accepted = [client.to_owned()];
        let checked = check(claims, &self.config.url, Some(&accepted), now)?;
        let others = texts(claims.get("aud")).len() > 1;
        match text(claims, "azp") {
            Some(party) if party != client => {
                return Err(OidcError::Audience { expected: client.to_owned() });
            }
            None if others => return Err(OidcError::Claim("azp")),
            _ => {}
        }
        check_id(claims, client)?;
        if nonce.is_some() && text(claims, "nonce") != nonce {
            return Err(OidcError::State("is not the one that the issuer answers"));
        }
        let mut all = claims.clone();
        if let Some(told) = told {
            if text(&told, "sub") != Some(&checked.sub) {
                return Err(OidcError::Claim("sub"));
            }
            // What was signed counts more.
            for (name, value) in told {
                all.entry(name).or_insert(value);
            }
        }
        let visas = grants(&self.visas, &all, now).await;
        Ok(Assertion::new(&self.config, &self.rules, parsed.signed(), checked, &all, visas))
    }
}
