//! Records on their way: draft → submitted → registered.
//!
//! A person writes a draft and submits it. What is for everyone is registered then; anything else
//! waits for a second person. Who that may be follows from what is there already, not from what the
//! author wrote: of a new dataset an administrator, the committee that it names or, where everyone may
//! know of it, whoever may write; of one that exists, or of files that others hold back, the committees
//! of those. The owner of the node may always. Before it is registered a record is known to its author,
//! the owner and those who review it.

use crate::audit::{Act, Said};
use crate::decision::{Action, may_decide_here, may_write_here};
use crate::model::{Assessment, Draft, DraftState, Registered, Submission};
use crate::policy::{Rights, subject};
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use sqlx::any::AnyRow;
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, Principal, Record, Scope, Tier};

/// Most drafts of one author.
const MOST: i64 = 1000;
/// Longest reason of a reviewer, in bytes.
const LONGEST: usize = 4000;

impl Catalog {
    /// Keeps a record as a draft. `revision` is that of the draft that was edited, 0 for a new one;
    /// without it whatever is there is replaced. A submitted record that is edited is a draft again.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if somebody changed it meanwhile, or it is another person's.
    pub async fn save_draft(
        &self,
        who: &Principal,
        record: Record,
        revision: Option<u64>,
    ) -> Result<Draft, CatalogError> {
        may_write_here(who)?;
        let (database, author) = (&self.inner.database, subject(who));
        let rights = self.rights(who).await?;
        let mut write = database.write().await?;
        let before = self.stored_draft(&mut write.transaction, &record.name).await?;
        let there = self.load(&mut write.transaction, &record.name, None).await?;
        self.check_writer(&rights, there.as_ref())?;
        // A name that another person drafts under says nothing of theirs but that it is taken.
        if before.as_ref().is_some_and(|before| before.author != author) {
            return Err(CatalogError::Conflict(format!(
                "the name {} is taken by a record that is on its way: choose another",
                record.name
            )));
        }
        let known = before.as_ref().map_or(0, |before| before.revision);
        if let Some(edited) = revision.filter(|edited| *edited != known) {
            return Err(CatalogError::Conflict(format!(
                "the draft {} is at revision {known} by now, and this one was edited from {edited}: \
                 nothing was stored",
                record.name
            )));
        }
        if before.is_none() {
            let row = sqlx::query("SELECT count(*) AS number FROM draft WHERE author = $1")
                .bind(&author)
                .fetch_one(&mut *write.transaction)
                .await
                .map_err(|error| database.error(&error))?;
            if database.number::<i64>(&row, "number")? >= MOST {
                return Err(CatalogError::Conflict(format!(
                    "there are {MOST} drafts of yours: submit or delete some"
                )));
            }
        }
        let draft = Draft {
            record,
            state: DraftState::Draft,
            author,
            revision: known.saturating_add(1),
            changed_at: timestamp(Utc::now()),
            note: before.and_then(|before| before.note),
        };
        self.put_draft(&mut write, &draft).await?;
        write.commit().await?;
        Ok(draft)
    }

    /// One draft that a principal may see.
    pub async fn draft(&self, who: &Principal, name: &DatasetName) -> Result<Draft, CatalogError> {
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let draft = self.stored_draft(&mut read, name).await?.ok_or_else(|| no_draft(name))?;
        let sees = self.sees(&rights, &mut read, &draft).await?;
        if sees { Ok(draft) } else { Err(no_draft(name)) }
    }

    /// Drafts that a principal may see, by name: their own, and submitted ones that they may review.
    pub async fn drafts(&self, who: &Principal) -> Result<Vec<Draft>, CatalogError> {
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let mut read = database.read().await?;
        let rows = sqlx::query("SELECT * FROM draft ORDER BY name")
            .fetch_all(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
        let mut drafts = Vec::new();
        for row in &rows {
            let draft = self.draft_from_row(row)?;
            if self.sees(&rights, &mut read, &draft).await? {
                drafts.push(draft);
            }
        }
        Ok(drafts)
    }

    /// Throws a draft away: its author, or the owner of the node and administrators, so that no name is
    /// taken for ever.
    pub async fn delete_draft(
        &self,
        who: &Principal,
        name: &DatasetName,
    ) -> Result<(), CatalogError> {
        may_write_here(who)?;
        let mut write = self.inner.database.write().await?;
        let draft = self.stored_draft(&mut write.transaction, name).await?;
        let draft = draft
            .filter(|draft| draft.author == subject(who) || who.has_scope(Scope::Admin))
            .ok_or_else(|| no_draft(name))?;
        self.remove_draft(&mut write, name).await?;
        if draft.state == DraftState::Submitted || draft.author != subject(who) {
            write.note(self.of_draft(Act::DeleteDraft, who, &draft)).await?;
        }
        write.commit().await
    }

    /// Submits a draft as it was read, with the facts of its files. What is for everyone is registered;
    /// anything else waits for a second person.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] with every violation, and the draft stays as it is. Nothing is said of
    /// files that others hold back: such a record waits, and its reviewer hears what is wrong.
    /// [`CatalogError::Conflict`] if the draft changed since it was read.
    pub async fn submit_draft(
        &self,
        who: &Principal,
        draft: &Draft,
        files: Vec<FileFacts>,
    ) -> Result<Submission, CatalogError> {
        let name = &draft.record.name;
        may_write_here(who)?;
        if draft.author != subject(who) {
            return Err(CatalogError::Denied(format!(
                "the draft {name} is submitted by its author"
            )));
        }
        let held = self.held_back(name, &files).await?;
        if self.may_see_files(who, &held).await? {
            let assessed = Box::pin(self.assess_as(who, &draft.record, &files)).await?;
            if !assessed.violations.is_empty() {
                let dataset = format!("{}.{name}", self.lab());
                return Err(CatalogError::Invalid { dataset, violations: assessed.violations });
            }
            let open = held.is_empty() && is_for_everyone(&assessed.record);
            if *who == Principal::Owner || open {
                let registered = Box::pin(self.register_unheld(who, draft, files.clone())).await;
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
        if let Some(registered) = Box::pin(self.tightened(who, draft, &files)).await? {
            self.forget(draft).await?;
            return Ok(Submission::Registered(Box::new(registered)));
        }
        let mut write = self.inner.database.write().await?;
        let mut now = self.unchanged(&mut write, draft).await?;
        now.state = DraftState::Submitted;
        now.note = None;
        self.step(&mut write, &mut now).await?;
        self.hold_files(&mut write, name, &files).await?;
        write.note(self.of_draft(Act::Submit, who, &now)).await?;
        write.commit().await?;
        Ok(Submission::Waiting(Box::new(now)))
    }

    /// Registers what is for everyone, if nobody began to hold its files back since they were looked at.
    async fn register_unheld(
        &self,
        who: &Principal,
        draft: &Draft,
        files: Vec<FileFacts>,
    ) -> Result<Registered, CatalogError> {
        let edited = self.edited_from(draft).await?;
        let by = self.by(who, None).await?;
        let mut write = self.inner.database.write().await?;
        let name = &draft.record.name;
        if *who != Principal::Owner
            && !self.held_in(&mut write.transaction, name, &files).await?.is_empty()
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
        let held = self.held_back(name, files).await?;
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

    /// Registers a record that closes its dataset further and says nothing else that is new: what is to be
    /// closed does not wait for a second person. `None` for any other record, and for one that breaks
    /// rules, which its reviewer hears.
    async fn tightened(
        &self,
        who: &Principal,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<Option<Registered>, CatalogError> {
        let (database, name) = (&self.inner.database, &draft.record.name);
        let mut read = database.read().await?;
        let there = self.load(&mut read, name, None).await?;
        drop(read);
        let Some(there) = there.map(|there| there.dataset) else { return Ok(None) };
        let rights = self.rights(who).await?;
        if !self.decide_as(&rights, Action::Describe, &there)?.allowed {
            return Ok(None);
        }
        let assessed = Box::pin(self.assess_as(who, &draft.record, files)).await?;
        let closes =
            only_closes(&there.record, &assessed.record) && same_files(&there.files, files);
        if !assessed.violations.is_empty() || !closes {
            return Ok(None);
        }
        let edited = self.edited_from(draft).await?;
        let (record, files) = (draft.record.clone(), files.to_vec());
        match Box::pin(self.register_from(who, record, files, edited)).await {
            // Somebody who may not write it, or what opens something after all.
            Err(CatalogError::Denied(_)) => Ok(None),
            registered => registered.map(Some),
        }
    }

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
        let now = self.reviewed(who, name).await?;
        if now.revision != draft.revision {
            return Err(changed(name, draft.revision, now.revision));
        }
        if !self.are_held_files(name, &files).await? {
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
        let edited = self.edited_from(draft).await?;
        let registered =
            Box::pin(self.register_reviewed(&author, Some(who), record, files, edited)).await?;
        self.forget(draft).await?;
        Ok(registered)
    }

    /// The version that a draft replaces, whose record is the one that there was when its author wrote it;
    /// `None` for a new dataset.
    async fn edited_from(&self, draft: &Draft) -> Result<Option<u32>, CatalogError> {
        let (database, name) = (&self.inner.database, &draft.record.name);
        let mut read = database.read().await?;
        let Some(newest) = self.load(&mut read, name, None).await? else {
            return Ok(None);
        };
        let newest = newest.dataset;
        let mut version = newest.version;
        while let Some(there) = self.load(&mut read, name, Some(version)).await? {
            if there.dataset.record != newest.record {
                break;
            }
            // Versions that only added data are no reason to look again.
            if there.dataset.registered_at <= draft.changed_at {
                return Ok(Some(newest.version));
            }
            version = version.saturating_sub(1);
        }
        Err(CatalogError::Conflict(format!(
            "{}.{name} is at version {} by now, and its record is another than when this draft was written \
             ({}): nothing was stored. See what changed (`tarn versions {name}`), bring it into the draft \
             and save it again",
            self.lab(),
            newest.version,
            draft.changed_at
        )))
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
        self.reviewed(who, &draft.record.name).await?;
        let mut write = self.inner.database.write().await?;
        let mut now = self.unchanged(&mut write, draft).await?;
        now.state = DraftState::Draft;
        now.note = Some(reason.to_owned());
        self.step(&mut write, &mut now).await?;
        write.note(self.of_draft(Act::Return, who, &now).with("reason", reason)).await?;
        write.commit().await?;
        Ok(now)
    }

    /// The draft as it is stored, which has to be the one that was read.
    async fn unchanged(&self, write: &mut Write<'_>, draft: &Draft) -> Result<Draft, CatalogError> {
        let name = &draft.record.name;
        let now = self.stored_draft(&mut write.transaction, name).await?;
        let now = now.ok_or_else(|| no_draft(name))?;
        if now.revision != draft.revision || now.author != draft.author {
            return Err(changed(name, draft.revision, now.revision));
        }
        Ok(now)
    }

    /// Stores a draft that changed.
    async fn step(&self, write: &mut Write<'_>, draft: &mut Draft) -> Result<(), CatalogError> {
        draft.revision = draft.revision.saturating_add(1);
        draft.changed_at = timestamp(Utc::now());
        self.put_draft(write, draft).await
    }

    /// A submitted record that a principal may review, who is not its author.
    async fn reviewed(&self, who: &Principal, name: &DatasetName) -> Result<Draft, CatalogError> {
        may_decide_here(who)?;
        self.check_person(who).await?;
        let draft = self.draft(who, name).await?;
        if draft.author == subject(who) || self.is_own_program(who, &draft.author).await? {
            return Err(CatalogError::Denied(format!(
                "the record of {name} is yours: a second person looks at it"
            )));
        }
        if draft.state != DraftState::Submitted {
            return Err(CatalogError::Conflict(format!("the record of {name} is not submitted")));
        }
        Ok(draft)
    }

    /// The author, who must be one who may still write here.
    async fn author(&self, draft: &Draft) -> Result<Principal, CatalogError> {
        let Some(name) = draft.author.strip_prefix("person:") else { return Ok(Principal::Owner) };
        let author = Principal::person(name, Scope::Write);
        self.check_current(&author).await.map_err(|_| {
            CatalogError::Conflict(format!(
                "{name}, who wrote the record, may not write here any more: somebody else has to"
            ))
        })?;
        Ok(author)
    }

    /// Whether somebody may see a draft: its author, the owner of the node, and of a submitted one those
    /// who may review it.
    async fn sees(
        &self,
        rights: &Rights,
        read: &mut Transaction<'static, Any>,
        draft: &Draft,
    ) -> Result<bool, CatalogError> {
        let who = &rights.who;
        if draft.author == subject(who) || *who == Principal::Owner {
            return Ok(true);
        }
        if draft.state != DraftState::Submitted {
            return Ok(false);
        }
        let name = &draft.record.name;
        let there = self.load(read, name, None).await?;
        Ok(match there {
            // What its author says of the committee does not count.
            Some(there) => self.decide_as(rights, Action::Review, &there.dataset)?.allowed,
            None => {
                let agreement = draft.record.agreement.as_ref();
                let open = draft.record.tier.is_some_and(|tier| tier <= Tier::Registered);
                who.has_scope(Scope::Admin)
                    || agreement.is_some_and(|agreement| rights.is_in(&agreement.committee))
                    || (who.has_scope(Scope::Write) && open)
            }
        })
    }

    fn of_draft(&self, act: Act, who: &Principal, draft: &Draft) -> Said {
        Said::new(act, subject(who))
            .on(format!("{}.{}", self.lab(), draft.record.name))
            .with("author", draft.author.as_str())
            .with("revision", draft.revision.to_string())
    }

    /// Removes a draft that was registered, unless it was edited meanwhile.
    async fn forget(&self, draft: &Draft) -> Result<(), CatalogError> {
        let mut write = self.inner.database.write().await?;
        let now = self.stored_draft(&mut write.transaction, &draft.record.name).await?;
        if now.is_some_and(|now| now.revision == draft.revision) {
            self.remove_draft(&mut write, &draft.record.name).await?;
        }
        write.commit().await
    }

    async fn stored_draft(
        &self,
        transaction: &mut Transaction<'static, Any>,
        name: &DatasetName,
    ) -> Result<Option<Draft>, CatalogError> {
        let row = sqlx::query("SELECT * FROM draft WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&mut **transaction)
            .await
            .map_err(|error| self.inner.database.error(&error))?;
        row.map(|row| self.draft_from_row(&row)).transpose()
    }

    async fn put_draft(&self, write: &mut Write<'_>, draft: &Draft) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let record = serde_json::to_string(&draft.record)
            .map_err(|error| database.unreadable("a draft", &error))?;
        sqlx::query(
            "INSERT INTO draft (name, record, state, author, revision, changed_at, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (name) DO UPDATE SET record = excluded.record, state = excluded.state,
                 revision = excluded.revision, changed_at = excluded.changed_at,
                 note = excluded.note",
        )
        .bind(draft.record.name.as_str())
        .bind(record)
        .bind(draft.state.as_str())
        .bind(&draft.author)
        .bind(i64::try_from(draft.revision).unwrap_or(i64::MAX))
        .bind(&draft.changed_at)
        .bind(draft.note.clone())
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    async fn remove_draft(
        &self,
        write: &mut Write<'_>,
        name: &DatasetName,
    ) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM draft WHERE name = $1")
            .bind(name.as_str())
            .execute(&mut *write.transaction)
            .await
            .map(drop)
            .map_err(|error| self.inner.database.error(&error))
    }

    fn draft_from_row(&self, row: &AnyRow) -> Result<Draft, CatalogError> {
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
            note: database.optional_text(row, "note")?,
        })
    }
}

/// What is said of files that are not there, or not for this principal.
pub const NOT_OFFERED: &str =
    "it is in no store of this node, or not there; name each file under a `url` of [stores]";

fn no_draft(name: &DatasetName) -> CatalogError {
    CatalogError::NotFound {
        kind: "draft",
        name: name.to_string(),
        hint: "; `tarn draft list` shows yours, and those that wait for you".to_owned(),
    }
}

/// Whether a record differs from the one before in what limits access alone, and only begins to limit or has
/// a stricter tier, exposure, marking or a longer embargo. What of it would open something is found when it is
/// registered. A stricter tier may need another licence, and a date at which it is looked at again.
fn only_closes(before: &Record, record: &Record) -> bool {
    let stricter = record.tier > before.tier;
    let mut same = Record {
        tier: record.tier,
        exposure: record.exposure,
        markings: record.markings.clone(),
        embargo: record.embargo.clone(),
        cui: before.cui.clone().or_else(|| record.cui.clone()),
        export_control: before.export_control.clone().or_else(|| record.export_control.clone()),
        terms: before.terms.clone().or_else(|| record.terms.clone()),
        human_data: before.human_data.filter(|data| *data).or(record.human_data),
        agreement: before.agreement.clone().or_else(|| record.agreement.clone()),
        conditions: before.conditions.clone().or_else(|| record.conditions.clone()),
        disclosure: before.disclosure.clone().or_else(|| record.disclosure.clone()),
        ..before.clone()
    };
    if stricter {
        same.license.clone_from(&record.license);
        same.rights.clone_from(&record.rights);
        same.review.clone_from(&record.review);
        same.reviewed.clone_from(&record.reviewed);
    }
    same == *record && before != record
}

/// Whether a record is one that everyone may read at once: nothing to be looked at by a second person.
fn is_for_everyone(record: &Record) -> bool {
    let limited = record.markings.iter().any(|marking| marking != "UNL");
    record.tier == Some(Tier::Public)
        && !limited
        && record.embargo.is_none()
        && record.cui.is_none()
        && record.export_control.is_none()
        && record.conditions.is_none()
}

/// Whether two lists of files are the same bytes under the same names.
fn same_files(one: &[FileFacts], other: &[FileFacts]) -> bool {
    let known = |files: &[FileFacts]| -> BTreeSet<(String, String)> {
        files.iter().map(|file| (file.location.clone(), file.sha256.clone())).collect()
    };
    known(one) == known(other)
}

fn changed(name: &DatasetName, was: u64, now: u64) -> CatalogError {
    CatalogError::Conflict(format!(
        "the record of {name} is at revision {now} by now, and you looked at {was}: look again"
    ))
}
