//! What versions of datasets were made from by queries, as policies see it now.
//!
//! Each version is asked about the tables that it has: one that lost such a table is asked about its sources no
//! more, the versions before still are.

use crate::decision::{Action, Decision};
use crate::inputs::Inputs;
use crate::lineage::{join, passed_on};
use crate::model::Dataset;
use crate::policy::{Policies, Resource, Rights};
use crate::saved_queries::PinnedTable;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Any, Transaction};
use std::collections::BTreeSet;
use tarn_schemas::DatasetName;

/// What is stored of how a table was made: all inputs, also those of inputs that were made so themselves.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) sql: String,
    pub(crate) engine: String,
    pub(crate) tables: Vec<PinnedTable>,
    /// Tables that inputs were made from in turn.
    pub(crate) further: Vec<PinnedTable>,
}

/// An input as policies see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    /// The version that was read, and the newest one, which holds it too. None if it is gone: then nothing
    /// that was made of it leaves.
    resources: Vec<Resource>,
    table: PinnedTable,
}

impl Source {
    /// Whether nothing of it limits who reads what was made of it.
    pub(crate) fn is_open(&self) -> bool {
        !self.resources.is_empty() && self.resources.iter().all(Resource::is_open)
    }
}

/// The refusal of an action because of what a dataset was made from. It does not say from what: that
/// may be more than the principal may know.
pub(crate) fn refusal(
    policies: &Policies,
    rights: &Rights,
    action: Action,
    dataset: &Dataset,
    now: DateTime<Utc>,
) -> Result<Option<Decision>, CatalogError> {
    if !matches!(action, Action::Read | Action::Describe) {
        return Ok(None);
    }
    for source in &dataset.sources {
        let (mut allowed, mut owed) = (!source.resources.is_empty(), BTreeSet::new());
        for resource in &source.resources {
            let case = policies.case(rights, resource, now)?;
            allowed &= case.ask(Action::Discover)?.allowed && case.ask(Action::Describe)?.allowed;
            if action == Action::Read {
                let read = case.ask(Action::Read)?;
                allowed &= read.allowed;
                owed.extend(read.obligations);
            }
        }
        let alike =
            action == Action::Describe || owed.is_empty() || source.table.is_seen_alike(&owed);
        if !(allowed && alike) {
            return Ok(Some(Decision::deny(format!(
                "{}.{} was made by a query from data that you may not read, or not as whoever made it \
                 could: what was made of data is for those who may read all of them; ask its contact",
                dataset.lab, dataset.name
            ))));
        }
    }
    Ok(None)
}

impl Catalog {
    /// What a version of a dataset was made from, as policies see it now.
    pub(crate) async fn sources(
        &self,
        transaction: &mut Transaction<'static, Any>,
        dataset: &DatasetName,
        version: u32,
    ) -> Result<Vec<Source>, CatalogError> {
        let mut sources: Vec<Source> = Vec::new();
        for content in self.makings(transaction, dataset, version).await? {
            for table in content.tables.into_iter().chain(content.further) {
                let known = |source: &Source| {
                    let one = &source.table;
                    one.dataset == table.dataset
                        && one.version == table.version
                        && one.is_owed_like(&table)
                };
                if table.dataset == *dataset || sources.iter().any(known) {
                    continue;
                }
                let found = self.version_of(transaction, &table).await?;
                let resources = found.map_or_else(Vec::new, |found| {
                    let own = self.inner.policies.resource(&found);
                    found.newest.map(|newest| newest.resource).into_iter().chain([own]).collect()
                });
                sources.push(Source { resources, table });
            }
        }
        Ok(sources)
    }

    /// The limits of what tables of the newest version of a dataset were made from, which a new record does
    /// not take away.
    pub(crate) async fn add_sources(
        &self,
        transaction: &mut Transaction<'static, Any>,
        (dataset, version): (&DatasetName, u32),
        inputs: &mut Inputs,
    ) -> Result<(), CatalogError> {
        for content in self.makings(transaction, dataset, version).await? {
            for table in content.tables.iter().filter(|table| table.dataset != *dataset) {
                if let Some(found) = self.version_of(transaction, table).await? {
                    inputs.limits = join(inputs.limits.clone(), &passed_on(&found));
                }
                inputs.here.insert((table.dataset.clone(), table.version), false);
            }
        }
        Ok(())
    }

    /// Names of tables of the newest version of a dataset that were made by queries.
    pub(crate) async fn derived_tables(
        &self,
        transaction: &mut Transaction<'static, Any>,
        dataset: &DatasetName,
    ) -> Result<BTreeSet<String>, CatalogError> {
        let database = &self.inner.database;
        let rows =
            sqlx::query("SELECT name FROM derived_table WHERE dataset = $1 AND dropped_in IS NULL")
                .bind(dataset.as_str())
                .fetch_all(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.text(row, "name")).collect()
    }

    /// Datasets whose newest version has such tables.
    pub(crate) async fn derived_datasets(
        &self,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<BTreeSet<DatasetName>, CatalogError> {
        let database = &self.inner.database;
        let rows =
            sqlx::query("SELECT DISTINCT dataset FROM derived_table WHERE dropped_in IS NULL")
                .fetch_all(&mut **transaction)
                .await
                .map_err(|error| database.error(&error))?;
        rows.iter().map(|row| database.dataset_name(&database.text(row, "dataset")?)).collect()
    }

    /// How the tables of a version that queries made were made.
    pub(crate) async fn makings(
        &self,
        transaction: &mut Transaction<'static, Any>,
        dataset: &DatasetName,
        version: u32,
    ) -> Result<Vec<Content>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT content FROM derived_table WHERE dataset = $1 AND made_in <= $2
             AND (dropped_in IS NULL OR dropped_in > $2) ORDER BY name",
        )
        .bind(dataset.as_str())
        .bind(i64::from(version))
        .fetch_all(&mut **transaction)
        .await
        .map_err(|error| database.error(&error))?;
        rows.iter()
            .map(|row| {
                serde_json::from_str(&database.text(row, "content")?)
                    .map_err(|error| database.unreadable("how a table was made", &error))
            })
            .collect()
    }
}
