//! Tables over files that stay where they are.

use crate::plan::{SourceFile, TableJob};
use crate::{IngestError, delta};
use std::collections::HashSet;
use std::sync::Arc;
use tarn_catalog::{PinnedFile, TableEntry, TableStorage, schema_text};
use tarn_connectors::{StoreError, Stores};
use tarn_formats::Table;
use tarn_formats::saved::Entry;

/// A table over files in place, with new files pinned.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// The table.
    pub entry: TableEntry,
    /// Where the new files are.
    pub added: Vec<String>,
    /// Where the files are that were left out as copies of others in the table.
    pub copies: Vec<String>,
    /// Rows of the new files.
    pub rows: u64,
    /// Metadata of its files by checksum, for the chunk index.
    pub metadata: Vec<(String, Vec<Entry>)>,
}

/// The table with the new files pinned. A byte-identical copy of a file in the table is left out
/// unless a column tells its path.
pub(crate) async fn pin(
    stores: &Stores,
    job: &TableJob,
    existing: Option<&TableEntry>,
) -> Result<Pinned, IngestError> {
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
    // Files that were pinned before stay, unless they are named again.
    let kept: Vec<_> = before
        .iter()
        .filter(|old| !job.files.iter().any(|file| file.stat.location == old.stat.location))
        .cloned()
        .collect();
    let mut files = open_pinned(stores, kept).await?;
    files.extend(job.files.iter().cloned());
    files.sort_by(|a, b| a.stat.location.cmp(&b.stat.location));

    let readers: Vec<_> = files.iter().map(|file| Arc::clone(&file.reader)).collect();
    let options = job.options.clone();
    let table = crate::blocking(move || Ok(Table::open(&readers, &options)?)).await?;

    let known = |file: &SourceFile| {
        before
            .iter()
            .any(|old| old.stat.location == file.stat.location && old.sha256 == file.sha256)
    };
    let mut all = Vec::with_capacity(files.len());
    for (file, part) in files.into_iter().zip(table.parts()) {
        let app_id = delta::app_id(&file, part, &table, &job.options)?;
        all.push((known(&file), app_id, file, part.rows()));
    }
    let mut seen: HashSet<String> =
        all.iter().filter(|(known, ..)| *known).map(|(_, app_id, ..)| app_id.clone()).collect();
    let (mut pins, mut added, mut copies) = (Vec::new(), Vec::new(), Vec::new());
    let (mut rows, mut total) = (0_u64, Some(0_u64));
    let mut readers = Vec::new();
    for (known, app_id, file, of_file) in all {
        let location = file.stat.location.clone();
        if !known {
            if !seen.insert(app_id) {
                copies.push(location);
                continue;
            }
            added.push(location);
            rows = rows.saturating_add(of_file.unwrap_or(0));
        }
        total = total.zip(of_file).and_then(|(total, rows)| total.checked_add(rows));
        readers.push((file.sha256.clone(), file.reader));
        pins.push(PinnedFile { stat: file.stat, sha256: file.sha256 });
    }
    let metadata = crate::blocking(move || {
        let mut metadata = Vec::with_capacity(readers.len());
        for (sha256, reader) in readers {
            if let Some(entries) = reader.entries()? {
                metadata.push((sha256, entries));
            }
        }
        Ok(metadata)
    });
    let metadata = metadata.await?;
    // Nobody exchanged a file between its checksum and its metadata.
    let pinned: Vec<_> = pins.iter().map(|pin| (&pin.stat, pin.sha256.as_str())).collect();
    for same in stores.same_contents(&pinned).await {
        same?;
    }
    let entry = TableEntry {
        name: job.name.clone(),
        storage: TableStorage::InPlace { files: pins, options: job.options.clone() },
        schema: schema_text::encode(table.schema()),
        rows: total,
        columns: schema_text::columns(table.schema()),
    };
    Ok(Pinned { entry, added, copies, rows, metadata })
}

/// Opens files that were pinned before. Same size and time do not make the same bytes: a file whose
/// checksum is another one is refused, so that no pin is replaced without a word.
async fn open_pinned(
    stores: &Stores,
    pins: Vec<PinnedFile>,
) -> Result<Vec<SourceFile>, IngestError> {
    let mut files = Vec::with_capacity(pins.len());
    for pin in pins {
        let stat = stores.same_content(&pin.stat, &pin.sha256).await?;
        let file = crate::plan::open(stores, stat).await?;
        if file.sha256 != pin.sha256 {
            return Err(StoreError::Changed {
                location: file.stat.location,
                was: format!("{} bytes, SHA-256 {}", pin.stat.bytes, pin.sha256),
                now: format!("{} bytes, SHA-256 {}", file.stat.bytes, file.sha256),
            }
            .into());
        }
        files.push(file);
    }
    Ok(files)
}
