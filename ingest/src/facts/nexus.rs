//! What a NeXus file says of its measurement, by the paths that NXentry gives it (NeXus manual,
//! "NXentry", "NXinstrument", "NXuser").

use chrono::DateTime;
use tarn_formats::Variable;
use tarn_schemas::facts::FORMULA;

/// What a text of a NeXus file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What records are prefilled from, under the name that attributes of ACDD have for it.
    Attribute(&'static str),
    /// When the measurement began or ended.
    Moment,
}

/// What a variable is about, if it is one of those. Crystals and filters of an instrument have
/// formulas too, and are not what is measured.
pub(super) fn meaning(variable: &Variable) -> Option<Meaning> {
    let path: Vec<&str> = variable.path.trim_start_matches('/').split('/').collect();
    let is_entry = |group: &str| group.starts_with("entry") || group.starts_with("raw_data");
    match path.as_slice() {
        [.., group, name] if *name == FORMULA && group.starts_with("sample") => {
            Some(Meaning::Attribute(FORMULA))
        }
        [entry, "title"] if is_entry(entry) => Some(Meaning::Attribute("title")),
        [entry, "start_time" | "end_time"] if is_entry(entry) => Some(Meaning::Moment),
        [entry, group, "name"] if is_entry(entry) && group.starts_with("instrument") => {
            Some(Meaning::Attribute("instrument"))
        }
        [entry, group, "name"] if is_entry(entry) && group.starts_with("user") => {
            Some(Meaning::Attribute("creator_name"))
        }
        _ => None,
    }
}

/// Seconds since 1970 of a time as NeXus writes it: ISO 8601 with a zone. One without a zone is the
/// time of an unnamed place, and says no moment.
pub(super) fn moment(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let zoned = ["%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z"];
    let at = DateTime::parse_from_rfc3339(text)
        .ok()
        .or_else(|| zoned.iter().find_map(|form| DateTime::parse_from_str(text, form).ok()))?;
    // Seconds of any date of chrono are exact in a double.
    let seconds: f64 = at.timestamp().to_string().parse().ok()?;
    Some(seconds + f64::from(at.timestamp_subsec_millis()) / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_a_zone_are_moments() {
        // `date -u -d 2001-02-07T08:54:21-0600 +%s`
        assert_eq!(moment("2001-02-07T08:54:21-0600"), Some(981_557_661.0));
        assert_eq!(moment("2001-02-07T08:54:21.5-06:00\0"), Some(981_557_661.5));
        assert_eq!(moment("2001-02-07T14:54:21Z"), Some(981_557_661.0));
        assert_eq!(moment("2001-02-07T08:54:21"), None);
        assert_eq!(moment("yesterday"), None);
    }
}
