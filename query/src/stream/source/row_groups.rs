//! Parquet files of a Delta table as ranges of rows that can be read alone.
//!
//! A row group is decoded in parts where its file has an offset index and pages that are small: each part is a block.
//! Where it has none, the parts of a row group are decoded together, because nothing says where their rows begin.

use super::{BLOCK_BYTES, BLOCK_ROWS, MOST_BLOCKS};
use arrow::array::RecordBatch;
use arrow::datatypes::TimeUnit;
use bytes::Bytes;
use datafusion::datasource::file_format::parquet::Int96Coercer;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Bytes at the end of a file that are read at once: most footers and their indexes are shorter.
const FOOTER: usize = 64 << 10;
/// Compressed bytes of a page beyond which reading a part of a row group decodes too much for nothing.
const LARGE_PAGE: u64 = 4 * BLOCK_BYTES;

/// Most bytes of rows that are decoded together. A dictionary stands for texts that are many times as long, and only a
/// writer who counts them says so.
const MOST_TOGETHER: usize = 1 << 30;

/// Rows that are decoded together are too many bytes.
#[derive(Debug, thiserror::Error)]
#[error(
    "row group {group} of a file of the table is more than {} MiB and has no offset index by which to read a part of it: \
     write the table anew (`tarn optimize`, or a writer with a page index), or use fewer columns",
    MOST_TOGETHER >> 20
)]
pub(super) struct TooLarge {
    group: usize,
}

impl TooLarge {
    /// Whether so many bytes of these parts of a row group are too many.
    pub(super) fn of(parts: &[Part], bytes: usize) -> Option<Self> {
        let part = parts.first().filter(|_| bytes > MOST_TOGETHER)?;
        Some(Self { group: part.group })
    }
}

/// A Parquet file of the table, and what its log says of it.
#[derive(Debug)]
pub(super) struct DataFile {
    pub(super) path: Path,
    pub(super) size: u64,
    pub(super) metadata: ArrowReaderMetadata,
    /// Names of the table's columns in this file, of those that it has.
    pub(super) names: HashMap<String, String>,
    /// Partition columns, whose values stand in the log and not in the file.
    pub(super) constants: HashMap<String, Option<String>>,
}

/// Rows of a row group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) file: usize,
    pub(super) group: usize,
    /// First row in the row group.
    pub(super) first: u64,
    pub(super) rows: u64,
    /// The blocks that are decoded with it.
    pub(super) together: Range<usize>,
}

/// One Parquet file in an object store.
struct ParquetFile {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

impl AsyncFileReader for ParquetFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let bytes = self.store.get_range(&self.path, range).await;
            bytes.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let bytes = self.store.get_ranges(&self.path, &ranges).await;
            bytes.map_err(|error| ParquetError::External(Box::new(error)))
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            let size = self.size;
            let reader = ParquetMetaDataReader::new()
                .with_offset_index_policy(PageIndexPolicy::Optional)
                .with_prefetch_hint(Some(FOOTER));
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

/// Reads the footer of a file, and where its pages are.
pub(super) async fn footer(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    size: u64,
) -> Result<ArrowReaderMetadata, ParquetError> {
    let mut reader = ParquetFile { store: Arc::clone(store), path: path.clone(), size };
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
    let read = ArrowReaderMetadata::load_async(&mut reader, options.clone()).await?;
    // Nanoseconds of 64 bits end in 2262, and files of Spark hold the year 9999 in 96 bits.
    let stored = read.metadata().file_metadata().schema_descr();
    match Int96Coercer::new(stored, read.schema(), &TimeUnit::Microsecond).coerce() {
        None => Ok(read),
        Some(schema) => {
            let metadata = Arc::clone(read.metadata());
            ArrowReaderMetadata::try_new(metadata, options.with_schema(Arc::new(schema)))
        }
    }
}

/// Cuts the row groups of files into blocks of about [`BLOCK_BYTES`], and more where there would be too many of them.
/// `width` is what a row takes by the types of its columns.
///
/// # Errors
/// A count of rows that is negative.
pub(super) fn parts(files: &[DataFile], width: u64) -> Result<Vec<Part>, ParquetError> {
    let mut groups = Vec::new();
    for (file, data) in files.iter().enumerate() {
        for (group, described) in data.metadata.metadata().row_groups().iter().enumerate() {
            let rows = u64::try_from(described.num_rows())
                .map_err(|error| ParquetError::General(format!("rows of a row group: {error}")))?;
            let stored = described.columns().iter().map(stored_bytes).fold(0, u64::saturating_add);
            let width = width.max(stored / rows.max(1)).max(1);
            groups.push((file, group, rows, width, is_indexed(data, group)));
        }
    }
    let per_block = |width: u64, times: u64| {
        let bytes = BLOCK_BYTES.saturating_mul(times);
        (bytes / width).clamp(1, BLOCK_ROWS.saturating_mul(times))
    };
    let count = |times: u64| {
        let blocks =
            groups.iter().map(|(_, _, rows, width, _)| rows.div_ceil(per_block(*width, times)));
        blocks.fold(0, u64::saturating_add)
    };
    let mut times = 1_u64;
    while count(times) > MOST_BLOCKS.max(groups.len() as u64) && times < 1 << 32 {
        times *= 2;
    }
    let mut parts = Vec::new();
    for (file, group, rows, width, indexed) in groups {
        let step = per_block(width, times);
        let begins = parts.len();
        // An empty row group is an empty block.
        let blocks = usize::try_from(rows.div_ceil(step).max(1)).unwrap_or(usize::MAX);
        for number in 0..blocks {
            let first = step.saturating_mul(number as u64);
            let own = parts.len();
            parts.push(Part {
                file,
                group,
                first,
                rows: rows.saturating_sub(first).min(step),
                together: if indexed {
                    own..own.saturating_add(1)
                } else {
                    begins..begins.saturating_add(blocks)
                },
            });
        }
    }
    Ok(parts)
}

/// About how many bytes a column of a row group takes decoded. A dictionary may stand for texts that are many times as
/// long, which writers say apart.
pub(super) fn stored_bytes(column: &parquet::file::metadata::ColumnChunkMetaData) -> u64 {
    let unencoded = column.unencoded_byte_array_data_bytes().unwrap_or(0);
    u64::try_from(unencoded.max(column.uncompressed_size())).unwrap_or(0)
}

/// Whether the file says where the pages of a row group are, and all of them are small.
fn is_indexed(file: &DataFile, group: usize) -> bool {
    let index = file.metadata.metadata().offset_index().and_then(|index| index.get(group));
    let columns = file.metadata.metadata().row_groups().get(group).map(RowGroupMetaData::columns);
    let Some((index, columns)) = index.zip(columns) else { return false };
    let small = |bytes: i32| u64::try_from(bytes).is_ok_and(|bytes| bytes <= LARGE_PAGE);
    index.len() == columns.len()
        && index.iter().all(|column| {
            let pages = column.page_locations();
            !pages.is_empty() && pages.iter().all(|page| small(page.compressed_page_size))
        })
}

/// Decodes some columns of parts of one row group that follow each other: a batch for each. `roots` are the numbers of
/// the columns in the file.
pub(super) async fn decode(
    store: Arc<dyn ObjectStore>,
    file: &DataFile,
    parts: &[Part],
    roots: Vec<usize>,
) -> Result<Vec<RecordBatch>, ParquetError> {
    let (Some(begin), Some(end)) = (parts.first(), parts.last()) else { return Ok(Vec::new()) };
    let count = |rows: u64| {
        usize::try_from(rows)
            .map_err(|error| ParquetError::General(format!("too many rows: {error}")))
    };
    let (first, step) = (count(begin.first)?, count(begin.rows)?);
    let rows = count(end.first.saturating_add(end.rows).saturating_sub(begin.first))?;
    let reader = ParquetFile { store, path: file.path.clone(), size: file.size };
    let mask = ProjectionMask::roots(file.metadata.parquet_schema(), roots);
    let selection = RowSelection::from(vec![RowSelector::skip(first), RowSelector::select(rows)]);
    let mut stream =
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, file.metadata.clone())
            .with_row_groups(vec![begin.group])
            .with_projection(mask)
            .with_row_selection(selection)
            .with_batch_size(step.max(1))
            .build()?;
    let mut batches = Vec::with_capacity(parts.len());
    let mut bytes = 0_usize;
    while let Some(batch) = stream.try_next().await? {
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        if let Some(large) = TooLarge::of(parts, bytes) {
            return Err(ParquetError::External(Box::new(large)));
        }
        batches.push(batch);
        // Decoding takes the thread for milliseconds; others get their turn.
        tokio::task::yield_now().await;
    }
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(Arc::clone(stream.schema())));
    }
    let fits = batches.len() == parts.len()
        && batches.iter().zip(parts).all(|(batch, part)| batch.num_rows() as u64 == part.rows);
    if fits {
        Ok(batches)
    } else {
        Err(ParquetError::General(format!(
            "row group {} has other rows than its footer says",
            begin.group
        )))
    }
}

#[cfg(test)]
mod tests;
