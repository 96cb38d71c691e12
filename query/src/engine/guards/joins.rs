//! Joins that make way for others, and that can be stopped.
//!
//! DataFusion yields where rows are read. A join can make as many rows again from each one it read, and
//! what counts them asks on and on without ever waiting; one whose filter lets no pair through compares
//! for hours without giving anything at all. So every join gives way after some batches, those with a
//! filter compute beside the threads that others share, and their filter fails once the query is stopped.

use super::running::Query;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::lit;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{CardinalityEffect, SchedulingType};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
    PiecewiseMergeJoinExec, SortMergeJoinExec,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::coop;

/// The rule that makes every join so. It stands last: it changes no rows.
#[derive(Debug, Default)]
pub(in crate::engine) struct StoppableJoins;

impl PhysicalOptimizerRule for StoppableJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let owner = Owner::default();
            if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
                let filter = Some(owner.asked_by(join.filter()));
                let join = NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?;
                return Ok(Transformed::yes(YieldExec::over(Arc::new(join), owner, true)));
            }
            if let Some(join) = plan.downcast_ref::<HashJoinExec>()
                && let Some(filter) = join.filter()
            {
                let filter = Some(owner.asked_by(Some(filter)));
                let join = join.builder().with_filter(filter).build_exec()?;
                return Ok(Transformed::yes(YieldExec::over(join, owner, true)));
            }
            let joins = plan.is::<CrossJoinExec>()
                || plan.is::<HashJoinExec>()
                || plan.is::<PiecewiseMergeJoinExec>()
                || plan.is::<SortMergeJoinExec>();
            Ok(if joins {
                Transformed::yes(YieldExec::over(plan, owner, false))
            } else {
                Transformed::no(plan)
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "StoppableJoins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The query that a join belongs to, known when it runs.
#[derive(Debug, Clone, Default)]
struct Owner(Arc<OnceLock<Query>>);

impl Owner {
    /// The same filter, which fails once the query is stopped. No filter lets every pair through.
    fn asked_by(&self, filter: Option<&JoinFilter>) -> JoinFilter {
        let (inner, columns, schema) = match filter {
            Some(filter) => (
                Arc::clone(filter.expression()),
                filter.column_indices().to_vec(),
                Arc::clone(filter.schema()),
            ),
            None => (lit(true), Vec::new(), Arc::new(Schema::empty())),
        };
        JoinFilter::new(Arc::new(Asking { inner, owner: self.clone() }), columns, schema)
    }
}

/// An expression that fails once its query is stopped.
#[derive(Debug, Clone)]
struct Asking {
    inner: Arc<dyn PhysicalExpr>,
    owner: Owner,
}

impl PartialEq for Asking {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for Asking {}

impl Hash for Asking {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

impl PhysicalExpr for Asking {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        if let Some(query) = self.owner.0.get() {
            query.check()?;
        }
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(inner), true) => Ok(Arc::new(Self { inner, owner: self.owner.clone() })),
            _ => internal_err!("the filter of a join is one expression"),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}

/// A join that gives way after some batches.
#[derive(Debug, Clone)]
struct YieldExec {
    join: Arc<dyn ExecutionPlan>,
    owner: Owner,
    /// Whether it may compute for long without giving anything.
    aside: bool,
    properties: Arc<PlanProperties>,
}

impl YieldExec {
    fn over(join: Arc<dyn ExecutionPlan>, owner: Owner, aside: bool) -> Arc<dyn ExecutionPlan> {
        let properties = PlanProperties::clone(join.properties())
            .with_scheduling_type(SchedulingType::Cooperative);
        Arc::new(Self { join, owner, aside, properties: Arc::new(properties) })
    }
}

impl DisplayAs for YieldExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "YieldExec")
    }
}

impl ExecutionPlan for YieldExec {
    fn name(&self) -> &'static str {
        "YieldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.join]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
            (Some(join), true) => Ok(Self::over(join, self.owner.clone(), self.aside)),
            _ => internal_err!("YieldExec has one child"),
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
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let query = context.session_config().get_extension::<Query>();
        if let Some(query) = &query {
            // A plan belongs to one query, however often it is run.
            let _ = self.owner.0.set(Query::clone(query));
        }
        let inner = self.join.execute(partition, context)?;
        Ok(Box::pin(Yielding { inner, query, aside: self.aside }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(
        &self,
        inputs: &[Arc<Statistics>],
        _arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(inputs
            .first()
            .map_or_else(|| Arc::new(Statistics::new_unknown(&self.schema())), Arc::clone))
    }
}

/// The batches of such a join.
struct Yielding {
    inner: SendableRecordBatchStream,
    query: Option<Arc<Query>>,
    aside: bool,
}

impl Yielding {
    fn ask(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<RecordBatch>>> {
        let threads = || {
            Handle::try_current()
                .is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
        };
        if self.aside && threads() {
            // The thread hands its other tasks to another thread, for as long as this takes.
            tokio::task::block_in_place(|| self.inner.poll_next_unpin(context))
        } else {
            self.inner.poll_next_unpin(context)
        }
    }
}

impl Stream for Yielding {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(query) = &self.query {
            query.check()?;
        }
        // Paid after a batch and not before: of joins within one another, more than a task may pay for at
        // once, the outer ones would take all before the inner ones had moved, again and again.
        if !coop::has_budget_remaining() {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let batch = self.ask(context);
        if batch.is_ready()
            && let Poll::Ready(paid) = coop::poll_proceed(context)
        {
            paid.made_progress();
        }
        batch
    }
}

impl RecordBatchStream for Yielding {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }
}
