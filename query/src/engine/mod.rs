//! The engine of one node and the session of one principal.

use crate::error::QueryError;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use std::sync::{Arc, Mutex};
use tarn_catalog::Catalog;
use tarn_connectors::Stores;
use tarn_schemas::{LabName, PartialMode, Principal, SiteReport, TableRef};

/// Limits and settings of an engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Bytes that queries may hold in memory together.
    pub memory_bytes: usize,
    /// Partitions of a query; 0 means the number of cores.
    pub partitions: usize,
    /// Seconds to wait for a peer's first answer.
    pub peer_seconds: u64,
}

/// The engine of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    catalog: Option<Catalog>,
    stores: Stores,
    config: EngineConfig,
}

/// How a session behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionOptions {
    /// What to do when a lab does not answer.
    pub partial: PartialMode,
    /// Whether `read_netcdf(…)` and its like may open paths and URLs. Only for people at the
    /// machine itself (the owner of a home, or no home at all); never over the network.
    pub files: bool,
}

/// The part each lab took in an answer. Complete when the stream has ended.
#[derive(Debug, Clone, Default)]
pub struct Sites(Arc<Mutex<Vec<SiteReport>>>);

impl Sites {
    /// Sets the report of a lab.
    pub fn put(&self, report: SiteReport) {
        let mut reports = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match reports.iter_mut().find(|known| known.lab == report.lab) {
            Some(known) => *known = report,
            None => reports.push(report),
        }
    }

    /// All reports so far.
    pub fn reports(&self) -> Vec<SiteReport> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// A running query.
pub struct Answer {
    /// Schema of the logical plan, equal to that of every batch.
    pub schema: SchemaRef,
    /// Batches.
    pub stream: SendableRecordBatchStream,
    /// Which labs took part.
    pub sites: Sites,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Engine {
    /// The engine of a home, or (without a catalog) one that reads files only.
    pub fn new(
        catalog: Option<Catalog>,
        stores: Stores,
        config: EngineConfig,
    ) -> Result<Self, QueryError> {
        Ok(Self { catalog, stores, config })
    }

    /// The catalog, if there is a home.
    pub fn catalog(&self) -> Option<&Catalog> {
        self.catalog.as_ref()
    }

    /// The stores.
    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Settings.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// A session of a principal: it sees the tables that the principal may know of, here and at
    /// the peers.
    pub async fn session(
        &self,
        who: Principal,
        options: SessionOptions,
    ) -> Result<Session, QueryError> {
        let _ = (who, options);
        todo!()
    }
}

/// A session of one principal.
#[derive(Debug, Clone)]
pub struct Session {}

impl Session {
    /// Who asks.
    pub fn principal(&self) -> &Principal {
        todo!()
    }

    /// Plans a read-only statement; nothing runs yet.
    pub async fn plan(&self, sql: &str) -> Result<Prepared, QueryError> {
        let _ = sql;
        todo!()
    }

    /// Plans and starts a read-only statement.
    pub async fn sql(&self, sql: &str) -> Result<Answer, QueryError> {
        self.plan(sql).await?.start().await
    }

    /// All tables the session sees, with their Arrow schemas: own lab and peers.
    pub async fn tables(&self) -> Result<Vec<(TableRef, SchemaRef)>, QueryError> {
        todo!()
    }

    /// The session of DataFusion behind it.
    pub(crate) fn context(&self) -> &datafusion::prelude::SessionContext {
        todo!()
    }

    /// The lab of the node, if there is a home.
    pub fn lab(&self) -> Option<&LabName> {
        todo!()
    }
}

/// A planned statement.
#[derive(Debug)]
pub struct Prepared {}

impl Prepared {
    /// Schema of the answer: that of the logical plan, with views expanded (Utf8View → Utf8) for
    /// old clients.
    pub fn schema(&self) -> SchemaRef {
        todo!()
    }

    /// Starts it.
    pub async fn start(self) -> Result<Answer, QueryError> {
        todo!()
    }
}
