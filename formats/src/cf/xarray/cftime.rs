//! Dates as cftime computes them: in microseconds.

use super::reference;
use crate::cf::calendar::Calendar;
use crate::cf::extended;
use crate::cf::time::CalendarDate;

const DAY: i64 = 86_400_000_000;

/// A time axis as `cftime.num2date` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    calendar: Calendar,
    /// Microseconds of one unit.
    factor: i64,
    /// Whether the unit is one that cftime does not pull to whole seconds.
    fine: bool,
    /// Day number of the reference in the calendar, in UTC.
    day: i64,
    /// Microseconds from midnight to the reference.
    microseconds: i64,
}

impl Axis {
    /// The axis of units and calendar; `None` where cftime fails.
    pub(super) fn parse(units: &str, calendar: Calendar) -> Option<Self> {
        let mut words = units.trim_start().splitn(2, char::is_whitespace);
        let unit = words.next()?.to_lowercase();
        let rest = words.next()?.trim_start();
        let (since, date) = rest.split_once(char::is_whitespace)?;
        if !since.eq_ignore_ascii_case("since") {
            return None;
        }
        let (factor, fine) = factor(&unit, calendar)?;
        let (date, microseconds) = reference::cftime(date)?;
        let day = calendar.days(date.year, date.month, date.day)?;
        let day = day.checked_add(microseconds.div_euclid(DAY))?;
        Some(Self { calendar, factor, fine, day, microseconds: microseconds.rem_euclid(DAY) })
    }

    /// Microseconds from the reference to a value, as in [`extended::microseconds`].
    pub(super) fn offset(&self, value: f64) -> Option<i64> {
        extended::microseconds(value, self.factor, self.fine)
    }

    /// The date so many microseconds from the reference; nanoseconds of the date are whole
    /// microseconds.
    pub(super) fn date(&self, offset: i64) -> Option<CalendarDate> {
        let (days, of_day) = self.place(offset)?;
        let (year, month, day) = self.calendar.date(days)?;
        let nanoseconds = u64::try_from(of_day).ok()?.checked_mul(1_000)?;
        Some(CalendarDate { year, month, day, nanoseconds })
    }

    /// Nanoseconds since 1970, where the calendar is a civil one and they hold the date. The days of
    /// the civil calendars count from there.
    pub(super) fn nanoseconds(&self, offset: i64) -> Option<i64> {
        let (days, of_day) = self.place(offset)?;
        let date = self.calendar.date(days)?;
        let days = Calendar::ProlepticGregorian.days(date.0, date.1, date.2)?;
        let total = days.checked_mul(DAY)?.checked_add(of_day)?.checked_mul(1_000)?;
        (total != i64::MIN).then_some(total)
    }

    fn place(&self, offset: i64) -> Option<(i64, i64)> {
        let total = i128::from(offset) + i128::from(self.microseconds);
        let (days, of_day) = (total.div_euclid(DAY.into()), total.rem_euclid(DAY.into()));
        Some((self.day.checked_add(i64::try_from(days).ok()?)?, i64::try_from(of_day).ok()?))
    }
}

/// Microseconds of a unit, and whether it is a fine one.
fn factor(unit: &str, calendar: Calendar) -> Option<(i64, bool)> {
    Some(match unit {
        "microseconds" | "microsecond" | "microsec" | "microsecs" => (1, true),
        "milliseconds" | "millisecond" | "millisec" | "millisecs" | "msec" | "msecs" | "ms" => {
            (1_000, true)
        }
        "seconds" | "second" | "sec" | "secs" | "s" => (1_000_000, false),
        "minutes" | "minute" | "min" | "mins" => (60_000_000, false),
        "hours" | "hour" | "hr" | "hrs" | "h" => (3_600_000_000, false),
        "days" | "day" | "d" => (DAY, false),
        "months" | "month" if calendar == Calendar::Days360 => (30 * DAY, false),
        "common_years" | "common_year" if calendar == Calendar::NoLeap => (365 * DAY, false),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(units: &str, calendar: &str, value: f64) -> Option<String> {
        let axis = Axis::parse(units, Calendar::parse(calendar)?)?;
        axis.date(axis.offset(value)?).map(|date| date.to_string())
    }

    /// From `cftime.num2date` of cftime 1.6.6.
    #[test]
    fn dates_are_those_of_cftime_to_the_microsecond() {
        let noleap = |value| date("days since 2000-01-01", "noleap", value).unwrap();
        assert_eq!(noleap(0.123_456_789_012_3), "2000-01-01T02:57:46.666571");
        assert_eq!(noleap(1.0 / 7.0), "2000-01-01T03:25:42.857143");
        assert_eq!(noleap(1e-9), "2000-01-01T00:00:00.000086");
        assert_eq!(noleap(730_000.123_456_789), "4000-01-01T02:57:46.666565");
        assert_eq!(noleap(1.0 / 3.0), "2000-01-01T08:00:00");
        assert_eq!(noleap(-5e-324), "2000-01-01T00:00:00");
        let first = |value| date("days since 0001-01-01", "noleap", value);
        assert_eq!(first(-2000.0 * 365.0).unwrap(), "-1999-01-01T00:00:00");
        assert_eq!(first(1e8).unwrap(), "273973-08-09T00:00:00");
        assert_eq!(first(1e9), None);
        assert_eq!(date("nanoseconds since 2000-01-01", "noleap", 1.0), None);
        assert_eq!(date("months since 2000-01-01", "noleap", 1.0), None);
        assert_eq!(date("days since 1582-10-10", "standard", 1.0), None);
        assert_eq!(date("days since 1582-10-04", "standard", 1.0).unwrap(), "1582-10-15T00:00:00");
    }
}
