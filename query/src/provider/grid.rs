//! Files in place as a table.

use crate::provider::figures::Figures;
use crate::provider::pushdown::{Kept, evaluate};
use crate::provider::scan::GridScanExec;
use crate::provider::statistics::preload;
use crate::provider::work::{Pieces, Work};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, DataFusionError, Result, Statistics};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tarn_formats::table::Part;
use tarn_formats::{Selection, Table};

/// The rows of a grid over one file or many, read where they are.
///
/// Predicates on coordinates, constants and file names are answered exactly by leaving out what
/// they exclude; all others stay above the scan.
#[derive(Debug)]
pub struct GridTable {
    name: String,
    table: Arc<Table>,
    figures: Option<Arc<Figures>>,
    /// What each predicate keeps. The answer given to the optimizer and the scan must agree.
    kept: Mutex<HashMap<Expr, Option<Arc<Vec<Kept>>>>>,
}

impl GridTable {
    /// The table under the name that plans show.
    pub fn new(name: impl Into<String>, table: Arc<Table>) -> Self {
        Self { name: name.into(), table, figures: None, kept: Mutex::new(HashMap::new()) }
    }

    /// The table, with what queries learn of its values kept for the next ones.
    #[must_use]
    pub fn remembering(mut self) -> Self {
        self.figures = Some(Arc::default());
        self
    }

    /// The table, with what is known of its values.
    pub(crate) fn with_figures(mut self, figures: Arc<Figures>) -> Self {
        self.figures = Some(figures);
        self
    }

    /// What a predicate keeps, from memory if it was asked before. Reads coordinates: blocks.
    fn kept(&self, predicate: &Expr) -> Option<Arc<Vec<Kept>>> {
        if let Some(known) = self.known(predicate) {
            return known;
        }
        let kept = evaluate(&self.table, predicate).map(Arc::new);
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(predicate.clone(), kept.clone());
        kept
    }

    fn known(&self, predicate: &Expr) -> Option<Option<Arc<Vec<Kept>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(predicate).cloned()
    }

    /// What is to be read: for a limit, only as many pieces as hold that many rows.
    fn work(&self, kept: &[Arc<Vec<Kept>>], limit: Option<usize>) -> Result<Work> {
        let parts = self.table.parts().iter().enumerate();
        let selections = parts.map(|(index, part)| selection(part, index, kept)).collect();
        let all = Pieces::all(&self.table, &selections);
        let (pieces, complete) = match limit.and_then(|rows| u64::try_from(rows).ok()) {
            Some(wanted) => first(&all, wanted),
            None => (all, true),
        };
        let work = Work {
            name: self.name.as_str().into(),
            table: Arc::clone(&self.table),
            pieces,
            selections,
            complete,
            figures: self.figures.clone(),
            excluded: 0,
        };
        match work.rows() {
            Some(_) => Ok(work),
            None => Err(too_many(&self.name)),
        }
    }
}

/// As many pieces as hold `wanted` rows, and whether those are all.
fn first(all: &Pieces, mut wanted: u64) -> (Pieces, bool) {
    let mut pieces = Vec::new();
    let mut complete = true;
    for piece in all.iter() {
        if wanted == 0 {
            complete = false;
            break;
        }
        let piece = if wanted < piece.rows {
            complete = false;
            piece.first(wanted)
        } else {
            piece
        };
        wanted = wanted.saturating_sub(piece.rows);
        pieces.push(piece);
    }
    (pieces.into_iter().collect(), complete)
}

/// What predicates leave of a part; `None` where that is nothing.
fn selection(part: &Part, index: usize, kept: &[Arc<Vec<Kept>>]) -> Option<Selection> {
    let mut selection = Selection::all(part.shape());
    for filter in kept {
        match filter.get(index) {
            Some(Kept::Everything) => {}
            Some(Kept::Along(dimension, ranges)) => selection.restrict(*dimension, ranges),
            Some(Kept::Nothing) | None => return None,
        }
    }
    Some(selection)
}

fn too_many(name: &str) -> DataFusionError {
    DataFusionError::ResourcesExhausted(format!("{name} has more rows than can be counted"))
}

#[async_trait]
impl TableProvider for GridTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
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
            .map(|filter| match self.kept(filter) {
                Some(_) => TableProviderFilterPushDown::Exact,
                None => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = usize::try_from(self.table.rows()?).ok()?;
        let mut statistics = Statistics::new_unknown(self.table.schema());
        statistics.num_rows = Precision::Exact(rows);
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A filter arrives here as it was answered for, or rewritten by a later rule. A rewritten
        // one is evaluated again, away from the async worker because coordinates may be remote;
        // where that cannot decide it, it becomes a filter of this plan.
        let mut kept = Vec::new();
        let mut residual = Vec::new();
        for filter in filters {
            let answer = match self.known(filter) {
                Some(answer) => answer,
                None => {
                    let (table, expr) = (Arc::clone(&self.table), filter.clone());
                    tokio::task::spawn_blocking(move || evaluate(&table, &expr).map(Arc::new))
                        .await
                        .map_err(|error| DataFusionError::External(Box::new(error)))?
                }
            };
            match answer {
                Some(answer) => kept.push(answer),
                None => residual.push(filter.clone()),
            }
        }
        let limit = limit.filter(|_| residual.is_empty());
        let work = self.work(&kept, limit)?;

        let wanted: Vec<usize> = match projection {
            Some(projection) => projection.clone(),
            None => (0..self.table.schema().fields().len()).collect(),
        };
        if limit.is_none() {
            // Planning goes on where it must not block.
            let (work, columns) = (work.clone(), wanted.clone());
            tokio::task::spawn_blocking(move || preload(&work, &columns))
                .await
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
        }
        let partitions = state.config().target_partitions();
        let scan = |columns: &[usize]| GridScanExec::new(work, columns, partitions);
        let Some(predicate) = conjunction(residual) else {
            return Ok(Arc::new(scan(&wanted)?));
        };
        let mut columns = wanted.clone();
        let mut seen: BTreeSet<usize> = wanted.iter().copied().collect();
        for column in predicate.column_refs() {
            let index = self.table.schema().index_of(&column.name)?;
            if seen.insert(index) {
                columns.push(index);
            }
        }
        let scan = scan(&columns)?;
        let schema = DFSchema::try_from(scan.schema())?;
        let predicate = state.create_physical_expr(predicate, &schema)?;
        let outputs: Vec<ProjectionExpr> = scan
            .schema()
            .fields()
            .iter()
            .take(wanted.len())
            .enumerate()
            .map(|(index, field)| {
                let column = Arc::new(Column::new(field.name(), index));
                ProjectionExpr::new(column, field.name().clone())
            })
            .collect();
        let filtered = Arc::new(FilterExec::try_new(predicate, Arc::new(scan))?);
        Ok(Arc::new(ProjectionExec::try_new(outputs, filtered)?))
    }
}
