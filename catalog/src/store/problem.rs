//! What a database says, with what to do about it.

use super::Engine;
use crate::CatalogError;

/// An error of the database as people can act on it.
pub(super) fn explain(engine: &Engine, error: &sqlx::Error) -> CatalogError {
    let code = match error {
        sqlx::Error::Database(inner) => inner.code(),
        _ => None,
    };
    let what_to_do = match (engine, error) {
        (_, sqlx::Error::PoolTimedOut) => "all connections are in use; try again",
        (Engine::Postgres(_), sqlx::Error::Io(_)) => {
            "the server cannot be reached; check that it runs, and host and port"
        }
        (Engine::Postgres(_), sqlx::Error::Tls(_)) => "the server does not speak TLS as asked for",
        (Engine::Sqlite(_), _) => sqlite(code.as_deref()),
        (Engine::Postgres(_), _) => postgres(code.as_deref()),
    };
    CatalogError::Database { place: engine.place(), problem: format!("{what_to_do} ({error})") }
}

const BUSY: &str =
    "another process holds it for longer than ten seconds; try again, and look for a stuck tarn";
const FULL: &str = "the disk is full; free some space and try again";
const UNEXPECTED: &str = "unexpected";

/// Primary result codes of SQLite (sqlite.org/rescode.html) that people can do something about.
fn sqlite(code: Option<&str>) -> &'static str {
    let primary = code.and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xff);
    match primary {
        Some(5 | 6) => BUSY,
        Some(8) => "it is read-only; give this user write access to the file and its folder",
        Some(10) => "reading or writing fails; check the disk",
        Some(11) => "it is damaged; restore a backup",
        Some(13) => FULL,
        Some(14) => {
            "it cannot be opened; check that file and folder exist and that this user may write there"
        }
        Some(26) => "this is not a database; restore a backup, or make a new home with `tarn init`",
        _ => UNEXPECTED,
    }
}

/// Codes of PostgreSQL (its documentation, appendix A) that people can do something about.
fn postgres(code: Option<&str>) -> &'static str {
    match code {
        Some("55P03" | "40001" | "40P01") => BUSY,
        Some("28000" | "28P01") => "the server does not accept this user and password",
        Some("3D000") => "the server has no such database; make it with `createdb`",
        Some("42501") => "this user may not do that; grant it the rights on the database",
        Some("25006") => "the server is read-only: it may be a replica; use the primary",
        Some("53100") => FULL,
        Some("53200" | "53300") => "the server has no free memory or connections; try again",
        Some("57P01" | "57P02" | "57P03") => "the server is starting or stopping; try again",
        Some("XX001" | "XX002") => "it is damaged; restore a backup",
        _ => UNEXPECTED,
    }
}
