//! A record on its way, as plain data.

use crate::model::Registered;
use crate::policy::subject;
use serde::{Deserialize, Serialize};
use tarn_schemas::{Principal, Record};

/// Where a record is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DraftState {
    /// Its author writes it.
    Draft,
    /// It waits for a second person.
    Submitted,
}

impl DraftState {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Submitted => "submitted",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Draft, Self::Submitted].into_iter().find(|state| state.as_str() == text)
    }
}

/// A record that is not registered yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// The record as its author wrote it.
    pub record: Record,
    /// Where it is.
    pub state: DraftState,
    /// Who wrote it, as grants name people.
    pub author: String,
    /// Goes up with every change.
    pub revision: u64,
    /// When it changed last, RFC 3339.
    pub changed_at: String,
    /// The version of the dataset that it was edited from; 0 for a new dataset. Nothing of a newer version is
    /// overwritten by it.
    pub edited_from: u32,
    /// The newest version that its author was told of since: what they save then was edited from it.
    #[serde(skip)]
    pub told: u32,
    /// What a reviewer said who gave it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Draft {
    /// A record of somebody's that is not kept, to be checked.
    pub fn unsaved(who: &Principal, record: Record) -> Self {
        Self {
            record,
            state: DraftState::Draft,
            author: subject(who),
            revision: 0,
            changed_at: String::new(),
            edited_from: 0,
            told: 0,
            note: None,
        }
    }
}

/// What became of a record that was submitted.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    /// It waits for a second person.
    Waiting(Box<Draft>),
    /// It is registered.
    Registered(Box<Registered>),
}
