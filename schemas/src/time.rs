//! Moments as facts hold them, seconds since 1970, as text.

use chrono::DateTime;

/// RFC 3339 in UTC, to the second: `1854-01-16T12:00:00Z`; `None` beyond what that can write (years 0
/// to 9999).
pub fn rfc3339(seconds: f64) -> Option<String> {
    const FIRST: f64 = -62_167_219_200.0;
    const LAST: f64 = 253_402_300_799.0;
    if !(FIRST..=LAST).contains(&seconds) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range checked above")]
    let whole = seconds.round() as i64;
    let at = DateTime::from_timestamp(whole, 0)?;
    Some(at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}

/// The day alone where the time is midnight.
pub fn day_or_time(seconds: f64) -> String {
    let Some(text) = rfc3339(seconds) else { return format!("{seconds} s since 1970") };
    match text.strip_suffix("T00:00:00Z") {
        Some(day) => day.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates_of_four_digit_years() {
        assert_eq!(rfc3339(0.0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(-62_167_219_200.0).as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(rfc3339(253_402_300_799.0).as_deref(), Some("9999-12-31T23:59:59Z"));
        for beyond in [253_402_300_800.0, f64::NAN, f64::INFINITY, -1e300] {
            assert_eq!(rfc3339(beyond), None);
        }
        assert_eq!(day_or_time(86_400.0), "1970-01-02");
        assert_eq!(day_or_time(86_401.4), "1970-01-02T00:00:01Z");
    }
}
