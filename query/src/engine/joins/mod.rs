//! The order of inner joins.
//!
//! DataFusion joins tables in the order in which a statement names them. Here several tables that inner
//! joins put together are joined in the order that makes the fewest rows, as far as sizes of tables and
//! bounds of columns tell ([`sizes`], [`order`]). The rows of the answer are the same: inner joins may be
//! done in any order. So that nothing can fail on rows on which it was not computed before, trees are left
//! as they are where a key or a condition is more than a comparison of columns. Tables that policy guards
//! count as of a fixed size, whatever is in them, and what is joined with tables of other labs stays as
//! written: what runs there was chosen before.

mod known;
mod order;
mod sizes;

use super::obligations::{is_infallible, widens};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, DFSchemaRef, ExprSchema, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Cast, Expr, ExprSchemable, Join, JoinConstraint, JoinType, LogicalPlan, Projection,
};
use order::{Graph, MOST_TABLES, Order, Set, bit};
use sizes::{Known, Size, Values, share_of, share_of_pairs, size_of, values};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How much cheaper another order must be for joins to leave the written one.
const BETTER: f64 = 0.9;

/// An optimized plan with its inner joins in the best order.
pub(super) fn in_best_order(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(reordered(plan, &known::scanned)?.data)
}

fn reordered(plan: LogicalPlan, known: Known<'_>) -> Result<Transformed<LogicalPlan>> {
    if let Some(plan) =
        Tree::of(&plan).map(|tree| tree.in_order(&plan, known)).transpose()?.flatten()
    {
        return Ok(Transformed::yes(plan));
    }
    plan.map_subqueries(|subquery| reordered(subquery, known))?
        .transform_data(|plan| plan.map_children(|child| reordered(child, known)))
}

/// Inner joins, taken apart.
struct Tree<'a> {
    tables: Vec<&'a LogicalPlan>,
    /// The order in which they are written.
    written: Option<Order>,
    /// Pairs of expressions that are to be equal.
    keys: Vec<(Expr, Expr)>,
    /// Other conditions.
    filters: Vec<Expr>,
}

/// A pair of keys, or a condition, and the tables that it is about.
struct Condition<T> {
    what: T,
    tables: Set,
}

impl<'a> Tree<'a> {
    /// The tree with this root, if three tables or more are joined in it, and not too many.
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        let mut tree = Self { tables: vec![], written: None, keys: vec![], filters: vec![] };
        if !matches!(plan, LogicalPlan::Join(_) | LogicalPlan::Projection(_)) {
            return None;
        }
        let written = tree.take(plan);
        tree.written = Some(written);
        (3..=MOST_TABLES).contains(&tree.tables.len()).then_some(tree)
    }

    fn take(&mut self, plan: &'a LogicalPlan) -> Order {
        match plan {
            LogicalPlan::Join(join) if may_move(join) => {
                self.keys.extend(join.on.iter().cloned());
                self.filters
                    .extend(join.filter.clone().map(split_conjunction_owned).into_iter().flatten());
                let left = self.take(&join.left);
                let right = self.take(&join.right);
                Order::Join(Box::new(left), Box::new(right))
            }
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_)))
                    && keeps_names(projection) =>
            {
                self.take(&projection.input)
            }
            table => {
                self.tables.push(table);
                Order::Table(self.tables.len() - 1)
            }
        }
    }

    /// The plan in the best order; none if there is no better one than it has.
    fn in_order(&self, plan: &LogicalPlan, known: Known<'_>) -> Result<Option<LogicalPlan>> {
        let mut places: HashMap<Column, usize> = HashMap::new();
        for (place, table) in self.tables.iter().enumerate() {
            for column in table.schema().columns() {
                if places.insert(column, place).is_some() {
                    // Which of two columns of the same name is meant, their places told.
                    return Ok(None);
                }
            }
        }
        let sizes: Option<Vec<Size>> =
            self.tables.iter().map(|table| size_of(table, known)).collect();
        let (Some(sizes), Some(conditions)) = (sizes, Conditions::of(self, &places)) else {
            return Ok(None);
        };
        let graph = conditions.graph(&self.tables, &sizes);
        let (Some(best), Some(written)) = (graph.best(), &self.written) else { return Ok(None) };
        if graph.cost(&best) > BETTER * graph.cost(written) {
            return Ok(None);
        }
        let mut tables = Vec::with_capacity(self.tables.len());
        for table in &self.tables {
            tables.push(Some(reordered((*table).clone(), known)?.data));
        }
        let wanted: BTreeSet<Column> = plan.schema().columns().into_iter().collect();
        let mut building = Building { tables, conditions };
        let Some(joined) = building.join(&best, &wanted)? else { return Ok(None) };
        select(joined, plan.schema()).map(Some)
    }
}

/// Whether a join may be done before or after others.
fn may_move(join: &Join) -> bool {
    let is_key = |key: &Expr, schema: &DFSchemaRef| match key {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, field }) => {
            matches!(expr.as_ref(), Expr::Column(_))
                && expr.get_type(schema.as_ref()).is_ok_and(|from| widens(&from, field.data_type()))
        }
        _ => false,
    };
    let simple = |filter: &Expr| {
        is_infallible(filter, &|column| {
            join.schema.field_from_column(column).ok().map(|field| field.data_type().clone())
        })
    };
    join.join_type == JoinType::Inner
        && join.null_equality == NullEquality::NullEqualsNothing
        && join.on.iter().all(|(left, right)| {
            is_key(left, join.left.schema()) && is_key(right, join.right.schema())
        })
        && join.filter.as_ref().is_none_or(simple)
}

/// Whether the columns are called above as they are below.
fn keeps_names(projection: &Projection) -> bool {
    let above = projection.schema.columns();
    projection.expr.iter().zip(&above).all(|(expr, above)| {
        matches!(expr, Expr::Column(below) if below.relation == above.relation && below.name == above.name)
    })
}

/// All keys and conditions of a tree.
struct Conditions {
    keys: Vec<Condition<(Expr, Expr)>>,
    filters: Vec<Condition<Expr>>,
}

impl Conditions {
    fn of(tree: &Tree<'_>, places: &HashMap<Column, usize>) -> Option<Self> {
        let tables = |expr: &Expr| {
            let mut set = 0;
            for column in expr.column_refs() {
                set |= bit(*places.get(column)?);
            }
            Some(set)
        };
        let mut keys = Vec::with_capacity(tree.keys.len());
        for (left, right) in &tree.keys {
            let (one, other) = (tables(left)?, tables(right)?);
            if !one.is_power_of_two() || !other.is_power_of_two() || one == other {
                return None;
            }
            keys.push(Condition { what: (left.clone(), right.clone()), tables: one | other });
        }
        let mut filters = Vec::with_capacity(tree.filters.len());
        for filter in &tree.filters {
            let tables = tables(filter)?;
            if tables.count_ones() < 2 {
                return None;
            }
            filters.push(Condition { what: filter.clone(), tables });
        }
        Some(Self { keys, filters })
    }

    fn graph(&self, tables: &[&LogicalPlan], sizes: &[Size]) -> Graph {
        let of_key = |key: &Expr| -> Values {
            tables
                .iter()
                .zip(sizes)
                .find(|(table, _)| key.column_refs().iter().all(|c| table.schema().has_column(c)))
                .map_or_else(Values::default, |(table, size)| values(key, table.schema(), size))
        };
        let mut pairs: BTreeMap<Set, Vec<(Values, Values)>> = BTreeMap::new();
        for Condition { what: (left, right), tables } in &self.keys {
            pairs.entry(*tables).or_default().push((of_key(left), of_key(right)));
        }
        let share_of_filter = |filter: &Condition<Expr>| {
            // What its columns are in is told by their names alone.
            let nothing = Size { rows: 1.0, columns: vec![] };
            (filter.tables, share_of(&filter.what, &DFSchema::empty(), &nothing))
        };
        Graph {
            rows: sizes.iter().map(|size| size.rows).collect(),
            edges: pairs.iter().map(|(tables, pairs)| (*tables, share_of_pairs(pairs))).collect(),
            filters: self.filters.iter().map(share_of_filter).collect(),
        }
    }

    /// Columns that are needed above the tables of a set because of what is decided there.
    fn columns_above(&self, set: Set) -> impl Iterator<Item = &Column> {
        let keys = self.keys.iter().filter(move |key| key.tables & !set != 0);
        let filters = self.filters.iter().filter(move |filter| filter.tables & !set != 0);
        keys.flat_map(|key| {
            let (left, right) = &key.what;
            left.column_refs().into_iter().chain(right.column_refs())
        })
        .chain(filters.flat_map(|filter| filter.what.column_refs()))
    }
}

/// Tables that are being joined.
struct Building {
    tables: Vec<Option<LogicalPlan>>,
    conditions: Conditions,
}

impl Building {
    /// The tables in this order, with the columns that are wanted and those that are needed above.
    fn join(&mut self, order: &Order, wanted: &BTreeSet<Column>) -> Result<Option<LogicalPlan>> {
        let (left, right) = match order {
            Order::Table(number) => return Ok(self.tables.get_mut(*number).and_then(Option::take)),
            Order::Join(left, right) => (left, right),
        };
        let (one, other) = (left.set(), right.set());
        let (Some(left), Some(right)) = (self.join(left, wanted)?, self.join(right, wanted)?)
        else {
            return Ok(None);
        };
        let here = |tables: Set| {
            tables & !(one | other) == 0 && tables & !one != 0 && tables & !other != 0
        };
        let on = self.conditions.keys.iter().filter(|key| here(key.tables));
        let on = on.map(|key| {
            let (a, b) = key.what.clone();
            let left_first = a.column_refs().iter().all(|column| left.schema().has_column(column));
            if left_first { (a, b) } else { (b, a) }
        });
        let on: Vec<(Expr, Expr)> = on.collect();
        let filters = self.conditions.filters.iter().filter(|filter| here(filter.tables));
        let filter = conjunction(filters.map(|filter| filter.what.clone()));
        let join = Join::try_new(
            Arc::new(left),
            Arc::new(right),
            on,
            filter,
            JoinType::Inner,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?;
        let above: BTreeSet<&Column> =
            self.conditions.columns_above(one | other).chain(wanted).collect();
        let all = join.schema.columns();
        let mut kept: Vec<Column> =
            all.iter().filter(|column| above.contains(column)).cloned().collect();
        if kept.is_empty() {
            // Rows without columns are counted all the same, but one is safer.
            kept.extend(all.first().cloned());
        }
        let join = LogicalPlan::Join(join);
        if kept.len() == all.len() {
            return Ok(Some(join));
        }
        let kept = kept.into_iter().map(Expr::Column).collect();
        Projection::try_new(kept, Arc::new(join)).map(|kept| Some(LogicalPlan::Projection(kept)))
    }
}

/// The plan with these columns in this order.
fn select(plan: LogicalPlan, schema: &DFSchemaRef) -> Result<LogicalPlan> {
    let columns = schema.columns().into_iter().map(Expr::Column).collect();
    let selection = match plan {
        // The last projection is this one.
        LogicalPlan::Projection(below) => {
            Projection::try_new_with_schema(columns, below.input, Arc::clone(schema))
        }
        plan => Projection::try_new_with_schema(columns, Arc::new(plan), Arc::clone(schema)),
    };
    selection.map(LogicalPlan::Projection)
}

#[cfg(test)]
mod tests;
