//! Predicates that take shape while a query runs: the keys of a join, the bound of a TopK.
//!
//! They are applied to each piece when its turn comes. A part of one that depends on one dimension
//! is evaluated on the axis and cuts the piece; others leave out the whole piece where what is
//! known of its values excludes it. Rows that remain are checked above the scan.

use crate::provider::axis::{self, columns_of, dimension_of, moved};
use crate::provider::prune::{kept, prunable};
use crate::provider::work::{Piece, Work};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Float32Type, Float64Type};
use datafusion::physical_expr::DynamicFilterTracker;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::DynamicFilterTracking;
use datafusion::physical_expr::utils::split_conjunction;
use datafusion::physical_expr_common::physical_expr::{is_volatile, snapshot_physical_expr};
use datafusion::physical_optimizer::pruning::PruningPredicate;
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::region::ranges_where;
use tarn_formats::table::Part;

/// Whether an expression has parts that change while a query runs.
pub(crate) fn is_dynamic(expr: &Arc<dyn PhysicalExpr>) -> bool {
    DynamicFilterTracking::classify(expr).contains_dynamic_filter()
}

/// Dynamic predicates as one partition sees them.
pub(crate) struct Watch {
    /// Over the table's columns.
    filters: Vec<(Arc<dyn PhysicalExpr>, DynamicFilterTracking)>,
    current: Option<Vec<Condition>>,
}

/// One condition of a conjunction, as it is now.
struct Condition {
    expr: Arc<dyn PhysicalExpr>,
    columns: Vec<usize>,
    pruning: Option<PruningPredicate>,
}

impl Watch {
    /// Watches these predicates over the table's columns.
    pub(crate) fn new(filters: &[Arc<dyn PhysicalExpr>]) -> Self {
        let tracked = |filter| (Arc::clone(filter), DynamicFilterTracking::classify(filter));
        Self { filters: filters.iter().map(tracked).collect(), current: None }
    }

    /// Whether there is nothing to watch.
    pub(crate) fn is_idle(&self) -> bool {
        self.filters.is_empty()
    }

    /// What is left of a piece; `None` if nothing is.
    pub(crate) fn apply(&mut self, work: &Work, piece: &Piece) -> Option<Piece> {
        if self.is_idle() {
            return Some(piece.clone());
        }
        let mut changed = self.current.is_none();
        for (_, tracking) in &mut self.filters {
            changed |= tracking.watcher().is_some_and(DynamicFilterTracker::changed);
        }
        if changed {
            self.current = Some(self.conditions(work));
        }
        let mut left = piece.clone();
        for condition in self.current.iter().flatten() {
            left = condition.apply(work, left)?;
        }
        Some(left)
    }

    fn conditions(&self, work: &Work) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (filter, _) in &self.filters {
            let Ok(now) = snapshot_physical_expr(Arc::clone(filter)) else { continue };
            for expr in split_conjunction(&now) {
                let columns = columns_of(expr);
                if !columns.is_empty() && !is_volatile(expr) {
                    let pruning = prunable(work, expr);
                    conditions.push(Condition { expr: Arc::clone(expr), columns, pruning });
                }
            }
        }
        conditions
    }
}

impl Condition {
    fn apply(&self, work: &Work, piece: Piece) -> Option<Piece> {
        let Some(part) = work.table.parts().get(piece.part) else { return Some(piece) };
        if let Ok(dimension) = dimension_of(part, &self.columns) {
            return match self.on_axis(work, part, dimension, &piece) {
                Some(ranges) => cut(piece, dimension, &ranges),
                None => Some(piece),
            };
        }
        let excluded = self.pruning.as_ref().is_some_and(|pruning| {
            !kept(work, std::slice::from_ref(&piece), pruning).iter().all(|kept| *kept)
        });
        (!excluded).then_some(piece)
    }

    /// The indices along a dimension at which the condition holds. Without a dimension, one index
    /// stands for all rows. `None` if that cannot be evaluated.
    fn on_axis(
        &self,
        work: &Work,
        part: &Part,
        dimension: Option<usize>,
        piece: &Piece,
    ) -> Option<Vec<Range<u64>>> {
        let selected = dimension.and_then(|dimension| piece.block.selected().get(dimension));
        let selected = selected.map(Vec::as_slice).unwrap_or_default();
        let batch = axis::batch(part, work.table.schema(), &self.columns, dimension, selected)?;
        let place = |column| self.columns.iter().position(|own| *own == column);
        let expr = moved(&self.expr, place).ok()?;
        let mut holds = holding(&expr, &batch)?;
        if let Some(other) = with_other_zeros(&batch) {
            holds = &holds | &holding(&expr, &other)?;
        }
        let holds = |row: usize| holds.value(row);
        if dimension.is_none() {
            return Some(ranges_where([holds(0)]));
        }
        let mut ranges = Vec::new();
        let mut before = 0_usize;
        for range in selected {
            let length = usize::try_from(range.end - range.start).ok()?;
            let here = ranges_where((before..before.checked_add(length)?).map(holds));
            ranges.extend(here.iter().map(|r| range.start + r.start..range.start + r.end));
            before += length;
        }
        Some(ranges)
    }
}

/// The rows in which a condition holds; NULL is no.
fn holding(expr: &Arc<dyn PhysicalExpr>, batch: &RecordBatch) -> Option<BooleanBuffer> {
    let values = expr.evaluate(batch).ok()?.into_array(batch.num_rows()).ok()?;
    let values = values.as_boolean_opt()?;
    Some(match values.nulls() {
        Some(nulls) => values.values() & nulls.inner(),
        None => values.values().clone(),
    })
}

/// The batch with zeros of the other sign, if it has any. A join takes -0.0 and 0.0 for the same
/// key; the comparisons that it gives for a predicate do not.
fn with_other_zeros(batch: &RecordBatch) -> Option<RecordBatch> {
    let mut zeros = false;
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        if let Some(values) = column.as_primitive_opt::<Float64Type>() {
            zeros |= values.values().contains(&0.0);
            return Arc::new(values.unary::<_, Float64Type>(|v| if v == 0.0 { -v } else { v }));
        }
        if let Some(values) = column.as_primitive_opt::<Float32Type>() {
            zeros |= values.values().contains(&0.0);
            return Arc::new(values.unary::<_, Float32Type>(|v| if v == 0.0 { -v } else { v }));
        }
        Arc::clone(column)
    });
    let columns: Vec<ArrayRef> = columns.collect();
    zeros.then(|| RecordBatch::try_new(batch.schema(), columns).ok()).flatten()
}

/// The piece with these indices of a dimension alone.
fn cut(piece: Piece, dimension: Option<usize>, ranges: &[Range<u64>]) -> Option<Piece> {
    let Some(dimension) = dimension else { return (!ranges.is_empty()).then_some(piece) };
    let block = piece.block.restricted(dimension, ranges)?;
    let rows = block.rows()?;
    Some(Piece { part: piece.part, block, rows })
}
