//! The threads that plan and run queries.
//!
//! A join may compute for a long time without waiting for anything. On threads of its own it keeps no
//! connection, no health check and no metadata waiting, and no end of the process either. They have
//! stacks for the deepest statements that [`nesting`](super::nesting) lets through.

use crate::engine::guards::{Held, Query, Stop};
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

    /// The same batches, made on these threads. No batch is copied; when the receiver goes or the query is
    /// stopped, its work ends, and its place is another's.
    pub(super) fn drive(
        &self,
        stream: SendableRecordBatchStream,
        query: Query,
        held: Held,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let (sender, batches) = mpsc::channel(AHEAD);
        let schema = stream.schema();
        let mut task = JoinSet::new();
        let work = {
            let query = query.clone();
            async move {
                tokio::select! {
                    biased;
                    _ = query.cancelled() => {}
                    () = send_all(stream, &query, sender) => {}
                }
                held.give_back();
            }
        };
        task.spawn_on(work.in_current_span(), self.handle()?);
        let stopped = {
            let query = query.clone();
            Box::pin(async move { query.cancelled().await })
        };
        Ok(Box::pin(Driven { schema, batches, task, query, stopped, ended: false }))
    }
}

/// Makes batches until the last one, the first error, or until nobody takes them.
async fn send_all(
    mut stream: SendableRecordBatchStream,
    query: &Query,
    sender: mpsc::Sender<Result<RecordBatch, DataFusionError>>,
) {
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(QueryError::from).and_then(|batch| {
            query.count(&batch)?;
            Ok(batch)
        });
        let failed = batch.is_err();
        if let Err(error) = &batch {
            query.fail(error);
        }
        if sender.send(batch.map_err(DataFusionError::from)).await.is_err() || failed {
            return;
        }
    }
    query.done();
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
    query: Query,
    stopped: Pin<Box<dyn Future<Output = Stop> + Send>>,
    ended: bool,
}

impl Drop for Driven {
    fn drop(&mut self) {
        // What computes without ever giving way is told so too.
        self.query.stop(Stop::Abandoned);
    }
}

impl Driven {
    /// The end; an error where rows are missing.
    fn end(
        &mut self,
        error: Option<QueryError>,
    ) -> Poll<Option<Result<RecordBatch, DataFusionError>>> {
        self.ended = true;
        if let Some(error) = &error {
            self.query.fail(error);
        }
        Poll::Ready(error.map(|error| Err(error.into())))
    }
}

impl Stream for Driven {
    type Item = Result<RecordBatch, DataFusionError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(why) = self.query.stopped() {
            return self.end(Some(QueryError::Stopped(why)));
        }
        match self.batches.poll_recv(context) {
            Poll::Ready(Some(batch)) => {
                self.ended = batch.is_err();
                return Poll::Ready(Some(batch));
            }
            Poll::Ready(None) => {}
            Poll::Pending => {
                let why = futures::ready!(self.stopped.as_mut().poll(context));
                return self.end(Some(QueryError::Stopped(why)));
            }
        }
        // The end is only an end if the query ended by itself: otherwise rows are missing.
        match futures::ready!(self.task.poll_join_next(context)) {
            Some(Err(error)) => self.end(Some(stopped(&error))),
            Some(Ok(())) | None => {
                let why = self.query.stopped().map(QueryError::Stopped);
                self.end(why)
            }
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
    use crate::engine::guards::{Bounds, Limits, Slot};
    use arrow::datatypes::Schema;
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use std::sync::Arc;
    use std::time::Duration;
    use tarn_schemas::Principal;

    fn query() -> Query {
        let who = Principal::Anonymous;
        let bounds = Limits::default().of(&who, Bounds::default());
        Query::new(who, bounds, uuid::Uuid::new_v4())
    }

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
        let mut driven =
            workers.drive(endless(alive.clone()), query(), Held::new(Slot::free())).unwrap();
        assert!(driven.next().await.unwrap().is_ok());
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(driven);
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_query_that_is_stopped_is_no_short_answer_and_frees_what_it_holds() {
        let (workers, alive, query) = (Workers::default(), Arc::new(()), query());
        let mut driven =
            workers.drive(endless(alive.clone()), query.clone(), Held::new(Slot::free())).unwrap();
        assert!(driven.next().await.unwrap().is_ok());
        query.stop(Stop::Cancelled);
        // Nobody reads on, and the work ends all the same.
        while Arc::strong_count(&alive) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let error = QueryError::from(driven.next().await.unwrap().unwrap_err());
        assert!(matches!(error, QueryError::Stopped(Stop::Cancelled)), "{error:?}");
        assert!(driven.next().await.is_none());
    }

    #[tokio::test]
    async fn a_query_that_panics_is_no_short_answer() {
        let workers = Workers::default();
        let schema = Arc::new(Schema::empty());
        let batches = futures::stream::poll_fn(|_| -> Poll<Option<_>> { panic!("on purpose") });
        let stream = Box::pin(RecordBatchStreamAdapter::new(schema, batches));
        let mut driven = workers.drive(stream, query(), Held::new(Slot::free())).unwrap();
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
