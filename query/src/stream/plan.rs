//! A stream's plan: what is pinned, which rows belong to it, and how a batch is gathered.

use super::blocks::{Blocks, Wanted};
use super::filter::Filter;
use super::gather::{self, Pieces};
use super::order::{Block, Order, Row, SHUFFLED, UNSHUFFLED};
use super::prepared::Set;
use super::request::StreamRequest;
use super::source::{self, Source};
use crate::engine::{Engine, Veil};
use crate::error::QueryError;
use crate::provider::blocking;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::execution::SessionState;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tarn_catalog::{Action, Catalog, Dataset, Door, TableEntry};
use tarn_schemas::{DatasetRef, LabName, Principal, TableName, TableRef};

/// Bytes of decoded columns that a window of the shuffled order spans. It is a constant of the order
/// "fz1" and no setting: the order must not depend on the machine.
const WINDOW_BYTES: u64 = 256 << 20;
/// Most blocks of a window.
const WINDOW_BLOCKS: u64 = 4096;
/// Most bytes of one batch.
const BATCH_BYTES: u64 = 256 << 20;
/// Blocks that are read at the same time.
const READERS: usize = 4;

/// What `app_metadata` of a stream's `FlightInfo` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanInfo {
    /// Hash of everything that decides which rows come and in which order, apart from the epoch.
    pub plan_id: String,
    /// The table.
    pub dataset: String,
    /// Version of each dataset: `lab.name` → version.
    pub versions: BTreeMap<String, u32>,
    /// Condition on the rows.
    pub filter: Option<String>,
    /// Rows of the stream over all ranks.
    pub selected: u64,
    /// Steps of this rank from `start` on.
    pub steps: u64,
    /// `fz1` (shuffled) or `table`.
    pub order: &'static str,
    /// Blocks of a window of the order.
    pub window_blocks: u64,
    /// Why the stream is allowed: the tier of the dataset.
    pub policy: String,
}

/// A pinned selection of rows of one table.
#[derive(Debug)]
pub(crate) struct Plan {
    id: [u8; 32],
    /// What it was asked for by: the same for the same request, as long as the catalog says the same of the table.
    asked: [u8; 32],
    /// The request with the table and the version spelled out.
    request: StreamRequest,
    table: TableRef,
    version: u32,
    tier: String,
    schema: SchemaRef,
    columns: Vec<usize>,
    source: Arc<dyn Source>,
    /// What its blocks are prepared as.
    set: Option<Set>,
    blocks: Arc<Vec<Block>>,
    window_blocks: u64,
    row_bytes: u64,
    selected: u64,
}

/// What the policy allowed: a table of a version of a dataset.
#[derive(Debug)]
pub(crate) struct Grant {
    dataset: Dataset,
    entry: TableEntry,
    /// The policies that decided.
    policies: Vec<String>,
}

impl Grant {
    /// Finds the table and asks the policy whether `who` may read it.
    pub(crate) async fn ask(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let found = Self::find(catalog, who, request).await?;
        let decision = catalog.admit(who, &found.dataset, Door::Stream).await?;
        match decision.refusal_at(Door::Stream) {
            None => Ok(Self { policies: decision.policies.into_iter().collect(), ..found }),
            Some(reason) => Err(QueryError::Denied(reason)),
        }
    }

    /// The policies that allowed it.
    pub(crate) fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Why the dataset was withdrawn, if it was.
    pub(crate) async fn withdrawal(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Option<String>, QueryError> {
        let (dataset, _) = resolve(catalog.lab(), request)?;
        let found = catalog.dataset(who, &dataset).await?;
        Ok(found.withdrawn.map(|withdrawal| withdrawal.reason))
    }

    /// Asks again while a stream runs. That it began is in the audit log; that it was ended will be.
    pub(crate) async fn ask_again(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<(), QueryError> {
        let found = Self::find(catalog, who, request).await?;
        let now = catalog.decide(who, Action::Read, &found.dataset).await?;
        if now.refusal_at(Door::Stream).is_some() {
            Self::ask(catalog, who, request).await?;
        }
        Ok(())
    }

    async fn find(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let (dataset, table) = resolve(catalog.lab(), request)?;
        let (dataset, entry) = if let Some(table) = table {
            catalog.table(who, &dataset, &table).await?
        } else {
            let found = catalog.dataset(who, &dataset).await?;
            let [entry] = found.tables.as_slice() else {
                let tables: Vec<_> = found.tables.iter().map(|entry| entry.name.as_str()).collect();
                return Err(QueryError::Invalid(format!(
                    "dataset {}.{} has {} tables ({}); name one: {}.{}.TABLE",
                    found.lab,
                    found.name,
                    tables.len(),
                    tables.join(", "),
                    found.lab,
                    found.name
                )));
            };
            let entry = entry.clone();
            (found, entry)
        };
        Ok(Self { dataset, entry, policies: Vec::new() })
    }

    /// What decides the rows and their order, as far as it is known before the table is opened.
    pub(crate) fn asked(&self, request: &StreamRequest) -> Result<[u8; 32], QueryError> {
        let pinned = (
            "tarn stream plan 3",
            (&self.dataset.lab, &self.dataset.name, self.dataset.version),
            &self.entry,
            (&request.columns, &request.filter, &request.split),
            (request.shuffle, request.seed, WINDOW_BYTES, WINDOW_BLOCKS),
        );
        let text = serde_json::to_vec(&pinned)
            .map_err(|error| QueryError::Internal(format!("the plan cannot be named: {error}")))?;
        Ok(*blake3::hash(&text).as_bytes())
    }

    /// What the blocks of a plan are prepared as: the content of the table, its columns and how they are decoded.
    /// Filters are not part of it, nor is who asks: blocks stand below both.
    fn set(&self, plan: &Plan) -> Result<Set, QueryError> {
        let identity = plan.source.identity().to_hex();
        let content = (
            ("tarn prepared blocks 1", env!("CARGO_PKG_VERSION")),
            (&self.dataset.lab, &self.dataset.name, self.dataset.version),
            &self.entry,
            &plan.columns,
            (identity.as_str(), plan.source.blocks()),
        );
        let text = serde_json::to_vec(&content)
            .map_err(|error| QueryError::Internal(format!("blocks cannot be named: {error}")))?;
        Ok(Set(blake3::hash(&text)))
    }
}

/// The dataset and, where it is named, the table that a request means.
fn resolve(
    own: &LabName,
    request: &StreamRequest,
) -> Result<(DatasetRef, Option<TableName>), QueryError> {
    let wrong = |error: tarn_schemas::NameError| QueryError::Invalid(error.to_string());
    let parts: Vec<&str> = request.dataset.split('.').collect();
    let (lab, dataset, table) = match parts.as_slice() {
        [dataset] => (None, *dataset, None),
        [lab, dataset] if *lab == own.as_str() => (None, *dataset, None),
        [dataset, table] => (None, *dataset, Some(*table)),
        [lab, dataset, table] => (Some(*lab), *dataset, Some(*table)),
        _ => {
            return Err(QueryError::Invalid(format!(
                "stream: {:?} is no table; write lab.dataset.table",
                request.dataset
            )));
        }
    };
    if let Some(lab) = lab.filter(|lab| *lab != own.as_str()) {
        let lab = LabName::new(lab).map_err(wrong)?;
        return Err(QueryError::Invalid(format!(
            "stream: this is the node of lab {own}; open a stream of {} at the node of lab {lab}",
            request.dataset
        )));
    }
    let named: DatasetRef = dataset.parse().map_err(wrong)?;
    let table = table.map(TableName::new).transpose().map_err(wrong)?;
    let version = match (named.version, request.version) {
        (Some(one), Some(other)) if one != other => {
            return Err(QueryError::Invalid(format!(
                "stream: the name says version {one} and `version` is {other}; give one of them"
            )));
        }
        (one, other) => one.or(other),
    };
    Ok((DatasetRef { lab: Some(own.clone()), name: named.name, version }, table))
}

impl Plan {
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
        plan.request = plan.pin(request.clone());
        plan.set = Some(grant.set(&plan)?);
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
                let masks = begins.into_iter().map(|block| {
                    let (source, filter) = (Arc::clone(&source), Arc::clone(&filter));
                    async move {
                        let batches = source.read(source.together(block), filter.columns()).await?;
                        let masks = batches.iter().map(|batch| filter.rows(batch));
                        masks.map(|mask| mask.map(Block::masked)).collect::<Result<Vec<_>, _>>()
                    }
                });
                let masks: Vec<Vec<Block>> =
                    stream::iter(masks).buffered(READERS).try_collect().await?;
                masks.into_iter().flatten().collect()
            }
        };
        let blocks = match &request.split {
            None => blocks,
            Some(split) => split.of(&table.to_string(), blocks),
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
        Ok(Self {
            id: identified(asked, source.as_ref()),
            asked,
            request: request.clone(),
            table,
            version: 0,
            tier: String::new(),
            schema,
            columns,
            source,
            set: None,
            blocks: Arc::new(blocks),
            window_blocks: (WINDOW_BYTES / block_bytes.max(1)).clamp(1, WINDOW_BLOCKS),
            row_bytes: width.max(bytes),
            selected,
        })
    }

    pub(crate) fn id(&self) -> [u8; 32] {
        self.id
    }

    /// What [`Grant::asked`] said when it was made.
    pub(crate) fn asked(&self) -> [u8; 32] {
        self.asked
    }

    /// A request of this plan with the table and the version spelled out, so that it means the same
    /// when a newer version appears.
    pub(crate) fn pin(&self, request: StreamRequest) -> StreamRequest {
        StreamRequest { dataset: self.table.to_string(), version: Some(self.version), ..request }
    }

    /// The first eight bytes of the id, as in cursors.
    pub(crate) fn short_id(&self) -> u64 {
        self.id.first_chunk().map_or(0, |head| u64::from_le_bytes(*head))
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

    /// Checks what of a request depends on the table.
    pub(crate) fn admit(&self, request: &StreamRequest) -> Result<(), QueryError> {
        if request.start > self.selected {
            return Err(QueryError::Invalid(format!(
                "stream: start is {} and the stream has {} rows",
                request.start, self.selected
            )));
        }
        if request.start == 0 && self.selected > 0 && request.steps(self.selected) == 0 {
            return Err(QueryError::Invalid(format!(
                "stream: {} rows are fewer than one step of {} rows (batch_size {} times world_size \
                 {}), and drop_last leaves out what does not fill a step: use a smaller batch_size{}",
                self.selected,
                request.global_batch(),
                request.batch_size,
                request.world_size,
                if request.world_size == 1 { ", or drop_last: false" } else { ", or tail: pad" }
            )));
        }
        let bytes = self.row_bytes.saturating_mul(u64::from(request.batch_size));
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
        let dataset = format!("{}.{}", self.table.lab, self.table.dataset);
        PlanInfo {
            plan_id: blake3::Hash::from(self.id).to_hex().to_string(),
            dataset: self.table.to_string(),
            versions: BTreeMap::from([(dataset, self.version)]),
            filter: self.request.filter.clone(),
            selected: self.selected,
            steps: request.steps(self.selected),
            order: if request.shuffle { SHUFFLED } else { UNSHUFFLED },
            window_blocks: self.window_blocks,
            policy: self.tier.clone(),
        }
    }

    /// Where a client of this machine may map the blocks, if every row of every one is part of the stream and all of
    /// them are prepared, and the rows of each: `(blocks, rows)` for blocks that follow each other.
    pub(crate) async fn mapped(&self, shared: &Blocks) -> Option<(PathBuf, Vec<(u64, u64)>)> {
        let whole = |block: &Block| block.mask.is_none() && block.selected == block.rows;
        let (prepared, set) = shared.prepared().zip(self.set)?;
        if !self.blocks.iter().all(whole) {
            return None;
        }
        let (prepared, schema) = (Arc::clone(prepared), Arc::clone(&self.schema));
        let rows: Vec<u64> = self.blocks.iter().map(|block| block.rows).collect();
        let mut alike: Vec<(u64, u64)> = Vec::new();
        for rows in &rows {
            match alike.last_mut() {
                Some((count, same)) if same == rows => *count += 1,
                _ => alike.push((1, *rows)),
            }
        }
        let folder = blocking(move || Ok(prepared.whole(set, &schema, &rows))).await.ok()??;
        Some((folder, alike))
    }

    /// The order of an epoch.
    pub(crate) fn order(&self, request: &StreamRequest) -> Arc<Order> {
        let shuffle = request.shuffle.then_some((request.seed, request.epoch));
        let window = usize::try_from(self.window_blocks).unwrap_or(usize::MAX);
        Arc::new(Order::new(Arc::clone(&self.blocks), window, shuffle))
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
        while let Some((block, (batch, mapped))) = found
            .next()
            .await
            .map(|(block, found)| found.map(|found| (block, found)))
            .transpose()?
        {
            pieces.add(block, batch, mapped)?;
        }
        drop(found);
        let (batches, indices) = pieces.finish()?;
        let (schema, pool) = (Arc::clone(&self.schema), Arc::clone(shared.pool()));
        let work =
            tokio::task::spawn_blocking(move || gather::rows(&schema, &batches, &indices, &pool));
        match work.await {
            Ok(Ok(batch)) => Ok(batch),
            Ok(Err(error)) => Err(QueryError::Internal(format!("gathering rows: {error}"))),
            Err(error) => Err(QueryError::Internal(format!("gathering rows: {error}"))),
        }
    }

    /// A block, and whether it is mapped.
    async fn block(
        &self,
        shared: &Blocks,
        block: usize,
    ) -> Result<(RecordBatch, bool), QueryError> {
        let rows = self.blocks.get(block).map_or(0, |block| block.rows);
        let wanted = Wanted { plan: self.id, set: self.set, block, rows, schema: &self.schema };
        if let Some(found) = shared.find(wanted).await? {
            return Ok(found);
        }
        // Whoever decodes a block decodes it for all who want it, and those that come with it.
        let together = self.source.together(block);
        let _alone = shared.alone((self.id, together.start)).await;
        if let Some(found) = shared.find(wanted).await? {
            return Ok(found);
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
        Ok((own.ok_or_else(lost)?, false))
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

#[cfg(test)]
mod tests;
