//! The scan of files in place: chunks are decoded on blocking threads and leave as batches.

use crate::error::QueryError;
use crate::provider::queue::{Queue, Runs};
use crate::provider::work::{Piece, Work};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;
use tarn_formats::FormatError;
use tarn_formats::table::Coordinates;
use tokio::sync::mpsc::Sender;

/// Most rows of a batch.
const BATCH_ROWS: usize = 1 << 16;
/// Batches that wait for their reader, per partition.
const WAITING_BATCHES: usize = 2;

/// Reads pieces of a table; its partitions share them, with an exact count of all rows.
#[derive(Debug)]
pub struct GridScanExec {
    work: Work,
    projection: Arc<[usize]>,
    schema: SchemaRef,
    partitions: usize,
    runs: Runs,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GridScanExec {
    /// A scan with the columns of `projection`, in at most `partitions` partitions.
    pub(crate) fn new(work: Work, projection: &[usize], partitions: usize) -> Result<Self> {
        let schema = Arc::new(work.table.schema().project(projection)?);
        let partitions = work.pieces.len().min(partitions).max(1);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self {
            work,
            projection: projection.into(),
            schema,
            partitions,
            runs: Runs::default(),
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// What is read.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// The table's columns that are read, in order.
    pub(crate) fn projection(&self) -> &[usize] {
        &self.projection
    }
}

impl DisplayAs for GridScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<&str> =
            self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let what = self.work.describe();
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(
                f,
                "GridScanExec: table={}, {what}, partitions={}, columns=[{}]",
                self.work.name,
                self.partitions,
                columns.join(", "),
            ),
            DisplayFormatType::TreeRender => {
                write!(f, "table={}\n{}", self.work.name, what.replace(", ", "\n"))
            }
        }
    }
}

impl ExecutionPlan for GridScanExec {
    fn name(&self) -> &'static str {
        "GridScanExec"
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
        if children.is_empty() { Ok(self) } else { internal_err!("GridScanExec is a leaf") }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("GridScanExec is a leaf") }
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        if partition >= self.partitions {
            return internal_err!("GridScanExec has no partition {partition}");
        }
        let queue = self.runs.queue(&context, partition, self.partitions, &self.work.pieces);
        let mut builder =
            RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), WAITING_BATCHES);
        let reading = Reading {
            work: self.work.clone(),
            projection: Arc::clone(&self.projection),
            least: context.session_config().batch_size().min(BATCH_ROWS),
            output: Output {
                schema: Arc::clone(&self.schema),
                sender: builder.tx(),
                baseline: BaselineMetrics::new(&self.metrics, partition),
                bytes: MetricBuilder::new(&self.metrics).counter("arrow_bytes", partition),
            },
        };
        builder.spawn_blocking(move || match reading.run(&queue) {
            Ok(()) | Err(Stopped::NobodyWaits) => Ok(()),
            Err(Stopped::Failed(error)) => Err(error),
        });
        Ok(builder.build())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.work.rows().and_then(|rows| usize::try_from(rows).ok()) {
            // Which partition reads what is decided while it runs.
            statistics.num_rows = match arguments.partition() {
                None => Precision::Exact(rows),
                Some(_) => Precision::Inexact(rows / self.partitions.max(1)),
            };
        }
        Ok(Arc::new(statistics))
    }
}

/// Why a partition ends before its work.
enum Stopped {
    /// Who waited for the batches has gone: nothing more is decoded.
    NobodyWaits,
    Failed(DataFusionError),
}

impl From<QueryError> for Stopped {
    fn from(error: QueryError) -> Self {
        Self::Failed(error.into())
    }
}

/// One partition that runs.
struct Reading {
    work: Work,
    projection: Arc<[usize]>,
    /// Rows that a batch has at least, if there are as many.
    least: usize,
    output: Output,
}

impl Reading {
    fn run(&self, queue: &Queue) -> Result<(), Stopped> {
        // Batches that are too small to leave alone.
        let mut small: Vec<RecordBatch> = Vec::new();
        let least = u64::try_from(self.least).unwrap_or(u64::MAX);
        while let Some(places) = queue.take(least) {
            for piece in queue.pieces(places) {
                if self.output.sender.is_closed() {
                    return Err(Stopped::NobodyWaits);
                }
                let timer = self.output.baseline.elapsed_compute().timer();
                let batch = self.read(piece, queue.coordinates())?;
                timer.done();
                small.push(batch);
                if small.iter().map(RecordBatch::num_rows).sum::<usize>() >= self.least {
                    self.output.send(std::mem::take(&mut small))?;
                }
            }
        }
        self.output.send(small)
    }

    /// The rows of one piece, with exactly the schema of the scan.
    fn read(&self, piece: &Piece, shared: &Coordinates) -> Result<RecordBatch, QueryError> {
        let part =
            self.work.table.parts().get(piece.part).ok_or_else(|| {
                QueryError::Internal(format!("a table has no part {}", piece.part))
            })?;
        let batch = part.read_block(&piece.block, &self.projection, shared)?;
        if u64::try_from(batch.num_rows()) != Ok(piece.rows) {
            return Err(QueryError::Internal(format!(
                "{}: a block of {} rows gave {}",
                part.location(),
                piece.rows,
                batch.num_rows()
            )));
        }
        with_schema(&batch, &self.output.schema)
            .map_err(|error| QueryError::Format(FormatError::Arrow(error)))
    }
}

fn with_schema(
    batch: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
}

/// Where batches go.
struct Output {
    schema: SchemaRef,
    sender: Sender<Result<RecordBatch>>,
    baseline: BaselineMetrics,
    bytes: Count,
}

impl Output {
    /// Sends the rows of these batches, in batches of at most [`BATCH_ROWS`].
    fn send(&self, mut batches: Vec<RecordBatch>) -> Result<(), Stopped> {
        let whole = match (batches.pop(), batches.is_empty()) {
            (None, _) => return Ok(()),
            (Some(one), true) => one,
            (Some(last), false) => {
                batches.push(last);
                concat_batches(&self.schema, &batches)
                    .map_err(|error| QueryError::Format(FormatError::Arrow(error)))?
            }
        };
        let mut start = 0;
        while start < whole.num_rows() {
            let rows = BATCH_ROWS.min(whole.num_rows().saturating_sub(start));
            let slice = whole.slice(start, rows);
            self.baseline.record_output(rows);
            self.bytes.add(arrow_bytes(&slice));
            self.sender.blocking_send(Ok(slice)).map_err(|_| Stopped::NobodyWaits)?;
            start = start.saturating_add(rows);
        }
        Ok(())
    }
}

/// Bytes of the values of a batch, without the parts of its buffers that it does not use.
pub(crate) fn arrow_bytes(batch: &RecordBatch) -> usize {
    batch
        .columns()
        .iter()
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .fold(0, usize::saturating_add)
}
