//! Tables that a version has from the versions before it, and what those limit.
//!
//! A table stays in the next version, and an ingest adds rows to it, while the record and its files become others: it
//! has rows of the files of before. What a version says covers the files that it has. Where the files of before
//! are not among them, the table is as closed as the version was that last spoke of them, and so is the dataset,
//! because decisions are for datasets as a whole.

use crate::inputs::Inputs;
use crate::lineage::{join, own_limits};
use crate::model::{Dataset, TableEntry, TableStorage};
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::DatasetName;
use tarn_schemas::facts::FileFacts;

/// Tables that a version has, or is to have, with its files.
pub(crate) struct Carried<'a> {
    pub(crate) dataset: &'a DatasetName,
    /// The newest version before it.
    pub(crate) before: u32,
    pub(crate) tables: &'a [TableEntry],
    pub(crate) files: &'a [FileFacts],
}

impl Dataset {
    /// The tables of this version as the next one has them, with other files.
    pub(crate) fn tables_for<'a>(&'a self, files: &'a [FileFacts]) -> Carried<'a> {
        Carried { dataset: &self.name, before: self.version, tables: &self.tables, files }
    }
}

fn contents(files: &[FileFacts]) -> BTreeSet<&str> {
    files.iter().map(|file| file.sha256.as_str()).collect()
}

/// Whether a table may have rows that an older one had. Rows only join a Delta table; files in place are as they are.
fn has_rows_of(table: &TableEntry, older: &TableEntry) -> bool {
    if table.name != older.name {
        return false;
    }
    match (&table.storage, &older.storage) {
        (TableStorage::Delta { url, .. }, TableStorage::Delta { url: before, .. }) => url == before,
        (TableStorage::InPlace { files, .. }, TableStorage::InPlace { files: before, .. }) => {
            files.iter().any(|file| before.iter().any(|known| known.sha256 == file.sha256))
        }
        _ => false,
    }
}

impl Catalog {
    /// The limits of versions whose files tables came from, where the new version has these files no more.
    pub(crate) async fn add_carried(
        &self,
        transaction: &mut Transaction<'static, Any>,
        carried: Carried<'_>,
        inputs: &mut Inputs,
    ) -> Result<(), CatalogError> {
        let Carried { dataset, before, tables, files } = carried;
        let made = self.derived_tables(transaction, dataset).await?;
        // What queries made is asked about its sources.
        let ingested: Vec<&TableEntry> =
            tables.iter().filter(|table| !made.contains(table.name.as_str())).collect();
        if ingested.is_empty() {
            return Ok(());
        }
        let mut speak: Vec<Dataset> = Vec::new();
        for version in (1..=before).rev() {
            let Some(older) = self.load(transaction, dataset, Some(version)).await? else { break };
            let older = older.dataset;
            let kept: Vec<&TableEntry> = ingested
                .iter()
                .filter(|table| older.tables.iter().any(|known| has_rows_of(table, known)))
                .copied()
                .collect();
            let had = contents(&older.files);
            let covered = had.is_subset(&contents(files))
                || speak.iter().any(|later| had.is_subset(&contents(&later.files)));
            if covered || kept.is_empty() {
                continue;
            }
            let limits = own_limits(&older);
            inputs.limits = join(inputs.limits.clone(), &limits);
            inputs.of_carried = join(inputs.of_carried.clone(), &limits);
            inputs.here.insert((dataset.clone(), version), false);
            inputs.carried.extend(kept.iter().map(|table| table.name.to_string()));
            speak.push(older);
        }
        Ok(())
    }
}
