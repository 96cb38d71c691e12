//! One query, from the moment it is asked until its last row is read.

use super::limits::Effective;
use super::stop::Stop;
use crate::engine::answer::{read, sum};
use crate::engine::estimate::Estimate;
use crate::error::QueryError;
use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tarn_schemas::Principal;
use tarn_schemas::code::{Coded, ErrorCode};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A query that is stopped when nobody waits for it any more.
#[derive(Debug)]
pub(crate) struct Awaited(Option<Query>);

impl Awaited {
    pub(crate) fn new(query: &Query) -> Self {
        Self(Some(query.clone()))
    }

    /// The query.
    pub(crate) fn query(&self) -> Option<&Query> {
        self.0.as_ref()
    }

    /// The query, which is somebody else's to wait for from now on.
    pub(crate) fn over(mut self) -> Option<Query> {
        self.0.take()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(query) = self.0.take() {
            query.stop(Stop::Abandoned);
        }
    }
}

/// Where a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It waits for its turn.
    Waiting,
    /// It is being planned.
    Planning,
    /// It is planned, and nobody has asked for its rows yet.
    Planned,
    /// It runs.
    Running,
    /// All of its rows were made.
    Done,
    /// It was stopped.
    Stopped(Stop),
    /// It failed.
    Failed(ErrorCode),
}

impl State {
    /// As clients read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Planning => "planning",
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped(Stop::Cancelled | Stop::Abandoned) => "cancelled",
            Self::Stopped(_) | Self::Failed(_) => "failed",
        }
    }

    /// Whether it will not change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Stopped(_) | Self::Failed(_))
    }

    /// Why it did not reach its end.
    pub fn code(self) -> Option<ErrorCode> {
        match self {
            Self::Stopped(stop) => Some(stop.code()),
            Self::Failed(code) => Some(code),
            _ => None,
        }
    }
}

/// How far a query is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub state: State,
    /// When it was asked.
    pub began: DateTime<Utc>,
    /// Time since then, until it ended.
    pub elapsed: Duration,
    /// Rows of the answer that were made.
    pub rows: u64,
    /// Bytes of these rows.
    pub bytes: u64,
    /// Rows read from tables of this lab.
    pub scanned_rows: u64,
    /// Bytes read from tables of this lab, as Arrow columns.
    pub scanned_bytes: u64,
    /// What it reads at most, once it runs.
    pub estimate: Option<Estimate>,
    /// Why it was stopped or failed, where that may be told.
    pub problem: Option<String>,
}

/// A query. Clones are the same one.
#[derive(Clone)]
pub struct Query {
    inner: Arc<Inner>,
}

struct Inner {
    id: Uuid,
    who: Principal,
    began: DateTime<Utc>,
    at: Instant,
    bounds: Effective,
    token: CancellationToken,
    why: OnceLock<Stop>,
    /// Read in the innermost loops, where the token's lock would be in the way.
    stopped: AtomicBool,
    rows: AtomicU64,
    bytes: AtomicU64,
    stage: Mutex<Stage>,
}

/// What changes as a query goes on.
struct Stage {
    state: State,
    /// When it has to be done with this stage, and why it is stopped then.
    until: Option<(Instant, Stop)>,
    /// What runs; given up at the end, for it may hold memory.
    plans: Vec<Arc<dyn ExecutionPlan>>,
    scanned: (u64, u64),
    estimate: Option<Estimate>,
    ended: Option<Instant>,
    /// Why it failed, where that may be told.
    problem: Option<String>,
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl Query {
    pub(in crate::engine) fn new(who: Principal, bounds: Effective, id: Uuid) -> Self {
        let stage = Stage {
            state: State::Waiting,
            until: None,
            plans: Vec::new(),
            scanned: (0, 0),
            estimate: None,
            ended: None,
            problem: None,
        };
        Self {
            inner: Arc::new(Inner {
                id,
                who,
                began: Utc::now(),
                at: Instant::now(),
                bounds,
                token: CancellationToken::new(),
                why: OnceLock::new(),
                stopped: AtomicBool::new(false),
                rows: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
                stage: Mutex::new(stage),
            }),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.inner.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its id; whoever asked may have chosen it.
    pub fn id(&self) -> Uuid {
        self.inner.id
    }

    /// Who asked.
    pub fn principal(&self) -> &Principal {
        &self.inner.who
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let (scanned_rows, scanned_bytes) = self.scanned();
        let stage = self.stage();
        let until = stage.ended.unwrap_or_else(Instant::now);
        Progress {
            state: stage.state,
            began: self.inner.began,
            elapsed: until.saturating_duration_since(self.inner.at),
            rows: self.inner.rows.load(Ordering::Relaxed),
            bytes: self.inner.bytes.load(Ordering::Relaxed),
            scanned_rows,
            scanned_bytes,
            estimate: stage.estimate,
            problem: stage.problem.clone(),
        }
    }

    /// Rows and bytes that its scans have read so far.
    fn scanned(&self) -> (u64, u64) {
        // Plans are walked without the lock: metrics have locks of their own.
        let (plans, scanned) = {
            let stage = self.stage();
            (stage.plans.clone(), stage.scanned)
        };
        if plans.is_empty() { scanned } else { sum(plans.iter().map(read)) }
    }

    /// Stops it, whatever it does. The first reason counts.
    pub fn stop(&self, why: Stop) {
        if self.stage().state.is_final() {
            return;
        }
        let _ = self.inner.why.set(why);
        self.inner.stopped.store(true, Ordering::Release);
        self.inner.token.cancel();
        let why = self.stopped().unwrap_or(why);
        self.end(State::Stopped(why), Some(why.to_string()));
    }

    /// Why it was stopped, if it was.
    pub fn stopped(&self) -> Option<Stop> {
        if self.inner.stopped.load(Ordering::Acquire) {
            self.inner.why.get().copied()
        } else {
            None
        }
    }

    /// An error if it was stopped. Cheap enough for every batch.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        self.stopped().map_or(Ok(()), |why| Err(QueryError::Stopped(why)))
    }

    /// Work of this query, given up when it is stopped.
    pub(crate) async fn work<T>(
        &self,
        work: impl Future<Output = Result<T, QueryError>>,
    ) -> Result<T, QueryError> {
        let done = tokio::select! {
            biased;
            () = self.inner.token.cancelled() => Err(QueryError::Stopped(self.why())),
            done = work => done,
        };
        if let Err(error) = &done {
            self.fail(error);
        }
        done
    }

    /// Resolves when it is stopped.
    pub(crate) async fn cancelled(&self) -> Stop {
        self.inner.token.cancelled().await;
        self.why()
    }

    fn why(&self) -> Stop {
        self.inner.why.get().copied().unwrap_or(Stop::Cancelled)
    }

    /// It waits for its turn.
    pub(crate) fn wait(&self) {
        self.enter(State::Waiting, None);
    }

    /// It is being planned from now on.
    pub(crate) fn plan(&self) {
        let until = self.inner.bounds.plan_time.map(|time| (time, planning(time)));
        self.enter(State::Planning, until);
    }

    /// It is planned.
    pub(crate) fn planned(&self) {
        self.enter(State::Planned, None);
    }

    /// Lets it run if what it will read is within its limits.
    ///
    /// # Errors
    /// [`Stop::TooLarge`].
    pub(crate) fn admit(&self, estimate: Estimate) -> Result<(), QueryError> {
        self.stage().estimate = Some(estimate);
        match self.inner.bounds.scan_bytes {
            Some(limit) if estimate.certain && estimate.bytes > limit => {
                self.stop(Stop::TooLarge { bytes: estimate.bytes, limit });
                Err(QueryError::Stopped(self.why()))
            }
            _ => Ok(()),
        }
    }

    /// It runs from now on.
    pub(crate) fn run(&self, plans: Vec<Arc<dyn ExecutionPlan>>) {
        let seconds = |time: Duration| time.as_secs().max(1);
        let until =
            self.inner.bounds.run_time.map(|time| (time, Stop::Time { seconds: seconds(time) }));
        self.stage().plans = plans;
        self.enter(State::Running, until);
    }

    fn enter(&self, state: State, until: Option<(Duration, Stop)>) {
        let mut stage = self.stage();
        if !stage.state.is_final() {
            stage.state = state;
            stage.until = until
                .and_then(|(time, why)| Instant::now().checked_add(time).map(|until| (until, why)));
        }
    }

    /// Counts rows of the answer.
    ///
    /// # Errors
    /// [`Stop::Rows`] if there are too many by now.
    pub(crate) fn count(&self, batch: &RecordBatch) -> Result<(), QueryError> {
        let size = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        let more = size(batch.num_rows());
        let rows = self.inner.rows.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let bytes = crate::provider::arrow_bytes(batch);
        self.inner.bytes.fetch_add(size(bytes), Ordering::Relaxed);
        match self.inner.bounds.rows {
            Some(limit) if rows > limit => {
                self.stop(Stop::Rows { rows: limit });
                Err(QueryError::Stopped(self.why()))
            }
            _ => Ok(()),
        }
    }

    /// All of its rows were made.
    pub(crate) fn done(&self) {
        self.end(State::Done, None);
    }

    /// It failed, unless it was stopped.
    pub(crate) fn fail(&self, error: &QueryError) {
        // Of what may show where data lie, the log says more.
        let told = match error {
            QueryError::Internal(_)
            | QueryError::Catalog(_)
            | QueryError::Store(_)
            | QueryError::Format(_) => None,
            told => Some(told.to_string()),
        };
        self.end(State::Failed(error.code()), told);
    }

    fn end(&self, state: State, problem: Option<String>) {
        let scanned = self.scanned();
        let mut stage = self.stage();
        if !stage.state.is_final() {
            (stage.state, stage.scanned, stage.until) = (state, scanned, None);
            stage.problem = problem;
            (stage.plans, stage.ended) = (Vec::new(), Some(Instant::now()));
        }
    }

    /// Whether it has ended, and when.
    pub(super) fn ended(&self) -> Option<Instant> {
        self.stage().ended
    }

    /// Stops it if it is beyond its limits.
    pub(super) fn watch(&self, now: Instant) {
        let until = self.stage().until;
        if let Some((until, why)) = until
            && now >= until
        {
            return self.stop(why);
        }
        if let Some(limit) = self.inner.bounds.scan_bytes
            && self.scanned().1 > limit
        {
            self.stop(Stop::Scanned { bytes: limit });
        }
    }
}

fn planning(time: Duration) -> Stop {
    Stop::Planning { seconds: time.as_secs().max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::guards::{Bounds, Limits};

    fn query(bounds: Bounds) -> Query {
        let bounds = Limits::default().of(&Principal::Anonymous, bounds);
        Query::new(Principal::Anonymous, bounds, Uuid::new_v4())
    }

    #[tokio::test]
    async fn the_first_reason_counts_and_an_end_is_an_end() {
        let one = query(Bounds::default());
        one.stop(Stop::Cancelled);
        one.stop(Stop::Abandoned);
        assert_eq!(one.progress().state, State::Stopped(Stop::Cancelled));
        assert_eq!(one.cancelled().await, Stop::Cancelled);
        let given_up = one.work(std::future::pending::<Result<(), _>>()).await;
        assert!(matches!(given_up, Err(QueryError::Stopped(Stop::Cancelled))));
        let two = query(Bounds::default());
        two.done();
        two.stop(Stop::Cancelled);
        assert_eq!(two.progress().state, State::Done);
        assert!(two.check().is_ok());
    }

    #[test]
    fn time_and_rows_are_bounded() {
        let asked = Bounds { rows: Some(2), run_time: Some(Duration::ZERO) };
        let slow = query(asked);
        slow.watch(Instant::now());
        assert_eq!(slow.progress().state, State::Waiting, "waiting is bounded elsewhere");
        slow.run(vec![]);
        slow.watch(Instant::now());
        assert_eq!(slow.progress().state, State::Stopped(Stop::Time { seconds: 1 }));
        let long = query(asked);
        let rows = |n| {
            let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(n));
            let schema = Arc::new(arrow::datatypes::Schema::empty());
            RecordBatch::try_new_with_options(schema, vec![], &options).unwrap()
        };
        long.count(&rows(2)).unwrap();
        assert!(matches!(long.count(&rows(1)), Err(QueryError::Stopped(Stop::Rows { rows: 2 }))));
    }
}
