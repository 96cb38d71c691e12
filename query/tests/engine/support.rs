//! A lab in a folder, with datasets whose tables are files in place.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_catalog::{
    Catalog, LabDefaults, PersonAttributes, PinnedFile, TableEntry, TableStorage,
    audit::AuditFilter, schema_text,
};
use tarn_connectors::{Location, Stores};
use tarn_formats::{OpenOptions, Table};
use tarn_query::{Change, Engine, EngineConfig, QueryError, Session, SessionOptions, ViewCreation};
use tarn_schemas::{
    DatasetName, Extent, FileFacts, LabName, Principal, Record, Scope, TableName, TableOptions,
    VariableFacts,
};

/// The files of the demo, which are part of the repository.
pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo").canonicalize().unwrap()
}

pub(crate) fn config() -> EngineConfig {
    EngineConfig {
        memory_bytes: 256 << 20,
        partitions: 2,
        peer_seconds: 1,
        ..EngineConfig::default()
    }
}

pub(crate) fn person() -> Principal {
    Principal::person("ada", Scope::Read)
}

/// What the record of data under an agreement has besides.
pub(crate) fn under_agreement() -> serde_json::Value {
    json!({
        "exposure": "full",
        "rights": "https://lab.gov/agreement",
        "agreement": {"id": "https://lab.gov/agreement", "sha256": "cd".repeat(32),
            "committee": "dac", "months": 12, "purposes": ["research"]},
        "human_data": false,
        "review": (chrono::Utc::now() + chrono::Days::new(180)).date_naive().to_string(),
    })
}

/// A session without a home that may open files.
pub(crate) async fn files_only() -> Session {
    let engine = Engine::new(None, Stores::new(vec![]), config()).unwrap();
    let options = SessionOptions { files: true, ..SessionOptions::default() };
    engine.session(Principal::Owner, options).await.unwrap()
}

/// A lab with a catalog in a folder that goes away with it.
pub(crate) struct Lab {
    pub(crate) engine: Engine,
    catalog: Catalog,
    stores: Stores,
    pub(crate) folder: tempfile::TempDir,
}

impl Lab {
    pub(crate) async fn new(name: &str) -> Self {
        Self::with(name, Stores::new(vec![])).await
    }

    /// A lab whose files may be in these stores.
    pub(crate) async fn with(name: &str, stores: Stores) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lab = LabName::new(name).unwrap();
        let catalog = Catalog::create(&folder.path().join("catalog"), lab, LabDefaults::default())
            .await
            .unwrap();
        let engine = Engine::new(Some(catalog.clone()), stores.clone(), config()).unwrap();
        Self { engine, catalog, stores, folder }
    }

    /// The lab under policies of its own.
    pub(crate) async fn under(self, policies: &str) -> Self {
        let home = self.folder.path().join("catalog");
        std::fs::create_dir_all(home.join("policies")).unwrap();
        std::fs::write(home.join("policies/own.cedar"), policies).unwrap();
        let catalog = Catalog::open(&home).await.unwrap();
        let engine = Engine::new(Some(catalog.clone()), self.stores.clone(), config()).unwrap();
        Self { engine, catalog, ..self }
    }

    /// The acts of a kind in the audit log, with their details.
    pub(crate) async fn acts(&self, act: &str) -> Vec<serde_json::Value> {
        let all = self.catalog.audit(&Principal::Owner, &AuditFilter::default()).await.unwrap();
        let all = serde_json::to_value(all).unwrap();
        all.as_array().unwrap().iter().filter(|entry| entry["act"] == act).cloned().collect()
    }

    /// The lab, knowing this of a person.
    pub(crate) async fn knows(self, person: &str, attributes: PersonAttributes) -> Self {
        self.catalog.put_person(&Principal::Owner, person, &attributes).await.unwrap();
        self
    }

    /// An engine that has opened nothing yet, as after a restart.
    pub(crate) fn restarted(&self) -> Engine {
        self.restarted_with(self.stores.clone())
    }

    /// As [`Self::restarted`], with stores that have kept nothing.
    pub(crate) fn restarted_with(&self, stores: Stores) -> Engine {
        Engine::new(Some(self.catalog.clone()), stores, config()).unwrap()
    }

    pub(crate) async fn session(&self, who: Principal) -> Session {
        self.engine.session(who, SessionOptions::default()).await.unwrap()
    }

    /// Makes a view in the name of the owner.
    pub(crate) async fn view(&self, sql: &str) {
        let session = self.session(Principal::Owner).await;
        let Some(Change::CreateView(view)) = session.change(sql).await.unwrap() else {
            panic!("{sql}")
        };
        let ViewCreation { dataset, name, security_invoker, sql } = view;
        let query = session.begin();
        let view = session.plan_view(&query, (name, &sql), security_invoker).await.unwrap();
        self.catalog.put_view(&Principal::Owner, &dataset, view).await.unwrap();
    }

    /// Registers a dataset without tables.
    pub(crate) async fn register(&self, name: &str, tier: &str) {
        self.register_with(name, tier, json!({})).await;
    }

    /// Registers a dataset without tables, with more fields in its record.
    pub(crate) async fn register_with(&self, name: &str, tier: &str, more: serde_json::Value) {
        let mut record = json!({
            "name": name,
            "title": format!("A dataset named {name} for tests of the engine"),
            "description": "Monthly means of air temperature near the pole on pressure levels, cut from \
                model output of CMIP6; good for testing the query engine, and for nothing else at all.",
            "creators": [{"name": "Curie, Marie", "orcid": "0000-0002-1825-0097",
                "affiliation": {"name": "ORNL", "ror": "01qz5mb56"}}],
            "publisher": {"name": "Oak Ridge National Laboratory", "ror": "01qz5mb56"},
            "contact": {"name": "Data desk", "email": "data@lab.gov"},
            "steward": {"name": "Data desk", "email": "data@lab.gov"},
            "issued": "2026-11-22",
            "resource_type": "Dataset",
            "license": "CC-BY-4.0",
            "keywords": ["air temperature"],
            "tier": tier,
            "markings": ["UNL"],
            "terms": {"id": "https://lab.gov/terms", "sha256": "0123456789abcdef".repeat(4)},
            "provenance": {"derived_from": [], "activity": "cut for tests", "software": "netCDF4"},
            "language": "en",
            "files": ["/data/sst.nc"]
        });
        for (field, value) in more.as_object().unwrap() {
            record[field] = value.clone();
        }
        let record: Record = serde_json::from_value(record).unwrap();
        let facts = FileFacts {
            location: "/data/sst.nc".to_owned(),
            media_type: "application/x-netcdf".to_owned(),
            bytes: 4096,
            sha256: "0123456789abcdef".repeat(4),
            variables: vec![VariableFacts {
                name: "ta".to_owned(),
                data_type: "Float32".to_owned(),
                dimensions: vec!["time".to_owned()],
                shape: vec![12],
                standard_name: Some("air_temperature".to_owned()),
                long_name: None,
                units: Some("K".to_owned()),
                min: Some(200.0),
                max: Some(300.0),
                missing: Some(3),
            }],
            extent: Extent { time: Some((0.0, 1e9)), bounding_box: Some([0.0, 60.0, 1.0, 90.0]) },
            attributes: vec![],
        };
        self.catalog.register(&Principal::Owner, record, vec![facts]).await.unwrap();
    }

    /// Sets a table of a dataset: files in place. Returns the dataset's version.
    pub(crate) async fn put(
        &self,
        dataset: &str,
        table: &str,
        paths: &[&str],
        options: serde_json::Value,
    ) -> u32 {
        let options: TableOptions = serde_json::from_value(options).unwrap();
        let (mut files, mut readers) = (vec![], vec![]);
        for path in paths {
            for stat in self.stores.expand(path).await.unwrap() {
                let source = self.stores.source(&stat).await.unwrap();
                let open = move || source.open(&OpenOptions::default()).unwrap();
                readers.push(tokio::task::spawn_blocking(open).await.unwrap());
                let sha256 = self.stores.sha256(&stat).await.unwrap();
                files.push(PinnedFile { stat, sha256 });
            }
        }
        let read = options.clone();
        let open = move || Table::open(&readers, &read).unwrap();
        let open = tokio::task::spawn_blocking(open).await.unwrap();
        let storage = TableStorage::InPlace { files, options };
        self.put_entry(dataset, table, open.schema(), open.rows(), storage).await
    }

    /// Says of the files of a table that, as they are now, they have the content they were registered
    /// with, whatever it is: for tests that prove that a file is not read.
    pub(crate) async fn pin_again(&self, dataset: &str, table: &str) {
        let name = dataset.parse().unwrap();
        let stored = self.catalog.dataset(&Principal::Owner, &name).await.unwrap();
        let mut entry =
            stored.tables.into_iter().find(|entry| entry.name.as_str() == table).unwrap();
        if let TableStorage::InPlace { files, .. } = &mut entry.storage {
            for file in files {
                let location = Location::parse(&file.stat.location).unwrap();
                file.stat = self.stores.stat(&location).await.unwrap();
            }
        }
        let dataset = DatasetName::new(dataset).unwrap();
        self.catalog.put_tables(&Principal::Owner, &dataset, vec![entry]).await.unwrap();
    }

    /// Sets a table of a dataset that is a version of a Delta table.
    pub(crate) async fn put_delta(
        &self,
        dataset: &str,
        table: &str,
        schema: &Schema,
        url: &str,
        version: u64,
    ) -> u32 {
        let storage = TableStorage::Delta { url: url.to_owned(), version };
        self.put_entry(dataset, table, schema, None, storage).await
    }

    async fn put_entry(
        &self,
        dataset: &str,
        table: &str,
        schema: &Schema,
        rows: Option<u64>,
        storage: TableStorage,
    ) -> u32 {
        let entry = TableEntry {
            name: TableName::new(table).unwrap(),
            schema: schema_text::encode(schema),
            rows,
            columns: schema_text::columns(schema),
            storage,
        };
        let dataset = DatasetName::new(dataset).unwrap();
        self.catalog.put_tables(&Principal::Owner, &dataset, vec![entry]).await.unwrap()
    }
}

/// All rows of an answer as text; every batch must have the schema that was promised.
pub(crate) async fn rows(session: &Session, sql: &str) -> Result<Vec<Vec<String>>, QueryError> {
    let answer = session.sql(sql).await?;
    let schema = answer.schema.clone();
    let batches = answer.collect().await?;
    let mut rows = Vec::new();
    for batch in &batches {
        assert_eq!(batch.schema(), schema, "{sql}");
        rows.extend(texts(batch));
    }
    Ok(rows)
}

fn texts(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    (0..batch.num_rows())
        .map(|row| columns.iter().map(|column| column.value(row).to_string()).collect())
        .collect()
}

/// One file of the demo under a path of its own, which a test may change.
pub(crate) fn copy(name: &str, folder: &Path) -> Arc<str> {
    let to = folder.join(Path::new(name).file_name().unwrap());
    std::fs::copy(demo().join("data").join(name), &to).unwrap();
    to.to_str().unwrap().into()
}
