//! The calendars of CF conventions 1.11, section 4.4.1: dates and day numbers.

/// Nanoseconds of a day. CF days always have 86,400 seconds.
pub(crate) const DAY: i64 = 86_400 * SECOND;
/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;

/// Years further from zero than this are no dates: keeps all arithmetic far from overflow.
const YEARS: i64 = 10_000_000;
/// Days further from zero than this are no dates.
const DAYS: i64 = YEARS * 365;

/// Days before the first of each month in a year of 365 days.
const BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
/// Days before the first of each month in a year of 366 days.
const BEFORE_MONTH_LEAP: [i64; 12] = [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335];

/// From March 1 of year 0 to 1970-01-01 in the Gregorian and in the Julian calendar, in days.
/// The two count the same physical days.
const GREGORIAN_MARCH: i64 = 719_468;
const JULIAN_MARCH: i64 = 719_470;
/// 1582-10-15, the first Gregorian day of the standard calendar, in days since 1970-01-01.
const FIRST_GREGORIAN: i64 = -141_427;

/// A CF calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Calendar {
    /// Julian until 1582-10-04, Gregorian from 1582-10-15; no year zero.
    Standard,
    /// Gregorian rules at all times.
    ProlepticGregorian,
    /// Julian rules at all times; no year zero.
    Julian,
    /// Every year has 365 days.
    NoLeap,
    /// Every year has 366 days.
    AllLeap,
    /// Twelve months of 30 days.
    Days360,
}

impl Calendar {
    /// The calendar of this name in any letter case.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_lowercase().as_str() {
            "standard" | "gregorian" => Self::Standard,
            "proleptic_gregorian" => Self::ProlepticGregorian,
            "julian" => Self::Julian,
            "noleap" | "365_day" => Self::NoLeap,
            "all_leap" | "366_day" => Self::AllLeap,
            "360_day" => Self::Days360,
            _ => return None,
        })
    }

    /// Whether its dates of today are those of the civil calendar, so that times are timestamps.
    pub(crate) fn is_civil(self) -> bool {
        matches!(self, Self::Standard | Self::ProlepticGregorian)
    }

    /// Day number of a date; `None` if the calendar has no such date. Civil calendars and the
    /// Julian one count from 1970-01-01 of the Gregorian calendar, the others from 0000-01-01.
    pub(crate) fn days(self, year: i64, month: u8, day: u8) -> Option<i64> {
        if !(-YEARS..=YEARS).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let days = match self {
            Self::ProlepticGregorian => gregorian_days(year, month, day),
            Self::Julian => julian_days(astronomical(year)?, month, day),
            Self::Standard => {
                let year = astronomical(year)?;
                if (year, month, day) >= (1582, 10, 15) {
                    gregorian_days(year, month, day)
                } else {
                    julian_days(year, month, day)
                }
            }
            Self::NoLeap | Self::AllLeap => {
                let (before, length) = self.year_table();
                let before = before.get(usize::from(month) - 1)?;
                year * length + before + i64::from(day) - 1
            }
            Self::Days360 => year * 360 + i64::from(month - 1) * 30 + i64::from(day) - 1,
        };
        // A date that does not come back is one the calendar does not have, such as 30 February.
        (self.date(days)? == (year, month, day)).then_some(days)
    }

    /// The year, month and day of a day number; `None` beyond ten million years.
    pub(crate) fn date(self, days: i64) -> Option<(i64, u8, u8)> {
        if !(-DAYS..=DAYS).contains(&days) {
            return None;
        }
        match self {
            Self::Julian => julian_date(days).map(historical),
            Self::Standard if days < FIRST_GREGORIAN => julian_date(days).map(historical),
            Self::Standard | Self::ProlepticGregorian => gregorian_date(days),
            Self::NoLeap | Self::AllLeap => {
                let (before, length) = self.year_table();
                let day_of_year = days.rem_euclid(length);
                let month = before.partition_point(|start| *start <= day_of_year);
                let day = day_of_year - before.get(month.checked_sub(1)?)? + 1;
                Some((days.div_euclid(length), u8::try_from(month).ok()?, u8::try_from(day).ok()?))
            }
            Self::Days360 => {
                let day_of_year = days.rem_euclid(360);
                let month = u8::try_from(day_of_year / 30 + 1).ok()?;
                Some((days.div_euclid(360), month, u8::try_from(day_of_year % 30 + 1).ok()?))
            }
        }
    }

    fn year_table(self) -> (&'static [i64; 12], i64) {
        if self == Self::AllLeap { (&BEFORE_MONTH_LEAP, 366) } else { (&BEFORE_MONTH, 365) }
    }
}

/// Year of a calendar without year zero → year counted through zero; `None` for year zero.
fn astronomical(year: i64) -> Option<i64> {
    match year {
        0 => None,
        1.. => Some(year),
        _ => Some(year + 1),
    }
}

/// The reverse of [`astronomical`].
fn historical((year, month, day): (i64, u8, u8)) -> (i64, u8, u8) {
    (if year <= 0 { year - 1 } else { year }, month, day)
}

/// Year that begins in March, and the day in it: leap days are then at the end of a year.
fn march_year(year: i64, month: u8, day: u8) -> (i64, i64) {
    let month = i64::from(month);
    let (year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    (year, (153 * march_month + 2) / 5 + i64::from(day) - 1)
}

/// The reverse of [`march_year`].
fn from_march_year(year: i64, day_of_year: i64) -> Option<(i64, u8, u8)> {
    let march_month = (5 * day_of_year + 2) / 153;
    let day = u8::try_from(day_of_year - (153 * march_month + 2) / 5 + 1).ok()?;
    if march_month < 10 {
        Some((year, u8::try_from(march_month + 3).ok()?, day))
    } else {
        Some((year + 1, u8::try_from(march_month - 9).ok()?, day))
    }
}

fn gregorian_days(year: i64, month: u8, day: u8) -> i64 {
    let (year, day_of_year) = march_year(year, month, day);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - GREGORIAN_MARCH
}

fn julian_days(year: i64, month: u8, day: u8) -> i64 {
    let (year, day_of_year) = march_year(year, month, day);
    year * 365 + year.div_euclid(4) + day_of_year - JULIAN_MARCH
}

fn gregorian_date(days: i64) -> Option<(i64, u8, u8)> {
    let days = days + GREGORIAN_MARCH;
    let day = days.rem_euclid(146_097);
    // The last day of a cycle of 4, 100 or 400 years belongs to the year before.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (year * 365 + year / 4 - year / 100);
    from_march_year(days.div_euclid(146_097) * 400 + year, day_of_year)
}

fn julian_date(days: i64) -> Option<(i64, u8, u8)> {
    let days = days + JULIAN_MARCH;
    let day = days.rem_euclid(1_461);
    let year = (day - day / 1_460) / 365;
    from_march_year(days.div_euclid(1_461) * 4 + year, day - year * 365)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Calendar; 6] = [
        Calendar::Standard,
        Calendar::ProlepticGregorian,
        Calendar::Julian,
        Calendar::NoLeap,
        Calendar::AllLeap,
        Calendar::Days360,
    ];

    proptest! {
        #[test]
        fn every_day_number_is_one_date_and_the_next_day_is_later(days in -4_000_000_i64..4_000_000) {
            for calendar in ALL {
                let (year, month, day) = calendar.date(days).unwrap();
                prop_assert_eq!(calendar.days(year, month, day), Some(days));
                prop_assert!(calendar.date(days + 1).unwrap() > (year, month, day));
            }
        }
    }

    #[test]
    fn dates_that_a_calendar_lacks_are_refused() {
        assert_eq!(Calendar::NoLeap.days(2000, 2, 29), None);
        assert_eq!(Calendar::Days360.days(2000, 1, 31), None);
        assert_eq!(Calendar::Standard.days(1582, 10, 10), None);
        assert_eq!(Calendar::Standard.days(0, 1, 1), None);
        assert_eq!(Calendar::ProlepticGregorian.days(1900, 2, 29), None);
        assert!(Calendar::Days360.days(2000, 2, 30).is_some());
        assert!(Calendar::Julian.days(1900, 2, 29).is_some());
        assert!(Calendar::ProlepticGregorian.days(0, 1, 1).is_some());
        assert_eq!(Calendar::ProlepticGregorian.days(i64::MAX, 1, 1), None);
        assert_eq!(Calendar::Julian.date(i64::MIN), None);
    }
}
