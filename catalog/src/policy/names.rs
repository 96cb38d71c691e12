//! The people that policies speak of by name, and not by what is known of them.

use cedar_policy::Policy;
use serde_json::Value;
use std::collections::BTreeSet;

/// What an id of a person begins with.
const PERSON: &str = "person:";

/// Ids and patterns of ids in policies, in lower case.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Texts between which anything may stand: an id that is compared with `==` is one text.
    patterns: BTreeSet<Vec<String>>,
}

impl Names {
    /// Adds what a policy compares with: every text and every pattern of `like`, whatever it is compared to.
    pub(crate) fn add(&mut self, policy: &Policy) {
        match policy.to_json() {
            Ok(json) => self.add_value(&json),
            // A policy that cannot be looked into may speak of everybody.
            Err(_) => drop(self.patterns.insert(vec![String::new(), String::new()])),
        }
    }

    fn add_value(&mut self, value: &Value) {
        match value {
            Value::Object(object) => match object.get("pattern") {
                Some(Value::Array(parts)) => self.add_pattern(parts),
                _ => object.values().for_each(|value| self.add_value(value)),
            },
            Value::Array(items) => items.iter().for_each(|item| self.add_value(item)),
            Value::String(text) => {
                self.patterns.insert(vec![text.to_lowercase()]);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A pattern of `like`, as Cedar's JSON has it: texts and wildcards in order.
    fn add_pattern(&mut self, parts: &[Value]) {
        let mut texts = vec![String::new()];
        for part in parts {
            match (part.get("Literal").and_then(Value::as_str), texts.last_mut()) {
                (Some(text), Some(last)) => last.push_str(&text.to_lowercase()),
                _ => texts.push(String::new()),
            }
        }
        // One that holds for every person speaks of none.
        let said: String = texts.concat();
        if !PERSON.starts_with(&said) {
            self.patterns.insert(texts);
        }
    }

    /// Whether a policy speaks of whoever has this name, in whatever case of letters.
    pub(crate) fn speak_of(&self, name: &str) -> bool {
        let id = format!("{PERSON}{}", name.to_lowercase());
        self.patterns.iter().any(|texts| matches(texts, &id))
    }
}

/// Whether a text is these texts in order, with anything between them.
fn matches(texts: &[String], whole: &str) -> bool {
    let [first, between @ .., last] = texts else {
        return texts.first().is_some_and(|only| only == whole);
    };
    let Some(mut rest) = whole.strip_prefix(first.as_str()) else { return false };
    for text in between {
        let Some((_, after)) = rest.split_once(text.as_str()) else { return false };
        rest = after;
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::str::FromStr;

    fn names(condition: &str) -> Names {
        let mut names = Names::default();
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        names.add(&Policy::from_str(&text).unwrap());
        names
    }

    #[test]
    fn a_name_in_a_policy_is_found_however_it_is_compared() {
        for condition in [
            r#"principal.id == "person:Robot""#,
            r#"["person:ann", "person:robot"].contains(principal.id)"#,
            r#"principal == Person::"person:robot""#,
            r#"principal.id like "person:rob*""#,
            r#"principal.id like "*:r*o*t""#,
            r#"principal.id like "*bot""#,
        ] {
            assert!(names(condition).speak_of("robot"), "{condition}");
            assert!(names(condition).speak_of("ROBOT"), "{condition}");
            assert!(!names(condition).speak_of("beamline-7"), "{condition}");
        }
    }

    #[test]
    fn what_holds_for_everybody_speaks_of_nobody() {
        for condition in [
            r#"principal.id like "person:*""#,
            r#"principal.id like "*""#,
            r#"principal.groups.contains("robot")"#,
            r#"principal.id like "person:*x""#,
        ] {
            assert!(!names(condition).speak_of("robot"), "{condition}");
        }
    }
}
