//! The moment that a time counts from.

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// A moment that is one in some calendar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Moment {
    /// Seconds since 1970 in the standard calendar of CF, if that has it.
    pub(super) seconds: Option<f64>,
}

/// A date, with or without a time and a zone, as UDUNITS reads it: `1850-1-1`,
/// `1850-01-01 06:30:00.0 +1:00`, `18500101T063000`. Which days a month has depends on the calendar,
/// so that 30 February passes; a thirteenth month does not.
pub(super) fn moment(text: &str) -> Option<Moment> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, time.trim()),
        None => (text, ""),
    };
    let (year, month, day) = parse_date(date)?;
    let of_day = if time.is_empty() { 0.0 } else { parse_time(time)? };
    let days = days_since_1970(year, month, day);
    Some(Moment { seconds: days.map(|days| days * DAY + of_day) })
}

/// Days from 1970-01-01 to a date of the standard calendar of CF: Gregorian from 15 October 1582,
/// Julian before. `None` for a day that it has not. Formulas: E. G. Richards, "Calendars", in the
/// Explanatory Supplement to the Astronomical Almanac (2013), algorithm 3.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<f64> {
    const EPOCH: i64 = 2_440_588;
    let julian = (year, month, day) < (1582, 10, 15);
    if julian && (year, month, day) > (1582, 10, 4) {
        return None;
    }
    let leap = year % 4 == 0 && (julian || year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if day > *length {
        return None;
    }
    // Years begin in March, so that the leap day is their last.
    let h = month - 2;
    let g = year + 4716 - (12 - h) / 12;
    let f = (h - 1 + 12) % 12;
    let e = (1461 * g).div_euclid(4) + day - 1 - 1402;
    let number = e + (153 * f + 2).div_euclid(5);
    let number =
        if julian { number } else { number - (3 * (g + 184).div_euclid(100)).div_euclid(4) + 38 };
    i32::try_from(number - EPOCH).ok().map(f64::from)
}

fn parse_date(text: &str) -> Option<(i64, i64, i64)> {
    let (negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let year = |text: &str| within(text, 6, 0..=999_999).map(|y| if negative { -y } else { y });
    let month = |text: &str| within(text, 2, 1..=12);
    let day = |text: &str| within(text, 2, 1..=31);
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [y, m] => Some((year(y)?, month(m)?, 1)),
        [y, m, d] => Some((year(y)?, month(m)?, day(d)?)),
        // Packed: year, month and day without anything between them.
        [packed] if packed.len() == 8 && !negative => {
            Some((year(packed.get(..4)?)?, month(packed.get(4..6)?)?, day(packed.get(6..)?)?))
        }
        _ => None,
    }
}

/// Seconds of a time of day, and of a zone behind it.
fn parse_time(text: &str) -> Option<f64> {
    let end = text.find(|c: char| c.is_alphabetic() || c.is_whitespace() || "+-".contains(c));
    let (clock, zone) = text.split_at(end.unwrap_or(text.len()));
    let zone = zone.trim();
    let clock = parse_clock(clock)?;
    if zone.is_empty() || ["z", "utc", "gmt"].contains(&zone.to_ascii_lowercase().as_str()) {
        return Some(clock);
    }
    let ahead = parse_clock(zone.strip_prefix(['+', '-']).unwrap_or(zone))?;
    // Where clocks are ahead of UTC, it is earlier there.
    Some(if zone.starts_with('-') { clock + ahead } else { clock - ahead })
}

/// Seconds of hours, minutes and seconds with colons, or packed as `hhmm` or `hhmmss`.
fn parse_clock(text: &str) -> Option<f64> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts: Vec<&str> = if !text.contains(':') && text.len() > 2 {
        let parts = [text.get(..2), text.get(2..4), text.get(4..)];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect()
    } else {
        text.split(':').collect()
    };
    let number = |text: &str, last| within(text, 2, 0..=last);
    let seconds = match parts.as_slice() {
        [hour] => number(hour, 24)? * 3600,
        [hour, minute] => number(hour, 24)? * 3600 + number(minute, 59)? * 60,
        [hour, minute, second] => {
            number(hour, 24)? * 3600 + number(minute, 59)? * 60 + number(second, 60)?
        }
        _ => return None,
    };
    let fraction = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    i32::try_from(seconds).ok().map(|seconds| f64::from(seconds) + fraction)
}

/// The number that text is, if it is one of at most so many digits in a range.
fn within(text: &str, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let fits = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| fits && range.contains(number))
}
