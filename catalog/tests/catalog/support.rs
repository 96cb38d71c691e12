//! Records, files and tables to test with.

pub(crate) use std::path::Path;
pub(crate) use tarn_catalog::{LabDefaults, TableEntry, TableStorage};
pub(crate) use tarn_schemas::facts::{Extent, FileFacts, VariableFacts};
pub(crate) use tarn_schemas::{DatasetRef, LabName, Principal, Record, Scope, Tier};

use tarn_catalog::CatalogError;
use tarn_schemas::record::{Contact, Organisation, Terms};

pub(crate) fn defaults() -> LabDefaults {
    LabDefaults {
        publisher: Some(Organisation { name: "Oak Ridge".to_owned(), ror: None }),
        contact: Some(Contact { name: "Desk".to_owned(), email: "desk@lab.gov".to_owned() }),
        ..LabDefaults::default()
    }
}

/// A catalog in the store that the suite runs on.
#[derive(Debug, Clone)]
pub(crate) struct Catalog(tarn_catalog::Catalog);

impl std::ops::Deref for Catalog {
    type Target = tarn_catalog::Catalog;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Catalog {
    pub(crate) async fn create(
        folder: &Path,
        lab: LabName,
        defaults: LabDefaults,
    ) -> Result<Self, CatalogError> {
        let url = super::url(folder);
        tarn_catalog::Catalog::create_in(folder, url.as_deref(), lab, defaults).await.map(Self)
    }

    pub(crate) async fn open(folder: &Path) -> Result<Self, CatalogError> {
        let url = super::url(folder);
        tarn_catalog::Catalog::open_in(folder, url.as_deref()).await.map(Self)
    }

    pub(crate) async fn restore(folder: &Path, backup: &Path) -> Result<Self, CatalogError> {
        let url = super::url(folder);
        tarn_catalog::Catalog::restore_in(folder, url.as_deref(), backup).await.map(Self)
    }
}

pub(crate) async fn catalog(folder: &Path) -> Catalog {
    Catalog::create(folder, LabName::new("ornl").unwrap(), defaults()).await.unwrap()
}

/// A record that breaks no rule.
pub(crate) fn record(name: &str) -> Record {
    serde_json::from_value(serde_json::json!({
        "name": name,
        "title": format!("A study of {name}"),
        "description": "Monthly means on a one degree grid, made from ship and buoy reports by \
                        optimal interpolation; good for climate variability, not for single days.",
        "creators": [{"name": "Curie, Marie"}],
        "license": "CC-BY-4.0",
        "keywords": ["climate"],
        "tier": "public",
    }))
    .unwrap()
}

pub(crate) fn registered(name: &str) -> Record {
    Record {
        tier: Some(Tier::Registered),
        terms: Some(Terms { id: "https://lab.gov/terms".to_owned(), sha256: "ab".repeat(32) }),
        ..record(name)
    }
}

pub(crate) fn variable(
    name: &str,
    standard_name: Option<&str>,
    units: Option<&str>,
) -> VariableFacts {
    VariableFacts {
        name: name.to_owned(),
        data_type: "Float32".to_owned(),
        dimensions: vec!["time".to_owned()],
        shape: vec![12],
        standard_name: standard_name.map(str::to_owned),
        long_name: None,
        units: units.map(str::to_owned),
        min: None,
        max: None,
        missing: None,
    }
}

pub(crate) fn file(location: &str, hash: &str) -> FileFacts {
    FileFacts {
        location: location.to_owned(),
        media_type: "application/x-netcdf".to_owned(),
        bytes: 100,
        sha256: hash.repeat(64 / hash.len()),
        variables: vec![variable("tos", Some("sea_surface_temperature"), Some("degC"))],
        extent: Extent::default(),
        attributes: Vec::new(),
    }
}

/// Facts of a file that say nothing of variables.
pub(crate) fn data() -> Vec<FileFacts> {
    let media_type = "text/csv".to_owned();
    vec![FileFacts { variables: vec![], media_type, ..file("/data/table.csv", "ef") }]
}

pub(crate) fn delta(name: &str, version: u64) -> TableEntry {
    TableEntry {
        name: name.parse().unwrap(),
        storage: TableStorage::Delta { url: format!("file:///store/{name}"), version },
        schema: String::new(),
        rows: Some(10),
        columns: Vec::new(),
    }
}

pub(crate) fn named(text: &str) -> DatasetRef {
    text.parse().unwrap()
}

pub(crate) fn person(scope: Scope) -> Principal {
    Principal::person("ada", scope)
}
