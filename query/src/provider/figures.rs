//! What is known of the values of variables, tile by tile, since they were read.
//!
//! A plain HDF5 file says nothing about the values in its chunks. The first query that reads a
//! whole tile leaves its extremes here, and predicates on the variable leave out tiles afterwards.
//! Figures belong to the pinned content of the table's files: they are kept beside the open table
//! and forgotten with it.

use crate::provider::kernel::{Value, extremes};
use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use datafusion::common::ScalarValue;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tarn_formats::Region;

/// Most tiles that are remembered: about 100 MB.
const MOST: usize = 1 << 18;

/// The values of one variable in one tile. Floats are ordered by `totalOrder`, as comparisons of
/// the engine order them, so NaN counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// The least value; NULL if there is none.
    pub(crate) least: ScalarValue,
    /// The greatest value; NULL if there is none.
    pub(crate) greatest: ScalarValue,
    /// How many are NULL.
    pub(crate) nulls: u64,
    /// How many there are, with the NULLs.
    pub(crate) rows: u64,
}

impl Figure {
    /// Of the values of a whole tile; `None` for types that have no figures.
    pub(crate) fn of(values: &ArrayRef) -> Option<Self> {
        match values.data_type() {
            DataType::Int8 => of::<Int8Type>(values),
            DataType::Int16 => of::<Int16Type>(values),
            DataType::Int32 => of::<Int32Type>(values),
            DataType::Int64 => of::<Int64Type>(values),
            DataType::UInt8 => of::<UInt8Type>(values),
            DataType::UInt16 => of::<UInt16Type>(values),
            DataType::UInt32 => of::<UInt32Type>(values),
            DataType::UInt64 => of::<UInt64Type>(values),
            DataType::Float32 => of::<Float32Type>(values),
            DataType::Float64 => of::<Float64Type>(values),
            _ => None,
        }
    }
}

fn of<T: Value>(values: &ArrayRef) -> Option<Figure> {
    let values = values.as_primitive_opt::<T>()?;
    let moments = extremes::<T>(values.values(), values.nulls().map(NullBuffer::inner));
    let scalar = |key: T::Key| {
        let value = (moments.count > 0).then(|| T::of_key(key));
        let array: PrimitiveArray<T> = std::iter::once(value).collect();
        ScalarValue::try_from_array(&array, 0).ok()
    };
    Some(Figure {
        least: scalar(moments.least)?,
        greatest: scalar(moments.greatest)?,
        nulls: u64::try_from(values.null_count()).ok()?,
        rows: u64::try_from(values.len()).ok()?,
    })
}

/// Figures by part and column of a table, and by tile.
type ByTile = HashMap<(usize, usize), HashMap<Region, Arc<Figure>>>;

/// All figures of one table.
#[derive(Debug, Default)]
pub(crate) struct Figures(RwLock<(ByTile, usize)>);

impl Figures {
    /// What is known of a column in a tile.
    pub(crate) fn get(&self, part: usize, column: usize, tile: &Region) -> Option<Arc<Figure>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.0.get(&(part, column))?.get(tile).cloned()
    }

    /// Remembers the values of a column in a whole tile, unless it does already.
    pub(crate) fn learn(&self, part: usize, column: usize, tile: &Region, values: &ArrayRef) {
        if self.get(part, column, tile).is_some() {
            return;
        }
        let Some(figure) = Figure::of(values) else { return };
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (tiles, count) = &mut *known;
        if *count < MOST {
            let new = tiles.entry((part, column)).or_default().insert(tile.clone(), figure.into());
            *count = count.saturating_add(usize::from(new.is_none()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, StringArray, UInt8Array};

    #[test]
    fn figures_know_nan_and_null() {
        let values = vec![Some(1.0), None, Some(f32::NAN), Some(-0.0), Some(0.0)];
        let figure = Figure::of(&(Arc::new(Float32Array::from(values)) as ArrayRef)).unwrap();
        assert_eq!((figure.nulls, figure.rows), (1, 5));
        assert_eq!(figure.least.to_string(), "-0");
        assert!(matches!(figure.greatest, ScalarValue::Float32(Some(value)) if value.is_nan()));
        let none = Figure::of(&(Arc::new(UInt8Array::from(vec![None, None])) as ArrayRef)).unwrap();
        assert_eq!((none.least, none.nulls), (ScalarValue::UInt8(None), 2));
        assert_eq!(Figure::of(&(Arc::new(StringArray::from(vec!["a"])) as ArrayRef)), None);
    }

    #[test]
    fn a_tile_is_learned_once() {
        let (figures, tile) = (Figures::default(), Region::whole(&[2]));
        assert_eq!(figures.get(0, 1, &tile), None);
        let values = |first| Arc::new(UInt8Array::from(vec![first, 9])) as ArrayRef;
        figures.learn(0, 1, &tile, &values(3));
        figures.learn(0, 1, &tile, &values(4));
        assert_eq!(figures.get(0, 1, &tile).unwrap().least, ScalarValue::UInt8(Some(3)));
        assert_eq!(figures.get(1, 1, &tile), None);
    }
}
