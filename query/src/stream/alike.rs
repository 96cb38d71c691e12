//! Tables of one mixture have the same columns; which of them may have NULL, and what is said of them besides, may differ.

use super::table::TablePlan;
use crate::error::QueryError;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use std::sync::Arc;

/// What makes a type of a column another, in the metadata of its field.
const EXTENSION: [&str; 2] = ["ARROW:extension:name", "ARROW:extension:metadata"];

/// The columns of all tables: what only some say of a column is left out, and what one may be NULL in may be NULL.
///
/// # Errors
/// [`QueryError::Invalid`] where names or types differ.
pub(crate) fn schema(tables: &[Arc<TablePlan>]) -> Result<SchemaRef, QueryError> {
    let each = tables.iter().map(|table| (table.table().to_string(), table.schema()));
    of(&each.collect::<Vec<_>>())
}

fn of(tables: &[(String, &SchemaRef)]) -> Result<SchemaRef, QueryError> {
    let Some(((first, schema), others)) = tables.split_first() else {
        return Err(QueryError::Internal("a plan has no table".to_owned()));
    };
    let mut joined = Arc::clone(schema);
    for (place, (name, other)) in (1..).zip(others) {
        let wrong = |problem: String| {
            Err(QueryError::Invalid(format!(
                "stream: sources[0] ({first}) and sources[{place}] ({name}) differ: {problem}; a mixture has the same \
                 columns in every source, in the same order: choose them with `columns`"
            )))
        };
        if joined.fields().len() != other.fields().len() {
            let names = |schema: &Schema| {
                let names: Vec<&str> =
                    schema.fields().iter().map(|field| field.name().as_str()).collect();
                names.join(", ")
            };
            return wrong(format!("one has {} and the other {}", names(schema), names(other)));
        }
        let mut fields = Vec::with_capacity(joined.fields().len());
        for (one, other) in joined.fields().iter().zip(other.fields()) {
            if one.name() != other.name() {
                return wrong(format!(
                    "where one has the column {:?} the other has {:?}",
                    one.name(),
                    other.name()
                ));
            }
            match union(one, other) {
                Some(field) => fields.push(Arc::new(field)),
                None => {
                    return wrong(format!(
                        "column {:?} has the types {} and {}",
                        one.name(),
                        told(one),
                        told(other)
                    ));
                }
            }
        }
        let mut metadata = joined.metadata().clone();
        metadata.retain(|key, value| other.metadata().get(key) == Some(value));
        joined = Arc::new(Schema::new_with_metadata(fields, metadata));
    }
    Ok(joined)
}

/// A type with the shape of its tensors.
fn told(field: &Field) -> String {
    let said: Vec<&str> =
        EXTENSION.iter().filter_map(|key| field.metadata().get(*key).map(String::as_str)).collect();
    if said.is_empty() {
        field.data_type().to_string()
    } else {
        format!("{} ({})", field.data_type(), said.join(" "))
    }
}

/// A field that holds the values of both, if they are of one type.
fn union(one: &Field, other: &Field) -> Option<Field> {
    if EXTENSION.iter().any(|key| one.metadata().get(*key) != other.metadata().get(*key)) {
        return None;
    }
    let inner = |one: &FieldRef, other: &FieldRef| {
        let field = union(one, other)?;
        Some(Arc::new(field.with_name(one.name())))
    };
    let data_type = match (one.data_type(), other.data_type()) {
        (one, other) if one == other => one.clone(),
        (DataType::FixedSizeList(one, length), DataType::FixedSizeList(other, same))
            if length == same =>
        {
            DataType::FixedSizeList(inner(one, other)?, *length)
        }
        (DataType::List(one), DataType::List(other)) => DataType::List(inner(one, other)?),
        (DataType::LargeList(one), DataType::LargeList(other)) => {
            DataType::LargeList(inner(one, other)?)
        }
        (DataType::Struct(one), DataType::Struct(other))
            if one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.name() == other.name()) =>
        {
            let fields: Option<Vec<_>> =
                one.iter().zip(other).map(|(one, other)| inner(one, other)).collect();
            DataType::Struct(fields?.into())
        }
        _ => return None,
    };
    let mut metadata = one.metadata().clone();
    metadata.retain(|key, value| other.metadata().get(key) == Some(value));
    let nullable = one.is_nullable() || other.is_nullable();
    Some(Field::new(one.name(), data_type, nullable).with_metadata(metadata))
}

/// A batch of one of the tables with the schema of all. Nothing is copied.
pub(crate) fn batch(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    if Arc::ptr_eq(batch.schema_ref(), schema) || batch.schema_ref() == schema {
        return Ok(batch);
    }
    let wrong = |error| QueryError::Internal(format!("the columns of a mixture: {error}"));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            return Ok(Arc::clone(column));
        }
        cast(column, field.data_type()).map_err(wrong)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array};

    fn schema(fields: Vec<Field>) -> SchemaRef {
        Arc::new(Schema::new(fields))
    }

    fn joined(one: &SchemaRef, other: &SchemaRef) -> Result<SchemaRef, QueryError> {
        of(&[("lab.a.t".to_owned(), one), ("lab.b.t".to_owned(), other)])
    }

    fn tensor(nullable: bool, shape: &str) -> Field {
        let item = Arc::new(Field::new("item", DataType::Float32, nullable));
        Field::new("x", DataType::FixedSizeList(item, 4), false).with_metadata(
            [(EXTENSION[0], "arrow.fixed_shape_tensor"), (EXTENSION[1], shape)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )
    }

    #[test]
    fn what_may_be_null_in_one_table_may_be_null_in_the_mixture() {
        let number = |nullable| Field::new("n", DataType::Int64, nullable);
        let said = |unit: &str| [("unit".to_owned(), unit.to_owned())].into();
        let one = schema(vec![number(false).with_metadata(said("K")), tensor(false, "[2,2]")]);
        let other = schema(vec![number(true).with_metadata(said("m")), tensor(true, "[2,2]")]);
        let both = joined(&one, &other).unwrap();
        assert_eq!(both.fields()[0].as_ref(), &number(true));
        assert_eq!(both.fields()[1].as_ref(), &tensor(true, "[2,2]"));
        assert_eq!(joined(&other, &one).unwrap(), both);
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let values = Arc::new(Float32Array::from(vec![1.0; 8]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![1, 2])),
            Arc::new(FixedSizeListArray::new(item, 4, values, None)),
        ];
        let made = batch(RecordBatch::try_new(one, columns).unwrap(), &both).unwrap();
        assert_eq!((made.schema(), made.num_rows()), (both, 2));
    }

    #[test]
    fn other_names_and_types_are_refused_and_named() {
        let one = schema(vec![Field::new("n", DataType::Int64, false)]);
        for (other, told) in [
            (Field::new("m", DataType::Int64, false), vec!["\"n\"", "\"m\""]),
            (Field::new("n", DataType::Int32, false), vec!["\"n\"", "Int64", "Int32"]),
        ] {
            let error = joined(&one, &schema(vec![other])).unwrap_err().to_string();
            assert!(told.iter().all(|word| error.contains(word)), "{error}");
            assert!(error.contains("lab.a.t") && error.contains("lab.b.t"), "{error}");
        }
        assert!(joined(&one, &schema(vec![])).is_err());
        let error =
            joined(&schema(vec![tensor(true, "[2,2]")]), &schema(vec![tensor(true, "[4]")]));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("[2,2]") && error.contains("[4]"), "{error}");
    }
}
