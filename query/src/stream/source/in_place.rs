//! Blocks of files that are read where they are: the regions of their grid in chunk order.

use super::{BLOCK_BYTES, BLOCK_ROWS, Source, blocking, row_bytes};
use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::sync::Arc;
use tarn_catalog::PinnedFile;
use tarn_connectors::Stores;
use tarn_connectors::store::StoreError;
use tarn_formats::{Region, Selection, Table};
use tarn_schemas::TableOptions;
use tarn_schemas::code::{Coded, ErrorCode};

/// Files in place as blocks.
#[derive(Debug)]
pub(super) struct InPlace {
    table: Arc<Table>,
    regions: Vec<(usize, Region)>,
    rows: Vec<u64>,
}

impl InPlace {
    /// Opens the files, which must not have changed since they were registered.
    pub(super) async fn open(
        stores: &Stores,
        files: &[PinnedFile],
        options: &TableOptions,
    ) -> Result<Self, QueryError> {
        let mut sources = Vec::with_capacity(files.len());
        for file in files {
            sources.push(stores.source(&file.stat).await.map_err(from_store)?);
        }
        let options = options.clone();
        blocking(move || {
            let readers =
                sources.into_iter().map(tarn_formats::open).collect::<Result<Vec<_>, _>>()?;
            let table = Table::open(&readers, &options)?;
            let width = row_bytes(table.schema().fields().iter().map(|field| field.data_type()));
            let most = (BLOCK_BYTES / width).clamp(1, BLOCK_ROWS);
            let (mut regions, mut rows) = (Vec::new(), Vec::new());
            for (number, part) in table.parts().iter().enumerate() {
                for region in part.regions(&Selection::all(part.shape()), most) {
                    let cells = region.cells().ok_or_else(|| {
                        QueryError::ResourceExhausted(format!(
                            "{}: a part of the grid has more cells than fit in 64 bits",
                            part.location()
                        ))
                    })?;
                    regions.push((number, region));
                    rows.push(cells);
                }
            }
            Ok(Self { table: Arc::new(table), regions, rows })
        })
        .await
    }
}

#[async_trait]
impl Source for InPlace {
    fn schema(&self) -> &SchemaRef {
        self.table.schema()
    }

    fn blocks(&self) -> &[u64] {
        &self.rows
    }

    async fn read(&self, block: usize, columns: &[usize]) -> Result<RecordBatch, QueryError> {
        let (part, region) = self
            .regions
            .get(block)
            .cloned()
            .ok_or_else(|| QueryError::Internal(format!("there is no block {block}")))?;
        let (table, columns) = (Arc::clone(&self.table), columns.to_vec());
        blocking(move || {
            let part = table
                .parts()
                .get(part)
                .ok_or_else(|| QueryError::Internal(format!("there is no part {part}")))?;
            Ok(part.read(&region, &columns)?)
        })
        .await
    }
}

/// A store's failure as one of a query.
pub(super) fn from_store(error: StoreError) -> QueryError {
    match error.code() {
        ErrorCode::NotFound => QueryError::NotFound(error.to_string()),
        ErrorCode::InvalidArgument => QueryError::Invalid(error.to_string()),
        ErrorCode::PermissionDenied => QueryError::Denied(error.to_string()),
        _ => QueryError::Internal(error.to_string()),
    }
}
