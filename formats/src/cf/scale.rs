//! Packed values: `scale_factor` and `add_offset` in the dtype and arithmetic of xarray.

use crate::cf::{attributes, kernels, kernels::Unpack};
use crate::contents::{AttributeValue, Variable};
use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, ArrowPrimitiveType, AsArray, PrimitiveArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use std::sync::Arc;

/// How packed values unpack.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    /// Type of the result.
    target: DataType,
    factor: Option<f64>,
    offset: Option<f64>,
    /// The factor where the result is an integer, in its type.
    integer: Option<ArrayRef>,
    /// The steps where all of them are in f4.
    singles: Option<Unpack<f32>>,
}

impl Scale {
    /// The scaling of a variable; `None` if it has none. `nan_fill` tells that NaN is a fill of it.
    ///
    /// Types (array-engine note, section 6, rule 5): with an offset f8, except that both in the
    /// same float type give that type (f8 for 4-byte integers); a factor alone gives its own type.
    ///
    /// # Errors
    /// What is wrong with the attribute.
    pub(crate) fn new(variable: &Variable, nan_fill: bool) -> Result<Option<Self>, String> {
        let factor = single(variable, "scale_factor")?;
        let offset = single(variable, "add_offset")?;
        let stored = &variable.data_type;
        if (factor.is_none() && offset.is_none()) || !stored.is_numeric() {
            return Ok(None);
        }
        let kind = |number: &Option<ArrayRef>| number.as_ref().map(|n| n.data_type().clone());
        let target = match (kind(&factor), kind(&offset)) {
            // xarray leaves the type of floats whose fill is NaN (rule 6).
            _ if nan_fill => stored.clone(),
            (Some(factor), Some(offset)) if factor == offset && factor.is_floating() => {
                if matches!(stored, DataType::Int32 | DataType::UInt32) {
                    DataType::Float64
                } else {
                    factor
                }
            }
            (Some(factor), None) => factor,
            _ => DataType::Float64,
        };
        let target = if target == DataType::Float16 { DataType::Float32 } else { target };
        let number = |number: Option<&ArrayRef>| -> Result<Option<f64>, String> {
            let Some(number) = number else { return Ok(None) };
            let number = cast(number, &DataType::Float64).map_err(|error| error.to_string())?;
            Ok(number.as_primitive::<Float64Type>().iter().next().flatten())
        };
        let (number_of_factor, number_of_offset) =
            (number(factor.as_ref())?, number(offset.as_ref())?);
        let steps = singles(number_of_factor, number_of_offset);
        Ok(Some(Self {
            factor: number_of_factor,
            offset: number_of_offset,
            singles: steps.filter(|_| target == DataType::Float32),
            integer: factor.filter(|_| target.is_integer()),
            target,
        }))
    }

    /// Whether numbers that are no NaN may become one: an infinite factor makes NaN of 0.
    pub(crate) fn makes_nan(&self) -> bool {
        [self.factor, self.offset].into_iter().flatten().any(|number| !number.is_finite())
    }

    /// Type of the result.
    pub(crate) fn target(&self) -> &DataType {
        &self.target
    }

    /// The unpacked values: cast, multiplied, then added, rounded after each step. NULL where an
    /// integer result does not fit its type.
    pub(crate) fn apply(&self, packed: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        if let Some(steps) = &self.singles {
            return kernels::singles(packed, steps);
        }
        let (factor, offset) = (self.factor, self.offset);
        if self.target == DataType::Float64 {
            return kernels::doubles(packed, &Unpack { fills: vec![], factor, offset });
        }
        let values = cast(packed, &self.target)?;
        macro_rules! multiplied {
            ($($variant:ident => $kind:ty),*) => {
                match (&self.target, &self.integer) {
                    $((DataType::$variant, Some(factor)) => {
                        multiply::<$kind>(values.as_primitive(), factor.as_primitive())
                    })*
                    (DataType::Float32, _) => Arc::new(
                        values.as_primitive::<Float32Type>().unary::<_, Float32Type>(|v| self.narrow(v)),
                    ),
                    _ => values,
                }
            };
        }
        Ok(multiplied!(
            Int8 => Int8Type, Int16 => Int16Type, Int32 => Int32Type, Int64 => Int64Type,
            UInt8 => UInt8Type, UInt16 => UInt16Type, UInt32 => UInt32Type, UInt64 => UInt64Type
        ))
    }

    /// In f4 with an f8 factor or offset: a step in f8 is rounded to f4 once.
    fn narrow(&self, value: f32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "rounding to f4 is the arithmetic")]
        let round = |value: f64| value as f32;
        let value = self.factor.map_or(value, |factor| round(f64::from(value) * factor));
        self.offset.map_or(value, |offset| round(f64::from(value) + offset))
    }
}

/// The steps in f4, where it holds factor and offset exactly: a product or sum of two f4 is then the
/// same as one computed in f8 and rounded.
#[expect(clippy::float_cmp, reason = "exactly")]
fn singles(factor: Option<f64>, offset: Option<f64>) -> Option<Unpack<f32>> {
    let single = |number: Option<f64>| match number {
        None => Some(None),
        Some(number) => {
            #[expect(clippy::cast_possible_truncation, reason = "compared with the original")]
            let single = number as f32;
            (f64::from(single) == number).then_some(Some(single))
        }
    };
    Some(Unpack { fills: vec![], factor: single(factor)?, offset: single(offset)? })
}

fn multiply<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    factor: &PrimitiveArray<T>,
) -> ArrayRef {
    let factor = factor.iter().next().flatten();
    Arc::new(values.unary_opt::<_, T>(|value| value.mul_checked(factor?).ok()))
}

/// The attribute as one number, also from a vector of one.
pub(super) fn single(variable: &Variable, name: &str) -> Result<Option<ArrayRef>, String> {
    match variable.attribute(name) {
        None => Ok(None),
        Some(AttributeValue::Numbers(numbers)) if numbers.len() == 1 => {
            Ok(Some(Arc::clone(numbers)))
        }
        Some(other) => Err(format!(
            "{name} {} (it must be one number)",
            attributes::text(other).unwrap_or_default()
        )),
    }
}
