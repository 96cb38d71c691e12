//! Statements that change something, over Flight SQL: what a client updates is done at once, and what it asks as a
//! query is done when it reads the one row that says what was done. Each is done at most once.

use super::identity::Caller;
use super::status::{hidden, refuse, to_status};
use crate::changes::{Changed, Changes, NotChanged};
use crate::engine::{Change, Engine, Session, Stop};
use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use std::sync::Arc;
use tarn_schemas::code::ErrorCode;
use tonic::Status;
use uuid::Uuid;

/// What statements change, if this node changes anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changer(Option<Arc<dyn Changes>>);

impl Changer {
    pub(crate) fn new(changes: Arc<dyn Changes>) -> Self {
        Self(Some(changes))
    }

    /// What a statement is to change; none if it is another statement, or nothing is changed here.
    pub(crate) async fn wanted(
        &self,
        session: &Session,
        sql: &str,
    ) -> Result<Option<Change>, Status> {
        if self.0.is_none() {
            return Ok(None);
        }
        session.change(sql).await.map_err(|error| to_status(&error))
    }

    /// Does it, as the query of this id.
    pub(crate) async fn make(
        &self,
        engine: &Engine,
        caller: &Caller,
        (id, sql): (Uuid, &str),
    ) -> Result<Changed, Status> {
        let session = engine.session(caller.who.clone(), caller.options).await;
        let session = session.map_err(|error| to_status(&error))?;
        let wanted = self.wanted(&session, sql).await?;
        let (Some(changes), Some(change)) = (&self.0, wanted) else {
            return Err(refuse(ErrorCode::InvalidArgument, ONLY));
        };
        let query = session.begin_as(id).ok_or_else(|| {
            refuse(ErrorCode::Conflict, "a statement that changes something is done once")
        })?;
        let done = changes.change(&session, &query, change).await;
        done.map_err(|error| {
            // Nobody waits for it any more.
            query.stop(Stop::Abandoned);
            told(&error)
        })
    }
}

/// What an update may be.
const ONLY: &str = "SQL here only reads, but for CREATE TABLE dataset.table AS SELECT …, DROP TABLE, CREATE VIEW and \
                    DROP VIEW; data come in with `tarn ingest`";

fn told(error: &NotChanged) -> Status {
    match error.code {
        ErrorCode::Internal => hidden(error.code, "the node failed", error),
        code if error.message.starts_with("catalog database ") => {
            hidden(code, "the catalog of the node cannot be used", error)
        }
        code => refuse(code, error),
    }
}

/// The columns of what is said of a change: `rows` (how many a table that was made has; otherwise NULL) and `done`.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("rows", DataType::Int64, true),
        Field::new("done", DataType::Utf8, false),
    ]))
}

/// The rows that a change made, as updates count them; -1 where that says nothing.
pub(crate) fn count(changed: &Changed) -> i64 {
    changed.rows.and_then(|rows| i64::try_from(rows).ok()).unwrap_or(-1)
}

/// What is said of a change.
pub(crate) fn report(changed: &Changed) -> Result<RecordBatch, Status> {
    let rows = changed.rows.and_then(|rows| i64::try_from(rows).ok());
    let done = StringArray::from_iter_values([changed.note.trim()]);
    let columns: (Int64Array, StringArray) = ([rows].into_iter().collect(), done);
    RecordBatch::try_new(schema(), vec![Arc::new(columns.0), Arc::new(columns.1)])
        .map_err(|error| hidden(ErrorCode::Internal, "the node failed", &error))
}
