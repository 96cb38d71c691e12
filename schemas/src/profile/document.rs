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

/// What can be read of a document that [`read_document`] refuses: the record without the fields that
/// are wrong, so that the others are checked as well. None where too little is left.
pub fn salvage(document: &Document, violations: &[Violation]) -> Option<Salvaged> {
    let mut value = filled(&document.value);
    let mut left_out = Vec::new();
    for violation in violations {
        left_out.extend(take_out(&mut value, &violation.pointer));
    }
    let read = |value: &Value| serde_json::from_value::<Record>(named(value)).ok();
    let record = read(&value).or_else(|| {
        // A part cannot be without what was taken out of it: the whole field goes.
        for violation in violations {
            let field = violation.pointer.split('/').nth(1).unwrap_or_default();
            left_out.extend(take_out(&mut value, &format!("/{field}")));
        }
        read(&value)
    })?;
    Some(Salvaged { record, left_out })
}

/// A record of which fields were left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Salvaged {
    /// The rest of it.
    pub record: Record,
    /// JSON pointers of what was left out, lists as a whole.
    left_out: Vec<String>,
}

impl Salvaged {
    /// Of what is wrong with the rest, what is not so because something was left out.
    pub fn others(&self, violations: Vec<Violation>) -> impl Iterator<Item = Violation> {
        violations.into_iter().filter(|violation| {
            !self.left_out.iter().any(|pointer| {
                let inside = |outer: &str, inner: &str| {
                    inner
                        .strip_prefix(outer)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                inside(pointer, &violation.pointer) || inside(&violation.pointer, pointer)
            })
        })
    }
}

/// Takes a field out, or the list that it is an item of: the places of others stay. A text in a list stays too,
/// because lists of texts can be read with any, and their other items are checked. Gives the pointer.
fn take_out(value: &mut Value, pointer: &str) -> Option<String> {
    let (parent, name) = pointer.rsplit_once('/')?;
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&name.replace("~1", "/").replace("~0", "~"));
            Some(pointer.to_owned())
        }
        Some(Value::Array(items)) => {
            let item = name.parse().ok().and_then(|place: usize| items.get(place));
            if item.is_some_and(Value::is_string) {
                return Some(pointer.to_owned());
            }
            take_out(value, parent)
        }
        _ => Some(pointer.to_owned()),
    }
}

/// The document with a name that stands for one that is wrong or missing.
fn named(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.entry("name").or_insert_with(|| Value::from("unnamed"));
    }
    value
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
