//! The columns that leave: plain types that every Arrow client reads.

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The plain type of a column: no views, no dictionary and no run-end encoding, at any depth.
///
/// Utf8View broke clients that were built before it, and encodings are a matter of the engine.
fn plain(data_type: &DataType) -> DataType {
    let field = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(plain(field.data_type())))
    };
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::List(inner) => DataType::List(field(inner)),
        DataType::ListView(inner) => DataType::List(field(inner)),
        DataType::LargeList(inner) => DataType::LargeList(field(inner)),
        DataType::LargeListView(inner) => DataType::LargeList(field(inner)),
        DataType::FixedSizeList(inner, size) => DataType::FixedSizeList(field(inner), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

/// The schema of an answer: names and metadata of the logical plan, plain types, and NULLs allowed
/// where either plan allows them.
pub(crate) fn schema_of(logical: &Schema, physical: &Schema) -> SchemaRef {
    let fields: Vec<Field> = logical
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let nullable = field.is_nullable()
                || physical.fields().get(index).is_some_and(|field| field.is_nullable());
            field.as_ref().clone().with_data_type(plain(field.data_type())).with_nullable(nullable)
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, logical.metadata().clone()))
}

/// The batch with exactly this schema.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &strict)
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        Array, ArrayRef, DictionaryArray, Int16Array, StringArray, StringViewArray,
    };

    #[test]
    fn views_and_encodings_leave_as_plain_columns() {
        let text = StringViewArray::from(vec![Some("a"), None]);
        let coordinate = DictionaryArray::new(
            Int16Array::from(vec![1, 0]),
            Arc::new(StringArray::from(vec!["x", "y"])),
        );
        let batch = RecordBatch::try_from_iter([
            ("text", Arc::new(text) as ArrayRef),
            ("coordinate", Arc::new(coordinate) as ArrayRef),
        ])
        .unwrap();
        let schema = schema_of(&batch.schema(), &batch.schema());
        let plain = conform(&batch, &schema).unwrap();
        assert_eq!(plain.schema(), schema);
        for column in plain.columns() {
            assert_eq!(column.data_type(), &DataType::Utf8);
        }
        let coordinate = plain.column(1).as_any().downcast_ref::<StringArray>().unwrap();
        assert_eq!((coordinate.value(0), coordinate.value(1)), ("y", "x"));
    }

    #[test]
    fn a_batch_without_columns_keeps_its_rows() {
        let schema = Arc::new(Schema::empty());
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch = RecordBatch::try_new_with_options(schema.clone(), vec![], &options).unwrap();
        assert_eq!(conform(&batch, &schema).unwrap().num_rows(), 3);
    }
}
