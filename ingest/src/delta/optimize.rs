//! `tarn optimize`: the same rows of a table in fewer files, or ordered by several columns.

use super::layout;
use super::log::Log;
use super::rewrite::{Order, Rewritten, Source, rewrite};
use super::write::Target;
use crate::{Cancel, IngestError, Progress};
use arrow::datatypes::SchemaRef;
use deltalake::DeltaTableError;
use deltalake::kernel::Action;
use deltalake::kernel::transaction::{CommitBuilder, CommitProperties};
use deltalake::protocol::DeltaOperation;
use std::sync::Arc;

/// What was done to a table.
#[derive(Debug)]
pub(crate) struct Optimized {
    /// The table afterwards.
    pub log: Log,
    /// Files that were replaced, and files that replace them.
    pub files: (u64, u64),
    /// Bytes of both.
    pub bytes: (u64, u64),
}

/// Rewrites the files of a table that are worth it, and commits once. The rows stay as they are, and
/// so do the old files: versions of the dataset pin them. On failure nothing changes.
pub(crate) async fn optimize(
    target: &Target,
    log: Log,
    order: &[String],
    bytes: u64,
    progress: &Arc<dyn Fn(Progress) + Send + Sync>,
    cancel: &Cancel,
) -> Result<Optimized, IngestError> {
    let columns: SchemaRef = Arc::new(log.schema(target)?);
    let chosen = layout::columns(&columns, order).map_err(|(column, problem)| {
        IngestError::Column { table: target.table.clone(), column, problem }
    })?;
    let sources = log.sources(target)?;
    let groups = if chosen.is_empty() { small(sources, bytes) } else { vec![sources] };
    let groups: Vec<Vec<Source>> = groups.into_iter().filter(|group| !group.is_empty()).collect();
    let order = Order { columns: chosen, bytes };
    let read = || groups.iter().flatten();
    let (files, before) = (read().count() as u64, read().map(|source| source.bytes).sum());
    progress(Progress::Planned { files, bytes: before });
    let (mut actions, mut written, mut after) = (Vec::new(), Vec::new(), 0_u64);
    for group in groups.clone() {
        let shown: Vec<_> = group.iter().map(|s| (s.name.clone(), s.bytes, s.rows)).collect();
        match rewrite(target, &columns, group, &order, cancel).await {
            Ok(Rewritten { actions: more, written: names, bytes }) => {
                actions.extend(more);
                written.extend(names);
                after = after.saturating_add(bytes);
            }
            Err(error) => {
                target.discard(written).await;
                return Err(error);
            }
        }
        for (location, bytes, rows) in shown {
            progress(Progress::FileDone { location, bytes, rows });
        }
    }
    let count = written.len() as u64;
    if actions.is_empty() {
        return Ok(Optimized { log, files: (0, 0), bytes: (0, 0) });
    }
    let log = commit(target, log, actions, bytes, written).await?;
    Ok(Optimized { log, files: (files, count), bytes: (before, after) })
}

/// Files that are small, in groups that make a file each, in the order of their names (which is that
/// of their making). A file alone stays.
fn small(sources: Vec<Source>, bytes: u64) -> Vec<Vec<Source>> {
    let (mut groups, mut open, mut size) = (Vec::new(), Vec::new(), 0_u64);
    for source in sources.into_iter().filter(|source| source.bytes < bytes / 4 * 3) {
        if size.saturating_add(source.bytes) > bytes {
            groups.push(std::mem::take(&mut open));
            size = 0;
        }
        size = size.saturating_add(source.bytes);
        open.push(source);
    }
    groups.push(open);
    groups.into_iter().filter(|group: &Vec<Source>| group.len() > 1).collect()
}

/// One commit that changes no data.
async fn commit(
    target: &Target,
    log: Log,
    actions: Vec<Action>,
    bytes: u64,
    written: Vec<String>,
) -> Result<Log, IngestError> {
    let operation = DeltaOperation::Optimize {
        predicate: None,
        target_size: i64::try_from(bytes).unwrap_or(i64::MAX),
    };
    let work = async {
        let table = log.table();
        CommitBuilder::from(CommitProperties::default())
            .with_actions(actions)
            .build(Some(table.snapshot()?), table.log_store(), operation)
            .await?;
        Ok::<_, DeltaTableError>(())
    };
    let done = work.await;
    let newest = Log::load(target).await;
    let taken = matches!(&newest, Ok(Some(log)) if log.has_file(&written));
    match (done, newest) {
        (Ok(()), Ok(Some(log))) => Ok(log),
        // The store took the commit and its answer got lost.
        (Err(_), Ok(Some(log))) if taken => Ok(log),
        (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(None)) => Err(IngestError::Conflict {
            table: target.table.clone(),
            problem: "the table is gone after the commit".to_owned(),
        }),
        (Err(error), newest) => {
            // Where the log cannot be read, a request may still be on its way.
            if newest.is_ok() && target.location.local_path().is_some() {
                target.discard(written).await;
            }
            if IngestError::is_lost_race(&error) {
                return Err(IngestError::Conflict {
                    table: target.table.clone(),
                    problem: "another writer changed its files meanwhile; optimize again"
                        .to_owned(),
                });
            }
            Err(IngestError::below(&target.table, &target.location, &error))
        }
    }
}
