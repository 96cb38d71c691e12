//! Tables over files that stay where they are.

use crate::IngestError;
use crate::plan::{SourceFile, TableJob};
use std::sync::Arc;
use tarn_catalog::{PinnedFile, TableEntry, TableStorage, schema_text};
use tarn_connectors::Stores;
use tarn_formats::Table;

/// The table with the new files pinned, where the new files are and how many rows they give.
pub(crate) async fn pin(
    stores: &Stores,
    job: &TableJob,
    existing: Option<&TableEntry>,
) -> Result<(TableEntry, Vec<String>, u64), IngestError> {
    let other = |problem: &str| IngestError::Conflict {
        table: job.name.to_string(),
        problem: problem.to_owned(),
    };
    let before: &[PinnedFile] = match existing.map(|entry| &entry.storage) {
        None => &[],
        Some(TableStorage::Delta { .. }) => {
            return Err(other("it is a Delta table: leave --in-place out or use another name"));
        }
        Some(TableStorage::InPlace { files, options }) if *options == job.options => files,
        Some(TableStorage::InPlace { .. }) => {
            return Err(other("it was made with other options: use the same ones or another name"));
        }
    };
    // Files that were pinned before come first and stay, unless they are named again.
    let named =
        |old: &&PinnedFile| !job.files.iter().any(|file| file.stat.location == old.stat.location);
    let mut files = Vec::with_capacity(before.len());
    for old in before.iter().filter(named) {
        let stat = stores.same_content(&old.stat, &old.sha256).await?;
        files.push(crate::plan::open(stores, stat).await?);
    }
    let new: Vec<&SourceFile> = job
        .files
        .iter()
        .filter(|file| {
            !before
                .iter()
                .any(|old| old.stat.location == file.stat.location && old.sha256 == file.sha256)
        })
        .collect();
    let locations: Vec<String> = new.iter().map(|file| file.stat.location.clone()).collect();
    files.extend(job.files.iter().cloned());
    files.sort_by(|a, b| a.stat.location.cmp(&b.stat.location));

    let readers: Vec<_> = files.iter().map(|file| Arc::clone(&file.reader)).collect();
    let options = job.options.clone();
    let table = crate::blocking(move || Ok(Table::open(&readers, &options)?)).await?;
    let rows = table
        .parts()
        .iter()
        .filter(|part| locations.iter().any(|location| location == part.location()))
        .filter_map(tarn_formats::table::Part::rows)
        .sum();
    let entry = TableEntry {
        name: job.name.clone(),
        storage: TableStorage::InPlace {
            files: files
                .into_iter()
                .map(|file| PinnedFile { stat: file.stat, sha256: file.sha256 })
                .collect(),
            options: job.options.clone(),
        },
        schema: schema_text::encode(table.schema()),
        rows: table.rows(),
        columns: schema_text::columns(table.schema()),
    };
    Ok((entry, locations, rows))
}
