//! The threads that plan and run queries.
//!
//! A join may compute for a long time without waiting for anything. On threads of its own it keeps no
//! connection, no health check and no metadata waiting, and no end of the process either. They have
//! stacks for the deepest statements that [`nesting`](super::nesting) lets through.

use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

/// Stack of a thread that plans, runs or frees queries. Only what is touched takes memory.
pub const STACK_BYTES: usize = 128 << 20;
/// Batches that are ready before they are asked for.
const AHEAD: usize = 2;

/// The threads of one engine. They start with the first query.
#[derive(Debug, Default)]
pub(super) struct Workers {
    runtime: OnceLock<Option<Runtime>>,
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A query that does not yield is not waited for.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}

impl Workers {
    fn handle(&self) -> Result<&Handle, QueryError> {
        let runtime = self.runtime.get_or_init(|| {
            let started = Builder::new_multi_thread()
                .enable_all()
                .thread_name("tarn-query")
                .thread_stack_size(STACK_BYTES)
                .build();
            started.inspect_err(|error| tracing::error!(%error, "no threads for queries")).ok()
        });
        runtime.as_ref().map(Runtime::handle).ok_or_else(|| {
            QueryError::ResourceExhausted(
                "no threads can be started for queries; raise the limit of processes (ulimit -u) and \
                 start again"
                    .to_owned(),
            )
        })
    }

    /// Does work on these threads. It is given up when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let mut tasks = JoinSet::new();
        tasks.spawn_on(work.in_current_span(), self.handle()?);
        match tasks.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) => Err(stopped(&error)),
            None => Err(QueryError::Internal("the work was lost".to_owned())),
        }
    }

    /// The same batches, made on these threads. No batch is copied; when the receiver goes, so does the
    /// query.
    pub(super) fn drive(
        &self,
        mut stream: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let (sender, batches) = mpsc::channel(AHEAD);
        let schema = stream.schema();
        let mut task = JoinSet::new();
        let work = async move {
            while let Some(batch) = stream.next().await {
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
        };
        task.spawn_on(work.in_current_span(), self.handle()?);
        Ok(Box::pin(Driven { schema, batches, task }))
    }
}

/// What a task that did not end by itself tells who waited for it.
fn stopped(error: &JoinError) -> QueryError {
    QueryError::Internal(format!("the query stopped: {error}"))
}

/// Batches from a query on its threads.
struct Driven {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, DataFusionError>>,
    /// The query; dropped with this, it is aborted.
    task: JoinSet<()>,
}

impl Stream for Driven {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(batch) = futures::ready!(self.batches.poll_recv(context)) {
            return Poll::Ready(Some(batch));
        }
        // The end is only an end if the query ended by itself: otherwise rows are missing.
        match futures::ready!(self.task.poll_join_next(context)) {
            Some(Err(error)) => Poll::Ready(Some(Err(stopped(&error).into()))),
            Some(Ok(())) | None => Poll::Ready(None),
        }
    }
}

impl RecordBatchStream for Driven {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use std::sync::Arc;
    use std::time::Duration;

    fn endless(alive: Arc<()>) -> SendableRecordBatchStream {
        let schema = Arc::new(Schema::empty());
        let batch = RecordBatch::new_empty(schema.clone());
        let batches = futures::stream::repeat_with(move || {
            assert!(Arc::strong_count(&alive) > 0);
            Ok(batch.clone())
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    #[tokio::test]
    async fn a_query_ends_with_its_receiver() {
        let (workers, alive) = (Workers::default(), Arc::new(()));
        let mut driven = workers.drive(endless(alive.clone())).unwrap();
        assert!(driven.next().await.unwrap().is_ok());
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(driven);
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_query_that_panics_is_no_short_answer() {
        let workers = Workers::default();
        let schema = Arc::new(Schema::empty());
        let batches = futures::stream::poll_fn(|_| -> Poll<Option<_>> { panic!("on purpose") });
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, batches));
        let mut driven = workers.drive(stream).unwrap();
        let error = driven.next().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("the query stopped"), "{error}");
        assert!(driven.next().await.is_none());
    }

    #[tokio::test]
    async fn what_does_not_yield_keeps_no_one_from_dropping_the_engine() {
        let workers = Workers::default();
        let forever = workers.run(async {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(())
        });
        assert!(tokio::time::timeout(Duration::from_millis(100), forever).await.is_err());
        drop(workers);
    }
}
