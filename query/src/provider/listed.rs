//! A table that is only talked about: its columns may be known, its rows are not read through it.

use crate::error::QueryError;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use std::sync::Arc;

/// The columns of a table for DESCRIBE, SHOW COLUMNS and `information_schema`.
#[derive(Debug)]
pub(crate) struct ListedTable {
    schema: SchemaRef,
    kind: TableType,
    /// The query of a view, where it may be told.
    sql: Option<String>,
}

impl ListedTable {
    /// A table with these columns.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema, kind: TableType::Base, sql: None }
    }

    /// A view with these columns.
    pub(crate) fn view(schema: SchemaRef, sql: Option<String>) -> Self {
        Self { schema, kind: TableType::View, sql }
    }
}

#[async_trait]
impl TableProvider for ListedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        self.kind
    }

    fn get_table_definition(&self) -> Option<&str> {
        self.sql.as_deref()
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(QueryError::Internal("a table was listed and not opened".to_owned()).into())
    }
}
