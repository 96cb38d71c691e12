//! Decoding against the golden values of xarray and the masking of netCDF4.

use super::*;
use crate::contents::{Attribute, AttributeValue};
use arrow::array::*;
use arrow::datatypes::{Float32Type, TimestampNanosecondType};
use std::path::PathBuf;
use std::sync::Arc;

pub(super) fn variable(data_type: DataType, attributes: &[(&str, AttributeValue)]) -> Variable {
    Variable {
        path: "/v".to_owned(),
        name: "v".to_owned(),
        dimensions: vec![],
        data_type,
        chunk_shape: None,
        filters: vec![],
        fallback: false,
        stored_bytes: None,
        attributes: attributes
            .iter()
            .map(|(name, value)| Attribute { name: (*name).to_owned(), value: value.clone() })
            .collect(),
        default_fill: false,
    }
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::Text(vec![text.to_owned()])
}

pub(super) fn numbers(array: impl Array + 'static) -> AttributeValue {
    AttributeValue::Numbers(Arc::new(array))
}

fn decode(variable: &Variable, stored: impl Array + 'static) -> ArrayRef {
    let stored: ArrayRef = Arc::new(stored);
    Decoder::new("f.nc", variable, None).unwrap().decode(&stored).unwrap()
}

fn same(found: &ArrayRef, expected: impl Array + 'static) {
    let expected: ArrayRef = Arc::new(expected);
    assert_eq!(found, &expected);
}

/// The folder of shared reference values; `None`, said aloud, where it is not there.
pub(super) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("TARN_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
    eprintln!("left out: {} is missing", path.display());
    None
}

pub(super) fn of_type(name: &str, value: i64) -> ArrayRef {
    let data_type = match name {
        "i1" => DataType::Int8,
        "i2" => DataType::Int16,
        "i4" => DataType::Int32,
        "i8" => DataType::Int64,
        "u1" => DataType::UInt8,
        "u2" => DataType::UInt16,
        "u4" => DataType::UInt32,
        "u8" => DataType::UInt64,
        "f2" => DataType::Float16,
        "f4" => DataType::Float32,
        "f8" => DataType::Float64,
        other => panic!("{other}"),
    };
    cast(&Int64Array::from(vec![value]), &data_type).unwrap()
}

/// One row of the golden table: what xarray gives for stored `[1, 2, 7]` with `scale_factor` 2,
/// `add_offset` 1 and `_FillValue` 7 of some dtypes, or none of them (`-`).
pub(super) struct Packed<'a> {
    pub(super) line: &'a str,
    pub(super) scale: &'a str,
    pub(super) offset: &'a str,
    pub(super) result: &'a str,
    pub(super) variable: Variable,
    pub(super) values: ArrayRef,
}

/// Shows every row of the golden table.
pub(super) fn packed(check: impl Fn(Packed<'_>)) {
    let Some(path) = shared("../data-decode/xarray-decode-golden.tsv") else { return };
    let table = std::fs::read_to_string(path).unwrap();
    let mut seen = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [stored, scale, offset, fill, result] = fields[..] else { panic!("{line}") };
        let mut attributes = vec![];
        for (name, kind, value) in [("scale_factor", scale, 2), ("add_offset", offset, 1)] {
            if kind != "-" {
                attributes.push((name, AttributeValue::Numbers(of_type(kind, value))));
            }
        }
        if fill == "same" {
            attributes.push(("_FillValue", AttributeValue::Numbers(of_type(stored, 7))));
        }
        let values: Vec<ArrayRef> = [1, 2, 7].iter().map(|v| of_type(stored, *v)).collect();
        let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        let values = arrow::compute::concat(&values).unwrap();
        let variable = variable(values.data_type().clone(), &attributes);
        check(Packed { line, scale, offset, result, variable, values });
        seen += 1;
    }
    assert_eq!(seen, 352);
}

#[test]
fn packed_values_have_the_dtype_and_value_that_xarray_gives_them() {
    packed(|Packed { line, scale, offset, result, variable, values }| {
        let decoder = Decoder::new("f.nc", &variable, None).unwrap();
        let found = decoder.decode(&values).unwrap();
        assert_eq!(found.data_type(), decoder.field().data_type());
        let found_values = cast(&found, &DataType::Float64).unwrap();
        let found_values: Vec<Option<f64>> =
            found_values.as_primitive::<Float64Type>().iter().collect();
        // Rule 16: an integer scale with a fill is no error, and integers without scale stay.
        let (data_type, expected) = if result.starts_with("ERR") {
            (of_type(scale, 0).data_type().clone(), vec![Some(2.0), Some(4.0), None])
        } else {
            let (name, list) = result.split_once(' ').unwrap();
            let data_type = if scale == "-" && offset == "-" {
                values.data_type().clone()
            } else {
                match name {
                    "float32" => DataType::Float32,
                    "float64" => DataType::Float64,
                    "int32" => DataType::Int32,
                    other => panic!("{other}"),
                }
            };
            let list = list.trim_matches(['[', ']']).split(", ");
            (
                data_type,
                list.map(|v| Some(v.parse().unwrap()).filter(|v: &f64| !v.is_nan())).collect(),
            )
        };
        assert_eq!((found.data_type(), &found_values), (&data_type, &expected), "{line}");
    });
}

#[test]
fn every_member_of_fill_value_and_missing_value_is_null() {
    let v = variable(
        DataType::Int16,
        &[
            ("_FillValue", numbers(Int32Array::from(vec![-9]))),
            ("missing_value", numbers(Float32Array::from(vec![-8.0, 7.5]))),
        ],
    );
    let expected = Int16Array::from(vec![Some(1), None, None, Some(7)]);
    same(&decode(&v, Int16Array::from(vec![1, -8, -9, 7])), expected);
    let v = variable(DataType::Float32, &[("_FillValue", numbers(Float64Array::from(vec![1e20])))]);
    let expected = Float32Array::from(vec![Some(1.0), None]);
    same(&decode(&v, Float32Array::from(vec![1.0, 1e20])), expected);
    let v = variable(DataType::Int16, &[("_FillValue", text("-9"))]);
    same(&decode(&v, Int16Array::from(vec![1, -9])), Int16Array::from(vec![1, -9]));
    let v = variable(DataType::Utf8, &[("_FillValue", text(""))]);
    same(&decode(&v, StringArray::from(vec!["a", ""])), StringArray::from(vec![Some("a"), None]));
}

#[test]
fn fills_are_compared_before_any_cast_so_that_no_neighbour_is_lost() {
    let big = 9_007_199_254_740_993_i64;
    let v = variable(DataType::Int64, &[("_FillValue", numbers(Int64Array::from(vec![big])))]);
    let expected = Int64Array::from(vec![Some(big - 1), None, Some(1)]);
    same(&decode(&v, Int64Array::from(vec![big - 1, big, 1])), expected);
    let fill = ("_FillValue", numbers(Int32Array::from(vec![-2_147_483_647])));
    let scale = ("scale_factor", numbers(Float32Array::from(vec![2.0])));
    let v = variable(DataType::Int32, &[fill, scale]);
    let expected = Float32Array::from(vec![Some(2.0), None]);
    same(&decode(&v, Int32Array::from(vec![1, -2_147_483_647])), expected);
}

#[test]
fn nan_is_a_value_unless_the_fill_is_nan() {
    let v = variable(DataType::Float32, &[]);
    assert_eq!(decode(&v, Float32Array::from(vec![f32::NAN])).null_count(), 0);
    let v =
        variable(DataType::Float32, &[("_FillValue", numbers(Float64Array::from(vec![f64::NAN])))]);
    let expected = Float32Array::from(vec![None, Some(1.0)]);
    same(&decode(&v, Float32Array::from(vec![f32::NAN, 1.0])), expected);
    let v =
        variable(DataType::Int16, &[("_FillValue", numbers(Float32Array::from(vec![f32::NAN])))]);
    assert_eq!(decode(&v, Int16Array::from(vec![0])).null_count(), 0);
}

#[test]
fn default_fills_are_null_only_in_netcdf_and_never_in_bytes() {
    let mut v = variable(DataType::Float32, &[]);
    // NC_FILL_FLOAT of netcdf.h has these bits.
    let stored = Float32Array::from(vec![f32::from_bits(0x7CF0_0000), 1.0]);
    same(&decode(&v, stored.clone()), stored.clone());
    v.default_fill = true;
    same(&decode(&v, stored.clone()), Float32Array::from(vec![None, Some(1.0)]));
    // A fill of its own replaces the default; a missing value does not.
    v.attributes =
        variable(DataType::Null, &[("missing_value", numbers(Float32Array::from(vec![1.0])))])
            .attributes;
    assert_eq!(decode(&v, stored.clone()).null_count(), 2);
    v.attributes =
        variable(DataType::Null, &[("_FillValue", numbers(Float32Array::from(vec![5.0])))])
            .attributes;
    assert_eq!(decode(&v, stored).null_count(), 0);
    let mut v = variable(DataType::Int8, &[]);
    v.default_fill = true;
    same(&decode(&v, Int8Array::from(vec![-127])), Int8Array::from(vec![-127]));
    let mut v = variable(DataType::UInt64, &[]);
    v.default_fill = true;
    let expected = UInt64Array::from(vec![None, Some(u64::MAX)]);
    same(&decode(&v, UInt64Array::from(vec![u64::MAX - 1, u64::MAX])), expected);
}

#[test]
fn unsigned_reinterprets_data_and_fill() {
    let unsigned = ("_Unsigned", text("true"));
    let v = variable(
        DataType::Int8,
        &[unsigned.clone(), ("_FillValue", numbers(Int8Array::from(vec![-1])))],
    );
    let expected = UInt8Array::from(vec![None, Some(2), Some(128)]);
    same(&decode(&v, Int8Array::from(vec![-1, 2, -128])), expected);
    let v = variable(
        DataType::Int8,
        &[unsigned.clone(), ("_FillValue", numbers(UInt8Array::from(vec![255])))],
    );
    same(&decode(&v, Int8Array::from(vec![-1, 2])), UInt8Array::from(vec![None, Some(2)]));
    let v = variable(
        DataType::Int8,
        &[unsigned, ("scale_factor", numbers(Float32Array::from(vec![0.5])))],
    );
    same(&decode(&v, Int8Array::from(vec![-1, 2])), Float32Array::from(vec![127.5, 1.0]));
    let v = variable(DataType::UInt8, &[("_Unsigned", text("false"))]);
    same(&decode(&v, UInt8Array::from(vec![255, 2])), Int8Array::from(vec![-1, 2]));
    let v = variable(DataType::Int16, &[("_Unsigned", text("True"))]);
    same(&decode(&v, Int16Array::from(vec![-1])), Int16Array::from(vec![-1]));
}

#[test]
fn packed_values_round_twice_as_xarray_does() {
    let v = variable(
        DataType::Int16,
        &[
            ("scale_factor", numbers(Float32Array::from(vec![0.01]))),
            ("add_offset", numbers(Float32Array::from(vec![273.15]))),
        ],
    );
    let found = decode(&v, Int16Array::from(vec![12_345, 32_767]));
    assert_eq!(found.as_primitive::<Float32Type>().values()[..], [396.599_98, 600.819_95]);
    let nan = ("_FillValue", numbers(Float32Array::from(vec![f32::NAN])));
    let v = variable(
        DataType::Float32,
        &[nan, ("scale_factor", numbers(Float64Array::from(vec![0.1])))],
    );
    let expected = Float32Array::from(vec![Some(0.01), None]);
    same(&decode(&v, Float32Array::from(vec![0.1, f32::NAN])), expected);
    let v = variable(DataType::Int16, &[("scale_factor", text("0.1"))]);
    let error = Decoder::new("f.nc", &v, None).unwrap_err().to_string();
    assert!(error.contains("/v") && error.contains("scale_factor 0.1"), "{error}");
}

#[test]
fn a_dtype_of_bool_makes_booleans() {
    let v = variable(DataType::Int32, &[("dtype", text("bool"))]);
    let expected = BooleanArray::from(vec![true, true, false]);
    same(&decode(&v, Int32Array::from(vec![1, 2, 0])), expected);
}

fn nanoseconds(
    units: &str,
    calendar: Option<&str>,
    stored: impl Array + 'static,
) -> Vec<Option<i64>> {
    let mut attributes = vec![("units", text(units))];
    attributes.extend(calendar.map(|calendar| ("calendar", text(calendar))));
    let found = decode(&variable(stored.data_type().clone(), &attributes), stored);
    found.as_primitive::<TimestampNanosecondType>().iter().collect()
}

/// Values of `xarray-decode-cases.tsv`.
#[test]
fn civil_times_are_the_timestamps_of_xarray() {
    let days = |values: &[f64]| {
        nanoseconds("days since 2000-01-01", None, Float64Array::from(values.to_vec()))
    };
    assert_eq!(
        days(&[0.1, 0.2, 1.0 / 3.0, f64::NAN, 9.969_21e36]),
        [
            Some(946_693_440_000_000_000),
            Some(946_702_080_000_000_000),
            Some(946_713_600_000_000_000),
            None,
            None
        ]
    );
    assert_eq!(
        days(&[-0.1, -1.0 / 3.0]),
        [Some(946_676_160_000_000_000), Some(946_656_000_000_000_000)]
    );
    let halves = Float32Array::from(vec![0.1, 0.2, 1.0 / 3.0]);
    assert_eq!(
        nanoseconds("days since 2000-01-01", Some("GREGORIAN"), halves),
        [
            Some(946_693_440_000_128_746),
            Some(946_702_080_000_257_492),
            Some(946_713_600_000_858_306)
        ]
    );
    let zone = "hours since 2000-01-01 00:00:00 +02:00";
    assert_eq!(
        nanoseconds(zone, None, Int32Array::from(vec![0, 1])),
        [Some(946_677_600_000_000_000), Some(946_681_200_000_000_000)]
    );
    let seconds = UInt64Array::from(vec![1, u64::MAX]);
    assert_eq!(nanoseconds("seconds since 1970-1-1", None, seconds), [Some(1_000_000_000), None]);
    let halves = Float64Array::from(vec![0.0, 1.5]);
    assert_eq!(
        nanoseconds("nanoseconds since 2000-01-01", None, halves),
        [Some(946_684_800_000_000_000), Some(946_684_800_000_000_001)]
    );
}

#[test]
fn packed_and_masked_times_unpack_first() {
    let v = variable(
        DataType::Int32,
        &[
            ("units", text("hours since 2000-01-01")),
            ("scale_factor", numbers(Float32Array::from(vec![0.5]))),
            ("_FillValue", numbers(Int32Array::from(vec![-1]))),
        ],
    );
    let expected = vec![Some(946_686_600_000_000_000), Some(946_688_400_000_000_000), None];
    let expected = TimestampNanosecondArray::from(expected);
    same(&decode(&v, Int32Array::from(vec![1, 2, -1])), expected);
}

#[test]
fn old_references_give_microseconds_and_the_calendars_differ_by_two_days() {
    for (calendar, first) in
        [("standard", 946_598_400_000_000), ("proleptic_gregorian", 946_771_200_000_000)]
    {
        let attributes = [("units", text("days since 0001-01-01")), ("calendar", text(calendar))];
        let v = variable(DataType::Float64, &attributes);
        let expected = TimestampMicrosecondArray::from(vec![first, first + 129_600_000_000]);
        same(&decode(&v, Float64Array::from(vec![730_120.0, 730_121.5])), expected);
    }
    let v = variable(DataType::Float64, &[("units", text("days since 1850-01-01"))]);
    let decoder = Decoder::new("f.nc", &v, None).unwrap();
    let late: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 164_000.0, f64::NAN]));
    assert_eq!(decoder.decode(&late).unwrap().null_count(), 2);
    assert!(decoder.needs_microseconds(&late).unwrap());
    assert_eq!(decoder.with_microseconds().decode(&late).unwrap().null_count(), 1);
}

#[test]
fn times_of_other_calendars_stay_numbers_with_units_and_calendar() {
    let attributes = [("units", text("days since 0001-01-01")), ("calendar", text("365_day"))];
    let time = variable(DataType::Float64, &attributes);
    let decoder = Decoder::new("f.nc", &time, None).unwrap();
    assert_eq!(*decoder.field().data_type(), DataType::Float64);
    assert_eq!(decoder.field().metadata()["calendar"], "365_day");
    let stored: ArrayRef = Arc::new(Float64Array::from(vec![Some(674_899.5), None]));
    let dates = decoder.dates(&stored).unwrap();
    let dates: Vec<_> = dates.iter().map(|date| date.map(|date| date.to_string())).collect();
    assert_eq!(dates, [Some("1850-01-15T12:00:00".to_owned()), None]);
    // Bounds take both from the variable that names them.
    let bounds = variable(DataType::Float64, &[]);
    let decoder = Decoder::new("f.nc", &bounds, Some(&time)).unwrap();
    assert_eq!(decoder.field().metadata()["units"], "days since 0001-01-01");
    assert_eq!(decoder.time(), TimeAxis::parse("days since 0001-01-01", Some("noleap")).as_ref());
}
