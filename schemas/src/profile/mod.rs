//! The lab-core profile: what a record must say, by tier, and how FAIR it is.
//!
//! [`validate`] and [`fair::score`] are pure functions of a filled record, what was extracted from
//! its files, and the date: a dry run and a registration give the same answer.

mod access;
mod agents;
pub mod community;
mod contents;
mod date;
mod description;
mod document;
pub mod fair;
pub mod identifier;
pub mod license;
mod links;
mod markings;
mod once;
mod rights;
mod shape;
mod standards;
mod stated;
mod text;
mod truth;
mod violation;
mod vocabulary;

pub use date::parse_date;
pub use document::{LAB_CORE, Salvaged, read, read_document, salvage};
pub use links::review_months;
pub use markings::is_dissemination;
pub use once::Document;
pub use rights::is_identifier;
pub use truth::{Truth, truth};
pub use violation::Violation;
pub use vocabulary::{data_use_term, is_marking};

use crate::facts::FileFacts;
use crate::record::Record;
use chrono::NaiveDate;

/// What a record is judged by besides itself and its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The date in UTC.
    pub today: NaiveDate,
    /// Whether the dataset has tables from an earlier ingest.
    pub has_tables: bool,
    /// For how long the lab holds data back at most.
    pub longest_embargo_months: u32,
    /// The fewest units behind a number that leaves data of the tier aggregates_only.
    pub smallest_cell: u32,
}

/// Every rule that a filled record breaks, in the order of the record; empty means it may be
/// registered as far as the record itself tells (whether its inputs exist is for the catalog).
/// `files` is what was extracted from the files it names.
pub fn validate(record: &Record, files: &[FileFacts], setting: &Setting) -> Vec<Violation> {
    let mut findings = Findings::default();
    description::check(record, files, &mut findings);
    agents::check(record, &mut findings);
    rights::check(record, setting, &mut findings);
    markings::check(record, setting, &mut findings);
    access::check(record, files, setting, &mut findings);
    links::check(record, files, setting, &mut findings);
    contents::check(record, files, setting, &mut findings);
    stated::check(record, files, &mut findings);
    text::check(record, &mut findings);
    findings.0
}

/// Broken rules as they are found.
#[derive(Debug, Default)]
struct Findings(Vec<Violation>);

impl Findings {
    fn add(
        &mut self,
        pointer: impl Into<String>,
        rule: &str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Violation {
            pointer: pointer.into(),
            rule: rule.to_owned(),
            found: found.into(),
            fix: fix.into(),
        });
    }
}

/// A text as it is shown in a violation: quoted, and cut where it is long.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        format!("{text:?}")
    } else {
        let start: String = text.chars().take(LONGEST).collect();
        format!("{start:?}…")
    }
}

const NOTHING: &str = "nothing";

#[cfg(test)]
mod tests;
