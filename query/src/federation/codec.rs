//! Fragments as Substrait, and back.
//!
//! The encoder decodes what it has written, against the schemas it knows, and compares: output types, and
//! every literal, cast and function inside. Where Substrait would lose or change anything the
//! fragment does not travel. Output columns are named `f0`, `f1`, … on the wire and go by position.

use super::allow::{Refusal, check_plan};
use super::provider::PeerTable;
use super::wire::{Payload, bytes_from_text, bytes_to_text};
use crate::error::QueryError;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, Result, ScalarValue, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{split_binary, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Join, LogicalPlan, LogicalTableSource, Operator, Projection, TableScan,
    TableScanBuilder,
};
use datafusion_substrait::logical_plan::consumer::from_substrait_plan;
use datafusion_substrait::logical_plan::producer::to_substrait_plan;
use datafusion_substrait::substrait::proto::Plan;
use futures::FutureExt;
use prost::Message;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Largest encoded plan.
pub(crate) const LARGEST_PLAN: usize = 1 << 20;

/// Encodes a plan whose scans are all of one peer. `state` knows the tables of the peers.
pub(crate) fn encode(
    plan: &LogicalPlan,
    state: &SessionState,
    has_function: &dyn Fn(&str) -> bool,
) -> std::result::Result<Payload, Refusal> {
    let plan = normalise(plan).map_err(|error| error.to_string())?;
    check_plan(&plan, has_function)?;
    let known = with_functions_of(&plan, state).map_err(|error| error.to_string())?;
    let state = known.as_ref().unwrap_or(state);
    let message = to_substrait_plan(&plan, state).map_err(|error| error.to_string())?;
    let bytes = message.encode_to_vec();
    if bytes.len() > LARGEST_PLAN {
        return Err(format!("the plan has more than {LARGEST_PLAN} bytes"));
    }
    // Tables are resolved in memory, so decoding never waits.
    let message = read_plan(&bytes)?;
    let again = decode(&message, state)
        .now_or_never()
        .ok_or_else(|| "the plan could not be checked".to_owned())?
        .map_err(|error| error.to_string())?;
    let types = |plan: &LogicalPlan| {
        plan.schema().fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>()
    };
    if types(&plan) != types(&again) {
        return Err("the types change on the way".to_owned());
    }
    let parts = |plan: &LogicalPlan| parts(plan).map_err(|error| error.to_string());
    if parts(&plan)? != parts(&again)? {
        return Err("the expressions change on the way".to_owned());
    }
    Ok(Payload::Plan(bytes_to_text(&bytes)))
}

/// The state with the functions of a plan that it lacks, if there are any.
fn with_functions_of(plan: &LogicalPlan, state: &SessionState) -> Result<Option<SessionState>> {
    let mut known: Option<SessionState> = None;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(function) = expr
                    && !state.scalar_functions().contains_key(function.name())
                {
                    let known = known.get_or_insert_with(|| state.clone());
                    known.register_udf(Arc::clone(&function.func))?;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(known)
}

/// Reads the bytes of a plan.
pub(crate) fn read_plan(bytes: &[u8]) -> std::result::Result<Plan, Refusal> {
    // The reader of protocol buffers stops at 100 levels by itself.
    Plan::decode(bytes).map_err(|error| format!("the plan cannot be read: {error}"))
}

/// Makes a logical plan of it. It may hold anything that Substrait can say: the caller checks it.
///
/// # Errors
/// What the policy says of a table stays what it is; anything else is [`QueryError::Invalid`].
pub(crate) async fn decode(
    plan: &Plan,
    state: &SessionState,
) -> std::result::Result<LogicalPlan, QueryError> {
    let refused =
        |reason: String| QueryError::Invalid(format!("the fragment is refused: {reason}"));
    // The reader of Substrait takes for granted that messages are complete, and panics otherwise.
    match AssertUnwindSafe(from_substrait_plan(state, plan)).catch_unwind().await {
        Ok(Ok(plan)) => Ok(plan),
        Ok(Err(error)) => {
            let text = format!("the plan does not fit: {}", error.strip_backtrace());
            match QueryError::from(error) {
                QueryError::Invalid(_) | QueryError::Internal(_) => Err(refused(text)),
                own => Err(own),
            }
        }
        Err(_) => Err(refused("the plan is not complete".to_owned())),
    }
}

/// The bytes of a plan in a ticket.
pub(crate) fn plan_bytes(text: &str) -> std::result::Result<Vec<u8>, Refusal> {
    if text.len() / 4 * 3 > LARGEST_PLAN + 3 {
        return Err(format!("the plan has more than {LARGEST_PLAN} bytes"));
    }
    let bytes = bytes_from_text(text).map_err(|error| format!("the plan is no base64: {error}"))?;
    if bytes.len() > LARGEST_PLAN {
        return Err(format!("the plan has more than {LARGEST_PLAN} bytes"));
    }
    Ok(bytes)
}

/// The same plan in the words that travel: scans of just their columns, joins by ON, literals of
/// dictionary type as casts, balanced AND and OR (the wire limits depth), outputs by number.
fn normalise(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan
        .clone()
        .transform_up(|node| match node {
            LogicalPlan::TableScan(scan) => {
                narrow_scan(&scan).map(|scan| Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            LogicalPlan::Join(join) if join.join_constraint == JoinConstraint::Using => {
                let join = Join { join_constraint: JoinConstraint::On, ..join };
                Ok(Transformed::yes(LogicalPlan::Join(join)))
            }
            other => Ok(Transformed::no(other)),
        })?
        .data
        .transform_up(|node| {
            // A rewritten expression keeps the name that the nodes above know it by.
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let plain = expr.transform_up(plain_literal)?;
                Ok(plain.update_data(|expr| name.restore(balance(expr))))
            })
        })?
        .data;
    let outputs = plan
        .schema()
        .iter()
        .enumerate()
        .map(|(index, field)| Expr::Column(Column::from(field)).alias(format!("f{index}")))
        .collect();
    Ok(LogicalPlan::Projection(Projection::try_new(outputs, Arc::new(plan))?))
}

/// The scan with a source that has only the columns it reads: others may have types without a name in Substrait.
fn narrow_scan(scan: &TableScan) -> Result<TableScan> {
    let schema = Arc::new(scan.projected_schema.as_arrow().clone());
    TableScanBuilder::new(scan.table_name.clone(), Arc::new(LogicalTableSource::new(schema)))
        .with_filters(scan.filters.clone())
        .build()
}

/// A literal of dictionary type as the cast of a plain one.
fn plain_literal(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Literal(ScalarValue::Dictionary(keys, value), None) => {
            let data_type = ScalarValue::Dictionary(keys, value.clone()).data_type();
            let plain = Box::new(Expr::Literal(*value, None));
            Ok(Transformed::yes(Expr::Cast(Cast::new(plain, data_type))))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Long chains of AND and of OR as balanced trees.
fn balance(expr: Expr) -> Expr {
    fn join(mut parts: Vec<Expr>, op: Operator) -> Option<Expr> {
        if parts.len() < 2 {
            return parts.pop();
        }
        let right = parts.split_off(parts.len() / 2);
        match (join(parts, op), join(right, op)) {
            (Some(left), Some(right)) => {
                Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right))))
            }
            (left, right) => left.or(right),
        }
    }
    let Expr::BinaryExpr(BinaryExpr { op, .. }) = &expr else { return expr };
    let op = *op;
    let parts = match op {
        Operator::And => split_conjunction(&expr),
        Operator::Or => split_binary(&expr, Operator::Or),
        _ => return expr,
    };
    let parts = parts.into_iter().cloned().map(balance).collect();
    join(parts, op).unwrap_or(expr)
}

/// Every literal, cast and function of a plan, in an order that does not depend on its shape.
fn parts(plan: &LogicalPlan) -> Result<Vec<String>> {
    let mut parts = Vec::new();
    plan.apply(|node| {
        // A sort with a fetch comes back as a sort and a limit.
        if let LogicalPlan::Sort(sort) = node
            && let Some(fetch) = sort.fetch
        {
            parts.push(format!("{:?}", ScalarValue::Int64(i64::try_from(fetch).ok())));
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::Literal(value, _) => parts.push(format!("{value:?}")),
                    Expr::Cast(cast) => parts.push(format!("cast {:?}", cast.field.data_type())),
                    Expr::TryCast(cast) => {
                        parts.push(format!("try cast {:?}", cast.field.data_type()));
                    }
                    Expr::ScalarFunction(function) => parts.push(function.name().to_owned()),
                    Expr::AggregateFunction(function) => parts.push(format!(
                        "{} {} {}",
                        function.func.name(),
                        function.params.distinct,
                        function.params.filter.is_some()
                    )),
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    parts.sort_unstable();
    Ok(parts)
}

/// The peer's table behind a scan, if it is one and the scan uses its full name.
pub(crate) fn peer_table(scan: &TableScan) -> Option<Arc<dyn TableProvider>> {
    let provider = source_as_provider(&scan.source).ok()?;
    let table = provider.downcast_ref::<PeerTable>()?;
    let TableReference::Full { catalog, schema, table: name } = &scan.table_name else {
        return None;
    };
    table.is_named(catalog, schema, name).then_some(provider)
}
