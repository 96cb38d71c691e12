//! What the log of a Delta table says of its columns, and which conditions it can be held against.

use super::sources::with_sources;
use arrow::array::ArrayRef;
use arrow::compute::kernels::cmp::eq;
use arrow::compute::nullif;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use deltalake::DeltaTable;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a column is called in files and logs, if not by its name.
pub(crate) const PHYSICAL_NAME: &str = "delta.columnMapping.physicalName";
/// Files whose statistics are read; tables of more are planned by their rows alone.
const MOST_FILES: usize = 4096;

/// What the log says of a table.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// Bounds and NULLs by column, as estimates: they order joins, and answer nothing.
    pub columns: HashMap<String, ColumnStatistics>,
    /// Rows of all files, as far as the log counts them, as an estimate.
    pub rows: Option<usize>,
    /// Whether a bound of a float is one of its NaNs too. Writers but Tarn leave NaN out of bounds,
    /// and to the engine it is greater than every number.
    pub bounds_nan: bool,
    /// Whether rows of files are deleted by vectors: their readers must see every row.
    pub deletes: bool,
    /// Partition columns with an empty text somewhere, which stands for NULL (Delta protocol,
    /// "Partition Value Serialization"). The scan gives the text.
    pub blank: HashSet<String>,
}

impl Said {
    /// What the log of a table says.
    pub(crate) fn of(table: &DeltaTable, schema: &Schema) -> Self {
        let Ok(state) = table.snapshot() else { return Self::default() };
        let mut said = Self { bounds_nan: true, rows: Some(0), ..Self::default() };
        for (place, file) in state.log_data().iter().enumerate() {
            said.bounds_nan &= is_ours(&file.path());
            said.deletes |= file.deletion_vector_descriptor().is_some();
            said.rows = said
                .rows
                .zip(file.num_records())
                .and_then(|(all, of_file)| all.checked_add(of_file));
            for (column, text) in file.partition_values_map() {
                if text.is_some_and(|text| text.is_empty()) {
                    said.blank.insert(logical(schema, column));
                }
            }
            if place >= MOST_FILES {
                said.columns.clear();
                continue;
            }
            let stats = file.stats().and_then(|text| serde_json::from_str::<Value>(&text).ok());
            let Some(Value::Object(stats)) = stats else { continue };
            for field in schema.fields() {
                let of_file = column(&stats, field.name(), field.data_type());
                let whole = said.columns.entry(field.name().clone());
                whole
                    .and_modify(|known| {
                        known.min_value = known.min_value.min(&of_file.min_value);
                        known.max_value = known.max_value.max(&of_file.max_value);
                        known.null_count = known.null_count.add(&of_file.null_count);
                    })
                    .or_insert(of_file);
            }
        }
        said
    }

    /// Whether bounds in logs and files leave out no row for which a condition holds: not of
    /// floats, where NaN is in none.
    pub(crate) fn may_skip(schema: &Schema, condition: &Expr) -> bool {
        condition.column_refs().iter().all(|column| {
            schema.field_with_name(&column.name).is_ok_and(|field| !field.data_type().is_floating())
        })
    }
}

/// The name of the column that the log calls so.
fn logical(schema: &Schema, physical: String) -> String {
    let is_it = |field: &&Arc<Field>| field.metadata().get(PHYSICAL_NAME) == Some(&physical);
    schema.fields().iter().find(is_it).map_or(physical.clone(), |field| field.name().clone())
}

/// The column with NULL for the empty text.
pub(crate) fn without_blank(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let empty = ScalarValue::try_from_string(String::new(), column.data_type());
    let Ok(empty) = empty.and_then(|empty| empty.to_scalar()) else {
        return Ok(ArrayRef::clone(column));
    };
    nullif(column, &eq(column, &empty)?)
}

/// Whether a file has a name that Tarn gives: such files have no bounds where there are NaNs.
fn is_ours(path: &str) -> bool {
    path.strip_prefix("part-")
        .and_then(|rest| rest.strip_suffix(".zstd.parquet"))
        .is_some_and(|id| uuid::Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 7))
}

/// What the statistics of a file say of a column.
fn column(stats: &Map<String, Value>, name: &str, data_type: &DataType) -> ColumnStatistics {
    let bound = |key: &str| {
        let text = match stats.get(key).and_then(|values| values.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Precision::Absent,
        };
        match ScalarValue::try_from_string(text, data_type) {
            Ok(value) if !value.is_null() => Precision::Inexact(value),
            _ => Precision::Absent,
        }
    };
    let nulls = stats.get("nullCount").and_then(|counts| counts.get(name)).and_then(Value::as_u64);
    let nulls = nulls.and_then(|count| usize::try_from(count).ok());
    ColumnStatistics {
        null_count: nulls.map_or(Precision::Absent, Precision::Inexact),
        min_value: bound("minValues"),
        max_value: bound("maxValues"),
        ..ColumnStatistics::new_unknown()
    }
}

/// The scan with conditions held against the bounds of row groups and pages alone. Held against every
/// row as it is decoded they cost more than they save wherever rows that match lie scattered.
pub(crate) fn by_bounds(scan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    with_sources(scan, |parquet| Some(parquet.clone().with_pushdown_filters(false)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_tell_who_wrote_them() {
        assert!(is_ours("part-0199c0de-7000-7abc-8def-0123456789ab.zstd.parquet"));
        for other in [
            "part-00000-0199c0de-7000-7abc-8def-0123456789ab-c000.zstd.parquet",
            "part-0199c0de-7000-4abc-8def-0123456789ab.zstd.parquet",
            "lineitem.parquet",
        ] {
            assert!(!is_ours(other), "{other}");
        }
    }

    #[test]
    fn bounds_are_read_in_the_type_of_their_column() {
        let Value::Object(stats) = serde_json::json!({
            "numRecords": 2, "minValues": {"d": "1994-01-01", "n": -3, "p": 0.05},
            "maxValues": {"d": "1995-01-01", "n": 9, "p": 12.5, "x": "no"}, "nullCount": {"n": 1}
        }) else {
            panic!("no object")
        };
        let days = column(&stats, "d", &DataType::Date32);
        assert_eq!(days.min_value, Precision::Inexact(ScalarValue::Date32(Some(8766))));
        let numbers = column(&stats, "n", &DataType::Int32);
        assert_eq!(numbers.max_value, Precision::Inexact(ScalarValue::Int32(Some(9))));
        assert_eq!(numbers.null_count, Precision::Inexact(1));
        let price = column(&stats, "p", &DataType::Decimal128(15, 2));
        assert_eq!(price.min_value, Precision::Inexact(ScalarValue::Decimal128(Some(5), 15, 2)));
        assert_eq!(column(&stats, "x", &DataType::Int64).max_value, Precision::Absent);
    }
}
