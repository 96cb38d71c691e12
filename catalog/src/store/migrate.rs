//! Schema versions of both engines.

use super::{Database, Engine};
use crate::CatalogError;
use sqlx::{Any, Executor, Row, Transaction};

/// Schema versions in order, on SQLite and on PostgreSQL; version n is made by the first n scripts.
const MIGRATIONS: [[&str; 2]; 17] = [
    [include_str!("schema_1.sqlite.sql"), include_str!("schema_1.postgres.sql")],
    [include_str!("schema_2.sqlite.sql"), include_str!("schema_2.postgres.sql")],
    [include_str!("schema_3.sqlite.sql"), include_str!("schema_3.postgres.sql")],
    [include_str!("schema_4.sqlite.sql"), include_str!("schema_4.postgres.sql")],
    [include_str!("schema_5.sqlite.sql"), include_str!("schema_5.postgres.sql")],
    [include_str!("schema_6.sqlite.sql"), include_str!("schema_6.postgres.sql")],
    [include_str!("schema_7.sqlite.sql"), include_str!("schema_7.postgres.sql")],
    [include_str!("schema_8.sqlite.sql"), include_str!("schema_8.postgres.sql")],
    [include_str!("schema_9.sqlite.sql"), include_str!("schema_9.postgres.sql")],
    [include_str!("schema_10.sqlite.sql"), include_str!("schema_10.postgres.sql")],
    [include_str!("schema_11.sqlite.sql"), include_str!("schema_11.postgres.sql")],
    [include_str!("schema_12.sqlite.sql"), include_str!("schema_12.postgres.sql")],
    [include_str!("schema_13.sqlite.sql"), include_str!("schema_13.postgres.sql")],
    [include_str!("schema_14.sqlite.sql"), include_str!("schema_14.postgres.sql")],
    [include_str!("schema_15.sqlite.sql"), include_str!("schema_15.postgres.sql")],
    [include_str!("schema_16.sqlite.sql"), include_str!("schema_16.postgres.sql")],
    [include_str!("schema_17.sqlite.sql"), include_str!("schema_17.postgres.sql")],
];

/// SQLite's `application_id` of a catalog: "TARN".
const APPLICATION: i64 = 0x5441_524e;

impl Database {
    /// Brings the schema up to date in one transaction. Does not wait for writers if it is.
    pub(crate) async fn migrate(&self) -> Result<(), CatalogError> {
        let known = MIGRATIONS.len();
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
        self.apply(&mut write.transaction, version, known).await?;
        write.commit().await
    }

    /// Brings the schema from one version to a later one.
    pub(super) async fn apply(
        &self,
        transaction: &mut Transaction<'static, Any>,
        from: usize,
        to: usize,
    ) -> Result<(), CatalogError> {
        if to > MIGRATIONS.len() {
            return Err(self.too_new(to));
        }
        for [sqlite, postgres] in MIGRATIONS.into_iter().take(to).skip(from) {
            let script = match self.engine() {
                Engine::Sqlite(_) => sqlite,
                Engine::Postgres(_) => postgres,
            };
            transaction.execute(sqlx::raw_sql(script)).await.map_err(|error| self.error(&error))?;
        }
        let noted = match self.engine() {
            // Pragmas take no parameters; both values are numbers of this file.
            Engine::Sqlite(_) => {
                format!("PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {to}")
            }
            Engine::Postgres(_) => format!(
                "CREATE TABLE IF NOT EXISTS tarn_schema (version BIGINT NOT NULL); \
                 DELETE FROM tarn_schema; INSERT INTO tarn_schema VALUES ({to})"
            ),
        };
        transaction
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(noted)))
            .await
            .map(drop)
            .map_err(|error| self.error(&error))
    }

    fn too_new(&self, version: impl std::fmt::Display) -> CatalogError {
        let known = MIGRATIONS.len();
        self.problem(&format!(
            "it has schema {version}, and this version of Tarn knows {known}: use a newer tarn"
        ))
    }

    /// The schema version, 0 for an empty database.
    pub(crate) async fn schema_version(
        &self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<usize, CatalogError> {
        let known = MIGRATIONS.len();
        let (mine, version, tables) = match self.engine() {
            Engine::Sqlite(_) => {
                let application = self.ask(transaction, "PRAGMA application_id").await?;
                let version = self.ask(transaction, "PRAGMA user_version").await?;
                let tables = self.ask(transaction, "SELECT count(*) FROM sqlite_schema").await?;
                let nothing = application == 0 && version == 0;
                (application == APPLICATION, version, if nothing { tables } else { 1 })
            }
            Engine::Postgres(_) => {
                let tables = "SELECT count(*) FROM information_schema.tables \
                              WHERE table_schema = current_schema()";
                let tables = self.ask(transaction, tables).await?;
                let mine = "SELECT count(*) FROM information_schema.tables \
                            WHERE table_schema = current_schema() AND table_name = 'tarn_schema'";
                let mine = self.ask(transaction, mine).await? == 1;
                let version = if mine {
                    self.ask(transaction, "SELECT max(version) FROM tarn_schema").await?
                } else {
                    0
                };
                (mine, version, tables)
            }
        };
        match usize::try_from(version) {
            _ if !mine && tables == 0 => Ok(0),
            Ok(version) if mine && version <= known => Ok(version),
            _ if mine => Err(self.too_new(version)),
            _ => Err(self.problem("this is a database of another program, not a Tarn catalog")),
        }
    }

    /// The one number that a question is answered with.
    async fn ask(
        &self,
        transaction: &mut Transaction<'static, Any>,
        question: &'static str,
    ) -> Result<i64, CatalogError> {
        sqlx::query(question)
            .fetch_one(&mut **transaction)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.error(&error))
    }
}
