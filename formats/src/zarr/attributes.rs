//! Attributes: JSON in a store, typed values here.

use super::array::Array;
use super::element::{Kind, as_float};
use super::json::Json;
use super::values;
use crate::contents::{Attribute, AttributeValue};
use arrow::array::{ArrayRef, Float64Array, Int64Array, UInt64Array};
use arrow::buffer::MutableBuffer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// The attribute of xarray that names the dimensions of an array.
const DIMENSIONS: &str = "_ARRAY_DIMENSIONS";
const FILL: &str = "_FillValue";

/// Attributes as they are shown: without those that make up the format, which xarray hides too.
pub(crate) fn visible(attributes: &[(String, Json)]) -> Vec<Attribute> {
    attributes
        .iter()
        .filter(|(name, _)| name != DIMENSIONS && !name.to_ascii_lowercase().starts_with("_nc"))
        .map(|(name, value)| Attribute { name: name.clone(), value: typed(value) })
        .collect()
}

/// The attributes of an array, with `_FillValue` as xarray understands it (`backends/zarr.py` of
/// 2026.9): in version 2 it is the fill value of the array; in version 3 an attribute, of floats the
/// base64 of a little-endian double, and the fill value of the array means nothing more than "never
/// written".
pub(crate) fn of_array(array: &Array, version: u8) -> Vec<Attribute> {
    let mut attributes = visible(&array.attributes);
    let value = if version == 2 {
        if array.fill_is_missing { fill(array) } else { None }
    } else {
        let own = array.attributes.iter().find(|(name, _)| name == FILL);
        own.and_then(|(_, value)| encoded(&array.element.kind, value))
    };
    if let Some(value) = value {
        attributes.retain(|attribute| attribute.name != FILL);
        attributes.push(Attribute { name: FILL.to_owned(), value });
    }
    attributes
}

/// The fill value of an array of numbers or texts, in its own type.
fn fill(array: &Array) -> Option<AttributeValue> {
    match array.element.kind {
        Kind::Number(_) => {
            let mut bytes = MutableBuffer::new(array.fill.len());
            bytes.extend_from_slice(&array.fill);
            let value = values::array(&array.element, bytes, 1).ok()?.ok()?;
            Some(AttributeValue::Numbers(value))
        }
        Kind::Text | Kind::Characters | Kind::CodePoints => {
            let value = if array.element.is_variable() {
                values::variable_array(&Kind::Text, &[&array.fill]).ok()?
            } else {
                let mut bytes = MutableBuffer::new(array.fill.len());
                bytes.extend_from_slice(&array.fill);
                values::array(&array.element, bytes, 1).ok()?.ok()?
            };
            let texts = value.as_any().downcast_ref::<arrow::array::StringArray>()?;
            Some(AttributeValue::Text(texts.iter().flatten().map(str::to_owned).collect()))
        }
        _ => None,
    }
}

/// An attribute `_FillValue` that stands for a float in base64; `None` for any other.
fn encoded(kind: &Kind, value: &Json) -> Option<AttributeValue> {
    match kind {
        Kind::Number(number) if number.is_floating() => {
            let double = match as_float(value) {
                Some(number) => number,
                None => f64::from_le_bytes(STANDARD.decode(value.text()?).ok()?.try_into().ok()?),
            };
            Some(AttributeValue::Numbers(Arc::new(Float64Array::from(vec![double]))))
        }
        Kind::Characters => {
            let bytes = STANDARD.decode(value.text()?).ok()?;
            Some(AttributeValue::Text(vec![crate::elements::text(&bytes)]))
        }
        _ => None,
    }
}

/// Text stays text, numbers become 64-bit ones, lists of either likewise; what is more than that is
/// its JSON.
fn typed(value: &Json) -> AttributeValue {
    let values = value.list().unwrap_or(std::slice::from_ref(value));
    if let Some(texts) =
        values.iter().map(|v| v.text().map(str::to_owned)).collect::<Option<Vec<_>>>()
        && !texts.is_empty()
    {
        return AttributeValue::Text(texts);
    }
    match numbers(values) {
        Some(numbers) if !values.is_empty() => AttributeValue::Numbers(numbers),
        _ => AttributeValue::Text(vec![value.to_string()]),
    }
}

fn numbers(values: &[Json]) -> Option<ArrayRef> {
    let integers: Option<Vec<i128>> = values.iter().map(Json::integer).collect();
    if let Some(integers) = integers {
        let signed: Result<Vec<i64>, _> = integers.iter().map(|n| i64::try_from(*n)).collect();
        if let Ok(signed) = signed {
            return Some(Arc::new(Int64Array::from(signed)));
        }
        let unsigned: Result<Vec<u64>, _> = integers.iter().map(|n| u64::try_from(*n)).collect();
        if let Ok(unsigned) = unsigned {
            return Some(Arc::new(UInt64Array::from(unsigned)));
        }
    }
    let floats: Option<Vec<f64>> = values
        .iter()
        .map(|value| {
            if matches!(value, Json::Integer(_) | Json::Float(_)) { as_float(value) } else { None }
        })
        .collect();
    Some(Arc::new(Float64Array::from(floats?)))
}
