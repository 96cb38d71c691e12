//! Who may find what: the policy of a search.
//!
//! A dataset stands in the index twice, once whole and once as those see it who may know of it and no
//! more. Each document carries one term that says which of the two it is and what policies know of
//! the dataset ([`Resource`]). Few datasets differ in that, so a search lists the terms of the index,
//! decides once for each, and finds only documents with the terms that are allowed: hits, totals and
//! counts alike. As a decision depends on nothing but the resource, that is what deciding for each
//! dataset would give.

use crate::CatalogError;
use crate::decision::Action;
use crate::model::Dataset;
use crate::policy::{Policies, Resource, Rights, failed};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tarn_schemas::Tier;

/// A dataset for the index.
#[derive(Debug)]
pub(crate) struct Indexed {
    pub(crate) dataset: Dataset,
    pub(crate) resource: Resource,
}

/// One of the two documents of a dataset.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct View {
    whole: bool,
    resource: Resource,
}

impl View {
    /// The term of a document.
    pub(super) fn term(whole: bool, resource: &Resource) -> Result<String, CatalogError> {
        serde_json::to_string(&Self { whole, resource: resource.clone() }).map_err(failed)
    }

    /// What a term stands for.
    pub(super) fn parse(term: &str) -> Result<Self, CatalogError> {
        serde_json::from_str(term).map_err(failed)
    }

    /// Whether this is what a principal may see of such datasets.
    pub(super) fn is_for(
        &self,
        policies: &Policies,
        rights: &Rights,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        let case = policies.case(rights, &self.resource, now)?;
        Ok(case.ask(Action::Discover)?.allowed && case.ask(Action::Describe)?.allowed == self.whole)
    }

    /// Whether a principal may be told between which values such datasets lie: where rows are held back,
    /// a search that bisects would tell the greatest of them.
    pub(super) fn tells_values_to(
        &self,
        policies: &Policies,
        rights: &Rights,
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        if self.resource.tier() != Tier::AggregatesOnly && !policies.lab_owes() {
            return Ok(true);
        }
        let read = policies.case(rights, &self.resource, now)?.ask(Action::Read)?;
        Ok(read.allowed && read.obligations.is_empty())
    }
}
