//! Tables and views by their names alone, in whatever dataset.

use crate::model::Dataset;
use crate::{Catalog, CatalogError};
use tarn_schemas::{DatasetRef, Principal};

impl Catalog {
    /// The newest versions of the datasets that the principal may know of and that have a table or view of this
    /// name, by name. Of all others nothing is read.
    pub async fn datasets_with(
        &self,
        who: &Principal,
        table: &str,
    ) -> Result<Vec<Dataset>, CatalogError> {
        let (database, rights) = (&self.inner.database, self.rights(who).await?);
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
            let wanted = DatasetRef { lab: Some(self.lab().clone()), name, version: None };
            match Box::pin(self.dataset_as(&rights, &wanted)).await {
                Ok(dataset) => datasets.push(dataset),
                Err(CatalogError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(datasets)
    }
}
