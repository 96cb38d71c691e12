//! What a peer is told of a dataset: its record and what a search looks at. Where data are (paths, URLs) and
//! the bytes of files are not in it.

use crate::CatalogError;
use crate::model::{ColumnInfo, Dataset, TableEntry, TableStorage, Withdrawal};
use crate::store::Database;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tarn_schemas::facts::{Extent, FORMULA, FileFacts, VariableFacts};
use tarn_schemas::{DatasetName, LabName, Record, TableName, TableOptions, Tier};

/// Largest content of one event in bytes.
pub(crate) const LARGEST: usize = 1 << 20;

/// A dataset as its lab tells it to another. Keys that are not known are ignored, so that a newer lab may add some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Owning lab.
    pub lab: LabName,
    /// Name.
    pub name: DatasetName,
    /// Newest version.
    pub version: u32,
    /// ARK.
    pub ark: String,
    /// DOI, where one is registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doi: Option<String>,
    /// Tier that counts.
    pub tier: Tier,
    /// The record, without the places of its files.
    pub record: Value,
    /// Media types of its files.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub formats: BTreeSet<String>,
    /// Variables of its files, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<VariableFacts>,
    /// Formulas that its files name.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub formulas: BTreeSet<String>,
    /// Extent of all files.
    #[serde(default)]
    pub extent: Extent,
    /// Tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<PeerTable>,
    /// Whether only identifier, title and whom to ask are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
    /// Withdrawn: why, and what to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<PeerWithdrawal>,
    /// FAIR score in per cent of the points.
    #[serde(default)]
    pub fair_score: f64,
    /// When this version was made, RFC 3339.
    pub registered_at: String,
    /// The newest versions, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<PeerVersion>,
}

/// A table as a peer is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTable {
    /// Name.
    pub name: TableName,
    /// Columns.
    #[serde(default)]
    pub columns: Vec<ColumnInfo>,
    /// Rows, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// One version as a peer is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerVersion {
    /// Version.
    pub version: u32,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// What changed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

/// A withdrawal as a peer is told of it; by whom is the lab's own business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerWithdrawal {
    /// Why.
    pub reason: String,
    /// What to use instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

impl PeerRecord {
    /// What is told of a dataset that was decided about already.
    pub(crate) fn new(
        database: &Database,
        dataset: Dataset,
        versions: Vec<PeerVersion>,
    ) -> Result<Self, CatalogError> {
        let mut record = dataset.record;
        record.files.clear();
        record.checksums.clear();
        record.tables.clear();
        let formats = dataset.files.iter().map(|file| file.media_type.clone()).collect();
        let attributes = dataset.files.iter().flat_map(|file| &file.attributes);
        let formulas = attributes.filter(|(name, _)| name == FORMULA).map(|(_, text)| text.clone());
        Ok(Self {
            lab: dataset.lab,
            name: dataset.name,
            version: dataset.version,
            ark: dataset.ark,
            doi: dataset.doi,
            tier: dataset.tier,
            record: serde_json::to_value(record)
                .map_err(|error| database.unreadable("a record for a peer", &error))?,
            formats,
            formulas: formulas.collect(),
            variables: variables(&dataset.files),
            extent: dataset.extent,
            tables: dataset
                .tables
                .into_iter()
                .map(|table| PeerTable {
                    name: table.name,
                    columns: table.columns,
                    rows: table.rows,
                })
                .collect(),
            redacted: dataset.redacted,
            withdrawn: dataset.withdrawn.map(|Withdrawal { reason, replaced_by, at, .. }| {
                PeerWithdrawal { reason, replaced_by, at }
            }),
            fair_score: dataset.fair_score,
            registered_at: dataset.registered_at,
            versions,
        })
    }

    /// Its text, as it is hashed and sent. What would be larger than a peer takes is told without its variables
    /// and columns.
    pub(crate) fn text(mut self, database: &Database) -> Result<String, CatalogError> {
        let written = |record: &Self| {
            serde_json::to_string(record)
                .map_err(|error| database.unreadable("a record for a peer", &error))
        };
        let text = written(&self)?;
        if text.len() <= LARGEST {
            return Ok(text);
        }
        self.variables.clear();
        self.tables.iter_mut().for_each(|table| table.columns.clear());
        self.versions.clear();
        let text = written(&self)?;
        if text.len() <= LARGEST {
            return Ok(text);
        }
        let title = self.record.get("title").cloned().unwrap_or_default();
        self.record = serde_json::json!({"name": self.name, "title": title});
        self.tables.clear();
        self.formulas.clear();
        written(&self)
    }

    /// The record as far as this version of Tarn understands it: a newer one may have keys that are not known here.
    pub(crate) fn known_record(&self) -> Record {
        if let Ok(record) = serde_json::from_value(self.record.clone()) {
            return record;
        }
        let mut known = serde_json::Map::new();
        for (key, value) in self.record.as_object().into_iter().flatten() {
            let alone = serde_json::json!({"name": self.name, key.as_str(): value});
            if key != "name" && serde_json::from_value::<Record>(alone).is_ok() {
                known.insert(key.clone(), value.clone());
            }
        }
        known.insert("name".to_owned(), Value::String(self.name.to_string()));
        serde_json::from_value(Value::Object(known))
            .unwrap_or_else(|_| Record::new(self.name.clone()))
    }

    /// The dataset as a search sees it.
    pub(crate) fn dataset(&self) -> Dataset {
        let record = self.known_record();
        let attributes = self.formulas.iter().map(|text| (FORMULA.to_owned(), text.clone()));
        let mut files: Vec<FileFacts> = self
            .formats
            .iter()
            .map(|media_type| FileFacts {
                location: String::new(),
                media_type: media_type.clone(),
                bytes: 0,
                sha256: String::new(),
                variables: Vec::new(),
                extent: self.extent,
                attributes: Vec::new(),
            })
            .collect();
        if let Some(first) = files.first_mut() {
            first.variables.clone_from(&self.variables);
            first.attributes.extend(attributes);
        }
        Dataset {
            lab: self.lab.clone(),
            name: self.name.clone(),
            version: self.version,
            ark: self.ark.clone(),
            doi: self.doi.clone(),
            record,
            tier: self.tier,
            newest_embargo: None,
            newest: None,
            sources: Vec::new(),
            inherited: None,
            withdrawn: None,
            registrant: None,
            committee: None,
            redacted: self.redacted,
            files,
            extent: self.extent,
            tables: self.tables.iter().map(entry).collect(),
            views: Vec::new(),
            fair_score: self.fair_score,
            registered_at: self.registered_at.clone(),
        }
    }
}

/// A table without a place: searches show its name and columns.
fn entry(table: &PeerTable) -> TableEntry {
    TableEntry {
        name: table.name.clone(),
        storage: TableStorage::InPlace { files: Vec::new(), options: TableOptions::default() },
        schema: String::new(),
        rows: table.rows,
        columns: table.columns.clone(),
    }
}

/// Variables that are called the same are one, from the least value in any file to the greatest.
fn variables(files: &[FileFacts]) -> Vec<VariableFacts> {
    let mut found: BTreeMap<[Option<&str>; 4], VariableFacts> = BTreeMap::new();
    for variable in files.iter().flat_map(|file| &file.variables) {
        let key = [
            Some(variable.name.as_str()),
            variable.standard_name.as_deref(),
            variable.units.as_deref(),
            variable.long_name.as_deref(),
        ];
        let bare = || VariableFacts {
            shape: Vec::new(),
            dimensions: Vec::new(),
            missing: None,
            ..variable.clone()
        };
        let known = found.entry(key).or_insert_with(bare);
        let joined =
            |one: Option<f64>, other: Option<f64>, pick: fn(f64, f64) -> f64| match (one, other) {
                (Some(one), Some(other)) => Some(pick(one, other)),
                (one, other) => one.or(other),
            };
        known.min = joined(known.min, variable.min, f64::min);
        known.max = joined(known.max, variable.max, f64::max);
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_newer_lab_is_read_as_far_as_it_is_known() {
        let text = r#"{"lab": "ornl", "name": "sst", "version": 2, "ark": "ark:/99999/x", "tier": "public",
            "record": {"name": "sst", "title": "Sea", "keywords": ["ice"], "invented_later": {"a": 1}},
            "registered_at": "2026-11-22T00:00:00Z", "also_later": true}"#;
        let record: PeerRecord = serde_json::from_str(text).unwrap();
        let dataset = record.dataset();
        assert_eq!(dataset.record.title, "Sea");
        assert_eq!(dataset.record.keywords, ["ice"]);
        assert_eq!(dataset.lab.as_str(), "ornl");
    }

    #[test]
    fn a_variable_of_many_files_is_told_once_with_its_whole_range() {
        let file = |min: f64, max: f64| FileFacts {
            location: "/secret/place.nc".to_owned(),
            media_type: "application/x-netcdf".to_owned(),
            bytes: 1,
            sha256: "x".to_owned(),
            variables: vec![VariableFacts {
                name: "t".to_owned(),
                data_type: "Float32".to_owned(),
                dimensions: vec!["time".to_owned()],
                shape: vec![3],
                standard_name: Some("air_temperature".to_owned()),
                long_name: None,
                units: Some("K".to_owned()),
                min: Some(min),
                max: Some(max),
                missing: Some(1),
            }],
            extent: Extent::default(),
            attributes: Vec::new(),
        };
        let told = variables(&[file(3.0, 5.0), file(1.0, 4.0)]);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].min, told[0].max), (Some(1.0), Some(5.0)));
        assert!(told[0].shape.is_empty());
    }
}
