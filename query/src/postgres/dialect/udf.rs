//! Functions of PostgreSQL that the engine has not, for sessions over this door alone.

use super::super::system::type_names;
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// What of the name of a type is looked up for each row.
static TYPE_NAMES: LazyLock<HashMap<i64, String>> =
    LazyLock::new(|| type_names().into_iter().collect());
/// What may be done with what is there: reading it.
const GRANTED: [&str; 4] = ["SELECT", "USAGE", "CONNECT", "EXECUTE"];

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// `quote_ident(text)`
    QuoteIdent,
    /// `quote_literal(value)`
    QuoteLiteral,
    /// `format(pattern, values…)`
    Format,
    /// `format_type(oid, modifier)`
    FormatType,
    /// `tarn_like_pattern(pattern, escape)`: the pattern with a backslash in the place of another escape.
    LikePattern,
    /// `tarn_privilege(privilege)`: whether it is one that somebody has.
    Privilege,
    /// `tarn_privilege_on(privilege, number, name)`: the same for a table, which has to be there.
    PrivilegeOn,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct OfPostgres {
    kind: Kind,
    signature: Signature,
}

/// All of them.
pub(crate) fn functions() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let kinds = [
        Kind::QuoteIdent,
        Kind::QuoteLiteral,
        Kind::Format,
        Kind::FormatType,
        Kind::LikePattern,
        Kind::Privilege,
        Kind::PrivilegeOn,
    ];
    kinds.into_iter().map(|kind| {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Arc::new(ScalarUDF::from(OfPostgres { kind, signature }))
    })
}

impl Kind {
    fn arguments(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::QuoteIdent | Self::QuoteLiteral | Self::Privilege => 1..=1,
            Self::Format => 1..=100,
            Self::FormatType => 1..=2,
            Self::LikePattern => 2..=2,
            Self::PrivilegeOn => 3..=3,
        }
    }
}

impl ScalarUDFImpl for OfPostgres {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::QuoteIdent => "quote_ident",
            Kind::QuoteLiteral => "quote_literal",
            Kind::Format => "format",
            Kind::FormatType => FORMAT_TYPE,
            Kind::LikePattern => LIKE_PATTERN,
            Kind::Privilege => PRIVILEGE,
            Kind::PrivilegeOn => PRIVILEGE_ON,
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        if !self.kind.arguments().contains(&arguments.len()) {
            return Err(DataFusionError::Plan(format!(
                "{} takes {:?} arguments, and {} were given",
                self.name(),
                self.kind.arguments(),
                arguments.len()
            )));
        }
        Ok(match self.kind {
            Kind::Privilege | Kind::PrivilegeOn => DataType::Boolean,
            _ => DataType::Utf8,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let single = arguments.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let made = self.made(&arrays)?;
        if single {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }
}

/// Names that statements are rewritten to call.
pub(super) const FORMAT_TYPE: &str = "format_type";
pub(super) const LIKE_PATTERN: &str = "tarn_like_pattern";
pub(super) const PRIVILEGE: &str = "tarn_privilege";
pub(super) const PRIVILEGE_ON: &str = "tarn_privilege_on";

impl OfPostgres {
    fn made(&self, arrays: &[ArrayRef]) -> Result<ArrayRef> {
        let array = |place: usize| {
            arrays.get(place).ok_or_else(|| {
                DataFusionError::Internal(format!("{} lacks an argument", self.name()))
            })
        };
        let texts = |place: usize| Ok::<_, DataFusionError>(cast(array(place)?, &DataType::Utf8)?);
        Ok(match self.kind {
            Kind::QuoteIdent => {
                let names = texts(0)?;
                let quoted = names.as_string::<i32>().iter().map(|name| name.map(quote_ident));
                Arc::new(quoted.collect::<StringArray>())
            }
            Kind::QuoteLiteral => {
                let values = texts(0)?;
                let quoted = values.as_string::<i32>().iter().map(|text| text.map(quote_literal));
                Arc::new(quoted.collect::<StringArray>())
            }
            Kind::Format => {
                let texts = (0..arrays.len()).map(texts).collect::<Result<Vec<_>>>()?;
                let texts: Vec<&StringArray> = texts.iter().map(AsArray::as_string).collect();
                let Some((patterns, values)) = texts.split_first() else {
                    return Err(DataFusionError::Plan("format lacks a pattern".to_owned()));
                };
                let made = patterns.iter().enumerate().map(|(row, pattern)| {
                    let of = |values: &&StringArray| {
                        values.is_valid(row).then(|| values.value(row).to_owned())
                    };
                    let values: Vec<Option<String>> = values.iter().map(of).collect();
                    pattern.map(|pattern| formatted(pattern, &values)).transpose()
                });
                Arc::new(made.collect::<Result<StringArray>>()?)
            }
            Kind::FormatType => {
                let numbers = cast(array(0)?, &DataType::Int64)?;
                let names = numbers
                    .as_primitive::<Int64Type>()
                    .iter()
                    .map(|oid| oid.map(|oid| TYPE_NAMES.get(&oid).map_or("???", String::as_str)));
                Arc::new(names.collect::<StringArray>())
            }
            Kind::LikePattern => {
                let (patterns, escapes) = (texts(0)?, texts(1)?);
                let pairs =
                    patterns.as_string::<i32>().iter().zip(escapes.as_string::<i32>().iter());
                let made = pairs.map(|(pattern, escape)| {
                    pattern.zip(escape).map(|(p, escape)| like_pattern(p, escape)).transpose()
                });
                Arc::new(made.collect::<Result<StringArray>>()?)
            }
            Kind::Privilege => {
                let wanted = texts(0)?;
                let made = wanted.as_string::<i32>().iter().map(|wanted| wanted.map(is_granted));
                Arc::new(made.collect::<BooleanArray>())
            }
            Kind::PrivilegeOn => {
                let (wanted, number, names) = (texts(0)?, array(1)?, texts(2)?);
                let names = names.as_string::<i32>();
                let rows = wanted.as_string::<i32>().iter().zip(names.iter()).enumerate();
                let made = rows.map(|(row, (wanted, name))| {
                    if number.is_null(row) {
                        return Err(DataFusionError::External(Box::new(
                            crate::error::QueryError::NotFound(format!(
                                "there is no table {}",
                                name.unwrap_or_default()
                            )),
                        )));
                    }
                    Ok(wanted.map(is_granted))
                });
                Arc::new(made.collect::<Result<BooleanArray>>()?)
            }
        })
    }
}

fn quote_ident(name: &str) -> String {
    let letter = |c: char| c.is_ascii_lowercase() || c == '_';
    let plain = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A pattern with values in the places of `%s`, as names in those of `%I` and as literals in those of `%L`.
fn formatted(pattern: &str, values: &[Option<String>]) -> Result<String> {
    let wrong = |problem: &str| DataFusionError::Plan(format!("format: {problem}"));
    let (mut made, mut values) = (String::with_capacity(pattern.len()), values.iter());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            made.push(letter);
            continue;
        }
        let kind = letters.next().ok_or_else(|| wrong("the pattern ends with %: double it"))?;
        if kind == '%' {
            made.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| wrong("there are fewer values than places"))?;
        match (kind, value) {
            ('s', value) => made.push_str(value.as_deref().unwrap_or_default()),
            ('I', Some(name)) => made.push_str(&quote_ident(name)),
            ('I', None) => return Err(wrong("NULL is no name")),
            ('L', Some(text)) => made.push_str(&quote_literal(text)),
            ('L', None) => made.push_str("NULL"),
            _ => return Err(wrong("places are %s, %I, %L and %%")),
        }
    }
    Ok(made)
}

/// Whether one of some privileges, apart from one another by commas, is that of reading.
fn is_granted(wanted: &str) -> bool {
    wanted.split(',').any(|one| {
        let one = one.trim().to_ascii_uppercase();
        GRANTED.contains(&one.as_str())
    })
}

/// A pattern of LIKE whose escape is a backslash, as the engine has it.
pub(super) fn like_pattern(pattern: &str, escape: &str) -> Result<String> {
    let mut letters = escape.chars();
    let escape = letters.next();
    if letters.next().is_some() {
        return Err(DataFusionError::Plan("ESCAPE takes one character or none".to_owned()));
    }
    let mut made = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if Some(letter) == escape {
            let Some(next) = letters.next() else {
                return Err(DataFusionError::Plan(
                    "a pattern of LIKE ends with its escape character: double it".to_owned(),
                ));
            };
            if matches!(next, '%' | '_' | '\\') {
                made.push('\\');
            }
            made.push(next);
        } else if letter == '\\' {
            made.push_str("\\\\");
        } else {
            made.push(letter);
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_patterns_escaped_as_postgresql_does() {
        assert_eq!(quote_ident("a_1"), "a_1");
        assert_eq!(quote_ident("1a"), "\"1a\"");
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), " E'a\\\\b'");
        for (pattern, escape, made) in [
            ("a!!b", "!", "a!b"),
            ("a!_b%", "!", "a\\_b%"),
            ("a\\b", "!", "a\\\\b"),
            ("a!b", "", "a!b"),
            ("100/%", "/", "100\\%"),
            ("a\\%", "\\", "a\\%"),
        ] {
            assert_eq!(like_pattern(pattern, escape).unwrap(), made, "{pattern}");
        }
        assert!(like_pattern("a!", "!").is_err());
        assert!(like_pattern("a", "ab").is_err());
    }

    #[test]
    fn patterns_are_filled_as_postgresql_does() {
        let values = [Some("a b".to_owned()), None];
        assert_eq!(formatted("%I.%s 5%%", &values).unwrap(), "\"a b\". 5%");
        assert_eq!(formatted("%L %L", &values).unwrap(), "'a b' NULL");
        assert!(formatted("%s %s %s", &values).is_err() && formatted("%", &values).is_err());
        assert!(formatted("%d", &values).is_err());
    }

    #[test]
    fn one_may_read_and_nothing_else() {
        assert!(is_granted("select") && is_granted("INSERT, SELECT") && is_granted("Usage"));
        assert!(!is_granted("INSERT") && !is_granted("CREATE") && !is_granted("UPDATE,DELETE"));
    }
}
