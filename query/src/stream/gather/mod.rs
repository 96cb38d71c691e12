//! Rows of several blocks as one batch.
//!
//! Rows that follow each other in one block are a slice of it. Others are copied once, into memory that is used
//! again: values of a fixed size without NULLs by this module, all else by Arrow.

mod pieces;
mod pool;
#[cfg(test)]
mod tests;
mod weight;

pub(crate) use pieces::Pieces;
pub(crate) use pool::Pool;

use arrow::array::{Array, ArrayData, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::buffer::Buffer;
use arrow::compute::interleave;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Most bytes of one batch. What a row takes is known by the mean alone before it is read.
const MOST: u64 = 1 << 30;

/// Rows of a block that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    block: usize,
    first: usize,
    rows: usize,
}

/// The rows at `(block, row)`, in the order given.
///
/// # Errors
/// If there is no such row, Arrow refuses, or the rows are too many bytes ([`ArrowError::MemoryError`]).
pub(crate) fn rows(
    schema: &SchemaRef,
    blocks: &[RecordBatch],
    indices: &[(usize, usize)],
    pool: &Arc<Pool>,
) -> Result<RecordBatch, ArrowError> {
    let runs = runs(indices);
    if let [run] = runs.as_slice() {
        let block = blocks.get(run.block).ok_or_else(missing)?;
        if run.first.saturating_add(run.rows) > block.num_rows() {
            return Err(missing());
        }
        return Ok(block.slice(run.first, run.rows));
    }
    let bytes = weight::of(blocks, indices);
    if bytes > MOST {
        return Err(ArrowError::MemoryError(format!(
            "stream: a batch of {} rows takes {} MiB; the limit is {} MiB: use a smaller batch_size, or fewer columns",
            indices.len(),
            bytes >> 20,
            MOST >> 20
        )));
    }
    let columns = (0..schema.fields().len()).map(|column| {
        let arrays = blocks.iter().map(|block| block.columns().get(column));
        let arrays: Vec<&ArrayRef> = arrays.collect::<Option<_>>().ok_or_else(missing)?;
        let data: Vec<ArrayData> = arrays.iter().map(Array::to_data).collect();
        if let Some((parts, width)) = flat_alike(&data) {
            let copied = copied(&parts, width, &runs, indices.len(), pool)?;
            let data_type = schema.field(column).data_type();
            return Ok(make_array(array_of(data_type, indices.len(), copied)?));
        }
        if arrays.is_empty() {
            return Ok(arrow::array::new_empty_array(schema.field(column).data_type()));
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        interleave(&arrays, indices)
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}

fn missing() -> ArrowError {
    ArrowError::InvalidArgumentError("a row of the order is not in its block".to_owned())
}

fn runs(indices: &[(usize, usize)]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (block, row) in indices {
        match runs.last_mut() {
            Some(run) if run.block == *block && run.first.checked_add(run.rows) == Some(*row) => {
                run.rows += 1;
            }
            _ => runs.push(Run { block: *block, first: *row, rows: 1 }),
        }
    }
    runs
}

/// The values of all blocks, each as bytes without anything between them, and the bytes of a row.
fn flat_alike(data: &[ArrayData]) -> Option<(Vec<&[u8]>, usize)> {
    let mut width = None;
    let mut parts = Vec::with_capacity(data.len());
    for data in data {
        let (bytes, own) = flat(data)?;
        if *width.get_or_insert(own) != own {
            return None;
        }
        parts.push(bytes);
    }
    Some((parts, width.filter(|width| *width > 0)?))
}

/// The values of an array as they lie in memory, where all take as many bytes and none is NULL.
fn flat(data: &ArrayData) -> Option<(&[u8], usize)> {
    if data.null_count() > 0 {
        return None;
    }
    let (bytes, width) = match data.data_type() {
        DataType::FixedSizeList(_, length) => {
            let (bytes, width) = flat(data.child_data().first()?)?;
            (bytes, width.checked_mul(usize::try_from(*length).ok()?)?)
        }
        DataType::FixedSizeBinary(width) => {
            (data.buffers().first()?.as_slice(), usize::try_from(*width).ok()?)
        }
        other => (data.buffers().first()?.as_slice(), other.primitive_width()?),
    };
    let first = data.offset().checked_mul(width)?;
    let end = data.len().checked_mul(width)?.checked_add(first)?;
    Some((bytes.get(first..end)?, width))
}

fn copied(
    parts: &[&[u8]],
    width: usize,
    runs: &[Run],
    rows: usize,
    pool: &Arc<Pool>,
) -> Result<Buffer, ArrowError> {
    let length = rows.checked_mul(width).ok_or_else(missing)?;
    let mut lent = pool.take(length);
    let mut target = lent.as_mut();
    for run in runs {
        let part = parts.get(run.block).ok_or_else(missing)?;
        let first = run.first.checked_mul(width).ok_or_else(missing)?;
        let end = run.rows.checked_mul(width).and_then(|bytes| bytes.checked_add(first));
        let source = part.get(first..end.ok_or_else(missing)?).ok_or_else(missing)?;
        let (place, rest) = target.split_at_mut_checked(source.len()).ok_or_else(missing)?;
        place.copy_from_slice(source);
        target = rest;
    }
    Ok(lent.freeze(length))
}

/// The array over values as [`flat`] gives them.
fn array_of(data_type: &DataType, rows: usize, values: Buffer) -> Result<ArrayData, ArrowError> {
    let array = ArrayData::builder(data_type.clone()).len(rows);
    match data_type {
        DataType::FixedSizeList(item, length) => {
            let items = usize::try_from(*length).ok().and_then(|length| rows.checked_mul(length));
            let items = array_of(item.data_type(), items.ok_or_else(missing)?, values)?;
            array.add_child_data(items).build()
        }
        _ => array.add_buffer(values).build(),
    }
}
