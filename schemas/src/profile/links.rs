//! Rules on dates of care, provenance, funding and links to other resources.

use super::date::{in_months, parse_date};
use super::rights::is_uri;
use super::vocabulary::RELATION_TYPES;
use super::{Findings, NOTHING, Setting, shown, standards};
use crate::facts::FileFacts;
use crate::record::Record;
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
    let mut filled = |pointer: String, rule: &str, text: &str, fix: &str| {
        if text.trim().is_empty() {
            findings.add(pointer, rule, NOTHING, fix);
        }
    };
    if let Some(provenance) = &record.provenance {
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
    for (place, funding) in record.funding.iter().enumerate() {
        filled(
            format!("/funding/{place}/funder"),
            "funding.funder",
            &funding.funder,
            "name the funder, or leave the entry out",
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
    match record.review.as_deref() {
        None => findings.add(
            "/review",
            "review.required",
            NOTHING,
            "say when the record is looked at again, as YYYY-MM-DD, at most 24 months from now",
        ),
        Some(review) => match parse_date(review) {
            Some(day) if day >= setting.today && day <= latest_review(setting.today) => {}
            _ => findings.add(
                "/review",
                "review.date",
                shown(review),
                "write a day within the next 24 months as YYYY-MM-DD",
            ),
        },
    }
}

/// Last day on which a record registered today has to be looked at again.
fn latest_review(today: NaiveDate) -> NaiveDate {
    // One day of grace, so that a record made before midnight passes after it.
    in_months(today, 24).checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
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
