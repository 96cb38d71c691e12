//! Values of one dimension repeated over all the cells of a block.

use crate::error::FormatError;
use arrow::array::{Array, ArrayRef, PrimitiveArray, UInt64Array};
use arrow::compute::take;
use arrow::downcast_primitive_array;
use arrow::error::ArrowError;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Most bytes of broadcast coordinates that are kept for the next block.
const KEPT_BYTES: usize = 64 << 20;

/// Broadcast coordinates that were used lately: the blocks of a scan share most of them, and an
/// array that exists costs nothing.
#[derive(Debug, Default)]
pub struct Coordinates {
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// Stands for the column: the place where its axis is kept.
    column: Arc<OnceLock<ArrayRef>>,
    selected: Vec<Range<u64>>,
    outer: usize,
    inner: usize,
    cells: ArrayRef,
}

impl Coordinates {
    /// The values along an axis, each `inner` times and all of that `outer` times. `values` gives
    /// those at the indices `selected` if they are not kept; `column` stands for the axis, with a
    /// place of its own for each.
    ///
    /// # Errors
    /// Those of `values`; [`FormatError::Arrow`] for more cells than memory can hold.
    pub fn broadcast(
        &self,
        column: &Arc<OnceLock<ArrayRef>>,
        selected: &[Range<u64>],
        outer: usize,
        inner: usize,
        values: impl FnOnce() -> Result<ArrayRef, FormatError>,
    ) -> Result<ArrayRef, FormatError> {
        if outer == 1 && inner == 1 {
            return values();
        }
        let same = |kept: &Kept| {
            Arc::ptr_eq(&kept.column, column)
                && (kept.outer, kept.inner) == (outer, inner)
                && kept.selected == selected
        };
        {
            let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = all.iter().position(same).and_then(|place| all.remove(place)) {
                let cells = Arc::clone(&found.cells);
                all.push_back(found);
                return Ok(cells);
            }
        }
        let cells = broadcast(&values()?, outer, inner)?;
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |kept: &Kept| kept.cells.get_buffer_memory_size();
        let mut held =
            all.iter().map(bytes).fold(cells.get_buffer_memory_size(), usize::saturating_add);
        while held > KEPT_BYTES
            && let Some(oldest) = all.pop_front()
        {
            held = held.saturating_sub(bytes(&oldest));
        }
        if held <= KEPT_BYTES {
            let (column, selected) = (Arc::clone(column), selected.to_vec());
            all.push_back(Kept { column, selected, outer, inner, cells: Arc::clone(&cells) });
        }
        Ok(cells)
    }
}

/// Each value `inner` times, and all of that `outer` times: what a coordinate is in C order.
fn broadcast(values: &ArrayRef, outer: usize, inner: usize) -> Result<ArrayRef, ArrowError> {
    if outer == 1 && inner == 1 {
        return Ok(Arc::clone(values));
    }
    let length = values
        .len()
        .checked_mul(inner)
        .and_then(|period| period.checked_mul(outer))
        .ok_or_else(|| ArrowError::InvalidArgumentError("more cells than memory".to_owned()))?;
    if values.null_count() == 0 {
        let values: &dyn Array = values;
        downcast_primitive_array!(
            values => {
                let data_type = values.data_type().clone();
                let cells = repeated(values.values(), inner, length);
                return primitive_like(values, cells, data_type);
            },
            _ => {}
        );
    }
    let indices: Vec<u64> = (0_u64..).take(values.len()).collect();
    take(values, &UInt64Array::from(repeated(&indices, inner, length)), None)
}

/// The first period is filled value by value, the rest by copies that double.
fn repeated<T: Copy>(values: &[T], inner: usize, length: usize) -> Vec<T> {
    let mut cells: Vec<T> = Vec::with_capacity(length);
    if length == 0 {
        return cells;
    }
    if inner == 1 {
        cells.extend_from_slice(values);
    } else {
        for value in values {
            let filled = cells.len().saturating_add(inner);
            cells.resize(filled, *value);
        }
    }
    while cells.len() < length && !cells.is_empty() {
        let more = cells.len().min(length - cells.len());
        cells.extend_from_within(..more);
    }
    cells
}

/// An array of the type of `like`, which knows its own primitive type.
fn primitive_like<T: arrow::array::ArrowPrimitiveType>(
    _like: &PrimitiveArray<T>,
    cells: Vec<T::Native>,
    data_type: arrow::datatypes::DataType,
) -> Result<ArrayRef, ArrowError> {
    let cells = PrimitiveArray::<T>::try_new(cells.into(), None)?;
    Ok(Arc::new(cells.with_data_type(data_type)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Int64Array, StringArray, TimestampNanosecondArray};

    #[test]
    fn values_repeat_inside_and_outside() {
        let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0]));
        let expected: ArrayRef = Arc::new(Float32Array::from(vec![
            1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0,
        ]));
        assert_eq!(&broadcast(&values, 2, 3).unwrap(), &expected);
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let expected: ArrayRef =
            Arc::new(StringArray::from(vec![Some("a"), Some("a"), None, None]));
        assert_eq!(&broadcast(&values, 1, 2).unwrap(), &expected);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(7)]));
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(7), None, Some(7)]));
        assert_eq!(&broadcast(&values, 2, 1).unwrap(), &expected);
        let values: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![5]));
        assert_eq!(broadcast(&values, 1, 0).unwrap().len(), 0);
        assert_eq!(broadcast(&values, 4, 1).unwrap().data_type(), values.data_type());
    }

    #[test]
    fn blocks_of_the_same_shape_share_their_coordinates() {
        let coordinates = Coordinates::default();
        let (lat, lon) = (Arc::default(), Arc::default());
        let axis = || Ok(Arc::new(Float32Array::from(vec![1.0, 2.0])) as ArrayRef);
        let range = |range: Range<u64>| vec![range];
        let first = coordinates.broadcast(&lat, &range(0..2), 2, 3, axis).unwrap();
        let again = coordinates.broadcast(&lat, &range(0..2), 2, 3, || panic!("is kept")).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        for (column, selected, outer) in
            [(&lon, range(0..2), 2), (&lat, range(1..3), 2), (&lat, range(0..2), 3)]
        {
            let other = coordinates.broadcast(column, &selected, outer, 3, axis).unwrap();
            assert!(!Arc::ptr_eq(&first, &other));
        }
    }

    #[test]
    fn kept_coordinates_stay_within_their_limit() {
        let coordinates = Coordinates::default();
        let axis = || Ok(Arc::new(Int64Array::from_iter_values(0..1_000)) as ArrayRef);
        for index in 0..20 {
            let column = Arc::default();
            let one = std::slice::from_ref(&(index..index + 1)).to_vec();
            coordinates.broadcast(&column, &one, 1_000, 1, axis).unwrap();
        }
        let kept = coordinates.kept.lock().unwrap();
        assert_eq!(kept.len(), KEPT_BYTES / 8_000_000);
        assert_eq!(kept.back().unwrap().selected.first(), Some(&(19..20)));
    }
}
