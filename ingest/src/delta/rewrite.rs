//! The rows of a table in other files: fewer, or in another order. That the rows are the same is
//! proven before the commit.

use super::layout::{Ranks, Sample};
use super::stats::stats_json;
use super::verify::StoredFile;
use super::write::{DataFile, Files, Target};
use crate::{Cancel, IngestError};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::{SessionConfig, SessionContext, ident};
use deltalake::kernel::{Action, Add, Remove};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::basic::Encoding;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Memory that a sort may take before it goes to the disk.
const SORT_BYTES: usize = 1 << 30;
/// Rows of a row group where an order is kept that row groups are left out by.
const ORDERED_ROWS: usize = 1 << 17;
/// Column of the place of a row in its order.
const KEY: &str = "\u{1}key";

/// A data file of the table.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Name in the table's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// What takes it out of the table.
    pub remove: Remove,
}

/// How rows are to lie.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Columns by which rows are ordered; none leaves them in the order they have.
    pub columns: Vec<usize>,
    /// Bytes that a file aims at.
    pub bytes: u64,
}

/// Files that take the place of others.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// Actions of the commit.
    pub actions: Vec<Action>,
    /// Names of the new files.
    pub written: Vec<String>,
    /// Bytes of the new files.
    pub bytes: u64,
}

/// Writes the rows of files into new ones and proves that they are the same. On failure nothing stays.
pub(crate) async fn rewrite(
    target: &Target,
    columns: &SchemaRef,
    sources: Vec<Source>,
    order: &Order,
    cancel: &Cancel,
) -> Result<Rewritten, IngestError> {
    let mut files = Vec::new();
    let outcome = write_all(target, columns, &sources, order, cancel, &mut files).await;
    if let Err(error) = outcome {
        target.discard(files.into_iter().map(|file: DataFile| file.name)).await;
        return Err(error);
    }
    let add = |file: &DataFile| {
        Action::Add(Add {
            path: file.name.clone(),
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change: false,
            stats: Some(stats_json(file.rows, columns, &file.figures)),
            ..Add::default()
        })
    };
    let mut actions: Vec<Action> = files.iter().map(add).collect();
    actions.extend(sources.into_iter().map(|source| Action::Remove(source.remove)));
    Ok(Rewritten {
        actions,
        bytes: files.iter().map(|file| file.bytes).sum(),
        written: files.into_iter().map(|file| file.name).collect(),
    })
}

async fn write_all(
    target: &Target,
    columns: &SchemaRef,
    sources: &[Source],
    order: &Order,
    cancel: &Cancel,
    files: &mut Vec<DataFile>,
) -> Result<(), IngestError> {
    let failed = |error: ArrowError| target.failed(&error);
    let total = sources.iter().map(|source| source.rows).sum();
    let mut before = Content::new(columns).map_err(failed)?;
    let mut after = before.empty(columns).map_err(failed)?;
    let mut sample = Sample::new(order.columns.clone(), total);
    let places =
        |files: &[Source]| files.iter().map(|file| (file.name.clone(), file.bytes)).collect();
    let mut rows = read(target, columns, places(sources), cancel);
    while let Some(batch) = rows.try_next().await? {
        before.update(&batch).map_err(failed)?;
        sample.update(&batch).map_err(failed)?;
    }
    let properties = properties(target, columns, sources, order).await?;
    let rows = read(target, columns, places(sources), cancel);
    let rows = if order.columns.is_empty() {
        rows
    } else {
        sorted(target, columns, rows, sample.ranks()).await?
    };
    write(target, columns, rows, (order.bytes, properties), files).await?;
    let written = files.iter().map(|file| (file.name.clone(), file.bytes)).collect();
    let mut back = read(target, columns, written, cancel);
    while let Some(batch) = back.try_next().await? {
        after.update(&batch).map_err(failed)?;
    }
    if before.rows == after.rows && before.sum == after.sum {
        return Ok(());
    }
    Err(IngestError::Verification {
        table: target.table.clone(),
        column: "(rows)".to_owned(),
        problem: format!(
            "{} rows were read and {} read back, or not the same ones",
            before.rows, after.rows
        ),
    })
}

/// What rows are in a table, whatever their order: their number, and the sum of their hashes with keys
/// that nobody knows before.
struct Content {
    rows: u64,
    sum: (u64, u64),
    keys: (RandomState, RandomState),
    converter: RowConverter,
}

impl Content {
    fn new(columns: &Schema) -> Result<Self, ArrowError> {
        let fields = columns.fields().iter().map(|f| SortField::new(f.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        let keys = (RandomState::new(), RandomState::new());
        Ok(Self { rows: 0, sum: (0, 0), keys, converter })
    }

    /// Of no rows, to be compared with this one.
    fn empty(&self, columns: &Schema) -> Result<Self, ArrowError> {
        Ok(Self { keys: self.keys.clone(), ..Self::new(columns)? })
    }

    fn update(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let rows = self.converter.convert_columns(batch.columns())?;
        for row in &rows {
            self.sum.0 = self.sum.0.wrapping_add(self.keys.0.hash_one(row.as_ref()));
            self.sum.1 = self.sum.1.wrapping_add(self.keys.1.hash_one(row.as_ref()));
        }
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        Ok(())
    }
}

/// The rows of files, one after the other, in the columns of the table.
fn read(
    target: &Target,
    columns: &SchemaRef,
    files: Vec<(String, u64)>,
    cancel: &Cancel,
) -> BoxStream<'static, Result<RecordBatch, IngestError>> {
    let (target, columns, cancel) = (target.clone(), Arc::clone(columns), cancel.clone());
    futures::stream::iter(files.into_iter().map(Ok::<_, IngestError>))
        .and_then(move |(name, bytes)| {
            let (target, columns, cancel) = (target.clone(), Arc::clone(&columns), cancel.clone());
            async move {
                let path = target.file(&name);
                let stored = StoredFile { store: Arc::clone(&target.store), path, bytes };
                let builder = ParquetRecordBatchStreamBuilder::new(stored).await;
                let stream = builder.and_then(ParquetRecordBatchStreamBuilder::build);
                let stream = stream.map_err(|error| target.failed(&error))?;
                Ok(stream.map(move |batch| {
                    if cancel.is_cancelled() {
                        return Err(IngestError::Cancelled);
                    }
                    let batch = batch.map_err(|error| target.failed(&error))?;
                    conform(&batch, &columns).map_err(|error| target.failed(&error))
                }))
            }
        })
        .try_flatten()
        .boxed()
}

/// The batch with the columns of the table: those that a file lacks are NULL.
fn conform(batch: &RecordBatch, columns: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let of_table = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        Some(column) if column.data_type() == field.data_type() => Ok(ArrayRef::clone(column)),
        Some(column) => cast_with_options(column, field.data_type(), &strict),
    };
    let arrays = columns.fields().iter().map(of_table).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(columns), arrays, &options)
}

/// Rows once, for DataFusion, with the place of each in their order.
struct Keyed {
    schema: SchemaRef,
    ranks: Ranks,
    rows: std::sync::Mutex<Option<BoxStream<'static, Result<RecordBatch, IngestError>>>>,
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Keyed {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let (schema, ranks) = (Arc::clone(&self.schema), self.ranks.clone());
        let rows = taken.unwrap_or_else(|| futures::stream::empty().boxed());
        let keyed = rows.map(move |batch| {
            let batch = batch.map_err(|error| DataFusionError::External(Box::new(error)))?;
            let mut columns = batch.columns().to_vec();
            columns.push(Arc::new(ranks.keys(&batch)?));
            Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), keyed))
    }
}

/// The rows in their order, sorted in bounded memory.
async fn sorted(
    target: &Target,
    columns: &SchemaRef,
    rows: BoxStream<'static, Result<RecordBatch, IngestError>>,
    ranks: Ranks,
) -> Result<BoxStream<'static, Result<RecordBatch, IngestError>>, IngestError> {
    let mut fields = columns.fields().to_vec();
    fields.push(Arc::new(Field::new(KEY, DataType::UInt64, false)));
    let schema = Arc::new(Schema::new(fields));
    let keyed =
        Keyed { schema: Arc::clone(&schema), ranks, rows: std::sync::Mutex::new(Some(rows)) };
    let work = async {
        let pool = Arc::new(FairSpillPool::new(SORT_BYTES));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, runtime);
        let table = StreamingTable::try_new(schema, vec![Arc::new(keyed)])?;
        let frame = context.read_table(Arc::new(table))?;
        frame.sort(vec![ident(KEY).sort(true, false)])?.execute_stream().await
    };
    let sorted = work.await.map_err(|error: DataFusionError| target.failed(&error))?;
    let (target, columns) = (target.clone(), Arc::clone(columns));
    Ok(sorted
        .map(move |batch| {
            let batch = batch.map_err(|error| target.failed(&error))?;
            conform(&batch, &columns).map_err(|error| target.failed(&error))
        })
        .boxed())
}

/// Writes rows into files of about so many bytes.
async fn write(
    target: &Target,
    columns: &SchemaRef,
    mut rows: BoxStream<'static, Result<RecordBatch, IngestError>>,
    (bytes, properties): (u64, WriterProperties),
    files: &mut Vec<DataFile>,
) -> Result<(), IngestError> {
    let mut filled = Files::new(target, columns, properties, bytes);
    let outcome = async {
        while let Some(batch) = rows.try_next().await? {
            filled.write(&batch).await?;
        }
        filled.end().await
    }
    .await;
    if outcome.is_err() {
        filled.abort().await;
    }
    // Those of a failure, too: whoever asked takes them away.
    files.append(&mut filled.written);
    outcome
}

/// How the new files are written: as the first of the old ones was.
async fn properties(
    target: &Target,
    columns: &SchemaRef,
    sources: &[Source],
    order: &Order,
) -> Result<WriterProperties, IngestError> {
    let mut properties: WriterPropertiesBuilder =
        super::write::compressed(if order.columns.is_empty() {
            super::write::ROW_GROUP
        } else {
            ORDERED_ROWS
        });
    let Some(first) = sources.first() else { return Ok(properties.build()) };
    let path = target.file(&first.name);
    let stored = StoredFile { store: Arc::clone(&target.store), path, bytes: first.bytes };
    let builder = ParquetRecordBatchStreamBuilder::new(stored).await;
    let builder = builder.map_err(|error| target.failed(&error))?;
    let Some(group) = builder.metadata().row_groups().first() else {
        return Ok(properties.build());
    };
    for column in group.columns() {
        let name = column.column_path().parts().first();
        let known = name.is_some_and(|name| columns.field_with_name(name).is_ok());
        if known && column.encodings().any(|encoding| encoding == Encoding::BYTE_STREAM_SPLIT) {
            properties = properties
                .set_column_dictionary_enabled(column.column_path().clone(), false)
                .set_column_encoding(column.column_path().clone(), Encoding::BYTE_STREAM_SPLIT);
        }
    }
    Ok(properties.build())
}
