//! Sources → open files, and which of them make which table.

use crate::{IngestError, IngestRequest};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use tarn_connectors::{FileStat, Found, Stores};
use tarn_formats::{FormatError, Reader};
use tarn_schemas::{TableName, TableOptions};

/// Files that are opened at the same time.
const PARALLEL: usize = 4;

/// A source file, open.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// What it was when it was found.
    pub stat: FileStat,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
    /// Its reader.
    pub reader: Arc<dyn Reader>,
}

/// A table to be made or added to.
#[derive(Debug)]
pub(crate) struct TableJob {
    /// Its name.
    pub name: TableName,
    /// How the files become rows; names the grid where the request does not name the table.
    pub options: TableOptions,
    /// The files.
    pub files: Vec<SourceFile>,
}

/// Every file that the sources stand for, once.
pub(crate) async fn find(stores: &Stores, sources: &[String]) -> Result<Vec<Found>, IngestError> {
    let mut files: Vec<Found> = Vec::new();
    for source in sources {
        files.extend(stores.find(source).await?);
    }
    // A file that is named is named, though its folder is too.
    let named: HashSet<String> =
        files.iter().filter(|file| file.named).map(|file| file.stat.location.clone()).collect();
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.stat.location.clone()));
    for file in &mut files {
        file.named = named.contains(&file.stat.location);
    }
    if files.is_empty() {
        return Err(IngestError::Nothing { problem: "no source was named".to_owned() });
    }
    Ok(files)
}

/// Opens what was found, and says which files of folders are of no format that Tarn reads.
pub(crate) async fn open_found(
    stores: &Stores,
    files: Vec<Found>,
) -> Result<(Vec<SourceFile>, Vec<String>), IngestError> {
    let opened: Vec<Result<SourceFile, String>> =
        futures::stream::iter(files.into_iter().map(|Found { stat, named }| async move {
            match open(stores, stat).await {
                Ok(file) => Ok(Ok(file)),
                Err(IngestError::Format(FormatError::UnknownFormat { location, .. })) if !named => {
                    Ok(Err(location))
                }
                Err(error) => Err(error),
            }
        }))
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    let (mut open, mut unknown) = (Vec::new(), Vec::new());
    for file in opened {
        match file {
            Ok(file) => open.push(file),
            Err(location) => unknown.push(location),
        }
    }
    if open.is_empty() {
        return Err(IngestError::Nothing {
            problem: format!(
                "no file there is of a format that Tarn reads (HDF5, NetCDF-4, NetCDF-3, SPEC, Zarr): {}",
                unknown.join(", ")
            ),
        });
    }
    Ok((open, unknown))
}

/// Opens a file and takes its checksum. A Zarr store is taken as a whole: what is pinned must say
/// when any of its chunks changes.
pub(crate) async fn open(stores: &Stores, stat: FileStat) -> Result<SourceFile, IngestError> {
    let stat = stores.whole(&stat).await?;
    let source = stores.source(&stat).await?;
    let options = stores.open_options(None);
    let reader = crate::blocking(move || Ok(source.open(&options)?)).await?;
    let sha256 = stores.sha256(&stat).await?;
    Ok(SourceFile { stat, sha256, reader })
}

/// The tables that open files make: the one that is named, or one for each grid.
pub(crate) fn tables(
    request: &IngestRequest,
    files: Vec<SourceFile>,
) -> Result<Vec<TableJob>, IngestError> {
    if let Some(name) = &request.table {
        let options = request.options.clone();
        return Ok(vec![TableJob { name: name.clone(), options, files }]);
    }
    let mut jobs: BTreeMap<TableName, TableJob> = BTreeMap::new();
    for file in files {
        for grid in &file.reader.contents().grids {
            if request.options.grid.as_ref().is_some_and(|wanted| *wanted != grid.name) {
                continue;
            }
            let name = TableName::from_text(&grid.name).map_err(|error| IngestError::Nothing {
                problem: format!(
                    "the grid {:?} of {} makes no name of a table ({error}): name the table with \
                     --table and the grid with --grid",
                    grid.name, file.stat.location
                ),
            })?;
            let job = jobs.entry(name.clone()).or_insert_with(|| TableJob {
                name,
                options: TableOptions { grid: Some(grid.name.clone()), ..request.options.clone() },
                files: Vec::new(),
            });
            if job.options.grid.as_ref() != Some(&grid.name) {
                return Err(IngestError::Nothing {
                    problem: format!(
                        "the grids {:?} and {:?} would both be the table {}: name the table with \
                         --table and the grid with --grid",
                        job.options.grid.as_deref().unwrap_or_default(),
                        grid.name,
                        job.name
                    ),
                });
            }
            job.files.push(file.clone());
        }
    }
    if jobs.is_empty() {
        return Err(IngestError::Nothing {
            problem: match &request.options.grid {
                Some(grid) => format!(
                    "no file has a grid {grid:?}; `tarn inspect FILE` lists the grids of a file"
                ),
                None => "the files hold no array that can be read; `tarn inspect FILE` says what \
                         they hold"
                    .to_owned(),
            },
        });
    }
    Ok(jobs.into_values().collect())
}
