//! Rules on who may read: tier, licence, embargo, markings, terms.

use super::date::{in_months, parse_date};
use super::license::check_spdx;
use super::vocabulary::LIMITED;
use super::{Findings, NOTHING, Setting, shown};
use crate::record::Record;
use crate::tier::Tier;

pub(super) fn check(record: &Record, setting: &Setting, findings: &mut Findings) {
    tier(record, findings);
    license(record, findings);
    embargo(record, setting, findings);
    markings(record, findings);
    terms(record, findings);
}

fn tier(record: &Record, findings: &mut Findings) {
    match record.tier {
        None => findings.add(
            "/tier",
            "tier.required",
            NOTHING,
            "say who may read the data: public, registered (everyone who is signed in), controlled or restricted (holders of a grant) or aggregates_only (no rows leave); there is no default",
        ),
        Some(_) => {}
    }
}

fn license(record: &Record, findings: &mut Findings) {
    if let Some(license) = &record.license
        && let Err(problem) = check_spdx(license)
    {
        findings.add(
            "/license",
            "license.spdx",
            shown(license),
            format!("write an SPDX licence expression such as CC-BY-4.0 or CC0-1.0: {problem}"),
        );
    }
    if let Some(rights) = &record.rights
        && !is_uri(rights)
    {
        findings.add(
            "/rights",
            "rights.uri",
            shown(rights),
            "write the URI of a rights statement, such as https://rightsstatements.org/vocab/InC/1.0/",
        );
    }
    match record.tier {
        Some(tier) if tier > Tier::Public && record.license.is_none() && record.rights.is_none() => findings
            .add(
                "/license",
                "license.required",
                NOTHING,
                "give an SPDX licence expression such as CC-BY-4.0 in `license`, or the URI of a rights statement in `rights`",
            ),
        Some(tier) if tier > Tier::Public => {}
        _ if record.license.is_none() => findings.add(
            "/license",
            "license.required",
            record.rights.as_ref().map_or_else(
                || NOTHING.to_owned(),
                |_| "a rights statement only".to_owned(),
            ),
            "give an SPDX licence expression such as CC-BY-4.0 or CC0-1.0: without a licence nobody may use public data",
        ),
        _ => {}
    }
}

/// The shape of an absolute URI (RFC 3986, section 3): a scheme, a colon, and no spaces.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.is_empty()
        && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// Whether this is an identifier that others resolve: an absolute URI (an ARK or a `doi:` too), or a
/// bare DOI.
pub fn is_identifier(text: &str) -> bool {
    let doi = text.strip_prefix("10.").and_then(|rest| rest.split_once('/'));
    is_uri(text)
        || doi.is_some_and(|(prefix, rest)| {
            prefix.len() >= 4
                && prefix.chars().all(|c| c.is_ascii_digit() || c == '.')
                && !rest.is_empty()
                && !text.contains(char::is_whitespace)
        })
}

fn embargo(record: &Record, setting: &Setting, findings: &mut Findings) {
    let today = setting.today;
    let latest = in_months(today, setting.longest_embargo_months);
    let Some(embargo) = &record.embargo else { return };
    match parse_date(&embargo.until) {
        None => findings.add(
            "/embargo/until",
            "embargo.date",
            shown(&embargo.until),
            "write the first open day as YYYY-MM-DD",
        ),
        Some(until) if until <= today => findings.add(
            "/embargo/until",
            "embargo.future",
            embargo.until.clone(),
            format!("the embargo has to end after today ({today}), or leave it out"),
        ),
        Some(until) if until > latest => findings.add(
            "/embargo/until",
            "embargo.longest",
            embargo.until.clone(),
            format!(
                "this lab holds data back for at most {} months, until {latest}: write an earlier \
                 day, and a new version of the record if that is not enough",
                setting.longest_embargo_months
            ),
        ),
        Some(_) => {}
    }
    if embargo.reason.trim().is_empty() {
        findings.add(
            "/embargo/reason",
            "embargo.reason",
            NOTHING,
            "say why the data are held back",
        );
    }
}

fn markings(record: &Record, findings: &mut Findings) {
    for (place, marking) in record.markings.iter().enumerate() {
        let pointer = format!("/markings/{place}");
        if marking != "UNL" && !LIMITED.contains(&marking.as_str()) {
            findings.add(
                pointer,
                "markings.list",
                shown(marking),
                "use an access limitation code of OSTI E-Link; UNL means unlimited",
            );
        } else if marking != "UNL" && record.tier.is_some_and(|tier| tier <= Tier::Registered) {
            findings.add(
                pointer,
                "markings.tier",
                marking.clone(),
                format!("{marking} limits access: give the record the tier restricted"),
            );
        }
    }
}

fn terms(record: &Record, findings: &mut Findings) {
    let Some(terms) = &record.terms else {
        if record.tier == Some(Tier::Registered) {
            findings.add(
                "/terms",
                "terms.required",
                NOTHING,
                "name the terms that readers of a registered dataset accept: {id: name or URI, sha256: SHA-256 of their text}",
            );
        }
        return;
    };
    if terms.id.trim().is_empty() {
        findings.add("/terms/id", "terms.id", NOTHING, "write the name or URI of the terms");
    }
    if !is_sha256(&terms.sha256) {
        findings.add(
            "/terms/sha256",
            "terms.sha256",
            shown(&terms.sha256),
            "write the SHA-256 of the terms' text as 64 lower-case hexadecimal digits (`sha256sum terms.txt`)",
        );
    }
}

/// 64 lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
