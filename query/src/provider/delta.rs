//! A Delta table at its pinned version, with the field metadata that the catalog knows.

use super::delta_log::{Said, by_bounds, without_blank};
use super::footers::Shelf;
use super::texts::as_texts;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{ColumnStatistics, Result, Statistics, internal_err};
use datafusion::execution::{
    SendableRecordBatchStream, SessionState, SessionStateBuilder, TaskContext,
};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    CardinalityEffect, ChildrenPropertiesMode, ReplaceChildrenOptions,
};
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;
use tarn_catalog::schema_text;

/// A Delta table whose columns carry the metadata of the catalog's schema. Parquet readers drop
/// it, and functions need it: units, calendars, the shapes of tensors. Tensors, which Delta stores
/// as lists, are lists of fixed size again.
#[derive(Debug)]
pub(crate) struct DeltaEntryTable {
    name: String,
    snapshot: Arc<DeltaSnapshot>,
    schema: SchemaRef,
    footers: Shelf,
}

/// A version of a table, open. The two scans differ in what Parquet readers are told.
#[derive(Debug)]
pub(crate) struct DeltaSnapshot {
    /// Leaves out files by the log.
    pub by_log: Arc<dyn TableProvider>,
    /// Leaves out row groups too.
    pub by_file: Arc<dyn TableProvider>,
    /// What the log says.
    pub said: Said,
}

impl DeltaEntryTable {
    /// The table under the name that plans show. `known` is the catalog's schema.
    pub(crate) fn new(
        name: &str,
        snapshot: Arc<DeltaSnapshot>,
        known: &Schema,
        footers: Shelf,
    ) -> Self {
        let stored = snapshot.by_log.schema();
        let fields: Vec<Field> = stored
            .fields()
            .iter()
            .map(|stored| match known.field_with_name(stored.name()) {
                Ok(known) if is_tensor_of(known, stored) => {
                    known.clone().with_nullable(stored.is_nullable())
                }
                Ok(known) => {
                    stored.as_ref().clone().with_metadata(merged(stored, known.metadata()))
                }
                Err(_) => stored.as_ref().clone(),
            })
            .collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, known.metadata().clone()));
        Self { name: name.to_owned(), snapshot, schema, footers }
    }

    /// Rows, as its log counts them, to estimate by.
    pub(crate) fn rows(&self) -> Option<usize> {
        self.snapshot.said.rows
    }

    /// What its log says of a column, to estimate by.
    pub(crate) fn known(&self, column: &str) -> Option<&ColumnStatistics> {
        self.snapshot.said.columns.get(column)
    }

    /// Whether a predicate names a tensor, of which Parquet has another type.
    fn names_tensor(&self, predicate: &Expr) -> bool {
        predicate.column_refs().iter().any(|column| {
            self.schema
                .field_with_name(&column.name)
                .is_ok_and(|field| matches!(field.data_type(), DataType::FixedSizeList(..)))
        })
    }
}

/// Whether this is a tensor, which Delta stores as a list.
fn is_tensor_of(known: &Field, stored: &Field) -> bool {
    matches!(
        (known.data_type(), stored.data_type()),
        (DataType::FixedSizeList(..), DataType::List(_) | DataType::LargeList(_))
    )
}

fn merged(
    stored: &Field,
    known: &std::collections::HashMap<String, String>,
) -> std::collections::HashMap<String, String> {
    // The extension type of a tensor stands in the metadata; its shape holds only for the type
    // that the catalog knows.
    let mut metadata = stored.metadata().clone();
    metadata.retain(|key, _| !schema_text::is_delta_key(key));
    let tensor = matches!(stored.data_type(), DataType::FixedSizeList(..));
    metadata.extend(
        known
            .iter()
            .filter(|(key, _)| tensor || !key.starts_with("ARROW:extension:"))
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    metadata
}

/// The column in the type of the table: tensors are stored as lists.
fn as_type(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() || !column.data_type().is_nested() {
        return Ok(Arc::clone(column));
    }
    // A list of another length is an error and no NULL.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, field.data_type(), &options)?)
}

/// Whether a predicate calls a function that needs field metadata, which Parquet's columns lack.
fn needs_metadata(predicate: &Expr) -> bool {
    predicate
        .exists(|expr| {
            Ok(matches!(expr, Expr::ScalarFunction(call)
                if crate::functions::NEEDS_METADATA.contains(&call.func.name())))
        })
        .unwrap_or(true)
}

#[async_trait]
impl TableProvider for DeltaEntryTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        self.snapshot.by_log.statistics().filter(|_| self.snapshot.said.bounds_nan)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // Never `Exact`: delta-rs answers that for a predicate without columns, such as a bare NULL,
        // and then drops it. Pruning works the same below a filter that stays.
        let pushable = |filter: &&Expr| {
            !filter.column_refs().is_empty()
                && !needs_metadata(filter)
                && !self.names_tensor(filter)
                && !filter.column_refs().iter().any(|c| self.snapshot.said.blank.contains(&c.name))
                && (self.snapshot.said.bounds_nan || Said::may_skip(&self.schema, filter))
        };
        let pushed: Vec<&Expr> = filters.iter().copied().filter(pushable).collect();
        let mut answers = self.snapshot.by_file.supports_filters_pushdown(&pushed)?.into_iter();
        Ok(filters
            .iter()
            .map(|filter| match pushable(filter).then(|| answers.next()).flatten() {
                Some(TableProviderFilterPushDown::Exact | TableProviderFilterPushDown::Inexact) => {
                    TableProviderFilterPushDown::Inexact
                }
                _ => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(whole) = state.as_any().downcast_ref::<SessionState>() else {
            return internal_err!("a Delta table needs a whole session");
        };
        let runtime = Arc::new(self.footers.in_place_of(whole.runtime_env())?);
        let state = SessionStateBuilder::new_from_existing(whole.clone());
        let state = &state.with_runtime_env(runtime).build();
        let skips = filters.iter().all(|filter| Said::may_skip(&self.schema, filter));
        let scan = if skips && !filters.is_empty() && !self.snapshot.said.deletes {
            by_bounds(self.snapshot.by_file.scan(state, projection, filters, limit).await?)?
        } else {
            self.snapshot.by_log.scan(state, projection, filters, limit).await?
        };
        // Scans with deletion vectors insist on the readers that they made.
        let scan = if self.snapshot.said.deletes { scan } else { as_texts(scan)? };
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let said = &self.snapshot.said.columns;
        let columns = schema.fields().iter().map(|field| {
            said.get(field.name()).cloned().unwrap_or_else(ColumnStatistics::new_unknown)
        });
        let blank = schema.fields().iter().map(|f| self.snapshot.said.blank.contains(f.name()));
        let said = Columns {
            known: columns.collect(),
            exact: self.snapshot.said.bounds_nan,
            blank: blank.collect(),
        };
        Ok(Arc::new(DeltaScanExec::new(&self.name, scan, schema, Arc::new(said))))
    }
}

/// The scan of a Delta table under its own schema. Counts the rows and bytes it gives.
#[derive(Debug)]
pub(crate) struct DeltaScanExec {
    name: String,
    scan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
    columns: Arc<Columns>,
}

/// What the log says of the columns of a scan.
#[derive(Debug)]
struct Columns {
    /// Estimates, for where the scan says nothing.
    known: Vec<ColumnStatistics>,
    /// Whether bounds that the scan has may answer `min` and `max`: those that other writers gave
    /// leave out NaN and may be cut short.
    exact: bool,
    /// Columns whose empty texts are NULL.
    blank: Vec<bool>,
}

impl DeltaScanExec {
    fn new(
        name: &str,
        scan: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        columns: Arc<Columns>,
    ) -> Self {
        let inner = scan.properties();
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(schema),
            inner.partitioning.clone(),
            inner.emission_type,
            inner.boundedness,
        ));
        let metrics = ExecutionPlanMetricsSet::new();
        Self { name: name.to_owned(), scan, properties, metrics, columns }
    }

    /// The same over another scan.
    fn over(&self, scan: Arc<dyn ExecutionPlan>) -> Self {
        Self::new(&self.name, scan, self.schema(), Arc::clone(&self.columns))
    }
}

impl DisplayAs for DeltaScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeltaScanExec: table={}", self.name)
    }
}

impl ExecutionPlan for DeltaScanExec {
    fn name(&self) -> &'static str {
        "DeltaScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.scan]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(scan), true) => Ok(Arc::new(self.over(scan))),
            _ => internal_err!("DeltaScanExec has one child"),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(
            children,
            ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute),
        )
    }

    fn repartitioned(
        &self,
        target_partitions: usize,
        config: &ConfigOptions,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        Ok(self
            .scan
            .repartitioned(target_partitions, config)?
            .map(|scan| Arc::new(self.over(scan)) as _))
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Keys of joins and bounds of TopK reach the files. Conditions of the statement went there as it
    /// was planned, but for those that need the metadata of the catalog, which files lack.
    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let has_tensors = self
            .schema()
            .fields()
            .iter()
            .any(|f| matches!(f.data_type(), DataType::FixedSizeList(..)));
        let has_blank = self.columns.blank.contains(&true);
        // No bound tells of NaN, which is the greatest: the first of ORDER BY … DESC.
        let has_float = |filter: &Arc<dyn PhysicalExpr>| {
            let columns = collect_columns(filter);
            columns.iter().any(|column| {
                self.schema()
                    .fields()
                    .get(column.index())
                    .is_none_or(|f| f.data_type().is_floating())
            })
        };
        if phase == FilterPushdownPhase::Pre
            || has_tensors
            || has_blank
            || parent_filters.iter().any(has_float)
        {
            return Ok(FilterDescription::all_unsupported(&parent_filters, &self.children()));
        }
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.scan.execute(partition, context)?;
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let bytes = MetricBuilder::new(&self.metrics).counter("arrow_bytes", partition);
        let schema = self.schema();
        let (target, said) = (Arc::clone(&schema), Arc::clone(&self.columns));
        let stream = input.map(move |batch| {
            let batch = batch?;
            baseline.record_output(batch.num_rows());
            bytes.add(super::size::arrow_bytes(&batch));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            let columns = batch
                .columns()
                .iter()
                .zip(target.fields())
                .zip(&said.blank)
                .map(|((column, field), blank)| {
                    let cleared = blank.then(|| without_blank(column)).transpose()?;
                    as_type(cleared.as_ref().unwrap_or(column), field)
                })
                .collect::<Result<Vec<_>>>()?;
            Ok(RecordBatch::try_new_with_options(Arc::clone(&target), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let Some(scan) = inputs.first() else {
            return Ok(Arc::new(Statistics::new_unknown(&self.schema())));
        };
        let has_blank = self.columns.blank.contains(&true);
        let partial = arguments.partition().is_some() && self.columns.exact && !has_blank;
        if partial || scan.column_statistics.len() != self.columns.known.len() {
            return Ok(Arc::clone(scan));
        }
        let mut statistics = scan.as_ref().clone();
        for (column, said) in statistics.column_statistics.iter_mut().zip(&self.columns.known) {
            if !self.columns.exact {
                column.min_value = column.min_value.clone().to_inexact();
                column.max_value = column.max_value.clone().to_inexact();
                column.sum_value = column.sum_value.clone().to_inexact();
            }
            if column.min_value == Precision::Absent && column.max_value == Precision::Absent {
                column.min_value = said.min_value.clone();
                column.max_value = said.max_value.clone();
            }
            if column.null_count == Precision::Absent {
                column.null_count = said.null_count;
            }
        }
        for (column, blank) in statistics.column_statistics.iter_mut().zip(&self.columns.blank) {
            if *blank {
                *column = ColumnStatistics::new_unknown();
            }
        }
        Ok(Arc::new(statistics))
    }
}
