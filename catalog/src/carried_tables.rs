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
        for version in self.versions_beside(transaction, dataset, before, files).await? {
            let Some(older) = self.load(transaction, dataset, Some(version)).await? else {
                continue;
            };
            let older = older.dataset;
            let kept: Vec<&TableEntry> = ingested
                .iter()
                .filter(|table| older.tables.iter().any(|known| has_rows_of(table, known)))
                .copied()
                .collect();
            let had = contents(&older.files);
            let covered = speak.iter().any(|later| had.is_subset(&contents(&later.files)));
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

    /// Versions of a dataset up to one that have files which are not among these, the newest first. Most versions of a
    /// dataset have the files of the one before: these are looked at once, however many there are.
    async fn versions_beside(
        &self,
        transaction: &mut Transaction<'static, Any>,
        dataset: &DatasetName,
        before: u32,
        files: &[FileFacts],
    ) -> Result<Vec<u32>, CatalogError> {
        let database = &self.inner.database;
        let own = contents(files);
        let lists =
            sqlx::query("SELECT DISTINCT files FROM version WHERE dataset = $1 AND version <= $2")
                .bind(dataset.as_str())
                .bind(i64::from(before))
                .fetch_all(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
        let mut found = Vec::new();
        for list in &lists {
            let text = database.text(list, "files")?;
            let had: Vec<FileFacts> = serde_json::from_str(&text)
                .map_err(|error| database.unreadable("files of a version", &error))?;
            if contents(&had).is_subset(&own) {
                continue;
            }
            let rows = sqlx::query(
                "SELECT version FROM version WHERE dataset = $1 AND version <= $2 AND files = $3",
            )
            .bind(dataset.as_str())
            .bind(i64::from(before))
            .bind(text)
            .fetch_all(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
            for row in &rows {
                found.push(database.number::<u32>(row, "version")?);
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        Ok(found)
    }
}
