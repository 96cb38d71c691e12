//! Predicates on coordinates become exact index ranges.
//!
//! A predicate over the columns of one dimension is evaluated by DataFusion's own expression on the
//! one-dimensional axis, so that its rounding and its rules for NULL and NaN are those of the
//! filter it replaces (array-engine note, 5.2). Whatever cannot be decided so keeps its filter.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::Table;
use tarn_formats::region::ranges_where;
use tarn_formats::table::{Dependence, Part};

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
    let columns: BTreeSet<usize> = predicate
        .column_refs()
        .into_iter()
        .map(|column| table.schema().index_of(&column.name).ok())
        .collect::<Option<_>>()?;
    let columns: Vec<usize> = columns.into_iter().collect();
    let fields: Vec<Field> =
        columns.iter().map(|column| table.schema().field(*column).clone()).collect();
    let schema = Arc::new(Schema::new(fields));
    let logical = DFSchema::try_from(Arc::clone(&schema)).ok()?;
    let physical = create_physical_expr(
        &predicate,
        &logical,
        &ExecutionProps::new(),
        &PhysicalPlanningContext::default(),
    )
    .ok()?;
    table.parts().iter().map(|part| of_part(part, &columns, &schema, physical.as_ref())).collect()
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
    columns: &[usize],
    schema: &Arc<Schema>,
    predicate: &dyn PhysicalExpr,
) -> Option<Kept> {
    let mut dimension = None;
    for column in columns {
        match (part.dependence(*column), dimension) {
            (Dependence::Constant, _) => {}
            (Dependence::Dimension(own), None) => dimension = Some(own),
            (Dependence::Dimension(own), Some(other)) if own == other => {}
            (Dependence::Dimension(_) | Dependence::Cells, _) => return None,
        }
    }
    let rows = match dimension {
        Some(dimension) => usize::try_from(*part.shape().get(dimension)?).ok()?,
        None => 1,
    };
    let arrays = columns
        .iter()
        .map(|column| axis(part, *column, rows))
        .collect::<Option<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options).ok()?;
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

/// The values of a column along the axis; a constant is repeated.
fn axis(part: &Part, column: usize, rows: usize) -> Option<ArrayRef> {
    let values = part.axis_values(column).ok()?;
    match part.dependence(column) {
        Dependence::Constant if rows != values.len() => {
            ScalarValue::try_from_array(&values, 0).ok()?.to_array_of_size(rows).ok()
        }
        _ => (values.len() == rows).then_some(values),
    }
}
