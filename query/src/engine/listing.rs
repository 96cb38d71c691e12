//! What a session sees, for those who list it.

use crate::engine::Session;
use crate::error::QueryError;
use std::collections::BTreeSet;
use tarn_schemas::TableRef;

impl Session {
    /// The views of the own lab that the session sees.
    pub async fn views(&self) -> Result<BTreeSet<TableRef>, QueryError> {
        let Some(catalog) = self.engine.catalog() else { return Ok(BTreeSet::new()) };
        let mut views = BTreeSet::new();
        for dataset in catalog.datasets(self.principal()).await? {
            let (lab, name) = (&dataset.lab, &dataset.name);
            views.extend(dataset.views.iter().map(|view| TableRef {
                lab: lab.clone(),
                dataset: name.clone(),
                table: view.name.clone(),
            }));
        }
        Ok(views)
    }
}
