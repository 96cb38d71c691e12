//! What becomes of a draft that its author submits.

use super::{Draft, DraftState, Submission};
use crate::audit::Act;
use crate::decision::{Action, may_decide_here, may_write_here};
use crate::lineage::{join, limits_of, passed_on};
use crate::model::{Assessment, Registered};
use crate::policy::subject;
use crate::relaxing::{is_for_everyone, same_files, tightens, under_cui};
use crate::{Catalog, CatalogError};
use std::collections::BTreeSet;
use tarn_schemas::Principal;
use tarn_schemas::facts::FileFacts;

impl Catalog {
    /// Submits a draft as it was read, with the facts of its files. What is for everyone is registered;
    /// anything else waits for a second person.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] with every violation, and the draft stays as it is. Nothing is said of
    /// files that others hold back: such a record waits, and its reviewer hears what is wrong.
    /// [`CatalogError::Conflict`] if the draft changed since it was read, or the dataset has another record by
    /// now than the one that it was edited from.
    pub async fn submit_draft(
        &self,
        who: &Principal,
        draft: &Draft,
        files: Vec<FileFacts>,
    ) -> Result<Submission, CatalogError> {
        let name = &draft.record.name;
        may_submit(who, draft)?;
        let edited = self.still_writes(who, draft).await?;
        let held = self.held_back((name, &draft.author), &files).await?;
        if self.may_see_files(who, &held).await? {
            let assessed = Box::pin(self.assess_as(who, &draft.record, &files)).await?;
            if !assessed.violations.is_empty() {
                let dataset = format!("{}.{name}", self.lab());
                return Err(CatalogError::Invalid { dataset, violations: assessed.violations });
            }
            let open = held.is_empty() && is_for_everyone(&assessed.record);
            if *who == Principal::Owner || open {
                let registered =
                    Box::pin(self.register_unheld(who, draft, files.clone(), edited)).await;
                match registered {
                    // What opens a dataset further takes two people: it waits.
                    Err(CatalogError::Denied(_)) => {}
                    registered => {
                        let registered = registered?;
                        self.forget(draft).await?;
                        return Ok(Submission::Registered(Box::new(registered)));
                    }
                }
            }
        }
        if let Some(registered) = Box::pin(self.tightened(who, draft, &files, edited)).await? {
            self.forget(draft).await?;
            return Ok(Submission::Registered(Box::new(registered)));
        }
        self.wait(who, draft, &files).await
    }

    /// Submits a draft that names files of this node's stores that are not there. It waits like one that names files
    /// of others, with the same answer, so that nobody learns by submitting what is there; its reviewer, and its
    /// author by [`Catalog::check_draft`], hear that a file is not there or not theirs.
    pub async fn submit_unseen(
        &self,
        who: &Principal,
        draft: &Draft,
    ) -> Result<Submission, CatalogError> {
        may_submit(who, draft)?;
        self.still_writes(who, draft).await?;
        self.wait(who, draft, &[]).await
    }

    /// Lets a draft wait for a second person.
    async fn wait(
        &self,
        who: &Principal,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<Submission, CatalogError> {
        let mut write = self.inner.database.write().await?;
        let mut now = self.unchanged(&mut write, draft).await?;
        now.state = DraftState::Submitted;
        now.note = None;
        self.step(&mut write, &mut now).await?;
        self.hold_files(&mut write, &now, files).await?;
        write.note(self.of_draft(Act::Submit, who, &now)).await?;
        write.commit().await?;
        Ok(Submission::Waiting(Box::new(now)))
    }

    /// The version that a draft replaces, if its author may still write it.
    async fn still_writes(
        &self,
        who: &Principal,
        draft: &Draft,
    ) -> Result<Option<u32>, CatalogError> {
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let there = self.load(&mut read, &draft.record.name, None).await?;
        drop(read);
        self.check_writer(&rights, there.as_ref())?;
        self.replaces_for_author(draft).await
    }

    /// Registers what is for everyone, if nobody began to hold its files back since they were looked at.
    async fn register_unheld(
        &self,
        who: &Principal,
        draft: &Draft,
        files: Vec<FileFacts>,
        edited: Option<u32>,
    ) -> Result<Registered, CatalogError> {
        let by = self.by(who, None).await?;
        let mut write = self.inner.database.write().await?;
        let name = &draft.record.name;
        let own = (name, draft.author.as_str());
        if *who != Principal::Owner
            && !self.held_in(&mut write.transaction, own, &files).await?.is_empty()
        {
            return Err(CatalogError::Denied(format!("files of {name} are held back by now")));
        }
        let record = draft.record.clone();
        let done = Box::pin(self.register_in(&mut write, &by, record, files, edited)).await?;
        if done.created {
            write.commit().await?;
        }
        Ok(done)
    }

    /// What submitting a draft would say: every violation, the FAIR score and what is missing. Changes
    /// nothing.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever is neither the author nor looks at what was submitted;
    /// [`CatalogError::Argument`] where files are held
    /// back by others, as for files that are not there. That somebody asked is in the log then.
    pub async fn check_draft(
        &self,
        who: &Principal,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<Assessment, CatalogError> {
        let name = &draft.record.name;
        // Whoever sees what was submitted reviews it, and hears what its author hears.
        let author = if draft.author == subject(who) {
            may_write_here(who)?;
            who.clone()
        } else if draft.state == DraftState::Submitted {
            may_decide_here(who)?;
            self.author(draft).await?
        } else {
            return Err(CatalogError::Denied(format!(
                "the draft {name} is checked for its author"
            )));
        };
        let held = self.held_back((name, &draft.author), files).await?;
        if !self.may_see_files(&author, &held).await? {
            let mut write = self.inner.database.write().await?;
            write.note(self.of_draft(Act::Submit, who, draft).refused()).await?;
            write.commit().await?;
            // Files are read in the order of their names, each once.
            let names: BTreeSet<&String> = draft.record.files.iter().collect();
            let name = held.first.and_then(|first| names.into_iter().nth(first));
            let name = name.map_or("a file", |name| name.as_str());
            return Err(CatalogError::Argument(format!("{name}: {NOT_OFFERED}")));
        }
        Box::pin(self.assess_as(&author, &draft.record, files)).await
    }

    /// Registers a record that closes its dataset further and opens nothing, with the texts that change beside it:
    /// what is to be closed does not wait for a second person. `None` for any other record, and for one that
    /// breaks rules, which its reviewer hears.
    async fn tightened(
        &self,
        who: &Principal,
        draft: &Draft,
        files: &[FileFacts],
        edited: Option<u32>,
    ) -> Result<Option<Registered>, CatalogError> {
        let (database, name) = (&self.inner.database, &draft.record.name);
        let rights = self.rights(who).await?;
        let mut read = database.read().await?;
        let Some(stored) = self.load(&mut read, name, None).await? else { return Ok(None) };
        if !self.decide_as(&rights, Action::Describe, &stored.dataset)?.allowed {
            return Ok(None);
        }
        let inputs =
            Box::pin(self.all_inputs(&rights, &mut read, (&draft.record, files), Some(&stored)))
                .await?;
        drop(read);
        let assessed = Box::pin(self.assess_as(who, &draft.record, files)).await?;
        let limits = under_cui(inputs.limits, &assessed.record, Some(&stored));
        let now = join(limits_of(&assessed.record), &limits);
        let there = stored.dataset;
        let before = (&there.record, &passed_on(&there));
        let closes = tightens(before, (&assessed.record, &now)) && same_files(&there.files, files);
        if !assessed.violations.is_empty() || !closes {
            return Ok(None);
        }
        let (record, files) = (draft.record.clone(), files.to_vec());
        match Box::pin(self.register_from(who, record, files, edited)).await {
            // Somebody who may not write it, or what opens something after all.
            Err(CatalogError::Denied(_)) => Ok(None),
            registered => registered.map(Some),
        }
    }
}

/// Whether somebody may submit a draft: its author, who may write here.
fn may_submit(who: &Principal, draft: &Draft) -> Result<(), CatalogError> {
    may_write_here(who)?;
    if draft.author == subject(who) {
        return Ok(());
    }
    Err(CatalogError::Denied(format!("the draft {} is submitted by its author", draft.record.name)))
}

/// What is said of files that are not there, or not for this principal.
pub const NOT_OFFERED: &str =
    "it is in no store of this node, or not there; name each file under a `url` of [stores]";
