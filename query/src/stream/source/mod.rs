//! Where the rows of a stream come from: the blocks of a table at one version, in an order that is
//! always the same.

mod delta;
mod in_place;
mod mapping;
mod row_groups;

use crate::engine::{Engine, Veil};
use crate::error::QueryError;
use crate::provider::blocking;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;
use tarn_catalog::{TableEntry, TableStorage};

/// Bytes of decoded columns that a block aims at.
const BLOCK_BYTES: u64 = 2 << 20;
/// Most rows of a block.
const BLOCK_ROWS: u64 = 1 << 16;
/// Most blocks of a table: about 200 MB to remember them. A file may declare any shape.
const MOST_BLOCKS: u64 = 1 << 20;
/// Bytes assumed for a value of variable length.
const VARIABLE_BYTES: u64 = 32;

/// A table as numbered blocks of rows. The numbering and the rows of each block never change for a
/// version of a dataset.
#[async_trait]
pub(crate) trait Source: Send + Sync + Debug {
    /// Schema of the whole table, with field metadata.
    fn schema(&self) -> &SchemaRef;

    /// Rows of each block.
    fn blocks(&self) -> &[u64];

    /// What the blocks are made from, as far as the table's entry in the catalog does not say it.
    fn identity(&self) -> blake3::Hash;

    /// About how many bytes some columns of a block take, decoded.
    fn bytes(&self, block: usize, columns: &[usize]) -> u64;

    /// The blocks that are read together with a block. They are the same for each of them.
    fn together(&self, block: usize) -> Range<usize> {
        block..block.saturating_add(1)
    }

    /// The rows of blocks that [`Self::together`] gave, a batch for each, with some columns, given by their index in the
    /// schema.
    async fn read(
        &self,
        blocks: Range<usize>,
        columns: &[usize],
    ) -> Result<Vec<RecordBatch>, QueryError>;
}

/// Opens the blocks of a table. `name` is what errors call it.
pub(crate) async fn open(
    engine: &Engine,
    name: &str,
    entry: &TableEntry,
) -> Result<Arc<dyn Source>, QueryError> {
    match &entry.storage {
        TableStorage::InPlace { files, options } => {
            let table = engine.opener().grid(name, files, options).await?;
            blocking(move || Ok(Arc::new(in_place::InPlace::new(table)?) as Arc<dyn Source>)).await
        }
        TableStorage::Delta { url, version } => {
            Ok(Arc::new(delta::DeltaFiles::open(engine.stores(), url, *version, entry).await?))
        }
    }
}

/// A source whose errors do not say where its data lie.
#[derive(Debug)]
pub(crate) struct Veiled {
    inner: Arc<dyn Source>,
    veil: Veil,
}

impl Veiled {
    pub(crate) fn new(inner: Arc<dyn Source>, veil: Veil) -> Self {
        Self { inner, veil }
    }
}

#[async_trait]
impl Source for Veiled {
    fn schema(&self) -> &SchemaRef {
        self.inner.schema()
    }

    fn blocks(&self) -> &[u64] {
        self.inner.blocks()
    }

    fn identity(&self) -> blake3::Hash {
        self.inner.identity()
    }

    fn bytes(&self, block: usize, columns: &[usize]) -> u64 {
        self.inner.bytes(block, columns)
    }

    fn together(&self, block: usize) -> Range<usize> {
        self.inner.together(block)
    }

    async fn read(
        &self,
        blocks: Range<usize>,
        columns: &[usize],
    ) -> Result<Vec<RecordBatch>, QueryError> {
        self.inner.read(blocks, columns).await.map_err(|error| self.veil.error(error))
    }
}

/// About how many bytes so many rows of some columns of a schema take.
fn bytes_of(schema: &Schema, columns: &[usize], rows: u64) -> u64 {
    let fields = columns.iter().filter_map(|column| schema.fields().get(*column));
    rows.saturating_mul(row_bytes(fields.map(|field| field.data_type())))
}

/// About how many bytes a decoded row takes.
pub(crate) fn row_bytes<'a>(types: impl IntoIterator<Item = &'a DataType>) -> u64 {
    types.into_iter().map(value_bytes).fold(0_u64, u64::saturating_add).max(1)
}

fn value_bytes(data_type: &DataType) -> u64 {
    match data_type {
        DataType::FixedSizeList(item, length) => {
            value_bytes(item.data_type()).saturating_mul(u64::try_from(*length).unwrap_or(0))
        }
        DataType::FixedSizeBinary(length) => u64::try_from(*length).unwrap_or(0),
        DataType::Struct(fields) => row_bytes(fields.iter().map(|field| field.data_type())),
        DataType::Boolean | DataType::Null => 1,
        other => other.primitive_width().map_or(VARIABLE_BYTES, |width| width as u64),
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! A table in memory, for tests.

    use super::{QueryError, RecordBatch, SchemaRef, Source, async_trait};

    #[derive(Debug)]
    pub(crate) struct Memory {
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        rows: Vec<u64>,
    }

    impl Memory {
        pub(crate) fn new(batches: Vec<RecordBatch>) -> Self {
            let rows = batches.iter().map(|batch| batch.num_rows() as u64).collect();
            Self { schema: batches[0].schema(), batches, rows }
        }
    }

    #[async_trait]
    impl Source for Memory {
        fn schema(&self) -> &SchemaRef {
            &self.schema
        }

        fn blocks(&self) -> &[u64] {
            &self.rows
        }

        fn identity(&self) -> blake3::Hash {
            blake3::hash(b"memory")
        }

        fn bytes(&self, block: usize, columns: &[usize]) -> u64 {
            super::bytes_of(&self.schema, columns, self.rows[block])
        }

        async fn read(
            &self,
            blocks: std::ops::Range<usize>,
            columns: &[usize],
        ) -> Result<Vec<RecordBatch>, QueryError> {
            Ok(self.batches[blocks].iter().map(|batch| batch.project(columns).unwrap()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    #[test]
    fn the_width_of_a_tensor_is_that_of_its_values() {
        let item = Arc::new(Field::new("item", DataType::Float32, true));
        let tensor = DataType::FixedSizeList(item, 64 * 64);
        assert_eq!(row_bytes([&tensor, &DataType::Int64]), 64 * 64 * 4 + 8);
        assert_eq!(row_bytes(std::iter::empty()), 1);
    }
}
