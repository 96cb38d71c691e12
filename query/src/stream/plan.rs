//! A stream's plan: what is pinned, of one table or of a mixture, and how a batch is gathered.

use super::alike;
use super::blocks::{Blocks, Found};
use super::gather::{self, Pieces};
use super::grant::Grant;
use super::mixture::{Mixing, Mixture};
use super::order::{Row, SHUFFLED, UNSHUFFLED, epoch_key};
use super::prepared::Mapped;
use super::request::StreamRequest;
use super::rows::Rows;
use super::table::{Files, READERS, TablePlan};
use crate::engine::Engine;
use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use futures::{StreamExt, stream};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most bytes of one batch.
const BATCH_BYTES: u64 = 256 << 20;

/// What `app_metadata` of a stream's `FlightInfo` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanInfo {
    /// Hash of everything that decides which rows come and in which order, apart from the epoch.
    pub plan_id: String,
    /// The table; of a mixture all of them, with commas.
    pub dataset: String,
    /// Version of each dataset: `lab.name` → version. Where a mixture has several of one, `lab.name@version`.
    pub versions: BTreeMap<String, u32>,
    /// Condition on the rows of one table.
    pub filter: Option<String>,
    /// Rows of the stream over all ranks: of a mixture those of this epoch, of a share the positions of the mixture.
    pub selected: u64,
    /// Steps of this rank from `start` on.
    pub steps: u64,
    /// `fz1` (shuffled) or `table`.
    pub order: &'static str,
    /// Blocks of a window of the order; of a mixture the most of any table.
    pub window_blocks: u64,
    /// Why the stream is allowed: the tier of the dataset, of a mixture those of all.
    pub policy: String,
}

/// A pinned selection of rows.
#[derive(Debug)]
pub(crate) struct Plan {
    id: [u8; 32],
    /// What it was asked for by: the same for the same request, as long as the catalog says the same of the tables.
    asked: [u8; 32],
    content: Content,
    schema: SchemaRef,
}

#[derive(Debug)]
enum Content {
    Table(Arc<TablePlan>),
    Mixture(Mixture),
}

/// What a request is asked for by.
pub(crate) fn asked(grants: &[Grant], request: &StreamRequest) -> Result<[u8; 32], QueryError> {
    let tables = request.tables();
    let asked = grants.iter().zip(&tables).map(|(grant, table)| grant.asked(table));
    mixed(&asked.collect::<Result<Vec<_>, _>>()?, Mixing::of(request).as_ref())
}

/// What stands for several, mixed in a way; one alone stands for itself.
fn mixed(ids: &[[u8; 32]], mixing: Option<&Mixing>) -> Result<[u8; 32], QueryError> {
    match (ids, mixing) {
        ([id], None) => Ok(*id),
        _ => {
            let text =
                serde_json::to_vec(&("tarn stream mixture 1", ids, mixing)).map_err(|error| {
                    QueryError::Internal(format!("the plan cannot be named: {error}"))
                })?;
            Ok(*blake3::hash(&text).as_bytes())
        }
    }
}

impl Plan {
    /// Opens the tables, chooses the columns and finds the rows that the filters leave.
    pub(crate) async fn make(
        engine: &Engine,
        grants: &[Grant],
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let mut tables = Vec::with_capacity(grants.len());
        for (place, (grant, table)) in grants.iter().zip(request.tables()).enumerate() {
            let plan = TablePlan::make(engine, grant, &table).await;
            tables.push(Arc::new(plan.map_err(|error| request.of_source(place, error))?));
        }
        Self::over(asked(grants, request)?, tables, request)
    }

    /// The plan of tables that were planned.
    pub(crate) fn over(
        asked: [u8; 32],
        tables: Vec<Arc<TablePlan>>,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let mixing = Mixing::of(request);
        let schema = alike::schema(&tables)?;
        let ids: Vec<_> = tables.iter().map(|table| table.id()).collect();
        let id = mixed(&ids, mixing.as_ref())?;
        let content = match (mixing, tables.as_slice()) {
            (Some(mixing), _) => Content::Mixture(Mixture::new(mixing, tables)?),
            (None, [table]) => Content::Table(Arc::clone(table)),
            (None, _) => {
                return Err(QueryError::Internal("several tables are not mixed".to_owned()));
            }
        };
        Ok(Self { id, asked, content, schema })
    }

    fn tables(&self) -> &[Arc<TablePlan>] {
        match &self.content {
            Content::Table(table) => std::slice::from_ref(table),
            Content::Mixture(mixture) => mixture.tables(),
        }
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        self.id
    }

    /// What [`asked`] said when it was made.
    pub(crate) fn asked(&self) -> [u8; 32] {
        self.asked
    }

    /// A request of this plan with the tables and the versions spelled out, so that it means the same
    /// when a newer version appears.
    pub(crate) fn pin(&self, mut request: StreamRequest) -> StreamRequest {
        if let Some(sources) = &mut request.sources {
            for (source, table) in sources.iter_mut().zip(self.tables()) {
                source.dataset = table.table().to_string();
                source.version = Some(table.version());
            }
        } else if let [table] = self.tables() {
            request.dataset = table.table().to_string();
            request.version = Some(table.version());
        }
        request
    }

    /// The first eight bytes of the id, as in cursors.
    pub(crate) fn short_id(&self) -> u64 {
        self.id.first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
    }

    /// The columns of the tables; a stream may have more, see [`super::tail::Shape`].
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of an epoch over all ranks; of a share the positions of the mixture.
    pub(crate) fn selected(&self, request: &StreamRequest) -> u64 {
        match &self.content {
            Content::Table(table) => table.selected(),
            Content::Mixture(mixture) => mixture.end(request),
        }
    }

    /// Rows that make an epoch whole. Of a share they are fewer than its positions.
    pub(crate) fn whole(&self, request: &StreamRequest) -> u64 {
        match &self.content {
            Content::Table(table) => table.selected(),
            Content::Mixture(mixture) => mixture.whole(request),
        }
    }

    /// Bytes that keeping the plan takes.
    pub(crate) fn memory(&self) -> usize {
        self.tables().iter().map(|table| table.memory()).fold(0, usize::saturating_add)
    }

    /// About how many bytes a row takes.
    pub(crate) fn row_bytes(&self) -> u64 {
        self.tables().iter().map(|table| table.row_bytes()).max().unwrap_or(1)
    }

    /// Checks what of a request depends on the tables.
    pub(crate) fn admit(&self, request: &StreamRequest) -> Result<(), QueryError> {
        let selected = self.selected(request);
        if request.start > selected {
            return Err(QueryError::Invalid(format!(
                "stream: start is {} and the stream has {} rows",
                request.start, selected
            )));
        }
        if request.start == 0 && selected > 0 && request.steps(selected) == 0 {
            return Err(QueryError::Invalid(format!(
                "stream: {} rows are fewer than one step of {} rows (batch_size {} times world_size \
                 {}), and drop_last leaves out what does not fill a step: use a smaller batch_size{}",
                selected,
                request.global_batch(),
                request.batch_size,
                request.world_size,
                if request.world_size == 1 { ", or drop_last: false" } else { ", or tail: pad" }
            )));
        }
        let bytes = self.row_bytes().saturating_mul(u64::from(request.batch_size));
        if bytes > BATCH_BYTES {
            return Err(QueryError::ResourceExhausted(format!(
                "stream: a batch of {} rows takes about {} MB; the limit is {} MB: use a smaller \
                 batch_size or fewer columns",
                request.batch_size,
                bytes >> 20,
                BATCH_BYTES >> 20
            )));
        }
        Ok(())
    }

    /// What is said of the plan to the one who asked for it.
    pub(crate) fn describe(&self, request: &StreamRequest) -> PlanInfo {
        let selected = self.selected(request);
        let names: Vec<String> =
            self.tables().iter().map(|table| table.table().to_string()).collect();
        let tiers: BTreeSet<&str> = self.tables().iter().map(|table| table.tier()).collect();
        PlanInfo {
            plan_id: blake3::Hash::from(self.id).to_hex().to_string(),
            dataset: names.join(", "),
            versions: self.versions(),
            filter: request.filter.clone(),
            selected,
            steps: request.steps(selected),
            order: if request.shuffle { SHUFFLED } else { UNSHUFFLED },
            window_blocks: self
                .tables()
                .iter()
                .map(|table| table.window_blocks())
                .max()
                .unwrap_or(1),
            policy: tiers.into_iter().collect::<Vec<_>>().join(", "),
        }
    }

    fn versions(&self) -> BTreeMap<String, u32> {
        let mut found: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for table in self.tables() {
            let dataset = format!("{}.{}", table.table().lab, table.table().dataset);
            found.entry(dataset).or_default().insert(table.version());
        }
        let each = found.into_iter().flat_map(|(dataset, versions)| {
            let several = versions.len() > 1;
            versions.into_iter().map(move |version| {
                let name = if several { format!("{dataset}@{version}") } else { dataset.clone() };
                (name, version)
            })
        });
        each.collect()
    }

    /// Where a client of this machine may map the blocks: of one table alone.
    pub(crate) async fn mapped(&self, shared: &Blocks) -> Option<Files> {
        match &self.content {
            Content::Table(table) => table.mapped(shared).await,
            Content::Mixture(_) => None,
        }
    }

    /// The rows of an epoch from a position on.
    pub(crate) fn rows(&self, request: &StreamRequest, position: u64) -> Rows {
        match &self.content {
            Content::Table(table) => {
                let key = request.shuffle.then(|| epoch_key(request.seed, request.epoch));
                Rows::Table(table.order(key).walk(position))
            }
            Content::Mixture(mixture) => Rows::Mixture(Box::new(mixture.rows(request, position))),
        }
    }

    /// The rows as one batch, in the order given.
    pub(crate) async fn gather(
        &self,
        shared: &Blocks,
        rows: &[Row],
    ) -> Result<RecordBatch, QueryError> {
        let mut pieces = Pieces::new(rows);
        let mut found = stream::iter(pieces.blocks())
            .map(|block| async move { (block, self.block(shared, block).await) })
            .buffer_unordered(READERS);
        while let Some((number, block)) = found.next().await {
            let (rows, block) = block?;
            pieces.add(number, rows, block)?;
        }
        drop(found);
        let (batches, indices) = pieces.finish()?;
        let (schema, pool) = (Arc::clone(&self.schema), Arc::clone(shared.pool()));
        let work =
            tokio::task::spawn_blocking(move || gather::rows(&schema, &batches, &indices, &pool));
        match work.await {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(ArrowError::MemoryError(problem))) => {
                Err(QueryError::ResourceExhausted(problem))
            }
            Ok(Err(error)) => Err(QueryError::Internal(format!("gathering rows: {error}"))),
            Err(error) => Err(QueryError::Internal(format!("gathering rows: {error}"))),
        }
    }

    /// A block by its number among those of all tables, and how many rows it has.
    async fn block(&self, shared: &Blocks, block: usize) -> Result<(u64, Found), QueryError> {
        let none = || QueryError::Internal("a plan has no such block".to_owned());
        match &self.content {
            Content::Table(table) => table.block(shared, block).await,
            Content::Mixture(mixture) => {
                let (table, number) = mixture.block(block).ok_or_else(none)?;
                let (rows, found) = table.block(shared, number).await?;
                let found = match found {
                    Found::Decoded(batch) => Found::Decoded(alike::batch(batch, &self.schema)?),
                    Found::Mapped(Mapped { batch, first, pack }) => Found::Mapped(Mapped {
                        batch: alike::batch(batch, &self.schema)?,
                        first,
                        // The number of a block among those of all tables.
                        pack: pack.map(|pack| block.saturating_sub(number).saturating_add(pack)),
                    }),
                };
                Ok((rows, found))
            }
        }
    }
}

#[cfg(test)]
mod tests;
