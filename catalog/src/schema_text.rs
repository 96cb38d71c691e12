//! Arrow schemas as text, as they stand in [`TableEntry::schema`](crate::TableEntry::schema).
//!
//! The text is the standard base64 of one encapsulated IPC message whose header is the schema
//! (Arrow columnar format, "Encapsulated message format"): what `pyarrow.ipc.read_schema` reads.

use crate::model::ColumnInfo;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::sync::Arc;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Field metadata that holds what `ARROW:extension:metadata` said of a tensor column that Delta
/// stores as a list: readers of Delta get a list, and Arrow's own key would make them expect another
/// type.
pub const TENSOR: &str = "tarn:fixed_shape_tensor";

/// The schema with every tensor as `arrow.fixed_shape_tensor` (Arrow's canonical extension types),
/// also those that Delta stores as lists.
#[must_use]
pub fn with_tensors(schema: &Schema) -> Schema {
    let fields =
        schema.fields().iter().map(|field| tensor(field).unwrap_or_else(|| Arc::clone(field)));
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

fn tensor(field: &Field) -> Option<Arc<Field>> {
    let DataType::List(item) = field.data_type() else { return None };
    let extension = field.metadata().get(TENSOR)?;
    let sides = shape(extension)?;
    let length = sides.iter().try_fold(1_i32, |cells, side| cells.checked_mul(*side))?;
    let mut metadata = field.metadata().clone();
    metadata.remove(TENSOR);
    metadata.insert("ARROW:extension:name".to_owned(), "arrow.fixed_shape_tensor".to_owned());
    metadata.insert("ARROW:extension:metadata".to_owned(), extension.clone());
    let item = Field::new("item", item.data_type().clone(), true);
    let data_type = DataType::FixedSizeList(Arc::new(item), length);
    Some(Arc::new(Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata)))
}

/// The lengths of a tensor's dimensions in the metadata of its extension type.
fn shape(extension: &str) -> Option<Vec<i32>> {
    #[derive(Deserialize)]
    struct Tensor {
        shape: Vec<i32>,
    }
    serde_json::from_str::<Tensor>(extension).ok().map(|tensor| tensor.shape)
}

/// Whether a key of a field's metadata means something to Delta or Parquet alone: names and numbers
/// of columns in files, identities, invariants.
#[must_use]
pub fn is_delta_key(key: &str) -> bool {
    key.starts_with("delta.") || key.starts_with("PARQUET:") || key == "parquet.field.id"
}

/// The schema without what [`is_delta_key`] names.
#[must_use]
pub fn without_delta_keys(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let mut metadata = field.metadata().clone();
        metadata.retain(|key, _| !is_delta_key(key));
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

/// The type of a column as people read it; of a tensor its shape and the type of its elements.
fn type_text(field: &Field) -> String {
    let described = field
        .metadata()
        .get(TENSOR)
        .or_else(|| field.metadata().get("ARROW:extension:metadata"))
        .and_then(|extension| shape(extension));
    match (field.data_type(), described) {
        (DataType::List(item) | DataType::FixedSizeList(item, _), Some(shape)) => {
            let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
            format!("Tensor({} {})", sides.join("×"), item.data_type())
        }
        (other, _) => other.to_string(),
    }
}

/// A text that holds no Arrow schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the stored schema cannot be read: {problem}; it must be the base64 of an Arrow IPC schema \
     message: ingest or register the table again"
)]
pub struct SchemaTextError {
    problem: String,
}

impl Coded for SchemaTextError {
    fn code(&self) -> ErrorCode {
        ErrorCode::InvalidData
    }
}

/// Longest schema that is read, in bytes of the message.
const LARGEST: usize = 64 << 20;

/// The schema with all metadata as text.
pub fn encode(schema: &Schema) -> String {
    let message = IpcDataGenerator::default()
        .schema_to_bytes_with_dictionary_tracker(
            schema,
            &mut DictionaryTracker::new(false),
            &IpcWriteOptions::default(),
        )
        .ipc_message;
    // A continuation marker, the length and the message, padded to eight bytes in all.
    let padded = message.len().next_multiple_of(8);
    let mut bytes = Vec::with_capacity(padded.saturating_add(8));
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.extend_from_slice(&i32::try_from(padded).unwrap_or(i32::MAX).to_le_bytes());
    bytes.extend_from_slice(&message);
    bytes.resize(padded.saturating_add(8), 0);
    STANDARD.encode(bytes)
}

/// The schema that a text holds.
///
/// # Errors
/// The text is no base64, too long, or no Arrow IPC schema message.
pub fn decode(text: &str) -> Result<Schema, SchemaTextError> {
    let wrong = |problem: String| SchemaTextError { problem };
    if text.len() > LARGEST {
        return Err(wrong(format!("{} characters are too many", text.len())));
    }
    let bytes = STANDARD.decode(text).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() < 16 {
        return Err(wrong(format!("{} bytes are too few", bytes.len())));
    }
    try_schema_from_ipc_buffer(&bytes).map_err(|error| wrong(error.to_string()))
}

/// What search and listings say of the columns. `standard_name` and `units` are taken from the
/// metadata of the fields.
pub fn columns(schema: &Schema) -> Vec<ColumnInfo> {
    let text = |field: &Field, key: &str| {
        field.metadata().get(key).filter(|text| !text.is_empty()).cloned()
    };
    schema
        .fields()
        .iter()
        .map(|field| ColumnInfo {
            name: field.name().clone(),
            data_type: type_text(field),
            standard_name: text(field, "standard_name"),
            units: text(field, "units"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;
    use std::collections::HashMap;

    fn schema() -> Schema {
        let temperature = Field::new("ta", DataType::Float32, true).with_metadata(HashMap::from([
            ("units".to_owned(), "K".to_owned()),
            ("standard_name".to_owned(), "air_temperature".to_owned()),
        ]));
        let tensor = Field::new(
            "q",
            DataType::FixedSizeList(Arc::new(Field::new("item", DataType::Float64, true)), 12),
            false,
        )
        .with_metadata(HashMap::from([(
            "ARROW:extension:name".to_owned(),
            "arrow.fixed_shape_tensor".to_owned(),
        )]));
        let time = Field::new("time", DataType::Timestamp(TimeUnit::Nanosecond, None), true);
        let place = Field::new(
            "place",
            DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            true,
        );
        Schema::new_with_metadata(
            vec![temperature, tensor, time, place],
            HashMap::from([("Conventions".to_owned(), "CF-1.11".to_owned())]),
        )
    }

    #[test]
    fn a_schema_reads_back_with_all_metadata() {
        assert_eq!(decode(&encode(&schema())).unwrap(), schema());
        assert_eq!(decode(&encode(&Schema::empty())).unwrap(), Schema::empty());
    }

    #[test]
    fn columns_carry_standard_name_and_units() {
        let columns = columns(&schema());
        assert_eq!(columns[0].standard_name.as_deref(), Some("air_temperature"));
        assert_eq!(columns[0].units.as_deref(), Some("K"));
        assert_eq!(columns[0].data_type, "Float32");
        assert_eq!(columns[2].units, None);
    }

    #[test]
    fn a_tensor_that_delta_stores_as_a_list_is_a_tensor_again() {
        let list = DataType::List(Arc::new(Field::new("element", DataType::Float32, true)));
        let field = Field::new("q", list.clone(), true).with_metadata(HashMap::from([
            (TENSOR.to_owned(), r#"{"shape":[3,4]}"#.to_owned()),
            ("units".to_owned(), "K".to_owned()),
        ]));
        let plain = Field::new("names", list, true);
        let stored = Schema::new(vec![field, plain.clone()]);
        let restored = with_tensors(&stored);
        let tensor = restored.field(0);
        assert!(matches!(tensor.data_type(), DataType::FixedSizeList(_, 12)), "{tensor}");
        assert_eq!(tensor.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
        assert_eq!(tensor.metadata()["units"], "K");
        assert_eq!(restored.field(1), &plain);
        for schema in [stored, restored] {
            assert_eq!(columns(&schema)[0].data_type, "Tensor(3×4 Float32)");
        }
    }

    #[test]
    fn text_that_is_no_schema_is_refused() {
        for text in ["", "AAAA", "not base64!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(decode(text).is_err(), "{text}");
        }
        let whole = encode(&schema());
        for length in (0..whole.len()).step_by(40) {
            assert!(decode(&whole[..length / 4 * 4]).is_err(), "{length}");
        }
    }
}
