//! The values of tensors: lists of a fixed size, whose elements may be NULL.

use crate::error::FormatError;
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, PrimitiveArray,
};
use arrow::datatypes::{
    DataType, Field, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use std::sync::Arc;

type Half = <Float16Type as ArrowPrimitiveType>::Native;

/// The cells of `rows` tensors of `size` elements each.
pub(super) fn tensors(
    field: &Arc<Field>,
    size: i32,
    cells: &ArrayRef,
    rows: usize,
) -> Result<ArrayRef, FormatError> {
    let cells = blank(cells);
    let tensors =
        FixedSizeListArray::try_new_with_length(Arc::clone(field), size, cells, None, rows)?;
    Ok(Arc::new(tensors))
}

/// The values with NaN, or 0 for integers, under every NULL. Libraries look at the elements of a tensor
/// without its NULLs (pyarrow's `to_numpy_ndarray` does), and must not see a fill as a value.
fn blank(values: &ArrayRef) -> ArrayRef {
    if values.null_count() == 0 {
        return Arc::clone(values);
    }
    macro_rules! blanked {
        ($($variant:ident => $kind:ty),*) => {
            match values.data_type() {
                $(DataType::$variant => Arc::new(over_nulls::<$kind>(
                    values.as_primitive(),
                    Default::default(),
                )),)*
                DataType::Float16 => {
                    Arc::new(over_nulls::<Float16Type>(values.as_primitive(), Half::NAN))
                }
                DataType::Float32 => {
                    Arc::new(over_nulls::<Float32Type>(values.as_primitive(), f32::NAN))
                }
                DataType::Float64 => {
                    Arc::new(over_nulls::<Float64Type>(values.as_primitive(), f64::NAN))
                }
                _ => Arc::clone(values),
            }
        };
    }
    blanked!(
        Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
        UInt8 => UInt8Type, UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type
    )
}

fn over_nulls<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    blank: T::Native,
) -> PrimitiveArray<T> {
    let values = array.iter().map(|value| value.unwrap_or(blank)).collect();
    PrimitiveArray::new(values, array.nulls().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Int16Array};
    use arrow::buffer::NullBuffer;

    #[test]
    fn nothing_but_nan_or_zero_lies_under_a_null() {
        let nulls = || Some(NullBuffer::from(vec![true, false]));
        let floats: ArrayRef = Arc::new(Float32Array::new(vec![1.0, 9.969_21e36].into(), nulls()));
        let blanked = blank(&floats);
        assert_eq!(&blanked, &floats);
        assert!(blanked.as_primitive::<Float32Type>().values()[1].is_nan());
        let integers: ArrayRef = Arc::new(Int16Array::new(vec![1, -9_999].into(), nulls()));
        assert_eq!(blank(&integers).as_primitive::<Int16Type>().values()[..], [1, 0]);
        let field = Arc::new(Field::new_list_field(DataType::Int16, true));
        let list = tensors(&field, 2, &integers, 1).unwrap();
        assert_eq!((list.len(), list.as_fixed_size_list().value(0).null_count()), (1, 1));
    }
}
