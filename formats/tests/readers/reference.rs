//! Every HDF5 and NetCDF file of the shared data against what h5py and netCDF4 see in it.

use crate::data::data;
use crate::support::{flat, numbers, open, read_whole, same, texts};
use arrow::array::{ArrayRef, AsArray};
use serde_json::Value;
use std::path::Path;
use tarn_formats::{AttributeValue, Format, Reader, Variable};

/// What the reference reads and Tarn does not, with the reason that Tarn must give.
const UNREADABLE: &[(&str, &str, &str)] =
    &[("hdf5/float.h5", "/longdouble", "floating-point format of 80 bits")];

/// What the reference reads wrongly: h5py 3.16 does not swap big-endian numbers inside sequences (the
/// same text in `/vlunicode_little` of the file begins with 112).
const MISREAD: &[(&str, &str)] = &[("hdf5/vlunicode_endian.h5", "/vlunicode_big")];

#[test]
fn every_dataset_of_every_file_has_the_values_that_h5py_and_netcdf4_see() {
    let Some(folder) = data() else { return };
    let mut faults = Vec::new();
    let (mut files, mut compared) = (0, 0);
    let mut names: Vec<_> = std::fs::read_dir(folder.join("expected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .filter(|path| !path.ends_with("_index.json"))
        .collect();
    names.sort();
    for name in names {
        let expected: Value =
            serde_json::from_str(&std::fs::read_to_string(&name).unwrap()).unwrap();
        let path = expected["path"].as_str().unwrap();
        let (section, list) = if expected["h5py"].is_object() {
            ("h5py", &expected["h5py"]["datasets"])
        } else if expected["netcdf4"].is_object() {
            ("netcdf4", &expected["netcdf4"]["vars"])
        } else {
            let error = tarn_formats::open(std::sync::Arc::new(
                tarn_formats::LocalFile::open(folder.join(path)).unwrap(),
            ));
            assert!(error.is_err(), "{path}: the references cannot open it");
            continue;
        };
        files += 1;
        let reader = open(&folder.join(path));
        assert_eq!(reader.contents().format == Format::NetCdf3, section == "netcdf4", "{path}");
        for dataset in list.as_array().unwrap() {
            if MISREAD.iter().any(|(file, name)| path == *file && dataset["path"] == *name) {
                continue;
            }
            match compare(path, section, reader.as_ref(), dataset) {
                Ok(done) => compared += usize::from(done),
                Err(fault) => faults.push(format!("{path}: {}: {fault}", dataset["path"])),
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(files >= 88 && compared >= 2900, "{files} files, {compared} datasets");
}

/// Whether the dataset was compared; the fault if it differs.
fn compare(
    file: &str,
    section: &str,
    reader: &dyn Reader,
    dataset: &Value,
) -> Result<bool, String> {
    let contents = reader.contents();
    let path = dataset["path"].as_str().unwrap().replace("_nc4_non_coord_", "");
    let text = |name: &str| dataset["attrs"][name].as_str().unwrap_or_default();
    if text("NAME").starts_with("This is a netCDF dimension but not a netCDF variable") {
        let listed = contents.variable(&path).is_some_and(|v| !v.attributes.is_empty());
        return if listed { Err("is a dimension only".to_owned()) } else { Ok(false) };
    }
    let reason = contents.unreadable.iter().find(|u| u.path == path).map(|u| u.reason.as_str());
    let known = UNREADABLE.iter().find(|(f, p, _)| *f == file && *p == path);
    let without_values = ["read_err", "skipped"].iter().any(|key| !dataset[key].is_null());
    match (reason, known) {
        (Some(reason), Some((_, _, wanted))) if reason.contains(wanted) => return Ok(false),
        (Some(_), None) if without_values => return Ok(false),
        (Some(reason), _) => return Err(format!("not read: {reason}")),
        (None, Some(_)) => return Err("is listed as unreadable and was read".to_owned()),
        (None, None) => {}
    }
    let variable = contents.variable(&path).ok_or("not listed")?;
    let too_large = dataset["skipped"] == "too large";
    if without_values && !too_large {
        return Err(
            "the reference has no values, and Tarn does not list it as unreadable".to_owned()
        );
    }
    let shape: Vec<u64> = dataset["shape"]
        .as_array()
        .map_or(vec![0], |s| s.iter().map(|n| n.as_u64().unwrap()).collect());
    if variable.shape() != shape {
        return Err(format!("shape {:?} in place of {shape:?}", variable.shape()));
    }
    if too_large {
        return Ok(false);
    }
    let array = read_whole(reader, variable);
    if let Some(fields) = dataset["fields"].as_object() {
        let columns = array.as_struct_opt().ok_or("no struct")?;
        for (name, expected) in fields {
            let column = columns.column_by_name(name).ok_or(format!("no field {name}"))?;
            same_values(column, expected, &[]).map_err(|fault| format!("field {name}: {fault}"))?;
        }
        return Ok(true);
    }
    if dataset["dtype"]
        .as_str()
        .is_some_and(|t| t.contains("c8") || t.contains("c16") || t.starts_with("complex"))
    {
        let columns = array.as_struct_opt().ok_or("no struct")?;
        for (part, column) in columns.columns().iter().enumerate() {
            let values = numbers(column).unwrap();
            for (value, pair) in values.iter().zip(dataset["first5"].as_array().unwrap()) {
                same(*value, number(&pair[part])).then_some(()).ok_or("another complex value")?;
            }
            let sum = values.iter().sum::<f64>();
            let wanted = number(&dataset["sum"][part]);
            // h5py adds up 4-byte values in 4 bytes.
            if (sum - wanted).abs() > 1e-5 * wanted.abs() {
                return Err(format!("complex sum {sum} in place of {wanted}"));
            }
        }
        return Ok(true);
    }
    let masked = if section == "netcdf4" { masked_values(variable) } else { vec![] };
    same_values(&array, dataset, &masked).map(|()| true)
}

/// What netCDF4 masks because an attribute names it.
fn masked_values(variable: &Variable) -> Vec<f64> {
    ["_FillValue", "missing_value"]
        .iter()
        .filter_map(|name| match variable.attribute(name)? {
            AttributeValue::Numbers(values) => numbers(values),
            _ => None,
        })
        .flatten()
        .collect()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Bool(value) => f64::from(u8::from(*value)),
        other => other.as_f64().unwrap(),
    }
}

fn same_values(array: &ArrayRef, expected: &Value, masked: &[f64]) -> Result<(), String> {
    let array = flat(array);
    let empty = vec![];
    let first = expected["first5"].as_array().unwrap_or(&empty);
    if let Some(texts) = texts(&array) {
        if expected["n"].as_u64().is_some_and(|n| n != texts.len() as u64) {
            return Err(format!("{} texts in place of {}", texts.len(), expected["n"]));
        }
        for (text, wanted) in texts.iter().zip(first) {
            let wanted = wanted.as_str().unwrap();
            // The expected file keeps the beginning of long texts.
            let cut = wanted.chars().count() >= 100 && text.starts_with(wanted);
            if text != wanted && !cut {
                return Err(format!("{text:?} in place of {wanted:?}"));
            }
        }
        return Ok(());
    }
    let values = numbers(&array).ok_or(format!("type {} is not compared", array.data_type()))?;
    let flat: Vec<&Value> = match first.first() {
        Some(Value::Array(_)) => first.iter().flat_map(|list| list.as_array().unwrap()).collect(),
        _ => first.iter().collect(),
    };
    for (value, wanted) in values.iter().zip(flat) {
        if !same(*value, number(wanted)) {
            return Err(format!("{value} in place of {wanted}"));
        }
    }
    if expected["n_valid"].is_null() {
        return Ok(());
    }
    let valid: Vec<f64> = values
        .iter()
        .copied()
        .filter(|value| !value.is_nan() && !masked.iter().any(|fill| same(*fill, *value)))
        .collect();
    if expected["n"].as_u64() != Some(values.len() as u64)
        || expected["n_valid"].as_u64() != Some(valid.len() as u64)
    {
        let (n, n_valid) = (&expected["n"], &expected["n_valid"]);
        return Err(format!(
            "{} values, {} valid, in place of {n}, {n_valid}",
            values.len(),
            valid.len()
        ));
    }
    if valid.is_empty() {
        return Ok(());
    }
    let (low, high) = valid.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    if !same(low, number(&expected["min"])) || !same(high, number(&expected["max"])) {
        return Err(format!(
            "{low} to {high} in place of {} to {}",
            expected["min"], expected["max"]
        ));
    }
    let (sum, wanted) = (valid.iter().sum::<f64>(), number(&expected["sum"]));
    let scale: f64 = valid.iter().map(|value| value.abs()).sum();
    if (sum - wanted).abs() > 1e-12 * scale {
        return Err(format!("sum {sum} in place of {wanted}"));
    }
    Ok(())
}

/// Files whose dimensions netCDF-C reads wrongly: two dimensions with the number 0.
const MISNUMBERED: &[&str] = &["netcdf/nc4_groups.nc"];

#[test]
fn every_netcdf_file_has_the_dimensions_and_attributes_that_netcdf4_sees() {
    let Some(folder) = data() else { return };
    let probe = std::fs::read_to_string(folder.join("PROBE.jsonl")).unwrap();
    let mut faults = Vec::new();
    let mut compared = 0;
    for line in probe.lines() {
        let probe: Value = serde_json::from_str(line).unwrap();
        let file = probe["file"].as_str().unwrap();
        let kind = probe["kind"].as_str().unwrap();
        let expected = folder.join("expected").join(format!("{}.json", file.replace('/', "__")));
        let Ok(expected) = std::fs::read_to_string(expected) else { continue };
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let format = match kind {
            "NetCDF-4" => Format::NetCdf4,
            _ if kind.starts_with("NetCDF-3") => Format::NetCdf3,
            "other" => continue,
            _ => Format::Hdf5,
        };
        let reader = open(&folder.join(file));
        let contents = reader.contents();
        if contents.format != format {
            faults.push(format!("{file}: {} in place of {kind}", contents.format));
        }
        if format == Format::Hdf5 || MISNUMBERED.contains(&file) {
            continue;
        }
        for wanted in expected["netcdf4"]["vars"].as_array().into_iter().flatten() {
            let path = format!("/{}", wanted["path"].as_str().unwrap());
            let Some(variable) = contents.variable(&path) else {
                if contents.unreadable.iter().all(|unreadable| unreadable.path != path) {
                    faults.push(format!("{file}: {path}: not listed"));
                }
                continue;
            };
            compared += 1;
            let names: Vec<_> = variable.dimensions.iter().map(|d| d.name.as_str()).collect();
            let attributes: Vec<_> = variable.attributes.iter().map(|a| a.name.as_str()).collect();
            for (what, actual, expected) in [
                ("dimensions", serde_json::json!(names), &wanted["dims"]),
                ("shape", serde_json::json!(variable.shape()), &wanted["shape"]),
                (
                    "attributes",
                    sorted(&serde_json::json!(attributes)),
                    &sorted(&keys(&wanted["attrs"])),
                ),
            ] {
                if actual != *expected {
                    faults.push(format!("{file}: {path}: {what} {actual} in place of {expected}"));
                }
            }
        }
        let root: Vec<_> = contents.attributes.iter().map(|a| a.name.as_str()).collect();
        let (actual, wanted) =
            (sorted(&serde_json::json!(root)), sorted(&keys(&expected["netcdf4"]["root_attrs"])));
        if actual != wanted {
            faults.push(format!("{file}: attributes {actual} in place of {wanted}"));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(compared > 1300, "{compared} variables");
}

fn keys(object: &Value) -> Value {
    object.as_object().unwrap().keys().cloned().collect()
}

fn sorted(list: &Value) -> Value {
    let mut list = list.as_array().unwrap().clone();
    list.sort_by_key(ToString::to_string);
    list.into()
}

#[test]
fn files_of_other_formats_are_named_and_not_opened() {
    let Some(folder) = data() else { return };
    for (file, expected) in [
        ("cdf/psp_fld_l2_mag_rtn_1min_20200104_v02.cdf", "a NASA CDF file"),
        ("csv/earthquakes.csv", "plain text that begins with"),
        ("dicom/CT_small.dcm", "a DICOM file"),
        ("edf/short_psg.edf", ""),
    ] {
        let source = tarn_formats::LocalFile::open(Path::new(&folder).join(file)).unwrap();
        let error = tarn_formats::open(std::sync::Arc::new(source)).unwrap_err().to_string();
        assert!(error.contains(&format!("this is {expected}")), "{error}");
    }
}

#[test]
fn the_scan_log_of_a_beamline_has_its_fifty_scans() {
    let Some(folder) = data() else { return };
    let reader = open(&folder.join("spec/02_03_setup.dat"));
    let contents = reader.contents();
    assert_eq!(contents.format, Format::Spec);
    let column = |path: &str| read_whole(reader.as_ref(), contents.variable(path).unwrap());
    let commands = texts(&column("macro")).unwrap();
    let count = |name: &str| commands.iter().filter(|command| *command == name).count();
    assert_eq!((commands.len(), count("ascan"), count("FlyScan")), (50, 39, 11));
    let scans = numbers(&column("scan")).unwrap();
    let tenth = scans.iter().position(|scan| same(*scan, 10.0)).unwrap();
    let started = arrow::util::display::array_value_to_string(&column("started"), tenth).unwrap();
    assert_eq!((commands[tenth].as_str(), started.as_str()), ("FlyScan", "2016-02-03T17:04:18"));
}
