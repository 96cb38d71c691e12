//! Names of labs, datasets and tables.
//!
//! In SQL a table is `lab.dataset.table`; a dataset is written `name`, `lab.name` or `lab.name@3`.

use crate::code::{Coded, ErrorCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A name that does not follow its rule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{value:?} is no {kind} name: {rule}")]
pub struct NameError {
    kind: &'static str,
    value: String,
    rule: &'static str,
}

impl Coded for NameError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}

const LAB_RULE: &str = "use 2 to 32 characters a-z, 0-9 and _, the first a letter";
const DATASET_RULE: &str =
    "use 1 to 128 characters a-z, 0-9 and _, the first a letter, such as sea_ice_2020";
const NAME_RULE: &str = "use 1 to 128 characters a-z, 0-9 and _, the first a letter or _";
const REF_RULE: &str = "write name, lab.name or lab.name@version";

fn is_plain(value: &str, min: usize, max: usize, first_underscore: bool) -> bool {
    let mut characters = value.chars();
    let first =
        characters.next().is_some_and(|c| c.is_ascii_lowercase() || (first_underscore && c == '_'));
    first
        && (min..=max).contains(&value.len())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $rule:expr, $min:expr, $max:expr, $underscore:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name if it follows the rule.
            pub fn new(value: impl Into<String>) -> Result<Self, NameError> {
                let value = value.into();
                if is_plain(&value, $min, $max, $underscore) {
                    Ok(Self(value))
                } else {
                    Err(NameError { kind: $kind, value, rule: $rule })
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A lab, that is a site with its own node: `[a-z][a-z0-9_]{1,31}`.
    LabName, "lab", LAB_RULE, 2, 32, false
);
name!(
    /// A dataset of a lab: `[a-z][a-z0-9_]{0,127}`.
    DatasetName, "dataset", DATASET_RULE, 1, 128, false
);
name!(
    /// A table of a dataset.
    TableName, "table", NAME_RULE, 1, 128, true
);

impl TableName {
    /// The nearest valid name to a grid, group or file name: lower case, everything else `_`.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut name: String = text
            .trim_matches('/')
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .take(127)
            .collect();
        if name.chars().next().is_some_and(|c| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        Self::new(name)
    }
}

/// A dataset as a person writes it: `name`, `lab.name` or `lab.name@3`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DatasetRef {
    /// The lab, if it was written.
    pub lab: Option<LabName>,
    /// The dataset.
    pub name: DatasetName,
    /// The version, if it was written.
    pub version: Option<u32>,
}

impl FromStr for DatasetRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError { kind: "dataset", value: text.to_owned(), rule: REF_RULE };
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let (lab, name) = match path.split_once('.') {
            Some((lab, name)) => (Some(LabName::new(lab)?), name),
            None => (None, path),
        };
        Ok(Self { lab, name: DatasetName::new(name)?, version })
    }
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(lab) = &self.lab {
            write!(f, "{lab}.")?;
        }
        write!(f, "{}", self.name)?;
        self.version.map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

/// A table with its full name: `lab.dataset.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableRef {
    /// The lab that owns it.
    pub lab: LabName,
    /// The dataset it belongs to.
    pub dataset: DatasetName,
    /// The table.
    pub table: TableName,
}

impl fmt::Display for TableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.lab, self.dataset, self.table)
    }
}

impl FromStr for TableRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(lab), Some(dataset), Some(table), None) => Ok(Self {
                lab: LabName::new(lab)?,
                dataset: DatasetName::new(dataset)?,
                table: TableName::new(table)?,
            }),
            _ => Err(NameError {
                kind: "table",
                value: text.to_owned(),
                rule: "write lab.dataset.table",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        assert!(LabName::new("ornl").is_ok());
        for bad in ["", "o", "Ornl", "1lab", "_lab", "o-l", &"x".repeat(33)] {
            assert!(LabName::new(bad).is_err(), "{bad}");
        }
        assert!(TableName::new("_x").is_ok());
        for bad in ["x y", "_x", "1x", "", "X"] {
            let told = DatasetName::new(bad).unwrap_err().to_string();
            assert!(told.contains("the first a letter, such as"), "{told}");
        }
    }

    #[test]
    fn a_table_name_is_made_of_any_text() {
        assert_eq!(
            TableName::from_text("/entry/flyScan_250").unwrap().as_str(),
            "entry_flyscan_250"
        );
        assert_eq!(TableName::from_text("2d").unwrap().as_str(), "_2d");
        assert!(TableName::from_text("").is_err());
    }

    #[test]
    fn references_read_back_as_written() {
        for text in ["sst", "ornl.sst", "ornl.sst@3"] {
            assert_eq!(text.parse::<DatasetRef>().unwrap().to_string(), text);
        }
        assert!("a.b.c".parse::<DatasetRef>().is_err());
        assert_eq!("ornl.a.b".parse::<TableRef>().unwrap().to_string(), "ornl.a.b");
        assert!("ornl.a".parse::<TableRef>().is_err());
    }
}
