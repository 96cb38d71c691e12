//! Comparisons that are joined by AND, in the one form that DataFusion's push-down tells apart.
//!
//! Before it pushes a filter down, DataFusion drops comparisons of a column with constants that others
//! imply. It compares them as they are written: `3 = x AND x = 3` are two values to it, which no `x` has,
//! and -0.0 is below 0.0. Here a constant stands on the right, and there is one zero.

use super::rewrite;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, Operator};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{Optimizer, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// A rule for logical plans.
type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// DataFusion's rules for logical plans, with ours before those that need it.
pub(crate) fn rules() -> Vec<Rule> {
    let before = |rule: Rule| -> Rule {
        match rule.name() {
            // The optimizer calls it for every node, those too that it made itself, so it meets no other form.
            "push_down_filter" => Arc::new(Before { rule, own: filters_in_one_form }),
            // It moves constants to the unit of what they are compared with, also where the optimizer
            // itself put the two together; so what does not fit is gone before.
            "simplify_expressions" => Arc::new(Before { rule, own: rewrite::finer_constants }),
            _ => rule,
        }
    };
    Optimizer::new().rules.into_iter().map(before).collect()
}

/// A rule that finds each node as ours left it.
#[derive(Debug)]
struct Before {
    rule: Rule,
    own: fn(LogicalPlan) -> Result<Transformed<LogicalPlan>>,
}

impl OptimizerRule for Before {
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
        let own = (self.own)(plan)?;
        let mut both = self.rule.rewrite(own.data, config)?;
        both.transformed |= own.transformed;
        Ok(both)
    }
}

/// A node, if it is a filter, in the one form.
#[expect(clippy::unnecessary_wraps, reason = "rules may fail")]
fn filters_in_one_form(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Filter(filter) => {
            let (filter, changed) = in_one_form(filter);
            Transformed::new_transformed(LogicalPlan::Filter(filter), changed)
        }
        other => Transformed::no(other),
    })
}

/// A filter, and those directly below it, which are merged with it.
fn in_one_form(mut filter: Filter) -> (Filter, bool) {
    let mut changed = false;
    if let LogicalPlan::Filter(below) = filter.input.as_ref() {
        let (below, of_below) = in_one_form(below.clone());
        if of_below {
            filter.input = Arc::new(LogicalPlan::Filter(below));
            changed = true;
        }
    }
    let parts = split_conjunction(&filter.predicate);
    let turned: Vec<Option<Expr>> = parts.iter().map(|part| comparison(part)).collect();
    if turned.iter().any(Option::is_some) {
        let parts = parts.into_iter().zip(turned);
        let parts = parts.map(|(part, turned)| turned.unwrap_or_else(|| part.clone()));
        if let Some(predicate) = conjunction(parts) {
            filter.predicate = predicate;
            changed = true;
        }
    }
    (filter, changed)
}

/// A comparison of a column with a constant, if it is not in the one form.
fn comparison(part: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else { return None };
    let compares =
        matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
    let (column, op, value, turned) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(_), Expr::Literal(value, _)) if compares => (left, *op, value, false),
        (Expr::Literal(value, _), Expr::Column(_)) if compares => (right, op.swap()?, value, true),
        _ => return None,
    };
    let zero = positive_zero(value);
    if !turned && zero.is_none() {
        return None;
    }
    let value = Box::new(Expr::Literal(zero.unwrap_or_else(|| value.clone()), None));
    Some(Expr::BinaryExpr(BinaryExpr { left: column.clone(), op, right: value }))
}

/// The zero without a sign, for one with it.
fn positive_zero(value: &ScalarValue) -> Option<ScalarValue> {
    let negative = match value {
        ScalarValue::Float16(Some(value)) => value.to_f32() == 0.0 && value.is_sign_negative(),
        ScalarValue::Float32(Some(value)) => *value == 0.0 && value.is_sign_negative(),
        ScalarValue::Float64(Some(value)) => *value == 0.0 && value.is_sign_negative(),
        _ => false,
    };
    if negative { ScalarValue::new_zero(&value.data_type()).ok() } else { None }
}
