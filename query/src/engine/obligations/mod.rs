//! Tables of which somebody may see only a part: rows, masked values, or aggregates alone.
//!
//! Everything that a policy asks for is planned together with the scan, in a plan of its own that the
//! rest of the statement stands above and does not see: [`GuardedExec`] has no children, knows no
//! statistics and takes no predicate. A predicate of the caller goes below it only where it is a
//! comparison that cannot fail ([`cannot_fail`]), because an error on a row that the policy hides
//! would tell of it. Whatever fails below says only that it failed.

mod asked;
mod below;
mod cells;
mod columns;
mod exec;
mod leakproof;
mod noise;
mod privacy;
mod pseudonym;
mod release;

pub(super) use cells::protect;
pub(super) use exec::GuardedExec;
pub(super) use leakproof::{is_infallible, widens};

use crate::error::QueryError;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
pub(super) use below::below;
use cells::Disclosed;
use columns::masked;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::SessionState;
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExecBuilder;
use leakproof::cannot_fail;
use std::collections::BTreeSet;
use std::sync::Arc;
use tarn_catalog::{Catalog, Dataset, Masking, Obligation, Step};
use tarn_schemas::TableName;

/// What the table is called in the plan below the guard.
const INNER: &str = "guarded";

/// A table under obligations.
#[derive(Debug, Clone)]
pub(crate) struct GuardedTable {
    name: Arc<str>,
    inner: Arc<dyn TableProvider>,
    schema: SchemaRef,
    /// The rows that may be seen, over the columns as they are stored.
    rows: Vec<Expr>,
    /// The columns as they may be seen, over the columns as they are stored.
    columns: Vec<Expr>,
    /// Whether rows and columns can be computed of every row. Where they may fail, nothing of the
    /// caller goes below: it would choose on which rows they are computed, and learn where they fail.
    steady: bool,
    /// Where only aggregates may leave.
    disclosed: Option<Arc<Disclosed>>,
}

/// The table with all that is owed for it.
///
/// # Errors
/// [`QueryError::Denied`] where what is owed cannot be done to this table: nothing of it leaves then.
pub(super) fn guarded(
    catalog: &Catalog,
    state: &SessionState,
    (dataset, table): (&Dataset, &TableName),
    inner: Arc<dyn TableProvider>,
    obligations: &BTreeSet<Obligation>,
) -> Result<Arc<dyn TableProvider>, QueryError> {
    let name = format!("{}.{}.{table}", dataset.lab, dataset.name);
    let refused = |problem: String| {
        tracing::error!(table = name, problem, "an obligation of a policy cannot be met");
        QueryError::Denied(format!(
            "a policy of {} limits your access to {name} in a way that cannot be kept to, so nothing \
             of it leaves: ask its operator, whose log says why",
            dataset.lab
        ))
    };
    let stored = inner.schema();
    let mut fields: Vec<_> = stored.fields().iter().map(Arc::clone).collect();
    let mut columns: Vec<Expr> =
        fields.iter().map(|field| Expr::Column(Column::from_name(field.name()))).collect();
    let (mut rows, mut disclosed, mut steady) = (vec![], None, true);
    // Of several maskings of a column the one that hides most is done last.
    let mut owed: Vec<&Obligation> = obligations.iter().collect();
    owed.sort_by_key(|obligation| match obligation {
        Obligation::Mask { masking: Masking::Hash, .. } => 1,
        Obligation::Mask { masking: Masking::Null, .. } => 2,
        _ => 0,
    });
    for obligation in owed {
        match obligation {
            Obligation::Rows { condition } => {
                let condition = self::condition(state, condition, &stored).map_err(&refused)?;
                steady &= cannot_fail(&condition, &stored);
                rows.push(condition);
            }
            Obligation::Mask { columns: named, masking } => {
                for column in named {
                    let known = dataset
                        .tables
                        .iter()
                        .any(|table| table.columns.iter().any(|known| known.name == *column));
                    let place = stored.fields().iter().position(|field| field.name() == column);
                    let Some(place) = place else {
                        if known {
                            continue;
                        }
                        return Err(refused(format!("no table has the column {column:?}")));
                    };
                    let (Some(field), Some(seen)) = (fields.get_mut(place), columns.get_mut(place))
                    else {
                        continue;
                    };
                    *seen = masked(catalog, seen.clone(), field, masking).map_err(&refused)?;
                    steady &= !matches!(masking, Masking::Round { to: Step::Time(_) });
                    *field = Arc::new(field.as_ref().clone().with_nullable(true));
                }
            }
            Obligation::Aggregates { minimum_cell } => {
                let found = Disclosed::new(catalog, (dataset, table), &stored, *minimum_cell);
                disclosed = Some(Arc::new(found.map_err(&refused)?));
            }
        }
    }
    let is_private = disclosed.as_ref().is_some_and(|disclosed| disclosed.is_private());
    if is_private && obligations.len() > 1 {
        // What one person sees of the rows and another does not would be told twice, at twice the price.
        let problem = "numbers under differential privacy are the same for everyone: no other obligation \
                       may stand beside `aggregates`";
        return Err(refused(problem.to_owned()));
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, stored.metadata().clone()));
    let name = name.into();
    Ok(Arc::new(GuardedTable { name, inner, schema, rows, columns, steady, disclosed }))
}

/// The condition of a policy over the columns of a table.
fn condition(state: &SessionState, text: &str, stored: &SchemaRef) -> Result<Expr, String> {
    let failed = |error: datafusion::error::DataFusionError| format!("rows: {text}: {error}");
    let schema = DFSchema::try_from(Arc::clone(stored)).map_err(failed)?;
    let condition = state.create_logical_expr(text, &schema).map_err(failed)?;
    if condition.get_type(&schema).map_err(failed)? != DataType::Boolean {
        return Err(format!("rows: {text}: this is no condition"));
    }
    if condition.is_volatile() {
        return Err(format!("rows: {text}: this differs from one query to the next"));
    }
    Ok(condition)
}

impl GuardedTable {
    /// What may be said of the table where only aggregates of it may leave.
    fn disclosed(&self) -> Option<&Arc<Disclosed>> {
        self.disclosed.as_ref()
    }

    /// Whether a predicate of the caller may go below.
    fn takes(&self, predicate: &Expr) -> bool {
        self.steady && cannot_fail(predicate, &self.schema)
    }

    /// The same table, to be read by what protects its aggregates.
    fn for_cells(&self) -> Self {
        Self { disclosed: None, ..self.clone() }
    }

    /// Reads the rows and columns that may be seen of a selection.
    async fn read(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.plan(projection, filters, limit);
        let plan = plan.map_err(|error| exec::hidden(&self.name, error))?;
        let schema = match projection {
            Some(projection) => Arc::new(self.schema.project(projection)?),
            None => Arc::clone(&self.schema),
        };
        below(&self.name, plan, schema, state).await
    }

    /// The rows and columns that may be seen of a selection.
    fn plan(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<LogicalPlan> {
        let source = provider_as_source(Arc::clone(&self.inner));
        let mut plan = LogicalPlanBuilder::scan(TableReference::bare(INNER), source, None)?;
        for condition in &self.rows {
            plan = plan.filter(condition.clone())?;
        }
        let names = self.schema.fields().iter().map(|field| field.name());
        let seen = self.columns.iter().zip(names);
        plan = plan.project(seen.map(|(column, name)| column.clone().alias(name)))?;
        for filter in filters {
            plan = plan.filter(unnormalize_col(filter.clone()))?;
        }
        if let Some(projection) = projection {
            let schema = self.schema.project(projection)?;
            let fields = schema.fields().iter();
            let columns: Vec<Expr> =
                fields.map(|field| Expr::Column(Column::from_name(field.name()))).collect();
            plan = plan.project(columns)?;
        }
        match limit {
            Some(limit) => plan.limit(0, Some(limit))?.build(),
            None => plan.build(),
        }
    }
}

#[async_trait]
impl TableProvider for GuardedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| {
                // What goes below is held against every row there, so not above once more.
                if self.takes(filter) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(disclosed) = &self.disclosed {
            return Err(disclosed.refusal(&self.name).into());
        }
        // What the optimizer asks may have been written anew since it was said to go below.
        let (asked, above): (Vec<Expr>, Vec<Expr>) =
            filters.iter().cloned().partition(|filter| self.takes(filter));
        let Some(above) = conjunction(above.into_iter().map(unnormalize_col)) else {
            let limit = limit.filter(|_| self.steady);
            return self.read(state, projection, &asked, limit).await;
        };
        let wanted: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let mut columns = wanted.clone();
        for column in above.column_refs() {
            let place = self.schema.index_of(&column.name)?;
            if !columns.contains(&place) {
                columns.push(place);
            }
        }
        let rows = self.read(state, Some(&columns), &asked, None).await?;
        let predicate = state.create_physical_expr(above, &DFSchema::try_from(rows.schema())?)?;
        let filter = FilterExecBuilder::new(predicate, rows)
            .apply_projection(Some((0..wanted.len()).collect()))?;
        Ok(Arc::new(filter.build()?))
    }
}

#[cfg(test)]
mod tests;
