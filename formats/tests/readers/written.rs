//! Files written by h5py and netCDF4, against what these two read back.

use crate::python::python;
use crate::support::{flat, open, read_whole, texts};
use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array, Int16Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tarn_formats::{
    Access, AttributeValue, ByteSource, ChunkCache, Format, FormatError, LocalFile, OpenOptions,
    Reader, Region, SourceError, Table,
};
use tarn_schemas::TableOptions;

/// A folder of files from `generate.py`; `None` with a word where no Python with h5py is found.
pub(crate) fn written() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let output = python("h5py, netCDF4, hdf5plugin", "readers/generate.py", &[folder.path()])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

/// The values of nested arrays of numbers, as h5py lays them out.
fn innermost(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::FixedSizeList(..) => innermost(array.as_fixed_size_list().values()),
        DataType::Boolean => cast(array, &DataType::UInt8).unwrap(),
        _ => Arc::clone(array),
    }
}

/// Values in the order of the file as hexadecimal.
fn hexadecimal(array: &ArrayRef) -> String {
    let data = array.to_data();
    let size = match array.data_type() {
        DataType::FixedSizeBinary(size) => usize::try_from(*size).unwrap(),
        number => number.primitive_width().unwrap(),
    };
    let bytes =
        &data.buffers()[0].as_slice()[data.offset() * size..(data.offset() + data.len()) * size];
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn files_of_h5py_and_netcdf4_are_read_to_the_bit() {
    let Some(folder) = written() else { return };
    let text = std::fs::read_to_string(folder.path().join("expected.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut readers: HashMap<String, Arc<dyn Reader>> = HashMap::new();
    let mut faults = Vec::new();
    for wanted in &expected {
        let (file, path) = (wanted["file"].as_str().unwrap(), wanted["path"].as_str().unwrap());
        let reader =
            readers.entry(file.to_owned()).or_insert_with(|| open(&folder.path().join(file)));
        if let Err(fault) = compare(reader.as_ref(), path, wanted) {
            faults.push(format!("{file}: {path}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(expected.len() > 200, "{}", expected.len());
}

fn compare(reader: &dyn Reader, path: &str, wanted: &Value) -> Result<(), String> {
    let contents = reader.contents();
    let Some(variable) = contents.variable(path) else {
        let why = contents.unreadable.iter().find(|unreadable| unreadable.path == path);
        return Err(format!("not listed: {why:?}"));
    };
    let list = |key: &str| wanted[key].as_array().cloned();
    let shape: Vec<Value> = variable.shape().into_iter().map(Value::from).collect();
    if Some(&shape) != list("shape").as_ref() {
        return Err(format!("shape {shape:?} in place of {}", wanted["shape"]));
    }
    if let Some(dimensions) = list("dims") {
        let names: Vec<Value> = variable.dimensions.iter().map(|d| d.name.clone().into()).collect();
        if names != dimensions {
            return Err(format!("dimensions {names:?} in place of {dimensions:?}"));
        }
        let unlimited: Vec<Value> =
            variable.dimensions.iter().map(|d| d.unlimited.into()).collect();
        if Some(&unlimited) != list("unlimited").as_ref() {
            return Err(format!("unlimited {unlimited:?} in place of {}", wanted["unlimited"]));
        }
        let mut attributes: Vec<Value> =
            variable.attributes.iter().map(|a| a.name.clone().into()).collect();
        attributes.sort_by_key(ToString::to_string);
        if Some(&attributes) != list("attributes").as_ref() {
            return Err(format!("attributes {attributes:?} in place of {}", wanted["attributes"]));
        }
    }
    let mut array = read_whole(reader, variable);
    if let Some(field) = wanted["field"].as_str() {
        array = Arc::clone(array.as_struct().column_by_name(field).ok_or("no such field")?);
    }
    if wanted["flat"] == true {
        array = flat(&array);
    }
    if let Some(wanted) = list("texts") {
        let texts: Vec<Value> = match array.as_string_opt::<i32>() {
            Some(texts) => texts.iter().map(Value::from).collect(),
            None => texts(&array).ok_or("no text")?.into_iter().map(Value::from).collect(),
        };
        return if texts == wanted {
            Ok(())
        } else {
            Err(format!("{texts:?} in place of {wanted:?}"))
        };
    }
    let array = innermost(&array);
    let name = match wanted["type"].as_str().unwrap() {
        "bool" => "uint8",
        name => name,
    };
    if array.data_type().to_string().to_lowercase() != name {
        return Err(format!("type {} in place of {name}", array.data_type()));
    }
    let actual = hexadecimal(&array);
    let expected = wanted["hex"].as_str().unwrap();
    if actual == expected { Ok(()) } else { Err(format!("{actual} in place of {expected}")) }
}

/// What the library gives there is what was in memory, so there is nothing to compare with.
#[test]
fn cells_that_netcdf_leaves_undefined_are_the_default_fill() {
    let Some(folder) = written() else { return };
    let reader = open(&folder.path().join("undefined.nc"));
    let read = |path| reader.read(path, &Region::whole(&[4])).unwrap();
    let expected = Int16Array::from(vec![-32_767, -32_767, 7, 8]);
    assert_eq!(read("/chunked").as_ref(), &expected as &dyn Array);
    let expected = Float32Array::from(vec![9.969_21e36; 4]);
    assert_eq!(read("/contiguous").as_ref(), &expected as &dyn Array);
}

#[test]
fn links_lead_to_datasets_and_cycles_end() {
    let Some(folder) = written() else { return };
    let reader = open(&folder.path().join("links.h5"));
    let contents = reader.contents();
    assert_eq!(contents.format, Format::Hdf5);
    let groups: Vec<_> = contents.groups.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(groups.len(), 2, "{groups:?}");
    let reason = |path: &str| {
        let found = contents.unreadable.iter().find(|unreadable| unreadable.path == path);
        found.map(|unreadable| unreadable.reason.clone()).unwrap_or_default()
    };
    assert!(reason("/dangling").contains("/nowhere"), "{}", reason("/dangling"));
    assert!(reason("/loop").contains("soft link"), "{}", reason("/loop"));
    assert!(reason("/outside").contains("other.h5"), "{}", reason("/outside"));
    // A virtual dataset without sources is its fill value.
    assert!(contents.variable("/virtual").is_some(), "{}", reason("/virtual"));

    // h5py reads the same under each path, and so does a table that is opened by it.
    let expected = Int64Array::from_iter_values(0..4);
    for path in ["/g/d", "/again/d", "/alias", "/g/back/again/d", "g/back/g/back/alias", "/soft"] {
        let read =
            reader.read(path, &Region::whole(&[4])).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(read.as_ref(), &expected as &dyn Array, "{path}");
        let options = TableOptions {
            grid: Some(path.to_owned()),
            select: vec![format!("/{}", path.trim_start_matches('/'))],
            ..TableOptions::default()
        };
        let table = Table::open(std::slice::from_ref(&reader), &options).unwrap();
        let batch = table.parts()[0].read(&Region::whole(&[4]), &[0]).unwrap();
        assert_eq!(batch.column(0).as_ref(), &expected as &dyn Array, "{path}");
    }
    assert!(reader.read("/g/back/nothing", &Region::whole(&[4])).is_err());

    let dataset = contents.variables.iter().find(|v| v.path.ends_with("/d")).unwrap();
    let attribute = |name: &str| dataset.attribute(name).unwrap_or_else(|| panic!("no {name}"));
    let texts =
        |texts: &[&str]| AttributeValue::Text(texts.iter().map(|t| (*t).to_owned()).collect());
    assert_eq!(attribute("text"), &texts(&["grüß"]));
    assert_eq!(attribute("texts"), &texts(&["a", "b"]));
    assert_eq!(attribute("fixed"), &texts(&["abc"]));
    assert_eq!(attribute("reference"), &texts(&["/alias"]));
    let AttributeValue::Numbers(numbers) = attribute("attribute 19") else { panic!("no numbers") };
    assert_eq!(numbers.as_ref(), &arrow::array::Int32Array::from_iter_values(0..20) as &dyn Array);
    let AttributeValue::Numbers(nothing) = attribute("nothing") else { panic!("no numbers") };
    assert_eq!(nothing.len(), 0);
}

#[test]
fn files_that_refer_to_others_say_what_they_cannot_reach() {
    let Some(folder) = written() else { return };
    let path = folder.path().join("family/virtual.h5");
    let reader = open(&path);
    let reasons = |reader: &dyn Reader, name: &str| {
        let path = format!("/{name}");
        let found = reader.contents().unreadable.iter().find(|u| u.path == path);
        found.map(|unreadable| unreadable.reason.clone()).unwrap_or_default()
    };
    for (name, wanted) in [
        ("other_type", "its source one in frames_0.h5 has another type"),
        ("links/no_file", "/x in gone.h5: there is no such file"),
        ("links/no_object", "/gone in frames_2.h5: there is no such object"),
        ("links/upwards", "may not be opened: its name is no path below the folder"),
        ("links/absolute", "may not be opened: its name is no path below the folder"),
        ("links/itself", "the file refers to itself"),
        ("links/back/again", "in a circle"),
    ] {
        let reason = reasons(reader.as_ref(), name);
        assert!(reason.contains(wanted), "{name}: {reason}");
    }
    let error = reader.read("/circle", &Region::whole(&[4])).unwrap_err();
    assert!(error.to_string().contains("in a circle"), "{error}");
    let group = reader.contents().groups.iter().find(|(path, _)| path == "/links/group").unwrap();
    assert_eq!(group.1[0].name, "note");
    let scale = reader.contents().variable("/links/whole/x").unwrap();
    assert_eq!(scale.dimensions[0].coordinate.as_deref(), Some("/links/whole/x"));

    let alone = tarn_formats::open(Arc::new(LocalFile::open(&path).unwrap())).unwrap();
    for name in ["links/dataset", "links/group", "stack", "numbered", "links/back"] {
        let reason = reasons(alone.as_ref(), name);
        assert!(reason.contains("other files are not opened here"), "{name}: {reason}");
    }
    // What is in the file itself needs no other file.
    assert!(alone.contents().variable("/own").is_some());
    assert!(alone.contents().variable("/circle").is_some());
}

#[test]
fn a_chunk_that_is_read_in_parts_is_fetched_once() {
    let Some(folder) = written() else { return };
    let file = LocalFile::open(folder.path().join("plugins.h5")).unwrap();
    let source = Arc::new(Counting(file, AtomicU64::new(0)));
    let cache = Arc::new(ChunkCache::new(1 << 20));
    let options = OpenOptions { chunk_cache: Arc::clone(&cache), siblings: None, fallback: None };
    let shared = Arc::clone(&source) as Arc<dyn ByteSource>;
    let reader = tarn_formats::open_with(shared, &options).unwrap();
    let part = |range: Range<u64>| {
        let region = Region::new(std::iter::once(range).collect());
        reader.read("/blosc_lz4_large", &region).unwrap()
    };
    let first = part(0..10_000);
    let after_one = source.1.load(Ordering::Relaxed);
    let rest = part(10_000..70_001);
    assert_eq!(source.1.load(Ordering::Relaxed), after_one);
    assert_eq!(cache.bytes(), 4 * 70_001);
    let whole = part(0..70_001);
    assert_eq!(arrow::compute::concat(&[&first, &rest]).unwrap().as_ref(), whole.as_ref());
    drop(reader);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn a_netcdf4_file_shows_its_dimensions_and_hides_how_it_stores_them() {
    let Some(folder) = written() else { return };
    let reader = open(&folder.path().join("groups.nc"));
    let contents = reader.contents();
    assert_eq!(contents.format, Format::NetCdf4);
    let names: Vec<_> = contents.attributes.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["title"]);
    assert_eq!(contents.groups[0].0, "/inner");
    assert!(contents.variable("/bnds").is_none(), "a dimension without a variable");
    let dimension = |path: &str, axis: usize| &contents.variable(path).unwrap().dimensions[axis];
    assert_eq!(dimension("/long", 0).coordinate.as_deref(), Some("/time"));
    // /x is two-dimensional, so it does not hold the coordinates of the dimension x.
    assert_eq!(dimension("/long", 1).coordinate, None);
    assert_eq!(dimension("/inner/both", 0).coordinate.as_deref(), Some("/time"));
    assert_eq!(dimension("/inner/both", 1).coordinate.as_deref(), Some("/inner/x"));
    let grid = contents.grid("inner_time_x").unwrap();
    assert_eq!(grid.variables, ["/inner/both"]);
    assert_eq!(contents.variable("/long").unwrap().filters, ["shuffle", "deflate"]);
    assert_eq!(contents.variable("/long").unwrap().chunk_shape, Some(vec![2, 3]));
}

/// A source that counts the bytes that are read.
#[derive(Debug)]
struct Counting(LocalFile, AtomicU64);

impl ByteSource for Counting {
    fn access(&self) -> Access {
        self.0.access()
    }

    fn location(&self) -> &str {
        self.0.location()
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.1.fetch_add(bytes, Ordering::Relaxed);
        self.0.read_ranges(ranges)
    }
}

#[test]
fn opening_and_reading_a_part_reads_a_small_part_of_the_file() {
    let Some(folder) = written() else { return };
    let file = LocalFile::open(folder.path().join("huge.hdf5")).unwrap();
    let source = Arc::new(Counting(file, AtomicU64::new(0)));
    let reader = tarn_formats::open(Arc::clone(&source) as Arc<dyn ByteSource>).unwrap();
    let part =
        reader.read("data", &Region::new(std::iter::once(25_000..25_010).collect())).unwrap();
    assert_eq!(part.len(), 10);
    let (read, length) = (source.1.load(Ordering::Relaxed), source.len());
    assert!(length > 8_000_000 && read < 500_000, "{read} bytes of {length}");
}

#[test]
fn a_region_that_needs_too_much_memory_is_refused_and_a_part_of_it_is_read() {
    let Some(folder) = written() else { return };
    let reader = open(&folder.path().join("huge.hdf5"));
    let refused = reader.read("huge", &Region::whole(&[1_000_000, 1_000_000])).unwrap_err();
    assert!(matches!(refused, FormatError::TooLarge { .. }), "{refused}");
    let part = Region::new(vec![499_999..500_001, 500_000..500_002]);
    let part = reader.read("/huge", &part).unwrap();
    assert_eq!(part.as_ref(), &Float64Array::from(vec![2.5, 2.5, 1.0, 2.5]) as &dyn Array);
}
