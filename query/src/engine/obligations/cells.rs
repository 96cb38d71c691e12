//! Aggregates of tables from which no rows leave.
//!
//! The record's `disclosure` names the unit that is protected and the columns that may be grouped by.
//! Whatever is asked is computed from one table of **cells**: a row for each combination of all those
//! columns, with counts and sums of what it holds. A cell of fewer units than the minimum, or with a
//! sum that one unit dominates, is not in it. The table of cells is planned and run below a leaf as
//! other guarded tables are, and takes no predicate: DataFusion would move one over groups onto rows,
//! where it could fail, or differ from row to row. So no answer depends on a protected cell, and neither
//! does the difference of two answers or of any number of them: nothing has to be withheld a second
//! time to keep what was withheld from being computed, and no memory of earlier questions is needed.
//! The price is that totals lack the small cells.

use super::GuardedTable;
use super::asked::{Asked, Function};
use super::below::below;
use super::columns::without_sign_of_zero;
use super::privacy::Private;
use super::release::{Ledger, ReleasedTable};
use crate::error::QueryError;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, TableReference};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions::math::expr_fn::{abs, round};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, TableScan, TableType, cast, lit, when,
};
use datafusion::physical_plan::ExecutionPlan;
use std::collections::BTreeSet;
use std::sync::Arc;
use tarn_catalog::{Catalog, Dataset, Release};
use tarn_schemas::TableName;
use tarn_schemas::record::{DOMINANCE_PERCENT, Privacy};

/// Smallest number of units behind a number, where neither record nor policy says more.
const MINIMUM_CELL: u32 = 11;
/// What the table of cells is called.
const CELLS: &str = "cells";
/// Rows of a cell, and units of a cell.
pub(super) const ROWS: &str = "rows of the cell";
pub(super) const UNITS: &str = "units of the cell";

/// What may be said of a table.
#[derive(Debug)]
pub(super) struct Disclosed {
    dataset: String,
    pub(super) unit: String,
    minimum_cell: u32,
    dominance_percent: f64,
    pub(super) rounding: Option<f64>,
    functions: BTreeSet<String>,
    /// The columns that may be grouped by, of this table.
    group_by: Vec<String>,
    /// Where numbers have noise instead.
    ledger: Option<Arc<Ledger>>,
}

impl Disclosed {
    /// What the record of a dataset says of a table with these columns. A record that does not say
    /// enough is an error in words for the operator.
    pub(super) fn new(
        catalog: &Catalog,
        (dataset, table): (&Dataset, &TableName),
        stored: &SchemaRef,
        minimum_cell: Option<u32>,
    ) -> Result<Self, String> {
        let given = dataset.record.disclosure.as_ref().ok_or("the record has no disclosure")?;
        if dataset.is_older() {
            return Err("older versions differ from the newest by few units".to_owned());
        }
        let has = |column: &str| stored.fields().iter().any(|field| field.name() == column);
        // Cells of fewer columns are sums of those of more, and would tell what is left out there.
        if let Some(column) = given.group_by.iter().find(|column| !has(column)) {
            return Err(format!("group_by names {column:?}, which is no column of this table"));
        }
        if !has(&given.unit) {
            return Err(format!("the unit {:?} is no column of this table", given.unit));
        }
        let release = |privacy: &Privacy| {
            // What a view shows changes without a new version, and so without a release.
            let entry = dataset.tables.iter().find(|entry| entry.name == *table);
            let entry = entry.ok_or("differential privacy is for tables, and this is a view")?;
            let by = (given.unit.as_str(), given.group_by.as_slice());
            let least = given.minimum_cell.max(MINIMUM_CELL);
            let private = Private::new(privacy, by, least, stored);
            // The data and what makes the noise, and nothing that a reader sees otherwise or that may be said
            // anew of the same numbers: another release of them would let the noise be averaged away.
            let Privacy { epsilon, delta, budget: _, cells, rows, bounds } = privacy;
            let data = (&entry.storage, &entry.schema, &given.unit, &given.group_by);
            let noise = (epsilon, delta, cells, rows, bounds, least);
            let rules = serde_json::json!([entry.name, data, noise]).to_string();
            let release = Release {
                dataset: dataset.name.clone(),
                table: entry.name.to_string(),
                key: blake3::hash(rules.as_bytes()).to_hex().to_string(),
                privacy: Privacy::clone(privacy),
            };
            Ok(Arc::new(Ledger { catalog: catalog.clone(), release, private }))
        };
        let ledger = given.privacy.as_deref().map(release).transpose();
        let ledger = ledger.map_err(|problem: &str| problem.to_owned())?;
        Ok(Self {
            ledger,
            dataset: format!("{}.{}", dataset.lab, dataset.name),
            unit: given.unit.clone(),
            minimum_cell: given.minimum_cell.max(minimum_cell.unwrap_or(0)).max(MINIMUM_CELL),
            dominance_percent: given.dominance_percent.unwrap_or(DOMINANCE_PERCENT),
            rounding: given.rounding,
            functions: given.functions.iter().cloned().collect(),
            group_by: given.group_by.clone(),
        })
    }

    /// Why rows do not leave, and what does.
    pub(super) fn refusal(&self, table: &str) -> QueryError {
        let groups =
            if self.group_by.is_empty() { "nothing".to_owned() } else { self.group_by.join(", ") };
        let functions: Vec<&str> = self.functions.iter().map(String::as_str).collect();
        QueryError::Denied(format!(
            "of {table} only aggregates leave: SELECT the functions {} FROM {table}, with WHERE and \
             GROUP BY on {groups} alone, and no join, DISTINCT or FILTER beside them; cells of fewer \
             than {} units are left out",
            functions.join(", "),
            self.minimum_cell
        ))
    }

    /// Whether numbers have noise.
    pub(super) fn is_private(&self) -> bool {
        self.ledger.is_some()
    }

    pub(super) fn allows(&self, function: &str) -> bool {
        self.functions.contains(function) || (function == "avg" && self.functions.contains("mean"))
    }
}

/// The plan in which aggregates of protected tables are computed from their cells.
///
/// # Errors
/// [`QueryError::Denied`] where it reads such a table in any other way.
pub(crate) fn protect(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan, QueryError> {
    if first_protected(&plan)?.is_none() {
        return Ok(plan);
    }
    let plan = plan
        .transform_up_with_subqueries(|plan| {
            let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
            match of_aggregate(aggregate, state)? {
                Some(cells) => Ok(Transformed::yes(cells)),
                None => Ok(Transformed::no(plan)),
            }
        })
        .and_then(|plan| plan.map_data(LogicalPlan::recompute_schema))
        .data()?;
    match first_protected(&plan)? {
        Some((name, disclosed)) => Err(disclosed.refusal(&name)),
        None => Ok(plan),
    }
}

/// A table that is read otherwise than for its cells.
fn first_protected(plan: &LogicalPlan) -> Result<Option<(Arc<str>, Arc<Disclosed>)>> {
    let mut found = None;
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && let Some(table) = guarded(scan)
            && let Some(disclosed) = table.disclosed()
        {
            found = Some((Arc::clone(&table.name), Arc::clone(disclosed)));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn guarded(scan: &TableScan) -> Option<GuardedTable> {
    let provider = source_as_provider(&scan.source).ok()?;
    provider.downcast_ref::<GuardedTable>().cloned()
}

/// What an aggregate reads: a protected table, and the conditions above it.
fn read_by(aggregate: &Aggregate) -> Option<(GuardedTable, Arc<Disclosed>, Vec<Expr>)> {
    let mut conditions = vec![];
    let mut input = aggregate.input.as_ref();
    loop {
        match input {
            LogicalPlan::Filter(filter) => {
                conditions.push(filter.predicate.clone());
                input = filter.input.as_ref();
            }
            LogicalPlan::SubqueryAlias(alias) => input = alias.input.as_ref(),
            // A selection of columns under their own names, as peers send it.
            LogicalPlan::Projection(projection)
                if projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
            {
                input = projection.input.as_ref();
            }
            LogicalPlan::TableScan(scan) => {
                conditions.extend(scan.filters.iter().cloned());
                let table = guarded(scan).filter(|_| scan.fetch.is_none())?;
                let disclosed = Arc::clone(table.disclosed()?);
                return Some((table, disclosed, conditions));
            }
            _ => return None,
        }
    }
}

/// The same columns without the name of their table: there is one.
fn bare(expr: Expr) -> Result<Expr> {
    expr.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            expr => Transformed::no(expr),
        })
    })
    .data()
}

pub(super) fn denied<T>(disclosed: &Disclosed, problem: impl std::fmt::Display) -> Result<T> {
    Err(QueryError::Denied(format!("{}: {problem}", disclosed.dataset)).into())
}

/// The aggregate over the cells of the table that it reads; `None` if that is no protected one.
fn of_aggregate(aggregate: &Aggregate, state: &SessionState) -> Result<Option<LogicalPlan>> {
    let Some((table, disclosed, conditions)) = read_by(aggregate) else { return Ok(None) };
    let may_know = |expr: &Expr| -> Result<()> {
        for column in expr.column_refs() {
            if !disclosed.group_by.contains(&column.name) {
                return denied(
                    &disclosed,
                    format!(
                        "WHERE and GROUP BY may speak of {}, and not of {}",
                        disclosed.group_by.join(", "),
                        column.name
                    ),
                );
            }
        }
        if expr.is_volatile() {
            return denied(&disclosed, "WHERE and GROUP BY may not differ from time to time");
        }
        let mut nested = false;
        expr.apply(|part| {
            nested |=
                matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_));
            Ok(TreeNodeRecursion::Continue)
        })?;
        if nested { denied(&disclosed, "WHERE and GROUP BY may hold no subquery") } else { Ok(()) }
    };
    let mut values: Vec<String> = vec![];
    let mut asked = vec![];
    for expr in &aggregate.aggr_expr {
        let one = Asked::read(expr, &disclosed, &table.schema)?;
        if let Some(column) = &one.column
            && !values.contains(column)
        {
            values.push(column.clone());
        }
        asked.push(one);
    }
    let build = Cells { state, disclosed: &disclosed, values: &values };
    let mut plan = match &disclosed.ledger {
        Some(ledger) => build.released(&table, ledger)?,
        None => build.cells(&table)?,
    };
    for condition in conditions {
        may_know(&condition)?;
        plan = plan.filter(bare(condition)?)?;
    }
    let mut groups = vec![];
    for group in &aggregate.group_expr {
        may_know(group)?;
        groups.push(bare(group.clone())?);
    }
    let mut totals = vec![];
    for (place, one) in asked.iter().enumerate() {
        totals.extend(build.totals(one, place)?);
    }
    let plan = plan.aggregate(groups, totals)?.build()?;
    let grouped = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
    let mut outputs = vec![];
    for (place, (relation, field)) in aggregate.schema.iter().enumerate() {
        let value = match place.checked_sub(grouped).and_then(|place| asked.get(place)) {
            None => Expr::Column(Column::from(plan.schema().qualified_field(place))),
            Some(one) => build.answer(one, place.saturating_sub(grouped), field.data_type())?,
        };
        outputs.push(value.alias_qualified(relation.cloned(), field.name()));
    }
    Ok(Some(LogicalPlanBuilder::from(plan).project(outputs)?.build()?))
}

/// The cells of a table that may be told of, as a table that takes no predicate.
#[derive(Debug)]
struct CellsTable {
    name: Arc<str>,
    plan: LogicalPlan,
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for CellsTable {
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
        let (mut plan, mut schema) = (self.plan.clone(), Arc::clone(&self.schema));
        if let Some(projection) = projection {
            schema = Arc::new(self.schema.project(projection)?);
            let columns = projection.iter().map(|place| {
                Expr::Column(Column::from(self.plan.schema().qualified_field(*place)))
            });
            plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
        }
        below(&self.name, plan, schema, state).await
    }
}

/// Makes cells, and answers from them.
struct Cells<'a> {
    state: &'a SessionState,
    disclosed: &'a Disclosed,
    /// The columns whose values are asked for.
    values: &'a [String],
}

/// The name of one of the parts of a column.
pub(super) fn part(kind: &str, column: &str) -> String {
    format!("{kind} of {column}")
}

/// The nearest multiple of a step.
fn near(number: Expr, step: f64) -> Result<Expr> {
    let steps = round(vec![cast(number, DataType::Float64) / lit(step)]);
    without_sign_of_zero(steps * lit(step))
}

pub(super) fn named(name: impl Into<String>) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

impl Cells<'_> {
    fn call(&self, function: &str, argument: Expr) -> Result<Expr> {
        let function = self.state.udaf(function)?;
        Ok(Expr::AggregateFunction(AggregateFunction::new_udf(
            function,
            vec![argument],
            false,
            None,
            vec![],
            None,
        )))
    }

    /// The cells of a table that may be told of.
    fn cells(&self, table: &GuardedTable) -> Result<LogicalPlanBuilder> {
        let Disclosed { unit, minimum_cell, dominance_percent, group_by, .. } = self.disclosed;
        let source = provider_as_source(Arc::new(table.for_cells()));
        let mut of_units = vec![self.call("count", lit(1_i64))?.alias(ROWS)];
        let mut of_cells = vec![
            self.call("count", named(unit))?.alias(UNITS),
            self.call("sum", named(ROWS))?.alias(ROWS),
        ];
        // Who has no name cannot be counted as a unit.
        let mut kept = named(UNITS).gt_eq(lit(i64::from(*minimum_cell)));
        for column in self.values {
            let count = part("count", column);
            of_units.push(self.call("count", named(column))?.alias(&count));
            of_cells.push(self.call("sum", named(&count))?.alias(&count));
            // A number is of the units that have a value, and not of all in the cell.
            let having = when(named(&count).gt(lit(0_i64)), lit(1_i64)).otherwise(lit(0_i64))?;
            let units = part("units", column);
            of_cells.push(self.call("sum", having)?.alias(&units));
            kept = kept.and(named(units).gt_eq(lit(i64::from(*minimum_cell))));
            let kind = table.schema.field_with_name(column)?.data_type();
            if !kind.is_numeric() {
                continue;
            }
            for function in ["sum", "min", "max"] {
                let name = part(function, column);
                of_units.push(self.call(function, named(column))?.alias(&name));
                of_cells.push(self.call(function, named(&name))?.alias(&name));
            }
            let share = abs(cast(named(part("sum", column)), DataType::Float64));
            let (largest, all) = (part("largest", column), part("all", column));
            of_cells.push(self.call("max", share.clone())?.alias(&largest));
            of_cells.push(self.call("sum", share)?.alias(&all));
            let (largest, all) = (named(largest), named(all));
            // NaN is above infinity; neither can be compared.
            let compared = all.clone().lt(lit(f64::INFINITY));
            let share = lit(*dominance_percent / 100.0);
            kept = kept.and(compared).and(largest.lt_eq(all * share));
        }
        let groups: Vec<Expr> = group_by.iter().map(named).collect();
        let units = groups.iter().cloned().chain([named(unit)]);
        let plan = LogicalPlanBuilder::scan(TableReference::bare("units"), source, None)?
            .filter(named(unit).is_not_null())?
            .aggregate(units, of_units)?
            .aggregate(groups.clone(), of_cells)?
            .filter(kept)?
            .project(groups.into_iter().chain(self.told(table)?))?
            .build()?;
        let schema = Arc::new(plan.schema().as_arrow().clone());
        let cells = CellsTable { name: Arc::clone(&table.name), plan, schema };
        LogicalPlanBuilder::scan(
            TableReference::bare(CELLS),
            provider_as_source(Arc::new(cells)),
            None,
        )
    }

    /// The cells with noise, those that may be told of to this principal.
    fn released(&self, table: &GuardedTable, ledger: &Arc<Ledger>) -> Result<LogicalPlanBuilder> {
        if let Some(column) = self.values.iter().find(|column| !ledger.private.has(column)) {
            let problem =
                format!("{column} has no bounds in the record, so there are no numbers of it");
            return denied(self.disclosed, problem);
        }
        let plan = ledger.private.plan(table, self.state)?;
        let cells = ReleasedTable::new(table, ledger, plan)?;
        let cells = provider_as_source(Arc::new(cells));
        LogicalPlanBuilder::scan(TableReference::bare(CELLS), cells, None)?
            .filter(named(UNITS).gt_eq(lit(i64::from(self.disclosed.minimum_cell))))
    }

    /// The numbers of a cell that are told, rounded where the record says so: totals of rounded numbers
    /// tell no more than these do.
    fn told(&self, table: &GuardedTable) -> Result<Vec<Expr>> {
        let mut told = vec![(ROWS.to_owned(), DataType::Int64)];
        for column in self.values {
            told.push((part("count", column), DataType::Int64));
            let kind = table.schema.field_with_name(column)?.data_type();
            if kind.is_numeric() {
                for function in ["sum", "min", "max"] {
                    told.push((part(function, column), DataType::Float64));
                }
            }
        }
        told.into_iter()
            .map(|(name, kind)| match self.disclosed.rounding {
                Some(step) => Ok(cast(near(named(&name), step)?, kind).alias(name)),
                None => Ok(named(name)),
            })
            .collect()
    }

    /// What has to be totalled over cells for an answer.
    fn totals(&self, asked: &Asked, place: usize) -> Result<Vec<Expr>> {
        let total = |function: &str, of: String, name: &str| -> Result<Expr> {
            Ok(self.call(function, named(of))?.alias(part(name, &place.to_string())))
        };
        let Some(column) = &asked.column else {
            return Ok(vec![total("sum", ROWS.to_owned(), "count")?]);
        };
        Ok(match asked.function {
            Function::Count => vec![total("sum", part("count", column), "count")?],
            Function::Sum => vec![total("sum", part("sum", column), "sum")?],
            Function::Avg => vec![
                total("sum", part("sum", column), "sum")?,
                total("sum", part("count", column), "count")?,
            ],
            Function::Min => vec![total("min", part("min", column), "min")?],
            Function::Max => vec![total("max", part("max", column), "max")?],
        })
    }

    /// The answer from totals, of the type that it would have had.
    fn answer(&self, asked: &Asked, place: usize, kind: &DataType) -> Result<Expr> {
        let total = |name: &str| named(part(name, &place.to_string()));
        let value = match asked.function {
            // Noise may bring a number of rows below zero.
            Function::Count => {
                let count = total("count");
                when(count.clone().lt(lit(0_i64)), lit(0_i64)).otherwise(count)?
            }
            Function::Sum => total("sum"),
            Function::Min => total("min"),
            Function::Max => total("max"),
            Function::Avg => {
                let (sum, count) = (total("sum"), total("count"));
                let mean = cast(sum, DataType::Float64) / cast(count.clone(), DataType::Float64);
                when(count.gt(lit(0_i64)), mean).otherwise(lit(ScalarValue::Float64(None)))?
            }
        };
        let value = match self.disclosed.rounding {
            Some(step) => near(value, step)?,
            None => value,
        };
        Ok(cast(value, kind.clone()))
    }
}
