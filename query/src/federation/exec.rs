//! Running a fragment: one stream of batches from its lab.

use super::align::{align, mismatch};
use super::error::{Failure, PeerError};
use super::lab::KnownLab;
use super::sites::{Meter, Tally};
use super::wire::Payload;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::decode::FlightRecordBatchStream;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt, stream};
use std::fmt;
use std::sync::Arc;
use tarn_schemas::PartialMode;

/// What all fragments of a session share.
#[derive(Debug, Clone)]
pub(crate) struct FragmentContext {
    /// What to do when a lab does not answer.
    pub(crate) partial: PartialMode,
    /// Where each lab's part is counted.
    pub(crate) tally: Tally,
}

/// Streams a fragment from its lab.
#[derive(Debug)]
pub(crate) struct PeerFragmentExec {
    known: Arc<KnownLab>,
    context: FragmentContext,
    payload: Payload,
    text: String,
    rows: Option<u64>,
    properties: Arc<PlanProperties>,
}

impl PeerFragmentExec {
    pub(crate) fn new(
        known: Arc<KnownLab>,
        context: FragmentContext,
        payload: Payload,
        text: String,
        schema: SchemaRef,
        rows: Option<u64>,
    ) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { known, context, payload, text, rows, properties }
    }
}

impl DisplayAs for PeerFragmentExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerFragmentExec lab={}: {}", self.known.lab(), self.text)
    }
}

impl ExecutionPlan for PeerFragmentExec {
    fn name(&self) -> &'static str {
        "PeerFragmentExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { exec_err!("a fragment of a peer has no inputs") }
    }

    fn partition_statistics(&self, _partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let Some(rows) = self.rows.and_then(|rows| usize::try_from(rows).ok()) {
            statistics.num_rows = Precision::Inexact(rows);
        }
        Ok(Arc::new(statistics))
    }

    fn execute(
        &self,
        partition: usize,
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition != 0 {
            return exec_err!("a fragment of a peer has one partition, not {partition}");
        }
        let schema = self.schema();
        let run = Run {
            known: Arc::clone(&self.known),
            partial: self.context.partial,
            payload: self.payload.clone(),
            schema: Arc::clone(&schema),
            meter: Meter::start(&self.context.tally, self.known.lab()),
        };
        let stream = stream::once(run.start()).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

/// One execution.
struct Run {
    known: Arc<KnownLab>,
    partial: PartialMode,
    payload: Payload,
    schema: SchemaRef,
    meter: Meter,
}

type Batches = stream::BoxStream<'static, Result<RecordBatch>>;

impl Run {
    /// Waits for the first batch. Up to here a lab that is away may be left out; after it, a failure
    /// fails the query, for some of its rows may already be in the answer.
    async fn start(mut self) -> Result<Batches> {
        match self.open().await {
            Ok((first, rest)) => Ok(self.stream(first, rest)),
            Err(error) => {
                self.meter.fail(&error);
                if self.partial == PartialMode::Allow && error.is_absence() {
                    tracing::warn!(lab = %error.lab, problem = error.problem, "a lab is left out");
                    return Ok(stream::empty().boxed());
                }
                if matches!(
                    error.failure,
                    Failure::NotFound | Failure::Rejected | Failure::Mismatch
                ) {
                    self.known.forget();
                }
                Err(error.into())
            }
        }
    }

    async fn open(
        &self,
    ) -> std::result::Result<(Option<RecordBatch>, FlightRecordBatchStream), PeerError> {
        let mut rest = self.known.connection().fragment(&self.payload).await?;
        let first = self.next(&mut rest).await?;
        Ok((first, rest))
    }

    async fn next(
        &self,
        stream: &mut FlightRecordBatchStream,
    ) -> std::result::Result<Option<RecordBatch>, PeerError> {
        let mismatched = |problem| PeerError::new(self.known.lab(), Failure::Mismatch, problem);
        let Some(batch) = stream.next().await else {
            // Without even a schema the stream was cut short.
            return match stream.schema() {
                Some(sent) => match mismatch(&self.schema, sent) {
                    None => Ok(None),
                    Some(problem) => Err(mismatched(problem)),
                },
                None => Err(PeerError::new(
                    self.known.lab(),
                    Failure::Unreachable,
                    "its answer ended before it began",
                )),
            };
        };
        let batch = batch.map_err(|error| self.known.connection().error_of_stream(&error))?;
        if let Some(problem) = mismatch(&self.schema, batch.schema_ref()) {
            return Err(mismatched(problem));
        }
        align(&batch, &self.schema).map(Some).map_err(|error| mismatched(error.to_string()))
    }

    fn stream(self, first: Option<RecordBatch>, rest: FlightRecordBatchStream) -> Batches {
        let Some(first) = first else { return stream::empty().boxed() };
        let state = Some((self, Some(first), rest));
        stream::try_unfold(state, |state| async move {
            let Some((mut run, first, mut rest)) = state else { return Ok(None) };
            let next = match first {
                Some(first) => Ok(Some(first)),
                None => run.next(&mut rest).await,
            };
            match next {
                Ok(Some(batch)) => {
                    run.meter.count(&batch);
                    Ok(Some((batch, Some((run, None, rest)))))
                }
                Ok(None) => Ok(None),
                Err(mut error) => {
                    run.meter.fail(&error);
                    if error.is_absence() {
                        error.problem = format!(
                            "it broke off after some of its rows had arrived ({})",
                            error.problem
                        );
                        error.failure = Failure::Unreachable;
                    }
                    Err(error.into())
                }
            }
        })
        .boxed()
    }
}
