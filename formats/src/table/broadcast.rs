//! Values of one dimension repeated over all the cells of a box.

use arrow::array::{Array, ArrayRef, PrimitiveArray, UInt64Array};
use arrow::compute::take;
use arrow::downcast_primitive_array;
use arrow::error::ArrowError;
use std::iter::repeat_n;
use std::sync::Arc;

/// Each value `inner` times, and all of that `outer` times: what a coordinate is in C order.
pub(super) fn broadcast(
    values: &ArrayRef,
    outer: usize,
    inner: usize,
) -> Result<ArrayRef, ArrowError> {
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
                let mut cells = Vec::with_capacity(length);
                for _ in 0..outer {
                    for value in values.values() {
                        cells.extend(repeat_n(*value, inner));
                    }
                }
                return primitive_like(values, cells, data_type);
            },
            _ => {}
        );
    }
    let mut indices: Vec<u64> = Vec::with_capacity(length);
    for _ in 0..outer {
        for index in (0_u64..).take(values.len()) {
            indices.extend(repeat_n(index, inner));
        }
    }
    take(values, &UInt64Array::from(indices), None)
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
}
