//! The names of one statement, as DataFusion looks them up: labs, datasets, tables.

use crate::engine::names::{Names, Use};
use crate::engine::{Engine, Veil};
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use std::collections::BTreeMap;
use std::sync::Arc;
use tarn_schemas::Principal;

/// All labs that a statement may name: the own one and the peers.
#[derive(Debug)]
pub(crate) struct Catalogs {
    labs: BTreeMap<String, Arc<dyn CatalogProvider>>,
}

impl Catalogs {
    /// These labs.
    pub(crate) fn new(labs: impl IntoIterator<Item = (String, Arc<dyn CatalogProvider>)>) -> Self {
        Self { labs: labs.into_iter().collect() }
    }
}

impl CatalogProviderList for Catalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        // Names are fixed before a statement is planned, and no statement may add one.
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.labs.keys().cloned().collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        self.labs.get(name).cloned()
    }
}

/// The own lab: the tables that a statement reads, open, and the tables that it may list.
#[derive(Debug, Default)]
pub(crate) struct OwnLab {
    datasets: BTreeMap<String, Arc<OwnDataset>>,
}

/// One dataset (or `dataset@version`) of the own lab.
#[derive(Debug, Default, Clone)]
pub(crate) struct OwnDataset {
    open: BTreeMap<String, Arc<dyn TableProvider>>,
    listed: BTreeMap<String, Arc<dyn TableProvider>>,
}

impl OwnLab {
    fn dataset(&mut self, name: &str) -> &mut OwnDataset {
        Arc::make_mut(self.datasets.entry(name.to_owned()).or_default())
    }

    /// A table that is read, under the name that the statement gives it.
    pub(crate) fn open(&mut self, dataset: &str, table: &str, provider: Arc<dyn TableProvider>) {
        self.dataset(dataset).open.insert(table.to_owned(), provider);
    }

    /// A table that listings show.
    pub(crate) fn list(&mut self, dataset: &str, table: &str, provider: Arc<dyn TableProvider>) {
        self.dataset(dataset).listed.insert(table.to_owned(), provider);
    }

    /// Whether nothing is open.
    pub(crate) fn reads_nothing(&self) -> bool {
        self.datasets.values().all(|dataset| dataset.open.is_empty())
    }
}

impl CatalogProvider for OwnLab {
    fn schema_names(&self) -> Vec<String> {
        let listed = |dataset: &OwnDataset| !dataset.listed.is_empty();
        self.datasets
            .iter()
            .filter(|(_, dataset)| listed(dataset))
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.datasets.get(name).map(|dataset| Arc::clone(dataset) as _)
    }
}

#[async_trait]
impl SchemaProvider for OwnDataset {
    fn table_names(&self) -> Vec<String> {
        self.listed.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.open.get(name).or_else(|| self.listed.get(name)).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.open.contains_key(name) || self.listed.contains_key(name)
    }
}

/// The own lab for plans that do not come as SQL: a table is resolved, decided and opened when the
/// plan that names it is decoded. Lists nothing.
#[derive(Debug, Clone)]
pub(crate) struct ResolvingLab {
    engine: Engine,
    who: Principal,
    veil: Veil,
}

impl ResolvingLab {
    /// The lab as `who` sees it. What is opened is hidden behind `veil`.
    pub(crate) fn new(engine: Engine, who: Principal, veil: Veil) -> Self {
        Self { engine, who, veil }
    }
}

impl CatalogProvider for ResolvingLab {
    fn schema_names(&self) -> Vec<String> {
        vec![]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(ResolvingDataset { lab: self.clone(), name: name.to_owned() }))
    }
}

#[derive(Debug)]
struct ResolvingDataset {
    lab: ResolvingLab,
    name: String,
}

#[async_trait]
impl SchemaProvider for ResolvingDataset {
    fn table_names(&self) -> Vec<String> {
        vec![]
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let Some(catalog) = self.lab.engine.catalog() else { return Ok(None) };
        let reference = TableReference::partial(self.name.as_str(), name);
        let mut own = OwnLab::default();
        let reading = catalog.reading(&self.lab.who).await.map_err(crate::QueryError::from)?;
        let catalog = (catalog, &reading);
        Names::new(&self.lab.engine, catalog, &self.lab.who, &[], &self.lab.veil)
            .open(&reference, Use::Read, &mut own)
            .await?;
        Ok(own.datasets.get(&self.name).and_then(|dataset| dataset.open.get(name)).cloned())
    }

    fn table_exist(&self, _name: &str) -> bool {
        false
    }
}
