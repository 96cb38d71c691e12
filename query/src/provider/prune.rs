//! Pieces that a predicate excludes by what is known of their values.
//!
//! Coordinates are known exactly; variables are, where an earlier query left figures. DataFusion's
//! own pruning decides: a piece goes only if no row of it can satisfy the predicate, and the filter
//! stays above the scan.

use crate::provider::axis::{columns_of, is_evaluable};
use crate::provider::work::{Piece, Work};
use arrow::array::{Array, ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::DataType;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::functions_aggregate::min_max::{MaxAccumulator, MinAccumulator};
use datafusion::logical_expr::Accumulator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr_common::physical_expr::is_volatile;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use tarn_formats::table::Dependence;

/// A predicate over the columns of a table, made ready for [`kept`]; `None` where it can exclude
/// nothing.
pub(crate) fn prunable(work: &Work, predicate: &Arc<dyn PhysicalExpr>) -> Option<PruningPredicate> {
    if is_volatile(predicate) || columns_of(predicate).is_empty() {
        return None;
    }
    let pruning = PruningPredicateBuilder::new()
        .with_file_schema(Arc::clone(work.table.schema()))
        .try_build(Arc::clone(predicate))
        .ok()?;
    (!pruning.always_true()).then_some(pruning)
}

/// Which pieces may have rows that satisfy the predicate. All, if that cannot be said.
pub(crate) fn kept(work: &Work, pieces: &[Piece], predicate: &PruningPredicate) -> Vec<bool> {
    let known = Known { work, pieces, axes: Mutex::default() };
    let kept = predicate.prune(&known);
    kept.ok().filter(|kept| kept.len() == pieces.len()).unwrap_or_else(|| vec![true; pieces.len()])
}

/// The least and the greatest of some values, by the order of the engine's aggregates; NULL where
/// there is none.
pub(crate) fn extremes(
    values: &[ArrayRef],
    data_type: &DataType,
) -> Option<(ScalarValue, ScalarValue)> {
    let mut least = MinAccumulator::try_new(data_type).ok()?;
    let mut greatest = MaxAccumulator::try_new(data_type).ok()?;
    for values in values.iter().filter(|values| !values.is_empty()) {
        least.update_batch(std::slice::from_ref(values)).ok()?;
        greatest.update_batch(std::slice::from_ref(values)).ok()?;
    }
    Some((least.evaluate().ok()?, greatest.evaluate().ok()?))
}

/// The pieces in the order of their least values of a column, or of their greatest from the top;
/// `None` if these are not known, or if there are too many pieces to sort.
pub(crate) fn sorted(work: &Work, column: usize, descending: bool) -> Option<Vec<Piece>> {
    let pieces = work.pieces.listed()?;
    let known = Known { work, pieces, axes: Mutex::default() };
    let bound = |piece: &Piece| {
        let span = known.span(piece, column)?;
        Some(if descending { span.greatest } else { span.least })
    };
    let pieces = pieces.iter().map(|piece| Some((bound(piece)?, piece.clone())));
    let mut pieces: Vec<(ScalarValue, Piece)> = pieces.collect::<Option<_>>()?;
    pieces.sort_by(|(one, _), (other, _)| {
        let order = one.partial_cmp(other).unwrap_or(Ordering::Equal);
        if descending { order.reverse() } else { order }
    });
    Some(pieces.into_iter().map(|(_, piece)| piece).collect())
}

/// What is known of pieces, as DataFusion asks for it.
struct Known<'a> {
    work: &'a Work,
    pieces: &'a [Piece],
    /// Figures of runs of coordinates: many pieces share them.
    axes: Mutex<HashMap<(usize, usize, Vec<Range<u64>>), Option<Span>>>,
}

/// The values of a column in a piece.
#[derive(Debug, Clone)]
struct Span {
    least: ScalarValue,
    greatest: ScalarValue,
    /// Whether none, or every one, is NULL.
    nulls: Option<bool>,
}

impl Known<'_> {
    /// The values of a column in a piece, with both zeros if there is one: a join takes them for
    /// the same key.
    fn span(&self, piece: &Piece, column: usize) -> Option<Span> {
        let mut span = self.ordered_span(piece, column)?;
        match (&mut span.least, &mut span.greatest) {
            (ScalarValue::Float64(Some(least)), ScalarValue::Float64(Some(greatest))) => {
                *least = if *least == 0.0 { -0.0 } else { *least };
                *greatest = if *greatest == 0.0 { 0.0 } else { *greatest };
            }
            (ScalarValue::Float32(Some(least)), ScalarValue::Float32(Some(greatest))) => {
                *least = if *least == 0.0 { -0.0 } else { *least };
                *greatest = if *greatest == 0.0 { 0.0 } else { *greatest };
            }
            _ => {}
        }
        Some(span)
    }

    fn ordered_span(&self, piece: &Piece, column: usize) -> Option<Span> {
        let part = self.work.table.parts().get(piece.part)?;
        let selected = match part.dependence(column) {
            Dependence::Cells => return self.of_cells(piece, column),
            Dependence::Constant => vec![],
            Dependence::Dimension(dimension) => piece.block.selected().get(dimension)?.clone(),
        };
        let key = (piece.part, column, selected);
        let mut axes = self.axes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = axes.get(&key) {
            return known.clone();
        }
        let span = self.of_axis(piece.part, column, &key.2);
        axes.insert(key, span.clone());
        span
    }

    fn of_axis(&self, part: usize, column: usize, selected: &[Range<u64>]) -> Option<Span> {
        let part = self.work.table.parts().get(part)?;
        let runs = match part.dependence(column) {
            Dependence::Constant => vec![part.axis_values(column).ok()?],
            Dependence::Dimension(dimension)
                if self.pieces.len() > 1 && !is_evaluable(part, Some(dimension)) =>
            {
                return None;
            }
            _ => selected
                .iter()
                .map(|range| part.axis_range(column, range).ok())
                .collect::<Option<Vec<_>>>()?,
        };
        let data_type = self.work.table.schema().fields().get(column)?.data_type();
        let (least, greatest) = extremes(&runs, data_type)?;
        let nulls: usize = runs.iter().map(Array::null_count).sum();
        let rows: usize = runs.iter().map(Array::len).sum();
        let nulls = if nulls == 0 { Some(false) } else { (nulls == rows).then_some(true) };
        Some(Span { least, greatest, nulls })
    }

    /// What an earlier query learned about the tile; its extremes hold for all rows in it.
    fn of_cells(&self, piece: &Piece, column: usize) -> Option<Span> {
        let figures = self.work.figures.as_ref()?;
        let figure = figures.get(piece.part, column, piece.block.tile())?;
        let all_null = figure.nulls == figure.rows;
        let nulls = if figure.nulls == 0 { Some(false) } else { all_null.then_some(true) };
        Some(Span { least: figure.least.clone(), greatest: figure.greatest.clone(), nulls })
    }

    fn spans(&self, column: &Column) -> Option<(DataType, Vec<Option<Span>>)> {
        let schema = self.work.table.schema();
        let index = schema.index_of(&column.name).ok()?;
        let data_type = schema.fields().get(index)?.data_type().clone();
        Some((data_type, self.pieces.iter().map(|piece| self.span(piece, index)).collect()))
    }

    fn values(&self, column: &Column, of: impl Fn(Span) -> ScalarValue) -> Option<ArrayRef> {
        let (data_type, spans) = self.spans(column)?;
        let unknown = ScalarValue::try_from(&data_type).ok()?;
        let values = spans.into_iter().map(|span| span.map_or_else(|| unknown.clone(), &of));
        let values = ScalarValue::iter_to_array(values).ok()?;
        (*values.data_type() == data_type).then_some(values)
    }
}

impl PruningStatistics for Known<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |span| span.least)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |span| span.greatest)
    }

    fn num_containers(&self) -> usize {
        self.pieces.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (_, spans) = self.spans(column)?;
        let counts = spans
            .into_iter()
            .zip(self.pieces)
            .map(|(span, piece)| Some(if span?.nulls? { piece.rows } else { 0 }));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.pieces.iter().map(|piece| piece.rows))))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
