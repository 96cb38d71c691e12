//! The moment that a time counts from.

/// Whether text is a date, with or without a time and a zone, as UDUNITS reads it: `1850-1-1`,
/// `1850-01-01 06:30:00.0 +1:00`, `18500101T063000`. Which days a month has depends on the calendar,
/// so that 30 February passes; a thirteenth month does not.
pub(super) fn is_moment(text: &str) -> bool {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.trim()),
        None => (text, ""),
    };
    is_date(date) && (time.is_empty() || is_time(time))
}

fn is_date(text: &str) -> bool {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [year, month] => within(year, 6, 0..=999_999) && within(month, 2, 1..=12),
        [year, month, day] => {
            within(year, 6, 0..=999_999) && within(month, 2, 1..=12) && within(day, 2, 1..=31)
        }
        // Packed: year, month and day without anything between them.
        [packed] if packed.len() == 8 && !negative => {
            packed.get(4..6).is_some_and(|month| within(month, 2, 1..=12))
                && packed.get(6..).is_some_and(|day| within(day, 2, 1..=31))
                && within(packed, 8, 0..=99_999_999)
        }
        _ => false,
    }
}

/// A time of day, and a zone behind it.
fn is_time(text: &str) -> bool {
    let end = text.find(|c: char| c.is_alphabetic() || c.is_whitespace() || "+-".contains(c));
    let (clock, zone) = text.split_at(end.unwrap_or(text.len()));
    let zone = zone.trim();
    is_clock(clock) && (zone.is_empty() || is_zone(zone))
}

fn is_zone(text: &str) -> bool {
    ["z", "utc", "gmt"].contains(&text.to_ascii_lowercase().as_str())
        || is_clock(text.strip_prefix(['+', '-']).unwrap_or(text))
}

/// Hours, minutes and seconds with colons, or packed as `hhmm` or `hhmmss`.
fn is_clock(text: &str) -> bool {
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let parts: Vec<&str> = if !text.contains(':') && text.len() > 2 {
        let parts = [text.get(..2), text.get(2..4), text.get(4..)];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect()
    } else {
        text.split(':').collect()
    };
    match parts.as_slice() {
        [hour] => within(hour, 2, 0..=24),
        [hour, minute] => within(hour, 2, 0..=24) && within(minute, 2, 0..=59),
        [hour, minute, second] => {
            within(hour, 2, 0..=24) && within(minute, 2, 0..=59) && within(second, 2, 0..=60)
        }
        _ => false,
    }
}

/// Whether text is at most so many digits and their number in a range.
fn within(text: &str, digits: usize, range: std::ops::RangeInclusive<u32>) -> bool {
    (1..=digits).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse().is_ok_and(|number| range.contains(&number))
}
