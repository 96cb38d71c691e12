//! Rules on what a record says in words: title, description, keywords, kind, language.

use super::text::visible;
use super::vocabulary::RESOURCE_TYPES;
use super::{Findings, NOTHING, shown};
use crate::facts::FileFacts;
use crate::record::Record;
use crate::tier::Tier;

const LONGEST_KEYWORD: usize = 200;

pub(super) fn check(record: &Record, files: &[FileFacts], findings: &mut Findings) {
    title(record, files, findings);
    description(record, findings);
    keywords(record, findings);
    match record.resource_type.as_deref() {
        None => findings.add(
            "/resource_type",
            "resource_type.required",
            NOTHING,
            "say what kind of resource this is, mostly Dataset",
        ),
        Some(kind) if !RESOURCE_TYPES.contains(&kind) => findings.add(
            "/resource_type",
            "resource_type.list",
            shown(kind),
            format!("use one of DataCite's list: {}", RESOURCE_TYPES.join(", ")),
        ),
        Some(_) => {}
    }
    if let Some(language) = &record.language
        && !is_language(language)
    {
        findings.add(
            "/language",
            "language.form",
            shown(language),
            "write a BCP 47 language tag such as en or pt-BR",
        );
    }
}

fn title(record: &Record, files: &[FileFacts], findings: &mut Findings) {
    let title = record.title.trim();
    let length = visible(title);
    if length == 0 {
        findings.add("/title", "title.required", NOTHING, "give the dataset a title");
        return;
    }
    if !(8..=300).contains(&length) {
        findings.add(
            "/title",
            "title.length",
            format!("{length} characters"),
            "write a title of 8 to 300 characters that says what, where and when",
        );
    }
    let names = record.files.iter().chain(files.iter().map(|file| &file.location));
    if names.into_iter().any(|name| is_name_of(title, name)) {
        findings.add(
            "/title",
            "title.not_file_name",
            shown(title),
            "say in words what the data are: a file name means nothing to others",
        );
    }
}

/// Whether a title is the name of a file, with or without folder and extension.
fn is_name_of(title: &str, location: &str) -> bool {
    let base = location.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(location);
    let stem = base.rsplit_once('.').map_or(base, |(stem, _)| stem);
    let equal = |text: &str| !text.is_empty() && title.to_lowercase() == text.to_lowercase();
    equal(location) || equal(base) || equal(stem)
}

fn description(record: &Record, findings: &mut Findings) {
    let length = visible(&record.description);
    if length < 100 {
        let found = if length == 0 { NOTHING.to_owned() } else { format!("{length} characters") };
        findings.add(
            "/description",
            "description.length",
            found,
            "say in at least 100 characters what this is, how it was made and what it is good for",
        );
    }
}

fn keywords(record: &Record, findings: &mut Findings) {
    if record.keywords.is_empty() && record.tier != Some(Tier::Restricted) {
        findings.add(
            "/keywords",
            "keywords.required",
            NOTHING,
            "give at least one keyword, best a CF standard name or a term of a registered vocabulary",
        );
    }
    for (place, keyword) in record.keywords.iter().enumerate() {
        let length = visible(keyword);
        if !(1..=LONGEST_KEYWORD).contains(&length) {
            findings.add(
                format!("/keywords/{place}"),
                "keywords.length",
                shown(keyword),
                format!("write 1 to {LONGEST_KEYWORD} characters, or leave the keyword out"),
            );
        }
    }
}

/// The shape of a BCP 47 tag (RFC 5646): subtags of one to eight letters and digits joined by `-`,
/// the first of two to eight letters.
fn is_language(text: &str) -> bool {
    let mut tags = text.split('-');
    let first = tags.next().is_some_and(|tag| {
        (2..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    first
        && tags.all(|tag| {
            (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}
