//! Records that are shown: who saw which of those that are not for everyone, in the audit log.
//!
//! One record that is looked at or exported is an entry; a search, a list or a page of a harvest is one entry that
//! names all of them. The entry is there before the answer leaves; entries of requests that come at the same time are
//! one transaction, so that many readers wait for the disk together. The owner of the node, who reads the database
//! itself, leaves none for records, so that a home that may only be read can be searched.

use crate::audit::{Act, Said};
use crate::drafts::Draft;
use crate::model::Dataset;
use crate::policy::subject;
use crate::relaxing::is_for_everyone;
use crate::sources::Source;
use crate::{Catalog, CatalogError};
use std::sync::{Mutex, PoisonError};
use tarn_schemas::Principal;
use tokio::sync::oneshot;

/// Entries that wait to be written, each with whom to tell.
pub(crate) type Unwritten = Mutex<Vec<(Said, oneshot::Sender<()>)>>;

impl Catalog {
    /// Whether nothing limits who sees a dataset, as it was shown.
    pub(crate) fn is_open(&self, dataset: &Dataset) -> bool {
        !dataset.redacted
            && self.inner.policies.resource(dataset).is_open()
            && dataset.newest.as_deref().is_none_or(|newest| newest.resource.is_open())
            && dataset.sources.iter().all(Source::is_open)
    }

    /// Notes that a record is shown to `who` by a door (`record`, `page`, `export`, …), or that it is not, and why.
    /// Of records that are for everyone nothing is noted.
    pub async fn note_shown(
        &self,
        who: &Principal,
        door: &str,
        dataset: &Dataset,
        refused: Option<&str>,
    ) -> Result<(), CatalogError> {
        if *who == Principal::Owner || self.is_open(dataset) {
            return Ok(());
        }
        // What is shown in part is known of, and not described.
        let act = if dataset.redacted { Act::Discover } else { Act::Describe };
        let said = Said::new(act, subject(who)).on(dataset.full_name()).with("door", door);
        self.note_together(match refused {
            Some(reason) => said.with("reason", reason).refused(),
            None => said,
        })
        .await
    }

    /// Notes which records of a list, a search or a harvest are shown to `who` that are not for everyone.
    pub async fn note_listed(
        &self,
        who: &Principal,
        door: &str,
        shown: impl IntoIterator<Item = &Dataset>,
    ) -> Result<(), CatalogError> {
        let closed = shown.into_iter().filter_map(|dataset| self.closed_name(dataset)).collect();
        self.note_closed(who, door, closed).await
    }

    /// The name of a dataset, with its version, unless it is for everyone.
    pub fn closed_name(&self, dataset: &Dataset) -> Option<String> {
        (!self.is_open(dataset)).then(|| dataset.full_name())
    }

    /// As [`Catalog::note_listed`], of records by the names that [`Catalog::closed_name`] gives.
    pub async fn note_closed(
        &self,
        who: &Principal,
        door: &str,
        names: Vec<String>,
    ) -> Result<(), CatalogError> {
        if *who == Principal::Owner || names.is_empty() {
            return Ok(());
        }
        let said = Said::new(Act::Describe, subject(who)).with("door", door);
        self.note_together(said.with("datasets", names.join(" "))).await
    }

    /// Notes which records of others that wait, and would not be for everyone, are shown to `who`.
    pub async fn note_drafts(&self, who: &Principal, drafts: &[Draft]) -> Result<(), CatalogError> {
        let own = subject(who);
        let closed =
            drafts.iter().filter(|draft| draft.author != own && !is_for_everyone(&draft.record));
        let names =
            closed.map(|draft| format!("{}.{}@draft", self.lab(), draft.record.name)).collect();
        self.note_closed(who, "draft", names).await
    }

    /// Writes an entry with those that others wait for.
    async fn note_together(&self, said: Said) -> Result<(), CatalogError> {
        let (told, written) = oneshot::channel();
        let waiting = |catalog: &Self| {
            std::mem::take(
                &mut *catalog.inner.unwritten.lock().unwrap_or_else(PoisonError::into_inner),
            )
        };
        self.inner.unwritten.lock().unwrap_or_else(PoisonError::into_inner).push((said, told));
        let catalog = self.clone();
        // Whoever asked may go away meanwhile: what others wait for is written all the same.
        let turn = tokio::spawn(async move {
            let mut write = catalog.inner.database.write().await?;
            let (said, told): (Vec<_>, Vec<_>) = waiting(&catalog).into_iter().unzip();
            // Whoever had the turn before may have written it.
            if said.is_empty() {
                return Ok(());
            }
            write.note_all(said).await?;
            write.commit().await?;
            // Who does not wait any more need not be told.
            for told in told {
                let _ = told.send(());
            }
            Ok::<(), CatalogError>(())
        });
        let failed = || self.inner.database.problem("who sees a record could not be written down");
        turn.await.map_err(|_| failed())??;
        written.await.map_err(|_| failed())
    }
}
