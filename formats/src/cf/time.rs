//! CF time axes: `units` and `calendar` → dates, in integer arithmetic.

use super::calendar::{Calendar, DAY, SECOND};
use super::extended;
use super::reference;
use std::fmt;

/// Beyond this a double no longer counts whole units.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A CF time axis: unit, reference date and calendar, as in `days since 1850-01-01` under `360_day`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeAxis {
    calendar: Calendar,
    /// Nanoseconds of one unit.
    unit: i64,
    /// Day number of the reference in the calendar, in UTC.
    day: i64,
    /// Nanoseconds from midnight to the reference.
    nanoseconds: i64,
}

/// A date in some calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CalendarDate {
    /// Year, also negative; 0 where the calendar has it (`standard` and `julian` have none).
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// Nanoseconds since midnight.
    pub nanoseconds: u64,
}

impl fmt::Display for CalendarDate {
    /// ISO 8601, as cftime's `isoformat`: `2000-02-30T12:00:00`, with six digits of a second where it
    /// has a fraction, and nine where these are not enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, fraction) =
            (self.nanoseconds / 1_000_000_000, self.nanoseconds % 1_000_000_000);
        let sign = if self.year < 0 { "-" } else { "" };
        let (year, month, day) = (self.year.unsigned_abs(), self.month, self.day);
        let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
        write!(f, "{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match (fraction, fraction % 1_000) {
            (0, _) => Ok(()),
            (_, 0) => write!(f, ".{:06}", fraction / 1_000),
            _ => write!(f, ".{fraction:09}"),
        }
    }
}

impl TimeAxis {
    /// The axis of `units` (`… since …`) and `calendar` (absent = standard); `None` if this is no
    /// time or names a unit or calendar that is not known.
    ///
    /// Unit words are those of cftime in any letter case; `months` only under `360_day` and
    /// `common_years` only under `noleap`, where their length is fixed. The reference is a date,
    /// optionally a time, optionally a zone, as in [`reference`].
    pub fn parse(units: &str, calendar: Option<&str>) -> Option<Self> {
        let calendar = calendar.map_or(Some(Calendar::Standard), Calendar::parse)?;
        let mut words = units.split_ascii_whitespace();
        let unit = unit_nanoseconds(words.next()?, calendar)?;
        if !words.next()?.eq_ignore_ascii_case("since") {
            return None;
        }
        let reference = words.collect::<Vec<_>>().join(" ");
        let (year, month, day, nanoseconds) = reference::parse(&reference)?;
        // A zone may move the reference over midnight.
        let day = calendar.days(year, month, day)?.checked_add(nanoseconds.div_euclid(DAY))?;
        Some(Self { calendar, unit, day, nanoseconds: nanoseconds.rem_euclid(DAY) })
    }

    /// The date of a value on this axis; `None` for NaN and out of range. Computed in microseconds as
    /// cftime does; units of less than one to the nearest nanosecond.
    pub fn date(&self, value: f64) -> Option<CalendarDate> {
        self.date_at(self.offset(value)?)
    }

    /// The date of a whole number of units, exact for every integer.
    pub fn date_of_integer(&self, value: i64) -> Option<CalendarDate> {
        self.date_at(i128::from(value) * i128::from(self.unit))
    }

    /// Whether the calendar is the civil one, so that its times are timestamps.
    pub(crate) fn is_civil(&self) -> bool {
        self.calendar.is_civil()
    }

    /// Whether times of both axes are in the same calendar.
    pub(crate) fn same_calendar(&self, other: &Self) -> bool {
        self.calendar == other.calendar
    }

    /// Nanoseconds of one unit.
    pub(crate) fn unit(&self) -> i64 {
        self.unit
    }

    /// The reference, in nanoseconds since 1970-01-01 for a civil calendar.
    pub(crate) fn reference(&self) -> i128 {
        i128::from(self.day) * i128::from(DAY) + i128::from(self.nanoseconds)
    }

    /// How a number on this axis becomes the number of the same time on `other`: whole numbers
    /// `(multiply, add)`; `None` where it takes fractions or the calendars differ.
    pub(crate) fn rebase(&self, other: &Self) -> Option<(i64, i64)> {
        let distance = self.reference().checked_sub(other.reference())?;
        let unit = i128::from(other.unit);
        if !self.same_calendar(other) || self.unit % other.unit != 0 || distance % unit != 0 {
            return None;
        }
        Some((self.unit / other.unit, i64::try_from(distance / unit).ok()?))
    }

    /// Nanoseconds from the reference to a value, in whole microseconds where the unit is not less.
    pub(crate) fn offset(&self, value: f64) -> Option<i128> {
        if self.unit >= 1_000 {
            let fine = self.unit < SECOND;
            let whole = extended::microseconds(value, self.unit / 1_000, fine)?;
            return Some(i128::from(whole) * 1_000);
        }
        if value.is_nan() || value.abs() >= WHOLE {
            return None;
        }
        let whole = i128::from(to_integer(value.trunc())?);
        let fraction = to_integer((value.fract() * from_integer(self.unit)).round())?;
        Some(whole * i128::from(self.unit) + i128::from(fraction))
    }

    fn date_at(&self, offset: i128) -> Option<CalendarDate> {
        let day = i128::from(DAY);
        let total = offset.checked_add(i128::from(self.nanoseconds))?;
        let days = i64::try_from(total.div_euclid(day)).ok()?.checked_add(self.day)?;
        let (year, month, day_of_month) = self.calendar.date(days)?;
        let nanoseconds = u64::try_from(total.rem_euclid(day)).ok()?;
        Some(CalendarDate { year, month, day: day_of_month, nanoseconds })
    }
}

/// A double towards zero as an integer; `None` for NaN and out of range.
pub(crate) fn to_integer(value: f64) -> Option<i64> {
    // The bounds are -2^63 and 2^63, both doubles.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value) {
        #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
        Some(value as i64)
    } else {
        None
    }
}

/// An integer as the nearest double.
pub(crate) fn from_integer(value: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
    {
        value as f64
    }
}

fn unit_nanoseconds(word: &str, calendar: Calendar) -> Option<i64> {
    Some(match word.to_ascii_lowercase().as_str() {
        "nanoseconds" | "nanosecond" | "nanosec" | "nanosecs" | "ns" => 1,
        "microseconds" | "microsecond" | "microsec" | "microsecs" | "us" => 1_000,
        "milliseconds" | "millisecond" | "millisec" | "millisecs" | "msec" | "msecs" | "ms" => {
            1_000_000
        }
        "seconds" | "second" | "sec" | "secs" | "s" => SECOND,
        "minutes" | "minute" | "min" | "mins" => 60 * SECOND,
        "hours" | "hour" | "hr" | "hrs" | "h" => 3_600 * SECOND,
        "days" | "day" | "d" => DAY,
        "months" | "month" if calendar == Calendar::Days360 => 30 * DAY,
        "common_years" | "common_year" if calendar == Calendar::NoLeap => 365 * DAY,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(units: &str, calendar: &str, value: f64) -> Option<(i64, u8, u8, u64)> {
        let date = TimeAxis::parse(units, Some(calendar))?.date(value)?;
        Some((date.year, date.month, date.day, date.nanoseconds))
    }

    /// Written by `cf/testdata/make_times.py` with cftime, which knows nothing of this code.
    #[test]
    fn dates_equal_those_of_cftime_in_every_calendar() {
        let cases = include_str!("testdata/times.tsv");
        let mut seen = 0;
        for line in cases.lines().skip(1) {
            let fields: Vec<&str> = line.split('\t').collect();
            let [units, calendar, value, year, month, day, microseconds] = fields[..] else {
                panic!("{line}");
            };
            let value: f64 = value.parse().unwrap();
            let found = date(units, calendar, value).unwrap_or_else(|| panic!("{line}"));
            let expected: (i64, u8, u8) =
                (year.parse().unwrap(), month.parse().unwrap(), day.parse().unwrap());
            let microseconds: u64 = microseconds.parse().unwrap();
            assert_eq!((found.0, found.1, found.2), expected, "{line}");
            // cftime computes in microseconds, and floats through 80 bits.
            assert!(found.3.abs_diff(microseconds * 1_000) <= 1_000, "{line}: {}", found.3);
            seen += 1;
        }
        assert!(seen > 1_000, "only {seen} cases");
    }

    #[test]
    fn references_are_read_as_people_write_them() {
        let noon = 12 * 3_600 * 1_000_000_000;
        for units in [
            "days since 2000-1-1 12:00",
            "Days since 2000-01-01 12",
            "DAYS SINCE 2000-01-01T12:00:00Z",
            "d since 2000-01-01 12:00:0.0",
            "hours since 2000-01-01 12:00:00 UTC",
            "seconds since 2000-01-01 12:00:00 0:00",
            "minutes since 2000-01-01 14:00:00 +02:00",
            "minutes since 2000-01-01 06:00:00 -0600",
            "ms since 2000-01-01 06:00:00 -6",
            "days since 20000101 12:00:00.000000000000",
            "days since 2000/1/1 12:00",
            "days since 01-JAN-2000 12:00:00",
            "hours since 1 January 2000 12:00 UTC",
        ] {
            assert_eq!(date(units, "standard", 0.0), Some((2000, 1, 1, noon)), "{units}");
        }
        assert_eq!(date("days since 1-1-1", "standard", 0.0), Some((1, 1, 1, 0)));
        assert_eq!(date("days since 31-OCT-1990", "standard", 0.0), Some((1990, 10, 31, 0)));
        let over_midnight = date("hours since 2000-01-01 01:00 +02:00", "noleap", 0.0);
        assert_eq!(over_midnight, Some((1999, 12, 31, 23 * 3_600 * 1_000_000_000)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for units in [
            "K",
            "days",
            "days since",
            "days accumulated since start",
            "seconds since epoch",
            "weeks since 2000-01-01",
            "months since 2000-01-01",
            "years since 2000-01-01",
            "days since 2000-13-01",
            "days since 2000-01-01 25:00",
            "days since 2000-01-01 12:00 +99:00",
            "days since 99999999999999999999-01-01",
            "days since ééé",
            "days since 01-JAN-90",
            "days since 1-2-3-4",
        ] {
            assert_eq!(TimeAxis::parse(units, None), None, "{units}");
        }
        assert_eq!(TimeAxis::parse("days since 2000-01-01", Some("none")), None);
        assert_eq!(TimeAxis::parse("days since 2000-01-01", Some("")), None);
        assert!(TimeAxis::parse("months since 2000-01-01", Some("360_day")).is_some());
        assert!(TimeAxis::parse("months since 2000-01-01", Some("noleap")).is_none());
        let axis = TimeAxis::parse("days since 2000-01-01", None).unwrap();
        for value in [f64::NAN, f64::INFINITY, 9.969_21e36, -1e300] {
            assert_eq!(axis.date(value), None);
        }
        assert_eq!(axis.date_of_integer(i64::MAX), None);
    }
}
