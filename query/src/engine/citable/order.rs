//! One order of the rows of an answer, decided by its text and by their values alone.

use super::refused;
use crate::error::QueryError;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Sort, SortExpr, Volatility};

/// The plan with rows that come in one order only: those of an ORDER BY as it says, all others by their
/// columns from left to right; rows that are equal to an ORDER BY by their columns too.
///
/// # Errors
/// [`QueryError::Invalid`] for functions that differ from one time to the next, and for a LIMIT that takes
/// whatever rows come first.
pub(super) fn fixed(plan: LogicalPlan) -> Result<LogicalPlan, QueryError> {
    check(&plan)?;
    let total = |node| {
        Ok(match node {
            LogicalPlan::Sort(sort) => Transformed::yes(LogicalPlan::Sort(total(sort))),
            other => Transformed::no(other),
        })
    };
    let plan = plan.transform_down_with_subqueries(total)?.data;
    if is_sorted(&plan) {
        return Ok(plan);
    }
    let columns = columns(plan.schema(), &[]);
    if columns.is_empty() {
        return Ok(plan);
    }
    Ok(LogicalPlanBuilder::from(plan).sort(columns)?.build()?)
}

fn check(plan: &LogicalPlan) -> Result<(), QueryError> {
    let mut problem = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node
            && !is_sorted(&limit.input)
        {
            problem = Some(
                "LIMIT without ORDER BY takes whatever rows come first: add an ORDER BY".to_owned(),
            );
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    problem = Some(format!(
                        "{}() gives something else each time: write the value in its place",
                        call.func.name()
                    ));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok::<_, DataFusionError>(if problem.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    problem.map_or(Ok(()), |problem| Err(refused(&problem)))
}

/// Whether the rows of a plan come as an ORDER BY says.
fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(node) => is_sorted(&node.input),
        LogicalPlan::SubqueryAlias(node) => is_sorted(&node.input),
        LogicalPlan::Limit(node) => is_sorted(&node.input),
        _ => false,
    }
}

/// A sort in which rows are equal only if all their columns are.
fn total(mut sort: Sort) -> Sort {
    let more = columns(sort.input.schema(), &sort.expr);
    sort.expr.extend(more);
    sort
}

/// Every column that has an order and is not among those that are sorted by, ascending, NULL first.
fn columns(schema: &DFSchema, known: &[SortExpr]) -> Vec<SortExpr> {
    schema
        .columns()
        .into_iter()
        .zip(schema.fields())
        .filter(|(_, field)| has_order(field.data_type()))
        .map(|(column, _)| Expr::Column(column))
        .filter(|column| known.iter().all(|sort| sort.expr != *column))
        .map(|column| column.sort(true, true))
        .collect()
}

/// Whether values of a type are sorted by. Nested ones are not: rows that differ in them alone come as
/// they are read.
fn has_order(data_type: &DataType) -> bool {
    match data_type {
        DataType::Null | DataType::RunEndEncoded(..) => false,
        DataType::Dictionary(_, values) => has_order(values),
        other => !other.is_nested(),
    }
}
