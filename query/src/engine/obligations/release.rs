//! The table of cells that were released, or are when somebody asks for the first time.

use super::GuardedTable;
use super::below::below;
use super::privacy::Private;
use crate::error::QueryError;
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlan, TableType};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, execute_stream,
};
use futures::{StreamExt, stream};
use std::fmt;
use std::sync::Arc;
use tarn_catalog::{Catalog, Release};

/// Most cells that are released: they are kept in the catalog.
const MOST: usize = 100_000;

/// Who keeps a release, and what it is.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) catalog: Catalog,
    pub(super) release: Release,
    pub(super) private: Private,
}

/// The cells of a table with noise.
#[derive(Debug)]
pub(super) struct ReleasedTable {
    name: Arc<str>,
    ledger: Arc<Ledger>,
    /// The cells without noise.
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl ReleasedTable {
    pub(super) fn new(
        table: &GuardedTable,
        ledger: &Arc<Ledger>,
        plan: LogicalPlan,
    ) -> Result<Self> {
        let schema = ledger.private.schema(table)?;
        Ok(Self { name: Arc::clone(&table.name), ledger: Arc::clone(ledger), plan, schema })
    }
}

#[async_trait]
impl TableProvider for ReleasedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let inner = Arc::new(self.plan.schema().as_arrow().clone());
        let inner = below(&self.name, self.plan.clone(), inner, state).await?;
        let shown = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        let properties = PlanProperties::new(
            EquivalenceProperties::new(shown),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Ok(Arc::new(ReleasedExec {
            name: Arc::clone(&self.name),
            ledger: Arc::clone(&self.ledger),
            inner,
            schema: Arc::clone(&self.schema),
            projection: projection.cloned(),
            properties: Arc::new(properties),
        }))
    }
}

/// Gives the cells with noise. To the plan above it this is a leaf, as [`super::GuardedExec`] is.
#[derive(Debug)]
struct ReleasedExec {
    name: Arc<str>,
    ledger: Arc<Ledger>,
    inner: Arc<dyn ExecutionPlan>,
    schema: SchemaRef,
    projection: Option<Vec<usize>>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for ReleasedExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReleasedExec: table={}", self.name)
    }
}

impl ExecutionPlan for ReleasedExec {
    fn name(&self) -> &'static str {
        "ReleasedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("ReleasedExec has no children") }
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(
        &self,
        _partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let (ledger, inner) = (Arc::clone(&self.ledger), Arc::clone(&self.inner));
        let (schema, projection) = (Arc::clone(&self.schema), self.projection.clone());
        let cells = async move {
            let cells = ledger.cells(inner, context, &schema).await?;
            match projection {
                Some(projection) => Ok(cells.project(&projection)?),
                None => Ok(cells),
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream::once(cells))))
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        _arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(Statistics::new_unknown(&self.schema())))
    }
}

impl Ledger {
    /// The cells that were released; they are now, if they were not yet.
    async fn cells(
        &self,
        inner: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch> {
        let Self { catalog, release, private } = self;
        if let Some(content) = catalog.released(release).await.map_err(QueryError::from)? {
            return Ok(decode(&content, schema)?);
        }
        catalog.may_release(release).await.map_err(QueryError::from)?;
        let mut exact = execute_stream(inner, context)?;
        let (mut noisy, mut cells) = (vec![], 0_usize);
        while let Some(batch) = exact.next().await {
            let batch = private.noisy(&batch?, schema)?;
            cells = cells.saturating_add(batch.num_rows());
            if cells > MOST {
                return Err(QueryError::Denied(format!(
                    "{} has more than {MOST} cells: its steward has to name fewer columns in `group_by`",
                    release.table
                ))
                .into());
            }
            noisy.push(batch);
        }
        let content = encode(&concat_batches(schema, &noisy)?)?;
        // Another statement may have released them meanwhile: then those are the ones.
        let content = catalog.release(release, &content).await.map_err(QueryError::from)?;
        Ok(decode(&content, schema)?)
    }
}

/// An Arrow IPC stream in base64.
fn encode(cells: &RecordBatch) -> Result<String> {
    let mut writer = StreamWriter::try_new(Vec::new(), &cells.schema())?;
    writer.write(cells)?;
    Ok(STANDARD.encode(writer.into_inner()?))
}

fn decode(content: &str, schema: &SchemaRef) -> Result<RecordBatch, QueryError> {
    let damaged = |error: &dyn fmt::Display| {
        QueryError::InvalidData(format!(
            "a release cannot be read back ({error}); restore a backup"
        ))
    };
    let bytes = STANDARD.decode(content).map_err(|error| damaged(&error))?;
    let batches = StreamReader::try_new(bytes.as_slice(), None).map_err(|error| damaged(&error))?;
    let batches: Result<Vec<RecordBatch>, _> = batches.collect();
    let batches = batches.map_err(|error| damaged(&error))?;
    let columns = concat_batches(schema, &batches).map_err(|error| damaged(&error))?;
    Ok(columns)
}
