//! What is done to a batch after it was gathered: NULLs are replaced, and rows that only fill it are marked.

use super::nulls;
use super::plan::Plan;
use super::request::{Nulls, StreamRequest, Tail};
use crate::error::QueryError;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use tarn_schemas::cursor::Cursor;

/// The column that says which rows count.
const VALID: &str = "_valid";

/// The form of the batches of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    schema: SchemaRef,
    nulls: Option<Nulls>,
    padded: bool,
}

impl Shape {
    /// The form that a request asks for.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] where a column that is added has the name of another, and for types that cannot be masked.
    pub(crate) fn new(plan: &Plan, request: &StreamRequest) -> Result<Self, QueryError> {
        Self::over(plan.schema(), request)
    }

    fn over(schema: &Schema, request: &StreamRequest) -> Result<Self, QueryError> {
        let mut fields = nulls::fields(schema, request.nulls)?;
        let padded = request.tail() == Tail::Pad;
        if padded {
            fields.push(Arc::new(Field::new(VALID, DataType::Boolean, false)));
        }
        for (place, field) in fields.iter().enumerate() {
            if fields.iter().take(place).any(|other| other.name() == field.name()) {
                return Err(QueryError::Invalid(format!(
                    "stream: the table has a column {:?}, which the stream would add: leave it out of `columns`",
                    field.name()
                )));
            }
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(Self { schema, nulls: request.nulls, padded })
    }

    /// Schema of every batch.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A batch in this form.
    pub(crate) fn batch(
        &self,
        batch: RecordBatch,
        cursor: Cursor,
    ) -> Result<RecordBatch, QueryError> {
        if self.nulls.is_none() && !self.padded {
            return Ok(batch);
        }
        let rows = batch.num_rows();
        let mut columns = nulls::columns(&batch, self.nulls, cursor.next_position)?;
        if self.padded {
            let counted = usize::try_from(cursor.rows).unwrap_or(usize::MAX);
            let valid: BooleanArray = (0..rows).map(|row| Some(row < counted)).collect();
            columns.push(Arc::new(valid) as ArrayRef);
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| QueryError::Internal(format!("the form of a batch: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::OrderHash;
    use arrow::array::Int64Array;

    #[test]
    fn rows_that_fill_a_batch_are_marked() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![5, 6, 6]));
        let batch = RecordBatch::try_from_iter([("x", values)]).unwrap();
        let request = StreamRequest { tail: Some(Tail::Pad), ..StreamRequest::new("a") };
        let shape = Shape::over(batch.schema_ref(), &request).unwrap();
        let cursor = Cursor {
            plan: 0,
            epoch: 0,
            rows: 2,
            step: 0,
            next_position: 2,
            last: true,
            heartbeat: false,
            padded: true,
            hash: OrderHash::default(),
        };
        let marked = shape.batch(batch.clone(), cursor).unwrap();
        assert_eq!(marked.schema_ref(), shape.schema());
        let expected = BooleanArray::from(vec![true, true, false]);
        assert_eq!(marked.column(1).as_ref(), &expected as &dyn arrow::array::Array);
        assert!(Shape::over(marked.schema_ref(), &request).is_err());
    }
}
