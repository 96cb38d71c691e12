//! Rows that a query made → a Delta table of their own.

use super::log::{self, NotCommitted, Pending};
use super::merge::merge;
use super::types::delta_schema;
use super::verify::verify;
use super::write::{DataFile, FILE_BYTES, Files, Target, plain};
use crate::{Cancel, IngestError, place};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use tarn_catalog::TableEntry;
use tarn_connectors::{Location, Stores};
use tarn_schemas::{DatasetName, TableName};

/// The folder below `store` of a new table that a query makes. No other table is ever written there.
pub fn new_folder(store: &Location, dataset: &DatasetName, table: &TableName) -> Location {
    store.child(&format!("{dataset}/{table}-{}", uuid::Uuid::now_v7()))
}

/// Takes everything away that was written into a folder of [`new_folder`].
///
/// # Errors
/// [`IngestError`] for a store that fails: something may be left.
pub async fn discard_folder(stores: &Stores, folder: &Location) -> Result<(), IngestError> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        IngestError::below("(a table that was not made)", folder, error)
    };
    if let Some(path) = folder.local_path() {
        // Parts of files that were not completed have names that a store does not list.
        return match tokio::fs::remove_dir_all(&path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        };
    }
    let (store, prefix) = stores.object_store(folder)?;
    let files: Vec<_> = store
        .list(Some(&prefix))
        .map_ok(|file| file.location)
        .try_collect()
        .await
        .map_err(|error| failed(&error))?;
    for file in files {
        match store.delete(&file).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

/// Writes the rows of a query into a new Delta table in a folder of [`new_folder`], reads them back and
/// commits them there. Until a catalog is told of it nobody meets it. Whatever ends this halfway may leave
/// files: then the folder is to be discarded.
///
/// # Errors
/// Those of the rows, and [`IngestError`] for columns that Delta cannot store and for stores that fail.
pub async fn write_table<E: From<IngestError>>(
    stores: &Stores,
    folder: Location,
    table: &TableName,
    schema: &SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch, E>> + Unpin,
) -> Result<TableEntry, E> {
    let id = uuid::Uuid::now_v7();
    let target = place(stores, table.as_str(), folder).await?;
    let new = delta_schema(table.as_str(), schema)?;
    let columns: SchemaRef = Arc::new(merge(table.as_str(), None, &new)?.files);
    let files = write(&target, &columns, rows).await?;
    for file in &files {
        verify(&target, file, &columns, &Cancel::new()).await?;
    }
    let pending = vec![Pending { app_id: format!("tarn:query:{id}"), files }];
    let committed = log::commit(&target, &columns, &[], pending).await;
    let (log, _) = committed.map_err(|NotCommitted { error, .. }| error)?;
    Ok(log.entry(table, &target)?)
}

/// Writes data files. On failure nothing stays.
async fn write<E: From<IngestError>>(
    target: &Target,
    columns: &SchemaRef,
    mut rows: impl Stream<Item = Result<RecordBatch, E>> + Unpin,
) -> Result<Vec<DataFile>, E> {
    let mut files = Files::new(target, columns, plain(), FILE_BYTES);
    let done: Result<(), E> = async {
        while let Some(batch) = rows.next().await {
            files.write(&batch?).await?;
        }
        Ok(files.end().await?)
    }
    .await;
    if let Err(error) = done {
        files.discard().await;
        return Err(error);
    }
    Ok(files.written)
}
