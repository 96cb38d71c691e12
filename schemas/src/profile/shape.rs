//! Errors of a JSON Schema as violations: where, which rule, what was found, how to mend it.

use super::{Violation, shown};
use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// Most violations of one document: a broken one may break a rule in each of a million places.
const MOST: usize = 1000;
/// Longest value that is shown.
const LONGEST: usize = 80;

/// What of a document breaks its schema. A subschema may say under `fix` how to mend what it
/// refuses, and under `rule` what the rule is called; rules without a name are called by `prefix`
/// and the field.
pub(super) fn violations(
    schema: &Value,
    validator: &Validator,
    document: &Value,
    prefix: &str,
) -> Vec<Violation> {
    let mut found: Vec<Violation> = Vec::new();
    let mut more = 0_usize;
    for error in validator.iter_errors(document) {
        let room = MOST.saturating_sub(found.len());
        let told = explain(schema, &error, prefix, room);
        more = more.saturating_add(places(&error).saturating_sub(told.len()));
        for violation in told {
            if !found.contains(&violation) {
                found.push(violation);
            }
        }
    }
    if more > 0 {
        found.push(Violation {
            pointer: String::new(),
            rule: format!("{prefix}.more"),
            found: format!("{more} more of these"),
            fix: format!("mend the first {MOST}, and the others are named"),
        });
    }
    found
}

/// In how many places a rule is broken: one error counts all fields that are not known.
fn places(error: &ValidationError<'_>) -> usize {
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected.len(),
        _ => 1,
    }
}

/// An error as violations, at most `room` of them: to look for what a field may mean takes its time.
fn explain(
    schema: &Value,
    error: &ValidationError<'_>,
    prefix: &str,
    room: usize,
) -> Vec<Violation> {
    if room == 0 {
        return Vec::new();
    }
    let path = error.instance_path().to_string();
    let keyword_at = error.schema_path().to_string();
    let parent = keyword_at.rsplit_once('/').map_or("", |(parent, _)| parent);
    let node = schema.pointer(parent).unwrap_or(&Value::Null);
    let own = |name: &str| node.get(name).and_then(Value::as_str).map(str::to_owned);
    let one = |pointer: String, found: String, fix: String| Violation {
        rule: own("rule").unwrap_or_else(|| rule(prefix, &pointer, error.kind().keyword())),
        pointer,
        found,
        fix: own("fix").unwrap_or(fix),
    };
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => unexpected
            .iter()
            .take(room)
            .map(|name| {
                let value = error.instance().get(name).map(text).unwrap_or_default();
                one(child(&path, name), value, unknown(node, name))
            })
            .collect(),
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![one(child(&path, name), "nothing".to_owned(), format!("write {name}"))]
        }
        kind => vec![one(path, text(error.instance()), fix(kind))],
    }
}

/// `record.creators.name.type` of `/creators/0/name`.
fn rule(prefix: &str, pointer: &str, keyword: &str) -> String {
    let words = pointer.split('/').filter(|word| {
        !word.is_empty() && word.len() <= LONGEST && !word.bytes().all(|byte| byte.is_ascii_digit())
    });
    let mut rule: Vec<&str> = vec![prefix];
    rule.extend(words.take(4));
    rule.push(keyword);
    rule.join(".")
}

fn child(path: &str, name: &str) -> String {
    let name = name.replace('~', "~0").replace('/', "~1");
    let name: String = name.chars().take(LONGEST).collect();
    format!("{path}/{name}")
}

/// A value as it is shown.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => shown(text),
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(fields) => format!("{} field(s)", fields.len()),
        other => shown(&other.to_string()).trim_matches('"').to_owned(),
    }
}

/// What to do about a field that the schema does not know.
fn unknown(node: &Value, name: &str) -> String {
    const TAKE_OUT: &str = "there is no such field: take it out";
    if name.len() > LONGEST {
        return TAKE_OUT.to_owned();
    }
    let known = node.get("properties").and_then(Value::as_object);
    let known = known.into_iter().flat_map(|fields| fields.keys());
    let most = |field: &str| 2.max(field.len() / 4);
    let own = letters(name);
    let close = known
        .filter(|field| {
            usize::try_from(apart(letters(field), own)).is_ok_and(|apart| apart <= most(field))
        })
        .map(|field| (strsim::osa_distance(field, name), field))
        .filter(|(distance, field)| *distance <= most(field))
        .min();
    match close {
        Some((_, field)) => format!("there is no such field; did you mean {field}?"),
        None => TAKE_OUT.to_owned(),
    }
}

/// The letters of a word as bits. Two letters may be one bit: words look alike by that, and never less alike.
fn letters(word: &str) -> u64 {
    word.chars().fold(0, |bits, letter| bits | 1_u64.rotate_left(u32::from(letter) % 64))
}

/// So many different letters of one word are not in the other: no distance between them is less. To count is far
/// quicker than to compare, and almost no word is close to another.
fn apart(one: u64, other: u64) -> u32 {
    (one & !other).count_ones().max((other & !one).count_ones())
}

fn fix(kind: &Kind) -> String {
    match kind {
        Kind::Enum { options } => {
            let words = options.as_array().into_iter().flatten();
            let words: Vec<String> =
                words.map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect();
            format!("use one of {}", words.join(", "))
        }
        Kind::Type { .. } => "a value of another kind belongs here (see `tarn record profile`): in YAML quote texts, put lists into [ ], fields into { }".to_owned(),
        Kind::Pattern { pattern } => format!("write it in the form {pattern}"),
        Kind::MinItems { limit } => format!("give at least {limit}"),
        Kind::MaxItems { limit } => format!("give at most {limit}"),
        Kind::MinLength { limit } => format!("write at least {limit} characters"),
        Kind::FalseSchema => "take it out: it does not belong there".to_owned(),
        _ => "correct it by the published profile".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No field is left out that is close.
        #[test]
        fn no_distance_is_less_than_the_letters_that_differ(one in "[a-d_é0-9]{0,12}", other in "[a-d_é0-9]{0,12}") {
            let least = usize::try_from(apart(letters(&one), letters(&other))).unwrap();
            prop_assert!(least <= strsim::osa_distance(&one, &other));
        }
    }

    #[test]
    fn a_misspelt_field_is_named_and_what_is_far_from_all_is_not() {
        let fields: serde_json::Map<String, Value> = ["title", "description", "creators"]
            .iter()
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect();
        let node = serde_json::json!({"properties": fields});
        assert!(unknown(&node, "desciption").contains("did you mean description"));
        assert!(unknown(&node, "tilte").contains("did you mean title"));
        assert!(unknown(&node, "desc12345").contains("take it out"));
    }
}
