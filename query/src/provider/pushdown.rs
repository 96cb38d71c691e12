//! Predicates on coordinates become exact index ranges.
//!
//! A predicate over the columns of one dimension is evaluated by DataFusion's own expression on the
//! one-dimensional axis, so that its rounding and its rules for NULL and NaN are those of the
//! filter it replaces (array-engine note, 5.2). Whatever cannot be decided so keeps its filter.

use crate::provider::axis::{self, all_of, columns_of, dimension_of, moved};
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
    let batch = axis::batch(part, schema, columns, dimension, &all_of(part, dimension))?;
    let rows = batch.num_rows();
    let answer = predicate.evaluate(&batch).ok()?.into_array(rows).ok()?;
    let answer = answer.as_boolean_opt()?;
    let keep = (0..answer.len()).map(|row| answer.is_valid(row) && answer.value(row));
    let ranges = ranges_where(keep);
    Some(match (dimension, ranges.as_slice()) {
        (_, []) => Kept::Nothing,
        (None, _) => Kept::Everything,
        (Some(_), [all]) if usize::try_from(all.end - all.start) == Ok(rows) => Kept::Everything,
        (Some(dimension), _) => Kept::Along(dimension, ranges),
    })
}
