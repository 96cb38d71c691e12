//! What a client asks of a stream.

use super::chain::ResumePoint;
use super::fault::StreamFault;
use super::sources::{self, MixedSource, Share};
use super::split::Split;
use crate::error::QueryError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Most rows of a batch.
const MAX_BATCH_ROWS: u32 = 1 << 20;
/// Most ranks of a training job.
const MAX_WORLD_SIZE: u32 = 1 << 16;
/// Longest filter in bytes.
const MAX_FILTER_BYTES: usize = 64 << 10;

/// Longest time between heartbeats in seconds.
const MOST_SECONDS: u32 = 600;

/// What becomes of the last rows, where they do not fill a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tail {
    /// They are left out.
    Drop,
    /// They come as a shorter batch.
    Keep,
    /// The step is filled with the last row, and the column `_valid` says which rows count.
    Pad,
}

/// What becomes of NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nulls {
    /// The stream ends with the code `bad_sample`.
    Error,
    /// NaN stands in its place; the stream ends at one that is in no column of floats.
    Nan,
    /// Zero stands in its place, and the column `NAME__valid` says where values are.
    Mask,
}

/// The descriptor of a stream. In JSON every field but `tarn.stream` and one of `dataset` and `sources` may be left
/// out; a field that is not listed here is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Format of this descriptor: 1.
    #[serde(rename = "tarn.stream")]
    pub format: u32,
    /// The table: `lab.dataset.table`, or without the lab for a table of the node itself. The name
    /// of a dataset alone means its only table; `dataset@3` is its version 3. Empty for a mixture.
    #[serde(default, skip_serializing_if = "String::is_empty")]
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
    /// Rows of a step over all ranks, in place of `batch_size`. With another world size the samples stay the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_batch: Option<u64>,
    /// A state of this stream, sealed by a node of this lab, in place of `epoch` and `start`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// What becomes of rows that do not fill the last step; says more than `drop_last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
    /// What becomes of NULL; without, it comes as it is in Arrow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<Nulls>,
    /// Only the rows of a part of the table that is drawn once, by row and not by value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// After so many seconds without a batch a message without rows comes. Clients that do not know such messages leave
    /// this out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_seconds: Option<u32>,
    /// Tables that are mixed by weights, in place of `dataset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<Vec<MixedSource>>,
    /// Whether every run of rows has those of each source by its weight, as evenly as there are whole rows; otherwise
    /// they are drawn. Without `shuffle` they always are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stratified: bool,
    /// Only the positions that the table has in a mixture with tables of other labs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
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
            global_batch: None,
            resume: None,
            tail: None,
            nulls: None,
            split: None,
            heartbeat_seconds: None,
            sources: None,
            stratified: false,
            share: None,
        }
    }

    /// Reads a descriptor that begins a stream.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for JSON that is malformed, has unknown fields or values out of range.
    pub fn parse(json: &[u8]) -> Result<Self, QueryError> {
        let cannot = "`resume` is taken over Flight, by the node that sealed it; give `epoch` and `start` here";
        Self::parse_with(json, |_| Err(invalid(cannot))).map(|(request, _)| request)
    }

    /// Reads a descriptor; `open` opens the seal of a state.
    ///
    /// # Errors
    /// As [`StreamRequest::parse`], and [`StreamFault::ResumeMismatch`] for the state of another stream.
    pub(crate) fn parse_with(
        json: &[u8],
        open: impl FnOnce(&str) -> Result<ResumePoint, QueryError>,
    ) -> Result<(Self, Option<ResumePoint>), QueryError> {
        let wrong = |error| invalid(format!("descriptor: {error}"));
        let mut request: Self = serde_json::from_slice(json).map_err(wrong)?;
        let given: Map<String, Value> = serde_json::from_slice(json).map_err(wrong)?;
        let is_given = |field: &str| given.get(field).is_some_and(|value| !value.is_null());
        let point = request.resume.take().map(|text| open(&text)).transpose()?;
        if let Some(point) = &point {
            if is_given("start") {
                return Err(invalid("give `resume` or `start`, not both"));
            }
            let global = u64::from(request.batch_size) * u64::from(request.world_size);
            let fields = [
                ("seed", is_given("seed"), request.seed, point.seed),
                ("epoch", is_given("epoch"), request.epoch.into(), point.epoch.into()),
                (
                    "global_batch",
                    is_given("global_batch") || is_given("batch_size"),
                    request.global_batch.unwrap_or(global),
                    point.global_batch,
                ),
            ];
            let other: Vec<_> = fields
                .into_iter()
                .filter(|(_, given, is, was)| *given && is != was)
                .map(|(name, _, is, was)| (name, is.to_string(), was.to_string()))
                .collect();
            if !other.is_empty() {
                return Err(StreamFault::ResumeMismatch { fields: other }.into());
            }
            (request.seed, request.epoch) = (point.seed, point.epoch);
            request.start = point.position;
            request.global_batch = Some(point.global_batch);
        }
        if let Some(global) = request.global_batch {
            let size = share(global, request.world_size)?;
            if is_given("batch_size") && request.batch_size != size {
                return Err(invalid(format!(
                    "batch_size is {} and a global_batch of {global} rows gives each of {} ranks {size}: give one of them",
                    request.batch_size, request.world_size
                )));
            }
            request.batch_size = size;
        }
        request.check()?;
        Ok((request, point))
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
        let said = (self.tail, self.drop_last);
        if let (Some(tail), Some(drop)) = said
            && drop != (tail == Tail::Drop)
        {
            return refuse("tail and drop_last say different things; give tail alone".to_owned());
        }
        if self.tail() == Tail::Keep && self.world_size != 1 && self.share.is_none() {
            return refuse(
                "drop_last: false (tail: keep) needs world_size 1, because ranks would end at different steps; \
                 tail: pad fills the last step"
                    .to_owned(),
            );
        }
        if let Some(global) = self.global_batch
            && global != self.global_batch()
        {
            return refuse(format!(
                "global_batch is {global}, and {} ranks of {} rows make {}",
                self.world_size,
                self.batch_size,
                self.global_batch()
            ));
        }
        if self.heartbeat_seconds.is_some_and(|every| !(1..=MOST_SECONDS).contains(&every)) {
            return refuse(format!("heartbeat_seconds is 1 to {MOST_SECONDS}"));
        }
        sources::check(self)?;
        for (place, table) in self.tables().iter().enumerate() {
            table.check_table().map_err(|error| self.of_source(place, error))?;
        }
        Ok(())
    }

    /// Checks what is said of one table.
    fn check_table(&self) -> Result<(), QueryError> {
        if let Some(split) = &self.split {
            split.check()?;
        }
        if self.filter.as_ref().is_some_and(|filter| filter.len() > MAX_FILTER_BYTES) {
            return Err(invalid(format!("the filter is longer than {MAX_FILTER_BYTES} bytes")));
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            return Err(invalid("columns is empty; leave it out for all columns"));
        }
        Ok(())
    }

    /// What becomes of rows that do not fill the last step. By default a single rank has them, so that every row
    /// comes, and several do not, because they must end at the same step. Of a share every row comes: whoever has all
    /// shares knows where they end.
    pub(crate) fn tail(&self) -> Tail {
        if self.share.is_some() {
            return Tail::Keep;
        }
        let by_drop = |drop| if drop { Tail::Drop } else { Tail::Keep };
        self.tail.unwrap_or_else(|| by_drop(self.drop_last.unwrap_or(self.world_size != 1)))
    }

    /// Rows of a step over all ranks.
    pub(crate) fn global_batch(&self) -> u64 {
        u64::from(self.batch_size) * u64::from(self.world_size)
    }

    /// Steps of this rank when `selected` rows are part of the stream.
    pub(crate) fn steps(&self, selected: u64) -> u64 {
        let rest = selected.saturating_sub(self.start);
        match self.tail() {
            Tail::Drop => rest / self.global_batch(),
            Tail::Keep | Tail::Pad => rest.div_ceil(self.global_batch()),
        }
    }

    /// Rows that this rank gets when `selected` rows are part of the stream, those that fill the last step included.
    pub(crate) fn rows(&self, selected: u64) -> u64 {
        match self.tail() {
            Tail::Keep => selected.saturating_sub(self.start),
            Tail::Drop | Tail::Pad => self.steps(selected) * u64::from(self.batch_size),
        }
    }
}

/// The rows of one of so many ranks.
fn share(global: u64, world_size: u32) -> Result<u32, QueryError> {
    let ranks = u64::from(world_size.max(1));
    if !global.is_multiple_of(ranks) {
        return Err(invalid(format!(
            "a global_batch of {global} rows cannot be shared by {ranks} ranks alike; use a world size that divides it"
        )));
    }
    u32::try_from(global / ranks)
        .map_err(|_| invalid(format!("global_batch is {global}, too many rows")))
}

fn invalid(problem: impl std::fmt::Display) -> QueryError {
    QueryError::Invalid(format!("stream: {problem}"))
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
