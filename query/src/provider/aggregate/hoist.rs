//! Expressions over one axis inside those over cells: `cos(radians(lat))` in a weighted mean.
//!
//! They are evaluated once for an index and repeated over the cells, where DataFusion would evaluate
//! them in every cell. One that fails on the axis stays where it is: in the cells it may never be
//! asked.

use crate::provider::axis::{self, Selected, columns_of, dimension_of, is_short, moved};
use crate::provider::work::Work;
use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{Field, FieldRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use std::sync::{Arc, OnceLock};
use tarn_formats::FormatError;
use tarn_formats::table::{Block, Coordinates, Part};

/// An expression over one axis of each part.
#[derive(Debug)]
pub(super) struct Hoisted {
    field: FieldRef,
    /// By part; none for a part of which nothing is read.
    axes: Vec<Option<Axis>>,
}

/// Its values along the axis of one part.
#[derive(Debug)]
struct Axis {
    dimension: Option<usize>,
    selected: Selected,
    values: ArrayRef,
    /// Stands for the values where broadcast coordinates are kept.
    identity: Arc<OnceLock<ArrayRef>>,
}

impl Hoisted {
    pub(super) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// The value in every row of a block.
    pub(super) fn read(
        &self,
        part: usize,
        block: &Block,
        shared: &Coordinates,
    ) -> Result<ArrayRef> {
        let outside = || internal_datafusion_err!("a block lies outside what was selected");
        let axis = self.axes.get(part).and_then(Option::as_ref).ok_or_else(outside)?;
        let shape = block.shape().into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
        let shape = shape.map_err(|_| outside())?;
        let product = |lengths: &[usize]| lengths.iter().copied().fold(1, usize::saturating_mul);
        let (ranges, outer, inner) = match axis.dimension {
            None => (&[][..], product(&shape), 1),
            Some(dimension) => {
                let ranges = block.selected().get(dimension).ok_or_else(outside)?;
                let (before, rest) = shape.split_at_checked(dimension).ok_or_else(outside)?;
                (ranges.as_slice(), product(before), product(rest.get(1..).unwrap_or_default()))
            }
        };
        let runs = ranges.iter().map(|range| {
            let places = axis.selected.places(range)?;
            Some(axis.values.slice(places.start, places.len()))
        });
        let runs = runs.collect::<Option<Vec<_>>>().ok_or_else(outside)?;
        let values = || match runs.as_slice() {
            [] => Ok(Arc::clone(&axis.values)),
            [one] => Ok(Arc::clone(one)),
            _ => Ok(concat(&runs.iter().map(AsRef::as_ref).collect::<Vec<_>>())?),
        };
        let cells = shared.broadcast(&axis.identity, ranges, outer, inner, values);
        Ok(cells.map_err(|error: FormatError| crate::error::QueryError::Format(error))?)
    }
}

/// Takes expressions out of others.
pub(super) struct Hoisting<'a> {
    work: &'a Work,
    /// What stands for each of those taken out: a column behind those of the table.
    found: Vec<(Arc<dyn PhysicalExpr>, Hoisted)>,
}

impl<'a> Hoisting<'a> {
    /// Nothing yet, of expressions over the columns of this work's table.
    pub(super) fn new(work: &'a Work) -> Self {
        Self { work, found: vec![] }
    }

    /// The expression with columns for its largest parts that depend on one axis.
    pub(super) fn hoist(&mut self, expr: &Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let first = self.work.table.schema().fields().len();
        Arc::clone(expr)
            .transform_down(|expr| {
                if expr.downcast_ref::<Column>().is_some() || columns_of(&expr).is_empty() {
                    return Ok(Transformed::no(expr));
                }
                let known = self.found.iter().position(|(own, _)| own == &expr);
                let place = match known {
                    Some(place) => place,
                    None => match self.evaluated(&expr) {
                        Some(hoisted) => {
                            self.found.push((Arc::clone(&expr), hoisted));
                            self.found.len().saturating_sub(1)
                        }
                        None => return Ok(Transformed::no(expr)),
                    },
                };
                let name = self.found.get(place).map_or("", |(_, found)| found.field.name());
                let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(name, first + place));
                Ok(Transformed::new(column, true, TreeNodeRecursion::Jump))
            })
            .data()
    }

    /// What was taken out, in the order of its columns.
    pub(super) fn finish(self) -> Vec<Hoisted> {
        self.found.into_iter().map(|(_, hoisted)| hoisted).collect()
    }

    /// The expression on the axes; `None` where it needs more than one, or fails.
    fn evaluated(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Hoisted> {
        let schema = self.work.table.schema();
        let columns = columns_of(expr);
        let expr = moved(expr, |column| columns.iter().position(|own| *own == column)).ok()?;
        let parts = self.work.table.parts().iter().zip(self.work.selections.iter());
        let axis = |part: &Part, selection: &tarn_formats::Selection| {
            let dimension = dimension_of(part, &columns).ok().filter(|d| is_short(part, *d))?;
            let ranges = dimension.and_then(|dimension| selection.dimensions().get(dimension));
            let ranges = ranges.map(Vec::as_slice).unwrap_or_default();
            let batch = axis::batch(part, schema, &columns, dimension, ranges)?;
            let values = expr.evaluate(&batch).ok()?.into_array(batch.num_rows()).ok()?;
            let selected = Selected::new(ranges);
            Some(Axis { dimension, selected, values, identity: Arc::default() })
        };
        let axes = parts.map(|(part, selection)| match selection {
            None => Some(None),
            Some(selection) => axis(part, selection).map(Some),
        });
        let axes = axes.collect::<Option<Vec<_>>>()?;
        let data_type = axes.iter().flatten().next()?.values.data_type().clone();
        let field = Arc::new(Field::new(format!("__axis_{}", self.found.len()), data_type, true));
        Some(Hoisted { field, axes })
    }
}
