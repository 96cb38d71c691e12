//! The completeness envelope: which labs answered a query, and how.

use crate::name::LabName;
use serde::{Deserialize, Serialize};

/// What to do when a lab does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartialMode {
    /// A missing site fails the query.
    #[default]
    Error,
    /// A missing site is left out and said so.
    Allow,
}

/// How one lab took part in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteStatus {
    /// It answered completely.
    Ok,
    /// It could not be reached and was left out.
    Skipped,
    /// It did not answer in time and was left out.
    TimedOut,
    /// It refused.
    Denied,
}

/// How the copy of a lab's records that an answer was taken from stands to the lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The lab answered when it was asked last.
    Current,
    /// It was silent for longer than it allows its records to be shown as they are.
    Stale,
    /// It did not answer when it was asked last.
    Unreachable,
}

impl Freshness {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Unreachable => "unreachable",
        }
    }
}

/// One lab's part of an answer, as in `sites: […]` of every door.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SiteReport {
    /// The lab.
    pub lab: LabName,
    /// How it took part.
    pub status: SiteStatus,
    /// Rows it sent (for the asking lab itself: rows its tables gave).
    pub rows: u64,
    /// Arrow bytes it sent.
    pub bytes: u64,
    /// Milliseconds from the request to its last row.
    pub ms: u64,
    /// When the data it answered from were current, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Of a search: how the copy here that it was taken from stands to the lab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Freshness>,
    /// Of a search: how many seconds ago that copy was all that the lab tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// Why it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
