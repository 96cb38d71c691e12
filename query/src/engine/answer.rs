//! A planned statement, its running answer, and which labs took part.

use crate::engine::Veil;
use crate::engine::output::{conform, schema_of};
use crate::engine::workers::Workers;
use crate::error::QueryError;
use crate::provider::{DeltaScanExec, GridAggregateExec, GridScanExec};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use chrono::{SecondsFormat, Utc};
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt};
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
    schema: SchemaRef,
    task: Arc<TaskContext>,
    sites: Sites,
    /// The own lab, if its tables are read.
    lab: Option<LabName>,
    veil: Veil,
    /// Where it runs; without, with whoever asks.
    workers: Option<Arc<Workers>>,
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
        Self { plan, schema, task, sites, lab, veil: Veil::default(), workers: None }
    }

    /// With a veil before what its errors say.
    pub(super) fn behind(mut self, veil: Veil) -> Self {
        self.veil = veil;
        self
    }

    /// To run on these threads.
    pub(super) fn on(mut self, workers: &Arc<Workers>) -> Self {
        self.workers = Some(Arc::clone(workers));
        self
    }

    /// Schema of the answer: that of the logical plan, with views and encodings expanded
    /// (Utf8View → Utf8, dictionaries → their values) for old clients.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Starts it.
    pub async fn start(mut self) -> Result<Answer, QueryError> {
        let Some(workers) = self.workers.take() else { return self.begin() };
        // Some nodes start tasks as soon as they are executed, where that is.
        let mut answer = workers.run(async move { self.begin() }).await?;
        answer.stream = workers.drive(answer.stream)?;
        Ok(answer)
    }

    fn begin(self) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let as_of = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let inner = execute_stream(Arc::clone(&self.plan), self.task)
            .map_err(|error| self.veil.error(error.into()))?;
        let stream = Box::pin(AnswerStream {
            inner,
            schema: Arc::clone(&self.schema),
            own: self.lab.map(|lab| Own { lab, plan: self.plan, started, as_of }),
            sites: self.sites.clone(),
            veil: self.veil,
        });
        Ok(Answer { schema: self.schema, stream, sites: self.sites })
    }
}

/// What the report of the own lab is made of.
struct Own {
    lab: LabName,
    plan: Arc<dyn ExecutionPlan>,
    started: Instant,
    as_of: String,
}

impl Own {
    fn report(self) -> SiteReport {
        let (rows, bytes) = given(&self.plan);
        SiteReport {
            lab: self.lab,
            status: SiteStatus::Ok,
            rows,
            bytes,
            ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            as_of: Some(self.as_of),
            error: None,
        }
    }
}

/// Rows and Arrow bytes that the scans of own tables gave.
fn given(plan: &Arc<dyn ExecutionPlan>) -> (u64, u64) {
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
    plan.children().into_iter().map(given).fold((0, 0), |(rows, bytes), (more, larger)| {
        (rows.saturating_add(more), bytes.saturating_add(larger))
    })
}

/// Batches with the promised schema; at the end the own lab reports.
struct AnswerStream {
    inner: SendableRecordBatchStream,
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
