//! The types of columns (`CommandGetXdbcTypeInfo`).

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::error::{FlightError, Result};
use arrow_flight::sql::metadata::{XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{Nullable, Searchable, XdbcDataType};
use std::sync::{Arc, LazyLock};

/// Name, XDBC type, size (bits for numbers), radix, whether the literal is quoted.
const TYPES: [(&str, XdbcDataType, Option<i32>, bool); 11] = [
    ("BOOLEAN", XdbcDataType::XdbcBit, Some(1), false),
    ("TINYINT", XdbcDataType::XdbcTinyint, Some(8), false),
    ("SMALLINT", XdbcDataType::XdbcSmallint, Some(16), false),
    ("INTEGER", XdbcDataType::XdbcInteger, Some(32), false),
    ("BIGINT", XdbcDataType::XdbcBigint, Some(64), false),
    ("REAL", XdbcDataType::XdbcReal, Some(24), false),
    ("DOUBLE", XdbcDataType::XdbcDouble, Some(53), false),
    ("VARCHAR", XdbcDataType::XdbcVarchar, None, true),
    ("BYTEA", XdbcDataType::XdbcVarbinary, None, true),
    ("DATE", XdbcDataType::XdbcDate, Some(10), true),
    ("TIMESTAMP", XdbcDataType::XdbcTimestamp, Some(29), true),
];

static INFO: LazyLock<std::result::Result<XdbcTypeInfoData, String>> = LazyLock::new(|| {
    let mut types = XdbcTypeInfoDataBuilder::new();
    for (name, data_type, column_size, quoted) in TYPES {
        let number = !quoted && data_type != XdbcDataType::XdbcBit;
        let quote = quoted.then(|| "'".to_owned());
        types.append(XdbcTypeInfo {
            type_name: name.to_owned(),
            data_type,
            column_size,
            literal_prefix: quote.clone(),
            literal_suffix: quote,
            create_params: None,
            nullable: Nullable::NullabilityNullable,
            case_sensitive: data_type == XdbcDataType::XdbcVarchar,
            searchable: Searchable::Full,
            unsigned_attribute: number.then_some(false),
            fixed_prec_scale: false,
            auto_increment: number.then_some(false),
            local_type_name: Some(name.to_owned()),
            minimum_scale: None,
            maximum_scale: None,
            sql_data_type: data_type,
            datetime_subcode: None,
            num_prec_radix: number.then_some(2),
            interval_precision: None,
        });
    }
    types.build().map_err(|error| error.to_string())
});

fn info() -> Result<&'static XdbcTypeInfoData> {
    INFO.as_ref().map_err(|problem| FlightError::ProtocolError(problem.clone()))
}

/// Schema of the answer.
pub(super) fn schema() -> SchemaRef {
    info().map_or_else(|_| Arc::new(Schema::empty()), XdbcTypeInfoData::schema)
}

/// The types, or the one asked for.
pub(super) fn rows(data_type: Option<i32>) -> Result<RecordBatch> {
    info()?.record_batch(data_type)
}
