//! Plans that the rest of a statement does not see.

use super::exec::{GuardedExec, hidden};
use crate::engine::rewrite;
use crate::error::QueryError;
use crate::provider::blocking;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use std::sync::Arc;

/// What a plan gives, as a leaf with this schema. What is wrong with it is in the log alone.
pub(in crate::engine) async fn below(
    name: &Arc<str>,
    plan: LogicalPlan,
    schema: SchemaRef,
    state: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(state) = state.as_any().downcast_ref::<SessionState>().cloned() else {
        return Err(QueryError::Internal("a guarded table needs a whole session".into()).into());
    };
    // Predicates on coordinates read these: blocks.
    let optimized = blocking(move || {
        let plan = state.optimize(&rewrite::rewrite(plan)?)?;
        Ok((state, plan))
    });
    let (state, plan) = optimized.await.map_err(|error| hidden(name, error.into()))?;
    let planner = DefaultPhysicalPlanner::default();
    let inner = planner.create_physical_plan(&plan, &state).await;
    let inner = inner.map_err(|error| hidden(name, error))?;
    Ok(Arc::new(GuardedExec::new(name, inner, schema, state.config().target_partitions())?))
}
