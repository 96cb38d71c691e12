//! The database of a catalog: opening, transactions, errors, on SQLite or PostgreSQL.
//!
//! Statements are written once, in the SQL that both understand (`$1` parameters, `ON CONFLICT`,
//! texts, 64-bit integers and doubles), and run through sqlx's `Any`. What differs stands in
//! [`Engine`]: how a database is reached, how it is made, how transactions begin.
//!
//! Several processes (the server, the command line, workers; with PostgreSQL several machines) share
//! one database. Readers see snapshots; writers take turns: within a process by a lock, between
//! processes by the database's own with a ten-second wait. So sequences of changes are in the order
//! of commits, on both engines, and whoever has read up to one has missed none before it. Every
//! change is one transaction, durable when it returns.

mod changes;
mod columns;
mod dump;
mod engine;
mod migrate;
mod problem;
mod rows;

pub(crate) use dump::check as check_backup;
pub(crate) use engine::Engine;
pub(crate) use rows::Rows;

use crate::CatalogError;
use sqlx::any::AnyPoolOptions;
use sqlx::{Any, AnyPool, Connection, Executor, Transaction};
use std::path::Path;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

/// An open database.
#[derive(Debug)]
pub(crate) struct Database {
    engine: Engine,
    pool: AnyPool,
    writing: Mutex<()>,
}

/// A transaction that may write. Dropped without [`Write::commit`] it leaves nothing behind.
pub(crate) struct Write<'a> {
    pub(crate) transaction: Transaction<'static, Any>,
    database: &'a Database,
    _turn: MutexGuard<'a, ()>,
}

impl<'a> Write<'a> {
    /// The database that is written to.
    pub(crate) fn database(&self) -> &'a Database {
        self.database
    }

    /// Makes everything durable at once.
    pub(crate) async fn commit(self) -> Result<(), CatalogError> {
        let database = self.database;
        self.transaction.commit().await.map_err(|error| database.error(&error))
    }
}

impl Database {
    /// Opens a database, which must be there, without looking at its schema.
    pub(crate) async fn open(engine: Engine) -> Result<Self, CatalogError> {
        let options = engine.connect_options()?;
        let settings = engine.settings();
        // A pool tries a connection that fails again and again and then says that it had no time. One
        // connection by itself says why.
        let first = async {
            let mut connection = sqlx::AnyConnection::connect_with(&options).await?;
            connection.execute(sqlx::raw_sql(settings)).await?;
            connection.close().await
        };
        first.await.map_err(|error| problem::explain(&engine, &error))?;
        let pool = AnyPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(30))
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(sqlx::raw_sql(settings)).await.map(drop) })
            })
            .connect_lazy_with(options);
        Ok(Self { engine, pool, writing: Mutex::new(()) })
    }

    /// For reading single statements.
    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    /// Which database this is.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A transaction that reads one snapshot.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Any>, CatalogError> {
        let begun = self.pool.begin_with(self.engine.begin_reading()).await;
        begun.map_err(|error| self.error(&error))
    }

    /// A transaction that may write; waits for its turn.
    pub(crate) async fn write(&self) -> Result<Write<'_>, CatalogError> {
        let turn = self.writing.lock().await;
        let begun = self.pool.begin_with(self.engine.begin_writing()).await;
        let mut transaction = begun.map_err(|error| self.error(&error))?;
        if let Some(lock) = self.engine.lock() {
            transaction.execute(sqlx::raw_sql(lock)).await.map_err(|error| self.error(&error))?;
        }
        Ok(Write { transaction, database: self, _turn: turn })
    }

    /// Returns once everything that was being written is there, or is not going to be.
    pub(crate) async fn settle(&self) -> Result<(), CatalogError> {
        self.write().await.map(drop)
    }

    /// What the database said, with what to do.
    pub(crate) fn error(&self, error: &sqlx::Error) -> CatalogError {
        problem::explain(&self.engine, error)
    }

    /// A problem of this database in words.
    pub(crate) fn problem(&self, problem: &str) -> CatalogError {
        CatalogError::Database { place: self.engine.place(), problem: problem.to_owned() }
    }

    /// A stored text that does not read back.
    pub(crate) fn unreadable(&self, what: &str, error: &dyn std::fmt::Display) -> CatalogError {
        self.problem(&format!("{what} cannot be read back ({error}); restore a backup"))
    }

    /// A stored number as the type that it was written as.
    pub(crate) fn number<T: TryFrom<i64>>(
        &self,
        row: &sqlx::any::AnyRow,
        column: &str,
    ) -> Result<T, CatalogError> {
        let number: i64 = sqlx::Row::try_get(row, column).map_err(|error| self.error(&error))?;
        T::try_from(number).map_err(|_| self.unreadable(column, &number))
    }

    /// A stored text.
    pub(crate) fn text(
        &self,
        row: &sqlx::any::AnyRow,
        column: &str,
    ) -> Result<String, CatalogError> {
        sqlx::Row::try_get(row, column).map_err(|error| self.error(&error))
    }

    /// A stored text that may be missing.
    pub(crate) fn optional_text(
        &self,
        row: &sqlx::any::AnyRow,
        column: &str,
    ) -> Result<Option<String>, CatalogError> {
        sqlx::Row::try_get(row, column).map_err(|error| self.error(&error))
    }
}

/// The engine that a home uses: PostgreSQL where a URL is given, the SQLite file of the folder
/// otherwise.
pub(crate) fn engine(folder: &Path, url: Option<&str>) -> Result<Engine, CatalogError> {
    match url {
        Some(url) => Engine::postgres(url),
        None => Ok(Engine::sqlite(folder)),
    }
}
