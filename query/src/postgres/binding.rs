//! Values that clients bind to parameters: text or binary, as values of the engine.

use super::array::items;
use super::failure::Refusal;
use super::interval::in_words;
use super::numeric;
use super::types::{ColumnType, Format, PgType};
use arrow::datatypes::{DataType, Field, TimeUnit};
use bytes::Buf;
use datafusion::common::{DataFusionError, ScalarValue};
use std::sync::Arc;

/// Days and microseconds from 1970 to 2000, where the times of PostgreSQL begin.
const DAYS_TO_2000: i32 = 10_957;
const MICROS_TO_2000: i64 = 946_684_800_000_000;
/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;
/// The type of a value of which the client says nothing.
const UNKNOWN: u32 = 705;

/// What a client says the type of a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Nothing; it is what the statement asks for.
    Nothing,
    One(PgType),
    Many(PgType),
    /// A type that this door does not know.
    Other,
}

fn said(oid: u32) -> Said {
    // varchar, char(n), name, "char", uuid, jsonb, xml.
    const TEXTS: [u32; 7] = [1043, 1042, 19, 18, 2950, 3802, 142];
    const TEXT_ARRAYS: [u32; 6] = [1015, 1014, 1003, 1002, 2951, 3807];
    const REGCLASS: u32 = 2205;
    if oid == 0 || oid == UNKNOWN {
        return Said::Nothing;
    }
    if TEXTS.contains(&oid) {
        return Said::One(PgType::Text);
    }
    if oid == REGCLASS {
        return Said::One(PgType::Oid);
    }
    if TEXT_ARRAYS.contains(&oid) {
        return Said::Many(PgType::Text);
    }
    for kind in PgType::ALL {
        let known = kind.known();
        if known.oid == oid {
            return Said::One(kind);
        }
        if known.array == oid {
            return Said::Many(kind);
        }
    }
    Said::Other
}

/// Whether what is bound depends on what the statement asks for.
pub(super) fn is_open(oid: u32) -> bool {
    said(oid) == Said::Nothing
}

/// The type of the engine's values that are bound as this type; none where it is open or unknown.
pub(super) fn arrow_type(oid: u32) -> Option<DataType> {
    let one = |kind| match kind {
        PgType::Bool => DataType::Boolean,
        PgType::Bytea => DataType::Binary,
        PgType::Int2 => DataType::Int16,
        PgType::Int4 => DataType::Int32,
        PgType::Int8 | PgType::Oid => DataType::Int64,
        PgType::Text | PgType::Json => DataType::Utf8,
        PgType::Float4 => DataType::Float32,
        PgType::Float8 => DataType::Float64,
        PgType::Date => DataType::Date32,
        PgType::Time => DataType::Time64(TimeUnit::Microsecond),
        PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PgType::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        PgType::Interval => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
        // Of a number that is not there yet nobody knows the digits.
        PgType::Numeric => DataType::Float64,
    };
    match said(oid) {
        Said::One(kind) => Some(one(kind)),
        Said::Many(kind) => Some(DataType::List(Arc::new(Field::new_list_field(one(kind), true)))),
        Said::Nothing | Said::Other => None,
    }
}

/// A value as the engine takes it. `asked` is what the statement asks for in its place.
pub(super) fn value(
    bytes: Option<&[u8]>,
    format: Format,
    oid: u32,
    asked: &DataType,
) -> Result<ScalarValue, Refusal> {
    let said = said(oid);
    if said == Said::Other {
        let problem = format!(
            "values of type {oid} cannot be bound; bind text, and CAST($1 AS …) it in the statement"
        );
        return Err(Refusal::new("0A000", problem));
    }
    let Some(bytes) = bytes else {
        let null =
            arrow_type(oid).map_or(Ok(ScalarValue::Null), |kind| ScalarValue::try_from(&kind));
        return null.map_err(|error| Refusal::new("22P02", error.to_string()));
    };
    match (format, said) {
        (Format::Text, said) => {
            let text = std::str::from_utf8(bytes)
                .map_err(|_| Refusal::new("22021", "the text of a parameter is not UTF-8"))?;
            match said {
                Said::One(kind) => from_text(text, kind),
                Said::Many(kind) => array(text, kind),
                Said::Nothing | Said::Other => open(text, asked),
            }
        }
        (Format::Binary, Said::One(kind)) => from_binary(bytes, kind, oid),
        (Format::Binary, Said::Many(kind)) => binary_array(bytes, kind),
        // Bytes of a type that nobody names are those of the type that the client was told.
        (Format::Binary, Said::Nothing | Said::Other) => {
            let told = ColumnType::of(&Field::new("value", asked.clone(), true));
            if told.array {
                binary_array(bytes, told.element)
            } else {
                from_binary(bytes, told.element, told.oid())
            }
        }
    }
}

fn malformed(text: &str, kind: PgType) -> Refusal {
    Refusal::new("22P02", format!("{text:?} is no value of type {}", kind.known().said))
}

/// Text of which the client does not say what it is: what the statement asks for.
fn open(text: &str, asked: &DataType) -> Result<ScalarValue, Refusal> {
    match asked {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Ok(ScalarValue::from(text))
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => {
            let told = ColumnType::of(&Field::new("value", asked.clone(), true));
            array(text, told.element)
        }
        DataType::Date32 => from_text(text, PgType::Date),
        DataType::Timestamp(_, None) => from_text(text, PgType::Timestamp),
        DataType::Timestamp(..) => from_text(text, PgType::TimestampTz),
        DataType::Time32(_) | DataType::Time64(_) => from_text(text, PgType::Time),
        DataType::Boolean => from_text(text, PgType::Bool),
        DataType::Binary | DataType::LargeBinary => from_text(text, PgType::Bytea),
        // As a literal in the statement would be: a whole number, or one with a fraction.
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64 => match text.trim().parse::<i64>() {
            Ok(number) => Ok(ScalarValue::from(number)),
            Err(_) => numeric::scalar(text),
        },
        DataType::Decimal128(..) | DataType::Decimal256(..) => numeric::scalar(text),
        other => ScalarValue::from(text)
            .cast_to(other)
            .map_err(|_| Refusal::new("22P02", format!("{text:?} is no value of type {other}"))),
    }
}

fn from_text(text: &str, kind: PgType) -> Result<ScalarValue, Refusal> {
    let wrong = || malformed(text, kind);
    Ok(match kind {
        PgType::Text | PgType::Json => ScalarValue::from(text),
        PgType::Bool => match text.trim().to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => ScalarValue::from(true),
            "f" | "false" | "n" | "no" | "off" | "0" => ScalarValue::from(false),
            _ => return Err(wrong()),
        },
        PgType::Int2 => ScalarValue::from(text.trim().parse::<i16>().map_err(|_| wrong())?),
        PgType::Int4 => ScalarValue::from(text.trim().parse::<i32>().map_err(|_| wrong())?),
        PgType::Int8 | PgType::Oid => {
            ScalarValue::from(text.trim().parse::<i64>().map_err(|_| wrong())?)
        }
        PgType::Float4 => ScalarValue::from(text.trim().parse::<f32>().map_err(|_| wrong())?),
        PgType::Float8 => ScalarValue::from(text.trim().parse::<f64>().map_err(|_| wrong())?),
        PgType::Numeric => match numeric::scalar(text) {
            Ok(number) => number,
            // NaN, infinity and exponents, which decimal numbers have not.
            Err(_) => ScalarValue::from(text.trim().parse::<f64>().map_err(|_| wrong())?),
        },
        PgType::Bytea => {
            let digits = text.strip_prefix("\\x").ok_or_else(wrong)?;
            let pair = |pair: &[u8]| {
                let pair = std::str::from_utf8(pair).ok()?;
                if pair.len() == 2 { u8::from_str_radix(pair, 16).ok() } else { None }
            };
            let bytes = digits.as_bytes().chunks(2).map(pair).collect::<Option<Vec<u8>>>();
            ScalarValue::Binary(Some(bytes.ok_or_else(wrong)?))
        }
        PgType::Date | PgType::Timestamp | PgType::TimestampTz => {
            let to = match kind {
                PgType::Date => DataType::Date32,
                PgType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
                _ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            };
            // With a zone, as JDBC sends them: it is the date, or what the clock shows there, that is meant.
            let text = match kind {
                PgType::TimestampTz => zoned_date(text).unwrap_or(text).trim(),
                _ => without_zone(text),
            };
            ScalarValue::from(text).cast_to(&to).map_err(|_| wrong())?
        }
        PgType::Time => {
            let text = without_zone(text);
            // Of a date and a time it is the time.
            let time = text.rsplit([' ', 'T']).next().unwrap_or(text);
            let to = DataType::Time64(TimeUnit::Microsecond);
            ScalarValue::from(time).cast_to(&to).map_err(|_| wrong())?
        }
        PgType::Interval => {
            let to = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
            ScalarValue::from(in_words(text)).cast_to(&to).map_err(|_| wrong())?
        }
    })
}

/// A date or a time without the zone behind it, which says nothing of types without one (PostgreSQL, "Date/Time Input").
fn without_zone(text: &str) -> &str {
    let text = text.trim();
    let Some((before, clock)) = text.split_once(':') else {
        return zoned_date(text).unwrap_or(text);
    };
    let clock = clock.find(['+', '-', 'Z', 'z']).unwrap_or(clock.len());
    let end = before.len().saturating_add(1).saturating_add(clock);
    text.get(..end).unwrap_or(text).trim_end()
}

/// The date of a text that is a date and a zone: `1850-01-01 +00`.
fn zoned_date(text: &str) -> Option<&str> {
    let (date, zone) = text.trim().split_once(' ')?;
    let zone = zone.trim();
    let offset = zone.strip_prefix(['+', '-'])?;
    let plain = offset.chars().all(|c| c.is_ascii_digit() || c == ':');
    (plain && (2..=8).contains(&offset.len())).then_some(date)
}

fn from_binary(mut bytes: &[u8], kind: PgType, oid: u32) -> Result<ScalarValue, Refusal> {
    let wrong = || {
        let said = kind.known().said;
        Refusal::new("22P03", format!("a value of type {said} in binary is malformed"))
    };
    let beyond = || malformed("a time beyond what the engine holds", kind);
    let length = kind.known().length;
    if usize::try_from(length).is_ok_and(|length| length != bytes.len()) {
        return Err(wrong());
    }
    Ok(match kind {
        PgType::Text | PgType::Json => {
            match oid {
                // jsonb begins with its version.
                3802 if bytes.first() == Some(&1) => bytes.advance(1),
                3802 => return Err(wrong()),
                2950 if bytes.len() == 16 => {
                    let id = uuid::Uuid::from_slice(bytes).map_err(|_| wrong())?;
                    return Ok(ScalarValue::from(id.to_string()));
                }
                _ => {}
            }
            let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
            ScalarValue::from(text)
        }
        PgType::Bool => ScalarValue::from(bytes.get_u8() != 0),
        PgType::Int2 => ScalarValue::from(bytes.get_i16()),
        PgType::Int4 => ScalarValue::from(bytes.get_i32()),
        PgType::Oid => ScalarValue::from(i64::from(bytes.get_u32())),
        PgType::Int8 => ScalarValue::from(bytes.get_i64()),
        PgType::Float4 => ScalarValue::from(bytes.get_f32()),
        PgType::Float8 => ScalarValue::from(bytes.get_f64()),
        PgType::Numeric if numeric::is_nan(bytes) => ScalarValue::from(f64::NAN),
        PgType::Numeric => numeric::scalar(&numeric::get(bytes)?)?,
        PgType::Bytea => ScalarValue::Binary(Some(bytes.to_vec())),
        PgType::Date => {
            let days = bytes.get_i32().checked_add(DAYS_TO_2000).ok_or_else(beyond)?;
            ScalarValue::Date32(Some(days))
        }
        PgType::Time => match bytes.get_i64() {
            micros @ 0..DAY_MICROS => ScalarValue::Time64Microsecond(Some(micros)),
            _ => return Err(Refusal::new("22008", "a time of day lies between 00:00 and 24:00")),
        },
        PgType::Timestamp | PgType::TimestampTz => {
            let micros = bytes.get_i64().checked_add(MICROS_TO_2000).ok_or_else(beyond)?;
            let zone = (kind == PgType::TimestampTz).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(micros), zone)
        }
        PgType::Interval => {
            let (micros, days, months) = (bytes.get_i64(), bytes.get_i32(), bytes.get_i32());
            let nanos = micros.checked_mul(1_000).ok_or_else(beyond)?;
            let value = arrow::datatypes::IntervalMonthDayNano::new(months, days, nanos);
            ScalarValue::IntervalMonthDayNano(Some(value))
        }
    })
}

/// `{1,2,NULL}`, of one dimension.
fn array(text: &str, kind: PgType) -> Result<ScalarValue, Refusal> {
    let wrong = |_| Refusal::new("22P02", format!("{text:?} is no array of one dimension"));
    let values = items(text).map_err(wrong)?.into_iter();
    let values = values.map(|item| item.map(|item| from_text(&item, kind)).transpose());
    list(values.collect::<Result<_, _>>()?, kind)
}

/// An array of one dimension as the bytes of its elements.
fn binary_array(mut bytes: &[u8], kind: PgType) -> Result<ScalarValue, Refusal> {
    let wrong =
        || Refusal::new("22P03", "an array in binary is malformed, or has several dimensions");
    let (sides, _) = (bytes.try_get_i32(), bytes.try_get_i32());
    let element = bytes.try_get_u32().map_err(|_| wrong())?;
    if said(element) != Said::One(kind) && !(kind == PgType::Text && said(element) == Said::Nothing)
    {
        return Err(wrong());
    }
    let count = match sides {
        Ok(0) => 0,
        Ok(1) => {
            let (count, _first) = (bytes.try_get_i32(), bytes.try_get_i32());
            count.ok().filter(|count| *count >= 0).ok_or_else(wrong)?
        }
        _ => return Err(wrong()),
    };
    let mut values = Vec::new();
    for _ in 0..count {
        let length = bytes.try_get_i32().map_err(|_| wrong())?;
        if length == -1 {
            values.push(None);
            continue;
        }
        let length = usize::try_from(length).map_err(|_| wrong())?;
        let (value, rest) = bytes.split_at_checked(length).ok_or_else(wrong)?;
        values.push(Some(from_binary(value, kind, element)?));
        bytes = rest;
    }
    if bytes.has_remaining() {
        return Err(wrong());
    }
    list(values, kind)
}

/// Values of one type as a list. Decimal numbers have as many digits as the longest of them.
fn list(values: Vec<Option<ScalarValue>>, kind: PgType) -> Result<ScalarValue, Refusal> {
    let wrong = |error: DataFusionError| Refusal::new("22003", error.to_string());
    let none = arrow_type(kind.known().oid).unwrap_or(DataType::Utf8);
    let mut common: Option<DataType> = None;
    for value in values.iter().flatten() {
        let found = value.data_type();
        common = Some(match common {
            None => found,
            Some(common) => numeric::common(&common, &found).unwrap_or(DataType::Float64),
        });
    }
    let kind = common.unwrap_or(none);
    let values: Vec<ScalarValue> = values
        .into_iter()
        .map(|value| match value {
            Some(value) if value.data_type() != kind => value.cast_to(&kind),
            Some(value) => Ok(value),
            None => ScalarValue::try_from(&kind),
        })
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, &kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, oid: u32, asked: &DataType) -> Result<ScalarValue, Refusal> {
        value(Some(text.as_bytes()), Format::Text, oid, asked)
    }

    #[test]
    fn text_is_what_the_client_says_or_what_the_statement_asks_for() {
        let any = DataType::Null;
        assert_eq!(text("7", 23, &any).unwrap(), ScalarValue::from(7_i32));
        assert_eq!(text("7", 0, &any).unwrap(), ScalarValue::from("7"));
        assert_eq!(text("7", 0, &DataType::Int16).unwrap(), ScalarValue::from(7_i64));
        assert_eq!(text("t", 16, &any).unwrap(), ScalarValue::from(true));
        assert_eq!(text("1.50", 1700, &any).unwrap(), ScalarValue::Decimal128(Some(150), 3, 2));
        assert_eq!(text("\\x00ff", 17, &any).unwrap(), ScalarValue::Binary(Some(vec![0, 255])));
        assert_eq!(text("1970-01-02", 1082, &any).unwrap(), ScalarValue::Date32(Some(1)));
        let instant = ScalarValue::TimestampMicrosecond(Some(-7_200_000_000), Some("UTC".into()));
        assert_eq!(text("1970-01-01 00:00:00+02", 1184, &any).unwrap(), instant);
        assert_eq!(text("1970-01-02 +00", 1082, &any).unwrap(), ScalarValue::Date32(Some(1)));
        let shown = ScalarValue::TimestampMicrosecond(Some(5_400_000_000), None);
        for zone in ["", "+02", "-03:30", "Z", " +00"] {
            let moment = format!("1970-01-01 01:30:00{zone}");
            assert_eq!(text(&moment, 1114, &any).unwrap(), shown, "what the clock shows there");
            let asked = DataType::Timestamp(TimeUnit::Nanosecond, None);
            assert_eq!(text(&moment, 0, &asked).unwrap(), shown);
            assert_eq!(text(&moment, 1082, &any).unwrap(), ScalarValue::Date32(Some(0)));
            let time = ScalarValue::Time64Microsecond(Some(5_400_000_000));
            for oid in [1083, 0] {
                let asked = DataType::Time64(TimeUnit::Nanosecond);
                assert_eq!(text(&moment, oid, &asked).unwrap(), time);
                assert_eq!(text(&moment[11..], oid, &asked).unwrap(), time);
            }
        }
        let unsaid = value(Some(&[0, 0, 0, 7]), Format::Binary, 0, &DataType::Int32);
        assert_eq!(unsaid.unwrap(), ScalarValue::from(7_i32), "as it was told");
        for (wrong, oid) in
            [("x", 23), ("70000", 21), ("2", 16), ("\\x0", 17), ("00", 17), ("1", 600)]
        {
            assert!(text(wrong, oid, &any).is_err(), "{wrong} as {oid}");
        }
    }

    #[test]
    fn bytes_are_values_of_their_length() {
        let any = DataType::Null;
        let of = |bytes: &[u8], oid| value(Some(bytes), Format::Binary, oid, &any);
        assert_eq!(of(&[0, 0, 0, 7], 23).unwrap(), ScalarValue::from(7_i32));
        assert_eq!(of(&[0, 0, 0, 0], 1082).unwrap(), ScalarValue::Date32(Some(10_957)));
        assert!(of(&[0, 0, 7], 23).is_err());
        assert!(of(&[0xff], 25).is_err(), "not UTF-8");
        assert!(of(&i64::MAX.to_be_bytes(), 1114).is_err(), "beyond");
        for micros in [i64::MAX, -1, DAY_MICROS] {
            assert!(of(&micros.to_be_bytes(), 1083).is_err(), "{micros} is no time of day");
        }
        assert!(value(None, Format::Binary, 23, &any).unwrap().is_null());
    }

    #[test]
    fn arrays_come_in_both_formats() {
        let ScalarValue::List(list) = text("{1,NULL,3}", 1016, &DataType::Null).unwrap() else {
            panic!()
        };
        assert_eq!(list.value_length(0), 3);
        let ScalarValue::List(list) = text(r#"{a,"b,\"c"}"#, 1009, &DataType::Null).unwrap() else {
            panic!()
        };
        assert_eq!(list.value_length(0), 2);
        let one = |rest: &[u8]| [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23][..], rest].concat();
        let two = one(&[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 7, 255, 255, 255, 255]);
        let of = |bytes: &[u8], oid| value(Some(bytes), Format::Binary, oid, &DataType::Null);
        assert_eq!(of(&two, 1007).unwrap(), text("{7,NULL}", 1007, &DataType::Null).unwrap());
        assert!(of(&two, 1016).is_err(), "other elements");
        for end in 0..two.len() {
            assert!(of(&two[..end], 1007).is_err(), "{end}");
        }
        assert!(of(&one(&[0x7f, 255, 255, 255, 0, 0, 0, 1]), 1007).is_err(), "a count that lies");
        let list = text("{1.5,20,NULL}", 1231, &DataType::Null).unwrap();
        let ScalarValue::List(list) = list else { panic!() };
        assert_eq!(list.value_type(), DataType::Decimal128(3, 1));
        for wrong in ["1,2", "{1", "{{1}}", r#"{"a}"#, "{1}2}"] {
            assert!(text(wrong, 1016, &DataType::Null).is_err(), "{wrong}");
        }
    }
}
