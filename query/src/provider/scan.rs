//! The scan of files in place: chunks are decoded on blocking threads and leave as batches.

use crate::error::QueryError;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use std::fmt;
use std::sync::Arc;
use tarn_formats::{FormatError, Region, Selection, Table};

/// Most rows of a batch.
const BATCH_ROWS: usize = 1 << 16;
/// Batches that wait for their reader, per partition.
const WAITING_BATCHES: usize = 2;

/// One box of one file.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// Index of the file in the table.
    pub(crate) part: usize,
    /// The box.
    pub(crate) region: Region,
    /// Its rows.
    pub(crate) rows: u64,
}

/// Reads pieces of a [`Table`], split over partitions, with exact row counts.
#[derive(Debug)]
pub struct GridScanExec {
    name: String,
    table: Arc<Table>,
    projection: Arc<[usize]>,
    schema: SchemaRef,
    partitions: Vec<Arc<[Piece]>>,
    piece_cells: u64,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl GridScanExec {
    /// A scan of these pieces with the columns of `projection`, in at most `partitions` partitions.
    pub(crate) fn new(
        name: &str,
        table: &Arc<Table>,
        projection: &[usize],
        pieces: Vec<Piece>,
        piece_cells: u64,
        partitions: usize,
    ) -> Result<Self> {
        let schema = Arc::new(table.schema().project(projection)?);
        let partitions = split(pieces, partitions);
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Ok(Self {
            name: name.to_owned(),
            table: Arc::clone(table),
            projection: projection.into(),
            schema,
            partitions,
            piece_cells,
            properties,
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    fn rows(&self, partition: Option<usize>) -> Option<usize> {
        let rows = |pieces: &Arc<[Piece]>| {
            pieces.iter().try_fold(0_u64, |rows, piece| rows.checked_add(piece.rows))
        };
        let total = match partition {
            Some(partition) => rows(self.partitions.get(partition)?)?,
            None => self
                .partitions
                .iter()
                .try_fold(0_u64, |total, pieces| total.checked_add(rows(pieces)?))?,
        };
        usize::try_from(total).ok()
    }
}

/// Runs of pieces with about the same number of rows; at least one, at most `partitions`. A piece
/// belongs to the run in whose share of all rows its middle lies.
fn split(pieces: Vec<Piece>, partitions: usize) -> Vec<Arc<[Piece]>> {
    let partitions = u64::try_from(partitions.max(1)).unwrap_or(1);
    let total = pieces.iter().fold(0_u64, |total, piece| total.saturating_add(piece.rows));
    let share = total.div_ceil(partitions).max(1);
    let mut runs: Vec<Arc<[Piece]>> = Vec::new();
    let (mut run, mut index, mut before) = (Vec::new(), 0_u64, 0_u64);
    for piece in pieces {
        let own = before.saturating_add(piece.rows / 2) / share;
        if own > index && !run.is_empty() {
            runs.push(std::mem::take(&mut run).into());
        }
        index = own;
        before = before.saturating_add(piece.rows);
        run.push(piece);
    }
    if !run.is_empty() || runs.is_empty() {
        runs.push(run.into());
    }
    runs
}

impl DisplayAs for GridScanExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces = || self.partitions.iter().flat_map(|run| run.iter());
        let parts: std::collections::BTreeSet<usize> = pieces().map(|piece| piece.part).collect();
        let all: usize = self
            .table
            .parts()
            .iter()
            .map(|part| part.regions(&Selection::all(part.shape()), self.piece_cells).len())
            .sum();
        let columns: Vec<&str> =
            self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        let rows = self.rows(None).map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let total = self.table.rows().map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let parts = (parts.len(), self.table.parts().len());
        let regions = (pieces().count(), all);
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(
                f,
                "GridScanExec: table={}, files={}/{}, regions={}/{}, rows={rows}/{total}, \
                 partitions={}, columns=[{}]",
                self.name,
                parts.0,
                parts.1,
                regions.0,
                regions.1,
                self.partitions.len(),
                columns.join(", "),
            ),
            DisplayFormatType::TreeRender => write!(
                f,
                "table={}\nfiles={}/{}\nregions={}/{}\nrows={rows}/{total}",
                self.name, parts.0, parts.1, regions.0, regions.1
            ),
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
        _context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(pieces) = self.partitions.get(partition).map(Arc::clone) else {
            return internal_err!("GridScanExec has no partition {partition}");
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("arrow_bytes", partition);
        let (table, projection) = (Arc::clone(&self.table), Arc::clone(&self.projection));
        let schema = Arc::clone(&self.schema);
        let mut builder =
            RecordBatchReceiverStreamBuilder::new(Arc::clone(&schema), WAITING_BATCHES);
        let sender = builder.tx();
        builder.spawn_blocking(move || {
            for piece in pieces.iter() {
                // Who waits for the batches may have gone: nothing more is decoded then.
                if sender.is_closed() {
                    return Ok(());
                }
                let timer = baseline.elapsed_compute().timer();
                let batch = read(&table, piece, &projection, &schema)?;
                timer.done();
                let mut start = 0;
                while start < batch.num_rows() {
                    let rows = BATCH_ROWS.min(batch.num_rows().saturating_sub(start));
                    let slice = batch.slice(start, rows);
                    baseline.record_output(rows);
                    bytes.add(arrow_bytes(&slice));
                    if sender.blocking_send(Ok(slice)).is_err() {
                        return Ok(());
                    }
                    start = start.saturating_add(rows);
                }
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
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        if let Some(rows) = self.rows(arguments.partition()) {
            statistics.num_rows = Precision::Exact(rows);
        }
        Ok(Arc::new(statistics))
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

/// The rows of one piece, with exactly the schema of the scan.
fn read(
    table: &Table,
    piece: &Piece,
    projection: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch, QueryError> {
    let part = table
        .parts()
        .get(piece.part)
        .ok_or_else(|| QueryError::Internal(format!("a table has no part {}", piece.part)))?;
    let batch = part.read(&piece.region, projection)?;
    if u64::try_from(batch.num_rows()) != Ok(piece.rows) {
        return Err(QueryError::Internal(format!(
            "{}: a region of {} cells gave {} rows",
            part.location(),
            piece.rows,
            batch.num_rows()
        )));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| QueryError::Format(FormatError::Arrow(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_split_evenly_and_none_is_lost() {
        let piece = |rows| Piece { part: 0, region: Region::new(vec![]), rows };
        assert_eq!(split(vec![], 4).len(), 1);
        let runs = split((0..10).map(|_| piece(5)).collect(), 3);
        assert_eq!(runs.iter().map(|run| run.len()).sum::<usize>(), 10);
        assert!(runs.len() <= 3, "{}", runs.len());
        assert!(runs.iter().all(|run| (3..=4).contains(&run.len()) || run.len() == 2));
        assert_eq!(split(vec![piece(1), piece(100)], 2).len(), 2);
    }
}
