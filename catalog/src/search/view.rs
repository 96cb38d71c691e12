//! Who may find what: the policy of a search.
//!
//! A dataset stands in the index twice, once whole and once as those see it who may know of it and no
//! more. Each document carries one term that says which of the two it is and what policies know of
//! the dataset ([`Resource`]). Few datasets differ in that, so a search lists the terms of the index,
//! decides once for each, and finds only documents with the terms that are allowed: hits, totals and
//! counts alike. As a decision depends on nothing but the resource, that is what deciding for each
//! dataset would give.
//!
//! What is made of other data by queries is decided by these as well. Such datasets are few: each of them
//! has terms of its own, and is decided as everywhere else before the search begins.

use crate::CatalogError;
use crate::decision::{Action, Seen};
use crate::model::Dataset;
use crate::policy::{Policies, Resource, Rights, failed};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tarn_schemas::{DatasetName, Tier};

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
    /// The dataset, where queries made tables of it of other data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<DatasetName>,
}

/// Of datasets with tables that queries made of other data: what a principal sees of each, and whether they may
/// be told of its values.
pub(super) type Decided = BTreeMap<DatasetName, (Seen, bool)>;

impl View {
    /// The term of a document.
    pub(super) fn term(whole: bool, of: &Indexed) -> Result<String, CatalogError> {
        let made = (!of.dataset.sources.is_empty()).then(|| of.dataset.name.clone());
        serde_json::to_string(&Self { whole, resource: of.resource.clone(), made }).map_err(failed)
    }

    /// What a term stands for.
    pub(super) fn parse(term: &str) -> Result<Self, CatalogError> {
        serde_json::from_str(term).map_err(failed)
    }

    /// Whether this is what a principal may see of such datasets.
    pub(super) fn is_for(
        &self,
        policies: &Policies,
        (rights, decided): (&Rights, &Decided),
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        if let Some(made) = &self.made {
            let wanted = if self.whole { Seen::Whole } else { Seen::Redacted };
            return Ok(decided.get(made).is_some_and(|(seen, _)| *seen == wanted));
        }
        let case = policies.case(rights, &self.resource, now)?;
        Ok(case.ask(Action::Discover)?.allowed && case.ask(Action::Describe)?.allowed == self.whole)
    }

    /// Whether a principal may be told between which values such datasets lie: where rows are held back,
    /// a search that bisects would tell the greatest of them.
    pub(super) fn tells_values_to(
        &self,
        policies: &Policies,
        (rights, decided): (&Rights, &Decided),
        now: DateTime<Utc>,
    ) -> Result<bool, CatalogError> {
        if let Some(made) = &self.made {
            return Ok(decided.get(made).is_some_and(|(_, told)| *told));
        }
        if self.resource.tier() != Tier::AggregatesOnly && !policies.lab_owes() {
            return Ok(true);
        }
        let read = policies.case(rights, &self.resource, now)?.ask(Action::Read)?;
        Ok(read.allowed && read.obligations.is_empty())
    }
}
