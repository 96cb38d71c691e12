//! Drafts as they are stored: one of each author under a name.

use super::no_draft;
use super::{Draft, DraftState};
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};
use tarn_schemas::DatasetName;

impl Catalog {
    /// The draft as it is stored, which has to be the one that was read.
    pub(super) async fn unchanged(
        &self,
        write: &mut Write<'_>,
        draft: &Draft,
    ) -> Result<Draft, CatalogError> {
        let name = &draft.record.name;
        let now = self.stored_draft(&mut write.transaction, name, &draft.author).await?;
        let now = now.ok_or_else(|| no_draft(name))?;
        if now.revision != draft.revision {
            return Err(changed(name, draft.revision, now.revision));
        }
        Ok(now)
    }

    /// Stores a draft that changed.
    pub(super) async fn step(
        &self,
        write: &mut Write<'_>,
        draft: &mut Draft,
    ) -> Result<(), CatalogError> {
        draft.revision = draft.revision.saturating_add(1);
        draft.changed_at = timestamp(Utc::now());
        self.put_draft(write, draft).await
    }

    /// Removes a draft that was registered, unless it was edited meanwhile.
    pub(super) async fn forget(&self, draft: &Draft) -> Result<(), CatalogError> {
        let mut write = self.inner.database.write().await?;
        let (name, author) = (&draft.record.name, &draft.author);
        let now = self.stored_draft(&mut write.transaction, name, author).await?;
        if now.is_some_and(|now| now.revision == draft.revision) {
            self.remove_draft(&mut write, draft).await?;
        }
        write.commit().await
    }

    /// The draft of an author.
    pub(super) async fn stored_draft(
        &self,
        transaction: &mut Transaction<'static, Any>,
        name: &DatasetName,
        author: &str,
    ) -> Result<Option<Draft>, CatalogError> {
        let drafts = self.stored_drafts(transaction, name).await?;
        Ok(drafts.into_iter().find(|draft| draft.author == author))
    }

    /// The drafts of all authors under a name.
    pub(super) async fn stored_drafts(
        &self,
        transaction: &mut Transaction<'static, Any>,
        name: &DatasetName,
    ) -> Result<Vec<Draft>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM draft WHERE name = $1 ORDER BY author")
            .bind(name.as_str())
            .fetch_all(&mut **transaction)
            .await
            .map_err(|error| self.inner.database.error(&error))?;
        rows.iter().map(|row| self.draft_from_row(row)).collect()
    }

    pub(super) async fn put_draft(
        &self,
        write: &mut Write<'_>,
        draft: &Draft,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let record = serde_json::to_string(&draft.record)
            .map_err(|error| database.unreadable("a draft", &error))?;
        sqlx::query(
            "INSERT INTO draft (name, record, state, author, revision, changed_at, note, edited_from, told)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (name, author) DO UPDATE SET record = excluded.record, state = excluded.state,
                 revision = excluded.revision, changed_at = excluded.changed_at, note = excluded.note,
                 edited_from = excluded.edited_from, told = excluded.told",
        )
        .bind(draft.record.name.as_str())
        .bind(record)
        .bind(draft.state.as_str())
        .bind(&draft.author)
        .bind(i64::try_from(draft.revision).unwrap_or(i64::MAX))
        .bind(&draft.changed_at)
        .bind(draft.note.clone())
        .bind(i64::from(draft.edited_from))
        .bind(i64::from(draft.told))
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    pub(super) async fn remove_draft(
        &self,
        write: &mut Write<'_>,
        draft: &Draft,
    ) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM draft WHERE name = $1 AND author = $2")
            .bind(draft.record.name.as_str())
            .bind(&draft.author)
            .execute(&mut *write.transaction)
            .await
            .map(drop)
            .map_err(|error| self.inner.database.error(&error))
    }

    pub(super) fn draft_from_row(&self, row: &AnyRow) -> Result<Draft, CatalogError> {
        let database = &self.inner.database;
        let state = database.text(row, "state")?;
        Ok(Draft {
            record: serde_json::from_str(&database.text(row, "record")?)
                .map_err(|error| database.unreadable("a draft", &error))?,
            state: DraftState::parse(&state)
                .ok_or_else(|| database.unreadable("the state of a draft", &state))?,
            author: database.text(row, "author")?,
            revision: database.number(row, "revision")?,
            changed_at: database.text(row, "changed_at")?,
            edited_from: database.number(row, "edited_from")?,
            told: database.number(row, "told")?,
            note: database.optional_text(row, "note")?,
        })
    }
}

pub(super) fn changed(name: &DatasetName, was: u64, now: u64) -> CatalogError {
    CatalogError::Conflict(format!(
        "the record of {name} is at revision {now} by now, and you looked at {was}: look again"
    ))
}
