//! `tensor_element(t, i, j, …)`: one element of a fixed-shape tensor.

use crate::error::QueryError;
use arrow::array::{Array, ArrayRef, AsArray, UInt64Builder};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The element at zero-based indices, one per dimension, outermost first. NULL where the tensor
/// or an index is NULL; an index outside the shape is an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TensorElement {
    signature: Signature,
}

impl TensorElement {
    /// The function.
    pub(super) fn new() -> Self {
        Self { signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

fn wrong(problem: impl std::fmt::Display) -> QueryError {
    QueryError::Invalid(format!("tensor_element(t, i, …): {problem}"))
}

/// The shape of an `arrow.fixed_shape_tensor` field (Arrow canonical extension types); a list
/// without the extension has one dimension.
fn shape(field: &Field) -> Result<Vec<i64>, QueryError> {
    let DataType::FixedSizeList(_, size) = field.data_type() else {
        return Err(wrong(format_args!("{} is {}, no tensor", field.name(), field.data_type())));
    };
    let extension = field.metadata().get("ARROW:extension:name").map(String::as_str);
    if extension != Some("arrow.fixed_shape_tensor") {
        return Ok(vec![i64::from(*size)]);
    }
    let parsed: Option<serde_json::Value> = field
        .metadata()
        .get("ARROW:extension:metadata")
        .and_then(|text| serde_json::from_str(text).ok());
    let shape: Option<Vec<i64>> = parsed
        .as_ref()
        .and_then(|value| value.get("shape")?.as_array())
        .and_then(|shape| shape.iter().map(serde_json::Value::as_i64).collect());
    let shape =
        shape.ok_or_else(|| wrong(format_args!("the shape of {} is not known", field.name())))?;
    let elements = shape.iter().try_fold(1_i64, |all, length| all.checked_mul(*length));
    if elements != Some(i64::from(*size)) {
        return Err(wrong(format_args!(
            "{} has {size} elements, which do not fill its shape {shape:?}",
            field.name()
        )));
    }
    Ok(shape)
}

impl ScalarUDFImpl for TensorElement {
    fn name(&self) -> &'static str {
        "tensor_element"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(DataType::FixedSizeList(element, _)) => Ok(element.data_type().clone()),
            _ => Err(wrong("the first argument must be a tensor column").into()),
        }
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs) -> Result<FieldRef> {
        let Some((tensor, indices)) = arguments.arg_fields.split_first() else {
            return Err(wrong("takes a tensor and one index per dimension").into());
        };
        let shape = shape(tensor)?;
        if indices.len() != shape.len() {
            return Err(wrong(format_args!(
                "{} has {} dimensions, shape {shape:?}, and {} indices were given",
                tensor.name(),
                shape.len(),
                indices.len()
            ))
            .into());
        }
        if let Some(index) = indices
            .iter()
            .find(|index| !index.data_type().is_integer() && !index.data_type().is_null())
        {
            return Err(wrong(format_args!(
                "an index must be an integer, not {}",
                index.data_type()
            ))
            .into());
        }
        let element = match tensor.data_type() {
            DataType::FixedSizeList(element, _) => element.data_type().clone(),
            other => return Err(wrong(format_args!("{other} is no tensor")).into()),
        };
        Ok(Arc::new(Field::new(self.name(), element, true)))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Some((tensor, indices)), Some(field)) =
            (arguments.args.split_first(), arguments.arg_fields.first())
        else {
            return Err(wrong("takes a tensor and one index per dimension").into());
        };
        let scalar = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { arguments.number_rows };
        let indices = indices
            .iter()
            .map(|index| Ok(cast(&index.to_array(rows)?, &DataType::Int64)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let elements = elements(&tensor.to_array(rows)?, &shape(field)?, &indices)?;
        if scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&elements, 0)?));
        }
        Ok(ColumnarValue::Array(elements))
    }
}

fn elements(tensor: &ArrayRef, shape: &[i64], indices: &[ArrayRef]) -> Result<ArrayRef> {
    let tensors = tensor
        .as_fixed_size_list_opt()
        .ok_or_else(|| wrong(format_args!("{} is no tensor", tensor.data_type())))?;
    let mut places = UInt64Builder::with_capacity(tensors.len());
    for row in 0..tensors.len() {
        let mut place = tensors.is_valid(row).then_some(0_i64);
        for (index, length) in indices.iter().zip(shape) {
            let index = index.as_primitive::<Int64Type>();
            if !index.is_valid(row) {
                place = None;
                continue;
            }
            let index = index.value(row);
            if !(0..*length).contains(&index) {
                return Err(wrong(format_args!(
                    "index {index} lies outside the shape {shape:?}; indices begin at 0"
                ))
                .into());
            }
            place = place
                .and_then(|place| place.checked_mul(*length))
                .and_then(|place| place.checked_add(index));
        }
        let start = i64::from(tensors.value_offset(row));
        places.append_option(
            place.and_then(|place| start.checked_add(place)).and_then(|p| u64::try_from(p).ok()),
        );
    }
    Ok(take(tensors.values(), &places.finish(), None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{FixedSizeListArray, Float32Array, Int64Array};
    use arrow::datatypes::Float32Type;

    fn tensors() -> ArrayRef {
        // Two 2×3 tensors 0…5 and 6…11, and a NULL.
        let values = Float32Array::from_iter_values((0_u8..18).map(f32::from));
        Arc::new(FixedSizeListArray::new(
            Arc::new(Field::new("item", DataType::Float32, true)),
            6,
            Arc::new(values),
            Some(vec![true, true, false].into()),
        ))
    }

    fn index(values: [Option<i64>; 3]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn elements_are_in_c_order_also_of_a_slice() {
        let at = |tensor: &ArrayRef, i, j| elements(tensor, &[2, 3], &[index(i), index(j)]);
        let got = at(&tensors(), [Some(1), Some(0), Some(0)], [Some(2), Some(1), Some(0)]).unwrap();
        let got: Vec<_> = got.as_primitive::<Float32Type>().iter().collect();
        assert_eq!(got, [Some(5.0), Some(7.0), None]);

        let slice = tensors().slice(1, 1);
        let one = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
        let got = elements(&slice, &[2, 3], &[one(0), one(0)]).unwrap();
        assert_eq!(got.as_primitive::<Float32Type>().value(0).to_bits(), 6.0_f32.to_bits());

        let error = at(&tensors(), [Some(2), None, None], [Some(0); 3]).unwrap_err().to_string();
        assert!(error.contains("index 2") && error.contains("[2, 3]"), "{error}");
    }
}
