//! What has to be done to data before they leave.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// What has to be done to data before they leave. A door that cannot do it keeps them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Obligation {
    /// Only rows for which this SQL condition holds.
    Rows {
        /// The condition, over the columns of every table of the dataset.
        condition: String,
    },
    /// These columns only with their values changed.
    Mask {
        /// The columns; a table may have some of them.
        columns: BTreeSet<String>,
        /// What becomes of the values.
        masking: Masking,
    },
    /// No rows, only aggregates over enough units; the record's `disclosure` says of what and how.
    Aggregates {
        /// Smallest number of units behind a number, where the policy names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        minimum_cell: Option<u32>,
    },
}

/// What becomes of the values of a masked column. NULL stays NULL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Masking {
    /// NULL.
    Null,
    /// Text becomes a pseudonym: the same for the same text in all tables of this lab, and worth
    /// nothing without the lab's key.
    Hash,
    /// The nearest multiple of a step; times go to the beginning of their day, month, …
    Round {
        /// The step.
        to: Step,
    },
    /// The middle of the cell it lies in, of cells this wide that begin at 0.
    Coarsen {
        /// The width, in the unit of the column.
        to: Step,
    },
}

/// How far values are rounded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A number above 0, as it was written.
    Number(String),
    /// A part of the calendar.
    Time(Span),
}

/// A part of the calendar that times are cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Span {
    /// The name, as SQL's `date_trunc` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let spans = [Span::Hour, Span::Day, Span::Month, Span::Year];
        if let Some(span) = spans.into_iter().find(|span| span.as_str() == text) {
            return Ok(Self::Time(span));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number > 0.0 => Ok(Self::Number(text.to_owned())),
            _ => Err(format!("{text:?} is neither a number above 0 nor hour, day, month or year")),
        }
    }
}

impl FromStr for Obligation {
    type Err = String;

    /// One of `rows: CONDITION`, `mask: COLUMN, …`, `hash: COLUMN, …`, `round: COLUMN, … to STEP`,
    /// `coarsen: COLUMN, … to STEP`, `aggregates` and `aggregates: MINIMUM`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let (kind, rest) = (kind.trim(), rest.trim());
        let unknown = || {
            format!(
                "the obligation {text:?} is not known; write rows: CONDITION, mask: COLUMN, …, hash: \
                 COLUMN, …, round: COLUMN, … to STEP, coarsen: COLUMN, … to STEP, or aggregates"
            )
        };
        let columns = |text: &str| -> Result<BTreeSet<String>, String> {
            let columns: BTreeSet<String> =
                text.split(',').map(|column| column.trim().to_owned()).collect();
            if columns.contains("") { Err(unknown()) } else { Ok(columns) }
        };
        let stepped = || -> Result<(BTreeSet<String>, Step), String> {
            let (named, step) = rest.rsplit_once(" to ").ok_or_else(unknown)?;
            Ok((columns(named)?, step.trim().parse()?))
        };
        Ok(match (kind, rest) {
            ("aggregates", "") => Self::Aggregates { minimum_cell: None },
            ("aggregates", number) => {
                Self::Aggregates { minimum_cell: Some(number.parse().map_err(|_| unknown())?) }
            }
            ("rows", condition) if !condition.is_empty() => {
                Self::Rows { condition: condition.to_owned() }
            }
            ("mask", named) => Self::Mask { columns: columns(named)?, masking: Masking::Null },
            ("hash", named) => Self::Mask { columns: columns(named)?, masking: Masking::Hash },
            ("round", _) => {
                let (columns, to) = stepped()?;
                Self::Mask { columns, masking: Masking::Round { to } }
            }
            ("coarsen", _) => {
                let (columns, to) = stepped()?;
                if matches!(to, Step::Time(_)) {
                    return Err(format!("{text:?}: times are rounded, and not coarsened"));
                }
                Self::Mask { columns, masking: Masking::Coarsen { to } }
            }
            _ => return Err(unknown()),
        })
    }
}

/// What is owed, without what would tell how: conditions and columns are the policy's own.
impl fmt::Display for Obligation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rows { .. } => "rows",
            Self::Mask { masking: Masking::Null, .. } => "mask",
            Self::Mask { masking: Masking::Hash, .. } => "hash",
            Self::Mask { masking: Masking::Round { .. }, .. } => "round",
            Self::Mask { masking: Masking::Coarsen { .. }, .. } => "coarsen",
            Self::Aggregates { .. } => "aggregates",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obligations_are_read_as_they_are_written_and_others_refused() {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mask = |names: &[&str], masking| Obligation::Mask { columns: columns(names), masking };
        for (text, expected) in [
            (
                "rows: site = 'a' AND x > 1",
                Obligation::Rows { condition: "site = 'a' AND x > 1".into() },
            ),
            ("mask: name, zip", mask(&["name", "zip"], Masking::Null)),
            ("hash: name", mask(&["name"], Masking::Hash)),
            (
                "round: a, b to 0.5",
                mask(&["a", "b"], Masking::Round { to: Step::Number("0.5".into()) }),
            ),
            (
                "round: born to month",
                mask(&["born"], Masking::Round { to: Step::Time(Span::Month) }),
            ),
            (
                "coarsen: lat, lon to 1",
                mask(&["lat", "lon"], Masking::Coarsen { to: Step::Number("1".into()) }),
            ),
            ("aggregates", Obligation::Aggregates { minimum_cell: None }),
            ("aggregates: 20", Obligation::Aggregates { minimum_cell: Some(20) }),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in [
            "",
            "rows:",
            "rows",
            "mask:",
            "mask: a,,b",
            "hash",
            "round: a",
            "round: a to",
            "round: a to 0",
            "round: a to -1",
            "round: a to inf",
            "round: a to NaN",
            "round: a to week",
            "coarsen: t to month",
            "aggregates: few",
            "aggregates: -1",
            "drop: a",
        ] {
            assert!(text.parse::<Obligation>().is_err(), "{text}");
        }
    }
}
