//! Blocks of a Delta table: the row groups of its Parquet files, files sorted by path.

use super::super::fault::StreamFault;
use super::Source;
use super::mapping::Mapping;
use crate::error::QueryError;
use crate::provider::{schema_of, stays_inside};
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat_batches};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use deltalake::DeltaTableBuilder;
use futures::future::BoxFuture;
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;
use tarn_catalog::TableEntry;
use tarn_connectors::Stores;
use tarn_connectors::store::Location;

/// The Parquet files of one version of a Delta table as blocks.
#[derive(Debug)]
pub(super) struct DeltaFiles {
    schema: SchemaRef,
    store: Arc<dyn ObjectStore>,
    files: Vec<DataFile>,
    groups: Vec<(usize, usize)>,
    rows: Vec<u64>,
}

#[derive(Debug)]
struct DataFile {
    path: Path,
    size: u64,
    metadata: ArrowReaderMetadata,
    /// Names of the table's columns in this file, of those that it has.
    names: HashMap<String, String>,
    /// Partition columns, whose values stand in the log and not in the file.
    constants: HashMap<String, Option<String>>,
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
            ParquetMetaDataReader::new().load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
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
        let (mut files, mut groups, mut rows) = (Vec::new(), Vec::new(), Vec::new());
        for (path, size, constants) in listed {
            let size = u64::try_from(size).map_err(|error| failed(&error))?;
            let mut reader = ParquetFile { store: Arc::clone(&store), path: path.clone(), size };
            let metadata =
                ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::default())
                    .await
                    .map_err(|error| failed(&error))?;
            for (group, description) in metadata.metadata().row_groups().iter().enumerate() {
                groups.push((files.len(), group));
                rows.push(u64::try_from(description.num_rows()).map_err(|error| failed(&error))?);
            }
            let names = mapping.names(&known, &metadata).map_err(|problem| failed(&problem))?;
            let constants = mapping.constants(&known, constants);
            files.push(DataFile { path, size, metadata, names, constants });
        }
        Ok(Self { schema, store, files, groups, rows })
    }

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
        cast_with_options(&stored, field.data_type(), &strict).map_err(|error| {
            QueryError::Internal(format!(
                "column {} is stored as {} and cannot become {}: {error}",
                field.name(),
                stored.data_type(),
                field.data_type()
            ))
        })
    }
}

/// Rows that cannot be read: whether they are lost or the store does not answer.
fn lost(block: usize, error: ParquetError) -> QueryError {
    let what = match &error {
        ParquetError::External(inner) => match inner.downcast_ref::<object_store::Error>() {
            Some(object_store::Error::NotFound { .. }) => "its file is gone",
            Some(_) => return QueryError::Internal(format!("block {block} of the table: {error}")),
            None => "its file cannot be read",
        },
        _ => "its file is damaged",
    };
    tracing::error!(block, %error, "rows of a Delta table are lost");
    let problem = format!(
        "block {block} of the table is lost: {what}. Restore it in the store, or stream another version"
    );
    StreamFault::DataLoss { problem }.into()
}

#[async_trait]
impl Source for DeltaFiles {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn blocks(&self) -> &[u64] {
        &self.rows
    }

    /// The names of its files, which Delta never uses again, where their columns lie, and what the log says of them.
    fn identity(&self) -> blake3::Hash {
        let mut hash = blake3::Hasher::new();
        for file in &self.files {
            let names: BTreeMap<_, _> = file.names.iter().collect();
            let constants: BTreeMap<_, _> = file.constants.iter().collect();
            let groups = file.metadata.metadata().row_groups().iter();
            let columns = groups.flat_map(|group| group.columns());
            let places: Vec<_> = columns.map(|column| column.byte_range()).collect();
            let said = format!("{:?}", (file.path.as_ref(), file.size, places, names, constants));
            hash.update(&(said.len() as u64).to_le_bytes());
            hash.update(said.as_bytes());
        }
        hash.finalize()
    }

    /// By the footers: a dictionary may stand for texts that are many times as long, which writers say apart.
    fn bytes(&self, block: usize, columns: &[usize]) -> u64 {
        let rows = self.rows.get(block).copied().unwrap_or(0);
        let fixed = super::bytes_of(&self.schema, columns, rows);
        let Some((file, group)) = self.groups.get(block) else { return fixed };
        let Some(file) = self.files.get(*file) else { return fixed };
        let Some(group) = file.metadata.metadata().row_groups().get(*group) else { return fixed };
        let fields = columns.iter().filter_map(|column| self.schema.fields().get(*column));
        let names: HashSet<&String> =
            fields.filter_map(|field| file.names.get(field.name())).collect();
        let stored = group.columns().iter().filter(|column| {
            column.column_path().parts().first().is_some_and(|name| names.contains(name))
        });
        let stored = stored.map(|column| {
            let unencoded = column.unencoded_byte_array_data_bytes().unwrap_or(0);
            u64::try_from(unencoded.max(column.uncompressed_size())).unwrap_or(0)
        });
        fixed.max(stored.fold(0, u64::saturating_add))
    }

    async fn read(&self, block: usize, columns: &[usize]) -> Result<RecordBatch, QueryError> {
        let failed = |problem: &dyn Display| {
            QueryError::Internal(format!("block {block} of the table: {problem}"))
        };
        let (file, group) =
            *self.groups.get(block).ok_or_else(|| failed(&"there is no such block"))?;
        let file = self.files.get(file).ok_or_else(|| failed(&"its file is not listed"))?;
        let schema = Arc::new(self.schema.project(columns).map_err(|error| failed(&error))?);
        let stored = file.metadata.schema();
        let roots = schema.fields().iter().filter_map(|field| file.names.get(field.name()));
        let roots: Vec<usize> = roots.filter_map(|name| stored.index_of(name).ok()).collect();
        let reader = ParquetFile {
            store: Arc::clone(&self.store),
            path: file.path.clone(),
            size: file.size,
        };
        let mask = ProjectionMask::roots(file.metadata.parquet_schema(), roots);
        let stream =
            ParquetRecordBatchStreamBuilder::new_with_metadata(reader, file.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .build()
                .map_err(|error| failed(&error))?;
        let stored: Arc<Schema> = Arc::clone(stream.schema());
        let batches: Vec<RecordBatch> =
            stream.try_collect().await.map_err(|error| lost(block, error))?;
        let batch = concat_batches(&stored, &batches).map_err(|error| failed(&error))?;
        let arrays = schema
            .fields()
            .iter()
            .map(|field| Self::column(field, &batch, file))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema, arrays, &options).map_err(|error| failed(&error))
    }
}
