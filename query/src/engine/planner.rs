//! Physical planning with the fragments of federation.

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use std::fmt;
use std::sync::Arc;

/// DataFusion's planner with one more kind of node.
pub(super) struct FederatedPlanner {
    fragments: Arc<dyn ExtensionPlanner + Send + Sync>,
}

impl FederatedPlanner {
    /// A planner that plans fragments so.
    pub(super) fn new(fragments: Arc<dyn ExtensionPlanner + Send + Sync>) -> Self {
        Self { fragments }
    }
}

impl fmt::Debug for FederatedPlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FederatedPlanner").finish_non_exhaustive()
    }
}

#[async_trait]
impl QueryPlanner for FederatedPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::clone(&self.fragments)])
            .create_physical_plan(plan, session)
            .await
    }
}
