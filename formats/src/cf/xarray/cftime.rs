//! Dates as cftime computes them: in microseconds, floats through 80 bits.

use super::reference;
use crate::cf::calendar::Calendar;
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

    /// Microseconds from the reference to a finite value: multiplied with 64 bits of precision,
    /// rounded to even, and pulled to the whole second that is one microsecond away. `None` where
    /// they do not fit into 64 bits.
    pub(super) fn offset(&self, value: f64) -> Option<i64> {
        let scaled = Extended::product(value, self.factor)?;
        if scaled.floor()? < i64::MIN.into() || scaled.ceil()? > i64::MAX.into() {
            return None;
        }
        let mut offset = scaled.round()?;
        if !self.fine {
            if offset.rem_euclid(1_000_000) == 1 {
                offset = scaled.floor()?;
            }
            if offset.rem_euclid(1_000_000) == 999_999 {
                offset = scaled.ceil()?;
            }
        }
        // The smallest integer is NaT, which has no date.
        i64::try_from(offset).ok().filter(|offset| *offset != i64::MIN)
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

/// `digits × 2^exponent`, with at most 64 digits: what a `long double` of x86 holds.
#[derive(Debug, Clone, Copy)]
struct Extended {
    digits: i128,
    exponent: i32,
}

impl Extended {
    /// The product of a finite double and an integer of at most 63 bits, rounded to 64 bits.
    fn product(value: f64, factor: i64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let stored = i32::try_from(bits >> 52 & 0x7ff).ok()?;
        let fraction = i128::from(bits & ((1 << 52) - 1));
        let (digits, exponent) =
            if stored == 0 { (fraction, -1_074) } else { (fraction | 1 << 52, stored - 1_075) };
        let digits = if value.is_sign_negative() { -digits } else { digits };
        let product = digits.checked_mul(factor.into())?;
        let width = i32::try_from(128 - product.unsigned_abs().leading_zeros()).ok()?;
        let excess = (width - 64).max(0);
        let digits = half_even(product, u32::try_from(excess).ok()?);
        Some(Self { digits, exponent: exponent + excess })
    }

    /// The number as an integer, by a rule for what is cut off; `None` beyond 127 bits.
    fn integer(self, rule: fn(i128, u32) -> i128) -> Option<i128> {
        match u32::try_from(self.exponent) {
            // 64 digits and 62 more.
            Ok(left) if left <= 62 => Some(self.digits << left),
            Ok(_) => (self.digits == 0).then_some(0),
            // Below 2^-126 every rule sees the sign alone.
            Err(_) => Some(rule(self.digits, self.exponent.unsigned_abs().min(126))),
        }
    }

    fn floor(self) -> Option<i128> {
        self.integer(|digits, shift| digits >> shift)
    }

    fn ceil(self) -> Option<i128> {
        self.integer(|digits, shift| -(-digits >> shift))
    }

    fn round(self) -> Option<i128> {
        self.integer(half_even)
    }
}

/// `digits / 2^shift`, rounded to the nearest, ties to even.
fn half_even(digits: i128, shift: u32) -> i128 {
    if shift == 0 {
        return digits;
    }
    let whole = digits >> shift;
    let rest = digits - (whole << shift);
    let half = 1_i128 << (shift - 1);
    if rest > half || (rest == half && whole & 1 == 1) { whole + 1 } else { whole }
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
