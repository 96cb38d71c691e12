//! Splitting an aggregate over a UNION ALL, so that each lab sends groups instead of rows.
//!
//! `avg(x)` over the union of branches becomes, in each branch, `sum(x)` and `count(x)`, and above
//! their union `sum(sums) / sum(counts)`; `count`, `sum`, `min` and `max` go the same way. NULLs and
//! empty groups come out as before: a sum over no values is NULL and NULL divided is NULL; a count
//! over no branch at all is 0. Filters of aggregates stay with the first step. Whatever does not fit
//! (DISTINCT, other functions, decimal sums whose type would widen, grouping sets) is not split.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::functions::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_aggregate::{count::count_udaf, sum::sum_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, Expr, ExprSchemable, LogicalPlan, Operator, Projection, Union,
    binary_expr, cast, lit,
};
use std::sync::Arc;

/// The same aggregate in two steps; `None` if it is not over a union, gains nothing, or does not fit.
pub(crate) fn split_aggregate(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let mut between = Vec::new();
    let Some(union) = union_below(&aggregate.input, &mut between) else { return Ok(None) };
    if union.inputs.iter().all(|input| is_aggregated(input)) {
        return Ok(None);
    }
    if !aggregate.group_expr.iter().chain(&aggregate.aggr_expr).all(is_plain) {
        return Ok(None);
    }
    let Some(steps) = steps(aggregate)? else { return Ok(None) };
    let partials = union
        .inputs
        .iter()
        .map(|branch| partial(aggregate, branch, union, &between, &steps).map(Arc::new))
        .collect::<Result<Vec<_>>>()?;
    let types = |plan: &Arc<LogicalPlan>| {
        plan.schema().fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>()
    };
    if partials.windows(2).any(|pair| matches!(pair, [a, b] if types(a) != types(b))) {
        return Ok(None);
    }
    let merged = LogicalPlan::Union(Union::try_new(partials)?);
    let plan = finish(aggregate, merged, &steps)?;
    let same = plan.schema().iter().zip(aggregate.schema.iter()).all(|(new, old)| {
        new.0 == old.0 && new.1.name() == old.1.name() && new.1.data_type() == old.1.data_type()
    });
    Ok(same.then_some(plan))
}

/// Whether an expression may be computed once per branch instead of once.
fn is_plain(expr: &Expr) -> bool {
    let special = expr.exists(|expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
                | Expr::GroupingSet(_)
        ))
    });
    !expr.is_volatile() && matches!(special, Ok(false))
}

/// The union below an aggregate and the nodes between, uppermost first.
fn union_below<'a>(plan: &'a LogicalPlan, between: &mut Vec<&'a LogicalPlan>) -> Option<&'a Union> {
    match plan {
        LogicalPlan::Union(union) => Some(union),
        LogicalPlan::Projection(projection) if projection.expr.iter().all(is_plain) => {
            between.push(plan);
            union_below(&projection.input, between)
        }
        LogicalPlan::SubqueryAlias(alias) => {
            between.push(plan);
            union_below(&alias.input, between)
        }
        LogicalPlan::Filter(filter) if is_plain(&filter.predicate) => {
            between.push(plan);
            union_below(&filter.input, between)
        }
        _ => None,
    }
}

/// Whether a branch sends groups already.
fn is_aggregated(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(_) => true,
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.inputs().into_iter().any(is_aggregated)
        }
        _ => false,
    }
}

/// How one aggregate is computed in two steps, with columns of the first step by number.
enum Merge {
    /// Sum of counts, 0 if there are none.
    Count(usize),
    /// The same function over the parts: a sum of sums, the least of the least. It is the query's own
    /// function, because DataFusion's of that name loses NaN and wraps around.
    Same(usize, Arc<AggregateUDF>),
    /// Sum of sums over sum of counts.
    Mean { sum: usize, count: usize },
}

struct Steps {
    /// Aggregates of the first step.
    first: Vec<Expr>,
    /// How each aggregate of the query is made of them.
    second: Vec<Merge>,
}

fn steps(aggregate: &Aggregate) -> Result<Option<Steps>> {
    let input = aggregate.input.schema();
    let mut steps = Steps { first: Vec::new(), second: Vec::new() };
    for expr in &aggregate.aggr_expr {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias()
        else {
            return Ok(None);
        };
        let [arg] = params.args.as_slice() else { return Ok(None) };
        if params.distinct || !params.order_by.is_empty() || params.null_treatment.is_some() {
            return Ok(None);
        }
        let (arg_type, result) = (arg.get_type(input)?, expr.get_type(input)?);
        let mut add = |udaf: &Arc<AggregateUDF>| {
            steps.first.push(Expr::AggregateFunction(AggregateFunction {
                func: Arc::clone(udaf),
                params: AggregateFunctionParams { args: vec![arg.clone()], ..params.clone() },
            }));
            steps.first.len() - 1
        };
        let sums = matches!(result, DataType::Int64 | DataType::UInt64 | DataType::Float64);
        let merge = match func.name() {
            "count" => Merge::Count(add(&func)),
            "sum" if sums => Merge::Same(add(&func), func),
            "min" | "max" => Merge::Same(add(&func), func),
            "avg" if arg_type == DataType::Float64 && result == DataType::Float64 => {
                Merge::Mean { sum: add(&sum_udaf()), count: add(&count_udaf()) }
            }
            _ => return Ok(None),
        };
        steps.second.push(merge);
    }
    Ok(Some(steps))
}

fn group_name(index: usize) -> String {
    format!("__tarn_group_{index}")
}

fn part_name(index: usize) -> String {
    format!("__tarn_part_{index}")
}

/// The first step over one branch: groups, then parts, under names of our own.
fn partial(
    aggregate: &Aggregate,
    branch: &Arc<LogicalPlan>,
    union: &Union,
    between: &[&LogicalPlan],
    steps: &Steps,
) -> Result<LogicalPlan> {
    // The branch under the names that the union gives its columns.
    let renamed = branch
        .schema()
        .iter()
        .zip(union.schema.iter())
        .map(|(own, (qualifier, field))| {
            let column = Expr::Column(Column::from(own));
            let column = if own.1.data_type() == field.data_type() {
                column
            } else {
                cast(column, field.data_type().clone())
            };
            column.alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    let mut plan = LogicalPlan::Projection(Projection::try_new(renamed, Arc::clone(branch))?);
    for node in between.iter().rev() {
        plan = node.with_new_exprs(node.expressions(), vec![plan])?;
    }
    let plan = Aggregate::try_new(
        Arc::new(plan),
        aggregate.group_expr.clone(),
        steps.first.iter().enumerate().map(|(i, e)| e.clone().alias(part_name(i))).collect(),
    )?;
    let groups = aggregate.group_expr.len();
    let outputs = plan
        .schema
        .iter()
        .enumerate()
        .map(|(index, field)| {
            let name = index.checked_sub(groups).map_or_else(|| group_name(index), part_name);
            Expr::Column(Column::from(field)).alias(name)
        })
        .collect();
    Projection::try_new(outputs, Arc::new(LogicalPlan::Aggregate(plan)))
        .map(LogicalPlan::Projection)
}

/// The second step: merges the parts of equal groups and restores names and types.
fn finish(aggregate: &Aggregate, merged: LogicalPlan, steps: &Steps) -> Result<LogicalPlan> {
    let column = |name: String| Expr::Column(Column::new_unqualified(name));
    let part = |index: &usize| column(part_name(*index));
    let groups: Vec<Expr> =
        (0..aggregate.group_expr.len()).map(|index| column(group_name(index))).collect();
    let mut totals: Vec<Expr> = Vec::new();
    let mut total = |expr: Expr| {
        let name = format!("__tarn_total_{}", totals.len());
        totals.push(expr.alias(&name));
        column(name)
    };
    let values: Vec<Expr> = steps
        .second
        .iter()
        .map(|merge| match merge {
            Merge::Count(counts) => {
                coalesce(vec![total(sum(part(counts))), lit(ScalarValue::Int64(Some(0)))])
            }
            Merge::Same(parts, function) => total(function.call(vec![part(parts)])),
            Merge::Mean { sum: sums, count } => {
                let (sums, count) = (total(sum(part(sums))), total(sum(part(count))));
                binary_expr(sums, Operator::Divide, cast(count, DataType::Float64))
            }
        })
        .collect();
    let merged = Aggregate::try_new(Arc::new(merged), groups.clone(), totals)?;
    let outputs = groups
        .into_iter()
        .chain(values)
        .zip(aggregate.schema.iter())
        .map(|(value, (qualifier, field))| value.alias_qualified(qualifier.cloned(), field.name()))
        .collect();
    let input = Arc::new(LogicalPlan::Aggregate(merged));
    Projection::try_new(outputs, input).map(LogicalPlan::Projection)
}
