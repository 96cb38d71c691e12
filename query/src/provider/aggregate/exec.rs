//! The plan node of an aggregate over files in place, computed on arrays.

use super::worker::{Job, Worker};
use crate::provider::cost::Cost;
use crate::provider::queue::Queue;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::JoinSet;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, Time,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Small pieces that a worker takes together.
const TOGETHER_ROWS: u64 = 1 << 16;
/// Batches of the answer that wait for their reader.
const WAITING_BATCHES: usize = 2;

/// An aggregate over a table of files in place, grouped by coordinates or not at all. Coordinates
/// are never made: group keys are evaluated on the axes, and decoded chunks are added up by strides.
#[derive(Debug)]
pub struct GridAggregateExec {
    job: Arc<Job>,
    schema: SchemaRef,
    /// For plans: `lat, avg(t2m)`.
    text: String,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GridAggregateExec {
    /// The aggregate with this schema: keys, then aggregates.
    pub(super) fn new(job: Job, schema: SchemaRef, text: String) -> Self {
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        ));
        let metrics = ExecutionPlanMetricsSet::new();
        Self { job: Arc::new(job), schema, text, properties, metrics }
    }

    /// Rows below the aggregate, if they are known before it runs, and bytes of each as Arrow columns.
    pub(crate) fn below(&self) -> (Option<u64>, u64) {
        (self.job.work.rows(), self.job.row_bytes())
    }
}

impl DisplayAs for GridAggregateExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, what) = (&self.job.work.name, self.job.work.describe());
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "GridAggregateExec: table={name}, {what}, {}", self.text)?;
                let predicates = &self.job.compiled.predicates;
                if !predicates.is_empty() {
                    let texts: Vec<String> = predicates.iter().map(ToString::to_string).collect();
                    write!(f, ", predicate=[{}]", texts.join(" AND "))?;
                }
                Ok(())
            }
            DisplayFormatType::TreeRender => {
                write!(f, "table={name}\n{}\n{}", what.replace(", ", "\n"), self.text)
            }
        }
    }
}

impl ExecutionPlan for GridAggregateExec {
    fn name(&self) -> &'static str {
        "GridAggregateExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("GridAggregateExec is a leaf") }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("GridAggregateExec is a leaf") }
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for predicate in &self.job.compiled.predicates {
            if visit(predicate)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition > 0 {
            return internal_err!("GridAggregateExec has no partition {partition}");
        }
        let pieces = usize::try_from(self.job.work.pieces.len()).unwrap_or(usize::MAX);
        let workers = context.session_config().target_partitions().min(pieces).max(1);
        let batch_rows = context.session_config().batch_size().max(1);
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let counter = |name| MetricBuilder::new(&self.metrics).counter(name, partition);
        let bytes = counter("arrow_bytes");
        counter("pieces_pruned_by_coordinates").add(self.job.work.left_out());
        counter("pieces_pruned_by_statistics").add(self.job.work.excluded);
        let running = Arc::new(Running {
            job: Arc::clone(&self.job),
            queue: Queue::new(&self.job.work.pieces),
            stop: AtomicBool::new(false),
            time: baseline.elapsed_compute().clone(),
            pieces: counter("pieces"),
            cells: counter("cells"),
            rows_read: counter("rows_read"),
            bytes_read: counter("bytes_read"),
            cost: Cost::new(&self.metrics, 0),
        });
        let reservations: Vec<MemoryReservation> = (0..workers)
            .map(|worker| {
                MemoryConsumer::new(format!("GridAggregateExec[{worker}]"))
                    .register(context.memory_pool())
            })
            .collect();
        let schema = Arc::clone(&self.schema);
        let mut builder =
            RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), WAITING_BATCHES);
        let sender = builder.tx();
        builder.spawn(async move {
            // Dropped when the answer is no longer wanted; then the workers stop, too.
            let _stop = StopOnDrop(Arc::clone(&running));
            let mut tasks = JoinSet::new();
            for (place, reservation) in reservations.into_iter().enumerate() {
                let running = Arc::clone(&running);
                tasks.spawn_blocking(move || (place, running.work(reservation)));
            }
            let mut shares = Vec::with_capacity(workers);
            while let Some(done) = tasks.join_next().await {
                let (place, share) = done.map_err(|e| DataFusionError::External(Box::new(e)))?;
                shares.push((place, share?));
            }
            // Always in the same order.
            shares.sort_by_key(|(place, _)| *place);
            let merging = Arc::clone(&running);
            let mut tasks = JoinSet::new();
            tasks.spawn_blocking(move || {
                let shares = shares.into_iter().map(|(_, share)| share).collect();
                merging.finish(shares, &schema)
            });
            let Some(done) = tasks.join_next().await else { return Ok(()) };
            let answer = done.map_err(|error| DataFusionError::External(Box::new(error)))??;
            let mut start = 0;
            while start < answer.num_rows() {
                let rows = batch_rows.min(answer.num_rows() - start);
                let slice = answer.slice(start, rows);
                baseline.record_output(rows);
                bytes.add(crate::provider::arrow_bytes(&slice));
                if sender.send(Ok(slice)).await.is_err() {
                    break;
                }
                start += rows;
            }
            Ok(())
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = if self.job.key_fields.fields().is_empty() {
            Precision::Exact(1)
        } else {
            usize::try_from(self.job.groups()).map_or(Precision::Absent, Precision::Inexact)
        };
        Ok(Arc::new(statistics))
    }
}

/// A run of the aggregate.
struct Running {
    job: Arc<Job>,
    queue: Queue,
    stop: AtomicBool,
    time: Time,
    pieces: Count,
    /// Values that were read, in all columns.
    cells: Count,
    rows_read: Count,
    /// Bytes of these rows as Arrow columns, which are never made.
    bytes_read: Count,
    cost: Cost,
}

struct StopOnDrop(Arc<Running>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

impl Running {
    /// One worker: takes pieces while there are any.
    fn work(&self, reservation: MemoryReservation) -> Result<(Worker, MemoryReservation)> {
        let share = self.add_all(reservation);
        if share.is_err() {
            self.stop.store(true, Ordering::Relaxed);
        }
        share
    }

    fn add_all(&self, reservation: MemoryReservation) -> Result<(Worker, MemoryReservation)> {
        let mut worker = Worker::new(&self.job)?;
        let width = usize::try_from(self.job.row_bytes()).unwrap_or(usize::MAX);
        while let Some(taken) = self.queue.take(TOGETHER_ROWS) {
            let (work, columns) = (&self.job.work, &self.job.compiled.columns);
            self.cost.of(|| self.queue.ask_ahead(work, columns, taken.place));
            for piece in &taken.pieces {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok((worker, reservation));
                }
                let timer = self.time.timer();
                self.cost.of(|| worker.add(&self.job, piece, self.queue.coordinates()))?;
                timer.done();
                self.pieces.add(1);
                let rows = usize::try_from(piece.rows).unwrap_or(usize::MAX);
                self.cells.add(rows.saturating_mul(self.job.compiled.columns.len()));
                self.rows_read.add(rows);
                self.bytes_read.add(rows.saturating_mul(width));
                reservation.try_resize(worker.bytes())?;
            }
        }
        Ok((worker, reservation))
    }

    fn finish(
        &self,
        shares: Vec<(Worker, MemoryReservation)>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let timer = self.time.timer();
        let mut shares = shares.into_iter();
        let Some((mut all, reservation)) = shares.next() else {
            return internal_err!("an aggregate had no worker");
        };
        for (share, _reservation) in shares {
            all.merge(share)?;
            reservation.try_resize(all.bytes())?;
        }
        let answer = all.finish(&self.job, schema)?;
        timer.done();
        Ok(answer)
    }
}
