//! Tables over the real files of the shared data, against what netCDF4, h5py and xarray see there.

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Float64Type, Int64Type, TimeUnit};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_formats::table::{Dependence, Part};
use tarn_formats::{LocalFile, Reader, Selection, Table, Variable, open};
use tarn_schemas::TableOptions;

/// The folder of shared data; `None`, said aloud, where it is not there.
fn data() -> Option<PathBuf> {
    let root = std::env::var_os("TARN_TEST_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if root.join("expected").is_dir() {
        return Some(root);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is missing", root.display());
    eprintln!("left out: {} is missing", root.display());
    None
}

fn reader(path: &Path) -> Arc<dyn Reader> {
    open(Arc::new(LocalFile::open(path).unwrap())).unwrap()
}

/// The files in a folder whose names begin and end so, by name.
fn files(folder: &Path, start: &[&str], end: &str) -> Vec<Arc<dyn Reader>> {
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
    let entry = find(&json["netcdf4"]["vars"]).or_else(|| find(&json["h5py"]["datasets"]))?;
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
        for region in part.regions(&Selection::all(part.shape()), 1 << 20) {
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
            eprintln!("{path} {} {:?}", grid.name, grid.shape());
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
                    || part.regions(&Selection::all(part.shape()), 1 << 20).first().is_none_or(
                        |region| match part.read(region, &[column]) {
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
