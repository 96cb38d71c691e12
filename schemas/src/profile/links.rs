//! Rules on dates of care, provenance, funding and links to other resources.

use super::agents::ror;
use super::date::{in_months, parse_date};
use super::rights::is_uri;
use super::vocabulary::RELATION_TYPES;
use super::{Findings, NOTHING, Setting, shown, standards};
use crate::export::{IdentifierKind, kind_of};
use crate::facts::FileFacts;
use crate::formula;
use crate::record::{Funding, Record};
use crate::standard_names;
use crate::tier::Tier;
use chrono::{Datelike, Days, NaiveDate};

/// Data were not issued before there were journals to issue them in.
const EARLIEST_ISSUE: i32 = 1665;

pub(super) fn check(
    record: &Record,
    files: &[FileFacts],
    setting: &Setting,
    findings: &mut Findings,
) {
    dates(record, setting, findings);
    conforms_to(record, files, findings);
    provenance(record, findings);
    funding(record, findings);
    subjects(record, findings);
    formulas(record, findings);
    let mut filled = |pointer: String, rule: &str, text: &str, fix: &str| {
        if text.trim().is_empty() {
            findings.add(pointer, rule, NOTHING, fix);
        }
    };
    if let Some(proposal) = &record.proposal {
        filled(
            "/proposal".to_owned(),
            "proposal",
            proposal,
            "write the number of the proposal, or leave the field out",
        );
    }
    for (place, sample) in record.samples.iter().enumerate() {
        filled(
            format!("/samples/{place}"),
            "samples",
            sample,
            "write the IGSN or another identifier of the sample, or leave the entry out",
        );
    }
    for (place, related) in record.related.iter().enumerate() {
        filled(
            format!("/related/{place}/identifier"),
            "related.identifier",
            &related.identifier,
            "write the identifier or URL of the other resource, or leave the entry out",
        );
    }
    for (place, related) in record.related.iter().enumerate() {
        if !RELATION_TYPES.contains(&related.relation.as_str()) {
            findings.add(
                format!("/related/{place}/relation"),
                "related.relation",
                shown(&related.relation),
                format!("use one of DataCite's relations: {}", RELATION_TYPES.join(", ")),
            );
        }
    }
    for (place, file) in record.files.iter().enumerate() {
        if file.trim().is_empty() || (file.contains("://") && !is_uri(file)) {
            findings.add(
                format!("/files/{place}"),
                "files.location",
                shown(file),
                "write a path or a URL, or leave the entry out",
            );
        }
    }
}

fn formulas(record: &Record, findings: &mut Findings) {
    for (place, text) in record.formulas.iter().enumerate() {
        if let Err(problem) = formula::elements(text) {
            findings.add(
                format!("/formulas/{place}"),
                "formulas",
                shown(text),
                format!("write a chemical formula such as Fe2O3 or CuSO4·5H2O: {problem}"),
            );
        }
    }
}

fn provenance(record: &Record, findings: &mut Findings) {
    let Some(provenance) = &record.provenance else {
        // Who may not see the data has only the record to judge them by.
        if matches!(record.tier, Some(Tier::Restricted | Tier::AggregatesOnly)) {
            findings.add(
                "/provenance",
                "provenance.required",
                NOTHING,
                "say where the data come from: {derived_from: […], activity: …, software: …, instrument: …}",
            );
        }
        return;
    };
    let mut filled = |pointer: String, rule: &str, text: &str, fix: &str| {
        if text.trim().is_empty() {
            findings.add(pointer, rule, NOTHING, fix);
        }
    };
    for (place, source) in provenance.derived_from.iter().enumerate() {
        filled(
            format!("/provenance/derived_from/{place}"),
            "provenance.derived_from",
            source,
            "name the dataset or identifier it was made from, or leave the entry out",
        );
    }
    for (field, text) in [
        ("activity", &provenance.activity),
        ("software", &provenance.software),
        ("instrument", &provenance.instrument),
    ] {
        if let Some(text) = text {
            filled(
                format!("/provenance/{field}"),
                &format!("provenance.{field}"),
                text,
                "say it in words, or leave the field out",
            );
        }
    }
}

fn funding(record: &Record, findings: &mut Findings) {
    for (place, funding) in record.funding.iter().enumerate() {
        let pointer = format!("/funding/{place}");
        if funding.funder.trim().is_empty() {
            findings.add(
                format!("{pointer}/funder"),
                "funding.funder",
                NOTHING,
                "name the funder, or leave the entry out",
            );
        }
        ror(funding.ror.as_ref(), &pointer, "funding.ror", findings);
        if let Some(contract) = &funding.contract
            && !is_contract(contract)
        {
            findings.add(
                format!("{pointer}/contract"),
                "funding.contract",
                shown(contract),
                "write a contract or award of the US Department of Energy, such as DE-AC05-00OR22725 or DE-SC0012704; others belong into `award`",
            );
        }
        if let Some(award) = &funding.award
            && let Err(fix) = check_award(award, is_energy(funding))
        {
            findings.add(format!("{pointer}/award"), "funding.award", shown(award), fix);
        }
    }
}

/// Whether the US Department of Energy pays, by its ROR or its name.
fn is_energy(funding: &Funding) -> bool {
    const ROR: &str = "01bj3aw27";
    let by_ror = funding.ror.as_deref().is_some_and(|ror| ror.trim_end_matches('/').ends_with(ROR));
    let name = funding.funder.to_lowercase();
    // Other countries have one as well, and say so.
    let ours = ["department of energy", "doe", "us doe", "u.s. doe"].contains(&name.trim())
        || name.contains("u.s. department of energy")
        || name.contains("us department of energy")
        || name.contains("united states department of energy");
    by_ror || ours
}

/// Whether an award can be looked up: a DOI or another address where it looks like one, and the form of the US
/// Department of Energy where that paid or the number begins like theirs. Other funders number as they like.
fn check_award(award: &str, energy: bool) -> Result<(), &'static str> {
    const ENERGY: &str = "write the number in the form of the US Department of Energy, such as DE-SC0012704 or \
        DE-AC05-00OR22725, or the DOI of the award";
    let text = award.trim();
    let lower = text.to_lowercase();
    if text.is_empty() {
        return Err("write the number or the DOI of the award, or leave the field out");
    }
    if lower.starts_with("10.") || lower.starts_with("doi:") || lower.contains("doi.org/") {
        let doi = kind_of(text).filter(|(kind, _)| *kind == IdentifierKind::Doi);
        let whole = doi.is_some_and(|(_, doi)| {
            let (prefix, suffix) = doi.split_once('/').unwrap_or_default();
            let digits = prefix.trim_start_matches("10.");
            let numbered = !digits.is_empty()
                && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            numbered && !suffix.is_empty() && !suffix.contains(char::is_whitespace)
        });
        return if whole {
            Ok(())
        } else {
            Err("write the whole DOI of the award, such as 10.46936/cpcy.proj.2019.50733/60006578")
        };
    }
    if lower.starts_with("http:") || lower.starts_with("https:") {
        return if is_uri(text) {
            Ok(())
        } else {
            Err("write the whole address of the award, or its number")
        };
    }
    if energy || lower.starts_with("de-") {
        return if is_contract(text) { Ok(()) } else { Err(ENERGY) };
    }
    Ok(())
}

/// The forms of contracts and awards of the US Department of Energy: `DE-AC05-00OR22725`,
/// `DE-SC0012704`, and by the numbering of all agencies (FAR 4.1603) `89233218CNA000001`.
fn is_contract(text: &str) -> bool {
    let matches = |pattern: &str| {
        text.len() == pattern.len()
            && text.chars().zip(pattern.chars()).all(|(character, kind)| match kind {
                '9' => character.is_ascii_digit(),
                'A' => character.is_ascii_uppercase(),
                _ => character == kind,
            })
    };
    ["DE-AA99-99AA99999", "DE-AA9999999", "89999999AAA999999"].into_iter().any(matches)
}

fn subjects(record: &Record, findings: &mut Findings) {
    for (place, subject) in record.subjects.iter().enumerate() {
        let pointer = format!("/subjects/{place}");
        for (field, text, fix) in [
            ("term", &subject.term, "write the term, or leave the entry out"),
            (
                "scheme",
                &subject.scheme,
                "name the vocabulary that the term is from, such as CF Standard Name Table",
            ),
        ] {
            if text.trim().is_empty() {
                findings.add(
                    format!("{pointer}/{field}"),
                    &format!("subjects.{field}"),
                    NOTHING,
                    fix,
                );
            }
        }
        if let Some(uri) = &subject.uri
            && !is_uri(uri)
        {
            findings.add(
                format!("{pointer}/uri"),
                "subjects.uri",
                shown(uri),
                "write the URI of the term, or leave it out",
            );
        }
        if subject.scheme.starts_with("CF Standard Name")
            && let Some(fix) = standard_names::problem(&subject.term)
        {
            findings.add(format!("{pointer}/term"), "subjects.term", shown(&subject.term), fix);
        }
    }
}

fn dates(record: &Record, setting: &Setting, findings: &mut Findings) {
    let day = record.issued.as_deref().map(|issued| (issued, parse_date(issued)));
    match day {
        None => findings.add(
            "/issued",
            "issued.required",
            NOTHING,
            "write the date of issue as YYYY-MM-DD",
        ),
        Some((issued, None)) => findings.add(
            "/issued",
            "issued.date",
            shown(issued),
            "write the date of issue as YYYY-MM-DD",
        ),
        Some((issued, Some(day))) => {
            // Held-back data are issued when they become available.
            let embargo = record.embargo.as_ref().and_then(|embargo| parse_date(&embargo.until));
            let latest = embargo.into_iter().fold(in_months(setting.today, 12), Ord::max);
            if day.year() < EARLIEST_ISSUE || day > latest {
                findings.add(
                    "/issued",
                    "issued.range",
                    shown(issued),
                    format!("write when the data are published, {EARLIEST_ISSUE} to {latest}"),
                );
            }
        }
    }
    let months = review_months(record.tier);
    match record.review.as_deref() {
        None => findings.add(
            "/review",
            "review.required",
            NOTHING,
            format!(
                "say when the record is looked at again, as YYYY-MM-DD, at most {months} months from now"
            ),
        ),
        Some(review) => match parse_date(review) {
            Some(day) if day >= setting.today && day <= latest_review(setting.today, months) => {}
            _ => findings.add(
                "/review",
                "review.date",
                shown(review),
                format!("write a day within the next {months} months as YYYY-MM-DD"),
            ),
        },
    }
}

/// After how many months at most a record is looked at again.
pub fn review_months(tier: Option<Tier>) -> u32 {
    if tier == Some(Tier::Restricted) { 12 } else { 24 }
}

/// Last day on which a record registered today has to be looked at again.
fn latest_review(today: NaiveDate, months: u32) -> NaiveDate {
    // One day of grace, so that a record made before midnight passes after it.
    in_months(today, months).checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
}

/// Standards that a record claims: only what the files say of themselves, and only versions that
/// were published.
fn conforms_to(record: &Record, files: &[FileFacts], findings: &mut Findings) {
    for (place, standard) in record.conforms_to.iter().enumerate() {
        let pointer = format!("/conforms_to/{place}");
        if standard.trim().is_empty() {
            findings.add(
                pointer,
                "conforms_to.name",
                NOTHING,
                "name the standard, such as CF-1.11, or leave the entry out",
            );
        } else if let Some(published) = standards::published(standard) {
            if !published {
                findings.add(
                    pointer,
                    "conforms_to.version",
                    shown(standard),
                    "name a version that was published: CF-1.0 to CF-1.13, ACDD-1.0, ACDD-1.1 or ACDD-1.3",
                );
            } else if !files.is_empty()
                && !files.iter().any(|file| standards::states(file, standard))
            {
                findings.add(
                    pointer,
                    "conforms_to.stated",
                    shown(standard),
                    "leave it out, or say it in the `Conventions` attribute of the files: none of them does",
                );
            }
        }
    }
}
