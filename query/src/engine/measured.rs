//! EXPLAIN ANALYZE for people who are not the owner: the statement runs, and how many rows it gave and how long it took
//! is told with the plan that EXPLAIN shows. What its parts read is not: it tells of rows that nobody may see.

use crate::engine::explain;
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, stream};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Runs a plan and answers with what may be told of that.
#[derive(Debug)]
pub(super) struct MeasuredExec {
    plan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl MeasuredExec {
    /// The answer has the two texts of EXPLAIN as its columns.
    pub(super) fn new(plan: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { plan, properties: Arc::new(properties) }
    }
}

impl DisplayAs for MeasuredExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeasuredExec")
    }
}

impl ExecutionPlan for MeasuredExec {
    fn name(&self) -> &'static str {
        "MeasuredExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.plan]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(plan), true) => Ok(Arc::new(Self::new(plan, self.schema()))),
            _ => internal_err!("MeasuredExec has one child"),
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

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (schema, shape) = (self.schema(), explain::shape(&self.plan));
        let whole = CoalescePartitionsExec::new(Arc::clone(&self.plan));
        let (mut rows, began) = (whole.execute(0, context)?, Instant::now());
        let told = Arc::clone(&schema);
        let measured = async move {
            let mut count = 0_usize;
            while let Some(batch) = rows.next().await {
                count = count.saturating_add(batch?.num_rows());
            }
            let milliseconds = began.elapsed().as_millis();
            let text = format!("output_rows={count}, elapsed={milliseconds}ms\n{shape}");
            let kinds = StringArray::from_iter_values(["Plan with Metrics"]);
            let plans = StringArray::from_iter_values([text]);
            Ok(RecordBatch::try_new(told, vec![Arc::new(kinds), Arc::new(plans)])?)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream::once(measured))))
    }
}
