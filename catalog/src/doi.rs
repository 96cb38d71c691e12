//! DOIs of datasets: which have one, and what their registrar has still to be told.
//!
//! The registrar is asked by whoever serves the node, never by a registration: a wish for a DOI, and
//! every change of a dataset that has one, is noted in the transaction that makes it, and waits here
//! until the registrar has answered. What is sent is the dataset as it is then, so that changes that
//! came meanwhile are one.

use crate::audit::{Act, Said};
use crate::datasets::{Stored, no_dataset};
use crate::decision::Action;
use crate::model::Dataset;
use crate::policy::subject;
use crate::register::timestamp;
use crate::store::Write;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use tarn_schemas::{DatasetName, Principal, Scope, Tier};

/// What happens to a dataset when its DOI has been registered: no news for the registrar.
pub(crate) const REGISTERED: &str = "doi";

/// Where a DOI is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DoiState {
    /// The registrar has still to be told something.
    Waiting,
    /// The registrar knows everything.
    Registered,
    /// The registrar shows nothing of it, because the record is not for everyone (any more): it was
    /// hidden there, or never heard of there.
    Hidden,
    /// The registrar refused: somebody has to change something.
    Refused,
}

impl DoiState {
    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Registered => "registered",
            Self::Hidden => "hidden",
            Self::Refused => "refused",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Registered, Self::Hidden, Self::Refused];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// The DOI of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doi {
    /// The dataset.
    pub dataset: DatasetName,
    /// The DOI, without `https://doi.org/`; none where the registrar has still to give it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doi: Option<String>,
    /// What the registrar calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrar_id: Option<String>,
    /// Where it is.
    pub state: DoiState,
    /// How often the registrar was asked in vain since the last change.
    pub attempts: u32,
    /// When it is asked next, where it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<String>,
    /// What it said last, where it did not do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it was registered first. Only then is it shown and cited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_at: Option<String>,
}

impl Catalog {
    /// Notes the wish for a DOI. `choose` makes one of the name in the dataset's ARK, where DOIs are
    /// chosen here. A second wish is answered as the first.
    ///
    /// # Errors
    /// [`CatalogError::Denied`] for whoever may not change the dataset, and for a dataset whose record
    /// is not for everyone: what a registrar was told cannot be called back.
    pub async fn request_doi(
        &self,
        who: &Principal,
        name: &DatasetName,
        choose: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Doi, CatalogError> {
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let mut write = database.write().await?;
        let names = std::slice::from_ref(name);
        let found = self.load_all(&mut write.transaction, names).await?;
        let Some(Stored { dataset, .. }) = found.into_iter().next() else {
            return Err(no_dataset(name.as_str()));
        };
        if !self.decide_as(&rights, Action::Discover, &dataset)?.allowed {
            return Err(no_dataset(name.as_str()));
        }
        if let Some(reason) = self.decide_as(&rights, Action::Write, &dataset)?.refusal() {
            return Err(CatalogError::Denied(reason));
        }
        if let Some(known) = self.doi_in(&mut write, name).await? {
            return Ok(known);
        }
        if !self.may_be_registered(&dataset) {
            return Err(CatalogError::Denied(format!(
                "{}.{name} gets no DOI: everyone can read what is said of a DOI, for ever, and this \
                 record is not for everyone (tier, exposure or withdrawal). Its ARK identifies it",
                self.lab()
            )));
        }
        let blade = dataset.ark.rsplit('/').next().unwrap_or_default();
        let doi = choose(blade);
        sqlx::query(
            "INSERT INTO doi (dataset, doi, state, revision, attempts, next_at)
             VALUES ($1, $2, 'waiting', 1, 0, $3)",
        )
        .bind(name.as_str())
        .bind(doi.clone())
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        let said = Said::new(Act::RequestDoi, subject(who)).on(dataset.full_name());
        write.note(said.with("doi", doi.unwrap_or_default())).await?;
        let made = self.doi_in(&mut write, name).await?;
        write.commit().await?;
        made.ok_or_else(|| database.problem("a DOI was not kept"))
    }

    /// The DOIs of datasets that somebody may change, by name of the dataset.
    pub async fn dois(&self, who: &Principal) -> Result<Vec<Doi>, CatalogError> {
        if !who.has_scope(Scope::Write) {
            return Err(CatalogError::Denied(
                "how DOIs stand is for those who write here: it needs a token of this lab with scope \
                 write"
                    .to_owned(),
            ));
        }
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
        let mut read = database.read().await?;
        let rows = sqlx::query("SELECT * FROM doi ORDER BY dataset")
            .fetch_all(&mut *read)
            .await
            .map_err(|error| database.error(&error))?;
        let dois: Vec<Doi> = rows.iter().map(|row| self.doi_of(row)).collect::<Result<_, _>>()?;
        let names: Vec<DatasetName> = dois.iter().map(|doi| doi.dataset.clone()).collect();
        let mut known = std::collections::BTreeSet::new();
        for Stored { dataset, .. } in self.load_all(&mut read, &names).await? {
            if self.decide_as(&rights, Action::Write, &dataset)?.allowed {
                known.insert(dataset.name);
            }
        }
        Ok(dois.into_iter().filter(|doi| known.contains(&doi.dataset)).collect())
    }

    /// Notes that the registrar has to hear of a change, if the dataset has a DOI.
    pub(crate) async fn note_for_registrar(
        &self,
        write: &mut Write<'_>,
        dataset: &Dataset,
        kind: &str,
    ) -> Result<(), CatalogError> {
        if kind == REGISTERED {
            return Ok(());
        }
        let database = &self.inner.database;
        sqlx::query(
            "UPDATE doi SET state = 'waiting', revision = revision + 1, attempts = 0, next_at = $2
             WHERE dataset = $1",
        )
        .bind(dataset.name.as_str())
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    /// Whether a registrar may be told of a dataset.
    pub(crate) fn may_be_registered(&self, dataset: &Dataset) -> bool {
        dataset.tier != Tier::Restricted && self.is_for_all(dataset)
    }

    pub(crate) async fn doi_in(
        &self,
        write: &mut Write<'_>,
        name: &DatasetName,
    ) -> Result<Option<Doi>, CatalogError> {
        let row = sqlx::query("SELECT * FROM doi WHERE dataset = $1")
            .bind(name.as_str())
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| self.inner.database.error(&error))?;
        row.map(|row| self.doi_of(&row)).transpose()
    }

    pub(crate) fn doi_of(&self, row: &AnyRow) -> Result<Doi, CatalogError> {
        let database = &self.inner.database;
        let state = DoiState::parse(&database.text(row, "state")?)
            .ok_or_else(|| database.problem("a DOI has an unknown state"))?;
        let next_at = database.text(row, "next_at")?;
        Ok(Doi {
            dataset: database.dataset_name(&database.text(row, "dataset")?)?,
            doi: database.optional_text(row, "doi")?,
            registrar_id: database.optional_text(row, "registrar_id")?,
            state,
            attempts: database.number(row, "attempts")?,
            next_at: (state == DoiState::Waiting).then_some(next_at),
            problem: database.optional_text(row, "problem")?,
            registered_at: database.optional_text(row, "registered_at")?,
        })
    }
}
