//! Folders of the store in which tables of queries are being written, so that none of them stays behind.
//!
//! A folder is noted before its first file is written, and forgotten in the transaction that makes its table
//! known. Whoever writes says from time to time that they still do. A folder of which nobody said so for a
//! while was left by a process that died: it is swept, and from then on no table can be made of it.

use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::{TimeDelta, Utc};
use std::time::Duration;

/// After this time without a word a folder is taken for abandoned.
const ABANDONED: Duration = Duration::from_secs(120);

impl Catalog {
    /// How often whoever writes a table is to say that they still do, with [`Catalog::keep_table`].
    pub const TABLE_PACE: Duration = Duration::from_secs(15);

    /// Notes a folder before a table is written there.
    pub async fn begin_table(&self, folder: &str) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query("INSERT INTO table_folder (folder, alive_at, swept) VALUES ($1, $2, 0)")
            .bind(folder)
            .bind(timestamp(Utc::now()))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Says that a folder is still written to.
    pub async fn keep_table(&self, folder: &str) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query("UPDATE table_folder SET alive_at = $2 WHERE folder = $1")
            .bind(folder)
            .bind(timestamp(Utc::now()))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Says that no table is made of a folder, so that its files may be deleted; then it is to be forgotten.
    /// False where one was made: whoever asked did not hear of it, and nothing may be deleted.
    pub async fn abandon_table(&self, folder: &str) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let noted = sqlx::query("UPDATE table_folder SET swept = 1 WHERE folder = $1")
            .bind(folder)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await?;
        Ok(noted.rows_affected() == 1)
    }

    /// Forgets a folder that nothing is left of.
    pub async fn forget_table(&self, folder: &str) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query("DELETE FROM table_folder WHERE folder = $1")
            .bind(folder)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Folders that nobody writes to any more. No table can be made of them from now on, so that their files
    /// may be deleted; then they are to be forgotten.
    pub async fn abandoned_tables(&self) -> Result<Vec<String>, CatalogError> {
        let database = &self.inner.database;
        let since = TimeDelta::from_std(ABANDONED).unwrap_or(TimeDelta::MAX);
        let since = timestamp(Utc::now().checked_sub_signed(since).unwrap_or_default());
        let left = "SELECT folder FROM table_folder WHERE alive_at < $1 OR swept = 1";
        let some = sqlx::query(left)
            .bind(&since)
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        if some.is_none() {
            return Ok(Vec::new());
        }
        let mut write = database.write().await?;
        let rows = sqlx::query(left)
            .bind(&since)
            .fetch_all(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        sqlx::query("UPDATE table_folder SET swept = 1 WHERE alive_at < $1")
            .bind(&since)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await?;
        rows.iter().map(|row| database.text(row, "folder")).collect()
    }

    /// Forgets the folder of a table that becomes known in this transaction.
    pub(crate) async fn end_table(
        &self,
        write: &mut Write<'_>,
        folder: &str,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let gone = sqlx::query("DELETE FROM table_folder WHERE folder = $1 AND swept = 0")
            .bind(folder)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if gone.rows_affected() == 1 {
            return Ok(());
        }
        Err(CatalogError::Conflict(
            "writing the table stood still for so long that it was taken for abandoned, and its files were \
             deleted: make it again"
                .to_owned(),
        ))
    }
}
