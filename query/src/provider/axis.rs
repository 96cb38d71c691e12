//! Expressions over the coordinates of one dimension, evaluated on its axis.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::table::{Dependence, Part};

/// Indices of the columns that an expression names, in order.
pub(crate) fn columns_of(expr: &Arc<dyn PhysicalExpr>) -> Vec<usize> {
    let columns: BTreeSet<usize> = collect_columns(expr).iter().map(Column::index).collect();
    columns.into_iter().collect()
}

/// The expression with each column at the place that `place` gives for it.
///
/// # Errors
/// Where `place` knows no place.
pub(crate) fn moved(
    expr: &Arc<dyn PhysicalExpr>,
    place: impl Fn(usize) -> Option<usize>,
) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(expr)
        .transform_up(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            match place(column.index()) {
                Some(index) if index == column.index() => Ok(Transformed::no(expr)),
                Some(index) => Ok(Transformed::yes(
                    Arc::new(Column::new(column.name(), index)) as Arc<dyn PhysicalExpr>
                )),
                None => plan_err!("column {} is not among those that are read", column.name()),
            }
        })
        .data()
}

/// The dimension that columns of a part depend on together: none where all are constant.
/// `Err(())` where they depend on two dimensions or on cells.
pub(crate) fn dimension_of(part: &Part, columns: &[usize]) -> Result<Option<usize>, ()> {
    let mut dimension = None;
    for column in columns {
        match (part.dependence(*column), dimension) {
            (Dependence::Constant, _) => {}
            (Dependence::Dimension(own), None) => dimension = Some(own),
            (Dependence::Dimension(own), Some(other)) if own == other => {}
            (Dependence::Dimension(_) | Dependence::Cells, _) => return Err(()),
        }
    }
    Ok(dimension)
}

/// Axes up to this length are kept by the table, so that asking for them again reads nothing.
const KEPT: u64 = 1 << 20;

/// Whether the axis of a dimension may be asked for when a query is planned.
pub(crate) fn is_short(part: &Part, dimension: Option<usize>) -> bool {
    match dimension {
        None => true,
        Some(dimension) => part.shape().get(dimension).is_some_and(|length| *length <= KEPT),
    }
}

/// Longest axis that a query evaluates a predicate on before it reads a cell: two seconds' work. A
/// file may declare any length.
const LONGEST: u64 = 1 << 27;

/// Whether a predicate may be evaluated on all of the axis of a dimension.
pub(crate) fn is_evaluable(part: &Part, dimension: Option<usize>) -> bool {
    let length = dimension.and_then(|dimension| part.shape().get(dimension));
    length.is_none_or(|length| *length <= LONGEST)
}

/// Indices of an axis that are evaluated at once.
pub(crate) const WINDOW: u64 = KEPT;

/// The values of `columns` (indices into the table's schema) at the `selected` indices of
/// `dimension`, one row an index; one row where there is no dimension. `None` where they cannot be
/// read or do not depend on that dimension alone.
pub(crate) fn batch(
    part: &Part,
    schema: &Schema,
    columns: &[usize],
    dimension: Option<usize>,
    selected: &[Range<u64>],
) -> Option<RecordBatch> {
    let rows = match dimension {
        Some(_) => {
            let rows: u64 = selected.iter().map(|range| range.end - range.start).sum();
            usize::try_from(rows).ok()?
        }
        None => 1,
    };
    let arrays = columns
        .iter()
        .map(|column| values(part, *column, rows, selected))
        .collect::<Option<Vec<_>>>()?;
    let schema = Arc::new(schema.project(columns).ok()?);
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, arrays, &options).ok()
}

fn values(part: &Part, column: usize, rows: usize, selected: &[Range<u64>]) -> Option<ArrayRef> {
    if part.dependence(column) == Dependence::Constant {
        let value = ScalarValue::try_from_array(&part.axis_values(column).ok()?, 0).ok()?;
        return value.to_array_of_size(rows).ok();
    }
    let runs = selected
        .iter()
        .map(|range| part.axis_range(column, range).ok())
        .collect::<Option<Vec<_>>>()?;
    let values = match runs.as_slice() {
        [one] => Arc::clone(one),
        [] => part.axis_range(column, &(0..0)).ok()?,
        _ => concat(&runs.iter().map(AsRef::as_ref).collect::<Vec<_>>()).ok()?,
    };
    (values.len() == rows).then_some(values)
}

/// The selected indices of a dimension, and where the values of a range of them lie in an array
/// that has one for each.
#[derive(Debug)]
pub(crate) struct Selected(Vec<(Range<u64>, u64)>);

impl Selected {
    /// These sorted, disjoint ranges.
    pub(crate) fn new(ranges: &[Range<u64>]) -> Self {
        let mut before = 0;
        let places = ranges.iter().map(|range| {
            let place = (range.clone(), before);
            before += range.end - range.start;
            place
        });
        Self(places.collect())
    }

    /// The places of a range that lies in one of those selected.
    pub(crate) fn places(&self, range: &Range<u64>) -> Option<Range<usize>> {
        let after = self.0.partition_point(|(own, _)| own.start <= range.start);
        let (own, before) = self.0.get(after.checked_sub(1)?)?;
        if range.end > own.end {
            return None;
        }
        let start = usize::try_from(before + (range.start - own.start)).ok()?;
        let length = usize::try_from(range.end - range.start).ok()?;
        Some(start..start.checked_add(length)?)
    }
}

/// All indices of a dimension of a part.
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range of indices")]
pub(crate) fn all_of(part: &Part, dimension: Option<usize>) -> Vec<Range<u64>> {
    match dimension.and_then(|dimension| part.shape().get(dimension)) {
        Some(length) if *length > 0 => vec![0..*length],
        _ => vec![],
    }
}
