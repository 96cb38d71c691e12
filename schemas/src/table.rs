//! How files become a table: which grid, which layout, which columns.
//!
//! The same options stand under `tables:` in a record, in the JSON argument of `read_netcdf` and
//! behind `--column`, `--grid` and `--layout` at ingest.

use crate::code::{Coded, ErrorCode};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How the arrays of a grid become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// One row per cell: coordinates and values.
    #[default]
    Cells,
    /// One row per index of the leading dimension, each variable a fixed-shape tensor.
    Tensors,
}

/// How stored values become the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// CF decoding into Arrow: fills are NULL, integers stay integers, standard times are timestamps.
    #[default]
    Arrow,
    /// The values and dtypes of `xarray.open_dataset`, bit for bit.
    Xarray,
}

/// How files of one table are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Union {
    /// Columns are matched by name; a file without a column gives NULL.
    #[default]
    ByName,
}

/// A part of a date that a CF time has in its own calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CalendarPart {
    /// `cf_year(time)`
    Year,
    /// `cf_month(time)`
    Month,
    /// `cf_day(time)`
    Day,
    /// `cf_date(time)`: the whole date, as ISO 8601 text
    Date,
}

impl CalendarPart {
    /// The function of this name in SQL and in options.
    pub fn function(self) -> &'static str {
        match self {
            Self::Year => "cf_year",
            Self::Month => "cf_month",
            Self::Day => "cf_day",
            Self::Date => "cf_date",
        }
    }
}

/// Where an extra column of a table comes from.
///
/// | text | value |
/// |---|---|
/// | `attribute:source_id` | the global attribute of the file |
/// | `attribute:time:calendar` | the attribute of a variable, as in CDL |
/// | `path:(.*)_north_america` | the first group of the expression in the file's path; an integer where every file gives one |
/// | `cf_year(time)`, `cf_month(time)`, `cf_day(time)` | a part of a CF time in its own calendar |
/// | `cf_date(time)` | a CF time as ISO text in its own calendar |
/// | `variable:Q` | another name for a variable, coordinate or dimension index |
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ColumnSource {
    /// A global attribute, or an attribute of a variable.
    Attribute {
        /// The variable, or `None` for a global attribute.
        variable: Option<String>,
        /// The attribute.
        name: String,
    },
    /// The first capture group of a regular expression in the file's path.
    Path(String),
    /// A calendar part of a CF time variable.
    Calendar(CalendarPart, String),
    /// A variable or dimension under another name.
    Variable(String),
}

/// A column source that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "column source {text:?} is not understood: write attribute:NAME, attribute:VARIABLE:NAME, \
     path:REGEX with one group, variable:NAME, cf_year(TIME), cf_month(TIME), cf_day(TIME) or \
     cf_date(TIME)"
)]
pub struct ColumnSourceError {
    text: String,
}

impl Coded for ColumnSourceError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidArgument
    }
}

impl FromStr for ColumnSource {
    type Err = ColumnSourceError;

    fn from_str(text: &str) -> Result<Self, ColumnSourceError> {
        let wrong = || ColumnSourceError { text: text.to_owned() };
        if let Some(rest) = text.strip_prefix("attribute:") {
            let (variable, name) = match rest.split_once(':') {
                Some((variable, name)) => (Some(variable.to_owned()), name),
                None => (None, rest),
            };
            if name.is_empty() || variable.as_deref() == Some("") {
                return Err(wrong());
            }
            return Ok(Self::Attribute { variable, name: name.to_owned() });
        }
        if let Some(pattern) = text.strip_prefix("path:") {
            let groups = regex::Regex::new(pattern).map_err(|_| wrong())?.captures_len();
            return if groups == 2 { Ok(Self::Path(pattern.to_owned())) } else { Err(wrong()) };
        }
        if let Some(name) = text.strip_prefix("variable:").filter(|name| !name.is_empty()) {
            return Ok(Self::Variable(name.to_owned()));
        }
        use CalendarPart::{Date, Day, Month, Year};
        for part in [Year, Month, Day, Date] {
            let call = text.strip_prefix(part.function()).and_then(|rest| rest.strip_prefix('('));
            let argument = call.and_then(|rest| rest.strip_suffix(')'));
            if let Some(name) = argument.map(str::trim).filter(|name| !name.is_empty()) {
                return Ok(Self::Calendar(part, name.to_owned()));
            }
        }
        Err(wrong())
    }
}

impl TryFrom<String> for ColumnSource {
    type Error = ColumnSourceError;
    fn try_from(text: String) -> Result<Self, ColumnSourceError> {
        text.parse()
    }
}

impl From<ColumnSource> for String {
    fn from(source: ColumnSource) -> Self {
        source.to_string()
    }
}

impl fmt::Display for ColumnSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute { variable: Some(variable), name } => {
                write!(f, "attribute:{variable}:{name}")
            }
            Self::Attribute { variable: None, name } => write!(f, "attribute:{name}"),
            Self::Path(pattern) => write!(f, "path:{pattern}"),
            Self::Variable(name) => write!(f, "variable:{name}"),
            Self::Calendar(part, name) => write!(f, "{}({name})", part.function()),
        }
    }
}

/// How files become one table. Every field has a default, so `{}` is valid.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// The grid; without it the one with most cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grid: Option<String>,
    /// Rows are cells or tensors.
    pub layout: Layout,
    /// How values are decoded.
    pub decode: Decode,
    /// Extra columns, in order.
    #[serde(with = "columns", skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<(String, ColumnSource)>,
    /// The columns to keep, in this order; empty keeps all: extra columns, coordinates, variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub select: Vec<String>,
    /// How several files become one table.
    pub union: Union,
    /// Whether a column `_file` names the file of each row.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub file_column: bool,
}

mod columns {
    use super::ColumnSource;
    use serde::de::{MapAccess, Visitor};
    use serde::ser::SerializeMap;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        columns: &[(String, ColumnSource)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(columns.len()))?;
        for (name, source) in columns {
            map.serialize_entry(name, &source.to_string())?;
        }
        map.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, ColumnSource)>, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, ColumnSource)>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of column name to column source")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut columns = Vec::new();
                while let Some((name, source)) = map.next_entry::<String, String>()? {
                    let source = source.parse().map_err(serde::de::Error::custom)?;
                    columns.push((name, source));
                }
                Ok(columns)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_sources_read_back_as_written() {
        for text in [
            "attribute:source_id",
            "attribute:time:calendar",
            "path:(.*)_north_america",
            "cf_year(time)",
            "cf_month(time)",
            "cf_day(time)",
            "cf_date(time)",
            "variable:Q",
        ] {
            assert_eq!(text.parse::<ColumnSource>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "source_id",
            "attribute:",
            "attribute::x",
            "path:(",
            "path:a",
            "cf_hour(t)",
            "cf_year()",
        ] {
            assert!(text.parse::<ColumnSource>().is_err(), "{text}");
        }
    }

    #[test]
    fn options_keep_the_order_of_columns_and_refuse_unknown_keys() {
        let json = r#"{"columns": {"z": "attribute:a", "b": "variable:B"}, "layout": "tensors"}"#;
        let options: TableOptions = serde_json::from_str(json).unwrap();
        assert_eq!(options.columns[0].0, "z");
        assert_eq!(options.columns[1].0, "b");
        assert_eq!(options.layout, Layout::Tensors);
        let again: TableOptions =
            serde_json::from_str(&serde_json::to_string(&options).unwrap()).unwrap();
        assert_eq!(again, options);
        assert!(serde_json::from_str::<TableOptions>(r#"{"colums": {}}"#).is_err());
    }
}
