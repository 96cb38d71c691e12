//! An answer that several readers take together, each over an endpoint of its own.
//!
//! It is one run, under one decision and one set of limits, and each batch goes to whoever asks for one
//! first. A client that reads one endpoint alone therefore gets all rows, and so does one that reads them
//! one after the other: no way of reading loses or doubles any. What was given to a reader that went away
//! cannot be given again, so the other readers are told instead of being left with a part.

use super::status::refuse;
use crate::engine::{Answer, Query, Sites, Stop};
use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use tarn_schemas::code::ErrorCode;
use tokio::sync::Mutex as AsyncMutex;
use tonic::Status;

/// Most endpoints of an answer.
pub(crate) const MOST: usize = 8;

/// An answer for several readers.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Endpoints that were read, or are.
    taken: Mutex<BTreeSet<u8>>,
    run: AsyncMutex<Run>,
}

/// How far the answer is.
#[derive(Default)]
enum Run {
    /// Nobody has asked for it yet.
    #[default]
    Due,
    /// Its batches come.
    Going {
        schema: SchemaRef,
        stream: SendableRecordBatchStream,
        sites: Sites,
        query: Option<Query>,
    },
    /// All of them were given.
    Ended { schema: SchemaRef, sites: Sites },
    /// There will be no more.
    Failed,
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Due => "Due",
            Self::Going { .. } => "Going",
            Self::Ended { .. } => "Ended",
            Self::Failed => "Failed",
        })
    }
}

impl Parts {
    /// The share of one endpoint. The first that is asked for starts the run.
    ///
    /// # Errors
    /// [`ErrorCode::Conflict`] for an endpoint that was read before, and after a failure; those of `start`.
    pub(crate) async fn read(
        self: Arc<Self>,
        part: u8,
        start: impl Future<Output = Result<Answer, Status>>,
    ) -> Result<Answer, Status> {
        let mut run = self.run.lock().await;
        if !self.taken().insert(part) {
            return Err(refuse(
                ErrorCode::Conflict,
                "this part of the answer was read already; send the statement again",
            ));
        }
        if matches!(*run, Run::Due) {
            let begun = start.await.inspect_err(|_| {
                // Nothing was given: it may be tried again.
                self.taken().remove(&part);
            })?;
            let Answer { schema, stream, sites, query } = begun;
            *run = Run::Going { schema, stream, sites, query };
        }
        let (schema, sites, query) = match &*run {
            Run::Going { schema, sites, query, .. } => (schema, sites, query.clone()),
            Run::Ended { schema, sites } => (schema, sites, None),
            Run::Due | Run::Failed => {
                return Err(refuse(
                    ErrorCode::Conflict,
                    "another part of this answer failed or was given up; send the statement again",
                ));
            }
        };
        let (schema, sites) = (Arc::clone(schema), sites.clone());
        drop(run);
        let reader = Reader { parts: self, query: query.clone(), ended: false };
        let batches = stream::unfold(reader, |mut reader| async {
            reader.next().await.map(|batch| (batch, reader))
        });
        let stream = Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches.fuse()));
        Ok(Answer { schema, stream, sites, query })
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, BTreeSet<u8>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn next(&self) -> Option<Result<RecordBatch, DataFusionError>> {
        let mut run = self.run.lock().await;
        let Run::Going { stream, schema, sites, .. } = &mut *run else {
            let over = matches!(*run, Run::Ended { .. });
            return (!over).then(|| Err(QueryError::Stopped(Stop::Abandoned).into()));
        };
        let next = stream.next().await;
        match &next {
            Some(Ok(_)) => {}
            Some(Err(_)) => *run = Run::Failed,
            None => *run = Run::Ended { schema: Arc::clone(schema), sites: sites.clone() },
        }
        next
    }
}

/// One of those who take batches.
struct Reader {
    parts: Arc<Parts>,
    query: Option<Query>,
    /// Whether it was told that there is no more.
    ended: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<Result<RecordBatch, DataFusionError>> {
        let next = self.parts.next().await;
        self.ended |= !matches!(next, Some(Ok(_)));
        next
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(query) = self.query.take().filter(|_| !self.ended) {
            query.stop(Stop::Abandoned);
        }
    }
}
