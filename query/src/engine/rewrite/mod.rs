//! What is written anew in a statement before DataFusion plans it, where DataFusion would answer
//! wrongly or not at all.

mod coarse;
mod decimals;
mod instants;
mod lists;
mod widths;
mod zeros;

use crate::functions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Operator, TableScan};

/// The plan with every expression in it written anew. Columns keep their names.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| {
        let mut schema = DFSchema::empty();
        for input in plan.inputs() {
            schema.merge(input.schema());
        }
        let plan = match plan {
            LogicalPlan::Join(join) => LogicalPlan::Join(instants::of_join(join)?),
            LogicalPlan::TableScan(scan) if is_views(&scan) => of_views(scan)?,
            LogicalPlan::Filter(mut filter) => {
                filter.predicate = instants::of_condition(filter.predicate, &schema);
                LogicalPlan::Filter(filter)
            }
            other => other,
        };
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expression| {
            let name = names.save(&expression);
            // What a list becomes is looked at again.
            let expression =
                expression.transform_up(|expression| Ok(lists::of_expression(expression)))?;
            let expression = expression.transform_data(|expression| {
                expression.transform_up(|expression| of_expression(expression, &schema))
            })?;
            Ok(expression.update_data(|expression| name.restore(expression)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(plan.data)
}

fn of_expression(expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    coarse::of_expression(expression, schema)
        .transform_data(|expression| instants::of_expression(expression, schema))?
        .transform_data(|expression| zeros::of_expression(expression, schema))?
        .transform_data(|expression| decimals::of_expression(expression, schema))?
        .transform_data(|expression| widths::of_expression(expression, schema))?
        .transform_data(|expression| Ok(functions::of_operator(expression)))
}

/// The same for what the optimizer puts in place of columns: constants finer than a unit.
pub(super) fn finer_constants(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let mut schema = DFSchema::empty();
    match &plan {
        LogicalPlan::TableScan(scan) => {
            let (name, columns) = (scan.table_name.clone(), scan.source.schema());
            schema = DFSchema::try_from_qualified_schema(name, &columns)?;
        }
        other => {
            for input in other.inputs() {
                schema.merge(input.schema());
            }
        }
    }
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expression| {
        let name = names.save(&expression);
        let exact = |expression| Ok(coarse::of_expression(expression, &schema));
        let expression = expression.transform_up(exact)?;
        Ok(expression.update_data(|expression| name.restore(expression)))
    })
}

/// Whether this is `information_schema.views`.
fn is_views(scan: &TableScan) -> bool {
    scan.table_name.schema() == Some("information_schema") && scan.table_name.table() == "views"
}

/// The views alone: DataFusion lists every table among them, without a definition.
fn of_views(scan: TableScan) -> Result<LogicalPlan> {
    let definition = Expr::Column(Column::new(Some(scan.table_name.clone()), "definition"));
    LogicalPlanBuilder::from(LogicalPlan::TableScan(scan)).filter(definition.is_not_null())?.build()
}

/// Whether an operator compares two values.
fn compares(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}
