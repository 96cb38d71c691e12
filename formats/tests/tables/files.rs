//! Tables over the real files of the shared data, against what netCDF4, h5py and xarray see there.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "means are compared as integers of a fixed number of digits"
)]

use crate::data::data;
use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_formats::table::{Dependence, Part};
use tarn_formats::{LocalFile, Reader, Selection, Table, Variable, open};
use tarn_schemas::TableOptions;

fn reader(path: &Path) -> Arc<dyn Reader> {
    open(Arc::new(LocalFile::open(path).unwrap())).unwrap()
}

/// The files in a folder whose names begin and end so, by name.
pub(crate) fn files(folder: &Path, start: &[&str], end: &str) -> Vec<Arc<dyn Reader>> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            start.iter().any(|start| name.starts_with(start)) && name.ends_with(end)
        })
        .collect();
    paths.sort();
    paths.iter().map(|path| reader(path)).collect()
}

fn table(files: &[Arc<dyn Reader>], options: &str) -> Table {
    let options: TableOptions = serde_json::from_str(options).unwrap();
    Table::open(files, &options).unwrap()
}

fn names(table: &Table) -> Vec<&str> {
    table.schema().fields().iter().map(|field| field.name().as_str()).collect()
}

/// Calls `visit` with every batch of every part.
fn batches(table: &Table, projection: &[usize], mut visit: impl FnMut(&[ArrayRef])) -> u64 {
    let mut rows = 0;
    for part in table.parts() {
        for region in part.regions(&Selection::all(part.shape()), 100_000) {
            let batch = part.read(&region, projection).unwrap();
            rows += batch.num_rows() as u64;
            visit(batch.columns());
        }
    }
    rows
}

/// Values, values that are neither NULL nor NaN, and of those minimum, maximum and sum.
#[derive(Debug, Default, Clone, Copy)]
struct Statistics {
    n: u64,
    valid: u64,
    min: Option<f64>,
    max: Option<f64>,
    sum: f64,
}

impl Statistics {
    fn add(&mut self, values: &ArrayRef) {
        self.n += values.len() as u64;
        let numbers: Float64Array = cast(values, &DataType::Float64)
            .unwrap()
            .as_primitive::<Float64Type>()
            .iter()
            .map(|value| value.filter(|value| !value.is_nan()))
            .collect();
        self.valid += (numbers.len() - numbers.null_count()) as u64;
        self.min = self.min.into_iter().chain(min(&numbers)).reduce(f64::min);
        self.max = self.max.into_iter().chain(max(&numbers)).reduce(f64::max);
        self.sum += numbers.iter().flatten().sum::<f64>();
    }
}

/// What is expected of a variable, and whether of stored values (netCDF4, h5py) or decoded ones.
enum Expected<'a> {
    Stored(&'a Value),
    Decoded(&'a Value),
}

fn expected<'a>(json: &'a Value, variable: &Variable) -> Option<Expected<'a>> {
    let path = variable.path.trim_start_matches('/');
    let find = |list: &'a Value| {
        list.as_array()?
            .iter()
            .find(|entry| entry["path"].as_str().unwrap().trim_start_matches('/') == path)
    };
    // In this file the C library takes two dimensions of two groups, both with id 0, for one.
    let netcdf4 = find(&json["netcdf4"]["vars"]).filter(|_| json["file"] != "nc4_groups.nc");
    let entry = netcdf4.or_else(|| find(&json["h5py"]["datasets"]))?;
    let decodes = ["scale_factor", "add_offset", "_Unsigned"]
        .iter()
        .any(|name| variable.attribute(name).is_some());
    if decodes {
        return json["xarray_cf"].get(path).map(Expected::Decoded);
    }
    Some(Expected::Stored(entry.get("stats_without_default_fill").unwrap_or(entry)))
}

fn differ(found: &Statistics, expected: &Value) -> Option<String> {
    let number = |key: &str| expected.get(key).and_then(Value::as_f64);
    let close = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-12 * a.abs().max(b.abs());
    let same = expected["n"].as_u64() == Some(found.n)
        && expected.get("n_valid").is_none_or(|valid| valid.as_u64() == Some(found.valid))
        && number("min").is_none_or(|min| found.min.is_some_and(|own| close(own, min)))
        && number("max").is_none_or(|max| found.max.is_some_and(|own| close(own, max)))
        && number("sum").is_none_or(|sum| {
            let scale = found.min.unwrap_or(0.0).abs().max(found.max.unwrap_or(0.0).abs());
            let bound = 1e-9 * sum.abs() + 1e-12 * scale * found.valid as f64;
            (found.sum - sum).abs() <= bound || found.sum == sum
        });
    (!same).then(|| format!("{found:?} against {expected}"))
}

fn column_statistics(part: &Part, column: usize) -> Statistics {
    let mut statistics = Statistics::default();
    if part.dependence(column) == Dependence::Cells {
        for region in part.regions(&Selection::all(part.shape()), 1 << 24) {
            statistics.add(part.read(&region, &[column]).unwrap().column(0));
        }
    } else {
        statistics.add(&part.axis_values(column).unwrap());
    }
    statistics
}

#[test]
fn every_variable_of_every_file_has_the_counts_and_sums_of_netcdf4_and_h5py() {
    let Some(root) = data() else { return };
    let index: Value =
        serde_json::from_slice(&std::fs::read(root.join("expected/_index.json")).unwrap()).unwrap();
    let (mut compared, mut left_out, mut wrong) = (0, vec![], vec![]);
    for entry in index.as_array().unwrap() {
        let path = entry["path"].as_str().unwrap();
        let Some(json) = entry["json"].as_str() else { continue };
        let text = std::fs::read_to_string(root.join("expected").join(json)).unwrap();
        let json: Value = serde_json::from_str(
            &text.replace("NaN", "null").replace("-Infinity", "null").replace("Infinity", "null"),
        )
        .unwrap();
        let reader = match LocalFile::open(root.join(path)).map(|file| open(Arc::new(file))) {
            Ok(Ok(reader)) => reader,
            other => {
                left_out.push(format!("{path}: {other:?}"));
                continue;
            }
        };
        for grid in &reader.contents().grids {
            let options = TableOptions { grid: Some(grid.name.clone()), ..TableOptions::default() };
            let table = match Table::open(std::slice::from_ref(&reader), &options) {
                Ok(table) => table,
                Err(error) => {
                    wrong.push(format!("{path} {}: {error}", grid.name));
                    continue;
                }
            };
            let part = &table.parts()[0];
            assert_eq!(part.rows(), grid.cells(), "{path} {}", grid.name);
            let coordinates: Vec<Option<&String>> =
                grid.dimensions.iter().map(|dimension| dimension.coordinate.as_ref()).collect();
            let own = grid.variables.iter().filter(|path| !coordinates.contains(&Some(path)));
            let paths = coordinates.iter().copied().chain(own.map(Some));
            for (column, variable) in paths.enumerate() {
                let Some(variable) = variable.and_then(|path| reader.contents().variable(path))
                else {
                    continue;
                };
                let place = format!("{path} {}", variable.path);
                let field = table.schema().field(column);
                let Some(expected) = expected(&json, variable) else {
                    left_out.push(format!("{place}: nothing expected"));
                    continue;
                };
                let data_type = field.data_type();
                if !(data_type.is_numeric() || matches!(data_type, DataType::Timestamp(..))) {
                    continue;
                }
                let readable = part.dependence(column) != Dependence::Cells
                    || part.regions(&Selection::all(part.shape()), 1 << 24).next().is_none_or(
                        |region| match part.read(&region, &[column]) {
                            Ok(_) => true,
                            Err(error) => {
                                left_out.push(format!("{place}: {error}"));
                                false
                            }
                        },
                    );
                if !readable {
                    continue;
                }
                let mut found = column_statistics(part, column);
                let problem = match expected {
                    Expected::Stored(value) if matches!(data_type, DataType::Timestamp(..)) => {
                        // Times are compared with xarray below; here only their number.
                        found = Statistics { min: None, max: None, sum: 0.0, ..found };
                        let counts =
                            serde_json::json!({"n": value["n"], "n_valid": value["n_valid"]});
                        differ(&found, &counts)
                    }
                    Expected::Stored(value) | Expected::Decoded(value) => differ(&found, value),
                };
                compared += 1;
                wrong.extend(problem.map(|problem| format!("{place}: {problem}")));
            }
        }
    }
    println!("{compared} compared, {} left out:\n{}", left_out.len(), left_out.join("\n"));
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 2_000, "only {compared} compared");
}

const TA: &str = r#"{
    "columns": {"model": "attribute:source_id", "calendar": "attribute:time:calendar",
                "year": "cf_year(time)", "month": "cf_month(time)"},
    "select": ["model", "calendar", "year", "month", "plev", "lat", "lon", "ta"]
}"#;

/// Rows, values of `ta` that are not NULL, and per model the first and last year.
fn models(table: &Table) -> (u64, u64, Vec<(String, i64, i64)>) {
    let (mut valid, mut models) = (0, std::collections::BTreeMap::new());
    let rows = batches(table, &[0, 2, 7], |columns| {
        valid += (columns[2].len() - columns[2].null_count()) as u64;
        let years = columns[1].as_primitive::<Int64Type>();
        let (first, last) = (min(years).unwrap(), max(years).unwrap());
        let model = columns[0].as_string::<i32>().value(0).to_owned();
        let span = models.entry(model).or_insert((first, last));
        *span = (span.0.min(first), span.1.max(last));
    });
    (rows, valid, models.into_iter().map(|(model, (first, last))| (model, first, last)).collect())
}

/// Counts of the demo, section 5 of the formats note.
#[test]
fn climate_models_of_five_calendars_are_one_table_per_laboratory() {
    let Some(root) = data() else { return };
    let folder = root.join("netcdf/cmip6");
    let names_of = ["model", "calendar", "year", "month", "plev", "lat", "lon", "ta"];
    let start = ["ta_Amon_E3SM-1-0", "ta_Amon_CESM2", "ta_Amon_GFDL-ESM4"];
    let ornl = table(&files(&folder, &start, ".nc"), TA);
    assert_eq!(names(&ornl), names_of);
    assert_eq!(ornl.rows(), Some(36_240));
    let (rows, valid, found) = models(&ornl);
    assert_eq!((rows, valid), (36_240, 33_099));
    let spans = [("CESM2", 1850, 2014), ("E3SM-1-0", 1950, 2014), ("GFDL-ESM4", 1950, 2014)];
    assert_eq!(found, spans.map(|(model, first, last)| (model.to_owned(), first, last)));
    let start = ["IPSL-CM6A-LR", "KACE-1-0-G", "IITM-ESM", "MRI-ESM2-0", "ACCESS-ESM1-5"];
    let start = start.map(|model| format!("ta_Amon_{model}"));
    let start: Vec<&str> = start.iter().map(String::as_str).collect();
    let llnl = table(&files(&folder, &start, ".nc"), TA);
    let (rows, valid, found) = models(&llnl);
    assert_eq!((rows, valid), (45_600, 43_227));
    let spans = [
        ("ACCESS-ESM1-5", 1950, 2014),
        ("IITM-ESM", 2000, 2014),
        ("IPSL-CM6A-LR", 1850, 2014),
        ("KACE-1-0-G", 1850, 2014),
        ("MRI-ESM2-0", 1950, 2014),
    ];
    assert_eq!(found, spans.map(|(model, first, last)| (model.to_owned(), first, last)));
    // Without `select` the time axes stay apart, and the message says what to do.
    let options: TableOptions = serde_json::from_str("{}").unwrap();
    let error = Table::open(&files(&folder, &start, ".nc"), &options).unwrap_err().to_string();
    assert!(error.contains("time") && error.contains("attribute:time:calendar"), "{error}");
}

#[test]
fn the_impossible_temperatures_are_where_the_note_says() {
    let Some(root) = data() else { return };
    let e3sm = table(&files(&root.join("netcdf/cmip6"), &["ta_Amon_E3SM"], ".nc"), TA);
    let mut found = vec![];
    batches(&e3sm, &[2, 3, 5, 6, 7], |columns| {
        let columns: Vec<ArrayRef> =
            columns.iter().map(|column| cast(column, &DataType::Float64).unwrap()).collect();
        let value = |column: usize, row| columns[column].as_primitive::<Float64Type>().value(row);
        for row in 0..columns[4].len() {
            if columns[4].is_valid(row) && value(4, row) < 180.0 {
                let ta = (value(4, row) * 1e6).round() / 1e6;
                found.push([value(0, row), value(1, row), value(2, row), value(3, row), ta]);
            }
        }
    });
    found.sort_by(|a, b| a[4].total_cmp(&b[4]));
    assert_eq!(found[0], [1961.0, 1.0, 89.5, 0.5, 15.684_559]);
    assert_eq!(found[7][..4], [1974.0, 12.0, 88.5, 0.5]);
    assert_eq!(found.len(), 8);
}

#[test]
fn scenarios_are_told_apart_by_their_file_names() {
    let Some(root) = data() else { return };
    let options = r#"{
        "columns": {"scenario": "path:(.*)_north_america", "year": "cf_year(time)",
                    "lat": "variable:latitude", "lon": "variable:longitude"},
        "select": ["scenario", "year", "lat", "lon", "air_temperature"]
    }"#;
    let table = table(&files(&root.join("netcdf"), &["A1B_", "E1_"], "north_america.nc"), options);
    assert_eq!(names(&table), ["scenario", "year", "lat", "lon", "air_temperature"]);
    let mut scenarios = std::collections::BTreeMap::<String, Statistics>::new();
    let mut years = Statistics::default();
    let rows = batches(&table, &[0, 1, 4], |columns| {
        let scenario = columns[0].as_string::<i32>().value(0).to_owned();
        scenarios.entry(scenario).or_default().add(&columns[2]);
        years.add(&columns[1]);
    });
    assert_eq!(rows, 870_240);
    assert_eq!((years.min, years.max), (Some(1860.0), Some(2099.0)));
    let means: Vec<(&str, u64, i64)> = scenarios
        .iter()
        .map(|(name, s)| (name.as_str(), s.valid, (s.sum / s.n as f64 * 1e6).round() as i64))
        .collect();
    assert_eq!(means, [("A1B", 435_120, 286_477_636), ("E1", 435_120, 286_035_796)]);
}

#[test]
fn x_ray_scans_of_unequal_length_are_one_table() {
    let Some(root) = data() else { return };
    let options = r#"{
        "grid": "/entry/flyScan_reduced_250/Q",
        "columns": {"scan": "path:^S(\\d+)_", "sample": "path:^S\\d+_(.*)\\.h5$",
                    "bin": "variable:dim_0", "q": "variable:Q", "r": "variable:R"},
        "select": ["scan", "sample", "bin", "q", "r"]
    }"#;
    let folder = root.join("nexus");
    let scans = files(&folder, &["S10_", "S11_", "S16_"], ".h5");
    let table = table(&scans, options);
    assert_eq!(table.rows(), Some(747));
    let mut found = vec![];
    batches(&table, &[0, 1, 2, 3, 4], |columns| {
        let scan = columns[0].as_primitive::<Int64Type>().value(0);
        let sample = columns[1].as_string::<i32>().value(0).to_owned();
        let last = max(columns[2].as_primitive::<Int64Type>()).unwrap();
        let peak = max(columns[4].as_primitive::<Float64Type>()).unwrap();
        found.push((scan, sample, last, (peak * 1e6).round() as i64));
    });
    let expected = [
        (10, "Blank", 248, 671_760_057),
        (11, "GlassyCarbon_Bob", 247, 611_823_690),
        (16, "GlassyCarbon_M4", 249, 620_165_505),
    ];
    assert_eq!(
        found,
        expected.map(|(scan, sample, last, peak)| (scan, sample.to_owned(), last, peak))
    );
}

/// Question A1 of the formats note, section 6.
#[test]
fn stations_that_changed_their_format_are_one_table() {
    let Some(root) = data() else { return };
    let options = r#"{"columns": {"station": "path:sgpmet(E\\d+)"}}"#;
    let table = table(&files(&root.join("arm"), &["sgpmet"], ".cdf"), options);
    assert_eq!(table.rows(), Some(4_398));
    assert_eq!(table.parts().len(), 16);
    let place = |name: &str| table.schema().index_of(name).unwrap();
    let time = table.schema().field_with_name("time").unwrap();
    assert_eq!(*time.data_type(), DataType::Timestamp(TimeUnit::Nanosecond, None));
    let columns = ["station", "time", "temp_mean", "qc_temp_mean", "tbrg_precip_total_corr", "lat"];
    let columns = columns.map(place);
    // 2019-05-08 04:00 to 05:00 UTC.
    let hour = 1_557_288_000_000_000_000_i64..1_557_291_600_000_000_000;
    let mut stations = std::collections::BTreeMap::<String, (u32, f64, f64)>::new();
    let mut kelvin = Statistics::default();
    batches(&table, &columns, |columns| {
        kelvin.add(&columns[2]);
        assert_eq!(columns[5].null_count(), 0);
        let numbers: Vec<ArrayRef> =
            columns[2..5].iter().map(|column| cast(column, &DataType::Float64).unwrap()).collect();
        let number = |column: usize, row| numbers[column].as_primitive::<Float64Type>().value(row);
        let times = cast(&columns[1], &DataType::Int64).unwrap();
        for row in 0..times.len() {
            let time = times.as_primitive::<Int64Type>().value(row);
            if hour.contains(&time) && number(1, row) == 0.0 {
                let station = columns[0].as_string::<i32>().value(row).to_owned();
                let entry = stations.entry(station).or_default();
                *entry = (entry.0 + 1, entry.1 + number(0, row), entry.2 + number(2, row));
            }
        }
    });
    assert_eq!(kelvin.valid, 4_398);
    assert_eq!(kelvin.min.map(|t| ((t + 273.15) * 100.0).round()), Some(26_741.0));
    assert_eq!(kelvin.max.map(|t| ((t + 273.15) * 100.0).round()), Some(29_626.0));
    let mut found: Vec<(String, i64, i64)> = stations
        .into_iter()
        .map(|(station, (n, sum, rain))| {
            assert_eq!(n, 6, "{station}");
            (station, (sum / 6.0 * 1e6).round() as i64, (rain * 1e3).round() as i64)
        })
        .collect();
    found.sort_by_key(|(_, mean, _)| *mean);
    assert_eq!(found.len(), 13);
    assert_eq!(found[0], ("E31".to_owned(), 15_756_667, 520));
    assert_eq!(found[1], ("E15".to_owned(), 16_143_333, 2_015));
    assert_eq!(found[12], ("E35".to_owned(), 23_033_333, 0));
}

#[test]
fn the_leading_index_of_a_cube_gives_one_tensor_a_row() {
    let Some(root) = data() else { return };
    let cube = files(&root.join("netcdf"), &["A1B_"], "north_america.nc");
    let options = r#"{"layout": "tensors", "columns": {"year": "cf_year(time)"}}"#;
    let table = table(&cube, options);
    assert_eq!(names(&table), ["year", "time", "air_temperature"]);
    assert_eq!((table.rows(), table.parts()[0].shape()), (Some(240), &[240][..]));
    let field = table.schema().field(2);
    assert_eq!(field.metadata()["ARROW:extension:name"], "arrow.fixed_shape_tensor");
    let shape: Value = serde_json::from_str(&field.metadata()["ARROW:extension:metadata"]).unwrap();
    assert_eq!(shape["shape"], serde_json::json!([37, 49]));
    let mut statistics = Statistics::default();
    let rows = batches(&table, &[0, 2], |columns| {
        statistics.add(columns[1].as_fixed_size_list().values());
    });
    assert_eq!((rows, statistics.n), (240, 435_120));
    assert!((statistics.sum / 435_120.0 - 286.477_636).abs() < 1e-6);
}

/// A detector's master file: its frames lie in a file that is not opened, so there are none, rather
/// than frames of fill values.
#[test]
fn a_virtual_dataset_whose_source_may_not_be_opened_is_named_and_not_filled() {
    let Some(root) = data() else { return };
    let path = root.join("nexus/DLS_i03_i04_NXmx_Therm_6_2.nxs");
    let reader = open(Arc::new(LocalFile::open(path).unwrap())).unwrap();
    let contents = reader.contents();
    assert!(contents.variable("/entry/data/data").is_none());
    let found = contents.unreadable.iter().find(|one| one.path == "/entry/data/data").unwrap();
    assert!(found.reason.contains("Therm_6_2_000001.h5"), "{}", found.reason);
}
