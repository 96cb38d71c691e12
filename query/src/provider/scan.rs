//! The scan of files in place: chunks are decoded on blocking threads and leave as batches.

use crate::error::QueryError;
use crate::provider::ahead::announce_one;
use crate::provider::axis::moved;
use crate::provider::cost::Cost;
use crate::provider::dynamic::{Watch, is_dynamic};
use crate::provider::prune::sorted;
use crate::provider::queue::{Queue, Runs};
use crate::provider::size::arrow_bytes;
use crate::provider::statistics::columns;
use crate::provider::work::{Piece, Work};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    EquivalenceProperties, Partitioning, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::SortOrderPushdownResult;
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::{
    RecordBatchReceiverStreamBuilder, RecordBatchStreamAdapter,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tarn_formats::FormatError;
use tarn_formats::table::Coordinates;
use tokio::sync::mpsc::Sender;

/// Most rows of a batch.
const BATCH_ROWS: usize = 1 << 16;
/// Pieces that are left out before rows that were found leave in a batch that is too small: they may
/// be all that somebody waits for.
const PATIENCE: usize = 256;
/// Batches that wait for their reader, per partition.
const WAITING_BATCHES: usize = 2;

/// Reads pieces of a table; its partitions share them, with an exact count of all rows.
#[derive(Debug)]
pub struct GridScanExec {
    work: Work,
    projection: Arc<[usize]>,
    schema: SchemaRef,
    partitions: usize,
    /// Predicates over the table's columns that each piece is asked when its turn comes: those that
    /// change while the query runs. Rows that they leave may be kept nevertheless.
    dynamic: Vec<Arc<dyn PhysicalExpr>>,
    runs: Runs,
    columns: OnceLock<Vec<ColumnStatistics>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GridScanExec {
    /// A scan with the columns of `projection`, in at most `partitions` partitions.
    pub(crate) fn new(work: Work, projection: &[usize], partitions: usize) -> Result<Self> {
        let schema = Arc::new(work.table.schema().project(projection)?);
        let pieces = usize::try_from(work.pieces.len()).unwrap_or(usize::MAX);
        let partitions = pieces.min(partitions).max(1);
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
            dynamic: vec![],
            runs: Runs::default(),
            columns: OnceLock::new(),
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The same scan with other pieces, or other dynamic predicates.
    fn with(&self, work: Work, dynamic: Vec<Arc<dyn PhysicalExpr>>) -> Result<Self> {
        let scan = Self::new(work, &self.projection, self.partitions)?;
        // The partitions stay as many: other nodes may count on them.
        let properties = Arc::clone(&self.properties);
        Ok(Self { dynamic, partitions: self.partitions, properties, ..scan })
    }

    /// An expression over the scan's columns as one over the table's.
    fn over_table(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        moved(expr, |column| self.projection.get(column).copied()).ok()
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
        let parts = self.work.table.parts();
        let column = |(field, place): (&FieldRef, &usize)| {
            let by_library = parts.iter().any(|part| part.is_fallback(*place));
            format!("{}{}", field.name(), if by_library { " (by libhdf5)" } else { "" })
        };
        let columns: Vec<String> =
            self.schema.fields().iter().zip(self.projection.iter()).map(column).collect();
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
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.dynamic {
            if visit(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    /// Takes note of predicates and never promises them: pieces go that cannot satisfy a predicate
    /// on variables or on several coordinates, and dynamic ones are asked again for each piece.
    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let (mut work, mut dynamic) = (None, self.dynamic.clone());
        for asked in &result.parent_filters {
            let Some(filter) = self.over_table(&asked.filter) else { continue };
            // Where there are too many pieces to ask now, each is asked when its turn comes.
            if is_dynamic(&filter) || self.work.pieces.listed().is_none() {
                dynamic.push(filter);
            } else {
                let now = work.as_ref().unwrap_or(&self.work);
                work = now.without_excluded(&filter).or(work);
            }
        }
        let noted = work.is_some() || dynamic.len() > self.dynamic.len();
        let answer = FilterPushdownPropagation::all_unsupported(result);
        if !noted {
            return Ok(answer);
        }
        let scan = self.with(work.unwrap_or_else(|| self.work.clone()), dynamic)?;
        Ok(answer.with_updated_node(Arc::new(scan)))
    }

    /// For a TopK: pieces that may hold the first rows come first, and then its bound excludes the
    /// others.
    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
    ) -> Result<SortOrderPushdownResult<Arc<dyn ExecutionPlan>>> {
        let sorted = order.first().and_then(|first| {
            let column = self.over_table(&first.expr)?;
            let column = column.downcast_ref::<Column>()?.index();
            sorted(&self.work, column, first.options.descending)
        });
        let Some(pieces) = sorted else { return Ok(SortOrderPushdownResult::Unsupported) };
        let work = Work { pieces: pieces.into_iter().collect(), ..self.work.clone() };
        let inner = Arc::new(self.with(work, self.dynamic.clone())?);
        Ok(SortOrderPushdownResult::Inexact { inner })
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
        let counter = |name| MetricBuilder::new(&self.metrics).counter(name, partition);
        if partition == 0 {
            let left_out = self.work.left_out();
            counter("pieces_pruned_by_coordinates").add(left_out);
            counter("pieces_pruned_by_statistics").add(self.work.excluded);
        }
        let mut reading = Reading {
            work: self.work.clone(),
            projection: Arc::clone(&self.projection),
            watch: Watch::new(&self.dynamic),
            least: context.session_config().batch_size().min(BATCH_ROWS),
            pruned: counter("pieces_pruned_by_dynamic_filters"),
            pieces: counter("pieces"),
            cells: counter("cells"),
            cost: Cost::new(&self.metrics, partition),
            output: Output {
                schema: Arc::clone(&self.schema),
                sender: builder.tx(),
                baseline: BaselineMetrics::new(&self.metrics, partition),
                bytes: counter("arrow_bytes"),
            },
        };
        let start = move || {
            builder.spawn_blocking(move || match reading.run(&queue) {
                Ok(()) | Err(Stopped::NobodyWaits) => Ok(()),
                Err(Stopped::Failed(error)) => Err(error),
            });
            builder.build()
        };
        if self.dynamic.is_empty() {
            return Ok(start());
        }
        // A join knows its keys when it asks for the first rows, not before.
        let rows = futures::stream::once(std::future::ready(start)).flat_map(|start| start());
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows)))
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
        if !self.dynamic.is_empty() {
            return Ok(Arc::new(statistics.to_inexact()));
        }
        if arguments.partition().is_none() {
            let columns = self.columns.get_or_init(|| columns(&self.work, &self.projection));
            statistics.column_statistics = columns.clone();
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
    watch: Watch,
    /// Rows that a batch has at least, if there are as many.
    least: usize,
    pruned: Count,
    pieces: Count,
    /// Values that were made, in all columns.
    cells: Count,
    cost: Cost,
    output: Output,
}

impl Reading {
    fn run(&mut self, queue: &Queue) -> Result<(), Stopped> {
        // Batches that are too small to leave alone.
        let mut small: Vec<RecordBatch> = Vec::new();
        let least = u64::try_from(self.least).unwrap_or(u64::MAX);
        let mut left_out = 0;
        while let Some(taken) = queue.take(least) {
            if self.watch.is_idle() {
                let ask = || queue.ask_ahead(&self.work, &self.projection, taken.place);
                self.cost.of(ask);
            }
            for piece in &taken.pieces {
                if self.output.sender.is_closed() {
                    return Err(Stopped::NobodyWaits);
                }
                let time = self.output.baseline.elapsed_compute().clone();
                let timer = time.timer();
                let Some(piece) = self.watch.apply(&self.work, piece) else {
                    self.pruned.add(1);
                    left_out += 1;
                    if left_out == PATIENCE {
                        left_out = 0;
                        self.output.send(std::mem::take(&mut small))?;
                    }
                    continue;
                };
                let read = || {
                    if !self.watch.is_idle() {
                        announce_one(&self.work, &self.projection, &piece);
                    }
                    self.read(&piece, queue.coordinates())
                };
                let batch = self.cost.of(read)?;
                timer.done();
                self.pieces.add(1);
                self.cells.add(batch.num_rows().saturating_mul(batch.num_columns()));
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
        self.work.learn(piece, &self.projection, batch.columns());
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
