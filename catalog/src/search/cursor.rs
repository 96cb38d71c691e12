//! Where a page of hits ends and the next begins.

use crate::CatalogError;
use crate::model::SearchHit;
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use tarn_schemas::{DatasetName, LabName};

/// A place in the order of hits: the best first, then by lab, then by name. Scores do not depend on
/// what else is in an index, so that a place means the same in every lab and after a change.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    score: f32,
    lab: String,
    name: String,
}

impl Cursor {
    /// The place of a hit.
    pub fn of(hit: &SearchHit) -> Self {
        Self { score: hit.score, lab: hit.lab.to_string(), name: hit.name.to_string() }
    }

    /// Whether a hit comes after this place.
    pub(super) fn is_before(&self, score: f32, lab: &str, name: &str) -> bool {
        let order = score.total_cmp(&self.score).reverse();
        let order = order.then_with(|| self.lab.as_str().cmp(lab).reverse());
        order.then_with(|| self.name.as_str().cmp(name).reverse()) == Ordering::Greater
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{}.{}", self.score.to_bits(), self.lab, self.name)
    }
}

impl FromStr for Cursor {
    type Err = CatalogError;

    fn from_str(text: &str) -> Result<Self, CatalogError> {
        let mut parts = text.splitn(3, '.');
        let score = parts.next().filter(|bits| bits.len() == 8 && !bits.starts_with('+'));
        let score = score.and_then(|bits| u32::from_str_radix(bits, 16).ok()).map(f32::from_bits);
        match (score, parts.next(), parts.next()) {
            (Some(score), Some(lab), Some(name))
                if score.is_finite()
                    && LabName::new(lab).is_ok()
                    && DatasetName::new(name).is_ok() =>
            {
                Ok(Self { score, lab: lab.to_owned(), name: name.to_owned() })
            }
            _ => Err(CatalogError::Argument(format!(
                "{text:?} is no cursor: take `next` of the page before"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_before_what_comes_after_it() {
        let cursor: Cursor = Cursor { score: 2.5, lab: "llnl".to_owned(), name: "m".to_owned() }
            .to_string()
            .parse()
            .unwrap();
        for (score, lab, name, after) in [
            (2.4, "anl", "a", true),
            (2.6, "ornl", "z", false),
            (2.5, "llnl", "m", false),
            (2.5, "llnl", "n", true),
            (2.5, "llnl", "l", false),
            (2.5, "ornl", "a", true),
            (2.5, "anl", "z", false),
        ] {
            assert_eq!(cursor.is_before(score, lab, name), after, "{score} {lab} {name}");
        }
        for wrong in [
            "",
            "x",
            "00000000",
            "00000000.a",
            "7fc00000.anl.b",
            "+0000000.anl.b",
            "40200000.anl.b, and more",
        ] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong}");
        }
    }
}
