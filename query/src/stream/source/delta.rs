//! Blocks of a Delta table: parts of the row groups of its Parquet files, files sorted by path.

use super::super::fault::StreamFault;
use super::Source;
use super::mapping::Mapping;
use super::row_groups::{self, DataFile, Part, TooLarge};
use crate::error::QueryError;
use crate::provider::{schema_of, stays_inside};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::CastOptions;
use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use datafusion::common::nested_struct::cast_column;
use datafusion::common::runtime::SpawnedTask;
use deltalake::DeltaTableBuilder;
use object_store::ObjectStore;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use tarn_catalog::TableEntry;
use tarn_connectors::Stores;
use tarn_connectors::store::Location;

/// The Parquet files of one version of a Delta table as blocks.
#[derive(Debug)]
pub(super) struct DeltaFiles(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Name of the table, for messages.
    name: String,
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    files: Vec<DataFile>,
    parts: Vec<Part>,
    rows: Vec<u64>,
}

impl DeltaFiles {
    /// Lists the files of the pinned version and reads their footers.
    pub(super) async fn open(
        stores: &Stores,
        url: &str,
        version: u64,
        entry: &TableEntry,
    ) -> Result<Self, QueryError> {
        let failed = |problem: &dyn Display| {
            QueryError::Internal(format!(
                "table {} at Delta version {version}: {problem}",
                entry.name
            ))
        };
        let location = Location::parse(url)?;
        let options = stores.options_for(&location).into_iter().collect();
        let table = DeltaTableBuilder::from_url(location.url().clone())
            .map_err(|error| failed(&error))?
            .with_storage_options(options)
            .with_version(version)
            .load()
            .await
            .map_err(|error| failed(&error))?;
        stays_inside(&table).map_err(|error| failed(&error))?;
        let store = table.object_store();
        let snapshot = table.snapshot().map_err(|error| failed(&error))?;
        let schema = schema_of(entry)?;
        let mapping = Mapping::of(snapshot);
        if mapping != Mapping::None && schema.fields().iter().any(|f| f.data_type().is_nested()) {
            return Err(QueryError::Invalid(format!(
                "table {}: its columns are mapped (delta.columnMapping.mode) and some are nested, \
                 which streams do not read; leave them out of a copy, or use SQL",
                entry.name
            )));
        }
        let known = snapshot.snapshot().arrow_schema();
        let mut listed = Vec::new();
        for file in snapshot.log_data() {
            if file.deletion_vector_descriptor().is_some() {
                return Err(QueryError::Invalid(format!(
                    "table {}: rows were deleted by deletion vectors, which streams do not read; \
                     rewrite the table (OPTIMIZE) and register the new version",
                    entry.name
                )));
            }
            listed.push((file.object_store_path(), file.size(), file.partition_values_map()));
        }
        listed.sort_by(|one, other| one.0.cmp(&other.0));
        let mut files = Vec::with_capacity(listed.len());
        for (path, size, constants) in listed {
            let size = u64::try_from(size).map_err(|error| failed(&error))?;
            let metadata = row_groups::footer(&store, &path, size)
                .await
                .map_err(|error| lost(&format!("a file of table {}", entry.name), error))?;
            let names = mapping.names(&known, &metadata).map_err(|problem| failed(&problem))?;
            let constants = mapping.constants(&known, constants);
            files.push(DataFile { path, size, metadata, names, constants });
        }
        let width = super::row_bytes(schema.fields().iter().map(|field| field.data_type()));
        let parts = row_groups::parts(&files, width).map_err(|error| failed(&error))?;
        let rows = parts.iter().map(|part| part.rows).collect();
        Ok(Self(Arc::new(Inner {
            name: entry.name.to_string(),
            schema,
            store,
            files,
            parts,
            rows,
        })))
    }
}

impl Inner {
    /// The values of a column in the table's type, from the file or the log.
    fn column(field: &Field, batch: &RecordBatch, file: &DataFile) -> Result<ArrayRef, QueryError> {
        let in_file = file.names.get(field.name()).and_then(|name| batch.column_by_name(name));
        // What the log says of a partition column counts, also where files have it too.
        let stored: ArrayRef = match (file.constants.get(field.name()), in_file) {
            (Some(Some(text)), _) => {
                Arc::new(StringArray::from(vec![text.as_str(); batch.num_rows()]))
            }
            (None, Some(stored)) => Arc::clone(stored),
            (Some(None), _) | (None, None) => new_null_array(field.data_type(), batch.num_rows()),
        };
        if stored.data_type() == field.data_type() {
            return Ok(stored);
        }
        // A value that does not fit is an error and no NULL.
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        // By the names of fields in structs; those that the file lacks are NULL.
        cast_column(&stored, field.data_type(), &strict).map_err(|error| {
            QueryError::Internal(format!(
                "column {} is stored as {} and cannot become {}: {error}",
                field.name(),
                stored.data_type(),
                field.data_type()
            ))
        })
    }

    /// The rows of blocks of one row group.
    async fn read(
        &self,
        blocks: Range<usize>,
        columns: &[usize],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let block = blocks.start;
        let failed = |problem: &dyn Display| {
            QueryError::Internal(format!("block {block} of the table: {problem}"))
        };
        let parts = self.parts.get(blocks).filter(|parts| !parts.is_empty());
        let parts = parts.ok_or_else(|| failed(&"there is no such block"))?;
        let file = parts.first().and_then(|part| self.files.get(part.file));
        let file = file.ok_or_else(|| failed(&"its file is not listed"))?;
        let schema = Arc::new(self.schema.project(columns).map_err(|error| failed(&error))?);
        let stored = file.metadata.schema();
        let roots = schema.fields().iter().filter_map(|field| file.names.get(field.name()));
        let roots: Vec<usize> = roots.filter_map(|name| stored.index_of(name).ok()).collect();
        let batches = row_groups::decode(Arc::clone(&self.store), file, parts, roots).await;
        let batches = batches
            .map_err(|error| lost(&format!("block {block} of table {}", self.name), error))?;
        let (mut shaped, mut bytes) = (Vec::with_capacity(batches.len()), 0_usize);
        for batch in batches {
            let arrays = schema.fields().iter().map(|field| Self::column(field, &batch, file));
            let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
                .map_err(|error| failed(&error))?;
            // Dictionaries that the file keeps as such are texts of the table.
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if let Some(large) = TooLarge::of(parts, bytes) {
                return Err(QueryError::ResourceExhausted(format!("stream: {large}")));
            }
            shaped.push(batch);
        }
        Ok(shaped)
    }
}

/// Rows that cannot be read: whether they are lost or the store does not answer. `place` is what is told of them.
fn lost(place: &str, error: ParquetError) -> QueryError {
    if let ParquetError::External(inner) = &error
        && let Some(large) = inner.downcast_ref::<TooLarge>()
    {
        return QueryError::ResourceExhausted(format!("stream: {large}"));
    }
    let what = match &error {
        ParquetError::External(inner) => match inner.downcast_ref::<object_store::Error>() {
            Some(object_store::Error::NotFound { .. }) => "its file is gone",
            Some(_) => return QueryError::Internal(format!("{place}: {error}")),
            None => "its file cannot be read",
        },
        _ => "its file is damaged",
    };
    tracing::error!(place, %error, "rows of a Delta table are lost");
    let problem =
        format!("{place} is lost: {what}. Restore it in the store, or stream another version");
    StreamFault::DataLoss { problem }.into()
}

#[async_trait]
impl Source for DeltaFiles {
    fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    fn blocks(&self) -> &[u64] {
        &self.0.rows
    }

    /// The names of its files, which Delta never uses again, where their columns lie, and what the log says of them.
    fn identity(&self) -> blake3::Hash {
        let mut hash = blake3::Hasher::new();
        for file in &self.0.files {
            let names: BTreeMap<_, _> = file.names.iter().collect();
            let constants: BTreeMap<_, _> = file.constants.iter().collect();
            let groups = file.metadata.metadata().row_groups().iter();
            let columns = groups.flat_map(RowGroupMetaData::columns);
            let places: Vec<_> = columns.map(ColumnChunkMetaData::byte_range).collect();
            let said = format!("{:?}", (file.path.as_ref(), file.size, places, names, constants));
            hash.update(&(said.len() as u64).to_le_bytes());
            hash.update(said.as_bytes());
        }
        hash.finalize()
    }

    /// The share of the block in what the footer says of its row group.
    fn bytes(&self, block: usize, columns: &[usize]) -> u64 {
        let table = &self.0;
        let Some(part) = table.parts.get(block) else { return 0 };
        let fixed = super::bytes_of(&table.schema, columns, part.rows);
        let Some(file) = table.files.get(part.file) else { return fixed };
        let Some(group) = file.metadata.metadata().row_groups().get(part.group) else {
            return fixed;
        };
        let fields = columns.iter().filter_map(|column| table.schema.fields().get(*column));
        let names: HashSet<&String> =
            fields.filter_map(|field| file.names.get(field.name())).collect();
        let stored = group.columns().iter().filter(|column| {
            column.column_path().parts().first().is_some_and(|name| names.contains(name))
        });
        let stored = stored.map(row_groups::stored_bytes).fold(0, u64::saturating_add);
        let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
        fixed.max((stored / rows).saturating_mul(part.rows))
    }

    fn together(&self, block: usize) -> Range<usize> {
        let alone = block..block.saturating_add(1);
        self.0.parts.get(block).map_or(alone, |part| part.together.clone())
    }

    /// On a task of its own, so that several blocks are decoded at once.
    async fn read(
        &self,
        blocks: Range<usize>,
        columns: &[usize],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let (table, columns) = (Arc::clone(&self.0), columns.to_vec());
        let work = SpawnedTask::spawn(async move { table.read(blocks, &columns).await });
        work.await.map_err(|error| QueryError::Internal(format!("reading a block: {error}")))?
    }
}
