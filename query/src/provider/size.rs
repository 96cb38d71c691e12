//! Bytes of rows as Arrow columns: what scans are counted and bounded by.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::FieldRef;

/// Bytes that a value without a fixed width is taken for before it is read.
const TEXT_BYTES: u64 = 16;

/// Bytes of the values of a batch, without the parts of its buffers that it does not use.
pub(crate) fn arrow_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .fold(0, usize::saturating_add)
}

/// Bytes of a row of these columns, told from their types.
pub(crate) fn row_bytes<'a>(fields: impl IntoIterator<Item = &'a FieldRef>) -> u64 {
    let of = |width: usize| u64::try_from(width).unwrap_or(u64::MAX);
    fields
        .into_iter()
        .map(|field| field.data_type().primitive_width().map_or(TEXT_BYTES, of))
        .fold(0, u64::saturating_add)
}
