//! Questions about what a lab has none of: keys, indexes, triggers, partitions, and much else.
//!
//! Clients ask them with all that PostgreSQL's SQL has. A `SELECT` that joins a table of the catalog that is always
//! empty has no rows, whatever else it says, so that only the names of its columns are kept.

use super::super::system;
use super::names::{UNNAMED, column_name, free};
use super::tree::{no_text, parts, truth};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, Query, Select,
    SelectItem, SetExpr, TableFactor, Value, Visit, Visitor,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Functions that give a row where there is none.
const AGGREGATES: [&str; 10] = [
    "count",
    "max",
    "min",
    "sum",
    "avg",
    "array_agg",
    "string_agg",
    "bool_or",
    "bool_and",
    "every",
];

/// Whether a query is a `SELECT` that was made blank.
pub(super) fn is_blank_query(query: &Query) -> bool {
    query.with.is_none()
        && match query.body.as_ref() {
            SetExpr::Select(select) => is_blank(select),
            SetExpr::Query(query) => is_blank_query(query),
            _ => false,
        }
}

fn is_blank(select: &Select) -> bool {
    let never =
        |expr: &Expr| matches!(expr, Expr::Value(value) if value.value == Value::Boolean(false));
    select.from.is_empty() && select.selection.as_ref().is_some_and(never)
}

fn is_empty(factor: &TableFactor) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => match parts(name).as_slice() {
            [schema, table] => schema == "pg_catalog" && system::is_always_empty(table),
            _ => false,
        },
        TableFactor::Derived { subquery, .. } => is_blank_query(subquery),
        TableFactor::NestedJoin { table_with_joins, .. } => {
            from_nothing(&table_with_joins.relation, &table_with_joins.joins)
        }
        _ => false,
    }
}

fn from_nothing(first: &TableFactor, joins: &[Join]) -> bool {
    let mut nothing = is_empty(first);
    for join in joins {
        match &join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                nothing = nothing || is_empty(&join.relation);
            }
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => {}
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => {
                nothing = is_empty(&join.relation);
            }
            _ => nothing = nothing && is_empty(&join.relation),
        }
    }
    nothing
}

/// Lets rows of tables that are always empty, which other rows wait for in vain, fit none whatever was asked of them;
/// whether there are such.
pub(super) fn loosen(select: &mut Select) -> bool {
    let mut changed = false;
    for join in select.from.iter_mut().flat_map(|table| &mut table.joins) {
        if let JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) =
            &mut join.join_operator
            && is_empty(&join.relation)
        {
            *constraint = JoinConstraint::On(truth(false));
            changed = true;
        }
    }
    changed
}

/// Whether a condition is never met, whatever else it says.
pub(super) fn is_never(condition: &Expr) -> bool {
    match condition {
        Expr::Value(value) => value.value == Value::Boolean(false),
        Expr::Nested(condition) => is_never(condition),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            is_never(left) || is_never(right)
        }
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => is_never(left) && is_never(right),
        _ => false,
    }
}

/// Makes a `SELECT` without rows blank; whether it did. One within a statement about the catalog is blank too where its
/// condition is never met.
pub(super) fn blank(select: &mut Select, within_catalog: bool) -> bool {
    let nothing = select.from.iter().any(|table| from_nothing(&table.relation, &table.joins))
        || (within_catalog && select.selection.as_ref().is_some_and(is_never));
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    if !nothing || is_blank(select) || (!grouped && has_aggregate(select)) {
        return false;
    }
    let Some(items) = names(select) else { return false };
    select.projection = items;
    select.distinct = None;
    select.from = Vec::new();
    select.selection = Some(truth(false));
    select.group_by = GroupByExpr::Expressions(Vec::new(), Vec::new());
    select.having = None;
    select.named_window = Vec::new();
    select.qualify = None;
    true
}

/// Its columns, without values. None where they are not named.
fn names(select: &Select) -> Option<Vec<SelectItem>> {
    let mut taken = BTreeSet::new();
    select
        .projection
        .iter()
        .map(|item| {
            let name = match item {
                SelectItem::UnnamedExpr(expr) => {
                    column_name(expr).unwrap_or_else(|| UNNAMED.to_owned())
                }
                SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
                _ => return None,
            };
            let name = if taken.insert(name.clone()) { name } else { free(&mut taken, &name) };
            let alias = Ident::with_quote('"', name);
            Some(SelectItem::ExprWithAlias { expr: no_text(), alias })
        })
        .collect()
}

/// Finds aggregates, but for those of queries within.
#[derive(Default)]
struct Aggregates {
    depth: usize,
    found: bool,
}

impl Visitor for Aggregates {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_add(1);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            let name = parts(&function.name).pop().unwrap_or_default();
            self.found |= self.depth == 0 && AGGREGATES.contains(&name.as_str());
        }
        ControlFlow::Continue(())
    }
}

/// Whether a `SELECT` gives a row for each that fits, and nothing else.
pub(super) fn is_plain(select: &Select) -> bool {
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    !grouped && select.distinct.is_none() && select.having.is_none() && !has_aggregate(select)
}

fn has_aggregate(select: &Select) -> bool {
    let mut aggregates = Aggregates::default();
    let _ = select.projection.visit(&mut aggregates);
    aggregates.found
}
