//! The second person: who looks at what waits, approves it or gives it back.

use super::LONGEST;
use super::rows::changed;
use super::{Draft, DraftState};
use crate::audit::Act;
use crate::decision::{Action, may_decide_here};
use crate::model::{Dataset, Registered};
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{Principal, Scope};

impl Catalog {
    /// Registers a submitted record, as it was looked at, by the word of a second person.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for its author, and where its files are held back by others than those
    /// that the person decides for; [`CatalogError::Conflict`] if it changed since it was looked at;
    /// [`CatalogError::Invalid`] if it breaks rules.
    pub async fn approve_draft(
        &self,
        who: &Principal,
        draft: &Draft,
        files: Vec<FileFacts>,
    ) -> Result<Registered, CatalogError> {
        let name = &draft.record.name;
        let now = self.reviewed(who, draft).await?;
        if now.revision != draft.revision {
            return Err(changed(name, draft.revision, now.revision));
        }
        if !self.are_held_files(draft, &files).await? {
            return Err(CatalogError::Conflict(format!(
                "files of {name} are others than when its record was submitted: its author submits it again"
            )));
        }
        if !self.may_open(who, draft, &files).await? {
            return Err(CatalogError::Denied(format!(
                "the record of {name} names files that somebody else decides about: the owner of the \
                 node has to look at it"
            )));
        }
        let author = self.author(draft).await?;
        let record = draft.record.clone();
        let edited = self.replaces(draft).await?;
        let registered =
            Box::pin(self.register_reviewed(&author, Some(who), record, files, edited)).await?;
        self.forget(draft).await?;
        Ok(registered)
    }

    /// Gives a submitted record, as it was looked at, back to its author, with a reason.
    pub async fn return_draft(
        &self,
        who: &Principal,
        draft: &Draft,
        reason: &str,
    ) -> Result<Draft, CatalogError> {
        if reason.trim().is_empty() || reason.len() > LONGEST || reason.contains('\0') {
            return Err(CatalogError::Argument(format!(
                "a reason is a text of 1 to {LONGEST} bytes"
            )));
        }
        self.reviewed(who, draft).await?;
        let mut write = self.inner.database.write().await?;
        let mut now = self.unchanged(&mut write, draft).await?;
        now.state = DraftState::Draft;
        now.note = Some(reason.to_owned());
        self.step(&mut write, &mut now).await?;
        write.note(self.of_draft(Act::Return, who, &now).with("reason", reason)).await?;
        write.commit().await?;
        Ok(now)
    }

    /// A submitted record that a principal may review, who is not its author.
    async fn reviewed(&self, who: &Principal, draft: &Draft) -> Result<Draft, CatalogError> {
        may_decide_here(who)?;
        self.check_person(who).await?;
        let name = &draft.record.name;
        let draft = self.draft_of(who, name, Some(&draft.author)).await?;
        if self.is_same_person(who, &draft.author).await? {
            return Err(CatalogError::Denied(format!(
                "the record of {name} is yours, under this name of yours or another: a second person looks at it"
            )));
        }
        if draft.state != DraftState::Submitted {
            return Err(CatalogError::Conflict(format!("the record of {name} is not submitted")));
        }
        Ok(draft)
    }

    /// Whether somebody decides about a dataset: its committee, the owner of the node, and where it has no
    /// committee administrators, so that there is a second person.
    pub(crate) fn may_review(
        &self,
        rights: &Rights,
        dataset: &Dataset,
    ) -> Result<bool, CatalogError> {
        let admin = dataset.committee.is_none() && rights.who.has_scope(Scope::Admin);
        Ok(admin || self.decide_as(rights, Action::Review, dataset)?.allowed)
    }

    /// The author, who must be one who may still write here.
    pub(crate) async fn author(&self, draft: &Draft) -> Result<Principal, CatalogError> {
        let Some(name) = draft.author.strip_prefix("person:") else { return Ok(Principal::Owner) };
        let author = Principal::person(name, Scope::Write);
        self.check_current(&author).await.map_err(|_| {
            CatalogError::Conflict(format!(
                "{name}, who wrote the record, may not write here any more: somebody else has to"
            ))
        })?;
        Ok(author)
    }
}
