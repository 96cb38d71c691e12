//! Files that are not for everyone: those of datasets that are not, and of records that wait for a second person.
//! They are known by their content, whatever path or link leads to them.

use crate::decision::{Action, Door};
use crate::drafts::Draft;
use crate::lineage::{join, limits_of};
use crate::model::Dataset;
use crate::policy::{Rights, subject};
use crate::relaxing::is_as_closed;
use crate::store::{Rows, Write};
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, Principal, Record, Scope};

/// Who holds files back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The versions that close them.
    datasets: Vec<Dataset>,
    /// The newest versions of these datasets, by which somebody decides about them.
    newest: Vec<Dataset>,
    /// Records that wait, with their authors, as grants name people.
    waiting: Vec<(String, Record)>,
    /// The first of the files that is held back.
    pub(crate) first: Option<usize>,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.datasets.is_empty() && self.waiting.is_empty()
    }
}

impl Catalog {
    /// Who holds one of these files back, besides the draft of this name and author itself: every version of
    /// every dataset, and everybody's record that waits. Nobody holds back what a version of a dataset gives to
    /// everyone.
    pub(crate) async fn held_back(
        &self,
        draft: (&DatasetName, &str),
        files: &[FileFacts],
    ) -> Result<Held, CatalogError> {
        let mut read = self.inner.database.read().await?;
        self.held_in(&mut read, draft, files).await
    }

    /// As [`Catalog::held_back`], in a transaction.
    pub(crate) async fn held_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        (draft, author): (&DatasetName, &str),
        files: &[FileFacts],
    ) -> Result<Held, CatalogError> {
        let database = &self.inner.database;
        let everyone = Rights::bare(&Principal::Anonymous, self.lab().as_str());
        let mut held = Held::default();
        let mut looked_at = BTreeSet::new();
        for (place, file) in files.iter().enumerate() {
            let sum = file.sha256.as_str();
            if !looked_at.insert(sum) {
                continue;
            }
            let rows = sqlx::query("SELECT dataset FROM dataset_file WHERE sha256 = $1")
                .bind(sum)
                .fetch_all(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
            let names =
                rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?));
            let names: Vec<DatasetName> = names.collect::<Result<_, _>>()?;
            let is_open = |dataset: &Dataset| -> Result<bool, CatalogError> {
                let read = self.decide_as(&everyone, Action::Read, dataset)?;
                Ok(read.refusal_at(Door::File).is_none())
            };
            let Some(closed) = self.closed_with(transaction, &names, sum, is_open).await? else {
                continue;
            };
            for dataset in &closed {
                if !held.newest.iter().any(|known| known.name == dataset.name) {
                    held.newest.extend(self.held_version(transaction, &dataset.name, None).await?);
                }
            }
            held.datasets.extend(closed);
            let rows = sqlx::query(
                "SELECT d.author, d.record FROM draft_file f
                 JOIN draft d ON d.name = f.draft AND d.author = f.author
                 WHERE f.sha256 = $1 AND NOT (d.name = $2 AND d.author = $3)
                 AND d.state = 'submitted'",
            )
            .bind(sum)
            .bind(draft.as_str())
            .bind(author)
            .fetch_all(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
            for row in rows {
                let record: Record = serde_json::from_str(&database.text(&row, "record")?)
                    .map_err(|error| database.unreadable("a draft", &error))?;
                held.waiting.push((database.text(&row, "author")?, record));
            }
            if !held.is_empty() {
                held.first.get_or_insert(place);
            }
        }
        Ok(held)
    }

    /// The versions of these datasets that have a file of these bytes, each under what holds for the newest: what one
    /// of them closes stays closed, whatever the others have. None as soon as one is found that is open; newest
    /// versions are looked at first, because most bytes that are open are so there.
    async fn closed_with(
        &self,
        transaction: &mut Transaction<'static, Any>,
        names: &[DatasetName],
        sha256: &str,
        is_open: impl Fn(&Dataset) -> Result<bool, CatalogError>,
    ) -> Result<Option<Vec<Dataset>>, CatalogError> {
        let database = &self.inner.database;
        let has = |held: &Dataset| held.files.iter().any(|known| known.sha256 == sha256);
        let (mut closed, mut older) = (Vec::new(), Vec::new());
        for name in names {
            let newest = self.held_version(transaction, name, None).await?;
            let Some(newest) = newest else { continue };
            older.push((name, newest.version));
            if has(&newest) {
                if is_open(&newest)? {
                    return Ok(None);
                }
                closed.push(newest);
            }
        }
        for (name, newest) in older {
            let rows = sqlx::query(
                "SELECT version FROM version WHERE dataset = $1 AND version <> $2 AND files LIKE $3 ORDER BY version",
            )
            .bind(name.as_str())
            .bind(i64::from(newest))
            .bind(format!("%{sha256}%"))
            .fetch_all(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
            for row in &rows {
                let version = database.number(row, "version")?;
                let held = self.held_version(transaction, name, Some(version)).await?;
                if let Some(held) = held.filter(has) {
                    if is_open(&held)? {
                        return Ok(None);
                    }
                    closed.push(held);
                }
            }
        }
        Ok(Some(closed))
    }

    /// Whether somebody may hear what is in these files: they may read each dataset that holds them back or
    /// registered it, for then they had them before, and what waits is their own.
    pub(crate) async fn may_see_files(
        &self,
        who: &Principal,
        held: &Held,
    ) -> Result<bool, CatalogError> {
        if *who != Principal::Owner
            && held.waiting.iter().any(|(author, _)| *author != subject(who))
        {
            return Ok(false);
        }
        self.may(who, &held.datasets, |rights, dataset| {
            let mine = dataset.registrant.as_deref() == Some(&*subject(&rights.who));
            let read = self.decide_as(rights, Action::Read, dataset)?;
            Ok(mine || read.refusal_at(Door::File).is_none())
        })
        .await
    }

    /// Whether somebody decides about every dataset that holds the files of a draft back, and about what waits:
    /// it is their own, will be no more open by this draft, or is theirs to decide.
    pub(crate) async fn may_open(
        &self,
        who: &Principal,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<bool, CatalogError> {
        let held = self.held_back((&draft.record.name, &draft.author), files).await?;
        let others = held.waiting.iter().filter(|(author, _)| *author != subject(who));
        for (_, waiting) in others.filter(|_| *who != Principal::Owner) {
            if !self.keeps_closed(draft, waiting).await? && !self.settles(who, waiting).await? {
                return Ok(false);
            }
        }
        self.may(who, &held.newest, |rights, dataset| self.may_review(rights, dataset)).await
    }

    /// Whether somebody decides what becomes of bytes that a record keeps closed while it waits and another opens:
    /// administrators, and the committee of the dataset that it is of. What the record says of a committee does
    /// not count. That it is another person's than both authors is for who asks.
    async fn settles(&self, who: &Principal, waiting: &Record) -> Result<bool, CatalogError> {
        if who.has_scope(Scope::Admin) {
            return Ok(true);
        }
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let there = self.load(&mut read, &waiting.name, None).await?;
        there.map_or(Ok(false), |there| self.may_review(&rights, &there.dataset))
    }

    /// Whether a draft limits all that a record limits which waits: by what both say, and by what they are made
    /// from as their authors may know of it. Who decides about it afterwards has to be the same, too.
    async fn keeps_closed(&self, draft: &Draft, waiting: &Record) -> Result<bool, CatalogError> {
        let author = self.rights(&self.author(draft).await?).await?;
        let owner = Rights::bare(&Principal::Owner, self.lab().as_str());
        let mut read = self.inner.database.read().await?;
        let theirs = Box::pin(self.inputs(&owner, &mut read, waiting)).await?.limits;
        let own = Box::pin(self.inputs(&author, &mut read, &draft.record)).await?.limits;
        let theirs = join(limits_of(waiting), &theirs);
        let own = join(limits_of(&draft.record), &own);
        Ok(waiting.tier.is_some()
            && waiting.agreement == draft.record.agreement
            && is_as_closed((waiting, &theirs), (&draft.record, &own)))
    }

    async fn may(
        &self,
        who: &Principal,
        datasets: &[Dataset],
        allowed: impl Fn(&Rights, &Dataset) -> Result<bool, CatalogError>,
    ) -> Result<bool, CatalogError> {
        if *who == Principal::Owner || datasets.is_empty() {
            return Ok(true);
        }
        let rights = self.rights(who).await?;
        for dataset in datasets {
            if !allowed(&rights, dataset)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether these are the files that a record was submitted with.
    pub(crate) async fn are_held_files(
        &self,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT sha256 FROM draft_file WHERE draft = $1 AND author = $2")
            .bind(draft.record.name.as_str())
            .bind(&draft.author)
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let held: BTreeSet<String> =
            rows.iter().map(|row| database.text(row, "sha256")).collect::<Result<_, _>>()?;
        let sums: BTreeSet<String> = files.iter().map(|file| file.sha256.clone()).collect();
        Ok(held == sums)
    }

    /// Remembers the files of a record that waits, in place of those that it had.
    pub(crate) async fn hold_files(
        &self,
        write: &mut Write<'_>,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let name = draft.record.name.as_str();
        sqlx::query("DELETE FROM draft_file WHERE draft = $1 AND author = $2")
            .bind(name)
            .bind(&draft.author)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let sums: BTreeSet<&str> = files.iter().map(|file| file.sha256.as_str()).collect();
        if sums.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new();
        for sum in sums {
            rows.push([name.into(), draft.author.as_str().into(), sum.into()]);
        }
        rows.insert(write, "INTO draft_file (draft, author, sha256)").await
    }
}
