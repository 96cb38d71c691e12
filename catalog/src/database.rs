//! The SQLite database of a catalog: opening, schema versions, transactions, errors.
//!
//! Several processes (the server, the command line, workers) share one file. Readers see snapshots
//! (WAL); writers take turns: within a process by a lock, between processes by SQLite's own with a
//! ten-second wait. Every change is one transaction, durable when it returns (`synchronous = FULL`).

use crate::CatalogError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// Schema versions in order; version n is made by the first n scripts.
const MIGRATIONS: [&str; 1] = [include_str!("schema_1.sql")];

/// SQLite's `application_id` of a catalog: "TARN".
const APPLICATION: i64 = 0x5441_524e;

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    place: PathBuf,
    pool: SqlitePool,
    writing: Mutex<()>,
}

/// A transaction that may write. Dropped without [`Write::commit`] it leaves nothing behind.
pub(crate) struct Write<'a> {
    pub(crate) transaction: Transaction<'static, Sqlite>,
    database: &'a Database,
    _turn: MutexGuard<'a, ()>,
}

impl Write<'_> {
    /// Makes everything durable at once.
    pub(crate) async fn commit(self) -> Result<(), CatalogError> {
        let database = self.database;
        self.transaction.commit().await.map_err(|error| database.error(&error))
    }
}

impl Database {
    /// Path of the database in a catalog's folder.
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("catalog.sqlite")
    }

    /// Opens the file, which must be there, without looking at its schema.
    pub(crate) async fn open(place: &Path) -> Result<Self, CatalogError> {
        let options = SqliteConnectOptions::new()
            .filename(place)
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let pool = SqlitePoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_mins(1))
            .connect_with(options)
            .await
            .map_err(|error| explain(place, &error))?;
        Ok(Self { place: place.to_owned(), pool, writing: Mutex::new(()) })
    }

    /// For reading single statements.
    pub(crate) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// A transaction that reads one snapshot.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>, CatalogError> {
        self.pool.begin().await.map_err(|error| self.error(&error))
    }

    /// A transaction that may write; waits for its turn.
    pub(crate) async fn write(&self) -> Result<Write<'_>, CatalogError> {
        let turn = self.writing.lock().await;
        // Taking the write lock at once means that no later statement can find it taken.
        let transaction =
            self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|error| self.error(&error))?;
        Ok(Write { transaction, database: self, _turn: turn })
    }

    /// Brings the schema up to date in one transaction. Does not wait for writers if it is.
    pub(crate) async fn migrate(&self) -> Result<(), CatalogError> {
        let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
        let mut read = self.read().await?;
        if self.schema_version(&mut read).await? == known {
            return Ok(());
        }
        drop(read);
        let mut write = self.write().await?;
        // Looked up again: another process may have done it meanwhile.
        let version = self.schema_version(&mut write.transaction).await?;
        if version == known {
            return Ok(());
        }
        for script in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
            sqlx::raw_sql(*script)
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| self.error(&error))?;
        }
        // Pragmas take no parameters; both values are numbers of this file.
        for pragma in [
            format!("PRAGMA application_id = {APPLICATION}"),
            format!("PRAGMA user_version = {known}"),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(pragma))
                .execute(&mut *write.transaction)
                .await
                .map_err(|error| self.error(&error))?;
        }
        write.commit().await
    }

    /// The schema version, 0 for an empty database.
    async fn schema_version(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
    ) -> Result<i64, CatalogError> {
        let known = MIGRATIONS.len();
        let mut numbers = Vec::with_capacity(3);
        for question in
            ["PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema"]
        {
            let number = sqlx::query(question)
                .try_map(|row: sqlx::sqlite::SqliteRow| row.try_get::<i64, _>(0))
                .fetch_one(&mut **transaction)
                .await
                .map_err(|error| self.error(&error))?;
            numbers.push(number);
        }
        match numbers.as_slice() {
            [0, 0, 0] => Ok(0),
            [APPLICATION, version, _]
                if usize::try_from(*version).is_ok_and(|version| version <= known) =>
            {
                Ok(*version)
            }
            [APPLICATION, version, _] => Err(self.problem(&format!(
                "it has schema {version}, and this version of Tarn knows {known}: use a newer tarn"
            ))),
            _ => Err(self.problem("this is a database of another program, not a Tarn catalog")),
        }
    }

    /// What SQLite said, with what to do.
    pub(crate) fn error(&self, error: &sqlx::Error) -> CatalogError {
        explain(&self.place, error)
    }

    /// A problem of this database in words.
    pub(crate) fn problem(&self, problem: &str) -> CatalogError {
        CatalogError::Database {
            place: self.place.display().to_string(),
            problem: problem.to_owned(),
        }
    }

    /// A stored text that does not read back.
    pub(crate) fn unreadable(&self, what: &str, error: &dyn std::fmt::Display) -> CatalogError {
        self.problem(&format!("{what} cannot be read back ({error}); restore a backup"))
    }
}

/// Primary result codes of SQLite (sqlite.org/rescode.html) that people can do something about.
fn explain(place: &Path, error: &sqlx::Error) -> CatalogError {
    let primary = match error {
        sqlx::Error::Database(inner) => {
            inner.code().and_then(|code| code.parse::<i64>().ok()).map(|code| code & 0xff)
        }
        _ => None,
    };
    let what_to_do = match primary {
        Some(5 | 6) => {
            "another process holds it for longer than ten seconds; try again, and look for a stuck tarn"
        }
        Some(8) => "it is read-only; give this user write access to the file and its folder",
        Some(10) => "reading or writing fails; check the disk",
        Some(11) => "it is damaged; restore a backup",
        Some(13) => "the disk is full; free some space and try again",
        Some(14) => {
            "it cannot be opened; check that file and folder exist and that this user may write there"
        }
        Some(26) => "this is not a database; restore a backup, or make a new home with `tarn init`",
        _ => match error {
            sqlx::Error::PoolTimedOut => "all connections are in use; try again",
            _ => "unexpected",
        },
    };
    CatalogError::Database {
        place: place.display().to_string(),
        problem: format!("{what_to_do} ({error})"),
    }
}
