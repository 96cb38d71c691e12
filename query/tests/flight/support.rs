//! A lab with data and a Flight server in this process.

use arrow::array::RecordBatch;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_catalog::{Catalog, LabDefaults, PinnedFile, TableEntry, TableStorage, schema_text};
use tarn_connectors::Stores;
use tarn_formats::{OpenOptions, Table};
use tarn_query::{Engine, EngineConfig};
use tarn_schemas::facts::{Extent, FileFacts, VariableFacts};
use tarn_schemas::{LabName, Layout, Principal, Record, Scope, TableOptions};
use tempfile::TempDir;

/// Files of `scans`, each with [`ROWS_OF_A_FILE`] rows.
pub(crate) const FILES: i32 = 5;
/// Rows of one file.
pub(crate) const ROWS_OF_A_FILE: i32 = 23;
/// Rows of every table of `scans` whose rows are tensors.
pub(crate) const ROWS: i32 = FILES * ROWS_OF_A_FILE;

/// A lab `ornl` with the datasets `scans` (public: `images` as tensors, `cells`, `log` in Delta) and
/// `inside` (registered: `images`).
pub(crate) struct Lab {
    pub engine: Engine,
    /// `http://127.0.0.1:port`
    pub url: String,
    /// A token of ann, who may read.
    pub token: String,
    _folder: TempDir,
}

impl Lab {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lab = LabName::new("ornl").unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let catalog = Catalog::create(&home, lab, LabDefaults::default()).await.unwrap();
        let stores = Stores::new(vec![]);
        let files: Vec<PathBuf> = (0..FILES)
            .map(|number| {
                let path = folder.path().join(format!("scan_{number}.nc"));
                std::fs::write(&path, classic(number * ROWS_OF_A_FILE)).unwrap();
                path
            })
            .collect();
        let images = in_place(&stores, &files, "images", Layout::Tensors).await;
        let cells = in_place(&stores, &files, "cells", Layout::Cells).await;
        let log = delta(&folder.path().join("log")).await;
        register(&catalog, "scans", "public", vec![images.clone(), cells, log]).await;
        register(&catalog, "inside", "registered", vec![images]).await;
        let token = catalog.create_token(&Principal::Owner, "ann", Scope::Read, 1).await.unwrap();
        let config = EngineConfig {
            memory_bytes: 256 << 20,
            partitions: 2,
            peer_seconds: 5,
            ..EngineConfig::default()
        };
        let engine = Engine::new(Some(catalog), stores, config).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(tarn_query::flight::serve(
            listener,
            tarn_query::flight::FlightDoor::new(engine.clone()),
            pending(),
        ));
        Self { engine, url, token, _folder: folder }
    }
}

async fn register(catalog: &Catalog, name: &str, tier: &str, tables: Vec<TableEntry>) {
    let record = serde_json::json!({
        "name": name,
        "title": "Scans of a sample that was never there",
        "description": "Numbers that count themselves, as images of two by three cells, so that a test \
                        can tell which row it got and whether it got every one of them exactly once.",
        "creators": [{"name": "Curie, Marie", "orcid": "0000-0002-1825-0097",
                      "affiliation": {"name": "ORNL", "ror": "01qz5mb56"}}],
        "publisher": {"name": "Oak Ridge National Laboratory", "ror": "01qz5mb56"},
        "contact": {"name": "Data desk", "email": "data@lab.gov"},
        "steward": {"name": "Data desk", "email": "data@lab.gov"},
        "issued": "2026-11-22",
        "resource_type": "Dataset",
        "license": "CC-BY-4.0",
        "keywords": ["scans"],
        "tier": tier,
        "markings": ["UNL"],
        "provenance": {"activity": "counting"},
        "terms": {"id": "https://tarn.example/terms", "sha256": "0".repeat(64)},
    });
    let record: Record = serde_json::from_value(record).unwrap();
    let facts = FileFacts {
        location: "/scans".to_owned(),
        media_type: "application/x-netcdf".to_owned(),
        bytes: 1,
        sha256: "0".repeat(64),
        variables: vec![VariableFacts {
            name: "counts".to_owned(),
            data_type: "Float32".to_owned(),
            dimensions: vec!["time".to_owned(), "y".to_owned(), "x".to_owned()],
            shape: vec![1, 2, 3],
            standard_name: None,
            long_name: Some("counts".to_owned()),
            units: Some("1".to_owned()),
            min: None,
            max: None,
            missing: None,
        }],
        extent: Extent::default(),
        attributes: vec![],
    };
    let name = record.name.clone();
    catalog.register(&Principal::Owner, record, vec![facts]).await.unwrap();
    catalog.put_tables(&Principal::Owner, &name, tables).await.unwrap();
}

async fn in_place(stores: &Stores, files: &[PathBuf], name: &str, layout: Layout) -> TableEntry {
    let options =
        TableOptions { grid: Some("time_y_x".to_owned()), layout, ..TableOptions::default() };
    let (mut pinned, mut readers) = (vec![], vec![]);
    for file in files {
        let stat = stores.expand(file.to_str().unwrap()).await.unwrap().remove(0);
        let sha256 = stores.sha256(&stat).await.unwrap();
        let source = stores.source(&stat).await.unwrap();
        readers.push(source.open(&OpenOptions::default()).unwrap());
        pinned.push(PinnedFile { stat, sha256 });
    }
    let table = Table::open(&readers, &options).unwrap();
    TableEntry {
        name: name.parse().unwrap(),
        storage: TableStorage::InPlace { files: pinned, options },
        schema: schema_text::encode(table.schema()),
        rows: table.rows(),
        columns: schema_text::columns(table.schema()),
    }
}

/// A Delta table of four files with 10 rows each: `id` counts them.
async fn delta(folder: &Path) -> TableEntry {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    std::fs::create_dir(folder).unwrap();
    let url = url::Url::from_directory_path(folder).unwrap();
    let mut table = deltalake::DeltaTable::try_from_url(url.clone()).await.unwrap();
    for file in 0..4_i64 {
        let ids: Vec<i64> = (file * 10..file * 10 + 10).collect();
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values(ids.iter().map(|id| format!("row {id}"))));
        let ids: ArrayRef = Arc::new(Int64Array::from(ids));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("id", ids, true), ("text", texts, true)]);
        table = table.write([batch.unwrap()]).await.unwrap();
    }
    let schema = arrow::datatypes::Schema::new(vec![
        arrow::datatypes::Field::new("id", arrow::datatypes::DataType::Int64, true),
        arrow::datatypes::Field::new("text", arrow::datatypes::DataType::Utf8, true),
    ]);
    TableEntry {
        name: "log".parse().unwrap(),
        storage: TableStorage::Delta { url: url.to_string(), version: table.version().unwrap() },
        schema: schema_text::encode(&schema),
        rows: Some(40),
        columns: schema_text::columns(&schema),
    }
}

/// A NetCDF classic file ("CDF-1", NetCDF Users Guide, appendix B) of `time` = `first`, `first` + 1,
/// … and `image`, 2 x 3 cells that all have the value of their time.
fn classic(first: i32) -> Vec<u8> {
    fn text(name: &str) -> Vec<u8> {
        let mut bytes = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }
    fn number(value: i32) -> Vec<u8> {
        value.to_be_bytes().to_vec()
    }
    let header = |begins: [i32; 2]| {
        let mut bytes = b"CDF\x01".to_vec();
        bytes.extend(number(0));
        bytes.extend([number(10), number(3)].concat());
        for (name, length) in [("time", ROWS_OF_A_FILE), ("y", 2), ("x", 3)] {
            bytes.extend([text(name), number(length)].concat());
        }
        bytes.extend([number(0), number(0)].concat());
        bytes.extend([number(11), number(2)].concat());
        for (name, dimensions, kind, cells, begin) in
            [("time", 1, 4, 1, begins[0]), ("image", 3, 5, 6, begins[1])]
        {
            bytes.extend([text(name), number(dimensions)].concat());
            bytes.extend((0..dimensions).flat_map(number));
            bytes.extend([number(0), number(0), number(kind)].concat());
            bytes.extend([number(ROWS_OF_A_FILE * cells * 4), number(begin)].concat());
        }
        bytes
    };
    let start = i32::try_from(header([0, 0]).len()).unwrap();
    let mut bytes = header([start, start + ROWS_OF_A_FILE * 4]);
    bytes.extend((first..first + ROWS_OF_A_FILE).flat_map(number));
    let values = (first..first + ROWS_OF_A_FILE).flat_map(|time| [time as f32; 6]);
    bytes.extend(values.flat_map(f32::to_be_bytes));
    bytes
}
