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

/// A table that is complete in its store, and that no catalog knows yet.
#[derive(Debug)]
pub struct Made {
    /// What the catalog is to know of it.
    pub entry: TableEntry,
    target: Target,
}

impl Made {
    /// Takes it away again, as far as that works: what stays behind is never read.
    pub async fn discard(self) {
        let Target { store, folder, table, .. } = &self.target;
        let files: Vec<_> = store
            .list(Some(folder))
            .map_ok(|file| file.location)
            .try_collect()
            .await
            .unwrap_or_default();
        for file in files {
            if let Err(error) = store.delete(&file).await {
                tracing::warn!(%table, %file, %error, "a file stays behind");
            }
        }
    }
}

/// Writes the rows of a query into a new Delta table in a folder of its own below `store`, reads them back and
/// commits them there. Until a catalog is told of it nobody meets it: whatever ends this halfway leaves
/// files that no name leads to.
///
/// # Errors
/// Those of the rows, and [`IngestError`] for columns that Delta cannot store and for stores that fail.
pub async fn write_table<E: From<IngestError>>(
    stores: &Stores,
    store: &Location,
    (dataset, table): (&DatasetName, &TableName),
    schema: &SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch, E>> + Unpin,
) -> Result<Made, E> {
    let id = uuid::Uuid::now_v7();
    let location = store.child(&format!("{dataset}/{table}-{id}"));
    let target = place(stores, table.as_str(), location).await?;
    let new = delta_schema(table.as_str(), schema)?;
    let columns: SchemaRef = Arc::new(merge(table.as_str(), None, &new)?.files);
    let files = write(&target, &columns, rows).await?;
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    for file in &files {
        if let Err(error) = verify(&target, file, &columns, &Cancel::new()).await {
            target.discard(names).await;
            return Err(error.into());
        }
    }
    let pending = vec![Pending { app_id: format!("tarn:query:{id}"), files }];
    let (log, _) = match log::commit(&target, &columns, &[], pending).await {
        Ok(done) => done,
        Err(NotCommitted { error, certain }) => {
            if certain {
                target.discard(names).await;
            }
            return Err(error.into());
        }
    };
    let entry = log.entry(table, &target)?;
    Ok(Made { entry, target })
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
