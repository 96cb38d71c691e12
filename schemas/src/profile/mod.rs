//! The lab-core profile: what a record must say, by tier, and how FAIR it is.
//!
//! [`validate`] and [`fair::score`] are pure functions of a filled record, what was extracted from
//! its files, and the date: a dry run and a registration give the same answer.

mod agents;
mod contents;
mod date;
mod description;
pub mod fair;
pub mod identifier;
pub mod license;
mod links;
mod rights;
mod violation;
mod vocabulary;

pub use date::parse_date;
pub use violation::Violation;

use crate::facts::FileFacts;
use crate::record::Record;
use chrono::NaiveDate;

/// Every rule that a filled record breaks, in the order of the record; empty means it may be
/// registered. `files` is what was extracted from the files it names, `today` the date in UTC.
pub fn validate(record: &Record, files: &[FileFacts], today: NaiveDate) -> Vec<Violation> {
    let mut findings = Findings::default();
    description::check(record, files, &mut findings);
    agents::check(record, &mut findings);
    rights::check(record, today, &mut findings);
    links::check(record, today, &mut findings);
    contents::check(record, files, &mut findings);
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
