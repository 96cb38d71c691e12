//! The order of rows by several columns at once: close in any of them is close in the file.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::error::ArrowError;

/// Values of a column that its quantiles are taken from.
const SAMPLE: u64 = 1 << 16;
/// Bits of a rank.
const BITS: u32 = 12;
/// Most columns: as many ranks as fit into one number.
pub(crate) const MOST: usize = 5;

/// Whether rows can be ordered by a column of this type.
pub(crate) fn is_orderable(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || data_type.is_temporal()
        || matches!(data_type, DataType::Utf8 | DataType::Boolean)
}

/// Collects what ranks are made of.
#[derive(Debug)]
pub(crate) struct Sample {
    columns: Vec<usize>,
    values: Vec<Vec<f64>>,
    step: u64,
    seen: u64,
}

impl Sample {
    /// A sample of these columns of a table with so many rows.
    pub(crate) fn new(columns: Vec<usize>, rows: u64) -> Self {
        let values = vec![Vec::new(); columns.len()];
        Self { columns, values, step: (rows / SAMPLE).max(1), seen: 0 }
    }

    /// Adds every so many-th row of a batch.
    pub(crate) fn update(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let rows = batch.num_rows() as u64;
        let first = self.seen.next_multiple_of(self.step);
        for (column, values) in self.columns.iter().zip(&mut self.values) {
            let numbers = numbers(batch.column(*column))?;
            let mut row = first;
            while row < self.seen.saturating_add(rows) {
                let at = usize::try_from(row - self.seen).unwrap_or(usize::MAX);
                if numbers.is_valid(at) {
                    values.push(numbers.value(at));
                }
                row = row.saturating_add(self.step);
            }
        }
        self.seen = self.seen.saturating_add(rows);
        Ok(())
    }

    /// The ranks that the sample tells.
    pub(crate) fn ranks(self) -> Ranks {
        let steps = 1_usize << BITS;
        let quantiles = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            let step = values.len().div_ceil(steps).max(1);
            values.into_iter().step_by(step).collect()
        };
        Ranks { columns: self.columns, quantiles: self.values.into_iter().map(quantiles).collect() }
    }
}

/// Ranks of values among all of their column.
#[derive(Debug, Clone)]
pub(crate) struct Ranks {
    columns: Vec<usize>,
    quantiles: Vec<Vec<f64>>,
}

impl Ranks {
    /// The place of each row along a curve that visits all ranks: their bits in turn, the highest
    /// first (Morton's order). NULL comes first.
    pub(crate) fn keys(&self, batch: &RecordBatch) -> Result<UInt64Array, ArrowError> {
        let mut ranks = Vec::with_capacity(self.columns.len());
        for (column, quantiles) in self.columns.iter().zip(&self.quantiles) {
            let numbers = numbers(batch.column(*column))?;
            let rank = |value: Option<f64>| {
                let value = value?;
                Some(quantiles.partition_point(|other| other.total_cmp(&value).is_lt()) as u64)
            };
            let most = (1_u64 << BITS) - 1;
            let of_rows = numbers.iter().map(|value| rank(value).unwrap_or(0).min(most));
            ranks.push(of_rows.collect::<Vec<u64>>());
        }
        let key = |row: usize| {
            let mut key = 0_u64;
            for bit in (0..BITS).rev() {
                for of_column in &ranks {
                    let rank = of_column.get(row).copied().unwrap_or(0);
                    key = (key << 1) | ((rank >> bit) & 1);
                }
            }
            key
        };
        Ok((0..batch.num_rows()).map(key).collect::<Vec<u64>>().into())
    }
}

/// Values as doubles that sort alike; of texts the first six bytes.
fn numbers(column: &ArrayRef) -> Result<Float64Array, ArrowError> {
    if let Some(texts) = column.as_string_opt::<i32>() {
        let number = |text: &str| {
            let mut bytes = text.bytes().chain(std::iter::repeat(0));
            (0..6).fold(0.0, |number, _| number * 256.0 + f64::from(bytes.next().unwrap_or(0)))
        };
        return Ok(texts.iter().map(|text| text.map(number)).collect());
    }
    let plain = match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(column, &DataType::Int32)?,
        other if other.is_temporal() => cast(column, &DataType::Int64)?,
        DataType::Boolean => cast(column, &DataType::Int8)?,
        _ => ArrayRef::clone(column),
    };
    Ok(cast(&plain, &DataType::Float64)?.as_primitive::<Float64Type>().clone())
}

/// The columns of a schema by their names.
///
/// # Errors
/// The name that is none of its columns', or one of a type that has no order; and why.
pub(crate) fn columns(schema: &Schema, names: &[String]) -> Result<Vec<usize>, (String, String)> {
    if names.len() > MOST {
        let last = names.get(MOST).cloned().unwrap_or_default();
        return Err((last, format!("rows are ordered by {MOST} columns at most")));
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let wrong = |why: &str| (name.clone(), why.to_owned());
        let (index, field) =
            schema.column_with_name(name).ok_or_else(|| wrong("the table has no such column"))?;
        if !is_orderable(field.data_type()) {
            return Err(wrong("values of its type have no order: leave it out"));
        }
        if found.contains(&index) {
            return Err(wrong("it is named twice"));
        }
        found.push(index);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::Field;
    use std::sync::Arc;

    #[test]
    fn keys_keep_the_order_of_one_column_and_put_null_first() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-3), Some(900)]));
        let batch = RecordBatch::try_new(schema, vec![values]).unwrap();
        let mut sample = Sample::new(vec![0], 4);
        sample.update(&batch).unwrap();
        let keys = sample.ranks().keys(&batch).unwrap();
        assert!(keys.value(1) <= keys.value(2) && keys.value(2) < keys.value(0), "{keys:?}");
        assert!(keys.value(0) < keys.value(3), "{keys:?}");
    }

    #[test]
    fn both_columns_count_alike() {
        let schema = Arc::new(Schema::new(vec![
            Field::new("x", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
        ]));
        let x: Vec<i64> = (0..64).map(|row| row % 8).collect();
        let names: Vec<String> = (0..64).map(|row| format!("n{}", row / 8)).collect();
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(x)), Arc::new(StringArray::from(names))];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let chosen = super::columns(&schema, &["x".to_owned(), "name".to_owned()]).unwrap();
        let mut sample = Sample::new(chosen, 64);
        sample.update(&batch).unwrap();
        let keys = sample.ranks().keys(&batch).unwrap();
        let mut order: Vec<usize> = (0..64).collect();
        order.sort_by_key(|row| keys.value(*row));
        // The first quarter of the curve is a corner of both columns.
        assert!(order[..16].iter().all(|row| row % 8 < 4 && row / 8 < 4), "{order:?}");
        assert!(super::columns(&schema, &["y".to_owned()]).is_err());
    }
}
