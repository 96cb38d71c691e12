//! New columns against those of an existing table.

use super::types::{TENSOR, widens};
use crate::IngestError;
use arrow::datatypes::{DataType, Field, Schema};
use std::collections::HashMap;

/// What a table's schema becomes when files are added.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Merged {
    /// The table's schema afterwards.
    pub table: Schema,
    /// The columns that the new files are written with, in their order.
    pub files: Schema,
    /// Columns that the table did not have.
    pub added: Vec<String>,
}

/// Fits the columns of new files into a table.
///
/// A column that the table lacks is added, nullable; one that the files lack is NULL in their rows;
/// a narrower type is widened where that is exact.
///
/// # Errors
/// [`IngestError::Column`] for types that do not fit, and for numbers in other units or on another
/// calendar and tensors of another shape: their mixture would be wrong without anybody seeing it; and
/// for names that differ in letter case alone, which Delta takes for one (Delta protocol, "Schema
/// Serialization Format").
pub(crate) fn merge(
    table: &str,
    existing: Option<&Schema>,
    new: &Schema,
) -> Result<Merged, IngestError> {
    let Some(existing) = existing else {
        distinct(table, new.fields().iter().map(|field| field.name().as_str()))?;
        return Ok(Merged { table: new.clone(), files: new.clone(), added: vec![] });
    };
    let mut fields: Vec<Field> = existing.fields().iter().map(|f| f.as_ref().clone()).collect();
    let mut files = Vec::new();
    let mut added = Vec::new();
    for field in new.fields() {
        let Some((_, own)) = existing.fields().find(field.name()) else {
            fields.push(field.as_ref().clone());
            files.push(field.as_ref().clone());
            added.push(field.name().clone());
            continue;
        };
        let refuse = |problem: String| IngestError::Column {
            table: table.to_owned(),
            column: field.name().clone(),
            problem,
        };
        let (of_table, of_files) = (own.data_type(), field.data_type());
        if !same(of_table, of_files) && !widens(of_files, of_table) {
            return Err(refuse(format!(
                "it is {of_table} in the table and {of_files} in the new files; give the table or \
                 the column another name"
            )));
        }
        if !matches!(of_table, DataType::Timestamp(..)) {
            for key in ["units", "calendar", TENSOR] {
                let (of_table, of_files) = (own.metadata().get(key), field.metadata().get(key));
                if let (Some(a), Some(b)) = (of_table, of_files)
                    && a != b
                {
                    return Err(refuse(format!(
                        "its {key} are {a:?} in the table and {b:?} in the new files; give the \
                         table or the column another name"
                    )));
                }
            }
        }
        files.push(own.as_ref().clone());
    }
    distinct(table, fields.iter().map(|field| field.name().as_str()))?;
    Ok(Merged { table: Schema::new(fields), files: Schema::new(files), added })
}

/// Fails for two names that differ in letter case alone.
fn distinct<'a>(table: &str, names: impl Iterator<Item = &'a str>) -> Result<(), IngestError> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for name in names {
        if let Some(other) = seen.insert(name.to_lowercase(), name) {
            return Err(IngestError::Column {
                table: table.to_owned(),
                column: name.to_owned(),
                problem: format!(
                    "there is a column {other} too, and Delta cannot tell names apart that differ \
                     in letter case alone; leave one out with --select, give it another name with \
                     --column NAME=variable:{name} and a --select that has NAME, or use the files \
                     in place"
                ),
            });
        }
    }
    Ok(())
}

/// Whether two types hold the same, whatever their inner fields are called.
fn same(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => same(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.name() == b.name() && same(a.data_type(), b.data_type()))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(fields: &[(&str, DataType, &str)]) -> Schema {
        Schema::new(
            fields
                .iter()
                .map(|(name, data_type, units)| {
                    let metadata = HashMap::from([("units".to_owned(), (*units).to_owned())]);
                    Field::new(*name, data_type.clone(), true).with_metadata(metadata)
                })
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn a_new_column_is_added_and_a_narrower_one_widened() {
        let table = schema(&[("ta", DataType::Float64, "K"), ("old", DataType::Int32, "1")]);
        let files = schema(&[("ta", DataType::Float32, "K"), ("new", DataType::Int8, "1")]);
        let merged = merge("t", Some(&table), &files).unwrap();
        assert_eq!(merged.added, ["new"]);
        assert_eq!(merged.table.fields().len(), 3);
        assert_eq!(merged.files.field(0).data_type(), &DataType::Float64);
        assert_eq!(merged.files.fields().len(), 2);
    }

    #[test]
    fn a_type_that_does_not_fit_is_refused_with_both_types() {
        let table = schema(&[("ta", DataType::Float32, "K")]);
        for other in [DataType::Float64, DataType::Utf8, DataType::Int32] {
            let files = schema(&[("ta", other.clone(), "K")]);
            let error = merge("t", Some(&table), &files).unwrap_err().to_string();
            assert!(error.contains("column ta") && error.contains("Float32"), "{error}");
            assert!(error.contains(&other.to_string()), "{error}");
        }
    }

    #[test]
    fn other_units_are_refused_with_both() {
        let table = schema(&[("ta", DataType::Float32, "K")]);
        let files = schema(&[("ta", DataType::Float32, "degC")]);
        let error = merge("t", Some(&table), &files).unwrap_err().to_string();
        assert!(error.contains("\"K\"") && error.contains("\"degC\""), "{error}");
    }

    #[test]
    fn names_that_differ_in_letter_case_alone_are_refused_with_both_and_a_way_out() {
        let both = schema(&[("T", DataType::Float32, "K"), ("t", DataType::Float32, "s")]);
        let upper = schema(&[("T", DataType::Float32, "K")]);
        let lower = schema(&[("t", DataType::Float32, "K")]);
        for merged in [merge("t", None, &both), merge("t", Some(&upper), &lower)] {
            let error = merged.unwrap_err().to_string();
            for word in ["column t:", "column T ", "--select", "--column NAME=variable:t"] {
                assert!(error.contains(word), "{error}");
            }
        }
    }
}
