//! The Delta log of one table: its state, and the one commit of an ingest.

use super::identity::Claim;
use super::merge::{Merged, merge};
use super::rewrite::Source;
use super::stats::stats_json;
use super::write::{DataFile, Target};
use crate::IngestError;
use arrow::datatypes::Schema;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::{CommitBuilder, CommitData, CommitProperties};
use deltalake::kernel::{
    Action, Add, Metadata, MetadataExt, Protocol, StorageType, StructType, Transaction,
    new_metadata,
};
use deltalake::logstore::CommitOrBytes;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tarn_catalog::{TableEntry, TableStorage, schema_text};
use tarn_connectors::Location;
use tarn_schemas::TableName;

/// Commits lost to other writers before giving up, on top of those that Delta repeats by itself.
const ATTEMPTS: u32 = 20;
/// Application transactions have a number; where one stands for content, its id alone says what
/// happened.
const TRANSACTION: i64 = 1;

/// The state of a table that exists.
#[derive(Debug)]
pub(crate) struct Log(DeltaTable);

/// One source file's rows, ready to be committed.
#[derive(Debug)]
pub(crate) struct Pending {
    /// Application transaction that stands for the content.
    pub app_id: String,
    /// Its data files; none for a source without rows.
    pub files: Vec<DataFile>,
}

/// Why nothing was committed.
#[derive(Debug)]
pub(crate) struct NotCommitted {
    /// Why.
    pub error: IngestError,
    /// Whether it is certain that no log names the data files.
    pub certain: bool,
}

impl Log {
    /// The newest state; `None` if there is no table yet.
    pub(crate) async fn load(target: &Target) -> Result<Option<Self>, IngestError> {
        let failed =
            |error: DeltaTableError| IngestError::below(&target.table, &target.location, &error);
        let url = target.location.url().clone();
        let mut table = DeltaTableBuilder::from_url(url.clone())
            .map_err(failed)?
            .with_storage_backend(Arc::clone(&target.store), url)
            .build()
            .map_err(failed)?;
        if !table.verify_deltatable_existence().await.map_err(failed)? {
            return Ok(None);
        }
        table.load().await.map_err(failed)?;
        Ok(Some(Self(table)))
    }

    /// Version of the state.
    pub(crate) fn version(&self) -> u64 {
        self.0.version().unwrap_or_default()
    }

    /// Columns, with the metadata of their fields.
    pub(crate) fn schema(&self, target: &Target) -> Result<Schema, IngestError> {
        let state = self
            .0
            .snapshot()
            .map_err(|error| IngestError::below(&target.table, &target.location, &error))?;
        Ok(state.snapshot().arrow_schema().as_ref().clone())
    }

    /// Whether the content that an application transaction stands for is in the table.
    pub(crate) async fn has(&self, target: &Target, app_id: &str) -> Result<bool, IngestError> {
        Ok(self.transaction(target, app_id).await?.is_some())
    }

    /// The number of an application transaction.
    async fn transaction(&self, target: &Target, app_id: &str) -> Result<Option<i64>, IngestError> {
        let failed =
            |error: DeltaTableError| IngestError::below(&target.table, &target.location, &error);
        let state = self.0.snapshot().map_err(failed)?;
        let store = self.0.log_store();
        state.transaction_version(store.as_ref(), app_id).await.map_err(failed)
    }

    /// Which of these claims the table does not know.
    ///
    /// # Errors
    /// [`IngestError::Conflict`] for a claim that stands there with another number.
    pub(crate) async fn unknown(
        &self,
        target: &Target,
        claims: &[Claim],
    ) -> Result<Vec<Claim>, IngestError> {
        let mut unknown = Vec::new();
        for claim in claims {
            match self.transaction(target, &claim.app_id).await? {
                None => unknown.push(claim.clone()),
                Some(number) if number == claim.number => {}
                Some(_) => return Err(conflict(target, &claim.refusal)),
            }
        }
        Ok(unknown)
    }

    /// Names of the data files of this state.
    fn files(&self) -> HashSet<String> {
        self.0
            .snapshot()
            .map(|state| state.log_data().iter().map(|file| file.path().into_owned()).collect())
            .unwrap_or_default()
    }

    /// Whether the table finds its columns in files by numbers.
    pub(crate) fn maps_by_number(&self, target: &Target) -> Result<bool, IngestError> {
        let state = self
            .0
            .snapshot()
            .map_err(|error| IngestError::below(&target.table, &target.location, &error))?;
        let mode = state.metadata().configuration().get("delta.columnMapping.mode");
        Ok(mode.is_some_and(|mode| mode == "id"))
    }

    /// Paths of the data files, decoded, and their lengths.
    pub(crate) fn files_with_bytes(&self) -> Vec<(String, u64)> {
        let Ok(state) = self.0.snapshot() else { return Vec::new() };
        let bytes = |bytes| u64::try_from(bytes).unwrap_or(0);
        let files = state.log_data();
        files.iter().map(|file| (file.path().into_owned(), bytes(file.size()))).collect()
    }

    /// The table.
    pub(super) fn table(&self) -> &DeltaTable {
        &self.0
    }

    /// Whether any of these data files is in this state.
    pub(super) fn has_file(&self, names: &[String]) -> bool {
        let files = self.files();
        names.iter().any(|name| files.contains(name))
    }

    /// The data files in the order of their names.
    ///
    /// # Errors
    /// Tables that Tarn did not write: with partitions, deletion vectors or mapped columns.
    pub(super) fn sources(&self, target: &Target) -> Result<Vec<Source>, IngestError> {
        let failed =
            |error: DeltaTableError| IngestError::below(&target.table, &target.location, &error);
        let state = self.0.snapshot().map_err(failed)?;
        let metadata = state.metadata();
        let mut foreign = !metadata.partition_columns().is_empty()
            || metadata.configuration().contains_key("delta.columnMapping.mode");
        let mut sources = Vec::new();
        for file in state.log_data() {
            foreign |= file.deletion_vector_descriptor().is_some();
            let rows = file.num_records().and_then(|rows| u64::try_from(rows).ok());
            sources.push(Source {
                name: file.path().into_owned(),
                bytes: u64::try_from(file.size()).unwrap_or(0),
                rows: rows.unwrap_or(0),
                // delta-rs overlooks that two writers remove the same files where that is said to change
                // no data, and both would add the rows again.
                remove: file.remove_action(true),
            });
        }
        if foreign {
            return Err(conflict(
                target,
                "it has partitions, deletion vectors or mapped columns, which Tarn does not write",
            ));
        }
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(sources)
    }

    /// Rows, where the log tells them of every file.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.0.snapshot().ok()?.log_data().iter().try_fold(0_u64, |rows, file| {
            let written = u64::try_from(file.num_records()?).ok()?;
            // The log counts rows as they were written, those that were deleted since too.
            let deleted = match file.deletion_vector_descriptor() {
                Some(vector) => u64::try_from(vector.cardinality).ok()?,
                None => 0,
            };
            rows.checked_add(written.checked_sub(deleted)?)
        })
    }

    /// Bytes of the data files, and a SHA-256 that tells this state of the table from others.
    pub(crate) fn content(&self, target: &Target) -> Result<(u64, String), IngestError> {
        let state = self
            .0
            .snapshot()
            .map_err(|error| IngestError::below(&target.table, &target.location, &error))?;
        let mut files: Vec<(String, u64, String)> = state
            .log_data()
            .iter()
            .map(|file| {
                let vector = file.deletion_vector_descriptor().map(|vector| {
                    let offset = vector.offset.unwrap_or_default();
                    format!("{}{}@{offset}", vector.storage_type, vector.path_or_inline_dv)
                });
                let bytes = u64::try_from(file.size()).unwrap_or(0);
                (file.path().into_owned(), bytes, vector.unwrap_or_default())
            })
            .collect();
        files.sort();
        let (mut hash, mut total) = (Sha256::new(), 0_u64);
        for (path, bytes, vector) in files {
            total = total.saturating_add(bytes);
            hash.update(format!("{path}\0{bytes}\0{vector}\n"));
        }
        let digits = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((total, digits))
    }

    /// What the catalog keeps of the table.
    pub(crate) fn entry(
        &self,
        name: &TableName,
        target: &Target,
    ) -> Result<TableEntry, IngestError> {
        let schema = self.schema(target)?;
        Ok(TableEntry {
            name: name.clone(),
            storage: TableStorage::Delta {
                url: target.location.url().to_string(),
                version: self.version(),
            },
            schema: schema_text::encode(&schema_text::without_delta_keys(&schema)),
            rows: self.rows(),
            columns: schema_text::columns(&schema),
        })
    }

    /// Refuses a table whose log names files outside its folder: whoever writes the log would choose
    /// what of the store is read as a table.
    pub(crate) fn check_reach(&self, target: &Target) -> Result<(), IngestError> {
        let state = self
            .0
            .snapshot()
            .map_err(|error| IngestError::below(&target.table, &target.location, &error))?;
        let outside = state.log_data().iter().any(|file| {
            let vector = file.deletion_vector_descriptor();
            !Location::stays_inside(&file.path())
                || vector.is_some_and(|vector| vector.storage_type == StorageType::AbsolutePath)
        });
        if outside {
            return Err(conflict(
                target,
                "its log names files outside its folder (absolute paths, as shallow clones have): \
                 make a deep copy of the table",
            ));
        }
        Ok(())
    }
}

/// Puts all pending files into the table with one commit, and says which transactions it added;
/// the others were added by somebody else meanwhile. A lost race is repeated on the newer state.
pub(crate) async fn commit(
    target: &Target,
    columns: &Schema,
    claims: &[Claim],
    mut pending: Vec<Pending>,
) -> Result<(Log, HashSet<String>), NotCommitted> {
    let certain = |error| NotCommitted { error, certain: true };
    let uncertain = |error| NotCommitted { error, certain: false };
    let mut tried = false;
    for attempt in 0..ATTEMPTS {
        let log = Log::load(target)
            .await
            .map_err(|error| if tried { uncertain(error) } else { certain(error) })?;
        let mut new = claims.to_vec();
        if let Some(log) = &log {
            // Not certain where a commit of ours was tried: it may have been taken.
            new = log
                .unknown(target, claims)
                .await
                .map_err(|error| if tried { uncertain(error) } else { certain(error) })?;
            let mut missing = Vec::new();
            let mut ours = HashSet::new();
            let files = log.files();
            for one in pending {
                let there = log.has(target, &one.app_id).await.map_err(uncertain)?;
                let own = one.files.iter().any(|file| files.contains(&file.name));
                match (there, own) {
                    (false, _) => missing.push(one),
                    // The store took a commit of ours and its answer got lost.
                    (true, true) => _ = ours.insert(one.app_id),
                    (true, false) => {
                        target.discard(one.files.into_iter().map(|file| file.name)).await;
                    }
                }
            }
            pending = missing;
            if pending.is_empty() {
                let log = Log::load(target).await.map_err(uncertain)?;
                let gone = || conflict(target, "the table is gone");
                return Ok((log.ok_or_else(gone).map_err(uncertain)?, ours));
            }
        }
        let merged = fit(target, log.as_ref(), columns).map_err(certain)?;
        match attempt_commit(target, log.as_ref(), &merged, &pending, &new).await {
            Ok(()) => {
                let added = pending.iter().map(|one| one.app_id.clone()).collect();
                let log = Log::load(target).await.map_err(uncertain)?;
                let gone = || conflict(target, "the table is gone after the commit");
                return Ok((log.ok_or_else(gone).map_err(uncertain)?, added));
            }
            Err(error) if IngestError::is_lost_race(&error) => {
                tracing::info!(table = %target.table, attempt, %error, "a commit is repeated");
                tried = true;
                tokio::time::sleep(Duration::from_millis(20 << attempt.min(6))).await;
            }
            Err(error) => {
                let error = IngestError::below(&target.table, &target.location, &error);
                return resolve(target, pending, error).await;
            }
        }
    }
    Err(certain(conflict(target, "other writers were always faster; ingest again later")))
}

/// After a failed commit: the store may have taken it all the same.
async fn resolve(
    target: &Target,
    pending: Vec<Pending>,
    error: IngestError,
) -> Result<(Log, HashSet<String>), NotCommitted> {
    match Log::load(target).await {
        Ok(Some(log)) => {
            let files = log.files();
            let own = |one: &Pending| one.files.iter().any(|file| files.contains(&file.name));
            if pending.iter().any(own) {
                tracing::warn!(table = %target.table, %error, "committed all the same");
                return Ok((log, pending.into_iter().map(|one| one.app_id).collect()));
            }
        }
        Ok(None) => {}
        Err(_) => return Err(NotCommitted { error, certain: false }),
    }
    // A request to a remote store may still be on its way.
    let certain = target.location.local_path().is_some();
    Err(NotCommitted { error, certain })
}

fn conflict(target: &Target, problem: &str) -> IngestError {
    IngestError::Conflict { table: target.table.clone(), problem: problem.to_owned() }
}

/// The table's schema with these columns, which files have been written with already.
fn fit(target: &Target, log: Option<&Log>, columns: &Schema) -> Result<Merged, IngestError> {
    let existing = log.map(|log| log.schema(target)).transpose()?;
    let merged = merge(&target.table, existing.as_ref(), columns)?;
    let same = |(a, b): (&Arc<_>, &Arc<_>)| {
        let (a, b): (&arrow::datatypes::Field, &arrow::datatypes::Field) = (a, b);
        a.data_type() == b.data_type()
    };
    if merged.files.fields().iter().zip(columns.fields()).all(same) {
        return Ok(merged);
    }
    Err(conflict(target, "its columns changed while the files were written; ingest again"))
}

/// One try to commit on this state.
async fn attempt_commit(
    target: &Target,
    log: Option<&Log>,
    merged: &Merged,
    pending: &[Pending],
    claims: &[Claim],
) -> Result<(), DeltaTableError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let adds = pending.iter().flat_map(|one| &one.files).map(|file| {
        Action::Add(Add {
            path: file.name.clone(),
            partition_values: HashMap::new(),
            size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
            modification_time: now,
            data_change: true,
            stats: Some(stats_json(file.rows, &merged.files, &file.figures)),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    });
    let transactions: Vec<_> = pending
        .iter()
        .map(|one| (&one.app_id, TRANSACTION))
        .chain(claims.iter().map(|claim| (&claim.app_id, claim.number)))
        .map(|(id, number)| Transaction::new_with_last_update(id, number, Some(now)))
        .collect();
    let schema: StructType = (&merged.table).try_into_kernel()?;
    let Some(Log(table)) = log else {
        let metadata = first_metadata(&schema)?;
        let protocol = first_protocol()?;
        let operation = DeltaOperation::Create {
            mode: SaveMode::ErrorIfExists,
            location: target.location.url().clone(),
            protocol: protocol.clone(),
            metadata: metadata.clone(),
        };
        let actions =
            [Action::Protocol(protocol), Action::Metadata(metadata)].into_iter().chain(adds);
        let data = CommitData::new(actions.collect(), operation, HashMap::new(), transactions);
        let url = target.location.url().clone();
        let store = DeltaTableBuilder::from_url(url.clone())?
            .with_storage_backend(Arc::clone(&target.store), url)
            .build()?
            .log_store();
        let bytes = CommitOrBytes::LogBytes(data.get_bytes()?);
        // Written as version 0 or not at all: Delta's own builder would go on after a lost race
        // without asking whether the winner had the same files.
        return Ok(store.write_commit_entry(0, bytes, uuid::Uuid::new_v4()).await?);
    };
    let state = table.snapshot()?;
    let mut actions = Vec::new();
    if !merged.added.is_empty() {
        actions.push(Action::Metadata(state.metadata().clone().with_schema(&schema)?));
    }
    actions.extend(adds);
    let operation =
        DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
    let properties = CommitProperties::default().with_application_transactions(transactions);
    CommitBuilder::from(properties)
        .with_actions(actions)
        .build(Some(state), table.log_store(), operation)
        .await?;
    Ok(())
}

/// Properties of a new table. Old log entries stay: versions of datasets pin versions of tables.
fn first_metadata(schema: &StructType) -> Result<Metadata, DeltaTableError> {
    let none: [String; 0] = [];
    Ok(new_metadata(
        schema,
        none,
        [("delta.checkpointInterval", "10"), ("delta.enableExpiredLogCleanup", "false")],
    )?)
}

/// Timestamps without zone, and nothing that readers could lack: no deletion vectors, no column
/// mapping, no row tracking.
fn first_protocol() -> Result<Protocol, DeltaTableError> {
    Ok(serde_json::from_value(json!({
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["timestampNtz"],
        "writerFeatures": ["timestampNtz"],
    }))?)
}
