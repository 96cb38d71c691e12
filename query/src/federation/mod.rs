//! SQL over other labs: fragments that travel to the owner of the data.

use crate::engine::{EngineConfig, SessionOptions, Sites};
use crate::error::QueryError;
use datafusion::catalog::CatalogProvider;
use datafusion::optimizer::OptimizerRule;
use datafusion::physical_planner::ExtensionPlanner;
use std::sync::Arc;
use tarn_catalog::Catalog;
use tarn_schemas::{LabName, Principal};

/// What federation adds to the session of one principal.
pub struct Attachment {
    /// One catalog of tables per peer lab, to be registered under the lab's name.
    pub catalogs: Vec<(LabName, Arc<dyn CatalogProvider>)>,
    /// Optimizer rules, in order, to run after all others.
    pub rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>,
    /// Makes physical plans of fragments.
    pub planner: Arc<dyn ExtensionPlanner + Send + Sync>,
}

/// What a session needs to see the tables of all peers.
pub async fn attach(
    catalog: &Catalog,
    who: &Principal,
    sites: &Sites,
    options: SessionOptions,
    config: &EngineConfig,
) -> Result<Attachment, QueryError> {
    let _ = (catalog, who, sites, options, config);
    todo!()
}
