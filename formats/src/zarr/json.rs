//! JSON as the metadata of Zarr stores is written.
//!
//! `serde_json` is not used for three reasons: Python writes `NaN`, `Infinity` and `-Infinity` into
//! attributes of version 2, which are no JSON (RFC 8259); numbers of attributes must be the doubles
//! and integers that were written, to the last bit; and attributes keep their order.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// A number without fraction and exponent.
    Integer(i128),
    /// Any other number.
    Float(f64),
    Text(String),
    List(Vec<Json>),
    /// Members in the order of the file; of members with the same name the last one counts.
    Object(Vec<(String, Json)>),
}

/// Levels of lists and objects.
const DEEPEST: usize = 64;

impl Json {
    /// Reads a whole document.
    ///
    /// # Errors
    /// What is wrong, and at which byte.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("byte {} is no UTF-8", error.valid_up_to()))?;
        let mut parser = Parser { text: text.trim_start_matches('\u{feff}'), at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at < parser.text.len() {
            return Err(parser.wrong("more after its end"));
        }
        Ok(value)
    }

    /// The member of an object; `None` where there is none, and where it is null.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let members = self.members()?;
        let found = members.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value);
        found.filter(|value| **value != Self::Null)
    }

    pub(crate) fn members(&self) -> Option<&[(String, Self)]> {
        if let Self::Object(members) = self { Some(members) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn integer(&self) -> Option<i128> {
        if let Self::Integer(number) = self { Some(*number) } else { None }
    }

    /// A list of counts.
    pub(crate) fn counts(&self) -> Option<Vec<u64>> {
        self.list()?.iter().map(|n| u64::try_from(n.integer()?).ok()).collect()
    }
}

impl std::fmt::Display for Json {
    /// As JSON again.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) if number.is_nan() => f.write_str("NaN"),
            Self::Float(number) if number.is_infinite() => {
                f.write_str(if *number > 0.0 { "Infinity" } else { "-Infinity" })
            }
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(values) => {
                f.write_str("[")?;
                for (place, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if place == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (place, (name, value)) in members.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "," };
                    write!(f, "{comma}{}:{value}", quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("it is no JSON: {what} at byte {}", self.at)
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let comes = self.rest().starts_with(token);
        if comes {
            self.at += token.len();
        }
        comes
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEEPEST {
            return Err(self.wrong("lists and objects nested too deep"));
        }
        self.space();
        for (token, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ] {
            if self.take(token) {
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'[') => {
                let mut values = Vec::new();
                self.sequence(']', |parser| {
                    values.push(parser.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::List(values))
            }
            Some(b'{') => {
                let mut members = Vec::new();
                self.sequence('}', |parser| {
                    parser.space();
                    let name = parser.string()?;
                    parser.space();
                    if !parser.take(":") {
                        return Err(parser.wrong("no colon"));
                    }
                    members.push((name, parser.value(depth + 1)?));
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.wrong("no value")),
        }
    }

    /// What stands between brackets, separated by commas.
    fn sequence(
        &mut self,
        close: char,
        mut each: impl FnMut(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let close = close.encode_utf8(&mut [0; 4]).to_owned();
        self.at += 1;
        self.space();
        if self.take(&close) {
            return Ok(());
        }
        loop {
            each(self)?;
            self.space();
            if self.take(&close) {
                return Ok(());
            }
            if !self.take(",") {
                return Err(self.wrong("no comma"));
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let of_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let rest = self.rest();
        let token = rest.get(..rest.find(|c| !of_number(c)).unwrap_or(rest.len()));
        let token = token.unwrap_or_default().to_owned();
        let number = if token.contains(['.', 'e', 'E']) {
            None
        } else {
            token.parse().ok().map(Json::Integer)
        };
        let number = number.or_else(|| token.parse().ok().map(Json::Float));
        let number = number.ok_or_else(|| self.wrong("no number"))?;
        self.at += token.len();
        Ok(number)
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.take("\"") {
            return Err(self.wrong("no text"));
        }
        let mut string = String::new();
        loop {
            let rest = self.rest();
            let Some(end) = rest.find(['"', '\\']) else {
                return Err(self.wrong("a text without end"));
            };
            string.push_str(rest.get(..end).unwrap_or_default());
            self.at += end;
            if self.take("\"") {
                return Ok(string);
            }
            self.at += 1;
            let escape = self.peek().ok_or_else(|| self.wrong("a text without end"))?;
            self.at += 1;
            string.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.unicode()?,
                _ => return Err(self.wrong("an unknown escape")),
            });
        }
    }

    /// `XXXX` after `\u`, and the second half of a pair. Half a pair becomes U+FFFD.
    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hexadecimal()?;
        let is_high = (0xd800..0xdc00).contains(&first);
        if is_high && self.rest().starts_with("\\u") {
            let before = self.at;
            self.at += 2;
            let second = self.hexadecimal()?;
            if (0xdc00..0xe000).contains(&second) {
                let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(both).unwrap_or('\u{fffd}'));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn hexadecimal(&mut self) -> Result<u32, String> {
        let digits = self.rest().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.wrong("no code of a character"))?;
        self.at += 4;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Json, String> {
        Json::parse(text.as_bytes())
    }

    #[test]
    fn numbers_are_those_that_were_written() {
        assert_eq!(parse("0.1").unwrap(), Json::Float(0.1));
        assert_eq!(parse("-3e2").unwrap(), Json::Float(-300.0));
        assert_eq!(parse("18446744073709551615").unwrap(), Json::Integer(u64::MAX.into()));
        // A double that is rounded wrongly by a parser that does not take care.
        assert_eq!(
            parse("2.2250738585072011e-308").unwrap(),
            Json::Float(2.225_073_858_507_201e-308)
        );
        assert!(matches!(parse(" NaN ").unwrap(), Json::Float(n) if n.is_nan()));
        assert_eq!(parse("[-Infinity]").unwrap(), Json::List(vec![Json::Float(f64::NEG_INFINITY)]));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for text in
            ["", "{", "[1,]", "{\"a\" 1}", "\"abc", "\"\\q\"", "\"\\u12\"", "1 2", "--1", "nul"]
        {
            assert!(parse(text).unwrap_err().contains("at byte"), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        let deep = "[".repeat(100_000);
        assert!(parse(&deep).unwrap_err().contains("too deep"));
    }

    #[test]
    fn members_are_found_by_name_and_the_last_one_counts() {
        let value = parse(r#"{"a": 1, "b": null, "a": [2, 3]}"#).unwrap();
        assert_eq!(value.get("a").unwrap().counts(), Some(vec![2, 3]));
        assert_eq!((value.get("b"), value.get("c")), (None, None));
        assert_eq!(parse(r#""\ud83d\ude00\ud800x\/""#).unwrap().text(), Some("😀\u{fffd}x/"));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 30, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn same(a: &Json, b: &serde_json::Value) -> bool {
        match (a, b) {
            (Json::Null, serde_json::Value::Null) => true,
            (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Json::Integer(a), serde_json::Value::Number(b)) => {
                b.as_i64().map(i128::from) == Some(*a)
            }
            (Json::Float(a), serde_json::Value::Number(b)) => {
                b.as_f64().map(f64::to_bits) == Some(a.to_bits())
            }
            (Json::Text(a), serde_json::Value::String(b)) => a == b,
            (Json::List(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(a), serde_json::Value::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((n, a), (m, b))| n == m && same(a, b))
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn documents_read_as_serde_json_wrote_them(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let parsed = parse(&text.unwrap()).unwrap();
            prop_assert!(same(&parsed, &value), "{parsed:?}");
            prop_assert!(same(&parse(&parsed.to_string()).unwrap(), &value));
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(Json::parse(&bytes));
        }
    }
}
