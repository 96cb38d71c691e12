//! The node that nothing of a caller crosses.

use crate::engine::output::conform;
use crate::error::QueryError;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, reset_plan_states};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::StreamExt;
use std::fmt;
use std::sync::Arc;

/// What may be seen of a table.
///
/// To the plan above it this is a leaf: no optimizer sees the policy's plan inside, so none moves a
/// predicate, a limit or a sort into it or takes statistics, orders and constants out of it. It shows
/// the table's name and no metrics, because counts of rows before the policy's filter tell how many
/// were hidden.
#[derive(Debug)]
pub(crate) struct GuardedExec {
    name: Arc<str>,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl GuardedExec {
    pub(super) fn new(
        name: &Arc<str>,
        inner: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        partitions: usize,
    ) -> Result<Self> {
        // As many partitions as a query has, always: how many the scan has depends on what the caller's
        // predicate left of rows that the policy hides, and plans show it.
        let inner = if inner.output_partitioning().partition_count() == partitions {
            inner
        } else {
            let partitioning = Partitioning::RoundRobinBatch(partitions);
            Arc::new(RepartitionExec::try_new(inner, partitioning)?) as Arc<dyn ExecutionPlan>
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self { name: Arc::clone(name), inner, properties: Arc::new(properties) })
    }
}

/// A failure below the guard, without what it is about.
pub(super) fn hidden(name: &str, error: DataFusionError) -> DataFusionError {
    if let DataFusionError::ResourcesExhausted(text) = error.find_root() {
        tracing::warn!(table = name, text, "a guarded table needs more than there is");
        return DataFusionError::ResourcesExhausted(format!(
            "reading {name} needs more memory than a query may have; select less of it"
        ));
    }
    tracing::error!(table = name, %error, "a guarded table cannot be read");
    QueryError::InvalidData(format!(
        "{name} cannot be read; the log of its node says why, so ask its operator"
    ))
    .into()
}

impl DisplayAs for GuardedExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuardedExec: table={}", self.name)
    }
}

impl ExecutionPlan for GuardedExec {
    fn name(&self) -> &'static str {
        "GuardedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("GuardedExec has no children") }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = reset_plan_states(Arc::clone(&self.inner))?;
        let (name, properties) = (Arc::clone(&self.name), Arc::clone(&self.properties));
        Ok(Arc::new(Self { name, inner, properties }))
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
        let name = Arc::clone(&self.name);
        let schema = self.schema();
        let input = self.inner.execute(partition, context).map_err(|error| hidden(&name, error))?;
        let target = Arc::clone(&schema);
        let stream = input.map(move |batch| {
            let batch = batch.map_err(|error| hidden(&name, error))?;
            // The metadata of fields too: maskings lose them.
            conform(&batch, &target).map_err(|error| hidden(&name, error.into()))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema())))
    }
}
