//! Numbers: `_Unsigned`, fills as NaN, packing (rules 1 to 7).

use super::dtypes::{Step, astype, in_place, promote, size};
use crate::cf::kernels::{self, Unpack};
use crate::cf::{mask, reinterpreted, scale};
use crate::contents::{AttributeValue, Variable};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use std::sync::Arc;

/// Whether later steps make a time of the numbers: then integers keep their place, and NaT is the
/// smallest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeLike {
    No,
    Yes,
}

/// How stored numbers become those that xarray has before it looks at times.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    reinterpreted: Option<DataType>,
    masked: Option<(DataType, Vec<Fill>)>,
    scaled: Option<Scaled>,
    result: DataType,
    /// All steps in one pass, where they are all in one float type.
    fast: Option<Fast>,
}

/// A value that is masked, as the result type compares with it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fill {
    Exact(i128),
    Double(f64),
}

#[derive(Debug, Clone)]
struct Scaled {
    to: DataType,
    factor: Option<ArrayRef>,
    offset: Option<ArrayRef>,
}

#[derive(Debug, Clone)]
enum Fast {
    Singles(Unpack<f32>),
    Doubles(Unpack<f64>),
}

/// A member of the fill set, with its own dtype; `None` for the plain Python integer that
/// `_Unsigned` leaves.
#[derive(Debug, Clone, PartialEq)]
struct Member {
    value: Fill,
    data_type: Option<DataType>,
}

/// `_FillValue` and `missing_value` of numeric data.
struct Fills {
    /// The distinct members that are not NaN.
    members: Vec<Member>,
    /// Whether there is a member at all, be it NaN, and text too: then data without scale promote.
    named: bool,
    text: bool,
}

impl Numbers {
    /// # Errors
    /// What makes xarray fail on this variable.
    pub(super) fn new(variable: &Variable, time_like: TimeLike) -> Result<Self, String> {
        let stored = match &variable.data_type {
            DataType::Boolean => DataType::Int8,
            other => other.clone(),
        };
        let factor = scale::single(variable, "scale_factor")?;
        let offset = scale::single(variable, "add_offset")?;
        let reinterpreted = reinterpreted(variable);
        let mut fills = Fills::new(variable, &stored)?;
        let data = reinterpreted.clone().unwrap_or_else(|| stored.clone());
        if reinterpreted.is_some() {
            fills.reinterpret(variable, &stored, &data)?;
        }
        let packed = factor.is_some() || offset.is_some();
        let choose = |data: &DataType| packed_type(data, factor.as_ref(), offset.as_ref());
        let masked = if fills.members.is_empty() && !fills.text {
            None
        } else {
            let to = if packed {
                choose(&data)
            } else if time_like == TimeLike::Yes && data.is_integer() {
                DataType::Int64
            } else {
                promoted(&data)
            };
            if to.is_integer() && packed {
                return Err("a fill with an integer scale_factor, which xarray cannot hold as NaN"
                    .to_owned());
            }
            let fills = fills.members.iter().map(|member| member.against(&to)).collect();
            Some((to, fills))
        };
        let now = masked.as_ref().map_or(&data, |(to, _)| to);
        let scaled = packed.then(|| {
            let to =
                if !fills.named || time_like == TimeLike::Yes { choose(now) } else { now.clone() };
            Scaled { to, factor: factor.clone(), offset: offset.clone() }
        });
        let result = scaled.as_ref().map_or(now, |scaled| &scaled.to).clone();
        let fast = Fast::new(masked.as_ref(), scaled.as_ref());
        Ok(Self { reinterpreted, masked, scaled, result, fast })
    }

    /// dtype of the result.
    pub(super) fn result(&self) -> &DataType {
        &self.result
    }

    pub(super) fn apply(&self, stored: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        let mut data = match stored.data_type() {
            DataType::Boolean => cast(stored, &DataType::Int8)?,
            _ => Arc::clone(stored),
        };
        if let Some(data_type) = &self.reinterpreted {
            data = mask::bits_as(&data, data_type)?;
        }
        if let Some(fast) = &self.fast {
            return fast.apply(&data);
        }
        if let Some((to, fills)) = &self.masked {
            data = masked(&astype(&data, to)?, fills)?;
        }
        if let Some(scaled) = &self.scaled {
            data = astype(&data, &scaled.to)?;
            if let Some(factor) = &scaled.factor {
                data = in_place(&data, Step::Multiply, factor)?;
            }
            if let Some(offset) = &scaled.offset {
                data = in_place(&data, Step::Add, offset)?;
            }
        }
        Ok(data)
    }
}

impl Fast {
    fn new(masked: Option<&(DataType, Vec<Fill>)>, scaled: Option<&Scaled>) -> Option<Self> {
        let target = match (masked, scaled) {
            (None, None) => return None,
            (Some((to, _)), None) => to,
            (None, Some(scaled)) => &scaled.to,
            (Some((to, _)), Some(scaled)) => Some(to).filter(|to| **to == scaled.to)?,
        };
        let operand = |which: fn(&Scaled) -> &Option<ArrayRef>| -> Option<Option<f64>> {
            let Some(number) = scaled.and_then(|scaled| which(scaled).as_ref()) else {
                return Some(None);
            };
            let computed = promote(target, number.data_type());
            (computed == *target).then(|| double(number))
        };
        let (factor, offset) = (operand(|s| &s.factor)?, operand(|s| &s.offset)?);
        let fills = masked.map(|(_, fills)| fills.as_slice()).unwrap_or_default();
        let fills = fills.iter().filter_map(|fill| match fill {
            Fill::Double(value) => Some(*value),
            Fill::Exact(_) => None,
        });
        match target {
            DataType::Float32 => Some(Self::Singles(Unpack {
                fills: fills.filter_map(exact_single).collect(),
                factor: factor.map(single),
                offset: offset.map(single),
            })),
            DataType::Float64 => {
                Some(Self::Doubles(Unpack { fills: fills.collect(), factor, offset }))
            }
            _ => None,
        }
    }

    fn apply(&self, data: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        // Floats of which none is a fill are passed on without a copy.
        let same = match (self, data.data_type()) {
            (Self::Singles(steps), DataType::Float32) => {
                steps.changes_nothing(data.as_primitive::<Float32Type>().values())
            }
            (Self::Doubles(steps), DataType::Float64) => {
                steps.changes_nothing(data.as_primitive::<Float64Type>().values())
            }
            _ => false,
        };
        if same {
            return Ok(Arc::clone(data));
        }
        match self {
            Self::Singles(steps) => kernels::singles(data, steps),
            Self::Doubles(steps) => kernels::doubles(data, steps),
        }
    }
}

impl Fills {
    /// The members in xarray's order: those of `missing_value` first, and of equal ones the first.
    fn new(variable: &Variable, stored: &DataType) -> Result<Self, String> {
        let mut fills = Self { members: vec![], named: false, text: false };
        for name in ["missing_value", "_FillValue"] {
            match variable.attribute(name) {
                None => {}
                Some(AttributeValue::Text(_)) => {
                    fills.text = true;
                    fills.named = true;
                }
                Some(AttributeValue::Numbers(numbers)) => {
                    let members = members(numbers)?;
                    // NaN alone says nothing about integers.
                    fills.named |= !members.is_empty() || !stored.is_integer();
                    for member in members {
                        fills.insert(member);
                    }
                }
                Some(AttributeValue::Unreadable(kind)) => {
                    return Err(format!("a {name} of the type {kind}"));
                }
            }
        }
        Ok(fills)
    }

    fn insert(&mut self, member: Member) {
        if !self.members.iter().any(|own| equal(own.value, member.value)) {
            self.members.push(member);
        }
    }

    /// The bits of `_FillValue` under the type that `_Unsigned` asks for; those of `missing_value`
    /// stay (rule 7).
    fn reinterpret(
        &mut self,
        variable: &Variable,
        stored: &DataType,
        data: &DataType,
    ) -> Result<(), String> {
        let numbers = match variable.attribute("_FillValue") {
            Some(AttributeValue::Numbers(numbers)) => numbers,
            Some(_) => return Err("a _FillValue that is no number, with _Unsigned".to_owned()),
            None => return Ok(()),
        };
        if numbers.len() != 1 {
            return Err("a _FillValue of several numbers, with _Unsigned".to_owned());
        }
        let Some(raw) = members(numbers)?.pop() else { return Ok(()) };
        self.members.retain(|member| !equal(member.value, raw.value));
        let bits =
            |array: &ArrayRef, to: &DataType| astype(array, to).map_err(|error| error.to_string());
        let own = bits(numbers, if data.is_unsigned_integer() { stored } else { data })?;
        let value = members(&bits(&own, data)?)?.pop();
        // To unsigned xarray keeps a plain integer, to signed one of the signed type.
        let data_type = data.is_signed_integer().then(|| data.clone());
        if let Some(Member { value, .. }) = value {
            self.insert(Member { value, data_type });
        }
        Ok(())
    }
}

impl Member {
    /// The value that data of dtype `to` are compared with.
    fn against(&self, to: &DataType) -> Fill {
        let common = self.data_type.as_ref().map_or_else(|| to.clone(), |own| promote(to, own));
        match (self.value, &common) {
            // Integers compare exactly, also signed with unsigned.
            (Fill::Exact(value), _) if to.is_integer() => Fill::Exact(value),
            (Fill::Exact(value), DataType::Float16 | DataType::Float32) => {
                Fill::Double(f64::from(value as f32))
            }
            (Fill::Exact(value), _) => Fill::Double(value as f64),
            (double, _) => double,
        }
    }
}

/// Whether Python takes two members for the same.
#[expect(clippy::float_cmp, reason = "as Python compares")]
fn equal(a: Fill, b: Fill) -> bool {
    match (a, b) {
        (Fill::Exact(a), Fill::Exact(b)) => a == b,
        (Fill::Double(a), Fill::Double(b)) => a == b,
        (Fill::Exact(exact), Fill::Double(double)) | (Fill::Double(double), Fill::Exact(exact)) => {
            double.is_finite() && double.fract() == 0.0 && whole(double) == exact
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "fills are far inside 128 bits")]
fn whole(double: f64) -> i128 {
    double as i128
}

/// The members of an attribute that are not NaN.
fn members(numbers: &ArrayRef) -> Result<Vec<Member>, String> {
    let data_type = Some(numbers.data_type().clone());
    let problem = |error: ArrowError| error.to_string();
    let members: Vec<Option<Fill>> = match numbers.data_type() {
        DataType::UInt64 => {
            let values = numbers.as_primitive::<UInt64Type>().values();
            values.iter().map(|value| Some(Fill::Exact((*value).into()))).collect()
        }
        integer if integer.is_integer() => {
            let wide = cast(numbers, &DataType::Int64).map_err(problem)?;
            let values = wide.as_primitive::<Int64Type>().values();
            values.iter().map(|value| Some(Fill::Exact((*value).into()))).collect()
        }
        _ => {
            let wide = cast(numbers, &DataType::Float64).map_err(problem)?;
            let values = wide.as_primitive::<Float64Type>().values();
            values.iter().map(|v| (!v.is_nan()).then_some(Fill::Double(*v))).collect()
        }
    };
    let member = |value| Member { value, data_type: data_type.clone() };
    Ok(members.into_iter().flatten().map(member).collect())
}

/// The dtype that holds data and NaN (rule 4).
fn promoted(data: &DataType) -> DataType {
    match data {
        data if data.is_floating() => data.clone(),
        data if size(data) <= 2 => DataType::Float32,
        _ => DataType::Float64,
    }
}

/// The dtype of packed data (rule 5).
fn packed_type(data: &DataType, factor: Option<&ArrayRef>, offset: Option<&ArrayRef>) -> DataType {
    match (factor.map(arrow::array::Array::data_type), offset.map(arrow::array::Array::data_type)) {
        (Some(factor), Some(offset))
            if factor == offset && matches!(factor, DataType::Float32 | DataType::Float64) =>
        {
            let wide = data.is_integer() && size(data) == 4;
            if wide { DataType::Float64 } else { factor.clone() }
        }
        (Some(factor), None) => factor.clone(),
        _ => DataType::Float64,
    }
}

fn double(number: &ArrayRef) -> Option<f64> {
    let number = cast(number, &DataType::Float64).ok()?;
    number.as_primitive::<Float64Type>().iter().next().flatten()
}

#[expect(clippy::cast_possible_truncation, reason = "the nearest single is what is asked for")]
fn single(number: f64) -> f32 {
    number as f32
}

/// The single of exactly this value.
#[expect(clippy::float_cmp, reason = "exactly")]
fn exact_single(number: f64) -> Option<f32> {
    let single = single(number);
    (f64::from(single) == number).then_some(single)
}

/// Data with NaN, or the smallest integer, where they are a fill.
#[expect(clippy::float_cmp, reason = "as NumPy compares")]
fn masked(data: &ArrayRef, fills: &[Fill]) -> Result<ArrayRef, ArrowError> {
    if *data.data_type() == DataType::Int64 {
        let is_fill = |value: i64| {
            fills.iter().any(|fill| match fill {
                Fill::Exact(fill) => i128::from(value) == *fill,
                Fill::Double(fill) => value as f64 == *fill,
            })
        };
        let values = data.as_primitive::<Int64Type>().values().iter();
        let masked = values.map(|value| if is_fill(*value) { i64::MIN } else { *value });
        return Ok(Arc::new(Int64Array::from_iter_values(masked)));
    }
    let doubles = cast(data, &DataType::Float64)?;
    let is_fill =
        |value: &f64| fills.iter().any(|fill| matches!(fill, Fill::Double(fill) if fill == value));
    let values = doubles.as_primitive::<Float64Type>().values();
    let is_fill: BooleanArray = values.iter().map(|value| Some(is_fill(value))).collect();
    let nan = cast(&arrow::array::Float64Array::from(vec![f64::NAN]), data.data_type())?;
    arrow::compute::kernels::zip::zip(&is_fill, &arrow::array::Scalar::new(nan), data)
}
