//! Decimal numbers as PostgreSQL's `numeric`: groups of four digits.

use super::failure::Refusal;
use arrow::datatypes::DataType;
use bytes::{Buf, BufMut, BytesMut};
use datafusion::common::ScalarValue;
use std::fmt::Write;

const NEGATIVE: u16 = 0x4000;
/// Most digits of a number in Arrow.
const MOST_DIGITS: usize = 76;

fn wrong(text: &str) -> Refusal {
    Refusal::new("22P02", format!("{text:?} is no number of at most {MOST_DIGITS} digits"))
}

/// Sign, digits before the point and digits behind it.
fn parts(text: &str) -> Option<(bool, &str, &str)> {
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some = !(whole.is_empty() && part.is_empty());
    (some && digits(whole) && digits(part)).then_some((negative, whole, part))
}

/// The type that holds the numbers of two types of numbers; none where decimal digits do not suffice.
pub(super) fn common(one: &DataType, other: &DataType) -> Option<DataType> {
    if one == other {
        return Some(one.clone());
    }
    let digits = |data_type: &DataType| match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u8::try_from(*scale).ok()?;
            Some((precision.checked_sub(scale)?, scale))
        }
        _ => None,
    };
    let ((whole, part), (more_whole, more_part)) = (digits(one)?, digits(other)?);
    let scale = part.max(more_part);
    let precision = whole.max(more_whole).checked_add(scale)?;
    let scale = i8::try_from(scale).ok()?;
    match precision {
        0..=38 => Some(DataType::Decimal128(precision, scale)),
        39..=76 => Some(DataType::Decimal256(precision, scale)),
        _ => None,
    }
}

/// Whether a number that a client sent in binary is none.
pub(super) fn is_nan(bytes: &[u8]) -> bool {
    matches!(bytes, [_, _, _, _, 0xc0, 0x00, ..])
}

/// Writes a number that stands as text.
pub(super) fn put(body: &mut BytesMut, text: &str) -> Result<(), Refusal> {
    let (negative, whole, part) = parts(text).ok_or_else(|| wrong(text))?;
    let whole = whole.trim_start_matches('0');
    let before = whole.len().div_ceil(4);
    let mut padded = "0".repeat(before.saturating_mul(4).saturating_sub(whole.len()));
    padded.push_str(whole);
    padded.push_str(part);
    while !padded.len().is_multiple_of(4) {
        padded.push('0');
    }
    let mut groups: Vec<u16> = padded
        .as_bytes()
        .chunks(4)
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
        .collect();
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    let short = |number: usize| i16::try_from(number).map_err(|_| wrong(text));
    let weight = if groups.is_empty() {
        0
    } else {
        short(before)?.saturating_sub(1).saturating_sub(short(leading)?)
    };
    body.put_i16(short(groups.len())?);
    body.put_i16(weight);
    body.put_u16(if negative && !groups.is_empty() { NEGATIVE } else { 0 });
    body.put_i16(short(part.len())?);
    for group in groups {
        body.put_u16(group);
    }
    Ok(())
}

/// A number that a client sent in binary, as text.
pub(super) fn get(mut bytes: &[u8]) -> Result<String, Refusal> {
    let malformed = || Refusal::new("22P03", "a number in binary is malformed");
    if bytes.remaining() < 8 {
        return Err(malformed());
    }
    let (count, weight) = (bytes.get_u16(), bytes.get_i16());
    let (sign, scale) = (bytes.get_u16(), bytes.get_u16());
    if bytes.remaining() != usize::from(count).saturating_mul(2) || !matches!(sign, 0 | NEGATIVE) {
        return Err(malformed());
    }
    // Zeros in front of the first group and behind the last one, within what a number may have.
    if !(-20..=20).contains(&weight) || count > 40 || usize::from(scale) > MOST_DIGITS {
        return Err(wrong("the number"));
    }
    let groups: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    if groups.iter().any(|group| *group > 9_999) {
        return Err(malformed());
    }
    let group = |place: i16| {
        let at = weight.checked_sub(place).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| groups.get(at)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    for place in (0..=weight.max(0)).rev() {
        let _ = write!(text, "{:04}", group(place));
    }
    let mut part = String::new();
    let mut place = -1;
    while part.len() < usize::from(scale) {
        let _ = write!(part, "{:04}", group(place));
        place -= 1;
    }
    part.truncate(usize::from(scale));
    if !part.is_empty() {
        text.push('.');
        text.push_str(&part);
    }
    Ok(text)
}

/// A number that stands as text, with exactly its digits.
pub(super) fn scalar(text: &str) -> Result<ScalarValue, Refusal> {
    let text = text.trim();
    let (negative, whole, part) = parts(text).ok_or_else(|| wrong(text))?;
    let whole = whole.trim_start_matches('0');
    let digits = whole.len().saturating_add(part.len()).max(1);
    let size = |number: usize| u8::try_from(number).map_err(|_| wrong(text));
    let (precision, scale) = (size(digits)?, size(part.len())?.cast_signed());
    let mut joined = String::from(if negative { "-" } else { "" });
    joined.push_str(whole);
    joined.push_str(part);
    if whole.is_empty() && part.is_empty() {
        joined.push('0');
    }
    if digits <= 38 {
        let value = joined.parse::<i128>().map_err(|_| wrong(text))?;
        return Ok(ScalarValue::Decimal128(Some(value), precision, scale));
    }
    if digits > MOST_DIGITS {
        return Err(wrong(text));
    }
    let value = joined.parse().map_err(|_| wrong(text))?;
    Ok(ScalarValue::Decimal256(Some(value), precision, scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Bytes that PostgreSQL 15's numeric_send gives.
    #[test]
    fn numbers_are_those_of_numeric_send() {
        for (text, bytes) in [
            ("0", "0000000000000000"),
            ("0.00", "0000000000000002"),
            ("1", "00010000000000000001"),
            ("-1.5", "0002000040000001 00011388"),
            ("10000", "00010001000000000001"),
            ("0.0001", "0001ffff000000040001"),
            ("12345.678", "0003000100000003 0001 0929 1a7c"),
        ] {
            let mut body = BytesMut::new();
            put(&mut body, text).unwrap();
            let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, bytes.replace(' ', ""), "{text}");
        }
        assert!(put(&mut BytesMut::new(), "NaN").is_err());
        assert!(get(&[0; 7]).is_err());
        assert!(get(&[0, 0, 0, 0, 0xc0, 0, 0, 0]).is_err(), "NaN");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value: i128, scale in 0_usize..30) {
            let digits = format!("{:031}", value.unsigned_abs());
            let (whole, part) = digits.split_at(digits.len() - scale);
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}{}{part}", if scale > 0 { "." } else { "" });
            let mut body = BytesMut::new();
            put(&mut body, &text).unwrap();
            let read = get(&body).unwrap();
            prop_assert_eq!(scalar(&read).unwrap().to_string(), scalar(&text).unwrap().to_string());
        }

        #[test]
        fn no_bytes_are_more_than_an_error(bytes: Vec<u8>) {
            let _ = get(&bytes);
        }
    }
}
