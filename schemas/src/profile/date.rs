//! Dates as records write them.

use chrono::{Months, NaiveDate};

/// A calendar date written `YYYY-MM-DD` (ISO 8601), and nothing else.
pub fn parse_date(text: &str) -> Option<NaiveDate> {
    let right_shape = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if right_shape { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None }
}

/// The day so many months later.
pub(super) fn in_months(today: NaiveDate, months: u32) -> NaiveDate {
    today.checked_add_months(Months::new(months)).unwrap_or(NaiveDate::MAX)
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
