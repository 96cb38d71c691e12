//! The rule that finds aggregates which can be computed below the broadcast.

use super::compile::Compiled;
use super::exec::GridAggregateExec;
use super::inline::Inlined;
use super::keys::Keys;
use super::worker::Job;
use arrow::datatypes::Schema;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{
    AggregateExec, AggregateInputMode, AggregateOutputMode,
};
use std::sync::Arc;

/// Most groups that are kept without spilling; DataFusion's own aggregate can spill.
const MOST_GROUPS: u64 = 1 << 21;
/// The rule before which this one stands: there are no repartitions yet.
const BEFORE: &str = "EnsureRequirements";

/// Replaces an aggregate over a scan of files in place by [`GridAggregateExec`], where the answer
/// is provably the same: every key depends on the coordinates of one dimension, every aggregate is
/// independent of the order of rows, and nothing but filters and projections lies between.
#[derive(Debug, Default)]
pub struct AggregateBelowBroadcast;

impl AggregateBelowBroadcast {
    /// DataFusion's rules with this one and `then` at their place.
    pub fn rules(
        then: Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>,
    ) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
        let mut rules = PhysicalOptimizer::new().rules;
        let place = rules.iter().position(|rule| rule.name() == BEFORE).unwrap_or(0);
        let own: Arc<dyn PhysicalOptimizerRule + Send + Sync> = Arc::new(Self);
        rules.splice(place..place, std::iter::once(own).chain(then));
        rules
    }
}

impl PhysicalOptimizerRule for AggregateBelowBroadcast {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_down(|plan| {
            Ok(match replaced(&plan) {
                Some(new) => Transformed::yes(Arc::new(new) as Arc<dyn ExecutionPlan>),
                None => Transformed::no(plan),
            })
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "AggregateBelowBroadcast"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The aggregate below the broadcast that does the same as a plan.
fn replaced(plan: &Arc<dyn ExecutionPlan>) -> Option<GridAggregateExec> {
    let last = plan.downcast_ref::<AggregateExec>()?;
    if last.mode().output_mode() != AggregateOutputMode::Final {
        return None;
    }
    let first = match last.mode().input_mode() {
        AggregateInputMode::Raw => last,
        AggregateInputMode::Partial => last.input().downcast_ref::<AggregateExec>()?,
    };
    let raw = first.mode().input_mode() == AggregateInputMode::Raw;
    let partial = first.mode().output_mode() == AggregateOutputMode::Partial;
    if !raw || !(partial || std::ptr::eq(first, last)) || !first.group_expr().is_single() {
        return None;
    }
    let inlined = Inlined::of(first.input())?;
    let compiled = Compiled::of(&inlined, first.aggr_expr(), first.filter_expr())?;
    let keys: Vec<Arc<dyn PhysicalExpr>> = first
        .group_expr()
        .expr()
        .iter()
        .map(|(key, _)| inlined.inline(key))
        .collect::<Option<_>>()?;
    let fields = first.group_expr().group_schema(&first.input_schema()).ok()?;
    let work = inlined.scan.work().clone();
    let keys = keys_of(&work, &keys, &fields)?;
    let job = Job { work, compiled, keys: keys.into(), key_fields: fields };
    if job.groups() > MOST_GROUPS {
        return None;
    }
    let names = first.group_expr().expr().iter().map(|(_, name)| name.as_str());
    let names: Vec<&str> = names.collect();
    let aggregates: Vec<&str> = first.aggr_expr().iter().map(|function| function.name()).collect();
    let text = format!("gby=[{}], aggr=[{}]", names.join(", "), aggregates.join(", "));
    Some(GridAggregateExec::new(job, last.schema(), text))
}

fn keys_of(
    work: &crate::provider::work::Work,
    keys: &[Arc<dyn PhysicalExpr>],
    fields: &Schema,
) -> Option<Vec<Option<Keys>>> {
    let schema = work.table.schema();
    let parts = work.table.parts().iter().zip(work.selections.iter());
    parts
        .map(|(part, selection)| match selection {
            None => Some(None),
            Some(selection) => Keys::of_part(part, schema, selection, keys, fields).map(Some),
        })
        .collect()
}
