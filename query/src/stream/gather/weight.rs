//! What rows of a batch weigh before they are copied: texts and lists are as long as they are.

use arrow::array::{Array, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{
    ArrowNativeType, ByteArrayType, DataType, GenericBinaryType, GenericStringType,
};

/// Bytes of the rows at `(block, row)`, those that are said twice counted twice.
pub(super) fn of(blocks: &[RecordBatch], indices: &[(usize, usize)]) -> u64 {
    let mut sum = 0_u64;
    for column in 0..blocks.first().map_or(0, RecordBatch::num_columns) {
        for (block, row) in indices {
            let array = blocks.get(*block).and_then(|block| block.columns().get(column));
            let Some(array) = array.filter(|array| *row < array.len()) else { continue };
            sum = sum.saturating_add(value(array.as_ref(), *row));
        }
    }
    sum
}

fn value(array: &dyn Array, row: usize) -> u64 {
    match array.data_type() {
        DataType::Utf8 => text::<GenericStringType<i32>>(array, row),
        DataType::LargeUtf8 => text::<GenericStringType<i64>>(array, row),
        DataType::Binary => text::<GenericBinaryType<i32>>(array, row),
        DataType::LargeBinary => text::<GenericBinaryType<i64>>(array, row),
        DataType::List(_) => items(array.as_list::<i32>(), row),
        DataType::LargeList(_) => items(array.as_list::<i64>(), row),
        DataType::FixedSizeList(_, length) => {
            let list = array.as_fixed_size_list();
            let length = usize::try_from(*length).unwrap_or(0);
            range(list.values().as_ref(), row.saturating_mul(length), length)
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (first, end) = (map.offsets().get(row), map.offsets().get(row.saturating_add(1)));
            let span = first.zip(end).map(|(first, end)| (first.as_usize(), end.as_usize()));
            let (first, end) = span.unwrap_or((0, 0));
            range(map.entries(), first, end.saturating_sub(first))
        }
        DataType::Struct(_) => {
            let fields = array.as_struct().columns().iter();
            fields.fold(0, |sum, field| sum.saturating_add(value(field.as_ref(), row)))
        }
        other => other.primitive_width().map_or(16, |width| width as u64),
    }
}

fn text<T: ByteArrayType>(array: &dyn Array, row: usize) -> u64 {
    let offsets = array.as_bytes::<T>().value_offsets();
    let (first, end) = (offsets.get(row), offsets.get(row.saturating_add(1)));
    let bytes = first.zip(end).map(|(first, end)| end.as_usize().saturating_sub(first.as_usize()));
    (bytes.unwrap_or(0) as u64).saturating_add(8)
}

fn items<O: OffsetSizeTrait>(list: &GenericListArray<O>, row: usize) -> u64 {
    let offsets = list.value_offsets();
    let (first, end) = (offsets.get(row), offsets.get(row.saturating_add(1)));
    let span = first.zip(end).map(|(first, end)| (first.as_usize(), end.as_usize()));
    let (first, end) = span.unwrap_or((0, 0));
    range(list.values().as_ref(), first, end.saturating_sub(first)).saturating_add(8)
}

/// Values that follow each other.
fn range(values: &dyn Array, first: usize, count: usize) -> u64 {
    if let Some(width) = values.data_type().primitive_width() {
        return (width as u64).saturating_mul(count as u64);
    }
    let end = first.saturating_add(count).min(values.len());
    (first..end).fold(0, |sum, row| sum.saturating_add(value(values, row)))
}

#[cfg(test)]
mod tests {
    use super::super::super::samples::batch;
    use super::*;
    use arrow::array::{ArrayRef, StringArray};
    use std::sync::Arc;

    #[test]
    fn a_long_text_weighs_what_it_is_each_time_it_is_said() {
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000), "y".to_owned()]));
        let block = RecordBatch::try_from_iter([("t", texts)]).unwrap();
        let slice = block.slice(1, 1);
        assert_eq!(of(&[block], &[(0, 0), (0, 1), (0, 0)]), 2 * 1008 + 9);
        assert_eq!(of(&[slice], &[(0, 0)]), 9);
    }

    #[test]
    fn rows_of_every_kind_weigh_about_what_arrow_says() {
        let block = batch(0, 200);
        let rows: Vec<(usize, usize)> = (0..200).map(|row| (0, row)).collect();
        let said = of(std::slice::from_ref(&block), &rows);
        let columns = block.columns().iter();
        let arrow: usize = columns.map(|c| c.to_data().get_slice_memory_size().unwrap()).sum();
        let arrow = arrow as u64;
        assert!(said > arrow / 2 && said < arrow * 2, "{said} {arrow}");
    }
}
