//! Predicates on coordinates become exact index ranges.
//!
//! A predicate over the columns of one dimension is evaluated by DataFusion's own expression on the
//! one-dimensional axis, so that its rounding and its rules for NULL and NaN are those of the
//! filter it replaces (array-engine note, 5.2). Whatever cannot be decided so keeps its filter.

use crate::provider::axis::{self, WINDOW, columns_of, dimension_of, is_evaluable, moved};
use crate::provider::statistics::load;
use arrow::array::{Array, AsArray};
use arrow::datatypes::Schema;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::Table;
use tarn_formats::region::ranges_where;
use tarn_formats::table::Part;

/// What a predicate keeps of one part of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    /// No row.
    Nothing,
    /// Every row.
    Everything,
    /// The rows at these indices of one dimension.
    Along(usize, Vec<Range<u64>>),
}

/// What `predicate` keeps of each part, if that can be said exactly before any cell is read.
///
/// `None` where a part needs its cells or two dimensions to decide, for volatile functions and
/// subqueries, and where the evaluation fails: the filter must then stay above the scan.
pub(crate) fn evaluate(table: &Table, predicate: &Expr) -> Option<Vec<Kept>> {
    if predicate.is_volatile() || has_subquery(predicate) {
        return None;
    }
    let predicate = unnormalize_col(predicate.clone());
    let logical = DFSchema::try_from(Arc::clone(table.schema())).ok()?;
    let physical = create_physical_expr(
        &predicate,
        &logical,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )
    .ok()?;
    let columns = columns_of(&physical);
    let place = |column| columns.iter().position(|own| *own == column);
    let physical = moved(&physical, place).ok()?;
    if table.parts().iter().all(|part| dimension_of(part, &columns).is_ok()) {
        load(&table.parts().iter().collect::<Vec<_>>(), &columns);
    }
    table
        .parts()
        .iter()
        .map(|part| of_part(part, table.schema(), &columns, physical.as_ref()))
        .collect()
}

fn has_subquery(predicate: &Expr) -> bool {
    predicate
        .exists(|expr| {
            Ok(matches!(
                expr,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
                    | Expr::Placeholder(_)
            ))
        })
        .unwrap_or(true)
}

fn of_part(
    part: &Part,
    schema: &Schema,
    columns: &[usize],
    predicate: &dyn PhysicalExpr,
) -> Option<Kept> {
    let dimension = dimension_of(part, columns).ok()?;
    if !is_evaluable(part, dimension) {
        return None;
    }
    let Some(index) = dimension else {
        let holds = holding(part, schema, columns, None, predicate)?;
        return Some(if holds.is_empty() { Kept::Nothing } else { Kept::Everything });
    };
    let length = part.shape().get(index).copied()?;
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut start = 0;
    while start < length {
        let end = start.saturating_add(WINDOW).min(length);
        for range in holding(part, schema, columns, Some((index, start..end)), predicate)? {
            match ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => ranges.push(range),
            }
        }
        if ranges.len() > MOST_RANGES {
            return None;
        }
        start = end;
    }
    Some(match ranges.as_slice() {
        [] => Kept::Nothing,
        [all] if all.end - all.start == length => Kept::Everything,
        _ => Kept::Along(index, ranges),
    })
}

/// Most ranges of indices that a predicate may keep: a filter on the rows takes less memory.
const MOST_RANGES: usize = 1 << 20;

/// The indices in a window of a dimension at which a predicate holds; `0..1` where it depends on no
/// dimension and holds.
fn holding(
    part: &Part,
    schema: &Schema,
    columns: &[usize],
    window: Option<(usize, Range<u64>)>,
    predicate: &dyn PhysicalExpr,
) -> Option<Vec<Range<u64>>> {
    let (dimension, window) = window.unzip();
    let start = window.as_ref().map_or(0, |window| window.start);
    let batch = axis::batch(part, schema, columns, dimension, window.as_slice())?;
    let answer = predicate.evaluate(&batch).ok()?.into_array(batch.num_rows()).ok()?;
    let answer = answer.as_boolean_opt()?;
    let keep = (0..answer.len()).map(|row| answer.is_valid(row) && answer.value(row));
    let ranges = ranges_where(keep).into_iter();
    Some(ranges.map(|range| start + range.start..start + range.end).collect())
}
