//! Datasets as the crosswalks of the schemas see them.

use crate::lineage::{limits_of, nothing, passed_on};
use crate::model::{Dataset, Inherited, LabDefaults};
use crate::policy::assurance;
use tarn_schemas::export::{Column, Source, Table};
use tarn_schemas::profile::is_dissemination;
use tarn_schemas::record::{Cui, Embargo, MarkingDetails};
use tarn_schemas::{LabName, Tier};

/// Why a dataset is under an embargo that its own record does not speak of.
const OF_INPUTS: &str = "what it was made from is under embargo";

/// The CUI marking of what was made from marked data: a banner of all their codes.
fn cui_of(limits: &Inherited, lab: &LabName) -> Cui {
    let codes = limits.markings.iter().filter_map(|marking| marking.strip_prefix("CUI//"));
    let (dissemination, categories): (Vec<String>, Vec<String>) =
        codes.map(str::to_owned).partition(|code| is_dissemination(code));
    let parts = [categories.join("/"), dissemination.join("/")];
    let parts = parts.iter().map(String::as_str).filter(|part| !part.is_empty());
    let banner: Vec<&str> = std::iter::once("CUI").chain(parts).collect();
    Cui {
        banner: banner.join("//"),
        categories,
        dissemination,
        designation: format!("{lab}, by what it was made from"),
        decontrol: None,
    }
}

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
        // So do the limits of what it was made from, and of the newest version.
        let limits = passed_on(self);
        let is_code = |marking: &&String| !marking.starts_with("CUI//");
        for marking in limits.markings.iter().filter(is_code) {
            record.markings.retain(|own| own != "UNL" && own != marking);
            record.markings.push(marking.clone());
        }
        if limits.markings.contains("CUI") {
            record.cui.get_or_insert_with(|| cui_of(&limits, &self.lab));
            // It stands alone, and further markings beside it in words.
            record.markings = vec!["CUI".to_owned()];
            let others = limits.markings.iter().filter(|marking| *marking != "CUI");
            let others: Vec<&str> = others.filter(is_code).map(String::as_str).collect();
            if !others.is_empty() {
                let details = record.marking_details.get_or_insert_with(MarkingDetails::default);
                let words = details.other.take().into_iter();
                let words: Vec<String> = words.chain([others.join(", ")]).collect();
                details.other = Some(words.join("; "));
            }
        }
        // A licence that says that everyone may have the data is not that of data which are for some.
        let own = limits_of(&self.record);
        if limits.markings != own.markings
            || (limits.tier != own.tier && limits.tier > Tier::Registered)
        {
            record.license = None;
        }
        // Whoever signs in has the assurance that the tier asks for by itself.
        let usual = Inherited {
            tier: limits.tier,
            exposure: limits.exposure,
            embargo: limits.embargo.clone(),
            assurance: limits.assurance.clone().filter(|name| assurance(name) <= 1),
            data_use: limits.data_use.clone(),
            ..nothing()
        };
        Source {
            lab: self.lab.clone(),
            name: self.name.clone(),
            version: self.version,
            ark: self.ark.clone(),
            doi: self.doi.clone(),
            record,
            tier: limits.tier,
            limited: limits != usual,
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
