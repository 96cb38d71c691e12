//! Tables of datasets: an ingest gives them to a version, or makes the next one.

use crate::audit::{Act, Said};
use crate::content::same_table;
use crate::datasets::{Stored, no_dataset};
use crate::decision::{Action, may_write_here};
use crate::model::TableEntry;
use crate::policy::subject;
use crate::register::{next, timestamp};
use crate::{Catalog, CatalogError};
use chrono::Utc;
use std::collections::BTreeSet;
use tarn_schemas::profile::fair;
use tarn_schemas::{DatasetName, Principal};

impl Catalog {
    /// Sets the tables named in `tables` of a dataset in one transaction. If the newest version
    /// has none of them yet they join it; otherwise a new version is made. Returns the version.
    /// Idempotent: equal tables change nothing (a file in place whose time stamp alone changed is
    /// pinned anew in the same version). Needs `Scope::Write`.
    pub async fn put_tables(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        tables: Vec<TableEntry>,
    ) -> Result<u32, CatalogError> {
        may_write_here(who)?;
        let rights = self.rights(who).await?;
        let names: BTreeSet<_> = tables.iter().map(|table| &table.name).collect();
        if names.len() != tables.len() {
            return Err(CatalogError::Argument(format!(
                "two tables of dataset {dataset} have the same name: give each its own"
            )));
        }
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let stored = self
            .load(&mut write.transaction, dataset, None)
            .await?
            .ok_or_else(|| no_dataset(dataset.as_str()))?;
        if !self.decide_as(&rights, Action::Discover, &stored.dataset)?.allowed {
            return Err(no_dataset(dataset.as_str()));
        }
        self.check_writer(&rights, Some(&stored))?;
        let derived = self.derived_tables(&mut write.transaction, dataset).await?;
        if let Some(name) = names.iter().find(|name| derived.contains(name.as_str())) {
            return Err(CatalogError::Conflict(format!(
                "table {name} of {dataset} was made by a query and stays what it made: ingest into \
                 another table"
            )));
        }
        let views = self.view_names(&mut write, dataset).await?;
        if let Some(name) = names.iter().find(|name| views.contains(name.as_str())) {
            return Err(CatalogError::Conflict(format!(
                "{dataset} has a view {name}: ingest into another table, or take the view away \
                 (DROP VIEW {dataset}.{name})"
            )));
        }
        let Stored { dataset: mut newest, content_hash: before, notes } = stored;
        let (mut added, mut replaced, mut touched) = (Vec::new(), false, false);
        for table in tables {
            match newest.tables.iter_mut().find(|entry| entry.name == table.name) {
                Some(entry) if *entry == table => {}
                Some(entry) => {
                    if same_table(entry, &table) {
                        touched = true;
                    } else {
                        replaced = true;
                        added.push(table.name.to_string());
                    }
                    *entry = table;
                }
                None => {
                    added.push(table.name.to_string());
                    newest.tables.push(table);
                }
            }
        }
        if added.is_empty() && !touched {
            return Ok(newest.version);
        }
        newest.tables.sort_by(|one, other| one.name.cmp(&other.name));
        let metrics = fair::score(&newest.record, &newest.files, !newest.tables.is_empty());
        newest.fair_score = fair::per_cent(&metrics);
        let what = format!("ingested table {}", added.join(", "));
        let content_hash = self.hash(&newest.record, &newest.files, &newest.tables)?;
        if replaced {
            let made_from =
                self.inputs_of(&mut write.transaction, (dataset, newest.version)).await?;
            newest.version = next(newest.version)?;
            newest.registered_at = timestamp(Utc::now());
            let stored = Stored { dataset: newest, content_hash, notes: what };
            Box::pin(self.insert(&mut write, &stored, who, "tables")).await?;
            newest = stored.dataset;
            // What it takes over stays: that is loosened by a new record, which takes two people.
            Box::pin(self.hand_on(&mut write, (dataset, newest.version), &made_from)).await?;
        } else {
            let notes = if added.is_empty() { notes } else { format!("{notes}; {what}") };
            debug_assert!(!added.is_empty() || content_hash == before);
            let stored = Stored { dataset: newest, content_hash, notes };
            Box::pin(self.update(&mut write, &stored)).await?;
            newest = stored.dataset;
        }
        self.note_published(&mut write, &newest).await?;
        let said = Said::new(Act::PutTables, subject(who))
            .on(newest.full_name())
            .with("tables", added.join(", "));
        write.note(said).await?;
        write.commit().await?;
        Ok(newest.version)
    }
}
