//! Every row of the golden tables that xarray wrote (`shared/data-decode`), dtype and value.

use super::*;
use crate::cf::tests::{numbers, of_type, packed, shared, text, variable};
use crate::contents::AttributeValue;
use arrow::array::*;
use arrow::datatypes::{Float64Type, Int64Type, TimeUnit};
use std::sync::Arc;

/// A value as Python prints it.
#[derive(Debug, Clone, PartialEq)]
enum Python {
    List(Vec<Python>),
    Text(String),
    /// A number, `nan`, `None`, `True` or `False`.
    Word(String),
}

impl Python {
    fn parse(text: &str) -> Self {
        let mut rest = text.trim();
        let value = Self::take(&mut rest);
        assert!(rest.trim().is_empty(), "{text}");
        value
    }

    fn take(rest: &mut &str) -> Self {
        *rest = rest.trim_start().trim_start_matches(", ");
        if let Some(inside) = rest.strip_prefix('[') {
            *rest = inside;
            let mut list = vec![];
            loop {
                *rest = rest.trim_start_matches([',', ' ']);
                if let Some(after) = rest.strip_prefix(']') {
                    *rest = after;
                    return Self::List(list);
                }
                list.push(Self::take(rest));
            }
        }
        let quoted = rest.strip_prefix("b'").or_else(|| rest.strip_prefix('\''));
        if let Some(quoted) = quoted {
            let (inside, after) = quoted.split_once('\'').unwrap();
            *rest = after;
            return Self::Text(inside.to_owned());
        }
        let end = rest.find([',', ']', ')']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        *rest = after;
        Self::Word(word.to_owned())
    }

    fn list(&self) -> &[Self] {
        let Self::List(list) = self else { panic!("{self:?}") };
        list
    }

    /// `None` for `None` and `nan` among objects.
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Word(word) if word == "nan" => None,
            other => panic!("{other:?}"),
        }
    }

    fn word(&self) -> &str {
        let Self::Word(word) = self else { panic!("{self:?}") };
        word
    }
}

/// Numbers by the name of their dtype.
fn array(dtype: &str, values: &[Python]) -> ArrayRef {
    let words: Vec<&str> = values.iter().map(Python::word).collect();
    let optional = |word: &&str| (*word != "None").then(|| word.parse::<i64>().unwrap());
    match dtype {
        "bool" => Arc::new(words.iter().map(|w| Some(*w == "True")).collect::<BooleanArray>()),
        "uint64" => {
            Arc::new(UInt64Array::from_iter_values(words.iter().map(|w| w.parse().unwrap())))
        }
        "datetime64[ns]" => {
            Arc::new(words.iter().map(optional).collect::<TimestampNanosecondArray>())
        }
        "timedelta64[ns]" => {
            Arc::new(words.iter().map(optional).collect::<DurationNanosecondArray>())
        }
        float if float.starts_with("float") => {
            let doubles: Vec<f64> = words.iter().map(|word| word.parse().unwrap()).collect();
            let to = match float {
                "float16" => DataType::Float16,
                "float32" => DataType::Float32,
                _ => DataType::Float64,
            };
            cast(&Float64Array::from(doubles), &to).unwrap()
        }
        integer => {
            let integers: Vec<i64> = words.iter().map(|word| word.parse().unwrap()).collect();
            let kind = match integer {
                "int8" => "i1",
                "int16" => "i2",
                "int32" => "i4",
                "int64" => "i8",
                "uint8" => "u1",
                "uint16" => "u2",
                "uint32" => "u4",
                other => panic!("{other}"),
            };
            let to = of_type(kind, 0).data_type().clone();
            cast(&Int64Array::from(integers), &to).unwrap()
        }
    }
}

/// What a row of the tables says is decoded; `None` for an error.
fn expected(result: &str) -> Option<ArrayRef> {
    if result.starts_with("ERR ") {
        return None;
    }
    let (dtype, values) = result.split_once(' ').unwrap();
    let values = Python::parse(values);
    let values = values.list();
    Some(match dtype {
        "object" => Arc::new(values.iter().map(Python::text).collect::<StringArray>()),
        bytes if bytes.starts_with("|S") => {
            Arc::new(values.iter().map(|v| v.text().map(str::as_bytes)).collect::<BinaryArray>())
        }
        _ => array(dtype, values),
    })
}

fn decode(
    variable: &Variable,
    stored: &ArrayRef,
    text_length: usize,
) -> Result<ArrayRef, FormatError> {
    let mut draft = Draft::new("f.nc", variable, None, text_length)?;
    if draft.wants_values() {
        draft.look(stored)?;
    }
    let decoder = draft.finish()?;
    let found = decoder.decode(stored)?;
    assert_eq!(decoder.field().data_type(), found.data_type());
    Ok(found)
}

/// Compares bit for bit: Arrow's equality of floats is that of their bits, but for NaN.
fn same(found: Result<ArrayRef, FormatError>, expected: Option<ArrayRef>, line: &str) {
    match (found, expected) {
        (Ok(found), Some(expected)) => {
            assert_eq!(found.data_type(), expected.data_type(), "{line}");
            let nulls =
                |array: &ArrayRef| (0..array.len()).map(|i| array.is_null(i)).collect::<Vec<_>>();
            assert_eq!(nulls(&found), nulls(&expected), "{line}");
            if found.data_type().is_floating() {
                let bits = |array: &ArrayRef| {
                    let array = cast(array, &DataType::Float64).unwrap();
                    let values = array.as_primitive::<Float64Type>().values().clone();
                    values.iter().map(|value| value.to_bits()).collect::<Vec<_>>()
                };
                assert_eq!(bits(&found), bits(&expected), "{line}");
            } else {
                assert_eq!(&found, &expected, "{line}");
            }
        }
        (Err(FormatError::Unsupported { .. }), None) => {}
        (found, expected) => panic!("{line}: {found:?} in place of {expected:?}"),
    }
}

/// Stored `[1, 2, 7]`, `scale_factor` 2, `add_offset` 1, `_FillValue` 7: each in every dtype.
#[test]
fn every_row_of_the_golden_table_has_xarrays_dtype_and_values() {
    packed(|row| same(decode(&row.variable, &row.values, 1), expected(row.result), row.line));
}

/// `missing_value=int16([-8, -9]); units=str('days')`.
fn attributes(shown: &str) -> Vec<(&str, AttributeValue)> {
    let mut attributes = vec![];
    for shown in shown.split("; ").filter(|shown| *shown != "-") {
        let (name, value) = shown.split_once('=').unwrap();
        let (kind, value) = value.strip_suffix(')').unwrap().split_once('(').unwrap();
        let value = match kind {
            "str" => text(Python::parse(value).text().unwrap()),
            _ => {
                let kind = if kind == "float" { "float64" } else { kind };
                let value = Python::parse(value);
                let values = match value {
                    Python::List(values) => values,
                    single => vec![single],
                };
                AttributeValue::Numbers(array(kind, &values))
            }
        };
        attributes.push((name, value));
    }
    attributes
}

#[test]
fn every_single_case_has_xarrays_dtype_and_values() {
    let Some(path) = shared("../data-decode/xarray-decode-cases.tsv") else { return };
    let table = std::fs::read_to_string(path).unwrap();
    let mut seen = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, dtype, values, shown, result] = fields[..] else { panic!("{line}") };
        let values = Python::parse(values);
        let mut text_length = 1;
        let stored: ArrayRef = match dtype {
            "bytes8" => {
                let rows = values.list();
                text_length = rows[0].list().len();
                let characters = rows.iter().flat_map(Python::list);
                let byte = |c: &Python| [c.text().unwrap().bytes().next().unwrap_or(0)];
                Arc::new(FixedSizeBinaryArray::try_from_iter(characters.map(byte)).unwrap())
            }
            "object" => Arc::new(values.list().iter().map(Python::text).collect::<StringArray>()),
            dtype => array(dtype, values.list()),
        };
        let mut variable = variable(stored.data_type().clone(), &attributes(shown));
        variable.default_fill = true;
        same(decode(&variable, &stored, text_length), expected(result), line);
        seen += 1;
    }
    assert!(seen > 80, "only {seen} cases");
}

fn times(units: &str, calendar: &str, values: Vec<f64>) -> Result<ArrayRef, FormatError> {
    let attributes = [("units", text(units)), ("calendar", text(calendar))];
    let stored: ArrayRef = Arc::new(Float64Array::from(values));
    decode(&variable(DataType::Float64, &attributes), &stored, 1)
}

/// Experiments with xarray 2026.9 beyond the tables.
#[test]
fn times_take_the_route_that_xarray_takes() {
    let nan = f64::NAN;
    let days = "days since 2000-01-01";
    let texts = |found: Result<ArrayRef, FormatError>| {
        let found = found.unwrap();
        let texts = found.as_string::<i32>().iter();
        texts.map(|text| text.unwrap().to_owned()).collect::<Vec<_>>()
    };
    let instants = |found: Result<ArrayRef, FormatError>| {
        let found = found.unwrap();
        assert_eq!(*found.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, None));
        let found = cast(&found, &DataType::Int64).unwrap();
        found.as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
    };
    // NaN is the reference date under cftime, and hides what is out of range from pandas.
    assert_eq!(
        texts(times(days, "noleap", vec![0.0, nan])),
        ["2000-01-01T00:00:00", "2000-01-01T00:00:00"]
    );
    assert!(times(days, "noleap", vec![nan, 1.0, nan]).is_err());
    assert!(times(days, "noleap", vec![]).is_err());
    let reference = 946_684_800_000_000_000;
    assert_eq!(
        instants(times(days, "standard", vec![1e6, nan, 0.0])),
        [None, None, Some(reference)]
    );
    let far = texts(times(days, "standard", vec![0.0, 1e6, 0.0]));
    assert_eq!(far[1], "4737-11-28T00:00:00");
    assert_eq!(
        instants(times(days, "standard", vec![1.0, f64::INFINITY])),
        [Some(946_771_200_000_000_000), Some(reference)]
    );
    assert_eq!(
        instants(times("days since 1700-01-01", "standard", vec![0.0, 111_500.123_456_789])),
        [Some(-8_520_336_000_000_000_000), Some(1_113_274_666_666_570_000)]
    );
    assert_eq!(
        instants(times("days since 1970-01-01", "standard", vec![0.0, 106_751.999_9])),
        [Some(0), None]
    );
    let sums = texts(times(days, "standard", vec![nan, 106_751.999_9, 106_000.0]));
    assert_eq!(sums, ["2000-01-01T00:00:00", "2292-04-10T23:59:51.360000", "2290-03-21T00:00:00"]);
    assert!(times("days since 0001-01-01", "standard", vec![730_120.0, nan]).is_err());
    assert!(times("hours since 12-1-2000", "standard", vec![1.0]).is_err());
}

#[test]
fn durations_have_the_resolution_that_xarray_finds() {
    let durations = |dtype: &str, units: &str, stored: ArrayRef| {
        let attributes = [("units", text(units)), ("dtype", text(dtype))];
        let found = decode(&variable(stored.data_type().clone(), &attributes), &stored, 1);
        found.map(|found| {
            let values = cast(&found, &DataType::Int64).unwrap();
            let DataType::Duration(unit) = *found.data_type() else { panic!() };
            (unit, values.as_primitive::<Int64Type>().iter().collect::<Vec<_>>())
        })
    };
    let singles = |values: Vec<f32>| Arc::new(Float32Array::from(values)) as ArrayRef;
    let seconds = "timedelta64[s]";
    for (dtype, units, stored, unit, values) in [
        (
            seconds,
            "hours",
            singles(vec![1.5, 2.0]),
            TimeUnit::Second,
            vec![Some(5_400), Some(7_200)],
        ),
        (
            seconds,
            "hours",
            singles(vec![1.0001, 2.0]),
            TimeUnit::Nanosecond,
            vec![Some(3_600_360_059_738), Some(7_200_000_000_000)],
        ),
        (
            "timedelta64[D]",
            "seconds",
            singles(vec![1.0001, f32::NAN]),
            TimeUnit::Nanosecond,
            vec![Some(1_000_100_032), None],
        ),
        (seconds, "seconds", singles(vec![f32::NAN]), TimeUnit::Second, vec![None]),
        ("timedelta64[us]", "seconds", singles(vec![]), TimeUnit::Second, vec![]),
        (
            seconds,
            "nanoseconds",
            Arc::new(Int32Array::from(vec![1, 2])),
            TimeUnit::Nanosecond,
            vec![Some(1), Some(2)],
        ),
    ] {
        assert_eq!(durations(dtype, units, stored).unwrap(), (unit, values), "{dtype} {units}");
    }
    let long: ArrayRef = Arc::new(Int64Array::from(vec![1_000_000_000]));
    assert!(durations("timedelta64[ns]", "days", long).is_err());
    let short: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    assert!(durations("timedelta64", "days", short).is_err());
}

#[test]
fn bytes_stay_bytes_and_their_fill_is_null() {
    let stored = FixedSizeBinaryArray::try_from_iter(b"ab-\0\0\0".chunks(1)).unwrap();
    let stored: ArrayRef = Arc::new(stored);
    let of = |attributes: &[(&str, AttributeValue)]| {
        let mut variable = variable(DataType::FixedSizeBinary(1), attributes);
        variable.default_fill = true;
        decode(&variable, &stored, 3).unwrap()
    };
    let bytes = |texts: Vec<Option<&[u8]>>| Arc::new(BinaryArray::from(texts)) as ArrayRef;
    assert_eq!(&of(&[]), &bytes(vec![Some(b"ab-"), Some(b"")]));
    assert_eq!(&of(&[("_FillValue", text("-"))]), &bytes(vec![Some(b"ab-"), Some(b"")]));
    assert_eq!(&of(&[("_FillValue", text(""))]), &bytes(vec![Some(b"ab-"), None]));
    assert_eq!(&of(&[("missing_value", text("ab-"))]), &bytes(vec![Some(b"ab-"), Some(b"")]));
}

#[test]
fn what_xarray_refuses_is_refused_with_the_reason() {
    let fill = ("_FillValue", numbers(Int32Array::from(vec![7])));
    let scale = ("scale_factor", numbers(Int32Array::from(vec![2])));
    let error = Draft::new("f.nc", &variable(DataType::Int32, &[fill, scale]), None, 1);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("/v") && error.contains("integer scale_factor"), "{error}");
}
