//! What stands in an index: datasets of this lab, or what others told of theirs.

use super::document::Searched;
use super::fields::Fields;
use super::view::{Indexed, View};
use crate::CatalogError;
use crate::model::Dataset;
use tantivy::TantivyDocument;

/// What stands between the lab and the name of a dataset of another lab: such keys are in the order of labs, then
/// of names.
const BETWEEN: char = '\u{1}';
/// The policy of all that other labs told: it is for everyone here.
const TOLD: &str = "told by a peer";

/// A dataset as it comes into an index, in place of what the index held of it.
#[derive(Debug)]
pub(super) enum Entry {
    /// One of this lab.
    Own(Box<Indexed>),
    /// One of another lab; nothing of one that may not be found any more.
    Told { key: String, dataset: Option<Box<Dataset>> },
}

/// The key of a dataset of another lab.
pub(super) fn key_of(lab: &str, name: &str) -> String {
    format!("{lab}{BETWEEN}{name}")
}

/// The lab and the name in such a key.
pub(super) fn of_key(key: &str) -> Option<(&str, &str)> {
    key.split_once(BETWEEN)
}

impl Entry {
    /// By which the index knows it again.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Own(indexed) => indexed.dataset.name.to_string(),
            Self::Told { key, .. } => key.clone(),
        }
    }

    /// The documents that stand for it.
    pub(super) fn documents(&self, fields: &Fields) -> Result<Vec<TantivyDocument>, CatalogError> {
        match self {
            Self::Own(indexed) => {
                let dataset = &indexed.dataset;
                // What was withdrawn keeps its page, and is not found.
                if dataset.withdrawn.is_some() {
                    return Ok(Vec::new());
                }
                let name = dataset.name.as_str();
                let whole = View::term(true, indexed)?;
                let known = View::term(false, indexed)?;
                // A term that is too long for the index would be left out of it with a warning, and a
                // document without one is found by nobody. Then only the record's page tells of it.
                let shown = dataset.clone().redacted();
                Ok(vec![
                    Searched::new(dataset).document(fields, name, &whole),
                    Searched::new(&shown).document(fields, name, &known),
                ])
            }
            Self::Told { key, dataset } => Ok(dataset
                .iter()
                .map(|dataset| Searched::new(dataset).document(fields, key, TOLD))
                .collect()),
        }
    }
}
