//! Blocks of files that are read where they are: the regions of their grid in chunk order.

use super::{BLOCK_BYTES, BLOCK_ROWS, MOST_BLOCKS, Source, row_bytes};
use crate::error::QueryError;
use crate::provider::blocking;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::{Region, Selection, Table};

/// Files in place as blocks.
#[derive(Debug)]
pub(super) struct InPlace {
    table: Arc<Table>,
    regions: Vec<(usize, Region)>,
    rows: Vec<u64>,
}

impl InPlace {
    /// The regions of a grid.
    pub(super) fn new(table: Arc<Table>) -> Result<Self, QueryError> {
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
                if regions.len() as u64 >= MOST_BLOCKS {
                    return Err(QueryError::ResourceExhausted(format!(
                        "{}: the table has more than {MOST_BLOCKS} blocks of {most} rows, and a \
                         stream keeps the order of all of them; stream a smaller table, or select \
                         columns of a smaller grid",
                        part.location()
                    )));
                }
                regions.push((number, region));
                rows.push(cells);
            }
        }
        Ok(Self { table, regions, rows })
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

    /// The entry has the content of every file.
    fn identity(&self) -> blake3::Hash {
        blake3::hash(b"in place")
    }

    fn bytes(&self, block: usize, columns: &[usize]) -> u64 {
        let rows = self.rows.get(block).copied().unwrap_or(0);
        super::bytes_of(self.schema(), columns, rows)
    }

    async fn read(
        &self,
        blocks: Range<usize>,
        columns: &[usize],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let wanted = self.regions.get(blocks.clone()).map(<[_]>::to_vec).ok_or_else(|| {
            QueryError::Internal(format!("there are no blocks {} to {}", blocks.start, blocks.end))
        })?;
        let (table, columns) = (Arc::clone(&self.table), columns.to_vec());
        blocking(move || {
            let read = wanted.iter().map(|(part, region)| {
                let part = table
                    .parts()
                    .get(*part)
                    .ok_or_else(|| QueryError::Internal(format!("there is no part {part}")))?;
                Ok(part.read(region, &columns)?)
            });
            read.collect()
        })
        .await
    }
}
