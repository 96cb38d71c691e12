//! What one statement asks of the catalog: who asks is looked up once, and so is each dataset.

use crate::decision::{Decision, Door};
use crate::model::{Dataset, TableEntry};
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tarn_schemas::{DatasetRef, Principal, TableName};

/// The catalog as a principal sees it while one statement is planned. All tables of a dataset are under one
/// decision, which is one entry of the audit log.
#[derive(Debug)]
pub struct Reading {
    catalog: Catalog,
    rights: Rights,
    datasets: Mutex<HashMap<String, Arc<Dataset>>>,
    /// By the dataset with its version, and the view that it is read through.
    decisions: Mutex<HashMap<(String, Option<String>), Decision>>,
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Catalog {
    /// Looks up who asks, for all that one statement needs.
    pub async fn reading(&self, who: &Principal) -> Result<Reading, CatalogError> {
        let rights = self.rights(who).await?;
        let (datasets, decisions) = (Mutex::default(), Mutex::default());
        Ok(Reading { catalog: self.clone(), rights, datasets, decisions })
    }
}

impl Reading {
    /// As [`Catalog::dataset`].
    pub async fn dataset(&self, dataset: &DatasetRef) -> Result<Arc<Dataset>, CatalogError> {
        let started = Instant::now();
        let found = self.find(dataset).await;
        let hides = self.rights.who != Principal::Owner;
        if matches!(found, Err(CatalogError::NotFound { .. })) && hides {
            let rights = self.rights.clone();
            self.catalog.not_found(started, rights, dataset.name.clone()).await;
        }
        found
    }

    async fn find(&self, dataset: &DatasetRef) -> Result<Arc<Dataset>, CatalogError> {
        let key = dataset.to_string();
        if let Some(known) = lock(&self.datasets).get(&key) {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(Box::pin(self.catalog.dataset_as(&self.rights, dataset)).await?);
        lock(&self.datasets).insert(key, Arc::clone(&found));
        Ok(found)
    }

    /// As [`Catalog::table`].
    pub async fn table(
        &self,
        dataset: &DatasetRef,
        table: &TableName,
    ) -> Result<(Arc<Dataset>, TableEntry), CatalogError> {
        let found = self.dataset(dataset).await?;
        let entry = found.table(table)?.clone();
        Ok((found, entry))
    }

    /// The newest versions of the datasets that the principal may know of and that have a table or view of this
    /// name, by name. Of all others nothing is read.
    pub async fn datasets_with(&self, table: &str) -> Result<Vec<Arc<Dataset>>, CatalogError> {
        let database = &self.catalog.inner.database;
        let rows = sqlx::query(
            "SELECT d.name FROM dataset d JOIN data_table t ON t.dataset = d.name AND t.version = d.newest
             WHERE t.name = $1
             UNION SELECT dataset AS name FROM dataset_view WHERE name = $1 ORDER BY name",
        )
        .bind(table)
        .fetch_all(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let mut datasets = Vec::with_capacity(rows.len());
        for row in rows {
            let name = database.dataset_name(&database.text(&row, "name")?)?;
            let lab = Some(self.catalog.lab().clone());
            match self.find(&DatasetRef { lab, name, version: None }).await {
                Ok(dataset) => datasets.push(dataset),
                Err(CatalogError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(datasets)
    }

    /// As [`Catalog::admit`]; through a view with the rights of its definer the log says who reads it.
    pub async fn admit(
        &self,
        dataset: &Dataset,
        door: Door,
        view: Option<(&str, &Principal)>,
    ) -> Result<Decision, CatalogError> {
        let through = view.map(|(view, reader)| format!("{view} {}", crate::subject(reader)));
        let key = (format!("{}@{} {}", dataset.name, dataset.version, door.as_str()), through);
        if let Some(known) = lock(&self.decisions).get(&key) {
            return Ok(known.clone());
        }
        let decision = self.catalog.admit_as(&self.rights, dataset, door, view).await?;
        lock(&self.decisions).insert(key, decision.clone());
        Ok(decision)
    }
}
