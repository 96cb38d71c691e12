//! Rules on markings: the access limitation codes of OSTI E-Link 2.0 against each other, against the
//! tier, and against what they need besides; controlled unclassified information (CUI); export control.

use super::date::parse_date;
use super::vocabulary::LIMITED;
use super::{Findings, NOTHING, Setting, shown};
use crate::record::{Cui, ExportControl, Record};
use crate::tier::Tier;

/// Codes that say something else than who may read: declassified for OpenNet, and copyright. They
/// go with `UNL`.
const OPEN: [&str; 2] = ["OPN", "CPY"];
/// Codes that only a restricted dataset may have: their release to a foreign or unnamed person is
/// a matter of law.
const STRICTEST: [&str; 4] = ["CUI", "ECI", "NNPI", "SSI"];
/// Codes that protect until a date.
const UNTIL: [&str; 3] = ["PROT", "SBIR", "STTR"];
/// Limited dissemination controls of the CUI registry; `REL TO` is followed by countries.
const DISSEMINATION: [&str; 9] =
    ["NOFORN", "FED ONLY", "FEDCON", "NOCON", "DL ONLY", "RELIDO", "DISPLAY ONLY", "AC", "AWP"];
const REGIMES: [&str; 4] = ["EAR", "ITAR", "10CFR810", "10CFR110"];

pub(super) fn check(record: &Record, setting: &Setting, findings: &mut Findings) {
    codes(record, findings);
    details(record, setting, findings);
    if let Some(cui) = &record.cui {
        check_cui(record, cui, findings);
    }
    if let Some(export) = &record.export_control {
        check_export(record, export, findings);
    }
    for (code, there, pointer, rule, fix) in [
        (
            "CUI",
            record.cui.is_some(),
            "/cui",
            "cui.required",
            "the marking CUI needs {banner: …, designation: …}: who designated it, and its banner",
        ),
        (
            "ECI",
            record.export_control.is_some(),
            "/export_control",
            "export_control.required",
            "the marking ECI needs {regime: EAR or ITAR, classification: ECCN or USML category}",
        ),
    ] {
        if record.markings.iter().any(|marking| marking == code) && !there {
            findings.add(pointer, rule, NOTHING, fix);
        }
    }
}

/// Whether a code within CUI is a limited dissemination control, and no category.
pub fn is_dissemination(code: &str) -> bool {
    DISSEMINATION.contains(&code) || code.starts_with("REL TO ")
}

fn is_strict(tier: Option<Tier>) -> bool {
    matches!(tier, Some(Tier::Restricted | Tier::AggregatesOnly))
}

fn codes(record: &Record, findings: &mut Findings) {
    let marked = |code: &str| record.markings.iter().any(|marking| marking == code);
    for (place, marking) in record.markings.iter().enumerate() {
        let pointer = format!("/markings/{place}");
        let code = marking.as_str();
        if code != "UNL" && !LIMITED.contains(&code) {
            findings.add(
                pointer,
                "markings.list",
                shown(marking),
                "use an access limitation code of OSTI E-Link; UNL means unlimited",
            );
            continue;
        }
        if record.markings.iter().take(place).any(|earlier| earlier == marking) {
            findings.add(pointer, "markings.once", code, "write every code once");
            continue;
        }
        if code == "UNL" {
            continue;
        }
        if marked("UNL") && !OPEN.contains(&code) {
            findings.add(
                pointer,
                "markings.unlimited",
                code,
                format!("{code} limits access and UNL says unlimited: take one of them out"),
            );
        } else if marked("CUI") && code != "CUI" {
            findings.add(
                pointer,
                "markings.cui_alone",
                code,
                format!(
                    "CUI stands alone: take {code} out and say it in words under `marking_details: other`"
                ),
            );
        } else if STRICTEST.contains(&code) && !is_strict(record.tier) {
            findings.add(
                pointer,
                "markings.tier",
                format!("{code} at the tier {}", tier(record)),
                format!("{code} needs the tier restricted, or aggregates_only"),
            );
        } else if !OPEN.contains(&code)
            && matches!(record.tier, Some(Tier::Public | Tier::Registered))
        {
            findings.add(
                pointer,
                "markings.tier",
                format!("{code} at the tier {}", tier(record)),
                format!(
                    "{code} limits access: give the record the tier controlled or a stricter one; if the marking is wrong, correct it"
                ),
            );
        }
    }
}

fn tier(record: &Record) -> &'static str {
    record.tier.map_or("not said", Tier::as_str)
}

/// What the codes need besides.
fn details(record: &Record, setting: &Setting, findings: &mut Findings) {
    let marked = |code: &str| record.markings.iter().any(|marking| marking == code);
    let details = record.marking_details.clone().unwrap_or_default();
    if let Some(date) = &details.release_date {
        match parse_date(date) {
            Some(day) if day > setting.today => {}
            _ => findings.add(
                "/marking_details/release_date",
                "markings.release_date",
                shown(date),
                "write the first day without protection as YYYY-MM-DD, after today; take the marking out when it has passed",
            ),
        }
    } else if let Some(code) = UNTIL.into_iter().find(|code| marked(code)) {
        findings.add(
            "/marking_details/release_date",
            "markings.release_date",
            NOTHING,
            format!("{code} protects until a date: write it as YYYY-MM-DD"),
        );
    }
    match details.exemption {
        Some(number) if !(3..=9).contains(&number) => findings.add(
            "/marking_details/exemption",
            "markings.exemption",
            number.to_string(),
            "write the number of the exemption of the Freedom of Information Act, 3 to 9",
        ),
        None if marked("PDOUO") => findings.add(
            "/marking_details/exemption",
            "markings.exemption",
            NOTHING,
            "PDOUO rests on an exemption of the Freedom of Information Act: write its number, 3 to 9",
        ),
        _ => {}
    }
    let other = details.other.as_deref().unwrap_or_default().trim();
    if marked("OTHR") && other.is_empty() {
        findings.add(
            "/marking_details/other",
            "markings.other",
            NOTHING,
            "OTHR means another limitation: say in words which",
        );
    }
}

fn check_cui(record: &Record, cui: &Cui, findings: &mut Findings) {
    if !is_strict(record.tier) {
        findings.add(
            "/cui",
            "cui.tier",
            format!("the tier {}", tier(record)),
            "controlled unclassified information needs the tier restricted, or aggregates_only",
        );
    }
    if !record.markings.iter().any(|marking| marking == "CUI") {
        findings.add(
            "/markings",
            "cui.marking",
            record.markings.join(", "),
            "a record with `cui` has the marking CUI, and no other",
        );
    }
    if cui.designation.trim().is_empty() {
        findings.add(
            "/cui/designation",
            "cui.designation",
            NOTHING,
            "say which agency or office designated it, and whom to ask (32 CFR 2002.20)",
        );
    }
    for (place, control) in cui.dissemination.iter().enumerate() {
        if !is_dissemination(control) {
            findings.add(
                format!("/cui/dissemination/{place}"),
                "cui.dissemination",
                shown(control),
                format!(
                    "use a control of the CUI registry: {}, REL TO …",
                    DISSEMINATION.join(", ")
                ),
            );
        }
    }
    let mut parts = vec!["CUI".to_owned()];
    for list in [&cui.categories, &cui.dissemination] {
        if !list.is_empty() {
            parts.push(list.join("/"));
        }
    }
    let banner = parts.join("//");
    if cui.banner != banner && cui.banner.replacen("CONTROLLED", "CUI", 1) != banner {
        findings.add(
            "/cui/banner",
            "cui.banner",
            shown(&cui.banner),
            format!(
                "by the categories and dissemination controls of this record the banner is {banner:?}: correct it, or them"
            ),
        );
    }
}

fn check_export(record: &Record, export: &ExportControl, findings: &mut Findings) {
    if !REGIMES.contains(&export.regime.as_str()) {
        findings.add(
            "/export_control/regime",
            "export_control.regime",
            shown(&export.regime),
            format!("use one of {}", REGIMES.join(", ")),
        );
    }
    let classification = export.classification.trim();
    if classification.is_empty() {
        findings.add(
            "/export_control/classification",
            "export_control.classification",
            NOTHING,
            "write the ECCN (EAR) or the USML category (ITAR); EAR99 for what no entry lists",
        );
    }
    for (place, country) in export.countries.iter().enumerate() {
        super::access::country(country, &format!("/export_control/countries/{place}"), findings);
    }
    if classification != "EAR99" && !is_strict(record.tier) {
        findings.add(
            "/export_control",
            "export_control.tier",
            format!("the tier {}", tier(record)),
            "data under export control need the tier restricted, or aggregates_only: showing them to a foreign person is an export",
        );
    } else if matches!(record.tier, Some(Tier::Public | Tier::Registered)) {
        findings.add(
            "/export_control",
            "export_control.tier",
            format!("the tier {}", tier(record)),
            "an export classification needs the tier controlled or a stricter one",
        );
    }
    if is_strict(record.tier)
        && classification != "EAR99"
        && !export.us_persons
        && export.countries.is_empty()
    {
        findings.add(
            "/export_control/countries",
            "export_control.countries",
            NOTHING,
            "say to which countries it may go, or `us_persons: true`",
        );
    }
}
