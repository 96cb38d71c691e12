//! What policy says to a stream: asked when it is planned, when it begins, and again while it runs.

use super::request::StreamRequest;
use super::table::{WINDOW_BLOCKS, WINDOW_BYTES};
use crate::error::QueryError;
use tarn_catalog::{Action, Catalog, Dataset, Door, TableEntry};
use tarn_schemas::{DatasetRef, LabName, Principal, TableName};

/// What the policy allowed: a table of a version of a dataset.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(super) dataset: Dataset,
    pub(super) entry: TableEntry,
    /// The policies that decided.
    policies: Vec<String>,
}

impl Grant {
    /// Finds the table and asks the policy whether `who` may read it.
    pub(crate) async fn ask(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let found = Self::find(catalog, who, request).await?;
        let decision = catalog.admit(who, &found.dataset, Door::Stream).await?;
        match decision.refusal_at(Door::Stream) {
            None => Ok(Self { policies: decision.policies.into_iter().collect(), ..found }),
            Some(reason) => Err(QueryError::Denied(reason)),
        }
    }

    /// Asks for every table of a request.
    pub(crate) async fn of_all(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Vec<Self>, QueryError> {
        let tables = request.tables();
        let mut grants = Vec::with_capacity(tables.len());
        for (place, table) in tables.iter().enumerate() {
            let grant = Self::ask(catalog, who, table).await;
            grants.push(grant.map_err(|error| request.of_source(place, error))?);
        }
        Ok(grants)
    }

    /// The policies that allowed it.
    pub(crate) fn policies(&self) -> &[String] {
        &self.policies
    }

    /// Why the dataset was withdrawn, if it was.
    pub(crate) async fn withdrawal(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Option<String>, QueryError> {
        let (dataset, _) = resolve(catalog.lab(), request)?;
        let found = catalog.dataset(who, &dataset).await?;
        Ok(found.withdrawn.map(|withdrawal| withdrawal.reason))
    }

    /// Asks again while a stream runs. That it began is in the audit log; that it was ended will be.
    pub(crate) async fn ask_again(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<(), QueryError> {
        let found = Self::find(catalog, who, request).await?;
        let now = catalog.decide(who, Action::Read, &found.dataset).await?;
        if now.refusal_at(Door::Stream).is_some() {
            Self::ask(catalog, who, request).await?;
        }
        Ok(())
    }

    async fn find(
        catalog: &Catalog,
        who: &Principal,
        request: &StreamRequest,
    ) -> Result<Self, QueryError> {
        let (dataset, table) = resolve(catalog.lab(), request)?;
        let (dataset, entry) = if let Some(table) = table {
            catalog.table(who, &dataset, &table).await?
        } else {
            let found = catalog.dataset(who, &dataset).await?;
            let [entry] = found.tables.as_slice() else {
                let tables: Vec<_> = found.tables.iter().map(|entry| entry.name.as_str()).collect();
                return Err(QueryError::Invalid(format!(
                    "dataset {}.{} has {} tables ({}); name one: {}.{}.TABLE",
                    found.lab,
                    found.name,
                    tables.len(),
                    tables.join(", "),
                    found.lab,
                    found.name
                )));
            };
            let entry = entry.clone();
            (found, entry)
        };
        Ok(Self { dataset, entry, policies: Vec::new() })
    }

    /// What decides the rows and their order, as far as it is known before the table is opened.
    pub(crate) fn asked(&self, request: &StreamRequest) -> Result<[u8; 32], QueryError> {
        let pinned = (
            "tarn stream plan 3",
            (&self.dataset.lab, &self.dataset.name, self.dataset.version),
            &self.entry,
            (&request.columns, &request.filter, &request.split),
            (request.shuffle, request.seed, WINDOW_BYTES, WINDOW_BLOCKS),
        );
        let text = serde_json::to_vec(&pinned)
            .map_err(|error| QueryError::Internal(format!("the plan cannot be named: {error}")))?;
        Ok(*blake3::hash(&text).as_bytes())
    }
}

/// The dataset and, where it is named, the table that a request means.
fn resolve(
    own: &LabName,
    request: &StreamRequest,
) -> Result<(DatasetRef, Option<TableName>), QueryError> {
    let wrong = |error: tarn_schemas::NameError| QueryError::Invalid(error.to_string());
    let parts: Vec<&str> = request.dataset.split('.').collect();
    let (lab, dataset, table) = match parts.as_slice() {
        [dataset] => (None, *dataset, None),
        [lab, dataset] if *lab == own.as_str() => (None, *dataset, None),
        [dataset, table] => (None, *dataset, Some(*table)),
        [lab, dataset, table] => (Some(*lab), *dataset, Some(*table)),
        _ => {
            return Err(QueryError::Invalid(format!(
                "stream: {:?} is no table; write lab.dataset.table",
                request.dataset
            )));
        }
    };
    if let Some(lab) = lab.filter(|lab| *lab != own.as_str()) {
        let lab = LabName::new(lab).map_err(wrong)?;
        return Err(QueryError::Invalid(format!(
            "stream: this is the node of lab {own}; open a stream of {} at the node of lab {lab} (tarn.mix of the Python \
             client mixes streams of several labs)",
            request.dataset
        )));
    }
    let named: DatasetRef = dataset.parse().map_err(wrong)?;
    let table = table.map(TableName::new).transpose().map_err(wrong)?;
    let version = match (named.version, request.version) {
        (Some(one), Some(other)) if one != other => {
            return Err(QueryError::Invalid(format!(
                "stream: the name says version {one} and `version` is {other}; give one of them"
            )));
        }
        (one, other) => one.or(other),
    };
    Ok((DatasetRef { lab: Some(own.clone()), name: named.name, version }, table))
}
