//! Nobody overwrites what they did not see: a draft knows the version that it was edited from, from its first save
//! until it is registered.
//!
//! Whoever saves says which version they edited (`from`), or it is the newest one at the first save. A newer
//! version with another record refuses the draft, and its author is told of that version: what they save
//! next without saying from which was edited from the one that they were told of.

use super::Draft;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use tarn_schemas::DatasetName;

/// The version that a record is edited from that is saved now.
///
/// # Errors
/// [`CatalogError::Conflict`] where another version is the newest than the one that was named.
pub(super) fn edited_from(
    name: &DatasetName,
    named: Option<u32>,
    before: Option<&Draft>,
    newest: u32,
) -> Result<u32, CatalogError> {
    match (named, before) {
        (Some(named), _) if named != newest => Err(CatalogError::Conflict(format!(
            "{name} is at version {newest} by now, and this record was edited from version {named}: \
             nothing was stored. See what changed (`tarn versions {name}`), bring it into the record and save \
             it from version {newest}"
        ))),
        (Some(named), _) => Ok(named),
        (None, Some(before)) => Ok(before.edited_from.max(before.told)),
        (None, None) => Ok(newest),
    }
}

impl Catalog {
    /// The newest version, which a draft replaces; `None` for a new dataset.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where its record is another than the one that the draft was edited from.
    pub(super) async fn replaces(&self, draft: &Draft) -> Result<Option<u32>, CatalogError> {
        let (database, name) = (&self.inner.database, &draft.record.name);
        let mut read = database.read().await?;
        let newest = self.load(&mut read, name, None).await?;
        let Some(newest) = newest.map(|newest| newest.dataset) else { return Ok(None) };
        if newest.version == draft.edited_from {
            return Ok(Some(newest.version));
        }
        // Versions that only added data are no reason to look again.
        let edited = self.load(&mut read, name, Some(draft.edited_from)).await?;
        if edited.is_some_and(|edited| edited.dataset.record == newest.record) {
            return Ok(Some(newest.version));
        }
        Err(CatalogError::Conflict(format!(
            "{}.{name} is at version {} by now, and its record is another than when this draft was written \
             (from version {}): nothing was stored. See what changed (`tarn versions {name}`), bring it into the \
             draft and save it again",
            self.lab(),
            newest.version,
            draft.edited_from
        )))
    }

    /// As [`Catalog::replaces`], asked by the author, who is told of the newest version by the refusal.
    pub(super) async fn replaces_for_author(
        &self,
        draft: &Draft,
    ) -> Result<Option<u32>, CatalogError> {
        let refused = match self.replaces(draft).await {
            Err(refused @ CatalogError::Conflict(_)) => refused,
            answer => return answer,
        };
        let mut write = self.inner.database.write().await?;
        self.note_told(&mut write, draft).await?;
        write.commit().await?;
        Err(refused)
    }

    async fn note_told(&self, write: &mut Write<'_>, draft: &Draft) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        sqlx::query(
            "UPDATE draft SET told = (SELECT newest FROM dataset WHERE name = $1)
             WHERE name = $1 AND author = $2 AND revision = $3",
        )
        .bind(draft.record.name.as_str())
        .bind(&draft.author)
        .bind(i64::try_from(draft.revision).unwrap_or(i64::MAX))
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }
}
