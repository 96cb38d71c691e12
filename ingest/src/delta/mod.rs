//! Source files → rows of one Delta table.

mod identity;
mod layout;
mod log;
mod merge;
mod optimize;
mod probe;
mod rewrite;
mod rows;
mod stats;
mod types;
mod verify;
mod write;

pub(crate) use identity::app_id;
pub(crate) use log::Log;
pub(crate) use optimize::optimize;
pub(crate) use probe::check_conditional_puts;
pub use rows::{discard_folder, new_folder, write_table};
pub(crate) use verify::StoredFile;
pub(crate) use write::Target;

use crate::plan::SourceFile;
use crate::{Cancel, IngestError, Progress};
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use identity::Claim;
use log::{NotCommitted, Pending};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tarn_connectors::Stores;
use tarn_formats::Table;
use tarn_formats::table::Part;
use tarn_schemas::TableOptions;
use verify::verify;
use write::{DataFile, write_part};

/// Source files that are read and written at the same time.
const PARALLEL: usize = 4;

/// What an ingest did to a table.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The table afterwards.
    pub log: Log,
    /// Files that gave rows.
    pub added: u64,
    /// Where these files are.
    pub locations: Vec<String>,
    /// Rows that were added.
    pub rows: u64,
}

/// Rows of source files, written and read back, that no log names yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    target: Target,
    columns: SchemaRef,
    claims: Vec<Claim>,
    pending: Vec<Pending>,
    /// Where the file of each application transaction is.
    location_of: Vec<(String, String)>,
    /// Where the files are that were left out: byte-identical copies of others in the table.
    pub copies: Vec<String>,
    /// The table as it is, where there is nothing to add.
    complete: Option<Log>,
}

/// Writes the rows of source files beside a table and reads them back. The table does not change;
/// on failure and on cancellation nothing stays.
pub(crate) async fn prepare(
    stores: &Stores,
    target: &Target,
    files: &[SourceFile],
    options: &TableOptions,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
    cancel: &Cancel,
) -> Result<Prepared, IngestError> {
    let readers: Vec<_> = files.iter().map(|file| Arc::clone(&file.reader)).collect();
    let own = options.clone();
    let table = crate::blocking(move || Ok(Table::open(&readers, &own)?)).await?;
    let new = types::delta_schema(&target.table, table.schema())?;
    let before = Log::load(target).await?;
    let existing = before.as_ref().map(|log| log.schema(target)).transpose()?;
    let columns: SchemaRef = Arc::new(merge::merge(&target.table, existing.as_ref(), &new)?.files);

    let mut claims = HashMap::new();
    let mut seen = HashSet::new();
    let (mut missing, mut copies, mut location_of) = (Vec::new(), Vec::new(), Vec::new());
    for (file, part) in files.iter().zip(table.parts()) {
        let (place, reading) =
            (identity::place(file, part)?, identity::reading(file, part, options)?);
        let own = [place.clone(), reading];
        let place_is_new = match &before {
            Some(log) => log.unknown(target, &own).await?.contains(&place),
            None => true,
        };
        let app_id = app_id(file, part, &table, options)?;
        let there = match &before {
            Some(log) => log.has(target, &app_id).await?,
            None => false,
        };
        let location = file.stat.location.clone();
        if !seen.insert(app_id.clone()) || (there && place_is_new) {
            copies.push(location);
        } else if !there {
            // A copy adds no rows, so its place may hold something else one day.
            claims.extend(own.map(|claim| (claim.app_id.clone(), claim)));
            location_of.push((app_id.clone(), location));
            missing.push((file, part.clone(), app_id));
        }
    }
    let mut prepared = Prepared {
        target: target.clone(),
        columns,
        claims: claims.into_values().collect(),
        pending: Vec::new(),
        location_of,
        copies,
        complete: None,
    };
    if missing.is_empty() && before.is_some() {
        prepared.complete = before;
        return Ok(prepared);
    }
    prepared.pending = write_all(target, missing, &prepared.columns, progress, cancel).await?;
    match check(stores, files, &prepared, progress, cancel).await {
        Ok(()) => Ok(prepared),
        Err(error) => {
            prepared.discard().await;
            Err(error)
        }
    }
}

impl Prepared {
    /// Puts the rows into the table with one commit. On failure nothing stays.
    pub(crate) async fn commit(self) -> Result<Outcome, IngestError> {
        let Self { target, columns, claims, pending, location_of, complete, .. } = self;
        if let Some(log) = complete {
            return Ok(Outcome { log, added: 0, locations: Vec::new(), rows: 0 });
        }
        let rows_of: Vec<(String, u64)> = pending
            .iter()
            .map(|one| (one.app_id.clone(), one.files.iter().map(|file| file.rows).sum()))
            .collect();
        let written: Vec<String> =
            pending.iter().flat_map(|one| &one.files).map(|file| file.name.clone()).collect();
        match log::commit(&target, &columns, &claims, pending).await {
            Ok((log, added)) => {
                let rows =
                    rows_of.iter().filter(|(id, _)| added.contains(id)).map(|(_, r)| r).sum();
                let locations = location_of
                    .into_iter()
                    .filter_map(|(id, location)| added.contains(&id).then_some(location))
                    .collect();
                let added = added.len() as u64;
                Ok(Outcome { log, added, locations, rows })
            }
            Err(NotCommitted { error, certain }) => {
                if certain {
                    target.discard(written).await;
                }
                Err(error)
            }
        }
    }

    /// Takes away what was written.
    pub(crate) async fn discard(self) {
        self.target.discard(names(self.pending)).await;
    }
}

fn names(pending: Vec<Pending>) -> impl Iterator<Item = String> {
    pending.into_iter().flat_map(|one| one.files).map(|file| file.name)
}

/// Writes the data files of every source, several at a time. On failure nothing stays.
async fn write_all(
    target: &Target,
    missing: Vec<(&SourceFile, Part, String)>,
    columns: &SchemaRef,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
    cancel: &Cancel,
) -> Result<Vec<Pending>, IngestError> {
    // Also stops the others where one fails.
    let stop = cancel.child_token();
    let parallel = std::thread::available_parallelism().map_or(1, usize::from).min(PARALLEL);
    let jobs = missing.into_iter().map(|(file, part, app_id)| {
        let (target, columns) = (target.clone(), Arc::clone(columns));
        let (stop, progress) = (stop.clone(), Arc::clone(progress));
        let bytes = file.stat.bytes;
        crate::blocking(move || {
            let files = write_part(&target, &part, &columns, &stop)?;
            let rows = files.iter().map(|file: &DataFile| file.rows).sum();
            progress(Progress::FileDone { location: part.location().to_owned(), bytes, rows });
            Ok(Pending { app_id, files })
        })
    });
    let outcomes: Vec<_> =
        futures::stream::iter(jobs.collect::<Vec<_>>()).buffered(parallel).collect().await;
    let mut written = Vec::new();
    let mut failure = None;
    for outcome in outcomes {
        match (outcome, &failure) {
            (Ok(pending), _) => written.push(pending),
            // Those that were stopped say less than the one that failed.
            (Err(error), None | Some(IngestError::Cancelled)) => failure = Some(error),
            (Err(_), Some(_)) => {}
        }
    }
    match failure {
        None => Ok(written),
        Some(error) => {
            target.discard(names(written)).await;
            Err(error)
        }
    }
}

/// The sources are still what they were, and what was written reads back as them.
async fn check(
    stores: &Stores,
    files: &[SourceFile],
    prepared: &Prepared,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
    cancel: &Cancel,
) -> Result<(), IngestError> {
    for file in files {
        stores.check_unchanged(&file.stat).await?;
    }
    progress(Progress::Verifying);
    for file in prepared.pending.iter().flat_map(|one| &one.files) {
        verify(&prepared.target, file, &prepared.columns, cancel).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
