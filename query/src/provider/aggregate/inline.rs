//! What lies between an aggregate and its scan, as expressions over the columns of the table.

use crate::provider::axis::moved;
use crate::provider::scan::GridScanExec;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::Arc;

/// A scan under filters and projections.
pub(super) struct Inlined<'a> {
    pub(super) scan: &'a GridScanExec,
    /// The output columns.
    columns: Vec<Arc<dyn PhysicalExpr>>,
    /// What rows must satisfy, in the order in which it is asked.
    pub(super) predicates: Vec<Arc<dyn PhysicalExpr>>,
}

impl<'a> Inlined<'a> {
    /// `None` where something else lies above the scan, and where an expression gives another
    /// value each time it is asked.
    pub(super) fn of(plan: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        if let Some(scan) = plan.downcast_ref::<GridScanExec>() {
            let schema = scan.work().table.schema();
            let columns = scan.projection().iter().map(|index| {
                let field = schema.fields().get(*index)?;
                Some(Arc::new(Column::new(field.name(), *index)) as Arc<dyn PhysicalExpr>)
            });
            return Some(Self {
                scan,
                columns: columns.collect::<Option<_>>()?,
                predicates: vec![],
            });
        }
        if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
            let mut inner = Self::of(projection.input())?;
            let columns = projection.expr().iter().map(|column| inner.inline(&column.expr));
            inner.columns = columns.collect::<Option<_>>()?;
            return Some(inner);
        }
        let filter = plan.downcast_ref::<FilterExec>()?;
        if filter.fetch().is_some() {
            return None;
        }
        let mut inner = Self::of(filter.input())?;
        inner.predicates.push(inner.inline(filter.predicate())?);
        if let Some(projection) = filter.projection() {
            let columns = projection.iter().map(|index| inner.columns.get(*index).cloned());
            inner.columns = columns.collect::<Option<_>>()?;
        }
        Some(inner)
    }

    /// An expression over the output as one over the table's columns.
    pub(super) fn inline(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        if is_volatile(expr) {
            return None;
        }
        // Fails where the expression names a column that does not exist.
        moved(expr, |column| (column < self.columns.len()).then_some(column)).ok()?;
        let inlined: Result<Arc<dyn PhysicalExpr>> = Arc::clone(expr)
            .transform_up(|expr| {
                let column = expr.downcast_ref::<Column>();
                Ok(match column.and_then(|column| self.columns.get(column.index())) {
                    Some(own) => Transformed::yes(Arc::clone(own)),
                    None => Transformed::no(expr),
                })
            })
            .data();
        inlined.ok()
    }
}
