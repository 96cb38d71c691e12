//! Columns of a Delta table and their names in its files (Delta protocol, "Column Mapping").

use crate::provider::PHYSICAL_NAME;
use arrow::datatypes::{Field, Schema};
use deltalake::table::state::DeltaTableState;
use parquet::arrow::PARQUET_FIELD_ID_META_KEY;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use std::collections::HashMap;

/// Metadata of a field: the number of its column in files.
const NUMBER: &str = "delta.columnMapping.id";

/// How a table finds its columns in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mapping {
    /// By their names.
    None,
    /// By names that the schema tells.
    Name,
    /// By numbers: names in files mean nothing.
    Id,
}

impl Mapping {
    /// How a table does.
    pub(super) fn of(table: &DeltaTableState) -> Self {
        let mode = table.metadata().configuration().get("delta.columnMapping.mode");
        match mode.map(String::as_str) {
            Some("name") => Self::Name,
            Some("id") => Self::Id,
            _ => Self::None,
        }
    }

    /// Names in a file by the table's names. Columns that the file lacks are left out.
    ///
    /// # Errors
    /// A mapped column whose place in files the table does not say, and a file without numbers where
    /// only they count: NULLs would look like its values.
    pub(super) fn names(
        self,
        table: &Schema,
        file: &ArrowReaderMetadata,
    ) -> Result<HashMap<String, String>, String> {
        let stored = file.schema().fields();
        if self == Self::Id && stored.iter().any(|field| number(field).is_none()) {
            return Err(
                "a data file has no numbers of columns, which its table asks for".to_owned()
            );
        }
        let mut names = HashMap::new();
        for field in table.fields() {
            let said = |key: &str| {
                let said = field.metadata().get(key).map(String::as_str);
                said.ok_or_else(|| format!("column {} has no {key}", field.name()))
            };
            let name = match self {
                Self::None => Some(field.name().clone()),
                Self::Name => Some(said(PHYSICAL_NAME)?.to_owned()),
                Self::Id => {
                    let wanted = said(NUMBER)?;
                    let found = stored.iter().find(|field| number(field) == Some(wanted));
                    found.map(|field| field.name().clone())
                }
            };
            if let Some(name) = name.filter(|name| stored.find(name).is_some()) {
                names.insert(field.name().clone(), name);
            }
        }
        Ok(names)
    }

    /// Values of partition columns by the table's names. The log has them by physical ones; an empty
    /// text stands for NULL (Delta protocol, "Partition Value Serialization").
    pub(super) fn constants(
        self,
        table: &Schema,
        values: HashMap<String, Option<String>>,
    ) -> HashMap<String, Option<String>> {
        let values: HashMap<_, _> = values
            .into_iter()
            .map(|(key, value)| (key, value.filter(|text| !text.is_empty())))
            .collect();
        if self == Self::None {
            return values;
        }
        let value = |field: &Field| {
            let key = field.metadata().get(PHYSICAL_NAME).unwrap_or(field.name());
            Some((
                field.name().clone(),
                values.get(key).or_else(|| values.get(field.name()))?.clone(),
            ))
        };
        table.fields().iter().filter_map(|field| value(field)).collect()
    }
}

fn number(field: &Field) -> Option<&str> {
    field.metadata().get(PARQUET_FIELD_ID_META_KEY).map(String::as_str)
}
