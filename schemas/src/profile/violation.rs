//! One rule of the profile that a record breaks.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A broken rule: where, which, what was found, how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// JSON pointer to the field, such as `/creators/0/orcid`.
    pub pointer: String,
    /// Short stable name of the rule, such as `description.length`.
    pub rule: String,
    /// What the record has there.
    pub found: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}] found {}: {}", self.pointer, self.rule, self.found, self.fix)
    }
}
