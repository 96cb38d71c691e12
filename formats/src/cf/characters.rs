//! Character arrays (`NC_CHAR`): texts along their last dimension.

use crate::cf::attributes;
use crate::contents::{AttributeValue, Variable};
use crate::elements;
use crate::grids::group_of;
use arrow::array::{ArrayRef, AsArray, BinaryArray, StringArray};
use arrow::datatypes::DataType;
use std::collections::HashSet;

/// Whether a variable holds characters, one byte a cell. Plain HDF5 has strings of one byte, and its
/// opaque bytes are no text.
pub(crate) fn is_characters(variable: &Variable) -> bool {
    variable.data_type == DataType::FixedSizeBinary(1) && variable.default_fill
}

/// Length of the texts of a variable whose last dimension is that of characters and of nothing else;
/// `None` for a variable whose cells are single characters, or no characters.
///
/// The rule is xarray's (array-engine note, section 6, rule 14), within a group: no variable has the
/// dimension's name, and every variable over the dimension holds characters and has it last.
pub(crate) fn text_length(variables: &[Variable], variable: &Variable) -> Option<u64> {
    let last = variable.dimensions.last().filter(|last| last.length > 0)?;
    let group = group_of(&variable.path);
    let stackable = |other: &Variable| {
        let uses = |dimension: &crate::contents::Dimension| {
            dimension.name == last.name && dimension.length == last.length
        };
        let (end, rest) = match other.dimensions.split_last() {
            Some((end, rest)) => (uses(end), rest.iter().any(uses)),
            None => (false, false),
        };
        other.name != last.name && !rest && (!end || is_characters(other))
    };
    let mut beside = variables.iter().filter(|other| group_of(&other.path) == group);
    (is_characters(variable) && beside.all(stackable)).then_some(last.length)
}

/// Paths of all variables that have a [`text_length`].
pub(crate) fn texts(variables: &[Variable]) -> HashSet<&str> {
    variables
        .iter()
        .filter(|variable| text_length(variables, variable).is_some())
        .map(|variable| variable.path.as_str())
        .collect()
}

/// How the bytes of a text are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// UTF-8, or Latin-1 where the bytes are no UTF-8.
    Unknown,
    Utf8,
    Latin1,
}

impl Encoding {
    /// The encoding that `_Encoding` names (NUG, appendix A), `None` without the attribute.
    ///
    /// # Errors
    /// What is wrong with the attribute.
    pub(super) fn of(variable: &Variable) -> Result<Option<Self>, String> {
        let Some(value) = variable.attribute("_Encoding") else { return Ok(None) };
        let name = variable.text("_Encoding").unwrap_or_default().to_ascii_lowercase();
        match name.replace('_', "-").as_str() {
            "utf-8" | "utf8" | "ascii" | "us-ascii" => Ok(Some(Self::Utf8)),
            "iso-8859-1" | "iso8859-1" | "latin-1" | "latin1" | "l1" => Ok(Some(Self::Latin1)),
            _ => Err(format!(
                "_Encoding {} (known are utf-8, ascii and iso-8859-1)",
                attributes::text(value).unwrap_or_default()
            )),
        }
    }

    /// The text of some bytes; `None` for bytes that are none in this encoding.
    pub(super) fn text(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Unknown => Some(elements::text(bytes)),
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Latin1 => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        }
    }
}

/// Stored characters as texts of `length` bytes each, without the NULs at their end.
pub(super) fn stack(stored: &ArrayRef, length: usize) -> BinaryArray {
    let characters = stored.as_fixed_size_binary().value_data();
    BinaryArray::from_iter_values(characters.chunks_exact(length.max(1)).map(trimmed))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

/// The character that `_FillValue` names: one byte, or the empty text that a NUL is read as.
pub(super) fn fill(variable: &Variable) -> Option<Vec<u8>> {
    match variable.attribute("_FillValue")? {
        AttributeValue::Text(texts) => match texts.as_slice() {
            [text] => Some(trimmed(text.as_bytes()).to_vec()),
            _ => None,
        },
        _ => None,
    }
}

/// What becomes of texts in `arrow` mode.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    encoding: Encoding,
    /// The fill character; empty for NUL.
    fill: Option<Vec<u8>>,
    /// Whole texts that mean "no value".
    missing: Vec<String>,
}

impl Texts {
    /// # Errors
    /// What is wrong with `_Encoding`.
    pub(super) fn new(variable: &Variable) -> Result<Self, String> {
        let missing = match variable.attribute("missing_value") {
            Some(AttributeValue::Text(texts)) => texts.clone(),
            _ => vec![],
        };
        Ok(Self {
            encoding: Encoding::of(variable)?.unwrap_or(Encoding::Unknown),
            fill: fill(variable),
            missing,
        })
    }

    /// Texts of `length` characters; NULL for those that are `missing_value`, and those of which every
    /// character is the fill. Without attributes an array that was never written reads as empty texts.
    pub(super) fn decode(&self, stored: &ArrayRef, length: usize) -> StringArray {
        let stacked = stack(stored, length);
        let value = |bytes: Option<&[u8]>| {
            let bytes = bytes?;
            let filled = self.fill.as_ref().is_some_and(|fill| match fill.as_slice() {
                [] => bytes.is_empty(),
                [fill] => bytes.len() == length && bytes.iter().all(|byte| byte == fill),
                fill => bytes == fill,
            });
            // Bytes that are not in the encoding they claim are shown and not lost.
            let text = || self.encoding.text(bytes).unwrap_or_else(|| elements::text(bytes));
            (!filled).then(text).filter(|text| !self.missing.contains(text))
        };
        stacked.iter().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contents::{Attribute, Dimension};
    use arrow::array::{FixedSizeBinaryArray, Float32Array};
    use std::sync::Arc;

    fn variable(path: &str, data_type: DataType, dimensions: &[(&str, u64)]) -> Variable {
        Variable {
            path: path.to_owned(),
            name: path.rsplit('/').next().unwrap().to_owned(),
            dimensions: dimensions
                .iter()
                .map(|(name, length)| Dimension {
                    name: (*name).to_owned(),
                    length: *length,
                    unlimited: false,
                    coordinate: None,
                })
                .collect(),
            data_type,
            chunk_shape: None,
            filters: vec![],
            fallback: false,
            stored_bytes: None,
            attributes: vec![],
            default_fill: true,
        }
    }

    const CHARACTERS: DataType = DataType::FixedSizeBinary(1);

    #[test]
    fn a_dimension_of_texts_belongs_to_characters_alone() {
        let name = variable("/name", CHARACTERS, &[("station", 3), ("width", 8)]);
        let value = variable("/t", DataType::Float32, &[("station", 3)]);
        let length = |variables: &[Variable]| text_length(variables, &variables[0]);
        assert_eq!(length(&[name.clone(), value.clone()]), Some(8));
        let shared = variable("/w", DataType::Float32, &[("width", 8)]);
        assert_eq!(length(&[name.clone(), shared.clone()]), None);
        let other_group = Variable { path: "/g/w".to_owned(), ..shared };
        assert_eq!(length(&[name.clone(), other_group]), Some(8));
        let first = variable("/first", CHARACTERS, &[("width", 8), ("x", 2)]);
        assert_eq!(length(&[name.clone(), first]), None);
        let coordinate = variable("/width", CHARACTERS, &[("station", 3)]);
        assert_eq!(length(&[name.clone(), coordinate]), None);
        assert_eq!(length(&[value]), None);
        assert_eq!(length(&[variable("/c", CHARACTERS, &[])]), None);
        // Opaque bytes of plain HDF5.
        assert_eq!(length(&[Variable { default_fill: false, ..name }]), None);
    }

    fn texts(attributes: &[(&str, &str)], stored: &[u8]) -> Vec<Option<String>> {
        let mut variable = variable("/c", CHARACTERS, &[("n", 2), ("width", 3)]);
        variable.attributes = attributes
            .iter()
            .map(|(name, text)| Attribute {
                name: (*name).to_owned(),
                value: AttributeValue::Text(vec![(*text).to_owned()]),
            })
            .collect();
        let stored = FixedSizeBinaryArray::try_from_iter(stored.chunks(1)).unwrap();
        let texts = Texts::new(&variable).unwrap().decode(&(Arc::new(stored) as ArrayRef), 3);
        texts.iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn texts_lose_nuls_at_their_end_and_fills() {
        let some = |texts: [&str; 2]| texts.map(|text| Some(text.to_owned())).to_vec();
        assert_eq!(texts(&[], b"ab\0\0\0\0"), some(["ab", ""]));
        assert_eq!(texts(&[("_FillValue", "-")], b"ab----"), [Some("ab-".to_owned()), None]);
        assert_eq!(texts(&[("_FillValue", "-")], b"--\0---"), [Some("--".to_owned()), None]);
        assert_eq!(texts(&[("_FillValue", "")], b"a-b\0\0\0"), [Some("a-b".to_owned()), None]);
        assert_eq!(texts(&[("missing_value", "NA")], b"NA\0NAN"), [None, Some("NAN".to_owned())]);
        assert_eq!(texts(&[], "é\0Å\0".as_bytes()), some(["é", "Å"]));
        assert_eq!(texts(&[("_Encoding", "ISO-8859-1")], b"\xe9\xc3\xa9x\0\0"), some(["éÃ©", "x"]));
        assert_eq!(texts(&[], b"\xe9b\0\xb0C\0"), some(["éb", "°C"]));
    }

    #[test]
    fn an_encoding_that_is_not_known_is_named() {
        let mut variable = variable("/c", CHARACTERS, &[]);
        variable.attributes = vec![Attribute {
            name: "_Encoding".to_owned(),
            value: AttributeValue::Numbers(Arc::new(Float32Array::from(vec![1.0]))),
        }];
        assert!(Texts::new(&variable).unwrap_err().contains("_Encoding 1.0"));
    }
}
