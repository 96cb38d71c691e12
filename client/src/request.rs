//! What a client asks for.

use crate::ClientError;
use serde_json::{Map, Value};

/// The descriptor of a stream: a table and how it is read, as JSON. What a field means, and which values it may have, the
/// node says.
#[derive(Debug, Clone, PartialEq)]
pub struct Request(Map<String, Value>);

impl Request {
    /// All of a table: shuffled batches of 256 rows for one rank.
    ///
    /// # Errors
    /// [`ClientError::Request`] without a name.
    pub fn new(dataset: &str) -> Result<Self, ClientError> {
        if dataset.trim().is_empty() {
            return Err(ClientError::Request("name a table: lab.dataset.table".to_owned()));
        }
        let mut fields = Map::new();
        fields.insert("tarn.stream".to_owned(), Value::from(1));
        fields.insert("dataset".to_owned(), Value::from(dataset));
        Ok(Self(fields))
    }

    /// The request with another field.
    ///
    /// # Errors
    /// [`ClientError::Request`] for a field that stands for the request itself.
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Result<Self, ClientError> {
        if field == "tarn.stream" || field == "dataset" {
            return Err(ClientError::Request(format!("{field} is the request itself")));
        }
        self.0.insert(field.to_owned(), value.into());
        Ok(self)
    }

    /// What a node pinned of a request.
    pub(crate) fn pinned(command: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(command).map(Self)
    }

    /// The request from another position on.
    pub(crate) fn from(&self, position: u64) -> Self {
        let mut fields = self.0.clone();
        fields.remove("resume");
        fields.insert("start".to_owned(), Value::from(position));
        Self(fields)
    }

    /// The request from where a state was given out, so that the receipt is of both parts.
    pub(crate) fn resumed(&self, state: &str) -> Self {
        let mut fields = self.0.clone();
        fields.remove("start");
        fields.insert("resume".to_owned(), Value::from(state));
        Self(fields)
    }

    /// Global position in rows at which it begins.
    pub(crate) fn start(&self) -> u64 {
        self.0.get("start").and_then(Value::as_u64).unwrap_or(0)
    }

    /// As it is sent.
    pub(crate) fn command(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_the_json_of_its_fields() {
        let request = Request::new("a.b").unwrap().with("seed", 7).unwrap();
        let sent: Value = serde_json::from_slice(&request.from(12).command()).unwrap();
        assert_eq!(
            sent,
            serde_json::json!({"tarn.stream": 1, "dataset": "a.b", "seed": 7, "start": 12})
        );
        assert_eq!((request.start(), request.from(12).start()), (0, 12));
        let resumed = request.from(12).resumed("state");
        assert_eq!(resumed.0.get("resume"), Some(&Value::from("state")));
        assert!(!resumed.0.contains_key("start") && !resumed.from(12).0.contains_key("resume"));
        assert!(Request::new(" ").is_err() && request.with("dataset", "x").is_err());
    }
}
