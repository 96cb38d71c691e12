//! Rules on dates of care, provenance, funding and links to other resources.

use super::date::{latest_review, parse_date};
use super::rights::is_uri;
use super::vocabulary::RELATION_TYPES;
use super::{Findings, NOTHING, shown};
use crate::record::Record;
use chrono::NaiveDate;

pub(super) fn check(record: &Record, today: NaiveDate, findings: &mut Findings) {
    dates(record, today, findings);
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
    for (place, standard) in record.conforms_to.iter().enumerate() {
        filled(
            format!("/conforms_to/{place}"),
            "conforms_to.name",
            standard,
            "name the standard, such as CF-1.11, or leave the entry out",
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

fn dates(record: &Record, today: NaiveDate, findings: &mut Findings) {
    match record.issued.as_deref() {
        None => findings.add(
            "/issued",
            "issued.required",
            NOTHING,
            "write the date of issue as YYYY-MM-DD",
        ),
        Some(issued) if parse_date(issued).is_none() => findings.add(
            "/issued",
            "issued.date",
            shown(issued),
            "write the date of issue as YYYY-MM-DD",
        ),
        Some(_) => {}
    }
    match record.review.as_deref() {
        None => findings.add(
            "/review",
            "review.required",
            NOTHING,
            "say when the record is looked at again, as YYYY-MM-DD, at most 24 months from now",
        ),
        Some(review) => match parse_date(review) {
            Some(day) if day <= latest_review(today) => {}
            _ => findings.add(
                "/review",
                "review.date",
                shown(review),
                "write a day within the next 24 months as YYYY-MM-DD",
            ),
        },
    }
}
