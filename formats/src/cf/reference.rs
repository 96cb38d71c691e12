//! The date after `since`, as people write it.

use super::calendar::SECOND;

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Year, month, day and nanoseconds from its midnight in UTC (negative or more than a day where a
/// zone moves it).
///
/// A date as `2000-1-1`, `2000/01/01`, `20000101`, `2000-01`, `2000` or `01-JAN-2000`; a time `12`,
/// `12:30`, `12:30:00.5`; a zone `Z`, `UTC`, `+02:00`, `-0600`, or ARM's ` 0:00`.
pub(super) fn parse(text: &str) -> Option<(i64, u8, u8, i64)> {
    let (date, rest) = split(text)?;
    let (time, zone) = split_zone(rest);
    let nanoseconds = if time.is_empty() { 0 } else { parse_time(time)? };
    Some((date.year, date.month, date.day, nanoseconds - parse_zone(zone)?))
}

/// A date as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
}

/// The date, and what follows it without the separator.
pub(super) fn split(text: &str) -> Option<(Written, &str)> {
    if let Some(found) = named_month(text) {
        return Some(found);
    }
    // A date's own minus signs come after the first digit; a leading sign belongs to the year.
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?.trim()),
        None => match text.strip_suffix(['Z', 'z']) {
            Some(date) => (date, "Z"),
            None => (text, ""),
        },
    };
    Some((numbered(date)?, rest))
}

/// `01-JAN-1990`, `1 January 1990`, `1/jan/1990`.
fn named_month(text: &str) -> Option<(Written, &str)> {
    let (day, rest) = text.split_once(['-', ' ', '/'])?;
    let (month, rest) = rest.split_once(['-', ' ', '/'])?;
    let month = month.to_ascii_lowercase();
    let mut names = MONTHS.iter();
    let month =
        names.position(|name| **name == month || (month.len() == 3 && name.starts_with(&month)))?;
    let (year, rest) = match rest.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => rest.split_at_checked(at)?,
        None => (rest, ""),
    };
    let rest = match rest.chars().next() {
        None => "",
        Some('T' | 't' | ' ') => rest.get(1..)?.trim(),
        Some(_) => return None,
    };
    if year.len() != 4 || day.len() > 2 {
        return None;
    }
    let written = Written {
        year: whole_number(year)?.into(),
        month: u8::try_from(month + 1).ok()?,
        day: u8::try_from(whole_number(day)?).ok()?,
    };
    Some((written, rest))
}

fn numbered(text: &str) -> Option<Written> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let year: i64 = digits.get(..4)?.parse().ok()?;
        return Some(Written {
            year: sign * year,
            month: digits.get(4..6)?.parse().ok()?,
            day: digits.get(6..)?.parse().ok()?,
        });
    }
    let mut parts = digits.split(if digits.contains('/') { '/' } else { '-' });
    let year = i64::from(whole_number(parts.next()?)?);
    let two = |part: &str| whole_number(part).filter(|_| part.len() <= 2);
    let month = parts.next().map_or(Some(1), two)?;
    let day = parts.next().map_or(Some(1), two)?;
    if parts.next().is_some() {
        return None;
    }
    Some(Written {
        year: sign * year,
        month: u8::try_from(month).ok()?,
        day: u8::try_from(day).ok()?,
    })
}

/// Splits `12:30:00.5 +02:00` into time and zone.
pub(super) fn split_zone(text: &str) -> (&str, &str) {
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'));
    match at.and_then(|at| text.split_at_checked(at)) {
        Some((time, zone)) => (time, zone.trim()),
        None => (text, ""),
    }
}

/// `h`, `h:m`, `h:m:s` or `h:m:s.fraction` in nanoseconds.
pub(super) fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hours = whole_number(parts.next()?).filter(|hours| *hours < 24)?;
    let minutes = parts.next().map_or(Some(0), whole_number).filter(|minutes| *minutes < 60)?;
    let (seconds, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
            (whole_number(whole).filter(|seconds| *seconds < 60)?, parse_fraction(fraction)?)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Some(i64::from(hours * 3_600 + minutes * 60 + seconds) * SECOND + fraction)
}

/// Digits after the point of a second, as nanoseconds; further digits are cut off.
fn parse_fraction(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: String = digits.chars().chain("000000000".chars()).take(9).collect();
    digits.parse().ok()
}

/// Nanoseconds a zone is ahead of UTC.
pub(super) fn parse_zone(text: &str) -> Option<i64> {
    if text.is_empty() || ["z", "utc", "gmt"].iter().any(|name| text.eq_ignore_ascii_case(name)) {
        return Some(0);
    }
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours, minutes),
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let (hours, minutes) = (whole_number(hours)?, whole_number(minutes)?);
    if hours > 14 || minutes > 59 {
        return None;
    }
    Some(sign * i64::from(hours * 3_600 + minutes * 60) * SECOND)
}

/// Up to nine digits.
pub(super) fn whole_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 9;
    (digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
