//! Decoding against xarray and netCDF4: whole files of the shared data, and random variables.
//!
//! Tarn decodes every variable in both modes and writes the columns as Arrow streams, one after the
//! other; `xarray_reference.py` reads them and the files, and prints what differs.

use crate::data::data;
use crate::files::files;
use crate::python::python;
use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::StreamWriter;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_formats::table::{Dependence, Part};
use tarn_formats::{
    FormatError, LocalFile, LocalKeys, OpenOptions, Reader, Region, Table, Variable,
};
use tarn_schemas::TableOptions;
use tarn_schemas::table::{Decode, Layout};

/// Files that the C library under xarray's engine does not read right: it crashes on two of them, fails
/// on one, and takes two dimensions of two groups for one in the last.
const MISREAD: [&str; 4] = [
    "hdf5/float.h5",
    "nexus/S2p5min_00070_00001.h5",
    "nexus/DLS_i03_i04_NXmx_Therm_6_2.nxs",
    "netcdf/nc4_groups.nc",
];

/// Of ARM's files one of each kind: the others have the same hundreds of variables.
const ARM: [&str; 5] = ["bnf", "maraos", "sgpmetE13.b1.20190101", "sgpmetE15", "sgpsonde"];

const MODULES: &str = "xarray, netCDF4, cftime, h5py, pyarrow, zarr";

/// Columns as Arrow streams in one file, and a line of JSON for each variable in another.
struct Columns {
    streams: File,
    list: File,
}

impl Columns {
    fn new(folder: &Path) -> Self {
        let create = |name| File::create(folder.join(name)).unwrap();
        Self { streams: create("columns.arrows"), list: create("columns.jsonl") }
    }

    /// The grids of a file with more than one dimension as tensors, in one mode: all columns that open.
    fn write_tensors(&mut self, reader: &Arc<dyn Reader>, decode: Decode) {
        for grid in &reader.contents().grids {
            let shape = grid.shape();
            if shape.len() < 2 || shape.iter().product::<u64>() == 0 {
                continue;
            }
            let leading = grid.dimensions[0].name.clone();
            for path in &grid.variables {
                let options = TableOptions {
                    grid: Some(grid.name.clone()),
                    layout: Layout::Tensors,
                    select: vec![leading.clone(), path.clone()],
                    decode,
                    ..TableOptions::default()
                };
                let Ok(table) = Table::open(std::slice::from_ref(reader), &options) else {
                    continue;
                };
                let part = &table.parts()[0];
                assert_eq!(part.shape(), &shape[..1]);
                let batch = part.read(&Region::whole(part.shape()), &[0, 1]).unwrap();
                let schema = batch.schema();
                let mut stream = StreamWriter::try_new(&mut self.streams, &schema).unwrap();
                stream.write(&batch).unwrap();
                stream.finish().unwrap();
                let line = json!({
                    "file": reader.location(),
                    "path": path,
                    "mode": if decode == Decode::Xarray { "xarray tensors" } else { "arrow tensors" },
                });
                writeln!(self.list, "{line}").unwrap();
            }
        }
    }

    /// The variables over time, of files that continue each other.
    fn write_union(&mut self, files: &[Arc<dyn Reader>]) {
        let grids = files[0].contents().grids.iter().filter(|grid| {
            let leading = grid.dimensions.first().and_then(|d| d.coordinate.as_ref());
            leading.is_some_and(|path| path.trim_start_matches('/').starts_with("time"))
        });
        let over_time = grids.flat_map(|grid| {
            let coordinate = grid.dimensions[0].coordinate.iter();
            grid.variables.iter().chain(coordinate).map(|path| (grid.name.clone(), path))
        });
        for (grid, path) in over_time {
            let (grid, select, decode) = (Some(grid), vec![path.clone()], Decode::Xarray);
            let options = TableOptions { grid, select, decode, ..TableOptions::default() };
            let table = Table::open(files, &options).unwrap();
            let parts: Vec<ArrayRef> =
                table.parts().iter().map(|part| whole(part).unwrap()).collect();
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            let values = arrow::compute::concat(&parts).unwrap();
            let locations: Vec<&str> = files.iter().map(|file| file.location()).collect();
            let line = json!({
                "file": locations[0],
                "files": locations,
                "path": path,
                "mode": "union",
            });
            self.append(table.schema().field(0).clone(), values);
            writeln!(self.list, "{line}").unwrap();
        }
    }

    fn append(&mut self, field: Field, values: ArrayRef) {
        let schema = Arc::new(Schema::new(vec![field]));
        let mut stream = StreamWriter::try_new(&mut self.streams, &schema).unwrap();
        stream.write(&RecordBatch::try_new(schema, vec![values]).unwrap()).unwrap();
        stream.finish().unwrap();
    }

    /// Every variable of a file in one mode.
    fn write(&mut self, reader: &Arc<dyn Reader>, decode: Decode) {
        for variable in &reader.contents().variables {
            let mut line = json!({
                "file": reader.location(),
                "path": variable.path,
                "mode": if decode == Decode::Xarray { "xarray" } else { "arrow" },
            });
            match column(reader, variable, decode) {
                Ok((field, values)) => self.append(field, values),
                Err(error) => line["error"] = Value::from(error.to_string()),
            }
            writeln!(self.list, "{line}").unwrap();
        }
    }
}

/// The cells of a variable in C order.
fn column(
    reader: &Arc<dyn Reader>,
    variable: &Variable,
    decode: Decode,
) -> Result<(Field, ArrayRef), FormatError> {
    let path = &variable.path;
    let grids = &reader.contents().grids;
    let holds = |grid: &&tarn_formats::Grid| {
        grid.variables.contains(path)
            || grid.dimensions.iter().any(|d| d.coordinate.as_ref() == Some(path))
    };
    let grid = grids.iter().find(holds).unwrap_or_else(|| panic!("no grid with {path}"));
    let select = vec![path.clone()];
    let grid = Some(grid.name.clone());
    let options = TableOptions { grid, select, decode, ..TableOptions::default() };
    let table = Table::open(std::slice::from_ref(reader), &options)?;
    Ok((table.schema().field(0).clone(), whole(&table.parts()[0])?))
}

/// The values of the first column of a part in C order.
fn whole(part: &Part) -> Result<ArrayRef, FormatError> {
    Ok(match part.dependence(0) {
        Dependence::Cells => Arc::clone(part.read(&Region::whole(part.shape()), &[0])?.column(0)),
        _ => part.axis_values(0)?,
    })
}

/// What `xarray_reference.py compare` says about a folder: how many columns it compared of each kind.
fn compare(folder: &Path) -> Value {
    let script = "tables/xarray_reference.py";
    let output = python(MODULES, script, &[Path::new("compare"), folder]).unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

#[test]
fn random_variables_decode_as_in_xarray_and_netcdf4() {
    let folder = tempfile::tempdir().unwrap();
    let seed = std::env::var("TARN_TEST_SEED").unwrap_or_else(|_| "7".to_owned());
    let arguments = [Path::new("write"), folder.path(), Path::new(&seed)];
    let Some(output) = python(MODULES, "tables/xarray_reference.py", &arguments) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut columns = Columns::new(folder.path());
    for name in ["numbers.nc", "classic.nc", "texts.nc", "texts_classic.nc"] {
        let source = LocalFile::open(folder.path().join(name)).unwrap();
        let reader = tarn_formats::open(Arc::new(source)).unwrap();
        columns.write(&reader, Decode::Xarray);
        columns.write(&reader, Decode::Arrow);
    }
    for name in ["two.zarr", "three.zarr"] {
        let keys = LocalKeys::open(folder.path().join(name)).unwrap();
        let reader = tarn_formats::open_store(Arc::new(keys), &OpenOptions::default()).unwrap();
        assert_eq!(reader.contents().variables.len(), 200, "{:?}", reader.contents().unreadable);
        columns.write(&reader, Decode::Xarray);
        columns.write(&reader, Decode::Arrow);
    }
    let counts = compare(folder.path());
    assert!(counts["xarray"].as_u64() >= Some(800), "{counts}");
    assert!(counts["arrow"].as_u64() >= Some(600), "{counts}");
    assert!(counts["texts"].as_u64() >= Some(100), "{counts}");
    assert!(counts["refused"].as_u64() >= Some(20), "{counts}");
}

#[test]
fn every_variable_of_every_file_is_that_of_xarray() {
    let Some(root) = data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut columns = Columns::new(folder.path());
    for path in netcdf_files(&root) {
        let Ok(reader) = tarn_formats::open(Arc::new(LocalFile::open(&path).unwrap())) else {
            continue;
        };
        for decode in [Decode::Xarray, Decode::Arrow] {
            columns.write(&reader, decode);
            columns.write_tensors(&reader, decode);
        }
    }
    let cmip6 = root.join("netcdf/cmip6");
    for (folder, start) in [
        (&root.join("netcdf"), "nemo_1m"),
        (&cmip6, "ta_Amon_E3SM"),
        (&cmip6, "ta_Amon_IITM"),
        (&cmip6, "ta_Amon_MRI"),
    ] {
        let series = files(folder, &[start], ".nc");
        assert!(series.len() > 1, "{start}");
        columns.write_union(&series);
    }
    if python(MODULES, "tables/xarray_reference.py", &[Path::new("nothing")]).is_none() {
        return;
    }
    let counts = compare(folder.path());
    assert!(counts["xarray"].as_u64() >= Some(1_500), "{counts}");
    assert!(counts["arrow"].as_u64() >= Some(1_000), "{counts}");
    assert!(counts["xarray tensors"].as_u64() >= Some(100), "{counts}");
    assert!(counts["union"].as_u64() >= Some(12), "{counts}");
    assert!(counts["arrow tensors"].as_u64() >= Some(100), "{counts}");
}

/// The files of the shared data that xarray's engine netcdf4 is meant for, and HDF5 files.
fn netcdf_files(root: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    let mut folders: Vec<PathBuf> =
        ["netcdf", "arm", "hdf5", "nexus"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    files.retain(|path| {
        let arm = path.parent().is_some_and(|folder| folder.ends_with("arm"));
        !MISREAD.iter().any(|misread| path.ends_with(misread))
            && (!arm || ARM.iter().any(|start| name(path).starts_with(start)))
    });
    files.sort();
    files
}
