//! The plan of one table: what is pinned, which rows belong to it, and where its blocks are.

use super::blocks::{Blocks, Found, Wanted};
use super::filter::Filter;
use super::grant::Grant;
use super::order::{Block, Order};
use super::prepared::{Layout, Set};
use super::request::StreamRequest;
use super::source::{self, Source};
use crate::engine::{Engine, Veil};
use crate::error::QueryError;
use crate::provider::blocking;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SessionState;
use futures::{StreamExt, TryStreamExt, stream};
use std::path::PathBuf;
use std::sync::Arc;
use tarn_schemas::{Principal, TableRef};

/// Bytes of decoded columns that a window of the shuffled order spans. It is a constant of the order
/// "fz1" and no setting: the order must not depend on the machine.
pub(super) const WINDOW_BYTES: u64 = 256 << 20;
/// Most blocks of a window.
pub(super) const WINDOW_BLOCKS: u64 = 4096;
/// Blocks that are read at the same time.
pub(super) const READERS: usize = 4;

/// Files of prepared blocks, for a client of this machine.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    /// Of blocks that follow each other: how many, and how many rows each has.
    pub(crate) blocks: Vec<(u64, u64)>,
    /// Blocks of a file.
    pub(crate) pack: usize,
}

/// A pinned selection of rows of one table.
#[derive(Debug)]
pub(crate) struct TablePlan {
    id: [u8; 32],
    table: TableRef,
    version: u32,
    tier: String,
    schema: SchemaRef,
    columns: Vec<usize>,
    source: Arc<dyn Source>,
    /// What its blocks are prepared as.
    set: Option<Set>,
    /// In which files they are then.
    layout: Arc<Layout>,
    blocks: Arc<Vec<Block>>,
    window_blocks: u64,
    row_bytes: u64,
    selected: u64,
}

impl TablePlan {
    /// Opens the table, chooses the columns and finds the rows that the filter leaves.
    pub(crate) async fn make(
        engine: &Engine,
        grant: &Grant,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let table = TableRef {
            lab: grant.dataset.lab.clone(),
            dataset: grant.dataset.name.clone(),
            table: grant.entry.name.clone(),
        };
        let source = source::open(engine, &table.to_string(), &grant.entry).await;
        // Plans are shared by all who may read the table.
        let veil = Veil::of(&Principal::Anonymous);
        veil.hide(&grant.entry);
        let source = source.map_err(|error| veil.error(error))?;
        let source = Arc::new(source::Veiled::new(source, veil));
        let asked = grant.asked(request)?;
        let mut plan = Self::over(asked, table, source, engine.template(), request).await?;
        plan.version = grant.dataset.version;
        plan.tier = grant.dataset.tier.to_string();
        plan.set = Some(plan.set(grant)?);
        Ok(plan)
    }

    /// A plan over any source. Its id holds what the blocks are made from, which a table that is written anew in its
    /// place changes though the catalog says the same of it.
    pub(crate) async fn over(
        asked: [u8; 32],
        table: TableRef,
        source: Arc<dyn Source>,
        state: &SessionState,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let whole = Arc::clone(source.schema());
        let columns = choose(&whole, request.columns.as_deref(), &table)?;
        let schema = Arc::new(
            whole.project(&columns).map_err(|error| QueryError::Invalid(error.to_string()))?,
        );
        let blocks: Vec<Block> = match &request.filter {
            None => source.blocks().iter().map(|rows| Block::whole(*rows)).collect(),
            Some(sql) => {
                let filter = Arc::new(Filter::plan(state, sql, &whole)?);
                let mut begins = Vec::new();
                let mut next = 0;
                while next < source.blocks().len() {
                    begins.push(next);
                    next = source.together(next).end.max(next.saturating_add(1));
                }
                let single = begins.len() == source.blocks().len();
                let masks = begins.into_iter().map(|block| {
                    let (source, filter) = (Arc::clone(&source), Arc::clone(&filter));
                    async move {
                        let batches = source.read(source.together(block), filter.columns()).await?;
                        let masks = batches.iter().map(|batch| filter.rows(batch));
                        masks.map(|mask| mask.map(Block::masked)).collect::<Result<Vec<_>, _>>()
                    }
                });
                // What is decoded together may be large.
                let readers = if single { READERS } else { 1 };
                let masks: Vec<Vec<Block>> =
                    stream::iter(masks).buffered(readers).try_collect().await?;
                masks.into_iter().flatten().collect()
            }
        };
        let blocks = match &request.split {
            None => blocks,
            // A hash for each row: not for a thread that answers others.
            Some(split) => {
                let (split, name) = (split.clone(), table.to_string());
                blocking(move || Ok(split.of(&name, blocks))).await?
            }
        };
        let width = source::row_bytes(schema.fields().iter().map(|field| field.data_type()));
        let sum = |count: fn(&Block) -> u64| {
            blocks.iter().try_fold(0_u64, |rows, block| rows.checked_add(count(block))).ok_or_else(
                || QueryError::ResourceExhausted(format!("table {table} has too many rows")),
            )
        };
        let (rows, selected) = (sum(|block| block.rows)?, sum(|block| block.selected)?);
        let block_bytes = (rows / (blocks.len() as u64).max(1)).max(1).saturating_mul(width);
        // Texts are as long as they are: what the source knows of it counts, where it is more.
        let bytes = (0..blocks.len()).map(|block| source.bytes(block, &columns));
        let bytes = bytes.fold(0, u64::saturating_add).div_ceil(rows.max(1));
        let row_bytes = width.max(bytes);
        Ok(Self {
            id: identified(asked, source.as_ref()),
            layout: Arc::new(Layout::new(source.blocks(), row_bytes)),
            table,
            version: 0,
            tier: String::new(),
            schema,
            columns,
            source,
            set: None,
            blocks: Arc::new(blocks),
            window_blocks: (WINDOW_BYTES / block_bytes.max(1)).clamp(1, WINDOW_BLOCKS),
            row_bytes,
            selected,
        })
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        self.id
    }

    pub(crate) fn table(&self) -> &TableRef {
        &self.table
    }

    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// Why whoever may have it may: the tier of the dataset.
    pub(crate) fn tier(&self) -> &str {
        &self.tier
    }

    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn window_blocks(&self) -> u64 {
        self.window_blocks
    }

    /// What its blocks are prepared as: the content of the table, its columns and how they are decoded.
    /// Filters are not part of it, nor is who asks: blocks stand below both.
    fn set(&self, grant: &Grant) -> Result<Set, QueryError> {
        let identity = self.source.identity().to_hex();
        let content = (
            ("tarn prepared blocks 1", env!("CARGO_PKG_VERSION")),
            (&grant.dataset.lab, &grant.dataset.name, grant.dataset.version),
            &grant.entry,
            &self.columns,
            (identity.as_str(), self.source.blocks()),
        );
        let text = serde_json::to_vec(&content)
            .map_err(|error| QueryError::Internal(format!("blocks cannot be named: {error}")))?;
        Ok(Set(blake3::hash(&text)))
    }

    /// The columns of the table; a stream may have more, see [`super::tail::Shape`].
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub(crate) fn selected(&self) -> u64 {
        self.selected
    }

    /// Bytes that keeping the plan takes.
    pub(crate) fn memory(&self) -> usize {
        let masks = self.blocks.iter().filter_map(|block| block.mask.as_ref());
        let masks: usize = masks.map(|mask| mask.len() / 8).sum();
        masks.saturating_add(self.blocks.len().saturating_mul(size_of::<Block>()))
    }

    /// About how many bytes a row takes.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.row_bytes
    }

    /// Where a client of this machine may map the blocks, if every row of every one is part of the stream and all of
    /// them are prepared.
    pub(crate) async fn mapped(&self, shared: &Blocks) -> Option<Files> {
        let whole = |block: &Block| block.mask.is_none() && block.selected == block.rows;
        let (prepared, set) = shared.prepared().zip(self.set)?;
        if !self.blocks.iter().all(whole) {
            return None;
        }
        let mut blocks: Vec<(u64, u64)> = Vec::new();
        for block in self.blocks.iter() {
            match blocks.last_mut() {
                Some((count, same)) if *same == block.rows => *count += 1,
                _ => blocks.push((1, block.rows)),
            }
        }
        let (prepared, schema) = (Arc::clone(prepared), Arc::clone(&self.schema));
        let layout = Arc::clone(&self.layout);
        let work = move || Ok(prepared.whole(set, &layout, &schema));
        let folder = blocking(work).await.ok()??;
        Some(Files { folder, blocks, pack: self.layout.per_pack() })
    }

    /// The order by a key, or that of the table.
    pub(crate) fn order(&self, key: Option<u64>) -> Arc<Order> {
        let window = usize::try_from(self.window_blocks).unwrap_or(usize::MAX);
        Arc::new(Order::new(Arc::clone(&self.blocks), window, key))
    }

    /// A block, and how many rows it has.
    pub(crate) async fn block(
        &self,
        shared: &Blocks,
        block: usize,
    ) -> Result<(u64, Found), QueryError> {
        let rows = self.blocks.get(block).map_or(0, |block| block.rows);
        let (layout, schema) = (&self.layout, &self.schema);
        let wanted = Wanted { plan: self.id, set: self.set, layout, block, schema };
        if let Some(found) = shared.find(wanted).await? {
            return Ok((rows, found));
        }
        // Whoever decodes a block decodes it for all who want it, and those that come with it.
        let together = self.source.together(block);
        let _alone = shared.alone((self.id, together.start)).await;
        if let Some(found) = shared.find(wanted).await? {
            return Ok((rows, found));
        }
        let bytes = together.clone().map(|block| self.source.bytes(block, &self.columns));
        let turn = shared.turn(bytes.fold(0, u64::saturating_add)).await;
        let lost = || QueryError::Internal(format!("block {block} was not read"));
        let mut found = Vec::with_capacity(together.len());
        for (number, batch) in
            together.clone().zip(self.source.read(together, &self.columns).await?)
        {
            let batch = batch
                .with_schema(Arc::clone(&self.schema))
                .map_err(|error| QueryError::Internal(format!("block {number}: {error}")))?;
            found.push((number, batch));
        }
        let own = found.iter().find(|(number, _)| *number == block).map(|(_, batch)| batch.clone());
        shared.keep(wanted, found, turn).await;
        Ok((rows, Found::Decoded(own.ok_or_else(lost)?)))
    }
}

/// The id of a plan of this source.
fn identified(asked: [u8; 32], source: &dyn Source) -> [u8; 32] {
    let mut id = blake3::Hasher::new();
    id.update(&asked).update(source.identity().as_bytes());
    for rows in source.blocks() {
        id.update(&rows.to_le_bytes());
    }
    *id.finalize().as_bytes()
}

/// The columns asked for, by their index.
fn choose(
    schema: &Schema,
    names: Option<&[String]>,
    table: &TableRef,
) -> Result<Vec<usize>, QueryError> {
    let Some(names) = names else { return Ok((0..schema.fields().len()).collect()) };
    let mut columns: Vec<usize> = Vec::with_capacity(names.len());
    for name in names {
        let column = schema.index_of(name).map_err(|_| {
            let known: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            QueryError::Invalid(format!(
                "table {table} has no column {name:?}; it has {}",
                known.join(", ")
            ))
        })?;
        if columns.contains(&column) {
            return Err(QueryError::Invalid(format!("column {name:?} is asked for twice")));
        }
        columns.push(column);
    }
    Ok(columns)
}
