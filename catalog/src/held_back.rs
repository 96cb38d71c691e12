//! Files that are not for everyone: those of datasets that are not, and of records that wait for a second person.
//! They are known by their content, whatever path or link leads to them.

use crate::decision::{Action, Door};
use crate::model::{Dataset, Draft};
use crate::policy::{Rights, subject};
use crate::store::{Rows, Write};
use crate::{Catalog, CatalogError};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, Principal, Record, Tier};

/// Who holds files back.
#[derive(Debug, Default)]
pub(crate) struct Held {
    datasets: Vec<Dataset>,
    /// Authors of records that wait, as grants name people, and the tiers that those will have.
    waiting: BTreeSet<(String, Option<Tier>)>,
    /// The first of the files that is held back.
    pub(crate) first: Option<usize>,
}

impl Held {
    pub(crate) fn is_empty(&self) -> bool {
        self.datasets.is_empty() && self.waiting.is_empty()
    }
}

impl Catalog {
    /// Who holds one of these files back, besides the draft of this name itself. Nobody holds back what
    /// another dataset gives to everyone.
    pub(crate) async fn held_back(
        &self,
        draft: &DatasetName,
        files: &[FileFacts],
    ) -> Result<Held, CatalogError> {
        let mut read = self.inner.database.read().await?;
        self.held_in(&mut read, draft, files).await
    }

    /// As [`Catalog::held_back`], in a transaction.
    pub(crate) async fn held_in(
        &self,
        transaction: &mut Transaction<'static, Any>,
        draft: &DatasetName,
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
            let (mut closed, mut is_public) = (Vec::new(), false);
            for row in rows {
                let name = database.dataset_name(&database.text(&row, "dataset")?)?;
                let other = self.load(transaction, &name, None).await?;
                let Some(other) = other.map(|stored| stored.dataset) else { continue };
                if self.decide_as(&everyone, Action::Read, &other)?.refusal_at(Door::File).is_some()
                {
                    closed.push(other);
                } else {
                    // An older version may have it alone: what is given is what the newest has.
                    is_public |= other.files.iter().any(|known| known.sha256 == sum);
                }
            }
            if is_public {
                continue;
            }
            held.datasets.extend(closed);
            let rows = sqlx::query(
                "SELECT d.author, d.record FROM draft_file f JOIN draft d ON d.name = f.draft
                 WHERE f.sha256 = $1 AND d.name <> $2 AND d.state = 'submitted'",
            )
            .bind(sum)
            .bind(draft.as_str())
            .fetch_all(&mut **transaction)
            .await
            .map_err(|error| database.error(&error))?;
            for row in rows {
                let record: Record = serde_json::from_str(&database.text(&row, "record")?)
                    .map_err(|error| database.unreadable("a draft", &error))?;
                held.waiting.insert((database.text(&row, "author")?, record.tier));
            }
            if !held.is_empty() {
                held.first.get_or_insert(place);
            }
        }
        Ok(held)
    }

    /// Whether somebody may hear what is in these files: they may read each dataset that holds them back, and
    /// what waits is their own.
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
        self.may(who, held, |rights, dataset| {
            Ok(self.decide_as(rights, Action::Read, dataset)?.refusal_at(Door::File).is_none())
        })
        .await
    }

    /// Whether somebody decides about every dataset that holds the files of a draft back, and what waits is
    /// their own or will be open to no fewer.
    pub(crate) async fn may_open(
        &self,
        who: &Principal,
        draft: &Draft,
        files: &[FileFacts],
    ) -> Result<bool, CatalogError> {
        let held = self.held_back(&draft.record.name, files).await?;
        let opens = |tier: &Option<Tier>| tier.is_none() || draft.record.tier < *tier;
        let others = held.waiting.iter().filter(|(author, _)| *author != subject(who));
        if *who != Principal::Owner && others.into_iter().any(|(_, tier)| opens(tier)) {
            return Ok(false);
        }
        self.may(who, &held, |rights, dataset| {
            Ok(self.decide_as(rights, Action::Review, dataset)?.allowed)
        })
        .await
    }

    async fn may(
        &self,
        who: &Principal,
        held: &Held,
        allowed: impl Fn(&Rights, &Dataset) -> Result<bool, CatalogError>,
    ) -> Result<bool, CatalogError> {
        if *who == Principal::Owner || held.is_empty() {
            return Ok(true);
        }
        let rights = self.rights(who).await?;
        for dataset in &held.datasets {
            if !allowed(&rights, dataset)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether these are the files that a record was submitted with.
    pub(crate) async fn are_held_files(
        &self,
        draft: &DatasetName,
        files: &[FileFacts],
    ) -> Result<bool, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT sha256 FROM draft_file WHERE draft = $1")
            .bind(draft.as_str())
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
        draft: &DatasetName,
        files: &[FileFacts],
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        sqlx::query("DELETE FROM draft_file WHERE draft = $1")
            .bind(draft.as_str())
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let sums: BTreeSet<&str> = files.iter().map(|file| file.sha256.as_str()).collect();
        if sums.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new();
        for sum in sums {
            rows.push([draft.as_str().into(), sum.into()]);
        }
        rows.insert(write, "INTO draft_file (draft, sha256)").await
    }
}
