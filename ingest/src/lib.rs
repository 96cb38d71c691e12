//! Jobs: source files → verified Delta commits, or tables over files in place.

mod delta;
pub mod error;
pub mod facts;
mod figures;
mod foreign;
mod in_place;
mod listed;
mod optimize;
mod plan;

pub use error::IngestError;
pub use optimize::{OptimizeReport, OptimizeRequest, OptimizedTable, optimize};

pub use delta::{discard_folder, new_folder, write_table};

use delta::{Log, Prepared, Target};
use plan::TableJob;
use std::collections::HashSet;
use std::sync::Arc;
use tarn_catalog::{Action, Catalog, CatalogError, Dataset, TableEntry, TableStorage};
use tarn_connectors::{Location, StoreError, Stores};
use tarn_schemas::{DatasetName, DatasetRef, Principal, TableName, TableOptions};

/// What to ingest.
#[derive(Debug, Clone)]
pub struct IngestRequest {
    /// Paths, URLs, globs or folders.
    pub sources: Vec<String>,
    /// The dataset, registered before.
    pub dataset: DatasetName,
    /// The table; without it one table per grid, named after the grid.
    pub table: Option<TableName>,
    /// How the files become a table.
    pub options: TableOptions,
    /// Query the files where they are instead of copying them into Delta.
    pub in_place: bool,
}

/// What is going on, for progress bars and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Files and bytes to do.
    Planned {
        /// Files.
        files: u64,
        /// Bytes of all files.
        bytes: u64,
    },
    /// One file is read and written.
    FileDone {
        /// The file.
        location: String,
        /// Its bytes.
        bytes: u64,
        /// Rows it gave.
        rows: u64,
    },
    /// Written data are read back.
    Verifying,
    /// The commit is made.
    Committed {
        /// The table.
        table: TableName,
        /// Delta version.
        version: u64,
    },
}

/// What was done, by table.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestReport {
    /// The tables as they are in the catalog now.
    pub tables: Vec<TableEntry>,
    /// Dataset version that holds them.
    pub dataset_version: u32,
    /// Files that gave rows to at least one table.
    pub files_added: u64,
    /// Files that gave nothing new to any table: they were there already with the same content.
    pub files_skipped: u64,
    /// Files that were left out because they are byte-identical copies of others in the table.
    pub copies: Vec<String>,
    /// Rows added.
    pub rows_added: u64,
    /// Files of the folders that are of no format that Tarn reads, and were left out.
    pub unknown: Vec<String>,
}

impl IngestReport {
    /// Names a copy once, however many tables it was left out of.
    fn note_copies(&mut self, copies: Vec<String>) {
        for copy in copies {
            if !self.copies.contains(&copy) {
                self.copies.push(copy);
            }
        }
    }

    /// Counts a file once, however many tables it gave rows to.
    fn count_files(&mut self, total: usize, added: &HashSet<String>) {
        self.files_added = added.len() as u64;
        self.files_skipped = total.saturating_sub(added.len()) as u64;
    }
}

/// Stops an ingest: until its first commit nothing stays of it, afterwards it goes on to its end.
pub type Cancel = tokio_util::sync::CancellationToken;

/// Ingests files. Safe to repeat: a file whose content is in the table already adds nothing; a
/// failure leaves the tables, the catalog and the store's logs as they were, because all tables are
/// written and read back before the first is committed. Should a later commit fail all the same,
/// [`IngestError::Partial`] names the tables that were committed, and the catalog knows them.
///
/// Refused are a file that a Delta table holds with other content or read in another way, and one
/// that the record does not list. A byte-identical copy of a file is the same data: it is left out
/// unless a column tells its path.
///
/// `store` is the folder or bucket prefix of the lab's tables: a table is `{store}/{dataset}/{table}`.
pub async fn ingest(
    catalog: &Catalog,
    stores: &Stores,
    store: &Location,
    who: &Principal,
    request: &IngestRequest,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
    cancel: &Cancel,
) -> Result<IngestReport, IngestError> {
    let reference = DatasetRef { lab: None, name: request.dataset.clone(), version: None };
    let dataset = catalog.dataset(who, &reference).await?;
    if let Some(reason) = catalog.decide(who, Action::Write, &dataset).await?.refusal() {
        return Err(CatalogError::Denied(reason).into());
    }
    let found = plan::find(stores, &request.sources).await?;
    let tables = foreign::among(request, &found)?;
    if !tables.is_empty() {
        return use_foreign(catalog, stores, store, who, (&dataset, request), &tables).await;
    }
    progress(Progress::Planned {
        files: found.len() as u64,
        bytes: found.iter().map(|file| file.stat.bytes).sum(),
    });
    let (files, unknown) = tokio::select! {
        opened = plan::open_found(stores, found) => opened?,
        () = cancel.cancelled() => return Err(IngestError::Cancelled),
    };
    let mut report = IngestReport {
        tables: Vec::new(),
        dataset_version: dataset.version,
        files_added: 0,
        files_skipped: 0,
        copies: Vec::new(),
        rows_added: 0,
        unknown,
    };
    listed::check(&dataset, &files)?;
    let total = files.len();
    let jobs = plan::tables(request, files)?;
    let existing = |job: &TableJob| dataset.tables.iter().find(|entry| entry.name == job.name);
    if request.in_place {
        let mut added = HashSet::new();
        for job in &jobs {
            let pinned = in_place::pin(stores, job, existing(job)).await?;
            index(catalog, &pinned).await;
            added.extend(pinned.added);
            report.note_copies(pinned.copies);
            report.rows_added += pinned.rows;
            report.tables.push(pinned.entry);
        }
        report.count_files(total, &added);
        report.dataset_version =
            catalog.put_tables(who, &request.dataset, report.tables.clone()).await?;
        return Ok(report);
    }
    let mut prepared = Vec::with_capacity(jobs.len());
    for job in &jobs {
        let ready = async {
            let target = target(stores, store, &request.dataset, job, existing(job)).await?;
            let ready =
                delta::prepare(stores, &target, &job.files, &job.options, &progress, cancel);
            Ok((ready.await?, target))
        };
        match ready.await {
            Ok((ready, target)) => prepared.push((job, target, ready)),
            Err(error) => {
                discard(prepared).await;
                return Err(error);
            }
        }
    }
    if cancel.is_cancelled() {
        discard(prepared).await;
        return Err(IngestError::Cancelled);
    }
    commit(catalog, who, &request.dataset, prepared, total, report, &progress).await
}

/// Pins Delta tables of others at their newest versions.
async fn use_foreign(
    catalog: &Catalog,
    stores: &Stores,
    store: &Location,
    who: &Principal,
    (dataset, request): (&Dataset, &IngestRequest),
    locations: &[Location],
) -> Result<IngestReport, IngestError> {
    let (mut tables, mut added, mut rows) = (Vec::new(), 0_u64, 0_u64);
    for location in locations {
        let pinned = foreign::pin(stores, store, dataset, request.table.as_ref(), location).await?;
        added = added.saturating_add(u64::from(pinned.is_new));
        rows = rows.saturating_add(pinned.rows);
        tables.push(pinned.entry);
    }
    Ok(IngestReport {
        dataset_version: catalog.put_tables(who, &request.dataset, tables.clone()).await?,
        files_skipped: (tables.len() as u64).saturating_sub(added),
        tables,
        files_added: added,
        copies: Vec::new(),
        rows_added: rows,
        unknown: Vec::new(),
    })
}

/// Whether a place is in the folder or bucket prefix of the lab's own tables.
pub(crate) fn inside(store: &Location, location: &Location) -> bool {
    location.child("").url().as_str().starts_with(store.child("").url().as_str())
}

/// Puts the metadata of a table's files into the chunk index. Queries open the files where it fails.
async fn index(catalog: &Catalog, pinned: &in_place::Pinned) {
    let TableStorage::InPlace { files, .. } = &pinned.entry.storage else { return };
    let checksums: Vec<String> = files.iter().map(|file| file.sha256.clone()).collect();
    let (index, metadata) = (catalog.chunk_index().clone(), pinned.metadata.clone());
    let table = pinned.entry.name.to_string();
    let stored = tokio::task::spawn_blocking(move || {
        let checksums: Vec<&str> = checksums.iter().map(String::as_str).collect();
        index.store(&checksums, &metadata)
    });
    if let Ok(Err(error)) = stored.await {
        tracing::warn!(table, %error, "the chunk index cannot be written");
    }
}

/// Commits one table after another and tells the catalog.
async fn commit(
    catalog: &Catalog,
    who: &Principal,
    dataset: &DatasetName,
    prepared: Vec<(&TableJob, Target, Prepared)>,
    total: usize,
    mut report: IngestReport,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<IngestReport, IngestError> {
    let (mut done, mut committed, mut failure) = (Vec::new(), Vec::new(), None);
    let mut added = HashSet::new();
    let mut waiting = prepared.into_iter();
    for (job, target, mut ready) in waiting.by_ref() {
        report.note_copies(std::mem::take(&mut ready.copies));
        let outcome = ready.commit().await;
        let outcome =
            outcome.and_then(|outcome| Ok((outcome.log.entry(&job.name, &target)?, outcome)));
        let (entry, outcome) = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        added.extend(outcome.locations);
        report.rows_added += outcome.rows;
        if outcome.added > 0 {
            let version = outcome.log.version();
            committed.push(job.name.to_string());
            progress(Progress::Committed { table: job.name.clone(), version });
        }
        report.tables.push(entry);
        done.push((job, target));
    }
    discard(waiting).await;
    report.count_files(total, &added);
    if failure.is_none() || !committed.is_empty() {
        let told = tell(catalog, who, dataset, &done, &mut report).await;
        failure = failure.or(told.err());
    }
    match failure {
        None => Ok(report),
        Some(error) if committed.is_empty() => Err(error),
        Some(error) => Err(IngestError::Partial { tables: committed, error: Box::new(error) }),
    }
}

/// Takes away what was written for tables that are not committed.
async fn discard(prepared: impl IntoIterator<Item = (&TableJob, Target, Prepared)>) {
    for (_, _, ready) in prepared {
        ready.discard().await;
    }
}

/// Tells the catalog of the tables. Another ingest may commit and tell it between our commit and
/// our word: who comes last must leave the newest version there.
async fn tell(
    catalog: &Catalog,
    who: &Principal,
    dataset: &DatasetName,
    done: &[(&TableJob, Target)],
    report: &mut IngestReport,
) -> Result<(), IngestError> {
    loop {
        report.dataset_version = catalog.put_tables(who, dataset, report.tables.clone()).await?;
        let mut newest = Vec::with_capacity(done.len());
        for (job, target) in done {
            let log = Log::load(target).await?.ok_or_else(|| IngestError::Conflict {
                table: job.name.to_string(),
                problem: "the table is gone".to_owned(),
            })?;
            newest.push(log.entry(&job.name, target)?);
        }
        if newest == report.tables {
            return Ok(());
        }
        report.tables = newest;
    }
}

/// Where the Delta table of a job is or will be.
async fn target(
    stores: &Stores,
    store: &Location,
    dataset: &DatasetName,
    job: &TableJob,
    existing: Option<&TableEntry>,
) -> Result<Target, IngestError> {
    let location = match existing.map(|entry| &entry.storage) {
        Some(TableStorage::Delta { url, .. }) => {
            let location = Location::parse(url)?;
            if !inside(store, &location) {
                return Err(IngestError::Conflict {
                    table: job.name.to_string(),
                    problem: format!(
                        "it is the Delta table at {location}, which is not in this lab's store, so \
                         nothing is written to it: use another name"
                    ),
                });
            }
            // Tables that queries made have folders of other names, and stay what was made.
            if url.trim_end_matches('/').rsplit('/').next() != Some(job.name.as_str()) {
                return Err(IngestError::Conflict {
                    table: job.name.to_string(),
                    problem:
                        "it was made by a query and stays what it made: ingest into another table \
                              (--table NAME)"
                            .to_owned(),
                });
            }
            location
        }
        Some(TableStorage::InPlace { .. }) => {
            return Err(IngestError::Conflict {
                table: job.name.to_string(),
                problem: "its files are used in place: add --in-place or use another name"
                    .to_owned(),
            });
        }
        None => store.child(&format!("{dataset}/{}", job.name)),
    };
    place(stores, job.name.as_str(), location).await
}

/// A folder for the data of a table. A store that cannot hold one is refused.
async fn place(stores: &Stores, table: &str, location: Location) -> Result<Target, IngestError> {
    let (backend, folder) = stores.object_store(&location)?;
    match location.url().scheme() {
        "file" => {}
        "s3" => delta::check_conditional_puts(&location, backend.as_ref(), &folder).await?,
        _ => {
            return Err(StoreError::Invalid {
                location: location.to_string(),
                problem: "tables need a store that can be written: a folder or s3://".to_owned(),
            }
            .into());
        }
    }
    Ok(Target { table: table.to_owned(), location, store: backend, folder })
}

/// Runs work that blocks on a thread that may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(IngestError::Delta {
            table: "(none)".to_owned(),
            problem: format!("the work was stopped by a defect of Tarn: {error}"),
        })
    })
}
