//! Rules on who may read: tier, licence, embargo.

use super::date::{in_months, parse_date};
use super::license::{check_spdx, is_open};
use super::{Findings, NOTHING, Setting, shown};
use crate::record::Record;
use crate::tier::Tier;

pub(super) fn check(record: &Record, setting: &Setting, findings: &mut Findings) {
    tier(record, findings);
    license(record, findings);
    embargo(record, setting, findings);
}

fn tier(record: &Record, findings: &mut Findings) {
    if record.tier.is_none() {
        findings.add(
            "/tier",
            "tier.required",
            NOTHING,
            "say who may read the data: public, registered (everyone who is signed in), controlled or restricted (holders of a grant) or aggregates_only (no rows leave); there is no default",
        );
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
    // It is a link on the page of the dataset, and in what others copy from there.
    if let Some(rights) = &record.rights
        && !is_web_address(rights)
    {
        findings.add(
            "/rights",
            "rights.uri",
            shown(rights),
            "write the address of a rights statement, which begins with https:// or http://, such as https://rightsstatements.org/vocab/InC/1.0/",
        );
    }
    let stated = record.license.is_some() || record.rights.is_some();
    match record.tier {
        // Nobody outside sees restricted data; what they may do with them is in the agreement.
        Some(Tier::Restricted) => {
            if let Some(license) = &record.license
                && is_open(license)
            {
                findings.add(
                    "/license",
                    "license.tier",
                    shown(license),
                    "an open licence lets everyone have the data, and the tier restricted nearly nobody: take the licence out, or choose another tier",
                );
            }
        }
        Some(Tier::Controlled) if record.rights.is_none() => findings.add(
            "/rights",
            "rights.required",
            NOTHING,
            "write the URI of the data use agreement: it says what readers may do",
        ),
        Some(Tier::Registered | Tier::AggregatesOnly) if !stated => findings.add(
            "/license",
            "license.required",
            NOTHING,
            "give an SPDX licence expression such as CC-BY-4.0 in `license`, or the URI of a rights statement in `rights`",
        ),
        Some(Tier::Controlled | Tier::Registered | Tier::AggregatesOnly) => {}
        Some(Tier::Public) | None if record.license.is_none() => findings.add(
            "/license",
            "license.required",
            record.rights.as_ref().map_or_else(
                || NOTHING.to_owned(),
                |_| "a rights statement only".to_owned(),
            ),
            "give an SPDX licence expression such as CC-BY-4.0 or CC0-1.0: without a licence nobody may use public data",
        ),
        Some(Tier::Public) | None => {}
    }
}

/// Schemes that name nothing elsewhere: what they hold is run or shown, or is on the reader's machine.
const NO_NAMES: [&str; 6] = ["javascript", "vbscript", "data", "blob", "about", "view-source"];

/// An absolute URI of the web.
fn is_web_address(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    is_uri(text)
        && scheme.is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
        })
}

/// The shape of an absolute URI (RFC 3986, section 3) that names something: a scheme, a colon, and no
/// spaces.
pub(super) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    !NO_NAMES.iter().any(|other| scheme.eq_ignore_ascii_case(other))
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
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

/// 64 lower-case hexadecimal digits.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
