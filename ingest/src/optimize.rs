//! Tables of the lab's own store in a better layout: fewer files, or rows ordered by several columns.

use crate::delta::{self, Log, Target};
use crate::{Cancel, IngestError, Progress, inside};
use std::sync::Arc;
use tarn_catalog::{Action, Catalog, CatalogError, TableEntry, TableStorage};
use tarn_connectors::{Location, Stores};
use tarn_schemas::{DatasetName, DatasetRef, Principal, TableName};

/// What to optimize.
#[derive(Debug, Clone)]
pub struct OptimizeRequest {
    /// The dataset.
    pub dataset: DatasetName,
    /// One of its tables; without it all Delta tables of the lab's own store.
    pub table: Option<TableName>,
    /// Columns by which rows are ordered, each as much as the others; none keeps the order.
    pub order: Vec<String>,
    /// Bytes that a data file aims at.
    pub file_bytes: u64,
}

/// What was done to one table.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizedTable {
    /// The table as it is in the catalog now.
    pub entry: TableEntry,
    /// Data files that were replaced.
    pub files_replaced: u64,
    /// Data files that replace them.
    pub files_written: u64,
    /// Bytes that were replaced.
    pub bytes_replaced: u64,
    /// Bytes that replace them.
    pub bytes_written: u64,
}

/// What was done, by table.
#[derive(Debug, Clone, PartialEq)]
pub struct OptimizeReport {
    /// The tables.
    pub tables: Vec<OptimizedTable>,
    /// Dataset version that holds them.
    pub dataset_version: u32,
}

/// Rewrites the data files of tables. Each table gets one new Delta version with the same rows, which
/// are compared before the commit, and the dataset a new version that pins it; older versions of the
/// dataset keep the files that they pin. Safe to repeat and to kill: until the commit nothing changes,
/// and after it the rows are the same in both versions.
///
/// # Errors
/// Tables that are not the lab's own, or not Delta, are refused.
pub async fn optimize(
    catalog: &Catalog,
    stores: &Stores,
    store: &Location,
    who: &Principal,
    request: &OptimizeRequest,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
    cancel: &Cancel,
) -> Result<OptimizeReport, IngestError> {
    let reference = DatasetRef { lab: None, name: request.dataset.clone(), version: None };
    let dataset = catalog.dataset(who, &reference).await?;
    if let Some(reason) = catalog.decide(who, Action::Write, &dataset).await?.refusal() {
        return Err(CatalogError::Denied(reason).into());
    }
    let mut report = OptimizeReport { tables: Vec::new(), dataset_version: dataset.version };
    let wanted =
        |entry: &&TableEntry| request.table.as_ref().is_none_or(|name| *name == entry.name);
    for entry in dataset.tables.iter().filter(wanted) {
        let refused = |problem: &str| IngestError::Conflict {
            table: entry.name.to_string(),
            problem: problem.to_owned(),
        };
        let location = match &entry.storage {
            TableStorage::Delta { url, .. } => Location::parse(url)?,
            TableStorage::InPlace { .. } if request.table.is_none() => continue,
            TableStorage::InPlace { .. } => {
                return Err(refused("its files are used in place, and nothing is written to them"));
            }
        };
        if !inside(store, &location) {
            if request.table.is_none() {
                continue;
            }
            return Err(refused(
                "it is a Delta table of others, used in place, and nothing is written to it",
            ));
        }
        let (backend, folder) = stores.object_store(&location)?;
        let table = entry.name.to_string();
        let target = Target { table, location, store: backend, folder };
        let log = Log::load(&target).await?.ok_or_else(|| refused("its Delta log is gone"))?;
        let done =
            delta::optimize(&target, log, &request.order, request.file_bytes, &progress, cancel);
        let done = done.await?;
        let now = done.log.entry(&entry.name, &target)?;
        report.dataset_version =
            catalog.put_tables(who, &request.dataset, vec![now.clone()]).await?;
        if done.files.0 > 0 {
            let version = done.log.version();
            progress(Progress::Committed { table: entry.name.clone(), version });
        }
        report.tables.push(OptimizedTable {
            entry: now,
            files_replaced: done.files.0,
            files_written: done.files.1,
            bytes_replaced: done.bytes.0,
            bytes_written: done.bytes.1,
        });
    }
    if report.tables.is_empty() {
        return Err(IngestError::Nothing {
            problem: match &request.table {
                Some(table) => format!("dataset {} has no table {table}", request.dataset),
                None => format!("dataset {} has no Delta table of this lab's", request.dataset),
            },
        });
    }
    Ok(report)
}
