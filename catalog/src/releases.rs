//! Releasing what was made of data from the limits of these data: means of many persons may be public where the persons
//! are not.
//!
//! The record names the inputs and says why (`provenance.released`). It takes two people: its author, and somebody who
//! decides about each of these inputs and about all that they were made from in turn, who approves it. That is in the
//! log with the reason. The limits end for these bytes alone: a next version of others is looked at again.

use crate::datasets::Stored;
use crate::inputs::Inputs;
use crate::lineage::{nothing, passed_on};
use crate::relaxing::same_files;
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::profile::Violation;
use tarn_schemas::record::ReleasedInput;
use tarn_schemas::{Principal, Record};

fn entries(record: &Record) -> impl Iterator<Item = &ReleasedInput> {
    record.provenance.iter().flat_map(|origin| &origin.released)
}

/// The inputs that a record asks to be released from, as it names them.
pub(crate) fn released(record: &Record) -> BTreeSet<&str> {
    entries(record).map(|entry| entry.input.trim()).collect()
}

/// The inputs and reasons for the log; none where nothing is released.
pub(crate) fn reasons(record: &Record) -> Option<String> {
    let reasons: Vec<String> = entries(record)
        .map(|entry| format!("{}: {}", entry.input.trim(), entry.reason.trim()))
        .collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Entries that name no input or give no reason.
pub(crate) fn unfounded(record: &Record) -> Vec<Violation> {
    let inputs: BTreeSet<&str> = record
        .provenance
        .iter()
        .flat_map(|origin| &origin.derived_from)
        .map(|text| text.trim())
        .collect();
    let mut found = Vec::new();
    for (place, entry) in entries(record).enumerate() {
        let mut add = |field: &str, what: &str, fix: &str| {
            found.push(Violation {
                pointer: format!("/provenance/released/{place}/{field}"),
                rule: "provenance.released".to_owned(),
                found: what.to_owned(),
                fix: fix.to_owned(),
            });
        };
        if !inputs.contains(entry.input.trim()) {
            add("input", &entry.input, "name an input as `derived_from` names it");
        }
        if entry.reason.trim().is_empty() {
            add("reason", "nothing", "say why what was made of it gives nothing of it away");
        }
    }
    found
}

/// Refuses a release by one person, other than those that the version of these bytes before has.
pub(crate) fn check_not_released(
    record: &Record,
    files: &[FileFacts],
    earlier: Option<&Stored>,
) -> Result<(), CatalogError> {
    let agreed: Vec<&ReleasedInput> = match earlier {
        Some(Stored { dataset, .. }) if same_files(&dataset.files, files) => {
            entries(&dataset.record).collect()
        }
        _ => Vec::new(),
    };
    match entries(record).find(|entry| !agreed.contains(entry)) {
        None => Ok(()),
        Some(entry) => Err(CatalogError::Denied(format!(
            "to release {} from the limits of {} takes two people: submit the record as a draft, and somebody who \
             decides about its inputs approves it",
            record.name,
            entry.input.trim()
        ))),
    }
}

impl Catalog {
    /// Refuses a release by somebody who does not decide about the inputs and what these were made from.
    pub(crate) async fn check_release(
        &self,
        reviewer: &Principal,
        transaction: &mut Transaction<'static, Any>,
        inputs: &Inputs,
    ) -> Result<(), CatalogError> {
        let released = inputs.here.iter().filter(|(_, released)| **released);
        let mut waiting: Vec<_> = released.map(|(version, _)| version.clone()).collect();
        if waiting.is_empty() || *reviewer == Principal::Owner {
            return Ok(());
        }
        let rights = self.rights(reviewer).await?;
        let mut seen = BTreeSet::new();
        while let Some((name, version)) = waiting.pop() {
            if !seen.insert((name.clone(), version)) {
                continue;
            }
            let held = self.held_version(transaction, &name, Some(version)).await?;
            let limits = held.is_none_or(|held| passed_on(&held) != nothing());
            let newest = self.held_version(transaction, &name, None).await?;
            let decides = match newest {
                Some(newest) => self.may_review(&rights, &newest)?,
                None => false,
            };
            if limits && !decides {
                return Err(CatalogError::Denied(
                    "the record is released from limits of data that somebody else decides about, or of what these \
                     were made from: the owner of the node has to look at it"
                        .to_owned(),
                ));
            }
            waiting.extend(self.inputs_of(transaction, (&name, version)).await?.into_keys());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_release_names_an_input_and_says_why() {
        let record: Record = serde_json::from_value(json!({"name": "a", "provenance": {
            "derived_from": ["raw"],
            "released": [{"input": "raw", "reason": "means of a hundred"}, {"input": "other", "reason": " "}],
        }}))
        .unwrap();
        let pointers: Vec<String> = unfounded(&record).into_iter().map(|one| one.pointer).collect();
        assert_eq!(pointers, ["/provenance/released/1/input", "/provenance/released/1/reason"]);
        assert_eq!(released(&record), BTreeSet::from(["raw", "other"]));
        assert!(check_not_released(&record, &[], None).is_err());
        assert_eq!(reasons(&record).unwrap(), "raw: means of a hundred; other: ");
    }
}
