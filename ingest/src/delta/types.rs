//! Arrow columns as Delta stores them: every conversion exact, everything else refused.
//!
//! Delta has no unsigned integers, no half floats, no nanoseconds and no lists of fixed size
//! (Delta protocol, "Primitive Types", "Array Type", "Timestamp without timezone"):
//!
//! | Arrow | Delta |
//! |---|---|
//! | UInt8, UInt16, UInt32 | short, integer, long |
//! | UInt64 | long; a value above 2^63 − 1 is refused |
//! | Float16 | float |
//! | Timestamp, any unit, no zone | timestamp_ntz in microseconds; a value between two microseconds is refused |
//! | Timestamp, any unit, a zone | timestamp in microseconds |
//! | FixedSizeList | array; the tensor's shape goes into the field's metadata under [`TENSOR`] |
//! | LargeUtf8, Utf8View | string |
//! | LargeBinary, BinaryView, FixedSizeBinary | binary |
//! | Dictionary | its values |
//! | Decimal of at most 38 digits, none of them before the point missing | decimal |

use crate::IngestError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampNanosecondType};
use std::collections::HashMap;
use std::sync::Arc;
pub(crate) use tarn_catalog::schema_text::TENSOR;

/// Numbers in nanoseconds that one microsecond has.
const NANOSECONDS: i64 = 1_000;

/// Most digits of a decimal.
const DIGITS: u8 = 38;

/// The schema that a Delta table of these columns has. Every column is nullable: a later file may
/// lack it.
pub(crate) fn delta_schema(table: &str, schema: &Schema) -> Result<Schema, IngestError> {
    let fields = schema
        .fields()
        .iter()
        .map(|field| {
            let refuse = |data_type: &DataType| IngestError::Column {
                table: table.to_owned(),
                column: field.name().clone(),
                problem: format!(
                    "Delta cannot store {data_type}; CAST it in the query, leave the column out, or use \
                     the files in place"
                ),
            };
            let data_type = delta_type(field.data_type()).map_err(|part| refuse(&part))?;
            Ok(Field::new(field.name(), data_type, true).with_metadata(metadata(field.metadata())))
        })
        .collect::<Result<Vec<_>, IngestError>>()?;
    Ok(Schema::new(fields))
}

/// The metadata that Delta keeps. Keys that mean something to Delta or Parquet (generated columns,
/// column mapping, field ids) are left out: here they come from attributes of a file.
fn metadata(metadata: &HashMap<String, String>) -> HashMap<String, String> {
    metadata
        .iter()
        .filter_map(|(key, value)| match key.as_str() {
            "ARROW:extension:metadata" => Some((TENSOR.to_owned(), value.clone())),
            "parquet.field.id" => None,
            key if key.starts_with("delta.")
                || key.starts_with("ARROW:")
                || key.starts_with("PARQUET:") =>
            {
                None
            }
            key => Some((key.to_owned(), value.clone())),
        })
        .collect()
}

/// The type in the Delta table, or the part of the type that has none.
fn delta_type(data_type: &DataType) -> Result<DataType, DataType> {
    Ok(match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Float16 => DataType::Float32,
        DataType::Timestamp(_, zone) => {
            DataType::Timestamp(TimeUnit::Microsecond, zone.as_ref().map(|_| Arc::from("UTC")))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, values) => delta_type(values)?,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            if is_nanoseconds(item.data_type()) {
                return Err(data_type.clone());
            }
            let item = Field::new("element", delta_type(item.data_type())?, true);
            DataType::List(Arc::new(item))
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| {
                    if is_nanoseconds(field.data_type()) {
                        return Err(data_type.clone());
                    }
                    Ok(Field::new(field.name(), delta_type(field.data_type())?, true))
                })
                .collect::<Result<_, _>>()?,
        ),
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Boolean
        | DataType::Date32 => data_type.clone(),
        DataType::Decimal32(digits, scale)
        | DataType::Decimal64(digits, scale)
        | DataType::Decimal128(digits, scale)
        | DataType::Decimal256(digits, scale)
            if *digits <= DIGITS && u8::try_from(*scale).is_ok_and(|scale| scale <= *digits) =>
        {
            DataType::Decimal128(*digits, *scale)
        }
        other => return Err(other.clone()),
    })
}

fn is_nanoseconds(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Nanosecond, _))
}

/// Whether every value of `from` is a value of `to`.
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64};
    matches!(
        (from, to),
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
            | (Int16, Int32 | Int64 | Float32 | Float64)
            | (Int32, Int64 | Float64)
            | (Float32, Float64)
    )
}

/// The values in another type, exactly.
///
/// # Errors
/// [`IngestError::Column`] naming a value that the type cannot hold.
pub(crate) fn convert(
    table: &str,
    column: &str,
    array: &ArrayRef,
    data_type: &DataType,
) -> Result<ArrayRef, IngestError> {
    if array.data_type() == data_type {
        return Ok(Arc::clone(array));
    }
    let refuse = |problem: String| IngestError::Column {
        table: table.to_owned(),
        column: column.to_owned(),
        problem,
    };
    if is_nanoseconds(array.data_type()) {
        let values = array.as_primitive::<TimestampNanosecondType>();
        if let Some(value) = values.iter().flatten().find(|value| value % NANOSECONDS != 0) {
            return Err(refuse(format!(
                "the time {value} ns since 1970 lies between two microseconds and Delta stores no \
                 finer time; cut it in the query with date_trunc, leave the column out, or use the files in place"
            )));
        }
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, data_type, &options).map_err(|error| {
        refuse(format!(
            "{} does not fit into Delta's {data_type}: {error}; CAST it in the query, leave the column out, or \
             use the files in place",
            array.data_type()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{TimestampNanosecondArray, UInt64Array};
    use proptest::prelude::*;

    #[test]
    fn a_time_between_two_microseconds_and_a_number_beyond_long_are_refused_by_name() {
        let time: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(-2_000), Some(1)]));
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let error = convert("t", "time", &time, &micros).unwrap_err().to_string();
        assert!(error.contains("column time") && error.contains("1 ns"), "{error}");
        assert!(convert("t", "time", &time.slice(0, 1), &micros).is_ok());

        let count: ArrayRef = Arc::new(UInt64Array::from(vec![1, 1 << 63]));
        let error = convert("t", "n", &count, &DataType::Int64).unwrap_err().to_string();
        assert!(error.contains("column n") && error.contains("9223372036854775808"), "{error}");
    }

    #[test]
    fn keys_that_command_delta_do_not_get_through_from_attributes() {
        let hostile = HashMap::from(
            [
                "delta.generationExpression",
                "delta.columnMapping.id",
                "delta.invariants",
                "parquet.field.id",
                "PARQUET:field_id",
                "ARROW:extension:name",
                "units",
            ]
            .map(|key| (key.to_owned(), "K".to_owned())),
        );
        assert_eq!(metadata(&hostile).into_keys().collect::<Vec<_>>(), ["units"]);
    }

    #[test]
    fn a_type_without_a_place_in_delta_is_refused_by_name() {
        let schema =
            Schema::new(vec![Field::new("lag", DataType::Duration(TimeUnit::Second), true)]);
        let error = delta_schema("t", &schema).unwrap_err().to_string();
        assert!(error.contains("column lag") && error.contains("Duration"), "{error}");
    }

    proptest! {
        #[test]
        fn widening_loses_nothing(value in any::<i32>(), small in any::<i16>(), float in any::<f32>()) {
            prop_assert!(widens(&DataType::Int32, &DataType::Float64));
            prop_assert_eq!(f64::from(value).to_string(), value.to_string());
            prop_assert!(!widens(&DataType::Int32, &DataType::Float32));
            prop_assert_eq!(f32::from(small).to_string(), small.to_string());
            let widened = f64::from(float).to_string().parse::<f32>().unwrap();
            prop_assert!(float.is_nan() || widened.to_bits() == float.to_bits());
        }
    }
}
