//! EXPLAIN for people who are not the owner: the plan without paths, URLs and settings.

use crate::engine::answer::{Prepared, Sites};
use crate::engine::obligations::GuardedExec;
use crate::error::QueryError;
use crate::provider::{DeltaScanExec, GridAggregateExec, GridScanExec};
use arrow::array::{RecordBatch, StringArray};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Explain;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, displayable};
use std::fmt::Write;
use std::sync::Arc;

/// The answer of EXPLAIN over plans that are already made.
pub(super) fn answer(
    explain: &Explain,
    logical: &LogicalPlan,
    physical: &Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
) -> Result<Prepared, QueryError> {
    let schema = Arc::clone(explain.schema.inner());
    let text = shape(physical);
    let kinds = StringArray::from(vec!["logical_plan", "physical_plan"]);
    let plans = StringArray::from(vec![logical.display_indent().to_string(), text]);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(kinds), Arc::new(plans)])?;
    let plan = MemorySourceConfig::try_new_exec(&[vec![batch]], Arc::clone(&schema), None)?;
    Ok(Prepared::new(plan, &schema, task, Sites::default(), None))
}

/// The plan as everybody may see it.
pub(super) fn shape(plan: &Arc<dyn ExecutionPlan>) -> String {
    let mut text = String::new();
    describe(plan, 0, &mut text);
    text
}

/// One line a node. Scans of own tables name the table; other leaves, which may show file names or
/// addresses, say only what they are.
fn describe(plan: &Arc<dyn ExecutionPlan>, depth: usize, text: &mut String) {
    let own = plan.downcast_ref::<GridScanExec>().is_some()
        || plan.downcast_ref::<GridAggregateExec>().is_some()
        || plan.downcast_ref::<DeltaScanExec>().is_some()
        || plan.downcast_ref::<GuardedExec>().is_some();
    let line = if own || !plan.children().is_empty() {
        displayable(plan.as_ref()).one_line().to_string()
    } else {
        plan.name().to_owned()
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{:indent$}{}", "", line.trim_end(), indent = depth * 2);
    if !own {
        for child in plan.children() {
            describe(child, depth + 1, text);
        }
    }
}
