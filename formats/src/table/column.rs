//! One column of one part: where its values come from and how they become the table's type.

use super::Dependence;
use super::block::Block;
use super::broadcast::Coordinates;
use super::regions::Tiling;
use super::tensor::tensors;
use crate::cf::{CalendarDate, Decoder, TimeAxis};
use crate::error::FormatError;
use crate::reader::Reader;
use crate::region::{Region, Selection};
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray, UInt64Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, TimeUnit};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use tarn_schemas::table::CalendarPart;

/// Coordinates up to this length are read once and kept.
pub(super) const KEPT: u64 = 1 << 20;

/// Times of a variable that are read to find a unit that holds them all: 128 MB of floats.
const LOOKED_AT: u64 = 1 << 24;

/// Where the values of a column come from in one file.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// One value for all rows; NULL where the file lacks the column.
    Value(ArrayRef),
    /// The index of a dimension.
    Index(usize),
    /// A variable, decoded.
    Variable(Arc<Reading>),
}

/// A variable as a column.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) path: String,
    /// The shape of its cells: the variable's own, without the dimension of the characters of texts.
    pub(super) shape: Vec<u64>,
    /// Characters of one text, where the variable stores texts so.
    pub(super) text_length: Option<u64>,
    pub(super) dependence: Dependence,
    pub(super) decoder: Decoder,
    /// Give this part of the date instead of the value.
    pub(super) part: Option<CalendarPart>,
}

impl Reading {
    /// The decoded values of a box of cells.
    pub(super) fn read(
        &self,
        reader: &dyn Reader,
        region: &Region,
    ) -> Result<ArrayRef, FormatError> {
        let stored = read_stored(reader, &self.path, region, self.text_length)?;
        let Some(part) = self.part else { return self.decoder.decode(&stored) };
        let dates = self.decoder.dates(&stored)?.into_iter();
        let number = |of: fn(CalendarDate) -> i64| -> ArrayRef {
            Arc::new(dates.clone().map(|date| date.map(of)).collect::<Int64Array>())
        };
        Ok(match part {
            CalendarPart::Year => number(|date| date.year),
            CalendarPart::Month => number(|date| date.month.into()),
            CalendarPart::Day => number(|date| date.day.into()),
            CalendarPart::Date => {
                let texts = dates.map(|date| date.map(|date| date.to_string()));
                Arc::new(texts.collect::<StringArray>())
            }
        })
    }

    /// Whether the variable is a time whose values microseconds hold and nanoseconds do not.
    ///
    /// Small variables are looked at: coordinates, their bounds, single values. Of large ones the
    /// type of the numbers may say it; else they are looked at up to [`LOOKED_AT`] cells, and beyond
    /// that a time must not be lost: microseconds, unless the unit is finer.
    pub(super) fn needs_microseconds(&self, reader: &dyn Reader) -> Result<bool, FormatError> {
        let is_time = matches!(self.decoder.field().data_type(), DataType::Timestamp(..));
        if self.part.is_some() || !is_time {
            return Ok(false);
        }
        let whole = Region::whole(&self.shape);
        match whole.cells() {
            Some(..=KEPT) => {
                return self.decoder.needs_microseconds(&reader.read(&self.path, &whole)?);
            }
            Some(..=LOOKED_AT) if self.decoder.unit_of_all().is_none() => {
                let chunk = reader.contents().variable(&self.path);
                let chunk = chunk.and_then(|variable| variable.chunk_shape.as_deref());
                let tiling = Tiling::new(&self.shape, chunk, 1, KEPT);
                for block in tiling.blocks(&Selection::all(&self.shape), false) {
                    // Who reads a damaged part is told; a time in it may be anything.
                    let Ok(stored) = reader.read(&self.path, &block.bounds()) else {
                        return Ok(self.decoder.is_coarse());
                    };
                    if self.decoder.needs_microseconds(&stored)? {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            _ => {}
        }
        Ok(match self.decoder.unit_of_all() {
            Some(unit) => unit == TimeUnit::Microsecond,
            None => self.decoder.is_coarse(),
        })
    }
}

/// The stored values of a box of cells, with all the characters of each.
pub(super) fn read_stored(
    reader: &dyn Reader,
    path: &str,
    region: &Region,
    text_length: Option<u64>,
) -> Result<ArrayRef, FormatError> {
    let Some(length) = text_length else { return reader.read(path, region) };
    let ranges = region.ranges().iter().cloned().chain(std::iter::once(0..length));
    reader.read(path, &Region::new(ranges.collect()))
}

/// A column that a file offers, before the files are joined.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) field: Field,
    pub(super) source: Source,
    /// The axis of a time that is no timestamp: numbers, or the text of dates in `xarray` mode.
    pub(super) time: Option<TimeAxis>,
}

/// A column of one part.
#[derive(Debug, Clone)]
pub(super) struct Column {
    source: Source,
    /// Multiply, add: to the time axis of the table.
    rebase: Option<(i64, i64)>,
    /// Type of the values; for a tensor, of its elements.
    data_type: DataType,
    /// The list field, elements of one row and their type, where a row holds a tensor.
    tensor: Option<(Arc<Field>, i32)>,
    kept: Arc<OnceLock<ArrayRef>>,
}

impl Column {
    pub(super) fn new(
        source: Source,
        rebase: Option<(i64, i64)>,
        data_type: DataType,
        tensor: Option<(Arc<Field>, i32)>,
    ) -> Self {
        Self { source, rebase, data_type, tensor, kept: Arc::default() }
    }

    /// Path of its variable, if it is one.
    pub(super) fn path(&self) -> Option<&str> {
        match &self.source {
            Source::Variable(reading) => Some(&reading.path),
            Source::Value(_) | Source::Index(_) => None,
        }
    }

    pub(super) fn dependence(&self) -> Dependence {
        match &self.source {
            Source::Value(_) => Dependence::Constant,
            Source::Index(dimension) => Dependence::Dimension(*dimension),
            Source::Variable(reading) => reading.dependence,
        }
    }

    /// The values of a column that does not depend on all dimensions: of the indices `range`, or
    /// one value where it depends on none.
    pub(super) fn axis(
        &self,
        reader: &dyn Reader,
        range: &Range<u64>,
    ) -> Result<ArrayRef, FormatError> {
        let reading = match &self.source {
            Source::Value(value) => return self.finish(value),
            Source::Index(_) => return index(reader.location(), range),
            Source::Variable(reading) => reading,
        };
        let length = reading.shape.first().copied();
        if length.is_some_and(|length| length > KEPT) {
            let values = reading.read(reader, &Region::new(vec![range.clone()]))?;
            return self.finish(&values);
        }
        let values = if let Some(values) = self.kept.get() {
            values
        } else {
            let values = self.finish(&reading.read(reader, &Region::whole(&reading.shape))?)?;
            self.kept.get_or_init(|| values)
        };
        if length.is_none() {
            return Ok(Arc::clone(values));
        }
        let (start, count) = (
            to_usize(reader.location(), range.start)?,
            to_usize(reader.location(), range.end.saturating_sub(range.start))?,
        );
        if start.checked_add(count).is_none_or(|end| end > values.len()) {
            return Err(outside(reader.location(), &reading.path));
        }
        Ok(values.slice(start, count))
    }

    /// The values of a block of the table's rows.
    pub(super) fn read(
        &self,
        reader: &dyn Reader,
        block: &Block,
        coordinates: &Coordinates,
    ) -> Result<ArrayRef, FormatError> {
        let location = reader.location();
        let lengths: Vec<usize> = block
            .shape()
            .iter()
            .map(|length| to_usize(location, *length))
            .collect::<Result<_, _>>()?;
        let product = |lengths: &[usize]| {
            lengths
                .iter()
                .try_fold(1_usize, |all, length| all.checked_mul(*length))
                .ok_or_else(|| outside(location, "region"))
        };
        match (self.dependence(), &self.source) {
            (Dependence::Cells, Source::Variable(reading)) => {
                let values = self.cells(reader, reading, block)?;
                match block.places() {
                    Some(places) => Ok(take(&values, &UInt64Array::from(places), None)?),
                    None => Ok(values),
                }
            }
            (Dependence::Dimension(dimension), _) => {
                let selected = block.selected().get(dimension);
                let selected = selected.ok_or_else(|| outside(location, "region"))?;
                let (before, rest) = lengths.split_at_checked(dimension).unwrap_or_default();
                let (outer, inner) =
                    (product(before)?, product(rest.get(1..).unwrap_or_default())?);
                coordinates.broadcast(&self.kept, selected, outer, inner, || {
                    let runs = selected
                        .iter()
                        .map(|range| self.axis(reader, range))
                        .collect::<Result<Vec<_>, _>>()?;
                    match runs.as_slice() {
                        [one] => Ok(Arc::clone(one)),
                        [] => self.axis(reader, &(0..0)),
                        _ => {
                            let runs: Vec<&dyn Array> = runs.iter().map(AsRef::as_ref).collect();
                            Ok(concat(&runs)?)
                        }
                    }
                })
            }
            _ => coordinates
                .broadcast(&self.kept, &[], product(&lengths)?, 1, || self.axis(reader, &(0..1))),
        }
    }

    /// The variable and the stored box that a block takes of it, where it depends on all dimensions.
    pub(super) fn cells_of(&self, block: &Block) -> Option<(&str, Region)> {
        let Source::Variable(reading) = &self.source else { return None };
        if reading.dependence != Dependence::Cells {
            return None;
        }
        let mut ranges = block.bounds().ranges().to_vec();
        ranges.extend(reading.shape.iter().skip(ranges.len()).map(|length| 0..*length));
        ranges.extend(reading.text_length.map(|length| 0..length));
        Some((&reading.path, Region::new(ranges)))
    }

    /// The values of a variable over the bounding box of a block; for tensors one list a row.
    fn cells(
        &self,
        reader: &dyn Reader,
        reading: &Reading,
        block: &Block,
    ) -> Result<ArrayRef, FormatError> {
        let bounds = block.bounds();
        let rows = bounds.cells().ok_or_else(|| outside(reader.location(), "region"))?;
        let mut ranges = bounds.ranges().to_vec();
        // The inner dimensions of a tensor are whole.
        ranges.extend(reading.shape.iter().skip(ranges.len()).map(|length| 0..*length));
        let values = self.finish(&reading.read(reader, &Region::new(ranges))?)?;
        match &self.tensor {
            None => Ok(values),
            Some((field, size)) => {
                tensors(field, *size, &values, to_usize(reader.location(), rows)?)
            }
        }
    }

    /// Decoded values in the table's type.
    fn finish(&self, values: &ArrayRef) -> Result<ArrayRef, FormatError> {
        let Some((multiply, add)) = self.rebase.filter(|rebase| *rebase != (1, 0)) else {
            return Ok(if *values.data_type() == self.data_type {
                Arc::clone(values)
            } else {
                cast(values, &self.data_type)?
            });
        };
        let numbers = cast(values, &self.data_type)?;
        Ok(if self.data_type == DataType::Int64 {
            let moved = |value: i64| value.checked_mul(multiply)?.checked_add(add);
            Arc::new(numbers.as_primitive::<Int64Type>().unary_opt::<_, Int64Type>(moved))
        } else {
            let numbers = cast(&numbers, &DataType::Float64)?;
            let (multiply, add) = (crate::cf::from_integer(multiply), crate::cf::from_integer(add));
            // Rounded once.
            let moved = |value: f64| value.mul_add(multiply, add);
            Arc::new(numbers.as_primitive::<Float64Type>().unary::<_, Float64Type>(moved))
        })
    }
}

fn index(location: &str, range: &Range<u64>) -> Result<ArrayRef, FormatError> {
    let end = i64::try_from(range.end).map_err(|_| outside(location, "dimension"))?;
    let start = i64::try_from(range.start).map_err(|_| outside(location, "dimension"))?;
    Ok(Arc::new(Int64Array::from_iter_values(start..end)))
}

pub(super) fn to_usize(location: &str, number: u64) -> Result<usize, FormatError> {
    usize::try_from(number).map_err(|_| outside(location, "region"))
}

pub(super) fn outside(location: &str, place: &str) -> FormatError {
    FormatError::Options {
        location: location.to_owned(),
        problem: format!("{place}: the region does not lie inside the table's rows"),
    }
}
