//! Opening streams, and the plans that are kept between the calls of a client.

use super::blocks::Blocks;
use super::fault::StreamFault;
use super::grant::Grant;
use super::order::Row;
use super::plan::{self, Plan, PlanInfo};
use super::request::{StreamRequest, Tail};
use super::rows::Rows;
use super::table::Files;
use super::tail::Shape;
use crate::engine::Engine;
use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tarn_catalog::Catalog;
use tarn_schemas::Principal;
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::cursor::Cursor;

/// How long a plan is kept after it was last used.
const PLAN_LIFE: Duration = Duration::from_secs(3600);
/// Most plans that are kept.
const MOST_PLANS: usize = 256;
/// How long a running stream may go on before the policy is asked again.
const RECHECK: Duration = Duration::from_secs(1);
/// Batches that are gathered ahead of the reader, the one it waits for included.
const AHEAD: usize = 2;
/// Batches that are on their way to the reader besides.
const SENT: usize = 2;

/// The batches of one rank.
pub struct StreamAnswer {
    /// Exact schema of every batch; tensors are `arrow.fixed_shape_tensor`.
    pub schema: SchemaRef,
    /// Rows that will come; of a share the positions, most of which may be of other tables.
    pub total_records: u64,
    /// Batches that will come.
    pub steps: u64,
    /// What is pinned.
    pub plan: PlanInfo,
    /// Batches of exactly `batch_size` rows, each with the cursor after it. Only the last may be
    /// shorter, where `drop_last` is false.
    pub batches: BoxStream<'static, Result<(RecordBatch, Cursor), QueryError>>,
    /// What of the policies allowed it.
    pub(crate) policies: Vec<String>,
}

impl std::fmt::Debug for StreamAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamAnswer").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Plans and opens one stream under the policy of `who`.
///
/// # Errors
/// [`QueryError::Invalid`] for a request that does not fit the table, [`QueryError::NotFound`] and
/// [`QueryError::Denied`] as the policy says, [`QueryError::ResourceExhausted`] for batches that are
/// too large.
pub async fn open(
    engine: &Engine,
    who: &Principal,
    request: StreamRequest,
) -> Result<StreamAnswer, QueryError> {
    Streams::new(engine.clone()).open(who, request).await
}

/// The streams of one node: their plans and the decoded blocks they share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Streams {
    engine: Engine,
    blocks: Blocks,
    plans: Arc<Mutex<HashMap<(Principal, [u8; 32]), (Arc<Plan>, Instant)>>>,
}

impl Streams {
    /// No plans yet.
    pub fn new(engine: Engine) -> Self {
        let blocks = Blocks::new(engine.config());
        Self { engine, blocks, plans: Arc::default() }
    }

    fn catalog(&self) -> Result<&Catalog, QueryError> {
        self.engine.catalog().ok_or_else(|| {
            QueryError::Invalid("streams need a home with a catalog; run `tarn init`".to_owned())
        })
    }

    /// Plans and opens a stream.
    pub async fn open(
        &self,
        who: &Principal,
        request: StreamRequest,
    ) -> Result<StreamAnswer, QueryError> {
        let plan = self.plan(who, &request).await?;
        self.start(who, plan, request).await
    }

    /// Asks the policy, then makes the plan of a request or finds it.
    pub(crate) async fn plan(
        &self,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Arc<Plan>, QueryError> {
        request.check()?;
        let grants = Grant::of_all(self.catalog()?, who, request).await?;
        let asked = plan::asked(&grants, request)?;
        let plan = match self.kept(who, |plan| plan.asked() == asked) {
            Some(plan) => plan,
            None => Arc::new(Plan::make(&self.engine, &grants, request).await?),
        };
        plan.admit(request)?;
        self.keep(who, &plan);
        Ok(plan)
    }

    /// Where a client of this machine may map the blocks of a plan.
    pub(crate) async fn mapped(&self, plan: &Plan) -> Option<Files> {
        plan.mapped(&self.blocks).await
    }

    /// A plan that was made for this principal and is still kept.
    pub(crate) fn planned(&self, who: &Principal, id: [u8; 32]) -> Option<Arc<Plan>> {
        self.kept(who, |plan| plan.id() == id)
    }

    fn kept(&self, who: &Principal, is_it: impl Fn(&Plan) -> bool) -> Option<Arc<Plan>> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found =
            plans.iter_mut().filter(|((owner, _), (plan, _))| owner == who && is_it(plan));
        let (_, (plan, used)) = found.next()?;
        *used = Instant::now();
        Some(Arc::clone(plan))
    }

    fn keep(&self, who: &Principal, plan: &Arc<Plan>) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        plans.retain(|_, (_, used)| used.elapsed() < PLAN_LIFE);
        let capacity = self.engine.config().memory_bytes / 8;
        let mut bytes: usize = plans.values().map(|(plan, _)| plan.memory()).sum();
        while plans.len() >= MOST_PLANS || (bytes > capacity && !plans.is_empty()) {
            let oldest =
                plans.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            let gone = oldest.and_then(|key| plans.remove(&key));
            bytes = bytes.saturating_sub(gone.map_or(0, |(plan, _)| plan.memory()));
        }
        plans.insert((who.clone(), plan.id()), (Arc::clone(plan), Instant::now()));
    }

    /// Starts the stream of a plan. The policy is asked now and again while the stream runs.
    pub(crate) async fn start(
        &self,
        who: &Principal,
        plan: Arc<Plan>,
        request: StreamRequest,
    ) -> Result<StreamAnswer, QueryError> {
        let request = plan.pin(request);
        request.check()?;
        plan.admit(&request)?;
        let catalog = self.catalog()?.clone();
        let grants = Grant::of_all(&catalog, who, &request).await?;
        let policies: BTreeSet<&String> = grants.iter().flat_map(Grant::policies).collect();
        let policies = policies.into_iter().cloned().collect();
        let info = plan.describe(&request);
        let steps = Steps::new(&plan, &request);
        let guard = Arc::new(Guard {
            catalog,
            who: who.clone(),
            request: request.clone(),
            asked: Mutex::new(Instant::now()),
        });
        let shape = Shape::new(&plan, &request)?;
        let schema = Arc::clone(shape.schema());
        let bytes = plan.row_bytes().saturating_mul(u64::from(request.batch_size));
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(AHEAD + SENT);
        let promise = Arc::new(self.blocks.pool().promise(who, bytes)?);
        let (blocks, gathered) = (self.blocks.clone(), Arc::clone(&plan));
        let batches = stream::iter(steps)
            .map(move |(rows, cursor)| {
                let (blocks, plan) = (blocks.clone(), Arc::clone(&gathered));
                let (shape, promise) = (shape.clone(), Arc::clone(&promise));
                async move {
                    let batch = plan.gather(&blocks, &rows).await?;
                    drop(promise);
                    Ok((shape.batch(batch, cursor)?, cursor))
                }
            })
            .buffered(AHEAD)
            // What was gathered ahead is asked for again when it leaves.
            .and_then(move |batch| {
                let guard = Arc::clone(&guard);
                async move { guard.check().await.map(|()| batch) }
            })
            .boxed();
        Ok(StreamAnswer {
            schema,
            total_records: request.rows(plan.selected(&request)),
            steps: info.steps,
            plan: info,
            batches,
            policies,
        })
    }
}

/// Asks the policy again from time to time, so that a revoked right ends a running stream.
#[derive(Debug)]
struct Guard {
    catalog: Catalog,
    who: Principal,
    request: StreamRequest,
    asked: Mutex<Instant>,
}

impl Guard {
    async fn check(&self) -> Result<(), QueryError> {
        {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            if asked.elapsed() < RECHECK {
                return Ok(());
            }
            *asked = Instant::now();
        }
        self.catalog.check_current(&self.who).await?;
        for (place, table) in self.request.tables().iter().enumerate() {
            if let Err(ended) = Grant::ask_again(&self.catalog, &self.who, table).await {
                return Err(self.why(place, table, ended).await);
            }
        }
        Ok(())
    }

    /// The reason in words of streams: whoever was allowed to begin may know why they may not go on.
    async fn why(&self, place: usize, table: &StreamRequest, ended: QueryError) -> QueryError {
        let code = ended.code();
        if !matches!(code, ErrorCode::PermissionDenied | ErrorCode::NotFound) {
            return ended;
        }
        // Of a mixture it is said which source ends it.
        let of = |reason: String| match &self.request.sources {
            Some(_) => format!("sources[{place}] ({}): {reason}", table.dataset),
            None => reason,
        };
        if let Ok(Some(reason)) = Grant::withdrawal(&self.catalog, &self.who, table).await {
            return StreamFault::Retracted { reason: of(reason) }.into();
        }
        // What is hidden now is not told by name, but by the one that it was asked for by.
        let reason = match code {
            ErrorCode::NotFound => "the dataset is no longer shown to you".to_owned(),
            _ => ended.to_string(),
        };
        StreamFault::PolicyChanged { reason: of(reason) }.into()
    }
}

/// The rows of each step of one rank.
#[derive(Debug)]
struct Steps {
    rows: Rows,
    plan: u64,
    epoch: u32,
    batch: u32,
    others: u64,
    global: u64,
    start: u64,
    selected: u64,
    step: u64,
    steps: u64,
    /// Position of the first row of this rank in a step.
    before: u64,
    /// What fills the last step, where it shall be filled.
    filler: Option<Row>,
}

impl Steps {
    fn new(plan: &Plan, request: &StreamRequest) -> Self {
        let batch = u64::from(request.batch_size);
        let before = u64::from(request.rank) * batch;
        let selected = plan.selected(request);
        let last = selected.checked_sub(1).filter(|_| request.tail() == Tail::Pad);
        Self {
            before,
            filler: last.and_then(|last| plan.rows(request, last).read(last, 1).0.pop()),
            rows: plan.rows(request, request.start.saturating_add(before)),
            plan: plan.short_id(),
            epoch: request.epoch,
            batch: request.batch_size,
            others: request.global_batch() - batch,
            global: request.global_batch(),
            start: request.start,
            selected,
            step: 0,
            steps: request.steps(selected),
        }
    }
}

impl Iterator for Steps {
    type Item = (Vec<Row>, Cursor);

    fn next(&mut self) -> Option<Self::Item> {
        if self.step >= self.steps {
            return None;
        }
        let size = usize::try_from(self.batch).unwrap_or(usize::MAX);
        let begin = self.start + self.step * self.global;
        let (mut rows, hash) = self.rows.read(begin + self.before, self.batch);
        self.rows.advance(self.others);
        let counted = rows.len();
        if let Some(filler) = self.filler {
            rows.resize(size, filler);
        }
        let padded = rows.len() > counted;
        let position = begin + self.global;
        let cursor = Cursor {
            plan: self.plan,
            epoch: self.epoch,
            rows: u32::try_from(counted).unwrap_or(u32::MAX),
            step: self.step,
            next_position: position.min(self.selected),
            last: self.step + 1 == self.steps,
            heartbeat: false,
            padded,
            hash,
        };
        self.step += 1;
        Some((rows, cursor))
    }
}
