//! Planning that ends when its query is stopped: every rule asks before it begins.

use super::running::Query;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::{PhysicalOptimizerContext, PhysicalOptimizerRule};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// The same rules, which fail once the query is stopped.
pub(in crate::engine) fn patient(
    mut builder: SessionStateBuilder,
    query: &Query,
) -> SessionStateBuilder {
    if let Some(optimizer) = builder.optimizer() {
        for rule in &mut optimizer.rules {
            let asking = Logical { rule: Arc::clone(rule), query: query.clone() };
            *rule = Arc::new(asking);
        }
    }
    if let Some(optimizer) = builder.physical_optimizers() {
        for rule in &mut optimizer.rules {
            let asking = Physical { rule: Arc::clone(rule), query: query.clone() };
            *rule = Arc::new(asking);
        }
    }
    builder
}

/// A rule over logical plans; asked again for each node where the optimizer walks the plan.
#[derive(Debug)]
struct Logical {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
    query: Query,
}

impl OptimizerRule for Logical {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        self.query.check()?;
        self.rule.rewrite(plan, config)
    }
}

/// A rule over physical plans.
#[derive(Debug)]
struct Physical {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
    query: Query,
}

impl PhysicalOptimizerRule for Physical {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.query.check()?;
        self.rule.optimize(plan, config)
    }

    fn optimize_with_context(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        context: &dyn PhysicalOptimizerContext,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.query.check()?;
        self.rule.optimize_with_context(plan, context)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}
