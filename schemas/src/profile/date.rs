//! Dates as records write them.

use chrono::{Days, Months, NaiveDate};

/// A calendar date written `YYYY-MM-DD` (ISO 8601), and nothing else.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let right_shape = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if right_shape { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None }
}

/// Last day on which a record registered today has to be looked at again.
pub(super) fn latest_review(today: NaiveDate) -> NaiveDate {
    let in_two_years = today.checked_add_months(Months::new(24)).unwrap_or(NaiveDate::MAX);
    // One day of grace, so that a record made before midnight passes after it.
    in_two_years.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_four_two_two_digits_are_a_date() {
        assert_eq!(parse_date("2026-11-22"), NaiveDate::from_ymd_opt(2026, 11, 22));
        for bad in
            ["", "2026-11-2", "2026-11-31", "26-11-22", "2026/11/22", "+026-11-22", "22.11.2026"]
        {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
