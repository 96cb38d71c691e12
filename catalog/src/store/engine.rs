//! What differs between SQLite and PostgreSQL.

use crate::CatalogError;
use sqlx::any::AnyConnectOptions;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Once;
use url::Url;

/// Where a database is, and of which kind.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// A file of the home.
    Sqlite(PathBuf),
    /// A server.
    Postgres(Url),
}

impl Engine {
    /// The file of a catalog's folder.
    pub(crate) fn sqlite(folder: &Path) -> Self {
        Self::Sqlite(folder.join("catalog.sqlite"))
    }

    /// A server by its URL.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for a text that is no such URL. It does not repeat the text, which
    /// may hold a password.
    pub(crate) fn postgres(url: &str) -> Result<Self, CatalogError> {
        let wrong = |problem: String| {
            CatalogError::Argument(format!(
                "the address of the catalog's database {problem}; write \
                 postgres://user:password@host:5432/database (key `database`, TARN_DATABASE), or \
                 leave it out for a SQLite file in the home"
            ))
        };
        let parsed = Url::parse(url).map_err(|error| wrong(format!("is no URL ({error})")))?;
        match parsed.scheme() {
            "postgres" | "postgresql" => Ok(Self::Postgres(parsed)),
            other => Err(wrong(format!("has the scheme {other:?}"))),
        }
    }

    /// How a connection is made.
    pub(super) fn connect_options(&self) -> Result<AnyConnectOptions, CatalogError> {
        static DRIVERS: Once = Once::new();
        // A second call in the process would be an error, and change nothing.
        DRIVERS.call_once(|| {
            let _ = sqlx::any::install_drivers(&[
                sqlx::sqlite::any::DRIVER,
                sqlx::postgres::any::DRIVER,
            ]);
        });
        let problem = |problem: String| CatalogError::Database { place: self.place(), problem };
        let url = match self {
            Self::Postgres(url) => url.to_string(),
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).map_err(|error| problem(error.to_string()))?;
                let path = path.to_str().ok_or_else(|| {
                    problem("the path of a home has to be UTF-8; choose another".to_owned())
                })?;
                format!("sqlite://{}?mode=rw", encoded(path))
            }
        };
        AnyConnectOptions::from_str(&url).map_err(|error| problem(error.to_string()))
    }

    /// What is said once on every new connection.
    pub(super) fn settings(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => {
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
                 PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON"
            }
            // A writer that hangs must not stop the others for ever.
            Self::Postgres(_) => {
                "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '5min'"
            }
        }
    }

    /// How a transaction begins that reads one snapshot.
    pub(super) fn begin_reading(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// How a transaction begins that writes. On SQLite it takes the write lock at once, so that no
    /// later statement can find it taken.
    pub(super) fn begin_writing(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// What takes the write lock where beginning does not. PostgreSQL gives it back only after the
    /// commit can be seen. The number is "TARN" in ASCII.
    pub(super) fn lock(&self) -> Option<&'static str> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(_) => Some("SELECT pg_advisory_xact_lock(1413567054)"),
        }
    }

    /// The place as it may be shown: without a password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite(path) => path.display().to_string(),
            Self::Postgres(url) => {
                let mut shown = url.clone();
                // Neither fails for a URL with a host; a URL without one holds no password.
                let _ = shown.set_password(None);
                shown.set_query(None);
                shown.to_string()
            }
        }
    }
}

/// A path as it stands in a URL: everything but letters, digits and `/-_.~` as `%XX`.
fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let engine =
            Engine::postgres("postgres://tarn:s3cr3t@db.lab.gov/catalog?password=s3cr3t").unwrap();
        assert_eq!(engine.place(), "postgres://tarn@db.lab.gov/catalog");
        for wrong in ["mysql://a:s3cr3t@b/c", "s3cr3t", "sqlite:///s3cr3t"] {
            let error = Engine::postgres(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cr3t") && error.contains("TARN_DATABASE"), "{error}");
        }
    }

    #[test]
    fn every_path_comes_back_from_its_url() {
        for path in ["/a b/c?d#e%20f", "/ü/&=+", "/plain/path_1.x~"] {
            let url = format!("sqlite://{}", encoded(path));
            let parsed = Url::parse(&url).unwrap();
            assert!(parsed.query().is_none() && parsed.fragment().is_none(), "{url}");
        }
        assert_eq!(encoded("/a b?"), "/a%20b%3F");
    }
}
