//! Characters and strings (rule 14).

use crate::cf::characters::{self, Encoding, is_characters};
use crate::contents::{AttributeValue, Variable};
use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::DataType;
use std::sync::Arc;

/// How stored characters or strings become bytes or text.
#[derive(Debug, Clone)]
pub(super) enum Text {
    /// Bytes of so many characters each; NULL where they are the fill.
    Bytes { length: usize, fill: Option<Vec<u8>> },
    /// Text of so many characters each; NULL where it is missing.
    Decoded { length: usize, encoding: Encoding, missing: Vec<String> },
    /// Strings; NULL where they are missing.
    Strings { missing: Vec<String> },
}

impl Text {
    /// The steps of a variable of characters or strings; `None` for any other.
    ///
    /// # Errors
    /// What makes xarray fail on this variable.
    pub(super) fn new(variable: &Variable, length: usize) -> Result<Option<Self>, String> {
        let strings = variable.data_type == DataType::Utf8;
        if !strings && !is_characters(variable) {
            return Ok(None);
        }
        let encoding = Encoding::of(variable)?;
        let text_in = |name: &str| match variable.attribute(name) {
            Some(AttributeValue::Text(texts)) => texts.clone(),
            _ => vec![],
        };
        for name in ["scale_factor", "add_offset"] {
            if variable.attribute(name).is_some() {
                return Err(format!("{name} of text"));
            }
        }
        if variable.text("units").is_some_and(|units| units.contains("since")) {
            return Err("units of a time on text".to_owned());
        }
        let missing = text_in("missing_value");
        Ok(Some(match encoding {
            Some(_) if strings => return Err("_Encoding of strings, which are decoded".to_owned()),
            None if strings => Self::Strings { missing: [missing, text_in("_FillValue")].concat() },
            // xarray compares text with text and bytes with bytes, and `_FillValue` is bytes.
            None => Self::Bytes { length, fill: characters::fill(variable) },
            Some(encoding) => Self::Decoded { length, encoding, missing },
        }))
    }

    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Bytes { .. } => DataType::Binary,
            Self::Decoded { .. } | Self::Strings { .. } => DataType::Utf8,
        }
    }

    /// # Errors
    /// Bytes that are not in the encoding they claim.
    pub(super) fn apply(&self, stored: &ArrayRef) -> Result<ArrayRef, String> {
        match self {
            Self::Strings { missing } if missing.is_empty() => Ok(Arc::clone(stored)),
            Self::Strings { missing } => {
                let texts = stored.as_string::<i32>().iter();
                let is_missing = |text: &str| missing.iter().any(|missing| missing == text);
                let kept = texts.map(|text| text.filter(|text| !is_missing(text)));
                Ok(Arc::new(kept.collect::<StringArray>()))
            }
            Self::Bytes { length, fill } => {
                let stacked = characters::stack(stored, *length);
                let Some(fill) = fill else { return Ok(Arc::new(stacked)) };
                let kept = stacked.iter().map(|bytes| bytes.filter(|bytes| bytes != fill));
                Ok(Arc::new(kept.collect::<BinaryArray>()))
            }
            Self::Decoded { length, encoding, missing } => {
                let stacked = characters::stack(stored, *length);
                let mut texts = Vec::with_capacity(stacked.len());
                for bytes in stacked.iter().flatten() {
                    let text = encoding.text(bytes).ok_or_else(|| {
                        format!("bytes that are not in their _Encoding: {}", bytes.escape_ascii())
                    })?;
                    texts.push(Some(text).filter(|text| !missing.contains(text)));
                }
                Ok(Arc::new(StringArray::from(texts)))
            }
        }
    }
}
