//! Small tables of values.

use crate::error::QueryError;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

/// A value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Bool(bool),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// A table with these columns: names, each with `:i` for numbers, `:t` for text, `:b` for true and false, `:l` for lists
/// of text, which are always NULL. A row names the columns that it has; the others are NULL.
pub(super) fn batch(columns: &str, rows: &[Vec<(&str, Value)>]) -> Result<RecordBatch, QueryError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in columns.split_whitespace() {
        let (name, kind) = column.split_once(':').unwrap_or((column, "t"));
        let of = |row: &Vec<(&str, Value)>| {
            row.iter()
                .find(|(given, _)| *given == name)
                .map_or(Value::Null, |(_, value)| value.clone())
        };
        let values = rows.iter().map(of);
        let array: ArrayRef = match kind {
            "i" => Arc::new(
                values
                    .map(|value| if let Value::Int(value) = value { Some(value) } else { None })
                    .collect::<Int64Array>(),
            ),
            "b" => Arc::new(
                values
                    .map(|value| if let Value::Bool(value) = value { Some(value) } else { None })
                    .collect::<BooleanArray>(),
            ),
            "l" => new_null_array(&DataType::new_list(DataType::Utf8, true), rows.len()),
            _ => Arc::new(
                values
                    .map(|value| if let Value::Text(value) = value { Some(value) } else { None })
                    .collect::<StringArray>(),
            ),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}
