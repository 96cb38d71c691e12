//! What an operator says of an issuer.

use super::OidcError;
use super::assertion::fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use tarn_schemas::{DatasetName, Scope};
use url::Url;

/// An OpenID provider whose logins a lab accepts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Short name, as in `/login?issuer=NAME`: a-z, 0-9, `_` and `-`.
    pub name: String,
    /// URL of the issuer, exactly as its tokens have it in `iss`.
    pub url: String,
    /// This node at the issuer.
    pub client_id: String,
    /// The client of terminals, where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_client_id: Option<String>,
    /// Environment variable with the secret of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_env: Option<String>,
    /// File with the secret of the client, relative to the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// `aud` of access tokens that are accepted as bearer tokens; none are if it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Scopes that a login asks for. Some issuers refuse those that they do not know.
    #[serde(default = "default_scopes")]
    pub scopes: Vec<String>,
    /// Ask the issuer's userinfo endpoint for claims that are not in its ID tokens.
    #[serde(default)]
    pub userinfo: bool,
    /// Which claims say what.
    #[serde(default)]
    pub claims: ClaimNames,
    /// What levels of assurance mean here (`low`, `medium`, `high`), besides those of REFEDS.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assurance: BTreeMap<String, String>,
    /// The highest level that it may say of anybody; any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest_assurance: Option<String>,
    /// Affiliations that it may say of people (`ornl.gov`); any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affiliations: Option<BTreeSet<String>>,
    /// Whether GA4GH visas that come with its logins count. A visa names its person by the words of its
    /// own issuer: that it is about who logs in is this issuer's word alone.
    #[serde(default)]
    pub visas: bool,
    /// Stands before the issuer's groups; `NAME:` unless said, so that issuers share no group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_prefix: Option<String>,
    /// Group, as the issuer calls it, whose members may register and ingest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_group: Option<String>,
    /// Group, as the issuer calls it, whose members are administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_group: Option<String>,
}

/// Which claims of a token say what of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimNames {
    /// How people call them.
    pub name: String,
    /// Groups and entitlements.
    pub groups: Vec<String>,
    /// Affiliations (`member@ornl.gov` counts as `ornl.gov`).
    pub affiliations: String,
    /// Assurance of the identity.
    pub assurance: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            name: "name".to_owned(),
            groups: vec!["groups".to_owned()],
            affiliations: "eduperson_scoped_affiliation".to_owned(),
            assurance: "eduperson_assurance".to_owned(),
        }
    }
}

/// An issuer of GA4GH visas that are believed when an accepted login carries them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VisaIssuerConfig {
    /// `iss` of the visas.
    pub url: String,
    /// Where its keys are. What a visa says of that (`jku`) is not asked.
    pub jwks_url: String,
    /// Datasets of this lab by the `value` of a `ControlledAccessGrants` visa.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub datasets: BTreeMap<String, DatasetName>,
    /// Affiliations that its visas may say (`ornl.gov`); any unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affiliations: Option<BTreeSet<String>>,
    /// Days after `asserted` for which a visa counts, if it does not end before.
    #[serde(default = "default_days")]
    pub max_days: u32,
}

fn default_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

fn default_days() -> u32 {
    365
}

/// How groups begin that visas give, and no issuer's own groups do.
pub(super) const RESERVED: &str = "ga4gh:";

/// How identities are assured by the REFEDS assurance framework.
const REFEDS: [(&str, &str); 3] = [
    ("https://refeds.org/assurance/IAP/low", "low"),
    ("https://refeds.org/assurance/IAP/medium", "medium"),
    ("https://refeds.org/assurance/IAP/high", "high"),
];

impl IssuerConfig {
    pub(super) fn wrong(&self, key: &'static str, problem: impl Into<String>) -> OidcError {
        OidcError::Config { issuer: self.name.clone(), key, problem: problem.into() }
    }

    /// Checks what can be checked without asking the issuer.
    pub(super) fn check(&self) -> Result<(), OidcError> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
        if self.name.is_empty() || self.name.len() > 32 || !self.name.chars().all(plain) {
            return Err(self.wrong("name", "has to be 1 to 32 characters a-z, 0-9, _ and -"));
        }
        check_url(&self.url).map_err(|problem| self.wrong("url", problem))?;
        if self.client_id.trim().is_empty() {
            return Err(self.wrong("client_id", "is empty: write the name of this node there"));
        }
        if self.client_secret_env.is_some() && self.client_secret_file.is_some() {
            let problem = "and `client_secret_file` are both there: keep one";
            return Err(self.wrong("client_secret_env", problem));
        }
        let own = [Some(&self.client_id), self.device_client_id.as_ref()];
        if let Some(client) = own.into_iter().flatten().find(|id| self.audience.contains(id)) {
            // Then every ID token of the client, of whatever program, would open the API.
            let problem = format!(
                "has the client {client:?}: ID tokens would be let in as access tokens; give the API \
                 an audience of its own at the issuer"
            );
            return Err(self.wrong("audience", problem));
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            return Err(self.wrong("scopes", "has to have \"openid\""));
        }
        if let Some((value, level)) = self.assurance.iter().find(|(_, level)| rank(level).is_none())
        {
            let problem = format!("gives {value:?} the level {level:?}: write low, medium or high");
            return Err(self.wrong("assurance", problem));
        }
        if let Some(level) = self.highest_assurance.as_ref().filter(|level| rank(level).is_none()) {
            let problem = format!("is {level:?}: write low, medium or high");
            return Err(self.wrong("highest_assurance", problem));
        }
        if self.prefix().starts_with(RESERVED) {
            let key = if self.group_prefix.is_some() { "group_prefix" } else { "name" };
            let problem =
                format!("makes groups {RESERVED}…, which visas alone give: write another");
            return Err(self.wrong(key, problem));
        }
        Ok(())
    }

    /// By what rules its tokens are read, as a hash: what they said by other rules counts no more. Not
    /// part of it is what is looked at each time anew (who may write, whose tokens are accepted), and
    /// how this node shows itself to the issuer.
    pub(super) fn rules(&self, visas: &[VisaIssuerConfig]) -> String {
        let read = Self {
            client_secret_env: None,
            client_secret_file: None,
            audience: Vec::new(),
            scopes: Vec::new(),
            write_group: None,
            admin_group: None,
            ..self.clone()
        };
        let visas = if self.visas { visas } else { &[] };
        fingerprint(&serde_json::json!([read, visas]).to_string())
    }

    /// Whether it may say that somebody is of a place.
    pub(super) fn may_say(&self, affiliation: &str) -> bool {
        is_listed(self.affiliations.as_ref(), affiliation)
    }

    /// The secret of the client, if it has one.
    pub(super) fn secret(&self, home: &Path) -> Result<Option<String>, OidcError> {
        let (key, text) = match (&self.client_secret_env, &self.client_secret_file) {
            (Some(variable), _) => (
                "client_secret_env",
                std::env::var(variable)
                    .map_err(|_| format!("names the variable {variable:?}, which is not set")),
            ),
            (_, Some(file)) => {
                let path = home.join(file);
                warn_of_readers(&path);
                let read = std::fs::read_to_string(&path);
                ("client_secret_file", read.map_err(|error| format!("{}: {error}", path.display())))
            }
            (None, None) => return Ok(None),
        };
        let text = text.map_err(|problem| self.wrong(key, problem))?;
        match text.trim() {
            "" => Err(self.wrong(key, "is empty: put the client's secret there")),
            secret => Ok(Some(secret.to_owned())),
        }
    }

    /// The widest thing that these groups let somebody do, by their names here.
    pub fn scope_in(&self, groups: &BTreeSet<String>) -> Scope {
        let prefix = self.prefix();
        let is_in = |group: &Option<String>| {
            group.as_ref().is_some_and(|group| groups.contains(&format!("{prefix}{group}")))
        };
        if is_in(&self.admin_group) {
            Scope::Admin
        } else if is_in(&self.write_group) {
            Scope::Write
        } else {
            Scope::Read
        }
    }

    /// What stands before its groups.
    pub(super) fn prefix(&self) -> String {
        self.group_prefix.clone().unwrap_or_else(|| format!("{}:", self.name))
    }

    /// The highest level that these values mean.
    pub(super) fn level(&self, values: impl IntoIterator<Item = String>) -> Option<String> {
        let known = |value: &String| {
            let refeds = REFEDS.iter().find(|(url, _)| url == value).map(|(_, level)| *level);
            let own = self.assurance.get(value).map(String::as_str);
            own.or(refeds).and_then(|level| rank(level).map(|rank| (rank, level.to_owned())))
        };
        let best = values.into_iter().filter_map(|value| known(&value)).max();
        let most = self.highest_assurance.iter();
        let most = most.filter_map(|level| rank(level).map(|rank| (rank, level.clone()))).min();
        let level = match (best, most) {
            (Some(best), Some(most)) => Some(best.min(most)),
            (best, _) => best,
        };
        level.map(|(_, level)| level)
    }
}

/// Says so where others than its owner may read a secret. It is no refusal: orchestrators mount them so.
fn warn_of_readers(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o077 != 0) {
            let path = path.display();
            tracing::warn!(%path, "others than its owner may read this secret: chmod 600");
        }
    }
}

/// Whether an affiliation is among those that may be said. Names of the network have no case.
pub(super) fn is_listed(listed: Option<&BTreeSet<String>>, affiliation: &str) -> bool {
    listed.is_none_or(|listed| listed.iter().any(|one| one.eq_ignore_ascii_case(affiliation)))
}

fn rank(level: &str) -> Option<u8> {
    match level {
        "low" => Some(1),
        "medium" => Some(2),
        "high" => Some(3),
        _ => None,
    }
}

/// Whether a URL is one of this machine.
pub(super) fn is_local(url: &Url) -> bool {
    matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
}

/// Whether tokens and keys may travel by this URL: TLS, or within this machine.
pub(super) fn check_url(text: &str) -> Result<Url, String> {
    // They would be left out in reading it, and obeyed by a terminal that it is shown on.
    if text.chars().any(char::is_control) {
        return Err("has control characters: write a plain URL".to_owned());
    }
    let url =
        Url::parse(text).map_err(|error| format!("is {text:?}, which is no URL ({error})"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_local(&url) => {}
        _ => return Err(format!("is {text:?}: write an https:// URL, because keys come by it")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("is {text:?}: write it without user and fragment"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn config(text: &str) -> IssuerConfig {
        let base =
            serde_json::json!({"name": "lab", "url": "https://sso.lab.gov", "client_id": "tarn"});
        let mut base = base.as_object().unwrap().clone();
        base.extend(serde_json::from_str::<serde_json::Map<_, _>>(text).unwrap());
        serde_json::from_value(base.into()).unwrap()
    }

    #[test]
    fn what_is_wrong_is_named_with_its_key() {
        config("{}").check().unwrap();
        config(r#"{"url": "http://127.0.0.1:9400"}"#).check().unwrap();
        for (wrong, key) in [
            (r#"{"name": "Lab SSO"}"#, "name"),
            (r#"{"url": "http://sso.lab.gov"}"#, "url"),
            (r#"{"url": "https://user:pw@sso.lab.gov"}"#, "url"),
            (r#"{"url": "https://sso.lab.gov/\u001b[31m"}"#, "url"),
            (r#"{"client_id": " "}"#, "client_id"),
            (r#"{"client_secret_env": "A", "client_secret_file": "b"}"#, "client_secret_env"),
            (r#"{"scopes": ["profile"]}"#, "scopes"),
            (r#"{"audience": ["urn:api", "tarn"]}"#, "audience"),
            (r#"{"device_client_id": "cli", "audience": ["cli"]}"#, "audience"),
            (r#"{"assurance": {"gold": "best"}}"#, "assurance"),
            (r#"{"highest_assurance": "best"}"#, "highest_assurance"),
            (r#"{"name": "ga4gh"}"#, "name"),
            (r#"{"group_prefix": "ga4gh:x"}"#, "group_prefix"),
        ] {
            let error = config(wrong).check().unwrap_err();
            assert!(
                matches!(&error, OidcError::Config { key: found, .. } if *found == key),
                "{error}"
            );
        }
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_empty() {
        let home = tempfile::tempdir().unwrap();
        let issuer = config(r#"{"client_secret_file": "sso.secret"}"#);
        assert!(issuer.secret(home.path()).is_err());
        std::fs::write(home.path().join("sso.secret"), "\n").unwrap();
        assert!(issuer.secret(home.path()).is_err());
        std::fs::write(home.path().join("sso.secret"), "s3cret\n").unwrap();
        assert_eq!(issuer.secret(home.path()).unwrap().as_deref(), Some("s3cret"));
        assert_eq!(config("{}").secret(home.path()).unwrap(), None);
    }

    #[test]
    fn the_highest_assurance_counts_and_an_unknown_one_is_none() {
        let issuer = config(r#"{"assurance": {"gold": "high", "bronze": "low"}}"#);
        let level = |values: &[&str]| issuer.level(values.iter().map(|v| (*v).to_owned()));
        assert_eq!(level(&["bronze", "gold"]).as_deref(), Some("high"));
        assert_eq!(level(&["https://refeds.org/assurance/IAP/medium"]).as_deref(), Some("medium"));
        assert_eq!(level(&["high", "platinum"]), None);
        // An issuer that is trusted with less than it says.
        let issuer = config(r#"{"assurance": {"gold": "high"}, "highest_assurance": "medium"}"#);
        let level = |values: &[&str]| issuer.level(values.iter().map(|v| (*v).to_owned()));
        assert_eq!(level(&["gold"]).as_deref(), Some("medium"));
        assert_eq!(level(&["https://refeds.org/assurance/IAP/low"]).as_deref(), Some("low"));
        assert_eq!(level(&["platinum"]), None);
    }

    #[test]
    fn rules_are_others_where_tokens_are_read_otherwise() {
        let (first, visa) = (config("{}"), |days: u32| -> VisaIssuerConfig {
            serde_json::from_value(serde_json::json!({
                "url": "https://dac.example", "jwks_url": "https://dac.example/jwks",
                "max_days": days,
            }))
            .unwrap()
        });
        for same in [r#"{"write_group": "x"}"#, r#"{"audience": ["urn:api"]}"#] {
            assert_eq!(first.rules(&[]), config(same).rules(&[visa(1)]), "{same}");
        }
        for other in [
            r#"{"group_prefix": ""}"#,
            r#"{"claims": {"assurance": "acr"}}"#,
            r#"{"assurance": {"gold": "high"}}"#,
            r#"{"highest_assurance": "low"}"#,
            r#"{"affiliations": []}"#,
            r#"{"visas": true}"#,
        ] {
            assert_ne!(first.rules(&[]), config(other).rules(&[]), "{other}");
        }
        let visas = config(r#"{"visas": true}"#);
        assert_ne!(visas.rules(&[visa(1)]), visas.rules(&[visa(2)]));
        assert_ne!(visas.rules(&[visa(1)]), visas.rules(&[]));
    }
}
