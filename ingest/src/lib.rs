//! Jobs: source files → verified Delta commits, or tables over files in place.

pub mod error;
pub mod facts;

pub use error::IngestError;

use std::sync::Arc;
use tarn_catalog::{Catalog, TableEntry};
use tarn_connectors::{Location, Stores};
use tarn_schemas::{DatasetName, Principal, TableName, TableOptions};

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
    /// Files that gave rows.
    pub files_added: u64,
    /// Files that were there already with the same content.
    pub files_skipped: u64,
    /// Rows added.
    pub rows_added: u64,
}

/// Ingests files. Safe to repeat: a file whose content is in the table already adds nothing; a
/// failure leaves the table, the catalog and the store's log as they were.
///
/// `store` is the folder or bucket prefix of the lab's tables: a table is `{store}/{dataset}/{table}`.
pub async fn ingest(
    catalog: &Catalog,
    stores: &Stores,
    store: &Location,
    who: &Principal,
    request: &IngestRequest,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
) -> Result<IngestReport, IngestError> {
    let _ = (catalog, stores, store, who, request, progress);
    todo!()
}
