//! Giving batches of a peer exactly the schema that the plan here expects.
//!
//! A peer may hold text as `Utf8View` or dictionary-encode it where the schema here says otherwise;
//! such differences of *encoding* are cast away. A difference of *type* is an error: a silent cast
//! could change values.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// The type without its encoding.
fn plain(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| Arc::new(Field::new("item", plain(field.data_type()), true));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::List(field) | DataType::LargeList(field) | DataType::ListView(field) => {
            DataType::List(inner(field))
        }
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(inner(field), *length),
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        other => other.clone(),
    }
}

/// Why the columns of `sent` cannot stand for those of `expected`; `None` if they can.
pub(crate) fn mismatch(expected: &SchemaRef, sent: &SchemaRef) -> Option<String> {
    if expected.fields().len() != sent.fields().len() {
        return Some(format!(
            "it sent {} columns where {} were expected",
            sent.fields().len(),
            expected.fields().len()
        ));
    }
    expected.fields().iter().zip(sent.fields()).find_map(|(expected, sent)| {
        (plain(expected.data_type()) != plain(sent.data_type())).then(|| {
            format!(
                "column {:?} came as {} where {} was expected; its table may just have changed, so ask again",
                expected.name(),
                sent.data_type(),
                expected.data_type()
            )
        })
    })
}

/// The batch with the expected schema. Columns go by position.
pub(crate) fn align(batch: &RecordBatch, expected: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    // A value that does not fit its new encoding must not become NULL.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(expected.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &strict)
            }
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(expected), columns, &options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, StringViewArray};
    use arrow::datatypes::{Int32Type, Schema};

    fn schema(data_type: DataType) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("model", data_type, true)]))
    }

    #[test]
    fn encodings_are_cast_and_types_are_refused_by_name() {
        let names = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let (expected, sent) = (schema(names), schema(DataType::Utf8View));
        assert_eq!(mismatch(&expected, &sent), None);
        let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a")]));
        let batch = RecordBatch::try_new(sent, vec![column]).unwrap();
        let aligned = align(&batch, &expected).unwrap();
        assert_eq!(aligned.schema(), expected);
        assert_eq!(aligned.column(0).as_dictionary::<Int32Type>().values().len(), 1);

        let problem = mismatch(&schema(DataType::Int64), &schema(DataType::Float64)).unwrap();
        assert!(problem.contains("\"model\"") && problem.contains("Float64"), "{problem}");
        assert!(mismatch(&schema(DataType::Int64), &Arc::new(Schema::empty())).is_some());
    }
}
