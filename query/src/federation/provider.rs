//! The tables of a peer lab as a catalog of the session.

use super::error::PeerError;
use super::exec::{FragmentContext, PeerFragmentExec};
use super::lab::KnownLab;
use super::wire::{Payload, ScanRequest, schema_from_text};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use std::collections::BTreeMap;
use std::sync::Arc;
use tarn_schemas::{DatasetName, LabName, TableName};

/// The datasets of a peer lab.
#[derive(Debug)]
pub(crate) struct PeerCatalog {
    lab: LabName,
    schemas: BTreeMap<String, Arc<PeerSchema>>,
    /// Why nothing is known of the lab.
    missing: Option<PeerError>,
}

impl PeerCatalog {
    /// The catalog of what a lab told, or one in which every name says why nothing is known.
    pub(crate) fn new(known: &Arc<KnownLab>, context: &FragmentContext) -> Self {
        let mut schemas: BTreeMap<String, PeerSchema> = BTreeMap::new();
        for info in known.tables() {
            // A schema that cannot be read hides its table only.
            let Ok(schema) = schema_from_text(&info.schema) else { continue };
            let table = PeerTable {
                known: Arc::clone(known),
                context: context.clone(),
                dataset: info.dataset.clone(),
                table: info.table.clone(),
                schema,
                rows: info.rows,
            };
            schemas
                .entry(info.dataset.to_string())
                .or_default()
                .tables
                .insert(info.table.to_string(), Arc::new(table));
        }
        let schemas = schemas.into_iter().map(|(name, schema)| (name, Arc::new(schema))).collect();
        Self { lab: known.lab().clone(), schemas, missing: known.missing().cloned() }
    }
}

impl CatalogProvider for PeerCatalog {
    fn schema_names(&self) -> Vec<String> {
        self.schemas.keys().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        if let Some(schema) = self.schemas.get(name) {
            return Some(Arc::clone(schema) as Arc<dyn SchemaProvider>);
        }
        // A table that may well exist must not be "not found" because its lab is down.
        let missing = self.missing.clone()?;
        let missing = PeerError::new(
            &self.lab,
            missing.failure,
            format!("{}, and its tables are not known here yet", missing.problem),
        );
        Some(Arc::new(PeerSchema { tables: BTreeMap::new(), missing: Some(missing) }))
    }
}

/// The tables of one dataset.
#[derive(Debug, Default)]
struct PeerSchema {
    tables: BTreeMap<String, Arc<PeerTable>>,
    missing: Option<PeerError>,
}

#[async_trait]
impl SchemaProvider for PeerSchema {
    fn table_names(&self) -> Vec<String> {
        self.tables.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = self.tables.get(name) {
            return Ok(Some(Arc::clone(table) as Arc<dyn TableProvider>));
        }
        match &self.missing {
            Some(missing) => Err(missing.clone().into()),
            None => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        // Where nothing is known every name "exists", so that `table` says why it cannot be had.
        self.missing.is_some() || self.tables.contains_key(name)
    }
}

/// A table of a peer. The optimizer rule takes its scans into fragments; one that it did not see
/// becomes a scan of the columns.
#[derive(Debug)]
pub(crate) struct PeerTable {
    known: Arc<KnownLab>,
    context: FragmentContext,
    dataset: DatasetName,
    table: TableName,
    schema: SchemaRef,
    rows: Option<u64>,
}

impl PeerTable {
    /// The lab that owns it.
    pub(crate) fn lab(&self) -> &LabName {
        self.known.lab()
    }

    /// Whether this is the table `lab.dataset.table`.
    pub(crate) fn is_named(&self, lab: &str, dataset: &str, table: &str) -> bool {
        self.known.lab().as_str() == lab
            && self.dataset.as_str() == dataset
            && self.table.as_str() == table
    }

    /// Rows, where known.
    pub(crate) fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// The request for some of its columns.
    pub(crate) fn scan_payload(
        &self,
        projection: Option<&[usize]>,
        limit: Option<usize>,
    ) -> Result<(Payload, SchemaRef)> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let request = ScanRequest {
            dataset: self.dataset.clone(),
            table: self.table.clone(),
            columns: schema.fields().iter().map(|field| field.name().clone()).collect(),
            limit: limit.and_then(|limit| u64::try_from(limit).ok()),
        };
        Ok((Payload::Scan(request), schema))
    }
}

#[async_trait]
impl TableProvider for PeerTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (payload, schema) = self.scan_payload(projection.map(Vec::as_slice), limit)?;
        let text = format!("TableScan: {}.{}.{}", self.lab(), self.dataset, self.table);
        Ok(Arc::new(PeerFragmentExec::new(
            Arc::clone(&self.known),
            self.context.clone(),
            payload,
            text,
            schema,
            self.rows,
        )))
    }
}
