//! Group keys of one file, evaluated on its axes: each once for an index, not once for a cell.

use super::slots::Grouped;
use crate::provider::axis::{self, Selected, columns_of, dimension_of, is_short, moved};
use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::EmitTo;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::aggregates::group_values::new_group_values;
use datafusion::physical_plan::aggregates::order::GroupOrdering;
use std::ops::Range;
use std::sync::Arc;
use tarn_formats::Selection;
use tarn_formats::table::{Block, Part};

/// The keys of a part. The groups are combinations of one set of values from each axis.
#[derive(Debug)]
pub(super) struct Keys {
    axes: Vec<Axis>,
    columns: usize,
}

/// The keys that depend on one dimension, or on none.
#[derive(Debug)]
struct Axis {
    dimension: Option<usize>,
    /// Which sets of values each selected index has, in the order of `selected`.
    ids: Vec<u32>,
    selected: Selected,
    /// Columns of the keys, and their values in each set.
    values: Vec<(usize, ArrayRef)>,
    /// How many sets there are.
    sets: u64,
    /// What one set more adds to the number of a combination.
    stride: u64,
}

impl Keys {
    /// The keys of the selected rows of a part. `keys` are expressions over the table's columns,
    /// `fields` their names and types.
    ///
    /// `None` where a key needs two dimensions, a very long one or a variable, and where it cannot be
    /// evaluated.
    pub(super) fn of_part(
        part: &Part,
        schema: &Schema,
        selection: &Selection,
        keys: &[Arc<dyn PhysicalExpr>],
        fields: &Schema,
    ) -> Option<Self> {
        let mut dimensions: Vec<(Option<usize>, Vec<usize>)> = Vec::new();
        for (key, expr) in keys.iter().enumerate() {
            let dimension = dimension_of(part, &columns_of(expr)).ok()?;
            if !is_short(part, dimension) {
                return None;
            }
            match dimensions.iter_mut().find(|(own, _)| *own == dimension) {
                Some((_, members)) => members.push(key),
                None => dimensions.push((dimension, vec![key])),
            }
        }
        dimensions.sort_by_key(|(dimension, _)| *dimension);
        let mut axes = Vec::with_capacity(dimensions.len());
        let mut stride = 1_u64;
        for (dimension, members) in dimensions {
            let mut axis = Axis::new(part, schema, selection, dimension, &members, keys, fields)?;
            axis.stride = stride;
            stride = stride.checked_mul(axis.sets.max(1))?;
            axes.push(axis);
        }
        Some(Self { axes, columns: keys.len() })
    }

    /// How many combinations there are.
    pub(super) fn combinations(&self) -> u64 {
        self.axes.iter().map(|axis| axis.sets).fold(1, u64::saturating_mul)
    }

    /// The grouped dimensions of a block of the selection.
    pub(super) fn grouped(&self, block: &Block) -> Result<Vec<Grouped>> {
        let mut grouped = Vec::new();
        for axis in &self.axes {
            let Some(dimension) = axis.dimension else { continue };
            let ranges = block.selected().get(dimension).map(Vec::as_slice).unwrap_or_default();
            let ids = ranges.iter().map(|range| axis.ids_of(range));
            let ids = ids.collect::<Option<Vec<_>>>().ok_or_else(|| {
                exec_datafusion_err!("a block lies outside what was selected of its file")
            })?;
            let codes = ids.into_iter().flatten().map(|id| u64::from(*id) * axis.stride).collect();
            grouped.push(Grouped { dimension, codes });
        }
        Ok(grouped)
    }

    /// The key columns of these combinations.
    pub(super) fn values(&self, combinations: &[u64]) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<(usize, ArrayRef)> = Vec::with_capacity(self.columns);
        for axis in &self.axes {
            let sets = combinations.iter().map(|number| (number / axis.stride) % axis.sets.max(1));
            let sets: UInt32Array = sets.map(|set| u32::try_from(set).ok()).collect();
            for (column, values) in &axis.values {
                columns.push((*column, take(values, &sets, None)?));
            }
        }
        columns.sort_by_key(|(column, _)| *column);
        Ok(columns.into_iter().map(|(_, values)| values).collect())
    }
}

impl Axis {
    fn new(
        part: &Part,
        schema: &Schema,
        selection: &Selection,
        dimension: Option<usize>,
        members: &[usize],
        keys: &[Arc<dyn PhysicalExpr>],
        fields: &Schema,
    ) -> Option<Self> {
        let ranges = dimension.and_then(|dimension| selection.dimensions().get(dimension));
        let ranges = ranges.map(Vec::as_slice).unwrap_or_default();
        let mut columns: Vec<usize> = Vec::new();
        for key in members {
            columns.extend(columns_of(keys.get(*key)?));
        }
        columns.sort_unstable();
        columns.dedup();
        let batch = axis::batch(part, schema, &columns, dimension, ranges)?;
        let mut arrays = Vec::with_capacity(members.len());
        for key in members {
            let expr =
                moved(keys.get(*key)?, |column| columns.iter().position(|own| *own == column));
            let values = expr.ok()?.evaluate(&batch).ok()?;
            arrays.push(values.into_array(batch.num_rows()).ok()?);
        }
        let fields: SchemaRef = Arc::new(fields.project(members).ok()?);
        let mut sets = new_group_values(fields, &GroupOrdering::None).ok()?;
        let mut ids = Vec::with_capacity(batch.num_rows());
        sets.intern(&arrays, &mut ids).ok()?;
        let count = u64::try_from(sets.len()).ok()?;
        let values = sets.emit(EmitTo::All).ok()?;
        Some(Self {
            dimension,
            ids: ids.into_iter().map(|id| u32::try_from(id).ok()).collect::<Option<_>>()?,
            selected: Selected::new(ranges),
            values: members.iter().copied().zip(values).collect(),
            sets: count,
            stride: 1,
        })
    }

    /// The sets of the indices of a range, which lies in one that is selected.
    fn ids_of(&self, range: &Range<u64>) -> Option<&[u32]> {
        self.ids.get(self.selected.places(range)?)
    }
}
