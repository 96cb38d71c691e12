//! Settings that clients set and ask for. Few of them mean something here; the rest are kept, because clients that are
//! refused one go away.

use super::failure::Refusal;
use std::collections::BTreeMap;
use std::time::Duration;

/// The version of PostgreSQL whose protocol and catalog this door shows: clients choose their questions by it.
pub(super) const VERSION: &str = "15.0";
/// Settings that are reported when a client comes in, and their values.
const REPORTED: [(&str, &str); 8] = [
    ("server_encoding", "UTF8"),
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("integer_datetimes", "on"),
    ("standard_conforming_strings", "on"),
    ("in_hot_standby", "off"),
];
/// Others that clients ask for.
const FIXED: [(&str, &str); 12] = [
    ("server_version_num", "150000"),
    ("transaction_isolation", "repeatable read"),
    ("default_transaction_isolation", "repeatable read"),
    ("transaction_read_only", "off"),
    ("default_transaction_read_only", "off"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("lc_collate", "C.UTF-8"),
    ("lc_ctype", "C.UTF-8"),
    ("bytea_output", "hex"),
    ("search_path", ""),
    ("is_superuser", "off"),
];
/// Most settings that a client may make up, and longest value.
const MOST: usize = 128;
const LONGEST: usize = 4096;

/// The settings of a session.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// In lower case, and as they are shown.
    all: BTreeMap<String, (String, String)>,
    /// What a client set, and what it had.
    before: BTreeMap<String, Option<(String, String)>>,
    /// The longest time that a statement may run.
    timeout: Option<Duration>,
}

/// Settings that a transaction leaves: as it found them where it fails, else with what was set for longer.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) before: Settings,
    pub(super) after: Settings,
}

impl Lasting {
    /// Those that a transaction finds.
    pub(super) fn of(settings: &Settings) -> Self {
        Self { before: settings.clone(), after: settings.clone() }
    }
}

/// What setting something did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// It is kept.
    Kept,
    /// It is kept, and clients are told at once.
    Reported(&'static str, String),
    /// It means nothing here, which people should know.
    Without(&'static str),
}

impl Settings {
    /// The settings of a client of this name.
    pub(super) fn new(user: &str, application: &str) -> Self {
        let version = format!("{VERSION} (Tarn {})", env!("CARGO_PKG_VERSION"));
        let own = [
            ("server_version", version.as_str()),
            ("session_authorization", user),
            ("application_name", application),
            ("statement_timeout", "0"),
        ];
        let all = REPORTED
            .into_iter()
            .chain(FIXED)
            .chain(own)
            .map(|(name, value)| (name.to_lowercase(), (name.to_owned(), value.to_owned())))
            .collect();
        Self { all, before: BTreeMap::new(), timeout: None }
    }

    /// Names who it is that came in.
    pub(super) fn belong_to(&mut self, user: &str) {
        let name = "session_authorization".to_owned();
        self.all.insert(name.clone(), (name, user.to_owned()));
    }

    /// What clients are told when they come in.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&str, &str)> {
        let names = REPORTED.into_iter().map(|(name, _)| name);
        let names = names.chain([
            "server_version",
            "session_authorization",
            "application_name",
            "is_superuser",
        ]);
        names.filter_map(|name| self.get(name).map(|value| (name, value)))
    }

    /// The value of a setting.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all.get(&name.to_lowercase()).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.values().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The longest time that a statement may run, if the client bounds it.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Sets something.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Done, Refusal> {
        let key = name.to_lowercase();
        let refused = |problem: String| Err(Refusal::new("22023", problem));
        if value.len() > LONGEST || name.len() > LONGEST || self.all.len() >= MOST {
            return refused("there are too many settings, or too long a one".to_owned());
        }
        let done = match key.as_str() {
            "client_encoding"
                if !matches!(
                    value.to_lowercase().as_str(),
                    "utf8" | "utf-8" | "unicode" | "sql_ascii"
                ) =>
            {
                return refused(format!(
                    "client_encoding {value:?} is not known here: texts are UTF8"
                ));
            }
            "datestyle" if !value.to_lowercase().starts_with("iso") => {
                return refused(format!("DateStyle {value:?} is not known here: dates are ISO"));
            }
            "intervalstyle" if !value.eq_ignore_ascii_case("postgres") => {
                return refused(format!(
                    "IntervalStyle {value:?} is not known here: it is postgres"
                ));
            }
            "standard_conforming_strings"
                if !matches!(value.to_lowercase().as_str(), "on" | "true" | "1") =>
            {
                return refused("standard_conforming_strings is on here".to_owned());
            }
            "client_encoding" | "datestyle" | "intervalstyle" | "standard_conforming_strings" => {
                return Ok(Done::Kept);
            }
            "timezone" => {
                let utc = ["utc", "gmt", "etc/utc", "default", "local", "z", "0"];
                if utc.contains(&value.to_lowercase().as_str()) {
                    return Ok(Done::Kept);
                }
                // Instants are given with their offset, so that they stay right.
                return Ok(Done::Without(
                    "times stay in UTC here, and are given with +00: TimeZone was not changed",
                ));
            }
            "server_version"
            | "server_version_num"
            | "server_encoding"
            | "integer_datetimes"
            | "is_superuser"
            | "session_authorization"
            | "role"
            | "in_hot_standby" => {
                return Err(Refusal::new("55P02", format!("{name} cannot be changed")));
            }
            "statement_timeout" => {
                self.timeout = milliseconds(value)?;
                Done::Kept
            }
            "search_path" => Done::Without(
                "search_path means nothing here: a table is found without its dataset where its name is the only one",
            ),
            "application_name" => Done::Reported("application_name", value.to_owned()),
            _ => Done::Kept,
        };
        let shown = self.all.get(&key).map_or(name, |(shown, _)| shown).to_owned();
        let old = self.all.insert(key.clone(), (shown, value.to_owned()));
        self.before.entry(key).or_insert(old);
        Ok(done)
    }

    /// Gives a setting, or all of them, back what they had.
    pub(super) fn reset(&mut self, name: Option<&str>) {
        let names: Vec<String> = match name {
            Some(name) => vec![name.to_lowercase()],
            None => self.before.keys().cloned().collect(),
        };
        for name in names {
            if name == "statement_timeout" {
                self.timeout = None;
            }
            match self.before.remove(&name) {
                Some(Some(old)) => drop(self.all.insert(name, old)),
                Some(None) => drop(self.all.remove(&name)),
                None => {}
            }
        }
    }
}

/// A time as PostgreSQL writes it: milliseconds, or a number with a unit. 0 is no bound.
fn milliseconds(value: &str) -> Result<Option<Duration>, Refusal> {
    let value = value.trim();
    let end = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(end).unwrap_or((value, ""));
    let factor = match unit.trim() {
        "" | "ms" => Some(1),
        "s" => Some(1_000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let number =
        number.parse::<u64>().ok().filter(|number| *number <= i32::MAX.unsigned_abs().into());
    match number.zip(factor) {
        _ if value.eq_ignore_ascii_case("default") => Ok(None),
        Some((0, _)) => Ok(None),
        Some((number, factor)) => Ok(Some(Duration::from_millis(number.saturating_mul(factor)))),
        None => {
            let problem = format!(
                "statement_timeout {value:?}: write milliseconds, or a number with ms, s, min or h"
            );
            Err(Refusal::new("22023", problem))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_answers_is_refused_or_told_and_the_rest_is_kept() {
        let mut settings = Settings::new("ada", "psql");
        assert!(settings.get("server_version").unwrap().starts_with("15.0"));
        assert_eq!(settings.set("extra_float_digits", "3"), Ok(Done::Kept));
        assert_eq!(settings.get("Extra_Float_Digits"), Some("3"));
        settings.reset(None);
        assert_eq!(settings.get("extra_float_digits"), None);
        assert_eq!(settings.set("DateStyle", "ISO"), Ok(Done::Kept));
        for (name, value) in [
            ("DateStyle", "German"),
            ("client_encoding", "LATIN1"),
            ("server_version", "1"),
            ("statement_timeout", "x"),
        ] {
            assert!(settings.set(name, value).is_err(), "{name}");
        }
        assert!(matches!(settings.set("TimeZone", "Europe/Berlin"), Ok(Done::Without(_))));
        assert_eq!(settings.get("TimeZone"), Some("UTC"));
    }

    #[test]
    fn a_time_has_a_unit_or_is_milliseconds() {
        let mut settings = Settings::new("ada", "");
        for (value, time) in [
            ("250", Some(Duration::from_millis(250))),
            ("5s", Some(Duration::from_secs(5))),
            ("2 min", Some(Duration::from_secs(120))),
            ("0", None),
        ] {
            settings.set("statement_timeout", value).unwrap();
            assert_eq!(settings.timeout(), time, "{value}");
        }
        for index in 0..MOST {
            let _ = settings.set(&format!("x{index}"), "1");
        }
        assert!(settings.set("one_more", "1").is_err());
    }
}
