//! The records of other labs, as they told them: kept here, so that searches answer while they are away.
//!
//! They are kept apart from this lab's own: exports, harvests, identifiers and drafts know nothing of them. Each lab
//! speaks for its own records only, and says by its signature what they are; it decides anew whenever somebody asks for
//! more than the record.

mod apply;
mod refusal;
mod state;
#[cfg(test)]
mod tests;
mod walk;

pub use apply::Applied;
pub use refusal::FeedRefusal;
pub use state::ReplicaState;
pub use walk::{Drift, TreeWalk};

use crate::feed::{Kind, PeerRecord};
use crate::store::Write;
use crate::{Catalog, CatalogError};
use tarn_schemas::{DatasetName, LabName};

/// A record of another lab as it is kept here.
#[derive(Debug, Clone, PartialEq)]
pub struct Replica {
    /// What its lab told.
    pub record: PeerRecord,
    /// BLAKE3 of the text in which it did, in hexadecimal.
    pub hash: String,
}

impl Catalog {
    /// What another lab told of one of its datasets; nothing where it told nothing, or took it back.
    pub async fn replica(
        &self,
        lab: &LabName,
        name: &DatasetName,
    ) -> Result<Option<Replica>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT hash, content FROM replica WHERE lab = $1 AND dataset = $2 AND kind <> $3",
        )
        .bind(lab.as_str())
        .bind(name.as_str())
        .bind(Kind::Tombstone.as_str())
        .fetch_optional(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        let record = serde_json::from_str(&database.text(&row, "content")?)
            .map_err(|error| database.unreadable("a record of another lab", &error))?;
        Ok(Some(Replica { record, hash: database.text(&row, "hash")? }))
    }

    /// Forgets what a lab told. Its rows stay without content, so that the index of searches learns of it.
    pub(crate) async fn forget_replicas(
        &self,
        write: &mut Write<'_>,
        lab: &LabName,
    ) -> Result<(), CatalogError> {
        let last = self.last_replica(write).await?;
        let database = &self.inner.database;
        let row =
            sqlx::query("SELECT coalesce(min(changed), 0) AS first FROM replica WHERE lab = $1")
                .bind(lab.as_str())
                .fetch_one(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
        let first: i64 = database.number(&row, "first")?;
        // Behind all others, in their order.
        let by = last.saturating_sub(first).saturating_add(1);
        sqlx::query(
            "UPDATE replica SET kind = $2, hash = '', content = '', changed = changed + $3
             WHERE lab = $1",
        )
        .bind(lab.as_str())
        .bind(Kind::Tombstone.as_str())
        .bind(by)
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    /// The last number by which replicas came.
    async fn last_replica(&self, write: &mut Write<'_>) -> Result<i64, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT coalesce(max(changed), 0) AS last FROM replica")
            .fetch_one(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        database.number(&row, "last")
    }
}
