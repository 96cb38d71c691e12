//! Source files → rows of one Delta table.

mod log;
mod merge;
mod probe;
mod stats;
mod types;
mod verify;
mod write;

pub(crate) use log::Log;
pub(crate) use probe::check_conditional_puts;
pub(crate) use write::Target;

use crate::plan::SourceFile;
use crate::{IngestError, Progress};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use log::{NotCommitted, Pending, Source};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tarn_connectors::Stores;
use tarn_formats::Table;
use tarn_formats::table::{Dependence, Part};
use tarn_schemas::{ColumnSource, TableOptions};
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

/// Adds the rows of source files to a table: writes, reads back, commits once.
pub(crate) async fn ingest_table(
    stores: &Stores,
    target: &Target,
    files: &[SourceFile],
    options: &TableOptions,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<Outcome, IngestError> {
    let readers: Vec<_> = files.iter().map(|file| Arc::clone(&file.reader)).collect();
    let own = options.clone();
    let table = crate::blocking(move || Ok(Table::open(&readers, &own)?)).await?;
    let new = types::delta_schema(&target.table, table.schema())?;
    let before = Log::load(target).await?;
    let existing = before.as_ref().map(|log| log.schema(target)).transpose()?;
    let columns: SchemaRef = Arc::new(merge::merge(&target.table, existing.as_ref(), &new)?.files);

    let mut places = HashMap::new();
    for file in files {
        let source = source(file, options)?;
        places.insert(source.app_id.clone(), source);
    }
    let sources: Vec<Source> = places.into_values().collect();
    if let Some(log) = &before {
        log.unknown(target, &sources).await?;
    }
    let mut seen = HashSet::new();
    let mut missing = Vec::new();
    for (file, part) in files.iter().zip(table.parts()) {
        let app_id = app_id(file, part, &table, options)?;
        let there = match &before {
            Some(log) => log.has(target, &app_id).await?,
            None => false,
        };
        if seen.insert(app_id.clone()) && !there {
            missing.push((file, part.clone(), app_id));
        }
    }
    if missing.is_empty()
        && let Some(log) = before
    {
        return Ok(Outcome { log, added: 0, locations: Vec::new(), rows: 0 });
    }
    if let Some(log) = &before {
        refuse_other_options(log, target, &missing, options).await?;
    }
    let location_of: Vec<(String, String)> = missing
        .iter()
        .map(|(file, _, app_id)| (app_id.clone(), file.stat.location.clone()))
        .collect();

    let pending = write_all(target, missing, &columns, progress).await?;
    let checked = check(stores, target, files, &pending, &columns, progress).await;
    if let Err(error) = checked {
        target.discard(names(pending)).await;
        return Err(error);
    }
    let rows_of: Vec<(String, u64)> = pending
        .iter()
        .map(|one| (one.app_id.clone(), one.files.iter().map(|file| file.rows).sum()))
        .collect();
    let written: Vec<String> =
        pending.iter().flat_map(|one| &one.files).map(|file| file.name.clone()).collect();
    match log::commit(target, &columns, &sources, pending).await {
        Ok((log, added)) => {
            let rows = rows_of.iter().filter(|(id, _)| added.contains(id)).map(|(_, r)| r).sum();
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

fn names(pending: Vec<Pending>) -> impl Iterator<Item = String> {
    pending.into_iter().flat_map(|one| one.files).map(|file| file.name)
}

/// Writes the data files of every source, several at a time. On failure nothing stays.
async fn write_all(
    target: &Target,
    missing: Vec<(&SourceFile, Part, String)>,
    columns: &SchemaRef,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<Vec<Pending>, IngestError> {
    let stop = Arc::new(AtomicBool::new(false));
    let parallel = std::thread::available_parallelism().map_or(1, usize::from).min(PARALLEL);
    let jobs = missing.into_iter().map(|(file, part, app_id)| {
        let (target, columns) = (target.clone(), Arc::clone(columns));
        let (stop, progress) = (Arc::clone(&stop), Arc::clone(progress));
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
        match outcome {
            Ok(pending) => written.push(pending),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        None => Ok(written),
        Some(error) => {
            stop.store(true, Ordering::Relaxed);
            target.discard(names(written)).await;
            Err(error)
        }
    }
}

/// The sources are still what they were, and what was written reads back as them.
async fn check(
    stores: &Stores,
    target: &Target,
    files: &[SourceFile],
    pending: &[Pending],
    columns: &SchemaRef,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<(), IngestError> {
    for file in files {
        stores.check_unchanged(&file.stat).await?;
    }
    progress(Progress::Verifying);
    for file in pending.iter().flat_map(|one| &one.files) {
        verify(target, file, columns).await?;
    }
    Ok(())
}

/// A file whose content is in the table, read in another way: both readings hold the same rows.
async fn refuse_other_options(
    log: &Log,
    target: &Target,
    missing: &[(&SourceFile, Part, String)],
    options: &TableOptions,
) -> Result<(), IngestError> {
    let mut sources = Vec::new();
    for (file, ..) in missing {
        sources.push(source(file, options)?);
    }
    let unknown: HashSet<String> =
        log.unknown(target, &sources).await?.into_iter().map(|place| place.app_id).collect();
    match sources.iter().find(|place| !unknown.contains(&place.app_id)) {
        None => Ok(()),
        Some(place) => Err(IngestError::Conflict {
            table: target.table.clone(),
            problem: format!(
                "{} was ingested into it before with other options, so its rows are there already; \
                 use the same --column, --select and --layout, or another table (--table NAME)",
                place.location
            ),
        }),
    }
}

/// What the log remembers of a file's place: where it is and which of its grids is read.
fn source(file: &SourceFile, options: &TableOptions) -> Result<Source, IngestError> {
    let location = file.stat.location.clone();
    let grid = resolved(file, options).grid.unwrap_or_default();
    let place = hexadecimal(&Sha256::digest(format!("{location}\n{grid}")), 16);
    // Sixty bits: always a positive number.
    let content = file.sha256.get(..15).and_then(|digits| i64::from_str_radix(digits, 16).ok());
    let content = content.ok_or_else(|| IngestError::Delta {
        table: String::new(),
        problem: format!("{:?} is no checksum of {location}", file.sha256),
    })?;
    Ok(Source { app_id: format!("tarn:source:{place}"), content, location })
}

/// Options with the grid that they mean for this file.
fn resolved(file: &SourceFile, options: &TableOptions) -> TableOptions {
    let mut options = options.clone();
    if options.grid.is_none() {
        options.grid = file.reader.contents().grids.first().map(|grid| grid.name.clone());
    }
    options
}

fn hexadecimal(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| format!("{byte:02x}")).collect()
}

/// The application transaction that stands for the rows that a file gives: its content, how it is
/// read, and what its path adds to the rows. The same content elsewhere is the same rows unless a
/// column tells where.
fn app_id(
    file: &SourceFile,
    part: &Part,
    table: &Table,
    options: &TableOptions,
) -> Result<String, IngestError> {
    let options = resolved(file, options);
    let mut hash = Sha256::new();
    hash.update(serde_json::to_string(&options).map_err(|error| IngestError::Delta {
        table: String::new(),
        problem: format!("its options cannot be written: {error}"),
    })?);
    let of_path = options
        .columns
        .iter()
        .filter(|(_, source)| matches!(source, ColumnSource::Path(_)))
        .map(|(name, _)| name.as_str())
        .chain(options.file_column.then_some("_file"));
    for name in of_path {
        let Some((column, _)) = table.schema().fields().find(name) else { continue };
        if part.dependence(column) != Dependence::Constant {
            continue;
        }
        let values = part.axis_values(column)?;
        let format = FormatOptions::default();
        let text = ArrayFormatter::try_new(values.as_ref(), &format)
            .and_then(|formatter| formatter.value(0).try_to_string())
            .map_err(tarn_formats::FormatError::from)?;
        hash.update(format!("\n{name}={text}"));
    }
    let how = hexadecimal(&hash.finalize(), 8);
    Ok(format!("tarn:{}:{how}", file.sha256))
}

#[cfg(test)]
mod tests;
