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
    /// Why it is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
