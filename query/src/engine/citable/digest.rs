//! The checksum of an answer, over bytes that depend on its values alone: not on batches, buffers or
//! versions of a format.
//!
//! SHA-256 of, one after the other (numbers little-endian):
//!
//! 1. the text `tarn answer 1` and a line feed;
//! 2. the number of columns (8 bytes), then of each its name and its Arrow type (as in `Int64` or
//!    `Timestamp(µs)`), both as the number of their bytes in UTF-8 (8 bytes) and these bytes;
//! 3. row by row, and in a row column by column, a value: the byte 0 for NULL, or the byte 1 followed by
//!    a Boolean as one byte; a number, date, time or decimal as its Arrow bytes; a text or bytes as their number (8
//!    bytes) and the bytes; a list as the number of its elements (8 bytes) and these as values; a
//!    list of fixed size as its elements; a struct as its fields as values.

use crate::error::QueryError;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The checksum of an answer as it grows.
#[derive(Debug, Clone)]
pub struct AnswerDigest {
    hash: Sha256,
    rows: u64,
}

impl AnswerDigest {
    /// Of an answer with these columns and no rows yet.
    pub fn new(schema: &Schema) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"tarn answer 1\n");
        length(&mut hash, schema.fields().len());
        for field in schema.fields() {
            for text in [field.name().clone(), field.data_type().to_string()] {
                length(&mut hash, text.len());
                hash.update(text);
            }
        }
        Self { hash, rows: 0 }
    }

    /// Adds the rows of a batch.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for a column whose type has no bytes of its own, such as a union.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), QueryError> {
        let columns = batch.columns().iter().map(Values::of).collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            for column in &columns {
                column.add(&mut self.hash, row)?;
            }
        }
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }

    /// The number of rows, and the checksum in lower-case hexadecimal.
    pub fn finish(self) -> (u64, String) {
        (self.rows, format!("{:x}", self.hash.finalize()))
    }
}

fn length(hash: &mut Sha256, length: usize) {
    hash.update((length as u64).to_le_bytes());
}

/// The values of an array, ready to be taken one by one.
struct Values {
    array: ArrayRef,
    /// Of a type whose values have one width: their bytes, and the width.
    fixed: Option<(Buffer, usize)>,
}

impl Values {
    fn of(array: &ArrayRef) -> Result<Self, QueryError> {
        let data_type = array.data_type();
        let width = match data_type {
            DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
            other => other.primitive_width(),
        };
        let fixed = match width {
            Some(width) => {
                let data = array.to_data();
                let start = data.offset().saturating_mul(width);
                let bytes = data.buffers().first().filter(|buffer| start <= buffer.len());
                let bytes = bytes.map(|buffer| buffer.slice(start));
                Some((bytes.ok_or_else(|| short(data_type))?, width))
            }
            None => None,
        };
        Ok(Self { array: Arc::clone(array), fixed })
    }

    fn add(&self, hash: &mut Sha256, row: usize) -> Result<(), QueryError> {
        let array = &self.array;
        if array.data_type() == &DataType::Null || array.is_null(row) {
            hash.update([0]);
            return Ok(());
        }
        hash.update([1]);
        if let Some((bytes, width)) = &self.fixed {
            let start = row.saturating_mul(*width);
            let value = bytes.as_slice().get(start..start.saturating_add(*width));
            hash.update(value.ok_or_else(|| short(array.data_type()))?);
            return Ok(());
        }
        let text = |hash: &mut Sha256, bytes: &[u8]| {
            length(hash, bytes.len());
            hash.update(bytes);
        };
        match array.data_type() {
            DataType::Boolean => hash.update([u8::from(array.as_boolean().value(row))]),
            DataType::Utf8 => text(hash, array.as_string::<i32>().value(row).as_bytes()),
            DataType::LargeUtf8 => text(hash, array.as_string::<i64>().value(row).as_bytes()),
            DataType::Binary => text(hash, array.as_binary::<i32>().value(row)),
            DataType::LargeBinary => text(hash, array.as_binary::<i64>().value(row)),
            DataType::List(_) => list(hash, &array.as_list::<i32>().value(row))?,
            DataType::LargeList(_) => list(hash, &array.as_list::<i64>().value(row))?,
            DataType::FixedSizeList(..) => {
                elements(hash, &array.as_fixed_size_list().value(row))?;
            }
            DataType::Map(..) => {
                let entries: ArrayRef = Arc::new(array.as_map().value(row));
                list(hash, &entries)?;
            }
            DataType::Struct(_) => {
                for column in array.as_struct().columns() {
                    Self::of(column)?.add(hash, row)?;
                }
            }
            other => {
                return Err(QueryError::Invalid(format!(
                    "this query cannot be kept: a column has the type {other}, which has no bytes of \
                     its own; cast it"
                )));
            }
        }
        Ok(())
    }
}

fn list(hash: &mut Sha256, values: &ArrayRef) -> Result<(), QueryError> {
    length(hash, values.len());
    elements(hash, values)
}

fn elements(hash: &mut Sha256, values: &ArrayRef) -> Result<(), QueryError> {
    let values_of = Values::of(values)?;
    (0..values.len()).try_for_each(|row| values_of.add(hash, row))
}

fn short(data_type: &DataType) -> QueryError {
    QueryError::Internal(format!("a column of type {data_type} is shorter than it says"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, Int16Array, ListArray, StringArray,
        StructArray,
    };
    use arrow::datatypes::{Field, Int16Type};

    fn digest(batches: &[RecordBatch]) -> String {
        let mut digest = AnswerDigest::new(&batches[0].schema());
        for batch in batches {
            digest.add(batch).unwrap();
        }
        digest.finish().1
    }

    /// Computed by Python's hashlib and struct from the description above.
    #[test]
    fn the_checksum_is_that_of_its_description() {
        let batch = RecordBatch::try_from_iter([
            ("n", Arc::new(Int16Array::from(vec![Some(1), None, Some(-2)])) as ArrayRef),
            ("é", Arc::new(StringArray::from(vec![Some("a"), Some(""), None])) as ArrayRef),
            ("b", Arc::new(BooleanArray::from(vec![true, false, true])) as ArrayRef),
        ])
        .unwrap();
        let expected = "db4ea6e5156d24b040b51597eafa26a652ea106915fe95fc14684225e281ac15";
        assert_eq!(digest(std::slice::from_ref(&batch)), expected);
        // However it is cut.
        assert_eq!(digest(&[batch.slice(0, 1), batch.slice(1, 2)]), expected);
        let nothing = AnswerDigest::new(&batch.schema()).finish();
        assert_eq!(nothing.0, 0);
        assert_ne!(nothing.1, expected);
    }

    #[test]
    fn every_value_counts_and_nothing_else_does() {
        let floats = |values: Vec<f64>| {
            let array: ArrayRef = Arc::new(Float64Array::from(values));
            digest(&[RecordBatch::try_from_iter([("x", array)]).unwrap()])
        };
        assert_ne!(floats(vec![0.0]), floats(vec![-0.0]));
        assert_ne!(floats(vec![1.0, 2.0]), floats(vec![2.0, 1.0]));
        assert_eq!(floats(vec![f64::NAN]), floats(vec![f64::NAN]));
        let lists = |rows: Vec<Option<Vec<Option<i16>>>>| {
            let array: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int16Type, _, _>(rows));
            digest(&[RecordBatch::try_from_iter([("x", array)]).unwrap()])
        };
        assert_ne!(
            lists(vec![Some(vec![Some(1)]), Some(vec![])]),
            lists(vec![Some(vec![]), Some(vec![Some(1)])])
        );
        assert_ne!(lists(vec![None]), lists(vec![Some(vec![])]));
        let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![5, 6, 7]));
        let field = Arc::new(Field::new("d", decimals.data_type().clone(), true));
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(field, decimals)]));
        let whole = RecordBatch::try_from_iter([("s", nested)]).unwrap();
        assert_eq!(
            digest(&[whole.slice(0, 1), whole.slice(1, 2)]),
            digest(std::slice::from_ref(&whole))
        );
    }
}
