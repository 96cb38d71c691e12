//! Access tiers: presets of who may read the data of a record.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The tier of a record, from the most open to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Everyone may read, signed in or not.
    Public,
    /// Everyone who is signed in may read.
    Registered,
    /// Holders of an unexpired grant may read.
    Controlled,
    /// Only named people under markings and conditions may read.
    Restricted,
    /// No rows leave, only suppressed aggregates.
    AggregatesOnly,
}

impl Tier {
    /// All of them, from the most open to the strictest.
    pub const ALL: [Self; 5] =
        [Self::Public, Self::Registered, Self::Controlled, Self::Restricted, Self::AggregatesOnly];

    /// The text used in records, SQL and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Registered => "registered",
            Self::Controlled => "controlled",
            Self::Restricted => "restricted",
            Self::AggregatesOnly => "aggregates_only",
        }
    }
}

impl FromStr for Tier {
    type Err = String;

    /// # Errors
    /// The names that there are, for any other text.
    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|tier| tier.as_str() == text);
        named.ok_or_else(|| format!("the tiers are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
