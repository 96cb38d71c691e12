//! One source file → Parquet files in the table's folder.

use super::types::convert;
use crate::figures::Figures;
use crate::{Cancel, IngestError};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use object_store::buffered::BufWriter;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::AsyncArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use std::sync::Arc;
use tarn_connectors::Location;
use tarn_formats::Selection;
use tarn_formats::table::{Dependence, Part};

/// Most rows of a row group, and most cells that are read at once.
pub(super) const ROW_GROUP: usize = 1 << 20;
/// Bytes of a row group after which the next is begun: tensors are large, and who writes or reads a row group may hold it.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// Bytes after which the next Parquet file is begun.
pub(super) const FILE_BYTES: u64 = 512 << 20;

/// Where a table's data files go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Name of the table, for messages.
    pub table: String,
    /// Its folder.
    pub location: Location,
    /// The store of the folder.
    pub store: Arc<dyn ObjectStore>,
    /// The folder in the store.
    pub folder: ObjectPath,
}

impl Target {
    /// A data file of the table.
    pub(crate) fn file(&self, name: &str) -> ObjectPath {
        self.folder.clone().join(name)
    }

    /// What an error of this table's store, log or files means.
    pub(crate) fn failed(&self, error: &(dyn std::error::Error + 'static)) -> IngestError {
        IngestError::below(&self.table, &self.location, error)
    }

    /// Takes data files away again, as far as that works: they are in no log, so what stays behind
    /// is never read.
    pub(crate) async fn discard(&self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if let Err(error) = self.store.delete(&self.file(&name)).await {
                tracing::warn!(table = %self.table, file = %name, %error, "a file stays behind");
            }
        }
    }
}

/// A Parquet file that was written.
#[derive(Debug)]
pub(crate) struct DataFile {
    /// Name in the table's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Figures of the source rows, by column.
    pub figures: Vec<Figures>,
}

/// Writes one source file. `columns` are the columns of the source as the table stores them.
/// Blocks: to be called on a blocking thread, inside a tokio runtime. On failure and where it
/// is stopped nothing stays, and the others that share `stop` stop too.
pub(crate) fn write_part(
    target: &Target,
    part: &Part,
    columns: &SchemaRef,
    stop: &Cancel,
) -> Result<Vec<DataFile>, IngestError> {
    let runtime = tokio::runtime::Handle::current();
    let mut files = Files::new(target, columns, properties(part, columns), FILE_BYTES);
    let outcome = runtime.block_on(async {
        let all: Vec<usize> = (0..columns.fields().len()).collect();
        for region in part.regions(&Selection::all(part.shape()), ROW_GROUP as u64) {
            if stop.is_cancelled() {
                return Err(IngestError::Cancelled);
            }
            let batch = part.read(&region, &all)?;
            files.write(&batch).await?;
        }
        files.end().await?;
        let rows: u64 = files.written.iter().map(|file| file.rows).sum();
        let expected = part.rows().unwrap_or(u64::MAX);
        if rows != expected {
            return Err(IngestError::Verification {
                table: target.table.clone(),
                column: "(rows)".to_owned(),
                problem: format!("{} has {expected} rows, {rows} were read", part.location()),
            });
        }
        Ok(())
    });
    if let Err(error) = outcome {
        stop.cancel();
        runtime.block_on(files.discard());
        return Err(error);
    }
    Ok(files.written)
}

/// Data files of one table that are filled one after the other.
pub(super) struct Files<'a> {
    target: &'a Target,
    columns: &'a SchemaRef,
    properties: WriterProperties,
    most_bytes: u64,
    open: Option<Open>,
    /// Those that are complete.
    pub(super) written: Vec<DataFile>,
}

impl<'a> Files<'a> {
    /// None yet; each is to have about so many bytes.
    pub(super) fn new(
        target: &'a Target,
        columns: &'a SchemaRef,
        properties: WriterProperties,
        most_bytes: u64,
    ) -> Self {
        Self { target, columns, properties, most_bytes, open: None, written: Vec::new() }
    }

    /// Adds rows.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), IngestError> {
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let new = Open::new(self.target, self.columns, self.properties.clone())?;
                self.open.insert(new)
            }
        };
        file.write(self.target, batch, self.columns).await?;
        if file.bytes() >= self.most_bytes { self.end().await } else { Ok(()) }
    }

    /// Completes the file that is being written.
    pub(super) async fn end(&mut self) -> Result<(), IngestError> {
        if let Some(file) = self.open.take() {
            self.written.push(file.close(self.target).await?);
        }
        Ok(())
    }

    /// Gives up the file that is being written.
    pub(super) async fn abort(&mut self) {
        if let Some(file) = self.open.take() {
            file.abort().await;
        }
    }

    /// Takes all of them away again.
    pub(super) async fn discard(mut self) {
        self.abort().await;
        self.target.discard(self.written.into_iter().map(|file| file.name)).await;
    }
}

/// A Parquet file that is being written.
struct Open {
    name: String,
    rows: u64,
    figures: Vec<Figures>,
    writer: AsyncArrowWriter<BufWriter>,
}

impl Open {
    /// A new file of these columns.
    fn new(
        target: &Target,
        columns: &SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, IngestError> {
        let name = format!("part-{}.zstd.parquet", uuid::Uuid::now_v7());
        let sink = BufWriter::new(Arc::clone(&target.store), target.file(&name));
        let writer = AsyncArrowWriter::try_new(sink, Arc::clone(columns), Some(properties))
            .map_err(|error| target.failed(&error))?;
        let figures = vec![Figures::default(); columns.fields().len()];
        Ok(Self { name, rows: 0, figures, writer })
    }

    /// Adds rows, in the types that the table stores them in.
    async fn write(
        &mut self,
        target: &Target,
        batch: &RecordBatch,
        columns: &SchemaRef,
    ) -> Result<(), IngestError> {
        let mut converted = Vec::with_capacity(batch.num_columns());
        for ((array, field), figures) in
            batch.columns().iter().zip(columns.fields()).zip(&mut self.figures)
        {
            figures.update(array).map_err(|error| target.failed(&error))?;
            converted.push(convert(&target.table, field.name(), array, field.data_type())?);
        }
        let batch = RecordBatch::try_new(Arc::clone(columns), converted)
            .map_err(|error| target.failed(&error))?;
        self.rows = self.rows.saturating_add(batch.num_rows() as u64);
        self.writer.write(&batch).await.map_err(|error| target.failed(&error))
    }

    /// Bytes so far.
    fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Ends the file.
    async fn close(mut self, target: &Target) -> Result<DataFile, IngestError> {
        if let Err(error) = self.writer.finish().await {
            // The upload was ended by the failure; what it may have left is an object.
            target.discard([self.name]).await;
            return Err(target.failed(&error));
        }
        Ok(DataFile {
            name: self.name,
            bytes: self.writer.bytes_written() as u64,
            rows: self.rows,
            figures: self.figures,
        })
    }

    /// Ends the upload so that the store keeps none of it.
    async fn abort(self) {
        if let Err(error) = self.writer.into_inner().abort().await {
            tracing::warn!(file = %self.name, %error, "an unfinished upload could not be ended");
        }
    }
}

/// For rows of which nothing is known but their types.
pub(super) fn plain() -> WriterProperties {
    compressed(ROW_GROUP).build()
}

/// Coordinates and constants repeat: a dictionary. Measured floats do not: byte-stream split
/// (a third smaller after zstd).
fn properties(part: &Part, columns: &Schema) -> WriterProperties {
    let mut properties = compressed(ROW_GROUP);
    for (index, field) in columns.fields().iter().enumerate() {
        if part.dependence(index) != Dependence::Cells {
            continue;
        }
        let (path, data_type) = match field.data_type() {
            DataType::List(item) => (
                vec![field.name().clone(), "list".to_owned(), item.name().clone()],
                item.data_type(),
            ),
            other => (vec![field.name().clone()], other),
        };
        if matches!(data_type, DataType::Float32 | DataType::Float64) {
            let path = ColumnPath::new(path);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT);
        }
    }
    properties.build()
}

/// Compressed, in row groups of so many rows at most.
pub(super) fn compressed(rows: usize) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(rows))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
}
