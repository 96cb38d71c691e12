//! Records on their way: draft → submitted → registered.
//!
//! A person writes a draft and submits it. What is for everyone is registered then, and what closes a dataset
//! further; anything else waits for a second person. Who that may be follows from what is there already, not
//! from what the author wrote: of a new dataset an administrator, the committee that it names or, where
//! everyone may know of it, whoever may write; of one that exists, or of files that others hold back, the
//! committees of those, and administrators where there is none. The owner of the node may always. Before it is
//! registered a record is known to its author, the owner and those who review it.

mod draft;
mod edited_from;
mod reviewing;
mod rows;
mod submitting;

pub use draft::{Draft, DraftState, Submission};
pub use submitting::NOT_OFFERED;

use crate::audit::{Act, Said};
use crate::decision::may_write_here;
use crate::policy::{Rights, subject};
use crate::register::timestamp;
use crate::relaxing::may_end_under_cui;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use edited_from::edited_from;
use rows::changed;
use sqlx::{Any, Transaction};
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
        self.save_draft_from(who, record, revision, None).await
    }

    /// As [`Catalog::save_draft`], of a record that was edited from this version of its dataset (0: it is new).
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] if another version is the newest by now.
    pub async fn save_draft_from(
        &self,
        who: &Principal,
        record: Record,
        revision: Option<u64>,
        from: Option<u32>,
    ) -> Result<Draft, CatalogError> {
        may_write_here(who)?;
        let (database, author) = (&self.inner.database, subject(who));
        let rights = self.rights(who).await?;
        let mut write = database.write().await?;
        let drafts = self.stored_drafts(&mut write.transaction, &record.name).await?;
        let there = self.load(&mut write.transaction, &record.name, None).await?;
        self.check_writer(&rights, there.as_ref())?;
        let (mine, others): (Vec<_>, Vec<_>) =
            drafts.into_iter().partition(|draft| draft.author == author);
        let before = mine.into_iter().next();
        // A name that another person drafts under says nothing of theirs but that it is taken. What is there
        // already may be worked on by several: nobody keeps the others from closing it.
        if there.is_none() && !others.is_empty() {
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
        let newest = there.as_ref().map_or(0, |there| there.dataset.version);
        let draft = Draft {
            edited_from: edited_from(&record.name, from, before.as_ref(), newest)?,
            told: before.as_ref().map_or(0, |before| before.told),
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

    /// One draft that a principal may see: their own, or the one that waits.
    pub async fn draft(&self, who: &Principal, name: &DatasetName) -> Result<Draft, CatalogError> {
        self.draft_of(who, name, None).await
    }

    /// As [`Catalog::draft`], of this author.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where several people's wait and no author is named.
    pub async fn draft_of(
        &self,
        who: &Principal,
        name: &DatasetName,
        author: Option<&str>,
    ) -> Result<Draft, CatalogError> {
        let seen = self.drafts_seen(who, name).await?;
        let own = subject(who);
        let own = seen.iter().position(|draft| author.is_none() && draft.author == own);
        match own.and_then(|place| seen.get(place)) {
            Some(draft) => Ok(draft.clone()),
            None => one_of(name, seen, author),
        }
    }

    /// What whoever looks at a draft should know before they agree with it.
    pub async fn draft_notices(&self, draft: &Draft) -> Result<Vec<String>, CatalogError> {
        let mut read = self.inner.database.read().await?;
        let before = self.load(&mut read, &draft.record.name, None).await?;
        let ends = before.and_then(|before| may_end_under_cui(&draft.record, &before.dataset));
        Ok(ends.into_iter().collect())
    }

    /// As [`Catalog::draft_of`] for who looks at the work of others: their own is the last that they mean.
    pub async fn draft_to_review(
        &self,
        who: &Principal,
        name: &DatasetName,
        author: Option<&str>,
    ) -> Result<Draft, CatalogError> {
        let seen = self.drafts_seen(who, name).await?;
        let own = subject(who);
        let waits = |draft: &&Draft| draft.author != own && draft.state == DraftState::Submitted;
        let waiting: Vec<Draft> = seen.iter().filter(waits).cloned().collect();
        if waiting.is_empty() || author.is_some() {
            one_of(name, seen, author)
        } else {
            one_of(name, waiting, None)
        }
    }

    /// The drafts under a name that a principal may see.
    async fn drafts_seen(
        &self,
        who: &Principal,
        name: &DatasetName,
    ) -> Result<Vec<Draft>, CatalogError> {
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let mut seen = Vec::new();
        for draft in self.stored_drafts(&mut read, name).await? {
            if self.sees(&rights, &mut read, &draft).await? {
                seen.push(draft);
            }
        }
        Ok(seen)
    }

    /// Drafts that a principal may see, by name: their own, and submitted ones that they may review.
    pub async fn drafts(&self, who: &Principal) -> Result<Vec<Draft>, CatalogError> {
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let mut read = database.read().await?;
        let rows = sqlx::query("SELECT * FROM draft ORDER BY name, author")
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

    /// Throws a draft away, one's own if no author is named: its author, or the owner of the node and
    /// administrators, so that no name is taken for ever. With a revision, that one alone.
    ///
    /// # Errors
    /// [`CatalogError::Conflict`] where it is at another revision by now.
    pub async fn delete_draft_of(
        &self,
        who: &Principal,
        name: &DatasetName,
        author: Option<&str>,
        revision: Option<u64>,
    ) -> Result<(), CatalogError> {
        may_write_here(who)?;
        let own = subject(who);
        let mut write = self.inner.database.write().await?;
        let mut drafts = self.stored_drafts(&mut write.transaction, name).await?;
        drafts.retain(|draft| draft.author == own || who.has_scope(Scope::Admin));
        if author.is_none() && drafts.iter().any(|draft| draft.author == own) {
            drafts.retain(|draft| draft.author == own);
        }
        let draft = one_of(name, drafts, author)?;
        if let Some(edited) = revision.filter(|edited| *edited != draft.revision) {
            return Err(changed(name, edited, draft.revision));
        }
        self.remove_draft(&mut write, &draft).await?;
        if draft.state == DraftState::Submitted || draft.author != own {
            write.note(self.of_draft(Act::DeleteDraft, who, &draft)).await?;
        }
        write.commit().await
    }

    /// As [`Catalog::delete_draft_of`], of whichever author there is.
    pub async fn delete_draft(
        &self,
        who: &Principal,
        name: &DatasetName,
    ) -> Result<(), CatalogError> {
        self.delete_draft_of(who, name, None, None).await
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
            Some(there) => self.may_review(rights, &there.dataset)?,
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
}

fn no_draft(name: &DatasetName) -> CatalogError {
    CatalogError::NotFound {
        kind: "draft",
        name: name.to_string(),
        hint: "; `tarn draft list` shows yours, and those that wait for you".to_owned(),
    }
}

/// The one draft that is meant.
fn one_of(
    name: &DatasetName,
    mut drafts: Vec<Draft>,
    author: Option<&str>,
) -> Result<Draft, CatalogError> {
    if let Some(author) = author {
        drafts.retain(|draft| draft.author == author);
    }
    let authors: Vec<String> = drafts.iter().map(|draft| draft.author.clone()).collect();
    let mut drafts = drafts.into_iter();
    match (drafts.next(), drafts.next()) {
        (None, _) => Err(no_draft(name)),
        (Some(draft), None) => Ok(draft),
        (Some(_), Some(_)) => Err(CatalogError::Conflict(format!(
            "there are records of {name} by several people ({}): say whose you mean, by `author` (`--author`)",
            authors.join(", ")
        ))),
    }
}
