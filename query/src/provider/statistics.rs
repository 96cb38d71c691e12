//! What a plan knows of its columns before it reads a cell.

use crate::provider::axis::{all_of, is_short};
use crate::provider::prune::extremes;
use crate::provider::work::Work;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue};
use tarn_formats::table::{Dependence, Part};

/// The columns that a scan reads. Exact for coordinates, constants, and variables whose tiles are
/// all known; nothing where pieces were left out by more than the selection of each file.
pub(crate) fn columns(work: &Work, projection: &[usize]) -> Vec<ColumnStatistics> {
    let of = |column: &usize| {
        let known = if work.complete { column_of(work, *column) } else { None };
        known.unwrap_or_else(ColumnStatistics::new_unknown)
    };
    projection.iter().map(of).collect()
}

fn column_of(work: &Work, column: usize) -> Option<ColumnStatistics> {
    let field = work.table.schema().fields().get(column)?;
    let mut statistics = ColumnStatistics::new_unknown();
    if !field.is_nullable() {
        statistics.null_count = Precision::Exact(0);
    }
    let cells = work.table.parts().iter().any(|part| part.dependence(column) == Dependence::Cells);
    let span =
        if cells { of_cells(work, column) } else { of_axes(work, column, field.data_type()) };
    if let Some((nulls, extremes)) = span {
        statistics.null_count = Precision::Exact(usize::try_from(nulls).ok()?);
        if let Some((least, greatest)) = extremes {
            statistics.min_value = Precision::Exact(least);
            statistics.max_value = Precision::Exact(greatest);
        }
    }
    Some(statistics)
}

/// NULLs, least and greatest of a column that depends on at most one dimension of each part.
fn of_axes(
    work: &Work,
    column: usize,
    data_type: &DataType,
) -> Option<(u64, Option<(ScalarValue, ScalarValue)>)> {
    let mut nulls = 0_u64;
    let mut runs: Vec<ArrayRef> = Vec::new();
    for (part, selection) in work.table.parts().iter().zip(work.selections.iter()) {
        let Some(selection) = selection else { continue };
        let rows = selection.cells()?;
        if rows == 0 {
            continue;
        }
        let values = selected(part, column, selection)?;
        let length = u64::try_from(values.len()).ok().filter(|length| *length > 0)?;
        let own = u64::try_from(values.null_count()).ok()?;
        nulls = nulls.checked_add(own.checked_mul(rows / length)?)?;
        runs.push(values);
    }
    let nan = runs.iter().any(has_nan);
    let extremes = if nan { None } else { extremes(&runs, data_type) };
    Some((nulls, extremes.filter(|(least, _)| !least.is_null())))
}

fn selected(part: &Part, column: usize, selection: &tarn_formats::Selection) -> Option<ArrayRef> {
    let Dependence::Dimension(dimension) = part.dependence(column) else {
        return part.axis_values(column).ok();
    };
    if !is_short(part, Some(dimension)) {
        return None;
    }
    let values = part.axis_values(column).ok()?;
    let ranges = selection.dimensions().get(dimension)?;
    if *ranges == all_of(part, Some(dimension)) {
        return Some(values);
    }
    let runs = ranges.iter().map(|range| {
        let start = usize::try_from(range.start).ok()?;
        let length = usize::try_from(range.end - range.start).ok()?;
        let fits = start.checked_add(length).is_some_and(|end| end <= values.len());
        fits.then(|| values.slice(start, length))
    });
    let runs = runs.collect::<Option<Vec<_>>>()?;
    concat(&runs.iter().map(AsRef::as_ref).collect::<Vec<_>>()).ok()
}

/// NULLs, least and greatest of a variable, if all its tiles were read whole before.
fn of_cells(work: &Work, column: usize) -> Option<(u64, Option<(ScalarValue, ScalarValue)>)> {
    let figures = work.figures.as_ref()?;
    let mut nulls = 0_u64;
    let mut span: Option<(ScalarValue, ScalarValue)> = None;
    let mut nan = false;
    for piece in work.pieces.listed()? {
        if !piece.block.is_whole_tile() {
            return None;
        }
        let figure = figures.get(piece.part, column, piece.block.tile())?;
        nulls = nulls.checked_add(figure.nulls)?;
        if figure.least.is_null() {
            continue;
        }
        for value in [&figure.least, &figure.greatest] {
            nan |= matches!(value, ScalarValue::Float32(Some(v)) if v.is_nan())
                || matches!(value, ScalarValue::Float64(Some(v)) if v.is_nan());
        }
        span = Some(match span {
            None => (figure.least.clone(), figure.greatest.clone()),
            Some((least, greatest)) => (
                if figure.least.partial_cmp(&least)?.is_lt() {
                    figure.least.clone()
                } else {
                    least
                },
                if figure.greatest.partial_cmp(&greatest)?.is_gt() {
                    figure.greatest.clone()
                } else {
                    greatest
                },
            ),
        });
    }
    Some((nulls, span.filter(|_| !nan)))
}

type Half = <Float16Type as ArrowPrimitiveType>::Native;

fn has_nan(values: &ArrayRef) -> bool {
    if let Some(values) = values.as_primitive_opt::<Float64Type>() {
        return values.iter().flatten().any(f64::is_nan);
    }
    if let Some(values) = values.as_primitive_opt::<Float32Type>() {
        return values.iter().flatten().any(f32::is_nan);
    }
    values.as_primitive_opt::<Float16Type>().is_some_and(|v| v.iter().flatten().any(Half::is_nan))
}

/// Reads the axes that planning asks for, several files at once: axes of files in a store take a
/// request each. Failures are left to who needs the axis.
pub(crate) fn preload(work: &Work, columns: &[usize]) {
    let parts: Vec<&Part> = work
        .table
        .parts()
        .iter()
        .zip(work.selections.iter())
        .filter_map(|(part, selection)| selection.as_ref().map(|_| part))
        .collect();
    load(&parts, columns);
}

/// As [`preload`], for these parts.
pub(crate) fn load(parts: &[&Part], columns: &[usize]) {
    /// Files whose axes are read at once.
    const AT_ONCE: usize = 16;
    let one = |part: &Part| {
        for column in columns {
            let short = match part.dependence(*column) {
                Dependence::Dimension(dimension) => is_short(part, Some(dimension)),
                Dependence::Constant | Dependence::Cells => false,
            };
            if short {
                let _ = part.axis_values(*column);
            }
        }
    };
    let share = parts.len().div_ceil(AT_ONCE).max(1);
    if share == 1 {
        for part in parts {
            one(part);
        }
        return;
    }
    std::thread::scope(|scope| {
        for parts in parts.chunks(share) {
            scope.spawn(|| parts.iter().for_each(|part| one(part)));
        }
    });
}
