//! Statistics of a data file in its Add action (Delta protocol, "Per-file Statistics").
//!
//! Readers prune by these figures and answer `min`, `max` and `count` from them, so only what is
//! exact in JSON is written: no bounds for columns with NaN or infinity, for times between two
//! milliseconds (readers keep no more) or outside of the years 1 to 9999 (readers take what has
//! another form than `YYYY-` for NULL), for long texts and for binary.

use crate::figures::{Figures, Values};
use arrow::datatypes::{DataType, Schema};
use arrow::temporal_conversions::timestamp_us_to_datetime;
use chrono::Datelike;
use serde_json::{Map, Value, json};

/// The columns that readers expect statistics of: `delta.dataSkippingNumIndexedCols`.
const COLUMNS: usize = 32;
/// Longest text that is a bound, in bytes.
const LONGEST: usize = 32;

/// The statistics as JSON text. `figures` belong to the fields of `schema` one by one.
pub(crate) fn stats_json(rows: u64, schema: &Schema, figures: &[Figures]) -> String {
    let (mut min_values, mut max_values, mut null_count) = (Map::new(), Map::new(), Map::new());
    for (field, figures) in schema.fields().iter().zip(figures).take(COLUMNS) {
        if field.data_type().is_nested() {
            continue;
        }
        null_count.insert(field.name().clone(), figures.nulls.into());
        if let Some((min, max)) = bounds(field.data_type(), &figures.values) {
            min_values.insert(field.name().clone(), min);
            max_values.insert(field.name().clone(), max);
        }
    }
    json!({
        "numRecords": rows,
        "minValues": min_values,
        "maxValues": max_values,
        "nullCount": null_count,
    })
    .to_string()
}

fn bounds(data_type: &DataType, values: &Values) -> Option<(Value, Value)> {
    match (data_type, values) {
        (DataType::Timestamp(_, zone), Values::Integers { min, max, .. }) => {
            Some((time(*min, zone.is_some())?, time(*max, zone.is_some())?))
        }
        (
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64,
            Values::Integers { min, max, .. },
        ) => Some((i64::try_from(*min).ok()?.into(), i64::try_from(*max).ok()?.into())),
        (
            DataType::Float32 | DataType::Float64,
            Values::Floats { min, max, nans: 0, numbers: 1.., .. },
        ) if min.is_finite() && max.is_finite() => Some((json!(min), json!(max))),
        (DataType::Utf8, Values::Bytes { min, max, .. })
            if min.len() <= LONGEST && max.len() <= LONGEST =>
        {
            Some((text(min)?, text(max)?))
        }
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<Value> {
    std::str::from_utf8(bytes).ok().map(Value::from)
}

/// A time in nanoseconds as Delta writes it, if it is a whole millisecond.
fn time(nanoseconds: i128, zone: bool) -> Option<Value> {
    if nanoseconds % 1_000_000 != 0 {
        return None;
    }
    let micros = i64::try_from(nanoseconds / 1_000).ok()?;
    let time = timestamp_us_to_datetime(micros)?;
    if !(1..=9999).contains(&time.year()) {
        return None;
    }
    let format = if zone { "%Y-%m-%dT%H:%M:%S%.3fZ" } else { "%Y-%m-%d %H:%M:%S%.3f" };
    Some(time.format(format).to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Float32Array, TimestampMicrosecondArray};
    use arrow::datatypes::Field;
    use std::sync::Arc;

    fn stats(array: ArrayRef) -> Value {
        let schema = Schema::new(vec![Field::new("x", array.data_type().clone(), true)]);
        let mut figures = Figures::default();
        figures.update(&array).unwrap();
        serde_json::from_str(&stats_json(array.len() as u64, &schema, &[figures])).unwrap()
    }

    #[test]
    fn only_exact_bounds_are_written() {
        let floats = |values: Vec<f32>| stats(Arc::new(Float32Array::from(values)));
        let plain = floats(vec![0.1, -2.5]);
        assert_eq!(plain["minValues"]["x"], -2.5);
        assert_eq!(plain["maxValues"]["x"], f64::from(0.1_f32));
        assert_eq!(floats(vec![1.0, f32::NAN])["minValues"], json!({}));
        assert_eq!(floats(vec![1.0, f32::INFINITY])["minValues"], json!({}));

        let times = |values: Vec<i64>| stats(Arc::new(TimestampMicrosecondArray::from(values)));
        assert_eq!(times(vec![-1_000])["minValues"]["x"], "1969-12-31 23:59:59.999");
        assert_eq!(times(vec![0, 1])["maxValues"], json!({}));
        // The first and the last second of the years 1 and 9999, and a second beyond.
        let (first, last) = (-62_135_596_800_000_000, 253_402_300_799_000_000);
        assert_eq!(times(vec![first])["minValues"]["x"], "0001-01-01 00:00:00.000");
        assert_eq!(times(vec![last])["maxValues"]["x"], "9999-12-31 23:59:59.000");
        for outside in [first - 1_000_000, last + 1_000_000] {
            assert_eq!(times(vec![outside])["minValues"], json!({}));
        }
    }
}
