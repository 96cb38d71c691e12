//! `[limits]` of `tarn.toml`: what queries and people may use.

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tarn_query::{Limits, PreparedConfig};

/// Limits as they are written. 0 is no limit, but for `queries`, `queries_each` and
/// `prepared_gib`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitsConfig {
    /// Queries that run at once; 0 means four for each core, and eight at least.
    pub queries: usize,
    /// Queries of one person that run at once; 0 means half of `queries`.
    pub queries_each: usize,
    /// Queries of one person that wait for their turn.
    pub queue: usize,
    /// Seconds that a query waits for its turn.
    pub queue_seconds: u64,
    /// Seconds in which a query has to be planned.
    pub plan_seconds: u64,
    /// Seconds that a query may run.
    pub seconds: u64,
    /// Rows of an answer.
    pub rows: u64,
    /// GiB that a query may read from tables.
    pub scan_gib: u64,
    /// Share of `memory_mib` that one query may hold.
    pub query_memory_percent: u8,
    /// Share of `memory_mib` that the queries of one person may hold.
    pub person_memory_percent: u8,
    /// GiB on disk for what does not fit into memory.
    pub spill_gib: u64,
    /// Folder for that, relative to the home.
    pub spill: PathBuf,
    /// GiB on disk for blocks that streams have decoded; 0 prepares none.
    pub prepared_gib: u64,
    /// Folder for them, relative to the home.
    pub prepared: PathBuf,
}

/// Its keys, for the environment.
const KEYS: [&str; 14] = [
    "queries",
    "queries_each",
    "queue",
    "queue_seconds",
    "plan_seconds",
    "seconds",
    "rows",
    "scan_gib",
    "query_memory_percent",
    "person_memory_percent",
    "spill_gib",
    "spill",
    "prepared_gib",
    "prepared",
];

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            queries: limits.queries,
            queries_each: limits.queries_each,
            queue: limits.queue,
            queue_seconds: limits.queue_time.as_secs(),
            plan_seconds: limits.plan_time.as_secs(),
            seconds: limits.run_time.map_or(0, |time| time.as_secs()),
            rows: limits.rows.unwrap_or(0),
            scan_gib: limits.scan_bytes.unwrap_or(0) >> 30,
            query_memory_percent: limits.query_memory_percent,
            person_memory_percent: limits.person_memory_percent,
            spill_gib: limits.spill_bytes >> 30,
            spill: PathBuf::from("spill"),
            prepared_gib: 16,
            prepared: PathBuf::from("prepared"),
        }
    }
}

impl LimitsConfig {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Says which value makes no sense.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, percent) in [
            ("query_memory_percent", self.query_memory_percent),
            ("person_memory_percent", self.person_memory_percent),
        ] {
            if !(1..=100).contains(&percent) {
                return Err(format!("limits.{key} is {percent}: write 1 to 100"));
            }
        }
        for (key, number) in [
            ("queue", u64::try_from(self.queue).unwrap_or(u64::MAX)),
            ("queue_seconds", self.queue_seconds),
            ("plan_seconds", self.plan_seconds),
        ] {
            if number == 0 {
                return Err(format!("limits.{key} is 0: write 1 or more"));
            }
        }
        Ok(())
    }

    /// Where streams of a home keep what they have decoded.
    pub(super) fn prepared(&self, home: &Path) -> Option<PreparedConfig> {
        let bytes = self.prepared_gib.saturating_mul(1 << 30);
        (bytes > 0).then(|| PreparedConfig { folder: home.join(&self.prepared), bytes })
    }

    /// The limits of an engine.
    pub(super) fn limits(&self) -> Limits {
        let some = |number: u64| (number > 0).then_some(number);
        Limits {
            queries: self.queries,
            queries_each: self.queries_each,
            queue: self.queue,
            queue_time: Duration::from_secs(self.queue_seconds),
            plan_time: Duration::from_secs(self.plan_seconds),
            run_time: some(self.seconds).map(Duration::from_secs),
            rows: some(self.rows),
            scan_bytes: some(self.scan_gib).map(|gib| gib.saturating_mul(1 << 30)),
            query_memory_percent: self.query_memory_percent,
            person_memory_percent: self.person_memory_percent,
            spill_bytes: self.spill_gib.saturating_mul(1 << 30),
        }
    }
}

/// Puts `TARN_LIMITS_…` in place of what the file says.
pub(super) fn from_environment(
    table: &mut toml::Table,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    for key in KEYS {
        let Some(value) = environment(&format!("limits_{key}")).filter(|value| !value.is_empty())
        else {
            continue;
        };
        let limits = table.entry("limits").or_insert_with(|| toml::Table::new().into());
        let limits = limits.as_table_mut().ok_or("limits is no table: write [limits]")?;
        let value = value.parse().map_or(toml::Value::String(value), toml::Value::Integer);
        limits.insert(key.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_engine_and_every_key_has_a_variable() {
        let config = LimitsConfig::default();
        assert_eq!(config.limits(), Limits::default());
        let table = toml::Table::try_from(&config).unwrap();
        let mut keys: Vec<&str> = table.keys().map(String::as_str).collect();
        let mut known = KEYS.to_vec();
        keys.sort_unstable();
        known.sort_unstable();
        assert_eq!(keys, known);
    }

    #[test]
    fn a_variable_wins_and_a_limit_without_sense_is_refused() {
        let mut table: toml::Table = "[limits]\nseconds = 5\nrows = 7".parse().unwrap();
        from_environment(&mut table, |key| (key == "limits_seconds").then(|| "9".to_owned()))
            .unwrap();
        let config: LimitsConfig = table.get("limits").cloned().unwrap().try_into().unwrap();
        assert_eq!((config.seconds, config.rows), (9, 7));
        assert!(config.check().is_ok());
        for wrong in ["query_memory_percent = 0", "plan_seconds = 0", "queue = 0"] {
            let config: LimitsConfig = toml::from_str(wrong).unwrap();
            assert!(config.check().is_err(), "{wrong}");
        }
    }
}
