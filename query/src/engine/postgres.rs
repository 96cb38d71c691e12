//! Sessions of clients of PostgreSQL: tables of `pg_catalog` beside those of the lab.

use crate::engine::Session;
use crate::engine::catalogs::OwnLab;
use crate::engine::names;
use crate::error::QueryError;
use crate::postgres;
use crate::provider::schema_of;
use datafusion::common::TableReference;

impl Session {
    /// The same session, in which `pg_catalog` tells of what its principal may know.
    #[must_use]
    pub(crate) fn of_postgres(mut self) -> Self {
        self.postgres = true;
        self
    }

    /// Tables and views of this lab that may be known of.
    pub(crate) async fn relations(&self) -> Result<Vec<postgres::Relation>, QueryError> {
        let Some(catalog) = self.engine.catalog() else { return Ok(Vec::new()) };
        let mut relations = Vec::new();
        for dataset in catalog.datasets(self.principal()).await? {
            let name = dataset.name.to_string();
            for entry in &dataset.tables {
                relations.push(postgres::Relation {
                    dataset: name.clone(),
                    name: entry.name.to_string(),
                    schema: schema_of(entry)?,
                    view: false,
                    definition: None,
                });
            }
            for view in &dataset.views {
                relations.push(postgres::Relation {
                    dataset: name.clone(),
                    name: view.name.to_string(),
                    schema: names::schema_of_view(view)?,
                    view: true,
                    definition: view.sql.clone(),
                });
            }
        }
        Ok(relations)
    }

    /// Opens a table of `pg_catalog`; whether the reference means one.
    pub(super) async fn open_system_table(
        &self,
        reference: &TableReference,
        own: &mut OwnLab,
    ) -> Result<bool, QueryError> {
        let here =
            reference.catalog().is_none_or(|lab| self.lab().is_some_and(|own| own.as_str() == lab));
        if !self.postgres || !here || reference.schema() != Some(postgres::SCHEMA) {
            return Ok(false);
        }
        let table = Box::pin(postgres::table(self, reference.table())).await?;
        let table = table.ok_or_else(|| {
            QueryError::NotFound(format!(
                "there is no table {reference} in the catalog of PostgreSQL here"
            ))
        })?;
        own.open(postgres::SCHEMA, reference.table(), table);
        Ok(true)
    }
}
