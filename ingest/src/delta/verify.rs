//! What was written, read back from the store and compared with its source.

use super::write::{DataFile, Target};
use crate::figures::Figures;
use crate::{Cancel, IngestError};
use arrow::datatypes::Schema;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryFutureExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use std::ops::Range;
use std::sync::Arc;

/// Fails unless a data file reads back with the figures of its source.
pub(crate) async fn verify(
    target: &Target,
    file: &DataFile,
    columns: &Schema,
    cancel: &Cancel,
) -> Result<(), IngestError> {
    let stored = StoredFile {
        store: Arc::clone(&target.store),
        path: target.file(&file.name),
        bytes: file.bytes,
    };
    let builder = ParquetRecordBatchStreamBuilder::new(stored)
        .await
        .map_err(|error| target.failed(&error))?;
    let mut stream = builder.build().map_err(|error| target.failed(&error))?;
    let mut figures = vec![Figures::default(); columns.fields().len()];
    while let Some(batch) = stream.next().await {
        if cancel.is_cancelled() {
            return Err(IngestError::Cancelled);
        }
        let batch = batch.map_err(|error| target.failed(&error))?;
        for (array, figures) in batch.columns().iter().zip(&mut figures) {
            figures.update(array).map_err(|error| target.failed(&error))?;
        }
    }
    for ((field, source), back) in columns.fields().iter().zip(&file.figures).zip(&figures) {
        if let Some(problem) = source.difference(back) {
            return Err(IngestError::Verification {
                table: target.table.clone(),
                column: field.name().clone(),
                problem,
            });
        }
    }
    Ok(())
}

/// A Parquet file in the store, of the length that was written.
pub(crate) struct StoredFile {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// Its place.
    pub path: ObjectPath,
    /// Its length.
    pub bytes: u64,
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.store.get_range(&self.path, range).map_err(ParquetError::from).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        let (store, path) = (Arc::clone(&self.store), self.path.clone());
        async move { Ok(store.get_ranges(&path, &ranges).await?) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let bytes = self.bytes;
        async move {
            Ok(Arc::new(ParquetMetaDataReader::new().load_and_finish(self, bytes).await?))
        }
        .boxed()
    }
}
