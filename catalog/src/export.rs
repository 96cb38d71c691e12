//! Datasets as the crosswalks of the schemas see them.

use crate::model::{Dataset, LabDefaults};
use tarn_schemas::export::{Column, Source, Table};
use tarn_schemas::record::Embargo;

/// Why a dataset is under an embargo that its own record does not speak of.
const OF_INPUTS: &str = "what it was made from is under embargo";

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
        // What holds back the newest version holds back this one, whichever ends last.
        let inherited = self.inherited.iter().filter_map(|inherited| inherited.embargo.clone());
        let inherited = inherited.map(|until| Embargo { until, reason: OF_INPUTS.to_owned() });
        let embargoes = record.embargo.take().into_iter().chain(self.newest_embargo.clone());
        let embargoes = embargoes.chain(inherited);
        record.embargo = embargoes.max_by(|a, b| a.until.cmp(&b.until));
        // So do the markings of what it was made from.
        let inherited = self.inherited.iter().flat_map(|inherited| &inherited.markings);
        for marking in inherited.filter(|marking| !marking.starts_with("CUI//")) {
            record.markings.retain(|own| own != "UNL" && own != marking);
            record.markings.push(marking.clone());
        }
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
            today: chrono::Utc::now().format("%Y-%m-%d").to_string(),
            withdrawn: self.withdrawn.as_ref().map(|withdrawal| withdrawal.at.clone()),
            redacted: self.redacted,
        }
    }
}
