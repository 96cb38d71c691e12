//! Cells whose numbers have noise: what is told of a table under differential privacy.
//!
//! The cells are those of [`super::cells`], of all columns that the record bounds, whatever a statement asks
//! for: they are released once. A unit is counted in so many of its cells, chosen by a hash, with so many
//! rows in each; values are moved into their bounds. See [`super::noise`] for why that is enough.

use super::GuardedTable;
use super::cells::{ROWS, UNITS, named, part};
use super::noise::{Noise, STEPS};
use crate::error::QueryError;
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Result, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions::crypto::expr_fn::md5;
use datafusion::functions::math::expr_fn::round;
use datafusion::functions::string::expr_fn::concat_ws;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, lit, when,
};
use std::sync::Arc;
use tarn_schemas::record::Privacy;

/// What is released of a table.
#[derive(Debug, Clone)]
pub(super) struct Private {
    privacy: Privacy,
    unit: String,
    group_by: Vec<String>,
    /// Columns that have bounds, with these.
    columns: Vec<(String, [f64; 2])>,
    noise: Noise,
    /// Fewest units with noise of a cell that is shown.
    threshold: f64,
}

impl Private {
    /// What the rules of a record mean for a table with these columns.
    pub(super) fn new(
        privacy: &Privacy,
        (unit, group_by): (&str, &[String]),
        minimum_cell: u32,
        stored: &SchemaRef,
    ) -> Self {
        let is_number = |column: &str| {
            stored.field_with_name(column).is_ok_and(|field| field.data_type().is_numeric())
        };
        let bounds = privacy.bounds.iter().filter(|(column, _)| is_number(column));
        let columns: Vec<_> = bounds.map(|(column, bounds)| (column.clone(), *bounds)).collect();
        let noise = Noise::new(privacy, columns.len());
        Self {
            threshold: noise.threshold().max(f64::from(minimum_cell)),
            privacy: privacy.clone(),
            unit: unit.to_owned(),
            group_by: group_by.to_vec(),
            columns,
            noise,
        }
    }

    /// Whether numbers of a column are released.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(known, _)| known == column)
    }

    /// The cells without noise, below the guard: whole numbers alone besides the groups.
    pub(super) fn plan(&self, table: &GuardedTable, state: &SessionState) -> Result<LogicalPlan> {
        let call = |function: &str, argument: Expr| -> Result<Expr> {
            let function = state.udaf(function)?;
            let call =
                AggregateFunction::new_udf(function, vec![argument], false, None, vec![], None);
            Ok(Expr::AggregateFunction(call))
        };
        let source = provider_as_source(Arc::new(table.for_cells()));
        let rows = lit(i64::from(self.privacy.rows));
        let most =
            |number: Expr| when(number.clone().gt(rows.clone()), rows.clone()).otherwise(number);
        let (mut of_units, mut shares) = (vec![call("count", lit(1_i64))?.alias(ROWS)], vec![]);
        let mut of_cells = vec![
            call("count", named(&self.unit))?.alias(UNITS),
            call("sum", named(ROWS))?.alias(ROWS),
        ];
        shares.push(most(named(ROWS))?.alias(ROWS));
        for (column, [low, high]) in &self.columns {
            let (count, sum) = (part("count", column), part("sum", column));
            of_units.push(call("count", named(column))?.alias(&count));
            shares.push(most(named(&count))?.alias(&count));
            of_cells.push(call("sum", named(&count))?.alias(&count));
            // NaN is above every number, and so becomes the largest.
            let value = cast(named(column), DataType::Float64);
            let bounded = between(value, *low, *high)?;
            of_units.push(call("sum", bounded)?.alias(&sum));
            let (least, largest) = self.shares(*low, *high);
            let step = largest.max(-least) / steps();
            let share = round(vec![between(named(&sum), least, largest)? / lit(step)]);
            shares.push(cast(share, DataType::Int64).alias(&sum));
            of_cells.push(call("sum", named(&sum))?.alias(&sum));
        }
        let groups: Vec<Expr> = self.group_by.iter().map(named).collect();
        let units = groups.iter().cloned().chain([named(&self.unit)]);
        let texts = units.clone().map(|column| cast(column, DataType::Utf8)).collect();
        let chosen = row_number()
            .partition_by(vec![named(&self.unit)])
            .order_by(vec![md5(concat_ws(lit("\u{1f}"), texts)).sort(true, true)])
            .build()?
            .alias(PLACE);
        LogicalPlanBuilder::scan(TableReference::bare("units"), source, None)?
            .filter(named(&self.unit).is_not_null())?
            .aggregate(units.clone(), of_units)?
            .window(vec![chosen])?
            .filter(cast(named(PLACE), DataType::Int64).lt_eq(lit(i64::from(self.privacy.cells))))?
            .project(units.chain(shares))?
            .aggregate(groups, of_cells)?
            .build()
    }

    /// Smallest and largest share of a unit in the sum of a cell.
    fn shares(&self, low: f64, high: f64) -> (f64, f64) {
        let rows = f64::from(self.privacy.rows);
        (low.min(0.0) * rows, high.max(0.0) * rows)
    }

    /// The columns of what is released: groups, then numbers.
    pub(super) fn schema(&self, table: &GuardedTable) -> Result<SchemaRef> {
        let mut fields = vec![];
        for column in &self.group_by {
            fields.push(table.schema.field_with_name(column)?.clone().with_nullable(true));
        }
        fields.push(Field::new(UNITS, DataType::Int64, false));
        fields.push(Field::new(ROWS, DataType::Int64, false));
        for (column, _) in &self.columns {
            fields.push(Field::new(part("count", column), DataType::Int64, false));
            fields.push(Field::new(part("sum", column), DataType::Float64, false));
        }
        Ok(Arc::new(Schema::new(fields)))
    }

    /// Cells with noise, those that reach the threshold, of cells as [`Private::plan`] gives them.
    pub(super) fn noisy(
        &self,
        cells: &RecordBatch,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, QueryError> {
        let failed = |error: &dyn std::fmt::Display| QueryError::Internal(error.to_string());
        let whole = |name: &str| {
            let column = cells.column_by_name(name);
            column
                .and_then(|column| column.as_any().downcast_ref::<Int64Array>())
                .ok_or_else(|| QueryError::Internal(format!("cells have no numbers {name:?}")))
        };
        let drawn = |name: &str, draw: &dyn Fn(i64) -> Result<i64, super::noise::NoiseError>| {
            // A sum of nothing is NULL: zero.
            let numbers = whole(name)?.iter().map(|number| draw(number.unwrap_or(0)));
            numbers.collect::<Result<Vec<i64>, _>>().map_err(|error| failed(&error))
        };
        let units = drawn(UNITS, &|number| self.noise.units(number))?;
        let shown: BooleanArray =
            units.iter().map(|units| Some(as_double(*units) >= self.threshold)).collect();
        let mut columns: Vec<ArrayRef> = vec![];
        for column in &self.group_by {
            let column = cells.column_by_name(column);
            columns.push(Arc::clone(column.ok_or_else(|| failed(&"cells lack a group"))?));
        }
        columns.push(Arc::new(Int64Array::from(units)));
        columns.push(Arc::new(Int64Array::from(drawn(ROWS, &|number| self.noise.rows(number))?)));
        for (column, [low, high]) in &self.columns {
            let count = drawn(&part("count", column), &|number| self.noise.rows(number))?;
            columns.push(Arc::new(Int64Array::from(count)));
            let (least, largest) = self.shares(*low, *high);
            let step = largest.max(-least) / steps();
            let sum = drawn(&part("sum", column), &|number| self.noise.sum(number))?;
            let sum = sum.into_iter().map(|sum| as_double(sum) * step);
            columns.push(Arc::new(Float64Array::from_iter_values(sum)));
        }
        let batch =
            RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| failed(&error))?;
        filter_record_batch(&batch, &shown).map_err(|error| failed(&error))
    }
}

/// The place of a cell among those of a unit.
const PLACE: &str = "place of the cell";

/// A number that is moved into bounds.
fn between(number: Expr, low: f64, high: f64) -> Result<Expr> {
    when(number.clone().gt(lit(high)), lit(high))
        .when(number.clone().lt(lit(low)), lit(low))
        .otherwise(number)
}

fn steps() -> f64 {
    as_double(STEPS)
}

/// The nearest double: numbers of cells are small, and noise hides the rest.
#[expect(clippy::cast_precision_loss, reason = "noise is larger than what is lost")]
fn as_double(number: i64) -> f64 {
    number as f64
}
