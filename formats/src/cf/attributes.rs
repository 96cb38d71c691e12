//! Attributes as the text of field metadata and as the single numbers that decoding needs.

use crate::contents::{Attribute, AttributeValue};
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::util::display::array_value_to_string;
use std::collections::HashMap;

/// Every readable attribute as text under its own name.
pub(crate) fn metadata(attributes: &[Attribute]) -> HashMap<String, String> {
    attributes
        .iter()
        .filter_map(|attribute| Some((attribute.name.clone(), text(&attribute.value)?)))
        .collect()
}

/// An attribute as text: one text as it is (without NULs at its end); one number in the fewest digits that read back to it;
/// several as a JSON array, NaN and infinities in it as text. `None` for what cannot be read.
pub(crate) fn text(value: &AttributeValue) -> Option<String> {
    match value {
        AttributeValue::Text(texts) => match texts.as_slice() {
            [text] => Some(text.trim_end_matches('\0').to_owned()),
            _ => serde_json::to_string(texts).ok(),
        },
        AttributeValue::Numbers(numbers) => {
            let numbers: Vec<String> =
                (0..numbers.len()).map(|index| number(numbers, index)).collect();
            if let [number] = numbers.as_slice() {
                return Some(number.clone());
            }
            let quoted = |number: &String| {
                if number.contains(['N', 'i']) { format!("\"{number}\"") } else { number.clone() }
            };
            Some(format!("[{}]", numbers.iter().map(quoted).collect::<Vec<_>>().join(",")))
        }
        AttributeValue::Unreadable(_) => None,
    }
}

/// The attribute as an array of numbers, if it is some.
pub(crate) fn numbers(value: Option<&AttributeValue>) -> Option<&ArrayRef> {
    match value? {
        AttributeValue::Numbers(numbers) if !numbers.is_empty() => Some(numbers),
        _ => None,
    }
}

fn number(numbers: &ArrayRef, index: usize) -> String {
    // Debug prints 1e20 and 2.0 where Display would print 21 digits and 2.
    let float = match numbers.data_type() {
        DataType::Float16 => {
            let value = numbers.as_primitive::<Float16Type>().iter().nth(index).flatten();
            value.map(|value| format!("{:?}", value.to_f32()))
        }
        DataType::Float32 => {
            let value = numbers.as_primitive::<Float32Type>().iter().nth(index).flatten();
            value.map(|value| format!("{value:?}"))
        }
        DataType::Float64 => {
            let value = numbers.as_primitive::<Float64Type>().iter().nth(index).flatten();
            value.map(|value| format!("{value:?}"))
        }
        _ => None,
    };
    float.or_else(|| array_value_to_string(numbers, index).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float32Array, Float64Array, Int16Array};
    use std::sync::Arc;

    #[test]
    fn attributes_read_as_people_would_write_them() {
        let number = |numbers: ArrayRef| text(&AttributeValue::Numbers(numbers)).unwrap();
        assert_eq!(number(Arc::new(Float32Array::from(vec![0.1]))), "0.1");
        assert_eq!(number(Arc::new(Float32Array::from(vec![9.969_21e36]))), "9.96921e36");
        assert_eq!(number(Arc::new(Float64Array::from(vec![1e20, f64::NAN]))), "[1e20,\"NaN\"]");
        assert_eq!(number(Arc::new(Int16Array::from(vec![-3]))), "-3");
        assert_eq!(number(Arc::new(Int16Array::from(vec![0, 1]))), "[0,1]");
        let texts = |texts: &[&str]| {
            text(&AttributeValue::Text(texts.iter().map(ToString::to_string).collect())).unwrap()
        };
        assert_eq!(texts(&["K"]), "K");
        assert_eq!(texts(&["K\0"]), "K");
        assert_eq!(texts(&["a", "b, c"]), r#"["a","b, c"]"#);
        assert_eq!(text(&AttributeValue::Unreadable("opaque".into())), None);
    }
}
