//! A planned statement, its running answer, and which labs took part.

use crate::engine::estimate::Estimate;
use crate::engine::guards::{Awaited, Held, Query, Slot};
use crate::engine::output::{conform, schema_of};
use crate::engine::{Engine, Veil};
use crate::error::QueryError;
use crate::provider::{DeltaScanExec, GridAggregateExec, GridScanExec};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use chrono::{SecondsFormat, Utc};
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use tarn_schemas::{LabName, SiteReport, SiteStatus};

/// The part each lab took in an answer. Complete when the stream has ended.
#[derive(Debug, Clone, Default)]
pub struct Sites(Arc<Mutex<Vec<SiteReport>>>);

impl Sites {
    /// Sets the report of a lab.
    pub fn put(&self, report: SiteReport) {
        let mut reports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match reports.iter_mut().find(|known| known.lab == report.lab) {
            Some(known) => *known = report,
            None => reports.push(report),
        }
    }

    /// All reports so far.
    pub fn reports(&self) -> Vec<SiteReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running query.
pub struct Answer {
    /// Schema of the logical plan, equal to that of every batch.
    pub schema: SchemaRef,
    /// Batches.
    pub stream: SendableRecordBatchStream,
    /// Which labs took part.
    pub sites: Sites,
    /// The query itself: its id, how far it is, and how to stop it.
    pub query: Option<Query>,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Answer {
    /// All batches.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.stream.next().await {
            batches.push(batch?);
        }
        Ok(batches)
    }
}

/// A planned statement.
#[derive(Debug)]
pub struct Prepared {
    plan: Arc<dyn ExecutionPlan>,
    /// What runs after it, with other values of its parameters.
    more: Vec<Arc<dyn ExecutionPlan>>,
    schema: SchemaRef,
    task: Arc<TaskContext>,
    sites: Sites,
    /// The own lab, if its tables are read.
    lab: Option<LabName>,
    veil: Veil,
    /// Where it runs, and as which query; without, with whoever asks.
    runs: Option<(Engine, Awaited)>,
    /// Its place among the queries that run.
    slot: Option<Slot>,
}

impl Prepared {
    /// A plan whose answer has the columns of `logical`.
    pub(super) fn new(
        plan: Arc<dyn ExecutionPlan>,
        logical: &Schema,
        task: Arc<TaskContext>,
        sites: Sites,
        lab: Option<LabName>,
    ) -> Self {
        let schema = schema_of(logical, &plan.schema());
        let (veil, more) = (Veil::default(), Vec::new());
        Self { plan, more, schema, task, sites, lab, veil, runs: None, slot: None }
    }

    /// With a veil before what its errors say.
    pub(super) fn behind(mut self, veil: Veil) -> Self {
        self.veil = veil;
        self
    }

    /// To run on the threads of an engine, as this query.
    pub(super) fn on(mut self, engine: &Engine, query: &Query) -> Self {
        self.runs = Some((engine.clone(), Awaited::new(query)));
        self
    }

    /// To be followed by the rows of these plans.
    pub(super) fn then(mut self, more: Vec<Arc<dyn ExecutionPlan>>) -> Self {
        self.more = more;
        self
    }

    /// To start without waiting for another turn; `None` gives the place back.
    pub(crate) fn holding(mut self, slot: Option<Slot>) -> Self {
        self.slot = slot;
        self
    }

    /// The query that it runs as.
    pub fn query(&self) -> Option<&Query> {
        self.runs.as_ref().and_then(|(_, awaited)| awaited.query())
    }

    /// Gives the plan up and keeps the query, to be planned again.
    pub(crate) fn again(self) -> Option<Query> {
        self.runs.and_then(|(_, awaited)| awaited.over())
    }

    /// What it reads at most, told before it runs.
    pub fn estimate(&self) -> Estimate {
        Estimate::of(std::iter::once(&self.plan).chain(&self.more))
    }

    /// Streams in which its rows are made, where their order says nothing; otherwise one.
    pub(crate) fn ways(&self) -> usize {
        let properties = self.plan.properties();
        if self.more.is_empty() && properties.output_ordering().is_none() {
            properties.output_partitioning().partition_count()
        } else {
            1
        }
    }

    /// Schema of the answer: that of the logical plan, with views and encodings expanded
    /// (Utf8View → Utf8, dictionaries → their values) for old clients.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Starts it, when it is its turn.
    pub async fn start(self) -> Result<Answer, QueryError> {
        Ok(self.start_held().await?.0)
    }

    /// The same, with its place among the queries that run, for who does not read on at once.
    pub(crate) async fn start_held(mut self) -> Result<(Answer, Option<Held>), QueryError> {
        let Some((engine, awaited)) = self.runs.take() else { return Ok((self.begin()?, None)) };
        let Some(query) = awaited.query().cloned() else { return Ok((self.begin()?, None)) };
        let slot = match self.slot.take() {
            Some(slot) => slot,
            None => engine.guards().turn(&query).await?,
        };
        query.admit(self.estimate())?;
        query.run(self.plans());
        // Some nodes start tasks as soon as they are executed, where that is.
        let begun = engine.workers().run(async move { self.begin() });
        let mut answer = query.work(begun).await?;
        let held = Held::new(slot);
        answer.stream = engine.workers().drive(answer.stream, query, held.clone())?;
        // The stream stops it from now on.
        answer.query = awaited.over();
        Ok((answer, Some(held)))
    }

    fn plans(&self) -> Vec<Arc<dyn ExecutionPlan>> {
        std::iter::once(&self.plan).chain(&self.more).cloned().collect()
    }

    fn begin(self) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let as_of = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let plans = self.plans();
        let first = execute_stream(self.plan, Arc::clone(&self.task))
            .map_err(|error| self.veil.error(error.into()))?;
        let task = self.task;
        // Each begins when the one before it has ended.
        let rest = stream::iter(self.more)
            .map(move |plan| execute_stream(plan, Arc::clone(&task)))
            .try_flatten();
        let stream = Box::pin(AnswerStream {
            inner: first.chain(rest).boxed(),
            schema: Arc::clone(&self.schema),
            own: self.lab.map(|lab| Own { lab, plans, started, as_of }),
            sites: self.sites.clone(),
            veil: self.veil,
        });
        Ok(Answer { schema: self.schema, stream, sites: self.sites, query: None })
    }
}

/// What the report of the own lab is made of.
struct Own {
    lab: LabName,
    plans: Vec<Arc<dyn ExecutionPlan>>,
    started: Instant,
    as_of: String,
}

impl Own {
    fn report(self) -> SiteReport {
        let (rows, bytes) = sum(self.plans.iter().map(given));
        SiteReport {
            lab: self.lab,
            status: SiteStatus::Ok,
            rows,
            bytes,
            ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            as_of: Some(self.as_of),
            state: None,
            age_seconds: None,
            error: None,
        }
    }
}

/// Rows and Arrow bytes that the scans of own tables gave.
pub(super) fn given(plan: &Arc<dyn ExecutionPlan>) -> (u64, u64) {
    let count = |value: Option<usize>| value.and_then(|v| u64::try_from(v).ok()).unwrap_or(0);
    if plan.downcast_ref::<GridScanExec>().is_some()
        || plan.downcast_ref::<GridAggregateExec>().is_some()
        || plan.downcast_ref::<DeltaScanExec>().is_some()
    {
        return plan.metrics().map_or((0, 0), |metrics| {
            let bytes = metrics.sum_by_name("arrow_bytes").map(|value| value.as_usize());
            (count(metrics.output_rows()), count(bytes))
        });
    }
    sum(plan.children().into_iter().map(given))
}

/// Rows and Arrow bytes that are read from own tables, also where an aggregate gives less.
pub(super) fn read(plan: &Arc<dyn ExecutionPlan>) -> (u64, u64) {
    if plan.downcast_ref::<GridAggregateExec>().is_none() {
        let children = plan.children();
        return if children.is_empty() || plan.downcast_ref::<DeltaScanExec>().is_some() {
            given(plan)
        } else {
            sum(children.into_iter().map(read))
        };
    }
    plan.metrics().map_or((0, 0), |metrics| {
        let count = |name| metrics.sum_by_name(name).map_or(0, |value| value.as_usize());
        let size = |name| u64::try_from(count(name)).unwrap_or(u64::MAX);
        (size("rows_read"), size("bytes_read"))
    })
}

/// Rows and bytes of several.
pub(super) fn sum(parts: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    parts.fold((0, 0), |(rows, bytes), (more, larger)| {
        (rows.saturating_add(more), bytes.saturating_add(larger))
    })
}

/// Batches with the promised schema; at the end the own lab reports.
struct AnswerStream {
    inner: BoxStream<'static, Result<RecordBatch, DataFusionError>>,
    schema: SchemaRef,
    own: Option<Own>,
    sites: Sites,
    veil: Veil,
}

impl Stream for AnswerStream {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = futures::ready!(self.inner.poll_next_unpin(context));
        if item.is_none()
            && let Some(own) = self.own.take()
        {
            self.sites.put(own.report());
        }
        let conformed =
            item.map(|batch| batch.and_then(|batch| Ok(conform(&batch, &self.schema)?)));
        let veiled = |error| DataFusionError::from(self.veil.error(QueryError::from(error)));
        Poll::Ready(conformed.map(|batch| batch.map_err(veiled)))
    }
}

impl RecordBatchStream for AnswerStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}
