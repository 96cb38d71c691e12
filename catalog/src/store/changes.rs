//! The feed of changes: what happened to which dataset, in the order of commits.
//!
//! Whoever follows it (the search index, a harvester, a peer) remembers the last sequence it has and
//! asks for what comes after it. Sequences grow and may have gaps. A change is there once its commit
//! is, and none appears later before one that was seen.

use super::Database;
use crate::CatalogError;
use crate::model::Change;
use sqlx::Row;
use tarn_schemas::DatasetName;

impl Database {
    /// Sequence of the last change, 0 if there is none.
    pub(crate) async fn last_change(&self) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT coalesce(max(sequence), 0) AS last FROM change")
            .fetch_one(self.pool())
            .await
            .map_err(|error| self.error(&error))?;
        self.number(&row, "last")
    }

    /// Changes after a sequence, at most `limit` of them.
    pub(crate) async fn changes(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Change>, CatalogError> {
        let rows = sqlx::query(
            "SELECT sequence, dataset, version, kind, at FROM change WHERE sequence > $1
             ORDER BY sequence LIMIT $2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.error(&error))?;
        rows.iter()
            .map(|row| {
                Ok(Change {
                    sequence: self.number(row, "sequence")?,
                    dataset: self.dataset_name(&self.text(row, "dataset")?)?,
                    version: self.number(row, "version")?,
                    kind: self.text(row, "kind")?,
                    at: self.text(row, "at")?,
                })
            })
            .collect()
    }

    /// Datasets that changed after a sequence, those that changed last at the end, and the sequence
    /// up to which these are all.
    pub(crate) async fn changed(
        &self,
        after: u64,
        limit: i64,
    ) -> Result<(Vec<DatasetName>, u64), CatalogError> {
        let rows = sqlx::query(
            "SELECT dataset, max(sequence) AS last FROM change WHERE sequence > $1
             GROUP BY dataset ORDER BY last LIMIT $2",
        )
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(self.pool())
        .await
        .map_err(|error| self.error(&error))?;
        let (mut names, mut to) = (Vec::with_capacity(rows.len()), after);
        for row in rows {
            to = self.number(&row, "last")?;
            let name: String = row.try_get("dataset").map_err(|error| self.error(&error))?;
            names.push(self.dataset_name(&name)?);
        }
        Ok((names, to))
    }

    /// A stored name of a dataset.
    pub(crate) fn dataset_name(&self, name: &str) -> Result<DatasetName, CatalogError> {
        DatasetName::new(name).map_err(|error| self.unreadable("a dataset's name", &error))
    }
}
