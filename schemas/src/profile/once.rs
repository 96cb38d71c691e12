//! Documents in which a key that stands twice is not lost: JSON and YAML readers keep the last value and say
//! nothing, and nobody knows which one was meant.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Most repeated keys that are remembered.
const MOST: usize = 1000;

/// A document of JSON, or of YAML as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says; of a key that stands twice the last value.
    pub value: Value,
    /// JSON pointers of keys that stand twice, the first thousand of them.
    pub repeated: Vec<String>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut reading = Reading { pointer: String::new(), repeated: Vec::new() };
        let value = reading.deserialize(deserializer)?;
        Ok(Self { value, repeated: reading.repeated })
    }
}

/// A document on its way: where it is, and what was found.
struct Reading {
    pointer: String,
    repeated: Vec<String>,
}

impl Reading {
    /// Reads what stands under a key or at a place.
    fn inside<T, E>(
        &mut self,
        key: &str,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
        let found = read(self);
        self.pointer.truncate(length);
        found
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reading {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list or fields")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = {
            let place = found.len().to_string();
            self.inside(&place, |reading| items.next_element_seed(reading))?
        } {
            found.push(item);
        }
        Ok(Value::Array(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            let known = found.contains_key(&key);
            let value = self.inside(&key, |reading| {
                if known && reading.repeated.len() < MOST {
                    reading.repeated.push(reading.pointer.clone());
                }
                fields.next_value_seed(reading)
            })?;
            found.insert(key, value);
        }
        Ok(Value::Object(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_that_stand_twice_are_found_in_json_and_in_yaml() {
        let json = r#"{"a": 1, "b": [{"c/~": null, "c/~": 2.5}, -3], "a": {"x": true}, "a": "z"}"#;
        let found: Document = serde_json::from_str(json).unwrap();
        assert_eq!(found.repeated, ["/b/0/c~1~0", "/a", "/a"]);
        assert_eq!(found.value, serde_json::from_str::<Value>(json).unwrap());
        let yaml = "title: one\ncreators: [{name: a, name: b}]\ntitle: two\n";
        let found: Document = serde_yaml_ng::from_str(yaml).unwrap();
        assert_eq!(found.repeated, ["/creators/0/name", "/title"]);
        assert_eq!(found.value["title"], "two");
        let many = format!("{{{}}}", vec![r#""a":1"#; 5000].join(","));
        assert_eq!(serde_json::from_str::<Document>(&many).unwrap().repeated.len(), MOST);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9).prop_map(|number: f64| Value::from(number)),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("\\PC{0,4}", inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_says_nothing_twice_reads_as_it_is(value in any_value()) {
            let found: Document = serde_json::from_str(&value.to_string()).unwrap();
            prop_assert_eq!(found, Document { value, repeated: Vec::new() });
        }
    }
}
