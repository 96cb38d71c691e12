//! What a login says of a person, in the words of the lab.

use super::claims::{Checked, text, texts};
use super::config::RESERVED;
use super::{IssuerConfig, VisaGrants};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use tarn_schemas::Scope;
use tarn_schemas::shown::is_obeyed;

/// Longest value that is taken over, and most of a kind.
const LONGEST: usize = 160;
const MOST: usize = 200;

/// What an accepted token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Name of the issuer here.
    pub issuer_name: String,
    /// URL of the issuer.
    pub issuer: String,
    /// The person, as the issuer names them.
    pub sub: String,
    /// The person, as this lab names them: see [`subject_name`].
    pub name: String,
    /// How people call them. Nothing is decided by it.
    pub called: String,
    /// What tells which human it is, at whichever issuer: `orcid:0000-0002-1825-0097`, and a mail address that
    /// the issuer verified (`mailto:ann@lab.gov`).
    pub identities: BTreeSet<String>,
    /// Groups, with the issuer's prefix.
    pub groups: BTreeSet<String>,
    /// Affiliations, such as `ornl.gov`.
    pub affiliations: BTreeSet<String>,
    /// `low`, `medium` or `high`.
    pub assurance: Option<String>,
    /// The widest thing that the issuer's groups let them do.
    pub scope: Scope,
    /// The widest thing that this token may be used for, where it says so (`tarn:read`, …).
    pub limit: Option<Scope>,
    /// When it was issued, in seconds.
    pub issued: i64,
    /// When it ends, in seconds.
    pub expires: i64,
    /// What GA4GH visas in it grant.
    pub visas: VisaGrants,
    /// By what rules of the configuration it was read: see [`super::Issuer::rules`].
    pub rules: String,
    /// SHA-256 of what of the token is signed, in hexadecimal, to know it again. The signature itself
    /// is no part of it: of the same text there are two by ECDSA.
    pub token: String,
}

/// The name of a person at an issuer, for grants, attributes and the audit log. It is made of the
/// issuer's URL and the subject, which never change hands, unlike names and mail addresses; persons of
/// two issuers never have the same.
pub fn subject_name(issuer: &str, sub: &str) -> String {
    let mut hash = Sha256::new();
    // The length keeps ("a", "bc") apart from ("ab", "c").
    hash.update(u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(issuer.as_bytes());
    hash.update(sub.as_bytes());
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("login:{}", digits.get(..32).unwrap_or_default())
}

/// SHA-256 of a text in hexadecimal.
pub(super) fn fingerprint(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Assertion {
    /// What claims that were checked say.
    pub(super) fn new(
        config: &IssuerConfig,
        rules: &str,
        signed: &str,
        checked: Checked,
        claims: &Map<String, Value>,
        visas: VisaGrants,
    ) -> Self {
        let own: BTreeSet<String> =
            config.claims.groups.iter().flat_map(|name| texts(claims.get(name))).collect();
        let prefix = config.prefix();
        let groups: BTreeSet<String> =
            plain(&own, config).iter().map(|group| format!("{prefix}{group}")).collect();
        // Those visas give, and nobody's own groups.
        let groups = groups.into_iter().filter(|group| !group.starts_with(RESERVED)).collect();
        let affiliations = texts(claims.get(&config.claims.affiliations));
        let domain = |value: &String| {
            value.rsplit_once('@').map_or(value.as_str(), |(_, domain)| domain).to_owned()
        };
        let called = text(claims, &config.claims.name)
            .or_else(|| text(claims, "preferred_username"))
            .unwrap_or(&checked.sub);
        Self {
            issuer_name: config.name.clone(),
            issuer: config.url.clone(),
            name: subject_name(&config.url, &checked.sub),
            identities: identities(&config.url, &checked.sub, claims),
            called: called.chars().filter(|c| !is_obeyed(*c)).take(LONGEST).collect(),
            scope: config.scope_in(&groups),
            groups,
            affiliations: affiliations
                .iter()
                .map(domain)
                .filter(|value| fits(value) && config.may_say(value))
                .take(MOST)
                .collect(),
            assurance: config.level(texts(claims.get(&config.claims.assurance))),
            limit: limit(claims),
            issued: checked.issued,
            expires: checked.expires,
            sub: checked.sub,
            visas,
            rules: rules.to_owned(),
            token: fingerprint(signed),
        }
    }
}

/// What claims say of which human it is. A mail address that the issuer did not verify says nothing: whoever
/// registers there writes what they like.
fn identities(issuer: &str, sub: &str, claims: &Map<String, Value>) -> BTreeSet<String> {
    let at_orcid = issuer.trim_end_matches('/').ends_with("orcid.org").then_some(sub);
    let orcid = text(claims, "orcid").or(at_orcid).and_then(orcid);
    let verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        // Some issuers write it as a text.
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    let mail = text(claims, "email").filter(|_| verified).and_then(mail);
    orcid.into_iter().chain(mail).collect()
}

/// An ORCID iD, with or without its address, in one way.
pub fn orcid(text: &str) -> Option<String> {
    let digits = text.trim().rsplit('/').next().unwrap_or_default().to_uppercase();
    let shape = digits.len() == 19
        && digits.split('-').count() == 4
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'X');
    shape.then(|| format!("orcid:{digits}"))
}

/// A mail address in one way: nobody gives two people addresses that differ in the case of letters alone.
pub fn mail(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let parts = text.split_once('@');
    parts.filter(|(name, host)| !name.is_empty() && host.contains('.') && fits(&text))?;
    Some(format!("mailto:{text}"))
}

/// Whether a value may stand in attributes. Others are left out, because a shortened one could be the
/// name of another group.
fn fits(value: &str) -> bool {
    !value.trim().is_empty() && value.len() <= LONGEST && !value.chars().any(char::is_control)
}

/// Groups as they may stand in attributes: those that decide the scope first, should there be too many.
fn plain(own: &BTreeSet<String>, config: &IssuerConfig) -> BTreeSet<String> {
    let first = [&config.admin_group, &config.write_group].into_iter().flatten();
    let first = first.filter(|group| own.contains(*group));
    first.chain(own).filter(|group| fits(group)).take(MOST).cloned().collect()
}

/// What the token's own scopes limit it to. One that names none of ours says nothing about it.
fn limit(claims: &Map<String, Value>) -> Option<Scope> {
    let scopes = [claims.get("scope"), claims.get("scp")];
    let named = scopes.into_iter().flat_map(texts);
    let known = |scope: &str| match scope {
        "tarn:read" => Some(Scope::Read),
        "tarn:write" => Some(Scope::Write),
        "tarn:admin" => Some(Scope::Admin),
        _ => None,
    };
    named.flat_map(|list| list.split(' ').filter_map(known).collect::<Vec<_>>()).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(config: Value, claims: Value) -> Assertion {
        let mut base = json!({"name": "lab", "url": "https://sso.lab.gov", "client_id": "tarn"});
        base.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let config: IssuerConfig = serde_json::from_value(base).unwrap();
        let checked = Checked { sub: "u1".to_owned(), issued: 1, expires: 2 };
        let claims = claims.as_object().unwrap().clone();
        Assertion::new(&config, "rules", "token", checked, &claims, VisaGrants::default())
    }

    #[test]
    fn a_human_is_known_by_orcid_and_by_a_verified_address() {
        let of = |claims: Value| -> Vec<String> {
            said(json!({}), claims).identities.into_iter().collect()
        };
        assert_eq!(
            of(
                json!({"email": "Ann@Lab.gov", "email_verified": true, "orcid": "https://orcid.org/0000-0002-1694-233x"})
            ),
            ["mailto:ann@lab.gov", "orcid:0000-0002-1694-233X"]
        );
        for nothing in [
            json!({"email": "ann@lab.gov"}),
            json!({"email": "ann@lab.gov", "email_verified": false}),
            json!({"email": "ann", "email_verified": true}),
            json!({"orcid": "ann"}),
        ] {
            assert_eq!(of(nothing), Vec::<String>::new());
        }
        let at_orcid = identities("https://orcid.org", "0000-0002-1825-0097", &Map::new());
        assert!(at_orcid.contains("orcid:0000-0002-1825-0097"), "{at_orcid:?}");
    }

    #[test]
    fn one_sub_at_two_issuers_is_two_people() {
        let one = subject_name("https://a.gov", "alice");
        assert_eq!(one, subject_name("https://a.gov", "alice"));
        assert_eq!(one.len(), "login:".len() + 32);
        for (issuer, sub) in
            [("https://b.gov", "alice"), ("https://a.gov", "Alice"), ("https://a.gova", "lice")]
        {
            assert_ne!(one, subject_name(issuer, sub), "{issuer} {sub}");
        }
    }

    #[test]
    fn groups_carry_the_issuer_unless_the_operator_says_otherwise() {
        let claims = json!({"groups": ["dac", "staff", 7, "", "a\nb"], "entitlements": "urn:x",
            "name": "Ann", "email": "ann@lab.gov",
            "eduperson_scoped_affiliation": ["member@ornl.gov", "anl.gov"]});
        let ann = said(json!({}), claims.clone());
        let groups: Vec<&str> = ann.groups.iter().map(String::as_str).collect();
        assert_eq!(groups, ["lab:dac", "lab:staff"]);
        assert_eq!(ann.affiliations, ["anl.gov", "ornl.gov"].map(str::to_owned).into());
        assert_eq!((ann.called.as_str(), ann.scope, ann.limit), ("Ann", Scope::Read, None));
        let own = json!({"group_prefix": "", "write_group": "staff",
            "claims": {"groups": ["groups", "entitlements"]}});
        let ann = said(own, claims);
        assert!(ann.groups.contains("dac") && ann.groups.contains("urn:x"));
        assert_eq!(ann.scope, Scope::Write);
    }

    #[test]
    fn an_issuer_says_no_more_than_it_may() {
        let claims = json!({"groups": ["ga4gh:registered-access", "gh:x", "dac"],
            "eduperson_scoped_affiliation": ["member@ornl.gov", "faculty@ANL.gov", "x@evil.gov"]});
        let own = said(json!({"group_prefix": ""}), claims.clone());
        assert_eq!(own.groups, ["dac", "gh:x"].map(str::to_owned).into());
        assert_eq!(own.affiliations.len(), 3);
        let guest = json!({"group_prefix": "ga4", "affiliations": ["ornl.gov", "anl.gov"]});
        let guest = said(guest, claims.clone());
        assert_eq!(
            guest.groups,
            ["ga4dac", "ga4ga4gh:registered-access"].map(str::to_owned).into()
        );
        assert_eq!(guest.affiliations, ["ANL.gov", "ornl.gov"].map(str::to_owned).into());
        assert!(said(json!({"affiliations": []}), claims).affiliations.is_empty());
    }

    #[test]
    fn scopes_of_a_token_limit_it() {
        for (claims, expected) in [
            (json!({"scope": "openid tarn:read"}), Some(Scope::Read)),
            (json!({"scope": "tarn:read tarn:write"}), Some(Scope::Write)),
            (json!({"scp": ["tarn:read"]}), Some(Scope::Read)),
            (json!({"scope": "openid tarn:root"}), None),
            (json!({}), None),
        ] {
            assert_eq!(said(json!({}), claims.clone()).limit, expected, "{claims}");
        }
    }
}
