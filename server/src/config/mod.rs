//! `tarn.toml` and its environment variables.

mod limits;

use limits::LimitsConfig;

use crate::failure::{Failure, io};
use crate::fallback::fallback;
use crate::tls::{self, TlsConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tarn_catalog::LabDefaults;
use tarn_connectors::oidc::{IssuerConfig, Issuers, VisaIssuerConfig};
use tarn_connectors::registrar::RegistrarConfig;
use tarn_connectors::{Location, StoreConfig, Stores};
use tarn_query::EngineConfig;
use tarn_schemas::{ErrorCode, LabName};

/// The configuration of a home. Every plain key has an environment variable `TARN_<KEY>` that wins.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Name of the lab.
    pub lab: LabName,
    /// Address of HTTP.
    #[serde(default = "default_http")]
    pub http: SocketAddr,
    /// Address of Flight.
    #[serde(default = "default_flight")]
    pub flight: SocketAddr,
    /// Unix socket (relative to the home) for clients of Flight on this machine; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight_unix: Option<PathBuf>,
    /// Address for clients of PostgreSQL; without it there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<SocketAddr>,
    /// HTTP address that peers are told, where it differs from `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_url: Option<String>,
    /// Flight address that peers are told, where it differs from `flight`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight_url: Option<String>,
    /// Folder (relative to the home) or URL of the lab's tables.
    #[serde(default = "default_store")]
    pub store: String,
    /// URL of the catalog's PostgreSQL database; without it the catalog is a SQLite file of the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Memory that queries may use together, in MiB.
    #[serde(default = "default_memory")]
    pub memory_mib: usize,
    /// Partitions of a query; 0 means the number of cores.
    #[serde(default)]
    pub partitions: usize,
    /// Seconds to wait for a peer's first answer.
    #[serde(default = "default_peer_seconds")]
    pub peer_seconds: u64,
    /// For how many seconds of this lab's silence peers may show its records as they are.
    #[serde(default = "default_peer_grace_seconds")]
    pub peer_grace_seconds: u64,
    /// Hours that a login lasts, in a browser or a terminal.
    #[serde(default = "default_session_hours")]
    pub session_hours: u32,
    /// What queries and people may use.
    #[serde(default, skip_serializing_if = "LimitsConfig::is_default")]
    pub limits: LimitsConfig,
    /// Certificate and key of all doors; without them they speak in clear text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// What records may leave out.
    #[serde(default)]
    pub defaults: LabDefaults,
    /// Who registers DOIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doi: Option<RegistrarConfig>,
    /// Object stores by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stores: BTreeMap<String, StoreConfig>,
    /// OpenID providers whose logins are accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<IssuerConfig>,
    /// Issuers of GA4GH visas that are believed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub visa_issuers: Vec<VisaIssuerConfig>,
}

fn default_http() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn default_flight() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8815))
}

fn default_store() -> String {
    "store".to_owned()
}

fn default_memory() -> usize {
    4096
}

fn default_peer_seconds() -> u64 {
    30
}

fn default_peer_grace_seconds() -> u64 {
    7 * 24 * 3600
}

fn default_session_hours() -> u32 {
    12
}

/// Longest life of a login: a month.
const LONGEST_SESSION_HOURS: u32 = 720;

/// The keys that have an environment variable.
const KEYS: [&str; 14] = [
    "lab",
    "http",
    "flight",
    "flight_unix",
    "postgres",
    "http_url",
    "flight_url",
    "store",
    "database",
    "memory_mib",
    "partitions",
    "peer_seconds",
    "peer_grace_seconds",
    "session_hours",
];

impl Config {
    /// The configuration of a new home.
    pub(crate) fn new(lab: LabName) -> Self {
        Self {
            lab,
            http: default_http(),
            flight: default_flight(),
            flight_unix: None,
            postgres: None,
            http_url: None,
            flight_url: None,
            store: default_store(),
            database: None,
            memory_mib: default_memory(),
            partitions: 0,
            peer_seconds: default_peer_seconds(),
            peer_grace_seconds: default_peer_grace_seconds(),
            session_hours: default_session_hours(),
            limits: LimitsConfig::default(),
            tls: None,
            defaults: LabDefaults::default(),
            doi: None,
            stores: BTreeMap::new(),
            issuers: Vec::new(),
            visa_issuers: Vec::new(),
        }
    }

    /// Reads `tarn.toml` of a home, then the environment.
    pub(crate) fn load(home: &Path) -> Result<Self, Failure> {
        let path = home.join("tarn.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(
                ErrorCode::NotFound,
                format!(
                    "{} is no home of Tarn; make one with `tarn init --home {}`",
                    home.display(),
                    home.display()
                ),
            ),
            _ => io(path.display(), &error),
        })?;
        Self::with_environment(&text, &path)
    }

    /// Reads a configuration that stands elsewhere, then the environment.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| io(path.display(), &error))?;
        Self::with_environment(&text, path)
    }

    fn with_environment(text: &str, path: &Path) -> Result<Self, Failure> {
        let variable = |key: &str| format!("TARN_{}", key.to_uppercase());
        let environment = |key: &str| std::env::var(variable(key)).ok();
        for key in ["http", "flight", "postgres"] {
            if let Some(value) = environment(key).filter(|value| !value.is_empty())
                && value.parse::<SocketAddr>().is_err()
            {
                return Err(Failure::new(
                    ErrorCode::InvalidArgument,
                    format!(
                        "{} is {value:?}; write ADDRESS:PORT, such as 127.0.0.1:8080",
                        variable(key)
                    ),
                ));
            }
        }
        Self::parse(text, environment).map_err(|failure| failure.at(path.display()))
    }

    fn parse(
        text: &str,
        environment: impl Fn(&str) -> Option<String> + Copy,
    ) -> Result<Self, Failure> {
        let wrong = |error: String| Failure::new(ErrorCode::InvalidArgument, error);
        let mut table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
        for key in KEYS {
            // An empty variable is none, as in a shell.
            if let Some(value) = environment(key).filter(|value| !value.is_empty()) {
                let value =
                    value.parse::<i64>().map_or(toml::Value::String(value), toml::Value::Integer);
                table.insert(key.to_owned(), value);
            }
        }
        limits::from_environment(&mut table, environment).map_err(wrong)?;
        tls::from_environment(&mut table, environment).map_err(wrong)?;
        let config: Self = table.try_into().map_err(|e: toml::de::Error| wrong(e.to_string()))?;
        if !(1..=LONGEST_SESSION_HOURS).contains(&config.session_hours) {
            return Err(wrong(format!(
                "session_hours is {}: write 1 to {LONGEST_SESSION_HOURS}",
                config.session_hours
            )));
        }
        config.limits.check().map_err(wrong)?;
        Ok(config)
    }

    /// The text of a new `tarn.toml`.
    pub(crate) fn template(&self) -> String {
        format!(
            "# Configuration of this Tarn node. Every plain key has an environment variable TARN_<KEY>.\n\
             lab = \"{}\"\n\
             http = \"{}\"\n\
             flight = \"{}\"\n\
             # Address for psql and dashboards, in builds that have it (docs/reference/postgres.md).\n\
             # postgres = \"127.0.0.1:5432\"\n\
             # Folder (relative to this file) or URL of the lab's tables, such as s3://bucket/prefix.\n\
             store = \"{}\"\n\
             # PostgreSQL for the catalog; without it the catalog is the file catalog.sqlite beside this one.\n\
             # database = \"postgres://user:password@host:5432/database\"\n\n\
             # What queries and people may use (docs/reference/config.md).\n\
             # [limits]\n\
             # seconds = 600\n\
             # queries_each = 4\n\n\
             # Certificate (with those between it and an authority) and key of HTTP and Flight.\n\
             # [tls]\n\
             # certificate = \"node.pem\"\n\
             # key = \"node.key\"\n\n\
             # What records may leave out.\n\
             # [defaults]\n\
             # publisher = {{ name = \"…\", ror = \"https://ror.org/…\" }}\n\
             # contact = {{ name = \"…\", email = \"…\" }}\n\
             # naan = \"99999\"\n\
             # longest_embargo_months = 24\n\n\
             # Who registers DOIs: datacite, or osti. The secret is TARN_DOI_SECRET (docs/dois.md).\n\
             # [doi]\n\
             # service = \"datacite\"\n\
             # url = \"https://api.datacite.org\"\n\
             # prefix = \"10.5072\"\n\
             # user = \"LAB.REPOSITORY\"\n\n\
             # Object stores by URL prefix (s3://, gs://, az://, https://); credentials may also come from the\n\
             # environment (AWS_…, GOOGLE_…, AZURE_…).\n\
             # [stores.archive]\n\
             # url = \"s3://bucket\"\n\
             # aws_endpoint = \"https://s3.example.org\"\n\
             # aws_region = \"us-east-1\"\n\n\
             # OpenID providers whose logins count here (docs/login.md).\n\
             # [[issuers]]\n\
             # name = \"lab\"\n\
             # url = \"https://sso.example.org/realms/lab\"\n\
             # client_id = \"tarn\"\n\
             # client_secret_file = \"sso.secret\"\n",
            self.lab, self.http, self.flight, self.store,
        )
    }

    /// The configuration of a home that is about to be made: some keys of the environment count.
    pub(crate) fn of_environment(mut self) -> Self {
        self.database = std::env::var("TARN_DATABASE").ok().filter(|url| !url.is_empty());
        self
    }

    /// The issuers whose logins are accepted. Their secrets are read here, so that only a process that
    /// serves needs them.
    pub(crate) fn issuers(&self, home: &Path) -> Result<Issuers, Failure> {
        Issuers::new(home, &self.issuers, &self.visa_issuers)
            .map_err(|error| Failure::from(error).at(home.join("tarn.toml").display()))
    }

    /// The stores.
    pub(crate) fn stores(&self) -> Stores {
        Stores::new(self.stores.values().cloned().collect()).with_fallback(fallback())
    }

    /// Where the lab's tables are.
    pub(crate) fn store_location(&self, home: &Path) -> Result<Location, Failure> {
        let text = if self.store.contains("://") {
            self.store.clone()
        } else {
            home.join(&self.store).display().to_string()
        };
        Ok(Location::parse(&text)?)
    }

    /// Limits of the engine of this home.
    pub(crate) fn engine(&self, home: &Path) -> EngineConfig {
        EngineConfig {
            memory_bytes: self.memory_mib.saturating_mul(1 << 20),
            partitions: self.partitions,
            peer_seconds: self.peer_seconds,
            peer_grace_seconds: self.peer_grace_seconds,
            limits: self.limits.limits(),
            spill: Some(home.join(&self.limits.spill)),
            prepared: self.limits.prepared(home),
        }
    }

    /// The HTTP address that others reach this node at.
    pub(crate) fn public_http(&self) -> String {
        self.http_url.clone().unwrap_or_else(|| format!("{}://{}", self.scheme(), self.http))
    }

    /// The Flight address that others reach this node at.
    pub(crate) fn public_flight(&self) -> String {
        self.flight_url.clone().unwrap_or_else(|| format!("{}://{}", self.scheme(), self.flight))
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_reads_back_and_the_environment_wins() {
        let config = Config::new(LabName::new("ornl").unwrap());
        let again = Config::parse(&config.template(), |_| None).unwrap();
        assert_eq!(again.http, config.http);
        assert_eq!(again.lab, config.lab);
        let other = Config::parse(&config.template(), |key| match key {
            "http" => Some("127.0.0.1:9".to_owned()),
            "memory_mib" => Some("7".to_owned()),
            _ => None,
        });
        let other = other.unwrap();
        assert_eq!((other.http.port(), other.memory_mib), (9, 7));
    }

    #[test]
    fn unknown_keys_and_wrong_values_are_refused_by_name() {
        let unknown = Config::parse("lab = \"ornl\"\nhttps = \"x\"", |_| None).unwrap_err();
        assert!(unknown.to_string().contains("https"), "{unknown}");
        let text = "lab = \"ornl\"\nsession_hours = 0";
        let wrong = Config::parse(text, |_| None).unwrap_err();
        assert!(wrong.to_string().contains("session_hours"), "{wrong}");
        let text = "lab = \"ornl\"\n[[issuers]]\nname = \"a\"\nurl = \"https://a\"\nclient_id = \"t\"\n\
                    client_secret = \"x\"";
        let wrong = Config::parse(text, |_| None).unwrap_err();
        assert!(wrong.to_string().contains("client_secret"), "{wrong}");
        let wrong = Config::parse("lab = \"Ornl\"", |_| None).unwrap_err();
        assert!(wrong.to_string().contains("lab"), "{wrong}");
    }
}
