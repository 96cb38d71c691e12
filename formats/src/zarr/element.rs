//! Data types of Zarr: names of version 2 (NumPy's, such as `<f4`) and of version 3, and fill values.
//!
//! Specification: "Zarr storage specification version 2", Data type encoding and Fill value encoding;
//! "Zarr core specification version 3", Data types; and what zarr-python 3.1 writes beyond it
//! (`numpy.datetime64`, `fixed_length_utf32`, `null_terminated_bytes`, `string`, `bytes`).

use super::json::Json;
use crate::elements::ByteOrder;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, Fields, Float16Type, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Most bytes of one element of fixed length.
const MOST_BYTES: usize = 1 << 20;

/// What the elements of an array are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    /// Int8 … UInt64, Float16, Float32, Float64.
    Number(DataType),
    /// Two numbers of this type.
    Complex(DataType),
    /// 64-bit counts of so many of a unit since 1970; the smallest is NaT.
    Instant(TimeUnit, i64),
    /// 64-bit counts of so many of a unit; the smallest is NaT.
    Duration(TimeUnit, i64),
    /// Bytes of text, with NULs behind it.
    Characters,
    /// Code points of 32 bits, with NULs behind them.
    CodePoints,
    /// Bytes that mean nothing to Zarr.
    Raw,
    /// Text of any length.
    Text,
    /// Bytes of any length.
    Binary,
}

/// How one element is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) kind: Kind,
    /// Bytes; 0 where elements have no fixed length.
    pub(crate) size: usize,
    pub(crate) order: ByteOrder,
}

impl Element {
    /// A type of version 2.
    ///
    /// # Errors
    /// What is not supported.
    pub(crate) fn of_version_2(dtype: &Json, filters: &[&str]) -> Result<Self, String> {
        let unsupported = || format!("the data type {dtype}");
        if dtype.list().is_some() {
            return Err(format!("the structured data type {dtype}"));
        }
        let text = dtype.text().ok_or_else(unsupported)?;
        let mut characters = text.chars();
        let order = match characters.next() {
            Some('<' | '|') => ByteOrder::Little,
            Some('>') => ByteOrder::Big,
            _ => return Err(unsupported()),
        };
        let kind = characters.next().ok_or_else(unsupported)?;
        let rest = characters.as_str();
        if kind == 'O' {
            let kind = match filters {
                ["vlen-utf8", ..] => Kind::Text,
                ["vlen-bytes", ..] => Kind::Binary,
                _ => return Err(format!("objects encoded by {}", filters.join(", "))),
            };
            return Ok(Self { kind, size: 0, order });
        }
        if let Some((size, unit)) = rest.split_once('[') {
            let unit = unit.strip_suffix(']').filter(|_| size == "8").ok_or_else(unsupported)?;
            let digits = unit.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
            let (count, unit) = unit.split_at_checked(digits).ok_or_else(unsupported)?;
            let count =
                if count.is_empty() { 1 } else { count.parse().map_err(|_| unsupported())? };
            let kind = time(kind, unit, count).ok_or_else(unsupported)?;
            return Ok(Self { kind, size: 8, order });
        }
        let count: usize = rest.parse().map_err(|_| unsupported())?;
        let (kind, size) = match (kind, count) {
            ('b', 1) => (Kind::Boolean, 1),
            ('i' | 'u' | 'f', _) => {
                let float = kind == 'f';
                let number = number(float, kind == 'i', count).ok_or_else(unsupported)?;
                (Kind::Number(number), count)
            }
            ('c', 8) => (Kind::Complex(DataType::Float32), 8),
            ('c', 16) => (Kind::Complex(DataType::Float64), 16),
            ('S', 1..=MOST_BYTES) => (Kind::Characters, count),
            ('U', 1..=MOST_BYTES) => (Kind::CodePoints, 4 * count),
            ('V', 1..=MOST_BYTES) => (Kind::Raw, count),
            _ => return Err(unsupported()),
        };
        Ok(Self { kind, size, order })
    }

    /// A type of version 3, in little-endian order: the codec `bytes` says if it is another.
    ///
    /// # Errors
    /// What is not supported.
    pub(crate) fn of_version_3(data_type: &Json) -> Result<Self, String> {
        let unsupported = || format!("the data type {data_type}");
        let name = data_type.text().or_else(|| data_type.get("name")?.text());
        let name = name.ok_or_else(unsupported)?;
        let configured = |key: &str| data_type.get("configuration")?.get(key);
        let bytes = || {
            let bytes = usize::try_from(configured("length_bytes")?.integer()?).ok()?;
            (1..=MOST_BYTES).contains(&bytes).then_some(bytes)
        };
        let raw = || name.strip_prefix('r')?.parse::<usize>().ok().filter(|n| n % 8 == 0);
        let (kind, size) = match name {
            "bool" => (Kind::Boolean, 1),
            "complex64" => (Kind::Complex(DataType::Float32), 8),
            "complex128" => (Kind::Complex(DataType::Float64), 16),
            "string" => (Kind::Text, 0),
            "bytes" | "variable_length_bytes" => (Kind::Binary, 0),
            "null_terminated_bytes" => (Kind::Characters, bytes().ok_or_else(unsupported)?),
            "fixed_length_utf32" => {
                let size = bytes().filter(|bytes| bytes % 4 == 0).ok_or_else(unsupported)?;
                (Kind::CodePoints, size)
            }
            "raw_bytes" => (Kind::Raw, bytes().ok_or_else(unsupported)?),
            "numpy.datetime64" | "numpy.timedelta64" => {
                let unit = configured("unit").and_then(Json::text).ok_or_else(unsupported)?;
                let count = configured("scale_factor").and_then(Json::integer).unwrap_or(1);
                let count = i64::try_from(count).map_err(|_| unsupported())?;
                let letter = if name == "numpy.datetime64" { 'M' } else { 'm' };
                (time(letter, unit, count).ok_or_else(unsupported)?, 8)
            }
            _ => {
                let digits = name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len());
                let (stem, bits) = name.split_at(digits);
                let bits: usize = bits.parse().unwrap_or(0);
                match (stem, raw()) {
                    ("int" | "uint" | "float", _) if bits.is_multiple_of(8) => {
                        let number = number(stem == "float", stem == "int", bits / 8);
                        (Kind::Number(number.ok_or_else(unsupported)?), bits / 8)
                    }
                    (_, Some(bits)) if (1..=MOST_BYTES).contains(&(bits / 8)) => {
                        (Kind::Raw, bits / 8)
                    }
                    _ => return Err(unsupported()),
                }
            }
        };
        Ok(Self { kind, size, order: ByteOrder::Little })
    }

    /// The type in Arrow's terms.
    pub(crate) fn data_type(&self) -> Option<DataType> {
        Some(match &self.kind {
            Kind::Boolean => DataType::Boolean,
            Kind::Number(number) => number.clone(),
            Kind::Complex(part) => DataType::Struct(complex(part)),
            Kind::Instant(unit, _) => DataType::Timestamp(*unit, None),
            Kind::Duration(unit, _) => DataType::Duration(*unit),
            Kind::Characters | Kind::CodePoints | Kind::Text => DataType::Utf8,
            Kind::Raw => DataType::FixedSizeBinary(i32::try_from(self.size).ok()?),
            Kind::Binary => DataType::Binary,
        })
    }

    /// Whether elements have no fixed length.
    pub(crate) fn is_variable(&self) -> bool {
        self.size == 0
    }

    /// Bytes of the numbers whose order counts.
    pub(crate) fn word(&self) -> usize {
        match self.kind {
            Kind::Complex(_) => self.size / 2,
            Kind::CodePoints => 4,
            Kind::Characters | Kind::Raw | Kind::Boolean => 1,
            _ => self.size,
        }
    }

    /// The fill value as an element is stored; for elements without a fixed length the text or bytes.
    /// Null is zeros.
    ///
    /// # Errors
    /// A value that is none of the type.
    pub(crate) fn fill(&self, value: Option<&Json>) -> Result<Vec<u8>, String> {
        let Some(value) = value else { return Ok(vec![0; self.size]) };
        let mut bytes = self.little(value).ok_or_else(|| format!("the fill value {value}"))?;
        if !self.is_variable() {
            bytes.resize(self.size, 0);
            if self.order == ByteOrder::Big {
                bytes.chunks_exact_mut(self.word().max(1)).for_each(<[u8]>::reverse);
            }
        }
        Ok(bytes)
    }

    /// A value, numbers little-endian, texts without what fills them up.
    fn little(&self, value: &Json) -> Option<Vec<u8>> {
        let bytes = match &self.kind {
            Kind::Boolean => vec![match value {
                Json::Bool(value) => u8::from(*value),
                _ => u8::from(value.integer()? != 0),
            }],
            Kind::Number(number) => little_number(number, value)?,
            Kind::Complex(part) => match value.list() {
                Some([real, imaginary]) => {
                    [little_number(part, real)?, little_number(part, imaginary)?].concat()
                }
                _ => little_number(part, value)?,
            },
            Kind::Instant(..) | Kind::Duration(..) => {
                let count = match value {
                    Json::Text(text) if text == "NaT" => i64::MIN,
                    _ => i64::try_from(value.integer()?).ok()?,
                };
                count.to_le_bytes().to_vec()
            }
            Kind::CodePoints => match value {
                Json::Text(text) => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
                _ => vec![],
            },
            Kind::Characters | Kind::Raw | Kind::Binary => match value {
                Json::Text(text) => STANDARD.decode(text).ok()?,
                Json::List(bytes) => {
                    bytes.iter().map(|b| u8::try_from(b.integer()?).ok()).collect::<Option<_>>()?
                }
                // Zarr 2 wrote 0 for every type.
                _ => vec![],
            },
            // Zarr 2 wrote 0 here too, which zarr-python 3 makes a text of.
            Kind::Text => match value {
                Json::Text(text) => text.as_bytes().to_vec(),
                other => other.to_string().into_bytes(),
            },
        };
        (self.is_variable() || bytes.len() <= self.size).then_some(bytes)
    }
}

/// The fields of a complex number, named as h5py names them in HDF5.
pub(crate) fn complex(part: &DataType) -> Fields {
    ["r", "i"].into_iter().map(|name| Field::new(name, part.clone(), false)).collect()
}

pub(crate) fn number(float: bool, signed: bool, bytes: usize) -> Option<DataType> {
    Some(match (float, signed, bytes) {
        (true, _, 2) => DataType::Float16,
        (true, _, 4) => DataType::Float32,
        (true, _, 8) => DataType::Float64,
        (false, true, 1) => DataType::Int8,
        (false, true, 2) => DataType::Int16,
        (false, true, 4) => DataType::Int32,
        (false, true, 8) => DataType::Int64,
        (false, false, 1) => DataType::UInt8,
        (false, false, 2) => DataType::UInt16,
        (false, false, 4) => DataType::UInt32,
        (false, false, 8) => DataType::UInt64,
        _ => return None,
    })
}

/// NumPy's units that Arrow has too, and those that are whole seconds.
fn time(letter: char, unit: &str, count: i64) -> Option<Kind> {
    let (unit, seconds) = match unit {
        "ns" => (TimeUnit::Nanosecond, 1),
        "us" | "μs" => (TimeUnit::Microsecond, 1),
        "ms" => (TimeUnit::Millisecond, 1),
        "s" => (TimeUnit::Second, 1),
        "m" => (TimeUnit::Second, 60),
        "h" => (TimeUnit::Second, 3_600),
        "D" => (TimeUnit::Second, 86_400),
        "W" => (TimeUnit::Second, 604_800),
        _ => return None,
    };
    let count = i64::checked_mul(seconds, count).filter(|count| *count > 0)?;
    match letter {
        'M' => Some(Kind::Instant(unit, count)),
        'm' => Some(Kind::Duration(unit, count)),
        _ => None,
    }
}

/// A number as little-endian bytes. Floats may be named, or given by their bits (`0x7fc00001`).
fn little_number(data_type: &DataType, value: &Json) -> Option<Vec<u8>> {
    if !data_type.is_floating() {
        let integer = match value {
            // Older writers gave integers a fraction of zero.
            Json::Float(number) => to_integer(*number)?,
            Json::Bool(value) => i128::from(*value),
            _ => value.integer()?,
        };
        return Some(match data_type {
            DataType::Int8 => i8::try_from(integer).ok()?.to_le_bytes().to_vec(),
            DataType::Int16 => i16::try_from(integer).ok()?.to_le_bytes().to_vec(),
            DataType::Int32 => i32::try_from(integer).ok()?.to_le_bytes().to_vec(),
            DataType::Int64 => i64::try_from(integer).ok()?.to_le_bytes().to_vec(),
            DataType::UInt8 => u8::try_from(integer).ok()?.to_le_bytes().to_vec(),
            DataType::UInt16 => u16::try_from(integer).ok()?.to_le_bytes().to_vec(),
            DataType::UInt32 => u32::try_from(integer).ok()?.to_le_bytes().to_vec(),
            _ => u64::try_from(integer).ok()?.to_le_bytes().to_vec(),
        });
    }
    if let Some(bits) = value.text().and_then(|text| text.strip_prefix("0x")) {
        let bits = u64::from_str_radix(bits, 16).ok()?;
        return Some(
            bits.to_le_bytes().to_vec().into_iter().take(float_bytes(data_type)).collect(),
        );
    }
    let number = as_float(value)?;
    Some(match data_type {
        DataType::Float16 => {
            <Float16Type as ArrowPrimitiveType>::Native::from_f64(number).to_le_bytes().to_vec()
        }
        DataType::Float32 => to_single(number).to_le_bytes().to_vec(),
        _ => number.to_le_bytes().to_vec(),
    })
}

fn float_bytes(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(8)
}

/// A number of JSON as a double; NaN and infinities by their names.
pub(crate) fn as_float(value: &Json) -> Option<f64> {
    match value {
        Json::Float(number) => Some(*number),
        Json::Integer(number) => Some(integer_as_float(*number)),
        Json::Bool(value) => Some(f64::from(u8::from(*value))),
        Json::Text(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to the nearest is what is wanted")]
pub(crate) fn to_single(number: f64) -> f32 {
    number as f32
}

fn integer_as_float(number: i128) -> f64 {
    number as f64
}

/// A float without fraction as an integer.
#[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
fn to_integer(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e30).then_some(number as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_version_2(dtype: &str) -> Result<Element, String> {
        Element::of_version_2(&Json::Text(dtype.to_owned()), &[])
    }

    fn json(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_of_both_versions_mean_the_same_types() {
        for (two, three) in [
            ("|b1", "\"bool\""),
            ("|i1", "\"int8\""),
            ("<u2", "\"uint16\""),
            ("<f2", "\"float16\""),
            ("<f8", "\"float64\""),
            ("<c16", "\"complex128\""),
            ("|V3", "\"r24\""),
            ("|S3", r#"{"name": "null_terminated_bytes", "configuration": {"length_bytes": 3}}"#),
            ("<U2", r#"{"name": "fixed_length_utf32", "configuration": {"length_bytes": 8}}"#),
            (
                "<M8[10us]",
                r#"{"name": "numpy.datetime64", "configuration": {"unit": "us", "scale_factor": 10}}"#,
            ),
            ("<m8[D]", r#"{"name": "numpy.timedelta64", "configuration": {"unit": "D"}}"#),
        ] {
            assert_eq!(of_version_2(two), Element::of_version_3(&json(three)), "{two}");
        }
        assert_eq!(of_version_2(">i4").unwrap().order, ByteOrder::Big);
        for wrong in
            ["", "<", "<f16", "<f3", "<M8", "<M8[Y]", "<M8[0s]", "|S0", "|O", "<U99999999999", "é1"]
        {
            assert!(of_version_2(wrong).is_err(), "{wrong}");
        }
        for wrong in ["\"int7\"", "\"float\"", "\"r7\"", "\"r0\"", "\"bfloat16\"", "{}", "1"] {
            assert!(Element::of_version_3(&json(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn fill_values_are_bytes_of_an_element() {
        for (dtype, value, expected) in [
            ("<i2", "-2", Some(vec![0xfe, 0xff])),
            (">i2", "-2", Some(vec![0xff, 0xfe])),
            ("<i2", "40000", None),
            ("<i2", "3.0", Some(vec![3, 0])),
            ("<u8", "18446744073709551615", Some(vec![255; 8])),
            ("<f4", "\"NaN\"", Some(f32::NAN.to_le_bytes().to_vec())),
            ("<f4", "\"0x7fc00001\"", Some(vec![1, 0, 0xc0, 0x7f])),
            ("<f2", "1.5", Some(vec![0, 0x3e])),
            (">f8", "1e20", Some(1e20_f64.to_be_bytes().to_vec())),
            ("|S3", "\"YWI=\"", Some(b"ab\0".to_vec())),
            ("|S3", "\"YWJjZA==\"", None),
            ("<U2", "\"é\"", Some(vec![0xe9, 0, 0, 0, 0, 0, 0, 0])),
            (">U1", "\"é\"", Some(vec![0, 0, 0, 0xe9])),
            ("<c8", "[1, 0]", Some([1_f32.to_le_bytes(), [0; 4]].concat())),
            ("<M8[s]", "\"NaT\"", Some(i64::MIN.to_le_bytes().to_vec())),
            ("|b1", "true", Some(vec![1])),
            ("<f4", "[]", None),
        ] {
            let fill = of_version_2(dtype).unwrap().fill(Some(&json(value)));
            assert_eq!(fill.ok(), expected, "{dtype} {value}");
        }
        assert_eq!(of_version_2("<i4").unwrap().fill(None), Ok(vec![0; 4]));
    }
}
