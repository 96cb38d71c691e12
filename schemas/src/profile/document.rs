//! The profile as a published JSON Schema (2020-12), and records read by it.

use super::Violation;
use super::once::Document;
use super::shape::violations;
use crate::record::Record;
use jsonschema::Validator;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The lab-core profile as JSON Schema: what a record with everything filled in has to have at each
/// tier, and under `$defs/record` what any record may have.
pub const LAB_CORE: &str = include_str!("published/lab-core.json");

/// The part of [`LAB_CORE`] that a record satisfies before anything is filled in.
static SHAPE: LazyLock<Option<(Value, Validator)>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(LAB_CORE).ok()?;
    let shape = json!({
        "$schema": document.get("$schema")?,
        "$ref": "#/$defs/record",
        "$defs": document.get("$defs")?,
    });
    let validator = jsonschema::validator_for(&shape).ok()?;
    Some((shape, validator))
});

/// The document without fields that hold nothing: `tier:` in YAML is a field that is still to be
/// filled in, and is missed like one that is not there.
fn filled(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, field)| !field.is_null());
            Value::Object(fields.map(|(name, field)| (name.clone(), filled(field))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(filled).collect()),
        other => other.clone(),
    }
}

/// Reads a record from a document, in which no field may stand twice.
///
/// # Errors
/// Every violation.
pub fn read_document(document: &Document) -> Result<Record, Vec<Violation>> {
    let read = read(&document.value);
    if document.repeated.is_empty() {
        return read;
    }
    let twice = document.repeated.iter().map(|pointer| Violation {
        pointer: pointer.clone(),
        rule: "record.twice".to_owned(),
        found: "the field more than once".to_owned(),
        fix: "write it once: nobody knows which of the values counts".to_owned(),
    });
    Err(twice.chain(read.err().unwrap_or_default()).collect())
}

/// Reads a record from JSON, or from YAML as JSON. What has the wrong shape (unknown fields, texts
/// where lists belong, values outside closed lists) is found all at once.
///
/// # Errors
/// Every violation.
pub fn read(value: &Value) -> Result<Record, Vec<Violation>> {
    let value = &filled(value);
    if let Some((schema, validator)) = &*SHAPE {
        let found = violations(schema, validator, value, "record");
        if !found.is_empty() {
            return Err(found);
        }
    }
    serde_json::from_value(value.clone()).map_err(|error| {
        vec![Violation {
            pointer: String::new(),
            rule: "record.form".to_owned(),
            found: super::shown(&error.to_string()),
            fix: "correct the field that the message names".to_owned(),
        }]
    })
}
