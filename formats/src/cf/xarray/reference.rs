//! Reference dates as pandas reads them, and as cftime does where pandas fails.

use crate::cf::calendar::{Calendar, SECOND};
use crate::cf::reference::{Written, parse_time, parse_zone, split, split_zone, whole_number};

/// What `pandas.Timestamp(text)` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pandas {
    /// Nanoseconds since 1970 in UTC.
    Instant(i64),
    /// An error, or a date that nanoseconds cannot hold: xarray then asks cftime.
    Fails,
    /// A form of which it is not known what pandas makes of it.
    Unknown,
}

/// Splits units as xarray does: the unit, and the reference date with a year of four digits. `None`
/// where they are no units of a time.
pub(super) fn split_units(units: &str) -> Option<(&str, String)> {
    // The last ` since ` counts, with something on both sides.
    let at = units.rfind(" since ").filter(|at| *at > 0)?;
    let (unit, date) = (units.get(..at)?.trim(), units.get(at + 7..)?);
    if date.is_empty() {
        return None;
    }
    let date = date.trim();
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let four = (0..date.len()).any(|at| date.get(at..).is_some_and(|rest| digits(rest) >= 4));
    if four {
        return Some((unit, date.to_owned()));
    }
    let (year, rest) = date.split_at_checked(digits(date)).filter(|(year, _)| !year.is_empty())?;
    Some((unit, format!("{:04}{rest}", whole_number(year)?)))
}

/// The reference date by pandas. Forms that people use are known; of others nothing is guessed.
pub(super) fn pandas(date: &str) -> Pandas {
    let year_digits = date.bytes().take_while(u8::is_ascii_digit).count();
    if date.starts_with(['-', '+']) || (year_digits > 4 && year_digits != 8) {
        return Pandas::Fails;
    }
    let Some((written, rest)) = split(date) else { return Pandas::Unknown };
    // Dates that do not begin with their year are month first or day first: only named months.
    let named = year_digits <= 2 && date.bytes().any(|byte| byte.is_ascii_alphabetic());
    if year_digits < 4 && !named {
        return Pandas::Unknown;
    }
    let (time, zone) = split_zone(rest);
    if time.is_empty() {
        // pandas refuses a zone without a time of day.
        return match zone {
            "" => instant(written, 0),
            "Z" | "z" => Pandas::Fails,
            _ => Pandas::Unknown,
        };
    }
    let Some(nanoseconds) = parse_time(time) else { return Pandas::Unknown };
    let signed = zone.starts_with(['+', '-']);
    if matches!(zone, "" | "Z" | "z" | "UTC" | "GMT") || (signed && digits_of_zone(zone)) {
        return match parse_zone(zone) {
            Some(zone) => instant(written, nanoseconds - zone),
            None => Pandas::Unknown,
        };
    }
    // ARM's ` 0:00` is no zone to pandas: a second time of day replaces the first, but for the
    // fraction of a second.
    match parse_time(zone) {
        Some(second) if zone.contains(':') && !zone.contains('.') => {
            instant(written, second + nanoseconds % SECOND)
        }
        _ => Pandas::Unknown,
    }
}

/// `+h`, `+hh`, `+hhmm`, `+h:mm`, `+hh:mm`.
fn digits_of_zone(zone: &str) -> bool {
    let digits = zone.get(1..).unwrap_or_default();
    match digits.split_once(':') {
        Some((hours, minutes)) => matches!(hours.len(), 1 | 2) && minutes.len() == 2,
        None => matches!(digits.len(), 1 | 2 | 4),
    }
}

fn instant(date: Written, nanoseconds: i64) -> Pandas {
    let days = Calendar::ProlepticGregorian.days(date.year, date.month, date.day);
    let instant = days.and_then(|days| days.checked_mul(86_400 * SECOND)?.checked_add(nanoseconds));
    // The smallest integer is NaT.
    match instant.filter(|instant| *instant != i64::MIN) {
        Some(instant) => Pandas::Instant(instant),
        None => Pandas::Fails,
    }
}

/// A reference date by cftime's expression for ISO 8601, which takes what it knows from the start
/// and leaves the rest: the date, and microseconds from its midnight in UTC.
pub(super) fn cftime(date: &str) -> Option<(Written, i64)> {
    let mut rest = Scanner(date.trim());
    let sign = match rest.0.chars().next()? {
        '-' => -1,
        _ => 1,
    };
    rest.0 = rest.0.strip_prefix(['-', '+']).unwrap_or(rest.0);
    let year = sign * i64::from(rest.number(9)?);
    let month = u8::try_from(rest.after('-')?.number(2)?).ok()?;
    let day = u8::try_from(rest.after('-')?.number(2)?).ok()?;
    let mut microseconds = 0;
    let mut time = Scanner(rest.0);
    if let Some((hour, minute)) = time.any().and_then(|()| {
        let hour = time.number(2)?;
        Some((hour, time.after(':')?.number(2)?))
    }) {
        rest = Scanner(time.0);
        let mut second = 0;
        if let Some(found) = time.after(':').and_then(|time| time.number(2)) {
            second = found;
            rest = Scanner(time.0);
            let digits = time.after('.').map_or("", |time| time.digits(usize::MAX));
            if !digits.is_empty() {
                let fraction: f64 = format!("0.{digits}").parse().ok()?;
                microseconds = crate::cf::to_integer(fraction * 1e6)?;
                rest = Scanner(time.0);
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        microseconds += i64::from(hour * 3_600 + minute * 60 + second) * 1_000_000;
    }
    let mut separated = Scanner(rest.0);
    let offset = match zone(rest) {
        Some(offset) => offset,
        None => separated.any().and_then(|()| zone(separated)).unwrap_or(0),
    };
    Some((Written { year, month, day }, microseconds - offset * 60_000_000))
}

/// `Z`, `+hh`, `+hhmm` or `+hh:mm` at the start of a text, in minutes.
fn zone(mut text: Scanner<'_>) -> Option<i64> {
    if text.0.starts_with('Z') {
        return Some(0);
    }
    let sign = if text.0.starts_with('-') { -1 } else { 1 };
    text.0 = text.0.strip_prefix(['-', '+'])?;
    let two = |text: &mut Scanner<'_>| -> Option<i64> {
        let digits = text.digits(2);
        (digits.len() == 2).then(|| digits.parse().ok())?
    };
    let hours = two(&mut text)?;
    text.0 = text.0.strip_prefix(':').unwrap_or(text.0);
    let minutes = two(&mut text).unwrap_or(0);
    Some(sign * (hours * 60 + minutes))
}

/// A text that is eaten from the front.
#[derive(Debug, Clone, Copy)]
struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn digits(&mut self, most: usize) -> &'a str {
        let count = self.0.bytes().take_while(u8::is_ascii_digit).take(most).count();
        let (digits, rest) = self.0.split_at_checked(count).unwrap_or_default();
        self.0 = rest;
        digits
    }

    fn number(&mut self, most: usize) -> Option<u32> {
        whole_number(self.digits(most))
    }

    fn after(&mut self, separator: char) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(separator)?;
        Some(self)
    }

    fn any(&mut self) -> Option<()> {
        let mut characters = self.0.chars();
        characters.next().filter(|c| *c != '\n')?;
        self.0 = characters.as_str();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From `pandas.Timestamp` of pandas 3.1 (`+00:00` is UTC).
    #[test]
    fn pandas_reads_dates_as_it_does() {
        let noon = 946_728_000_000_000_000;
        for date in [
            "2000-01-01 12:00:00",
            "2000-1-1 12",
            "2000-01-01T12:00:00Z",
            "2000/1/1 12:00",
            "01-JAN-2000 12:00:00",
            "2000-01-01 14:00:00 +02:00",
            "2000-01-01 06:00 -6",
            "2000-01-01 06:00:00 -0600",
            "20000101 12:00",
            "2000-01-01  12:00:00",
            "2000-01-01 00:00:00 12:00",
            "2000-01-01 12:30 12:00:00",
        ] {
            assert_eq!(pandas(date), Pandas::Instant(noon), "{date}");
        }
        assert_eq!(
            pandas("2021-09-22 15:00:06.5 0:00"),
            Pandas::Instant(1_632_268_800_500_000_000)
        );
        for date in ["10000-01-01", "-0001-01-01", "0001-01-01", "2000-01-01Z", "1990-02-30"] {
            assert_eq!(pandas(date), Pandas::Fails, "{date}");
        }
        for date in
            ["12-1-2000", "epoch", "2000-01-01 12:00 EST", "1990-01-01 -6", "2000-060", "2000-012"]
        {
            assert_eq!(pandas(date), Pandas::Unknown, "{date}");
        }
    }

    #[test]
    fn units_split_at_the_last_since() {
        assert_eq!(split_units("days since 1-1-1"), Some(("days", "0001-1-1".to_owned())));
        assert_eq!(
            split_units(" days  since  2000-01-01 "),
            Some(("days", "2000-01-01".to_owned()))
        );
        assert_eq!(split_units("days accumulated since start"), None);
        assert_eq!(split_units("days since"), None);
        assert_eq!(split_units("DAYS SINCE 2000-01-01"), None);
    }

    /// From `cftime._cftime._parse_date` of cftime 1.6.6.
    #[test]
    fn cftime_takes_what_it_knows_and_leaves_the_rest() {
        let date = |text: &str| cftime(text).map(|(w, us)| (w.year, w.month, w.day, us));
        let hour = 3_600_000_000;
        assert_eq!(date("1-2-3"), Some((1, 2, 3, 0)));
        assert_eq!(date("-5-02-3T4:5:6.75"), Some((-5, 2, 3, 4 * hour + 306_750_000)));
        assert_eq!(date("2000-01-01 00:00:00 +02:00"), Some((2000, 1, 1, -2 * hour)));
        assert_eq!(date("2000-01-01 12:00-0130"), Some((2000, 1, 1, 13 * hour + hour / 2)));
        assert_eq!(date("1990-01-01 -6"), Some((1990, 1, 1, 0)));
        assert_eq!(date("1990-01-01 10:00 EST"), Some((1990, 1, 1, 10 * hour)));
        assert_eq!(date("1990-01-01 1200"), Some((1990, 1, 1, 0)));
        assert_eq!(date("1990-01"), None);
        assert_eq!(date("1990-01-01 24:00"), None);
        assert_eq!(date("start"), None);
    }
}
