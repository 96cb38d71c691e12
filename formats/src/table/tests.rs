//! Tables over files in memory: joining, and rows against a naive walk over the cells.

use super::*;
use crate::contents::{Attribute, AttributeValue, Contents, Dimension, Format, Variable};
use crate::grids::grids;
use crate::region::{Region, Selection, ranges_where};
use arrow::array::*;
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;
use std::collections::HashMap;

/// A file in memory that remembers what was read of it.
#[derive(Debug)]
struct Memory {
    location: String,
    contents: Contents,
    arrays: HashMap<String, ArrayRef>,
    read: std::sync::Mutex<Vec<String>>,
}

impl Reader for Memory {
    fn location(&self) -> &str {
        &self.location
    }

    fn contents(&self) -> &Contents {
        &self.contents
    }

    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError> {
        self.read.lock().unwrap().push(path.to_owned());
        let shape = self.contents.variable(path).unwrap().shape();
        assert!(region.fits(&shape), "{path} {region:?} {shape:?}");
        let mut indices = vec![0_u64];
        for (range, length) in region.ranges().iter().zip(&shape) {
            indices = indices
                .iter()
                .flat_map(|index| range.clone().map(move |i| index * length + i))
                .collect();
        }
        Ok(take(&self.arrays[path], &UInt64Array::from(indices), None)?)
    }
}

/// Builds a file: dimensions first, then variables over them.
#[derive(Default)]
struct File {
    dimensions: Vec<(&'static str, u64)>,
    variables: Vec<(Variable, ArrayRef)>,
    attributes: Vec<(&'static str, &'static str)>,
}

fn texts(attributes: &[(&str, &str)]) -> Vec<Attribute> {
    attributes
        .iter()
        .map(|(name, text)| Attribute {
            name: (*name).to_owned(),
            value: AttributeValue::Text(vec![(*text).to_owned()]),
        })
        .collect()
}

impl File {
    fn new(dimensions: &[(&'static str, u64)]) -> Self {
        Self { dimensions: dimensions.to_vec(), ..Self::default() }
    }

    fn with(
        mut self,
        name: &str,
        dimensions: &[&str],
        attributes: &[(&str, &str)],
        values: impl Array + 'static,
    ) -> Self {
        let dimensions = dimensions
            .iter()
            .map(|dimension| Dimension {
                name: (*dimension).to_owned(),
                length: self.dimensions.iter().find(|(own, _)| own == dimension).unwrap().1,
                unlimited: false,
                coordinate: None,
            })
            .collect();
        let variable = Variable {
            path: format!("/{name}"),
            name: name.to_owned(),
            dimensions,
            data_type: values.data_type().clone(),
            chunk_shape: None,
            filters: vec![],
            fallback: false,
            stored_bytes: None,
            attributes: texts(attributes),
            default_fill: false,
        };
        self.variables.push((variable, Arc::new(values)));
        self
    }

    fn open(mut self, location: &str) -> Arc<Memory> {
        let names: Vec<String> = self.variables.iter().map(|(v, _)| v.name.clone()).collect();
        for (variable, _) in &mut self.variables {
            for dimension in &mut variable.dimensions {
                dimension.coordinate =
                    names.contains(&dimension.name).then(|| format!("/{}", dimension.name));
            }
        }
        let variables: Vec<Variable> = self.variables.iter().map(|(v, _)| v.clone()).collect();
        let contents = Contents {
            format: Format::NetCdf4,
            attributes: texts(&self.attributes),
            groups: vec![],
            grids: grids(&variables),
            variables,
            unreadable: vec![],
        };
        let arrays = self.variables.into_iter().map(|(v, values)| (v.path, values)).collect();
        let location = location.to_owned();
        Arc::new(Memory { location, contents, arrays, read: std::sync::Mutex::default() })
    }
}

fn open(files: &[Arc<Memory>], options: &str) -> Result<Table, FormatError> {
    let files: Vec<Arc<dyn Reader>> =
        files.iter().map(|file| Arc::clone(file) as Arc<dyn Reader>).collect();
    Table::open(&files, &serde_json::from_str(options).unwrap())
}

fn rows(table: &Table) -> RecordBatch {
    let all: Vec<usize> = (0..table.schema().fields().len()).collect();
    let mut batches = vec![];
    for part in table.parts() {
        for region in part.regions(&Selection::all(part.shape()), 1 << 20) {
            batches.push(part.read(&region, &all).unwrap());
        }
    }
    concat_batches(table.schema(), &batches).unwrap()
}

fn column(batch: &RecordBatch, name: &str) -> ArrayRef {
    Arc::clone(batch.column_by_name(name).unwrap())
}

fn names(table: &Table) -> Vec<&str> {
    table.schema().fields().iter().map(|field| field.name().as_str()).collect()
}

fn same(found: &ArrayRef, expected: impl Array + 'static) {
    assert_eq!(found, &(Arc::new(expected) as ArrayRef));
}

fn cube() -> File {
    let values = Float32Array::from_iter_values((0_u8..12).map(f32::from));
    File::new(&[("time", 2), ("lat", 3), ("x", 2)])
        .with(
            "time",
            &["time"],
            &[("units", "days since 2000-01-01")],
            Int32Array::from(vec![0, 1]),
        )
        .with("lat", &["lat"], &[("units", "degrees")], Float32Array::from(vec![1.5, 2.5, 3.5]))
        .with("t", &["time", "lat", "x"], &[("units", "K")], values)
        .with("height", &[], &[], Float64Array::from(vec![2.0]))
}

#[test]
fn cells_are_coordinates_then_variables_in_c_order() {
    let table = open(&[cube().open("a.nc")], r#"{"file_column": true}"#).unwrap();
    assert_eq!(names(&table), ["_file", "time", "lat", "x", "t"]);
    assert_eq!(table.schema().field(4).metadata()["units"], "K");
    let batch = rows(&table);
    assert_eq!(batch.num_rows(), 12);
    let lat = vec![1.5, 1.5, 2.5, 2.5, 3.5, 3.5, 1.5, 1.5, 2.5, 2.5, 3.5, 3.5];
    same(&column(&batch, "lat"), Float32Array::from(lat));
    same(&column(&batch, "x"), Int64Array::from([0, 1].repeat(6)));
    same(&column(&batch, "t"), Float32Array::from_iter_values((0_u8..12).map(f32::from)));
    same(&column(&batch, "_file"), StringArray::from(vec!["a.nc"; 12]));
    let part = &table.parts()[0];
    assert_eq!(part.dependence(1), Dependence::Dimension(0));
    assert_eq!(part.dependence(4), Dependence::Cells);
    assert_eq!(part.axis_values(2).unwrap().len(), 3);
    assert_eq!(part.axis_values(0).unwrap().len(), 1);
    assert!(part.axis_values(4).is_err());
}

#[test]
fn a_scalar_grid_is_one_row() {
    let table = open(&[cube().open("a.nc")], r#"{"grid": "scalar"}"#).unwrap();
    assert_eq!(table.rows(), Some(1));
    same(&column(&rows(&table), "height"), Float64Array::from(vec![2.0]));
}

#[test]
fn only_the_variables_of_the_projection_are_read() {
    let file =
        cube().with("u", &["time", "lat", "x"], &[], Int8Array::from(vec![0; 12])).open("a.nc");
    let table = open(&[Arc::clone(&file)], "{}").unwrap();
    file.read.lock().unwrap().clear();
    let part = &table.parts()[0];
    let region = Region::new(vec![0..1, 1..3, 0..2]);
    let batch = part.read(&region, &[4]).unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (4, 1));
    assert_eq!(*file.read.lock().unwrap(), ["/u"]);
    assert_eq!(part.read(&region, &[]).unwrap().num_rows(), 4);
    assert_eq!(file.read.lock().unwrap().len(), 1);
    assert!(part.read(&Region::new(vec![0..3, 0..3, 0..2]), &[4]).is_err());
    assert!(part.read(&Region::whole(&[1]), &[4]).is_err());
    assert!(part.read(&region, &[99]).is_err());
}

#[test]
fn extra_columns_rename_and_select_order() {
    let mut file = cube();
    file.attributes.push(("source_id", "E3SM"));
    let options = r#"{"columns": {"model": "attribute:source_id", "unit": "attribute:t:units",
        "year": "cf_year(time)", "day": "cf_day(time)", "i": "variable:x", "z": "variable:height"},
        "select": ["i", "t", "model", "unit", "year", "day", "z", "lat"]}"#;
    let table = open(&[file.open("a.nc")], options).unwrap();
    assert_eq!(names(&table), ["i", "t", "model", "unit", "year", "day", "z", "lat"]);
    let batch = rows(&table);
    same(&column(&batch, "model"), StringArray::from(vec!["E3SM"; 12]));
    same(&column(&batch, "unit"), StringArray::from(vec!["K"; 12]));
    same(&column(&batch, "year"), Int64Array::from(vec![2000; 12]));
    same(&column(&batch, "day"), Int64Array::from([vec![1; 6], vec![2; 6]].concat()));
    same(&column(&batch, "z"), Float64Array::from(vec![2.0; 12]));
}

#[test]
fn options_that_do_not_fit_are_refused_with_what_there_is() {
    let refused = |options: &str| open(&[cube().open("a.nc")], options).unwrap_err().to_string();
    assert!(refused(r#"{"grid": "lon"}"#).contains("time_lat_x"));
    assert!(refused(r#"{"select": ["t", "nope"]}"#).contains("time, lat, x, t"));
    assert!(refused(r#"{"columns": {"a": "attribute:nope"}}"#).contains("nope"));
    assert!(refused(r#"{"columns": {"y": "cf_year(lat)"}}"#).contains("degrees"));
    assert!(refused(r#"{"columns": {"lat": "variable:height"}}"#).contains("lat"));
    assert!(refused(r#"{"select": ["t", "t"]}"#).contains("two columns"));
    assert!(refused(r#"{"layout": "tensors", "select": ["lat"]}"#).contains("lat"));
    assert!(open(&[], "{}").is_err());
}

#[test]
fn files_are_joined_by_name_with_exact_types_and_nulls() {
    let first = File::new(&[("i", 2)])
        .with("a", &["i"], &[], Int16Array::from(vec![1, 2]))
        .with("b", &["i"], &[("units", "m")], Float32Array::from(vec![0.5, 1.5]))
        .open("a.nc");
    let second = File::new(&[("i", 1)])
        .with("b", &["i"], &[("units", "m")], Float64Array::from(vec![0.1]))
        .with("a", &["i"], &[], Int32Array::from(vec![70_000]))
        .with("c", &["i"], &[], StringArray::from(vec!["x"]))
        .open("b.nc");
    let table = open(&[first, second], "{}").unwrap();
    assert_eq!(names(&table), ["i", "a", "b", "c"]);
    let batch = rows(&table);
    same(&column(&batch, "i"), Int64Array::from(vec![0, 1, 0]));
    same(&column(&batch, "a"), Int32Array::from(vec![1, 2, 70_000]));
    same(&column(&batch, "b"), Float64Array::from(vec![0.5, 1.5, 0.1]));
    same(&column(&batch, "c"), StringArray::from(vec![None, None, Some("x")]));
}

#[test]
fn a_single_value_in_one_file_repeats_beside_a_series_in_another() {
    let first = File::new(&[("i", 2)])
        .with("a", &["i"], &[], Int16Array::from(vec![1, 2]))
        .with("lat", &[], &[], Float32Array::from(vec![36.5]))
        .open("a.nc");
    let second = File::new(&[("i", 2)])
        .with("a", &["i"], &[], Int16Array::from(vec![3, 4]))
        .with("lat", &["i"], &[], Float32Array::from(vec![37.0, 38.0]))
        .open("b.nc");
    let table = open(&[first, second], "{}").unwrap();
    assert_eq!(table.parts()[0].dependence(2), Dependence::Constant);
    same(&column(&rows(&table), "lat"), Float32Array::from(vec![36.5, 36.5, 37.0, 38.0]));
}

#[test]
fn units_and_types_that_differ_are_refused_by_name() {
    let file = |units: &str, location| {
        File::new(&[("i", 1)])
            .with("t", &["i"], &[("units", units)], Float32Array::from(vec![1.0]))
            .open(location)
    };
    let error = open(&[file("K", "a.nc"), file("degC", "b.nc")], "{}").unwrap_err();
    assert!(matches!(error, FormatError::Union { .. }));
    let error = error.to_string();
    for word in ["a.nc", "b.nc", "\"t\"", "\"K\"", "\"degC\""] {
        assert!(error.contains(word), "{error}");
    }
    let text =
        File::new(&[("i", 1)]).with("t", &["i"], &[("units", "K")], StringArray::from(vec!["1"]));
    let error = open(&[file("K", "a.nc"), text.open("b.nc")], "{}").unwrap_err().to_string();
    assert!(error.contains("Float32") && error.contains("Utf8"), "{error}");
    // A column that is not kept is not compared.
    assert!(open(&[file("K", "a.nc"), file("degC", "b.nc")], r#"{"select": ["i"]}"#).is_ok());
}

fn series(units: &str, calendar: &str, values: Vec<f64>, location: &str) -> Arc<Memory> {
    let count = values.len();
    File::new(&[("time", count as u64)])
        .with(
            "time",
            &["time"],
            &[("units", units), ("calendar", calendar)],
            Float64Array::from(values),
        )
        .with("v", &["time"], &[], Int8Array::from(vec![0; count]))
        .open(location)
}

#[test]
fn times_of_one_calendar_move_to_the_first_reference_exactly() {
    let first = series("days since 2000-01-01", "noleap", vec![0.5], "a.nc");
    let second = series("days since 2001-01-01", "365_day", vec![0.5, 1.0], "b.nc");
    let table = open(&[first.clone(), second.clone()], "{}").unwrap();
    same(&column(&rows(&table), "time"), Float64Array::from(vec![0.5, 365.5, 366.0]));
    assert_eq!(table.schema().field(0).metadata()["units"], "days since 2000-01-01");
    let hours = series("hours since 2000-01-01", "noleap", vec![36.0], "c.nc");
    let table = open(&[hours.clone(), second], "{}").unwrap();
    same(&column(&rows(&table), "time"), Float64Array::from(vec![36.0, 8_772.0, 8_784.0]));
    // Hours are no whole number of days, but days one of hours.
    let table = open(&[first.clone(), hours.clone()], "{}").unwrap();
    same(&column(&rows(&table), "time"), Float64Array::from(vec![12.0, 36.0]));
    assert_eq!(table.schema().field(0).metadata()["units"], "hours since 2000-01-01");
    // Seconds of one file and hours of another have no common whole unit at these references.
    let odd = series("hours since 2000-01-01 00:00:01", "noleap", vec![1.0], "e.nc");
    let error = open(&[hours, odd], "{}").unwrap_err().to_string();
    assert!(error.contains("cf_year(time)") && error.contains("e.nc"), "{error}");
    let other = series("days since 2000-01-01", "360_day", vec![0.0], "d.nc");
    let error = open(&[first.clone(), other.clone()], "{}").unwrap_err().to_string();
    assert!(error.contains("365_day") || error.contains("noleap"), "{error}");
    assert!(error.contains("360_day") && error.contains("attribute:time:calendar"), "{error}");
    let options = r#"{"columns": {"date": "cf_date(time)"}, "select": ["date", "v"]}"#;
    same(
        &column(&rows(&open(&[first.clone(), other.clone()], options).unwrap()), "date"),
        StringArray::from(vec!["2000-01-01T12:00:00", "2000-01-01T00:00:00"]),
    );
    let options = r#"{"columns": {"month": "cf_month(time)"}, "select": ["month", "v"]}"#;
    same(
        &column(&rows(&open(&[first, other], options).unwrap()), "month"),
        Int64Array::from(vec![1, 1]),
    );
}

#[test]
fn files_keep_their_order_and_overlapping_times_their_rows() {
    let late = series("days since 2000-01-01", "standard", vec![5.0, 6.0], "b.nc");
    let early = series("days since 2000-01-01", "standard", vec![4.0, 5.0], "a.nc");
    let table = open(&[late, early], r#"{"file_column": true}"#).unwrap();
    let batch = rows(&table);
    let day = |days: i64| 946_684_800_000_000_000 + days * 86_400_000_000_000;
    let expected = vec![day(5), day(6), day(4), day(5)];
    same(&column(&batch, "time"), TimestampNanosecondArray::from(expected));
    same(&column(&batch, "_file"), StringArray::from(vec!["b.nc", "b.nc", "a.nc", "a.nc"]));
}

#[test]
fn dates_of_xarray_are_joined_only_within_a_calendar() {
    let noleap = series("days since 2000-01-01", "noleap", vec![59.0], "a.nc");
    let same_calendar = series("hours since 2001-01-01", "365_day", vec![12.0], "b.nc");
    let xarray = r#"{"decode": "xarray"}"#;
    let table = open(&[noleap.clone(), same_calendar], xarray).unwrap();
    same(
        &column(&rows(&table), "time"),
        StringArray::from(vec!["2000-03-01T00:00:00", "2001-01-01T12:00:00"]),
    );
    let days360 = series("days since 2000-01-01", "360_day", vec![59.0], "c.nc");
    let error = open(&[noleap.clone(), days360], xarray).unwrap_err().to_string();
    assert!(error.contains("360_day") && error.contains("noleap"), "{error}");
    let standard = series("days since 2000-01-01", "standard", vec![59.0], "d.nc");
    let error = open(&[noleap, standard], xarray).unwrap_err().to_string();
    assert!(error.contains("standard") && error.contains("noleap"), "{error}");
}

#[test]
fn xarray_columns_have_no_null_and_times_look_at_every_value() {
    let fills = Float32Array::from(vec![1.0, -9.0]);
    let mut file = File::new(&[("time", 2)]).with("v", &["time"], &[], fills).with(
        "time",
        &["time"],
        &[("units", "days since 2000-01-01")],
        Float64Array::from(vec![0.0, 1e6]),
    );
    file.variables[0].0.attributes.push(Attribute {
        name: "missing_value".to_owned(),
        value: AttributeValue::Numbers(Arc::new(Float32Array::from(vec![-9.0]))),
    });
    let file = file.open("a.nc");
    let batch = rows(&open(std::slice::from_ref(&file), r#"{"decode": "xarray"}"#).unwrap());
    let values = column(&batch, "v");
    assert_eq!(values.null_count(), 0);
    assert!(values.as_primitive::<arrow::datatypes::Float32Type>().value(1).is_nan());
    same(
        &column(&batch, "time"),
        StringArray::from(vec!["2000-01-01T00:00:00", "4737-11-28T00:00:00"]),
    );
    // In arrow mode the same times are timestamps of microseconds.
    let batch = rows(&open(&[file], "{}").unwrap());
    same(&column(&batch, "v"), Float32Array::from(vec![Some(1.0), None]));
    assert!(matches!(
        column(&batch, "time").data_type(),
        DataType::Timestamp(TimeUnit::Microsecond, None)
    ));
}

#[test]
fn characters_are_texts_on_the_grid_of_the_texts() {
    let characters = |text: &[u8]| FixedSizeBinaryArray::try_from_iter(text.chunks(1)).unwrap();
    let mut file = File::new(&[("time", 2), ("station", 3), ("width", 2)])
        .with("name", &["station", "width"], &[], characters(b"abc\0\0\0"))
        .with("height", &["station"], &[], Float32Array::from(vec![1.0, 2.0, 3.0]))
        .with("t", &["time", "station"], &[], Int8Array::from_iter_values(0..6));
    for (variable, _) in &mut file.variables {
        variable.default_fill = true;
    }
    let file = file.open("a.nc");
    assert_eq!(
        names(&open(std::slice::from_ref(&file), r#"{"grid": "station"}"#).unwrap()),
        ["station", "name", "height"]
    );
    let options = r#"{"grid": "station", "select": ["name", "height"]}"#;
    same(
        &column(&rows(&open(std::slice::from_ref(&file), options).unwrap()), "name"),
        StringArray::from(vec!["ab", "c", ""]),
    );
    // Beside a larger grid they repeat like any coordinate.
    let options = r#"{"select": ["name", "t"]}"#;
    let table = open(std::slice::from_ref(&file), options).unwrap();
    assert_eq!(table.parts()[0].dependence(0), Dependence::Dimension(1));
    same(&column(&rows(&table), "name"), StringArray::from(["ab", "c", ""].repeat(2)));
    let options = r#"{"grid": "station", "select": ["name"], "decode": "xarray"}"#;
    let bytes = vec![&b"ab"[..], b"c", b""];
    same(&column(&rows(&open(&[file], options).unwrap()), "name"), BinaryArray::from(bytes));
}

#[test]
fn civil_times_are_timestamps_whatever_their_units_and_wider_where_they_must() {
    let first = series("days since 2000-01-01", "standard", vec![1.0], "a.nc");
    let second = series("hours since 2000-01-01", "proleptic_gregorian", vec![12.0], "b.nc");
    let table = open(&[first.clone(), second], "{}").unwrap();
    let expected = vec![946_771_200_000_000_000, 946_728_000_000_000_000];
    same(&column(&rows(&table), "time"), TimestampNanosecondArray::from(expected));
    // The year 2300 does not fit into nanoseconds.
    let late = series("days since 2000-01-01", "standard", vec![109_572.0], "c.nc");
    let table = open(&[first, late], "{}").unwrap();
    let unit = DataType::Timestamp(TimeUnit::Microsecond, None);
    assert_eq!(*table.schema().field(0).data_type(), unit);
    let expected = vec![946_771_200_000_000, 946_684_800_000_000 + 109_572 * 86_400_000_000];
    same(&column(&rows(&table), "time"), TimestampMicrosecondArray::from(expected));
}

#[test]
fn tensors_have_the_inner_dimensions_and_nulls_inside() {
    let mut values: Vec<Option<f32>> = (0_u8..12).map(|v| Some(f32::from(v))).collect();
    values[7] = None;
    let file = cube().with("u", &["time", "lat", "x"], &[], Float32Array::from(values));
    let table = open(&[file.open("a.nc")], r#"{"layout": "tensors"}"#).unwrap();
    assert_eq!(names(&table), ["time", "t", "u"]);
    let batch = rows(&table);
    assert_eq!(batch.num_rows(), 2);
    let field = table.schema().field_with_name("t").unwrap();
    assert!(matches!(field.data_type(), DataType::FixedSizeList(_, 6)));
    assert_eq!(
        field.metadata()["ARROW:extension:metadata"],
        r#"{"shape":[3,2],"dim_names":["lat","x"]}"#
    );
    let second = batch.column_by_name("u").unwrap().as_fixed_size_list().value(1);
    assert_eq!((second.null_count(), second.is_null(1)), (1, true));
    // A one-dimensional grid has plain columns.
    let table = open(&[cube().open("a.nc")], r#"{"layout": "tensors", "grid": "lat"}"#).unwrap();
    assert_eq!(*table.schema().field(0).data_type(), DataType::Float32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn regions_of_any_selection_give_the_rows_of_a_naive_walk(
        dimensions in prop::collection::vec((prop::collection::vec(any::<bool>(), 1..7), 1_u64..5), 1..4),
        chunked in any::<bool>(),
        max_cells in 1_u64..50,
    ) {
        let known = ["p", "q", "r"];
        let shape: Vec<(&str, u64)> =
            known.iter().zip(&dimensions).map(|(name, (keep, _))| (*name, keep.len() as u64)).collect();
        let cells: u64 = shape.iter().map(|(_, length)| length).product();
        let all: Vec<&str> = shape.iter().map(|(name, _)| *name).collect();
        // The value of a cell is its place in C order, and coordinates are squares.
        let mut file = File::new(&shape)
            .with("v", &all, &[], UInt64Array::from_iter_values(0..cells))
            .with("q", if all.len() > 1 { &["q"] } else { &["p"] }, &[],
                UInt64Array::from_iter_values((0..shape.get(1).unwrap_or(&shape[0]).1).map(|i| i * i)));
        if chunked {
            file.variables[0].0.chunk_shape = Some(dimensions.iter().map(|(_, chunk)| *chunk).collect());
        }
        let options = format!("{{\"grid\": \"{}\", \"select\": [{}, \"v\"]}}", all.join("_"),
            all.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "));
        let table = open(&[file.open("a.nc")], &options).unwrap();
        let part = &table.parts()[0];
        let mut selection = Selection::all(part.shape());
        for (dimension, (keep, _)) in dimensions.iter().enumerate() {
            selection.restrict(dimension, &ranges_where(keep.iter().copied()));
        }
        let projection: Vec<usize> = (0..=all.len()).collect();
        let mut found: Vec<Vec<u64>> = vec![];
        for region in part.regions(&selection, max_cells) {
            prop_assert!(region.cells().unwrap() <= max_cells);
            let batch = part.read(&region, &projection).unwrap();
            let columns: Vec<ArrayRef> = batch.columns().iter()
                .map(|column| arrow::compute::cast(column, &DataType::UInt64).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let value = |column: &ArrayRef| column.as_primitive::<arrow::datatypes::UInt64Type>().value(row);
                found.push(columns.iter().map(value).collect());
            }
        }
        let mut expected: Vec<Vec<u64>> = vec![];
        for cell in 0..cells {
            let (mut rest, mut row, mut kept) = (cell, vec![], true);
            for (dimension, (keep, _)) in dimensions.iter().enumerate().rev() {
                let length = keep.len() as u64;
                let index = rest % length;
                rest /= length;
                kept &= keep[usize::try_from(index).unwrap()];
                row.insert(0, if dimension == 1 { index * index } else { index });
            }
            row.push(cell);
            if kept {
                expected.push(row);
            }
        }
        found.sort_by_key(|row| *row.last().unwrap());
        prop_assert_eq!(found, expected);
    }
}
