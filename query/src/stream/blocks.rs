//! Where streams find decoded blocks: mapped, in memory, or in the table itself.

use super::cache::BlockCache;
use super::gather::Pool;
use super::prepared::{Prepared, Set};
use crate::engine::EngineConfig;
use crate::error::QueryError;
use crate::provider::blocking;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// The blocks of a node, and the memory for batches of them.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    cache: Arc<BlockCache>,
    prepared: Option<Arc<Prepared>>,
    pool: Arc<Pool>,
    /// Turns for blocks that take much memory while they are decoded.
    turns: Arc<Semaphore>,
    /// Who decodes what now.
    decoding: Arc<Mutex<HashMap<([u8; 32], usize), Weak<AsyncMutex<()>>>>>,
}

/// Bytes beyond which a block waits for its turn.
const LARGE: u64 = 32 << 20;
/// Large blocks that are decoded at once, of all streams.
const TURNS: usize = 2;

/// A block of a plan.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) plan: [u8; 32],
    /// What it is prepared as; none for what never is.
    pub(crate) set: Option<Set>,
    pub(crate) block: usize,
    pub(crate) rows: u64,
    pub(crate) schema: &'a SchemaRef,
}

impl Blocks {
    /// Decoded blocks may take a quarter of the engine's memory, and batches on their way half of it.
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Self {
            cache: Arc::new(BlockCache::new(config.memory_bytes / 4)),
            prepared: config.prepared.clone().map(|config| Arc::new(Prepared::new(config))),
            pool: Pool::new(config.memory_bytes / 2),
            turns: Arc::new(Semaphore::new(TURNS)),
            decoding: Arc::default(),
        }
    }

    /// Waits until a block of about so many bytes may be decoded. Nothing is waited for while a turn is held but the
    /// decoding itself.
    pub(crate) async fn turn(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        if bytes <= LARGE {
            return None;
        }
        // Nobody closes it.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn prepared(&self) -> Option<&Arc<Prepared>> {
        self.prepared.as_ref()
    }

    /// A block, if it need not be decoded, and whether it is mapped.
    pub(crate) async fn find(
        &self,
        wanted: Wanted<'_>,
    ) -> Result<Option<(RecordBatch, bool)>, QueryError> {
        let Wanted { plan, set, block, rows, schema } = wanted;
        let prepared = self.prepared.as_ref().zip(set);
        if let Some((prepared, set)) = prepared
            && let Some(batch) = prepared.mapped(set, block)
        {
            return Ok(Some((batch, true)));
        }
        if let Some(batch) = self.cache.get((plan, block)) {
            // What was prepared may have been removed, or the disk was full then.
            self.prepare(wanted, &batch).await;
            return Ok(Some((batch, false)));
        }
        match prepared {
            Some((prepared, set)) if prepared.has(set, block) => {
                let (prepared, schema) = (Arc::clone(prepared), Arc::clone(schema));
                let found = blocking(move || Ok(prepared.map(set, block, &schema, rows))).await?;
                Ok(found.map(|batch| (batch, true)))
            }
            _ => Ok(None),
        }
    }

    /// Keeps blocks that were decoded together, of which one is wanted now: in memory until they are prepared. Where they
    /// are several, they are prepared after this returns, and the turn ends then.
    pub(crate) async fn keep(
        &self,
        wanted: Wanted<'_>,
        found: Vec<(usize, RecordBatch)>,
        turn: Option<OwnedSemaphorePermit>,
    ) {
        for (block, batch) in &found {
            self.cache.put((wanted.plan, *block), batch);
        }
        if let [(_, batch)] = found.as_slice() {
            self.prepare(wanted, batch).await;
            return;
        }
        let (own, schema) = (self.clone(), Arc::clone(wanted.schema));
        let Wanted { plan, set, .. } = wanted;
        tokio::spawn(async move {
            let _turn = turn;
            for (block, batch) in found {
                let rows = batch.num_rows() as u64;
                own.prepare(Wanted { plan, set, block, rows, schema: &schema }, &batch).await;
            }
        });
    }

    /// Waits until nobody else decodes what stands under this key.
    pub(crate) async fn alone(&self, key: ([u8; 32], usize)) -> OwnedMutexGuard<()> {
        let turn = {
            let mut decoding = self.decoding.lock().unwrap_or_else(PoisonError::into_inner);
            decoding.retain(|_, turn| turn.strong_count() > 0);
            let known = decoding.get(&key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let new = Arc::default();
                decoding.insert(key, Arc::downgrade(&new));
                new
            })
        };
        turn.lock_owned().await
    }

    /// Lets a block be prepared that is in memory, unless it is already.
    async fn prepare(&self, wanted: Wanted<'_>, batch: &RecordBatch) {
        let key = (wanted.plan, wanted.block);
        if let Some((prepared, set)) = self.prepared.as_ref().zip(wanted.set) {
            let cache = Arc::clone(&self.cache);
            prepared.keep(set, wanted.block, batch.clone(), move || cache.remove(key)).await;
        }
    }
}
