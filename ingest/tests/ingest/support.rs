//! A lab in a folder, the shared files, and what other programs say of them.

use crate::data::data;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use tarn_catalog::{Catalog, LabDefaults};
use tarn_connectors::{Location, Stores};
use tarn_ingest::{Cancel, IngestError, IngestReport, IngestRequest, ingest};
use tarn_schemas::facts::FileFacts;
use tarn_schemas::record::{Contact, Organisation};
use tarn_schemas::{LabName, Principal, TableOptions};

/// The three files of one E3SM run: 365-day calendar, eight default fills in the last.
pub(crate) const E3SM: [&str; 3] = [
    "ta_Amon_E3SM-1-0_historical_r1i1p1f1_gr_195001-197412.nc",
    "ta_Amon_E3SM-1-0_historical_r1i1p1f1_gr_197501-199912.nc",
    "ta_Amon_E3SM-1-0_historical_r1i1p1f1_gr_200001-201412.nc",
];

/// The E3SM files.
pub(crate) fn e3sm() -> Option<Vec<String>> {
    let folder = data()?.join("netcdf/cmip6");
    Some(E3SM.iter().map(|name| folder.join(name).display().to_string()).collect())
}

/// What netCDF4 said of a variable of a shared file.
pub(crate) fn expected(file: &str, variable: &str) -> Value {
    let path = data().unwrap().join(format!("expected/{file}.json"));
    let all: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let variables = all["netcdf4"]["vars"].as_array().unwrap();
    variables.iter().find(|found| found["path"] == variable).unwrap().clone()
}

/// A lab whose catalog holds the dataset `air`.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) catalog: Catalog,
    pub(crate) stores: Stores,
    pub(crate) store: Location,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Location::from_path(&folder.path().join("store")).unwrap();
        let catalog = catalog(&folder.path().join("catalog")).await;
        Self { folder, catalog, stores: Stores::default(), store }
    }

    pub(crate) async fn ingest(
        &self,
        request: &IngestRequest,
    ) -> Result<IngestReport, IngestError> {
        let quiet = Arc::new(|_| {});
        let who = Principal::Owner;
        ingest(&self.catalog, &self.stores, &self.store, &who, request, quiet, &Cancel::new()).await
    }
}

/// A new catalog with the dataset `air` registered.
pub(crate) async fn catalog(folder: &Path) -> Catalog {
    std::fs::create_dir_all(folder).unwrap();
    let defaults = LabDefaults {
        publisher: Some(Organisation { name: "Oak Ridge".to_owned(), ror: None }),
        contact: Some(Contact { name: "Desk".to_owned(), email: "desk@lab.gov".to_owned() }),
        ..LabDefaults::default()
    };
    let catalog = Catalog::create(folder, LabName::new("ornl").unwrap(), defaults).await.unwrap();
    let record = serde_json::from_value(serde_json::json!({
        "name": "air",
        "title": "Air temperature of one model",
        "description": "Monthly air temperature near the pole from one historical run, two levels, \
                        cut out of a global grid; good for tests of tables over several files.",
        "creators": [{"name": "Curie, Marie"}],
        "license": "CC-BY-4.0",
        "keywords": ["climate"],
        "tier": "public",
    }))
    .unwrap();
    catalog.register(&Principal::Owner, record, facts().await).await.unwrap();
    catalog
}

/// What the E3SM files say of themselves.
async fn facts() -> Vec<FileFacts> {
    let stores = Stores::default();
    let mut facts = Vec::new();
    for file in e3sm().unwrap_or_default() {
        let stat = stores.stat(&Location::parse(&file).unwrap()).await.unwrap();
        facts.push(tarn_ingest::facts::extract(&stores, &stat).await.unwrap());
    }
    facts
}

/// The air temperature of these files as table `ta`.
pub(crate) fn request(sources: &[String]) -> IngestRequest {
    IngestRequest {
        sources: sources.to_vec(),
        dataset: "air".parse().unwrap(),
        table: Some("ta".parse().unwrap()),
        options: serde_json::from_str::<TableOptions>(
            r#"{"columns": {"model": "attribute:source_id"}}"#,
        )
        .unwrap(),
        in_place: false,
    }
}
