//! What a client asks of a stream.

use crate::error::QueryError;
use serde::{Deserialize, Serialize};

/// Most rows of a batch.
const MAX_BATCH_ROWS: u32 = 1 << 20;
/// Most ranks of a training job.
const MAX_WORLD_SIZE: u32 = 1 << 16;
/// Longest filter in bytes.
const MAX_FILTER_BYTES: usize = 64 << 10;

/// The descriptor of a stream. In JSON every field but `tarn.stream` and `dataset` may be left out;
/// a field that is not listed here is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Format of this descriptor: 1.
    #[serde(rename = "tarn.stream")]
    pub format: u32,
    /// The table: `lab.dataset.table`, or without the lab for a table of the node itself. The name
    /// of a dataset alone means its only table; `dataset@3` is its version 3.
    pub dataset: String,
    /// Version of the dataset; the newest by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Columns in the order wanted; all of the table by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// SQL condition on a row; rows for which it is not true are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Rows of a batch of one rank.
    #[serde(default = "default_batch_size")]
    pub batch_size: u32,
    /// Key of the order.
    #[serde(default)]
    pub seed: u64,
    /// Epoch; every epoch has an order of its own.
    #[serde(default)]
    pub epoch: u32,
    /// Number of ranks that share each global batch.
    #[serde(default = "one")]
    pub world_size: u32,
    /// The rank that this stream is for.
    #[serde(default)]
    pub rank: u32,
    /// Global position in rows at which to start: the `next_position` of a cursor.
    #[serde(default)]
    pub start: u64,
    /// Whether the last, incomplete global batch is left out. By default a single rank keeps it, so
    /// that every row comes, and several leave it out, because they must end at the same step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_last: Option<bool>,
    /// Whether rows come in the keyed order "fz1"; otherwise in the order of the table.
    #[serde(default = "yes")]
    pub shuffle: bool,
}

fn default_batch_size() -> u32 {
    256
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

impl StreamRequest {
    /// All of a table with every field at its default: shuffled batches of 256 for one rank.
    pub fn new(dataset: impl Into<String>) -> Self {
        Self {
            format: 1,
            dataset: dataset.into(),
            version: None,
            columns: None,
            filter: None,
            batch_size: default_batch_size(),
            seed: 0,
            epoch: 0,
            world_size: 1,
            rank: 0,
            start: 0,
            drop_last: None,
            shuffle: true,
        }
    }

    /// Reads a descriptor.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for JSON that is malformed, has unknown fields or values out of range.
    pub fn parse(json: &[u8]) -> Result<Self, QueryError> {
        let request: Self = serde_json::from_slice(json)
            .map_err(|error| QueryError::Invalid(format!("stream descriptor: {error}")))?;
        request.check()?;
        Ok(request)
    }

    /// Checks every value that does not depend on the table.
    pub(crate) fn check(&self) -> Result<(), QueryError> {
        let refuse = |problem: String| Err(QueryError::Invalid(format!("stream: {problem}")));
        if self.format != 1 {
            return refuse(format!("tarn.stream is {}; this node speaks format 1", self.format));
        }
        if !(1..=MAX_BATCH_ROWS).contains(&self.batch_size) {
            return refuse(format!(
                "batch_size is {}; use 1 to {MAX_BATCH_ROWS} rows",
                self.batch_size
            ));
        }
        if !(1..=MAX_WORLD_SIZE).contains(&self.world_size) {
            return refuse(format!("world_size is {}; use 1 to {MAX_WORLD_SIZE}", self.world_size));
        }
        if self.rank >= self.world_size {
            return refuse(format!(
                "rank is {} of world_size {}; ranks count from 0",
                self.rank, self.world_size
            ));
        }
        if !self.drops_last() && self.world_size != 1 {
            return refuse(
                "drop_last: false needs world_size 1, because ranks would end at different steps"
                    .to_owned(),
            );
        }
        if self.filter.as_ref().is_some_and(|filter| filter.len() > MAX_FILTER_BYTES) {
            return refuse(format!("the filter is longer than {MAX_FILTER_BYTES} bytes"));
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            return refuse("columns is empty; leave it out for all columns".to_owned());
        }
        Ok(())
    }

    /// Whether the last, incomplete global batch is left out.
    pub(crate) fn drops_last(&self) -> bool {
        self.drop_last.unwrap_or(self.world_size != 1)
    }

    /// Rows of a step over all ranks.
    pub(crate) fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.world_size)
    }

    /// Steps of this rank when `selected` rows are part of the stream.
    pub(crate) fn steps(&self, selected: u64) -> u64 {
        let rest = selected.saturating_sub(self.start);
        if self.drops_last() {
            rest / self.global_batch()
        } else {
            rest.div_ceil(self.global_batch())
        }
    }

    /// Rows that this rank gets when `selected` rows are part of the stream.
    pub(crate) fn rows(&self, selected: u64) -> u64 {
        if self.drops_last() {
            self.steps(selected) * u64::from(self.batch_size)
        } else {
            selected.saturating_sub(self.start)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_of_two_fields_gets_the_documented_defaults() {
        let request = StreamRequest::parse(br#"{"tarn.stream": 1, "dataset": "ornl.a.b"}"#);
        assert_eq!(request.unwrap(), StreamRequest::new("ornl.a.b"));
    }

    #[test]
    fn unknown_fields_and_impossible_values_are_refused() {
        for (field, problem) in [
            (r#""batchsize": 3"#, "batchsize"),
            (r#""batch_size": 0"#, "batch_size"),
            (r#""world_size": 0"#, "world_size"),
            (r#""rank": 1"#, "rank"),
            (r#""world_size": 2, "drop_last": false"#, "drop_last"),
            (r#""columns": []"#, "columns"),
            (r#""start": -1"#, "-1"),
            (r#""tarn.stream": 2"#, "duplicate"),
        ] {
            let json = format!(r#"{{"tarn.stream": 1, "dataset": "a.b.c", {field}}}"#);
            let error = StreamRequest::parse(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(problem), "{field}: {error}");
        }
        let error = StreamRequest::parse(br#"{"tarn.stream": 2, "dataset": "x"}"#).unwrap_err();
        assert!(error.to_string().contains("format 1"));
    }

    #[test]
    fn steps_and_rows_follow_from_the_number_of_rows() {
        let request = StreamRequest { batch_size: 8, world_size: 3, ..StreamRequest::new("x") };
        assert_eq!((request.steps(100), request.rows(100)), (4, 32));
        let request = StreamRequest { start: 90, ..request };
        assert_eq!((request.steps(100), request.rows(100)), (0, 0));
        let keep = StreamRequest { batch_size: 8, ..StreamRequest::new("x") };
        assert_eq!((keep.steps(100), keep.rows(100)), (13, 100));
        assert_eq!((keep.steps(0), keep.rows(0)), (0, 0));
        let drop = StreamRequest { drop_last: Some(true), ..keep };
        assert_eq!((drop.steps(100), drop.rows(100)), (12, 96));
    }
}
