//! GA4GH visas (Passport 1.2) that a login carries: what they grant, and until when.
//!
//! A visa counts if its issuer is configured as trusted, its signature is right by the keys at the
//! configured place, it has not expired, was asserted not too long ago, and has no `conditions` (they
//! are about other visas, and are not understood here). Everything that visas grant ends with the
//! first of them that ends.

use super::claims::{check, text, texts, time};
use super::config::{check_url, is_listed};
use super::jws::{Kind, Unverified, parse};
use super::keys::Keys;
use super::provider::Provider;
use super::{OidcError, VisaIssuerConfig};
use reqwest::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use tarn_schemas::DatasetName;

/// The claim that holds visas.
const PASSPORT: &str = "ga4gh_passport_v1";
/// Most visas of a login that are looked at.
const MOST: usize = 64;
/// Value of the visas that stand for registered access (doi of the paper that defines it).
const BONA_FIDE: &str = "https://doi.org/10.1038/s41431-018-0219-y";
/// The group of those who have both of them.
const REGISTERED: &str = "ga4gh:registered-access";
const SECONDS_OF_DAY: i64 = 86_400;

/// What the visas of a login grant, all of it until the same moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisaGrants {
    /// Datasets of this lab.
    pub datasets: BTreeSet<DatasetName>,
    /// Affiliations.
    pub affiliations: BTreeSet<String>,
    /// Groups: `ga4gh:registered-access`.
    pub groups: BTreeSet<String>,
    /// Until when, in seconds: the minimum over the visas that were used.
    pub until: i64,
}

/// A trusted issuer of visas.
#[derive(Debug)]
pub(super) struct VisaIssuer {
    config: VisaIssuerConfig,
    provider: Provider,
}

/// What one visa says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Visa {
    kind: String,
    value: String,
    pub(super) until: i64,
}

impl VisaIssuer {
    pub(super) fn new(config: VisaIssuerConfig, client: Client) -> Result<Self, OidcError> {
        for (key, url) in [("url", &config.url), ("jwks_url", &config.jwks_url)] {
            check_url(url).map_err(|problem| OidcError::Config {
                issuer: config.url.clone(),
                key,
                problem,
            })?;
        }
        let provider = Provider::pinned(client, config.url.clone(), config.jwks_url.clone());
        Ok(Self { config, provider })
    }

    async fn read(&self, visa: &Unverified<'_>, now: i64) -> Result<Visa, OidcError> {
        let keys = self.provider.keys(visa.algorithm, visa.kid.as_deref()).await?;
        read(&self.config, visa, &keys, now)
    }
}

/// A visa whose signature and claims are right.
pub(super) fn read(
    config: &VisaIssuerConfig,
    visa: &Unverified<'_>,
    keys: &Keys,
    now: i64,
) -> Result<Visa, OidcError> {
    const BROKEN: OidcError = OidcError::Claim("ga4gh_visa_v1");
    let claims = visa.verify(keys, Kind::Visa)?;
    // A visa names no audience: it is for whoever trusts its issuer.
    let checked = check(claims, &config.url, None, now)?;
    let object = claims.get("ga4gh_visa_v1").and_then(Value::as_object).ok_or(BROKEN)?;
    if object.get("conditions").is_some_and(|conditions| !is_empty(conditions)) {
        return Err(OidcError::Malformed("it has conditions, which are not understood here"));
    }
    let asserted = time(object, "asserted").ok().flatten().ok_or(BROKEN)?;
    if asserted > now.saturating_add(super::SKEW) {
        return Err(OidcError::NotYet);
    }
    let longest = i64::from(config.max_days).saturating_mul(SECONDS_OF_DAY);
    let until = checked.expires.min(asserted.saturating_add(longest));
    if until <= now {
        return Err(OidcError::Expired);
    }
    let field = |name: &str| text(object, name).map(str::to_owned).ok_or(BROKEN);
    // Who vouches for it has to be there; what it is counts by the trust in the issuer.
    field("source")?;
    Ok(Visa { kind: field("type")?, value: field("value")?, until })
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// What the visas in the claims of an accepted login grant. One that does not count is left out, and
/// the log says why; the login itself is none the worse.
pub(super) async fn grants(
    trusted: &[VisaIssuer],
    claims: &Map<String, Value>,
    now: i64,
) -> VisaGrants {
    let mut grants = VisaGrants { until: i64::MAX, ..VisaGrants::default() };
    let (mut researcher, mut terms) = (None, None);
    for token in texts(claims.get(PASSPORT)).iter().take(MOST) {
        let Ok(visa) = parse(token) else { continue };
        let Some(issuer) =
            trusted.iter().find(|issuer| Some(issuer.config.url.as_str()) == visa.issuer())
        else {
            continue;
        };
        match issuer.read(&visa, now).await {
            Ok(visa) => match visa.kind.as_str() {
                "ResearcherStatus" if visa.value == BONA_FIDE => researcher = Some(visa.until),
                "AcceptedTermsAndPolicies" if visa.value == BONA_FIDE => terms = Some(visa.until),
                _ => grants.add(&issuer.config, &visa),
            },
            Err(error) => {
                tracing::info!(issuer = issuer.config.url, %error, "a visa does not count");
            }
        }
    }
    if let (Some(one), Some(other)) = (researcher, terms) {
        grants.groups.insert(REGISTERED.to_owned());
        grants.until = grants.until.min(one).min(other);
    }
    if grants.is_empty() { VisaGrants::default() } else { grants }
}

impl VisaGrants {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.datasets.is_empty() && self.affiliations.is_empty() && self.groups.is_empty()
    }

    fn add(&mut self, config: &VisaIssuerConfig, visa: &Visa) {
        match visa.kind.as_str() {
            "ControlledAccessGrants" => {
                let Some(dataset) = config.datasets.get(&visa.value) else { return };
                self.datasets.insert(dataset.clone());
            }
            "AffiliationAndRole" => {
                let Some((_, domain)) = visa.value.rsplit_once('@') else { return };
                let fits = (1..=160).contains(&domain.len())
                    && !domain.chars().any(char::is_control)
                    && is_listed(config.affiliations.as_ref(), domain);
                if !fits {
                    return;
                }
                self.affiliations.insert(domain.to_owned());
            }
            _ => return,
        }
        self.until = self.until.min(visa.until);
    }
}
