//! What a request says of a mixture: its sources, or the share that one table has of it.

use super::request::StreamRequest;
use super::split::Split;
use crate::error::QueryError;
use serde::{Deserialize, Serialize};

/// Most sources of a mixture.
const MAX_SOURCES: usize = 64;

/// A table of a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixedSource {
    /// The table, as in [`StreamRequest`].
    pub dataset: String,
    /// Version of the dataset; the newest by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Columns in the order wanted; all of the table by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// SQL condition on a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Only the rows of a part of the table that is drawn once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// How many rows come of it, in proportion to the weights of the others.
    pub weight: f64,
    /// Whether it begins again where it has no rows left; otherwise the epoch ends there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeat: bool,
}

// Weights are checked to be numbers before they are compared.
impl Eq for MixedSource {}

/// The part that the table of a stream has of a mixture whose other sources are elsewhere: positions are those of the
/// mixture, and the rows that come are those of this table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Of all sources.
    pub weights: Vec<f64>,
    /// Which of them the table is, from 0 on.
    pub index: usize,
    /// Which of the sources begin again where they have no rows left; none by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeat: Vec<bool>,
    /// The position at which the mixture ends, where another source ends before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
}

impl Eq for Share {}

impl Share {
    /// Whether each source begins again.
    pub(crate) fn repeats(&self) -> Vec<bool> {
        if self.repeat.is_empty() {
            return vec![false; self.weights.len()];
        }
        self.repeat.clone()
    }
}

/// Checks what a request says of a mixture.
pub(crate) fn check(request: &StreamRequest) -> Result<(), QueryError> {
    let refuse = |problem: String| Err(QueryError::Invalid(format!("stream: {problem}")));
    match (request.dataset.is_empty(), &request.sources) {
        (true, None) => {
            return refuse("name a table with `dataset`, or several with `sources`".to_owned());
        }
        (false, Some(_)) => {
            return refuse(
                "give `dataset` (one table) or `sources` (a mixture), not both".to_owned(),
            );
        }
        _ => {}
    }
    if request.stratified && request.sources.is_none() && request.share.is_none() {
        return refuse("`stratified` is of mixtures; give `sources`".to_owned());
    }
    if let Some(sources) = &request.sources {
        if request.share.is_some() {
            return refuse(
                "`share` is the part of one table; give it beside `dataset`, not `sources`"
                    .to_owned(),
            );
        }
        let beside = [
            ("version", request.version.is_some()),
            ("columns", request.columns.is_some()),
            ("filter", request.filter.is_some()),
            ("split", request.split.is_some()),
        ];
        if let Some((field, _)) = beside.iter().find(|(_, given)| *given) {
            return refuse(format!(
                "`{field}` stands beside `sources`; give it in each source that it is for"
            ));
        }
        let weights: Vec<f64> = sources.iter().map(|source| source.weight).collect();
        let repeat: Vec<bool> = sources.iter().map(|source| source.repeat).collect();
        mixed(&weights, &repeat)?;
    }
    if let Some(share) = &request.share {
        if share.index >= share.weights.len() {
            return refuse(format!(
                "share: index is {} of {} weights; sources count from 0",
                share.index,
                share.weights.len()
            ));
        }
        if !share.repeat.is_empty() && share.repeat.len() != share.weights.len() {
            return refuse(format!(
                "share: repeat says it of {} sources and there are {} weights",
                share.repeat.len(),
                share.weights.len()
            ));
        }
        if request.tail.is_some() || request.drop_last.is_some() {
            return refuse(
                "share: tail and drop_last are for whoever has all shares; leave them out"
                    .to_owned(),
            );
        }
        mixed(&share.weights, &share.repeats())?;
    }
    Ok(())
}

fn mixed(weights: &[f64], repeat: &[bool]) -> Result<(), QueryError> {
    let refuse = |problem: String| Err(QueryError::Invalid(format!("stream: {problem}")));
    if !(1..=MAX_SOURCES).contains(&weights.len()) {
        return refuse(format!("a mixture of {} sources; use 1 to {MAX_SOURCES}", weights.len()));
    }
    let wrong = |weight: &&f64| !weight.is_finite() || **weight <= 0.0;
    if let Some(weight) = weights.iter().find(wrong) {
        return refuse(format!("weight is {weight}; weights are numbers above 0"));
    }
    if repeat.iter().all(|repeat| *repeat) {
        return refuse(
            "every source repeats, so the epoch would never end; leave `repeat` out of one of them"
                .to_owned(),
        );
    }
    Ok(())
}

impl StreamRequest {
    /// The request of each table by itself.
    pub(crate) fn tables(&self) -> Vec<Self> {
        let Some(sources) = &self.sources else { return vec![self.clone()] };
        let base = Self { sources: None, stratified: false, ..self.clone() };
        let plain = |source: &MixedSource| Self {
            dataset: source.dataset.clone(),
            version: source.version,
            columns: source.columns.clone(),
            filter: source.filter.clone(),
            split: source.split.clone(),
            ..base.clone()
        };
        sources.iter().map(plain).collect()
    }

    /// An error of one of the tables, which says of which one it is where there are several.
    pub(crate) fn of_source(&self, place: usize, error: QueryError) -> QueryError {
        match error {
            QueryError::Invalid(problem) if self.sources.is_some() => {
                QueryError::Invalid(format!("sources[{place}]: {problem}"))
            }
            other => other,
        }
    }

    /// Which part of which tables it is of, as JSON, for receipts: what is said neither by `columns` nor by `filter`.
    pub(crate) fn part(&self) -> Option<String> {
        let Self { sources, share, split, stratified, .. } = self;
        let said = if let Some(sources) = sources {
            serde_json::to_string(
                &serde_json::json!({"sources": sources, "stratified": stratified}),
            )
        } else if let Some(share) = share {
            let part =
                serde_json::json!({"share": share, "split": split, "stratified": stratified});
            serde_json::to_string(&part)
        } else {
            serde_json::to_string(split.as_ref()?)
        };
        said.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        let json = format!("{{\"tarn.stream\": 1, {json}}}");
        StreamRequest::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_mixture_is_sources_and_nothing_of_one_table_beside_them() {
        let two = r#""sources": [{"dataset": "a.t", "weight": 2}, {"dataset": "b.t@3", "weight": 1, "repeat": true}]"#;
        let json = format!("{{\"tarn.stream\": 1, {two}}}");
        let request = StreamRequest::parse(json.as_bytes()).unwrap();
        let names: Vec<_> = request.tables().into_iter().map(|table| table.dataset).collect();
        assert_eq!(names, ["a.t", "b.t@3"]);
        assert!(error(r#""seed": 3"#).contains("`dataset`"));
        assert!(error(r#""seed": 3"#).contains("`sources`"));
        for (beside, field) in [
            (r#""dataset": "a.t""#, "`dataset`"),
            (r#""version": 1"#, "`version`"),
            (r#""columns": ["a"]"#, "`columns`"),
            (r#""filter": "a""#, "`filter`"),
            (r#""split": "train""#, "`split`"),
            (r#""share": {"weights": [1], "index": 0}"#, "`share`"),
        ] {
            let told = error(&format!("{two}, {beside}"));
            assert!(told.contains(field) && told.contains("`sources`"), "{beside}: {told}");
        }
        assert!(error(r#""dataset": "a", "stratified": true"#).contains("`stratified`"));
    }

    #[test]
    fn weights_and_repeats_make_an_epoch_that_begins_and_ends() {
        for (weight, problem) in [("0", "weight"), ("-1", "weight"), ("1e999", "number")] {
            let told = error(&format!(r#""sources": [{{"dataset": "a.t", "weight": {weight}}}]"#));
            assert!(told.contains(problem), "{told}");
        }
        assert!(error(r#""sources": []"#).contains("0 sources"));
        let many = vec![r#"{"dataset": "a", "weight": 1}"#; 65].join(",");
        assert!(error(&format!("\"sources\": [{many}]")).contains("65 sources"));
        let repeat = r#""sources": [{"dataset": "a.t", "weight": 1, "repeat": true}]"#;
        assert!(error(repeat).contains("never end"));
        let columns = r#""sources": [{"dataset": "a.t", "weight": 1, "columns": []}]"#;
        assert!(error(columns).contains("sources[0]"));
        let unknown = r#""sources": [{"dataset": "a.t", "weight": 1, "seed": 3}]"#;
        assert!(error(unknown).contains("seed"));
    }

    #[test]
    fn a_share_is_one_of_its_sources_and_has_no_tail_of_its_own() {
        for (share, problem) in [
            (r#"{"weights": [1, 2], "index": 2}"#, "index"),
            (r#"{"weights": [], "index": 0}"#, "index"),
            (r#"{"weights": [1, 2], "index": 0, "repeat": [true]}"#, "repeat"),
            (r#"{"weights": [1, 2], "index": 0, "repeat": [true, true]}"#, "never end"),
            (r#"{"weights": [1, 0], "index": 0}"#, "weight"),
        ] {
            let told = error(&format!(r#""dataset": "a.t", "share": {share}"#));
            assert!(told.contains(problem), "{share}: {told}");
        }
        let share = r#""dataset": "a.t", "share": {"weights": [1], "index": 0}"#;
        assert!(error(&format!(r#"{share}, "tail": "pad""#)).contains("tail"));
        let several = format!("{{\"tarn.stream\": 1, {share}, \"world_size\": 4}}");
        assert!(StreamRequest::parse(several.as_bytes()).is_ok());
    }
}
