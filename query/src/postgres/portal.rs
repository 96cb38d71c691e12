//! Statements with their values, and how far their rows were read.

use super::command::Command;
use super::dialect::Known;
use super::failure::Refusal;
use super::reply::Replies;
use super::types::{Column, Format, columns, told};
use super::write::Rows;
use crate::engine::{Answer, Engine, Held, Prepared, Query};
use crate::error::QueryError;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) command: Command,
    pub(super) sql: Arc<str>,
    pub(super) change: bool,
    /// What is known of its statement.
    pub(super) known: Arc<Known>,
    /// Numbers of parameters that the client says are intervals.
    pub(super) intervals: BTreeSet<usize>,
    pub(super) values: Vec<ScalarValue>,
    pub(super) bytes: usize,
    pub(super) formats: Vec<Format>,
    /// What the client was told of its columns.
    pub(super) told: Option<Vec<Column>>,
    pub(super) stage: Stage,
}

impl Portal {
    /// Its columns, with the names that clients know.
    pub(super) fn columns(&self, schema: &Schema) -> Vec<Column> {
        told(columns(schema), &self.known)
    }
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Nothing was done.
    Bound,
    /// It was planned, because the client asked for its columns.
    Planned(Box<(Prepared, Instant)>),
    /// Its rows are read.
    Open(Box<Cursor>),
    /// All were read, or it has none.
    Done,
}

/// Rows that are read.
pub(super) struct Cursor {
    pub(super) rows: Rows,
    stream: Option<SendableRecordBatchStream>,
    /// The query that makes them, and its place among those that run.
    query: Option<(Query, Held)>,
    batch: Option<RecordBatch>,
    next: usize,
    /// What the client reads when all rows were sent; without, their number.
    tag: Option<&'static str>,
    sent: u64,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Cursor {
    /// The rows of an answer.
    pub(super) fn of((answer, held): (Answer, Option<Held>), rows: Rows) -> Self {
        let (stream, query) = (Some(answer.stream), answer.query.zip(held));
        Self { rows, stream, query, batch: None, next: 0, tag: None, sent: 0 }
    }

    /// Rows that are there.
    pub(super) fn ready(batch: RecordBatch, rows: Rows, tag: &'static str) -> Self {
        let batch = Some(batch);
        Self { rows, stream: None, query: None, batch, next: 0, tag: Some(tag), sent: 0 }
    }

    /// Rows that are read later: until then the query needs no place among those that run, which others wait for.
    pub(super) fn rest(&self) {
        if let Some((_, held)) = &self.query {
            held.give_back();
        }
    }

    /// Rows are read on.
    pub(super) async fn resume(&mut self, engine: &Engine) -> Result<(), Refusal> {
        if let (Some((query, held)), Some(_)) = (&self.query, &self.stream) {
            engine.resume(query, held).await?;
        }
        Ok(())
    }

    /// Writes a row, in other formats than its own if need be, and waits for it; false at the end.
    pub(super) async fn row(
        &mut self,
        replies: &mut Replies,
        rows: Option<&Rows>,
    ) -> Result<bool, Refusal> {
        loop {
            if let Some(batch) = &self.batch {
                if self.next < batch.num_rows() {
                    rows.unwrap_or(&self.rows).write(replies, batch, self.next)?;
                    self.next = self.next.saturating_add(1);
                    self.sent = self.sent.saturating_add(1);
                    return Ok(true);
                }
                self.batch = None;
            }
            let Some(stream) = &mut self.stream else { return Ok(false) };
            match stream.next().await {
                Some(Ok(batch)) => (self.batch, self.next) = (Some(batch), 0),
                Some(Err(error)) => {
                    self.stream = None;
                    return Err(QueryError::from(error).into());
                }
                None => self.stream = None,
            }
        }
    }

    /// Begins to count rows anew.
    pub(super) fn count_anew(&mut self) {
        self.sent = 0;
    }

    /// Rows that were sent since they were counted anew.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// What the client reads at the end.
    pub(super) fn end(&self, replies: &mut Replies) -> Result<(), Refusal> {
        let tag = match self.tag {
            Some(tag) => tag.to_owned(),
            None => self.rows.end(replies, self.sent)?,
        };
        replies.complete(&tag);
        Ok(())
    }
}

/// Rows of text.
pub(super) fn texts(columns: &[(&str, Vec<Option<String>>)]) -> Result<RecordBatch, Refusal> {
    let fields: Vec<Field> =
        columns.iter().map(|(name, _)| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays = columns
        .iter()
        .map(|(_, values)| Arc::new(values.iter().cloned().collect::<StringArray>()) as ArrayRef);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays.collect())
        .map_err(|error| QueryError::from(error).into())
}
