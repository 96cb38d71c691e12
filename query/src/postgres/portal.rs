//! Statements with their values, and how far their rows were read.

use super::command::Command;
use super::failure::Refusal;
use super::reply::Replies;
use super::types::{Column, Format};
use super::write::Rows;
use crate::engine::{Answer, Prepared};
use crate::error::QueryError;
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Instant;

/// A statement with its values.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) command: Command,
    pub(super) sql: Arc<str>,
    pub(super) change: bool,
    pub(super) values: Vec<ScalarValue>,
    pub(super) bytes: usize,
    pub(super) formats: Vec<Format>,
    /// What the client was told of its columns.
    pub(super) told: Option<Vec<Column>>,
    pub(super) stage: Stage,
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
    pub(super) fn of(answer: Answer, rows: Rows) -> Self {
        let stream = Some(answer.stream);
        Self { rows, stream, batch: None, next: 0, tag: None, sent: 0 }
    }

    /// Rows that are there.
    pub(super) fn ready(batch: RecordBatch, rows: Rows, tag: &'static str) -> Self {
        Self { rows, stream: None, batch: Some(batch), next: 0, tag: Some(tag), sent: 0 }
    }

    /// Writes a row, waiting for it if need be; false at the end.
    pub(super) async fn row(&mut self, replies: &mut Replies) -> Result<bool, Refusal> {
        loop {
            if let Some(batch) = &self.batch {
                if self.next < batch.num_rows() {
                    self.rows.write(replies, batch, self.next)?;
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

    /// What the client reads at the end.
    pub(super) fn tag(&self) -> String {
        match self.tag {
            Some(tag) => tag.to_owned(),
            None => format!("SELECT {}", self.sent),
        }
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
