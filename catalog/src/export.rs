//! Datasets as the crosswalks of the schemas see them.

use crate::model::{Dataset, LabDefaults};
use tarn_schemas::export::{Column, Source, Table};

impl Dataset {
    /// What exports are made from. `base` is the address that others reach the node at.
    pub fn source(&self, defaults: &LabDefaults, base: &str) -> Source {
        let tables = self.tables.iter().map(|table| Table {
            name: table.name.to_string(),
            rows: table.rows,
            columns: table
                .columns
                .iter()
                .map(|column| Column {
                    name: column.name.clone(),
                    data_type: column.data_type.clone(),
                    units: column.units.clone(),
                    standard_name: column.standard_name.clone(),
                })
                .collect(),
        });
        let mut record = self.record.clone();
        // What holds back the newest version holds back this one.
        record.embargo = record.embargo.or_else(|| self.newest_embargo.clone());
        Source {
            lab: self.lab.clone(),
            name: self.name.clone(),
            version: self.version,
            ark: self.ark.clone(),
            doi: self.doi.clone(),
            record,
            tier: self.tier,
            // Of files without a checksum nothing may be told.
            files: self.files.iter().filter(|file| !file.sha256.is_empty()).cloned().collect(),
            extent: self.extent,
            tables: tables.collect(),
            registered_at: self.registered_at.clone(),
            base: base.trim_end_matches('/').to_owned(),
            site_code: defaults.site_ownership_code.clone(),
        }
    }
}
