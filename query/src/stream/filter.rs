//! The SQL condition of a stream, evaluated block by block.

use crate::engine::nesting;
use crate::error::QueryError;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use std::fmt::Display;
use std::sync::Arc;

/// A condition on the rows of a table.
#[derive(Debug)]
pub(crate) struct Filter {
    columns: Vec<usize>,
    condition: Arc<dyn PhysicalExpr>,
}

impl Filter {
    /// Plans a condition over the columns of a table. It must depend on nothing but the row.
    pub(crate) fn plan(
        state: &SessionState,
        sql: &str,
        schema: &SchemaRef,
    ) -> Result<Self, QueryError> {
        let wrong =
            |problem: &dyn Display| QueryError::Invalid(format!("filter of the stream: {problem}"));
        nesting::check(sql).map_err(|error| wrong(&error))?;
        let whole = DFSchema::try_from(Arc::clone(schema)).map_err(|error| wrong(&error))?;
        let condition = state.create_logical_expr(sql, &whole).map_err(|error| wrong(&error))?;
        let varies = condition.exists(|part| {
            Ok(match part {
                Expr::ScalarFunction(call) => {
                    call.func.signature().volatility != Volatility::Immutable
                }
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) => true,
                Expr::AggregateFunction(_) | Expr::WindowFunction(_) => true,
                _ => false,
            })
        });
        if varies.map_err(|error| wrong(&error))? {
            return Err(wrong(
                &"it may use the columns of the row only: no subquery, no aggregate, no function \
                  whose value changes from call to call",
            ));
        }
        let kind = condition.get_type(&whole).map_err(|error| wrong(&error))?;
        if kind != DataType::Boolean {
            return Err(wrong(&format!("it is {kind} and not a condition")));
        }
        let mut columns = condition
            .column_refs()
            .into_iter()
            .map(|column| schema.index_of(column.name()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(&error))?;
        columns.sort_unstable();
        let part = schema.project(&columns).map_err(|error| wrong(&error))?;
        let part = DFSchema::try_from(part).map_err(|error| wrong(&error))?;
        let condition =
            state.create_physical_expr(condition, &part).map_err(|error| wrong(&error))?;
        Ok(Self { columns, condition })
    }

    /// Columns that the condition needs, by their index in the table's schema.
    pub(crate) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// The rows for which the condition is true. The batch has the columns of [`Self::columns`].
    pub(crate) fn rows(&self, batch: &RecordBatch) -> Result<BooleanBuffer, QueryError> {
        let wrong =
            |problem: &dyn Display| QueryError::Invalid(format!("filter of the stream: {problem}"));
        let values = self
            .condition
            .evaluate(batch)
            .and_then(|value| value.into_array(batch.num_rows()))
            .map_err(|error| wrong(&error))?;
        let values = values
            .as_boolean_opt()
            .ok_or_else(|| wrong(&"it did not give a condition for every row"))?;
        if values.null_count() > 0 {
            return Ok(prep_null_mask_filter(values).values().clone());
        }
        Ok(values.values().clone())
    }
}
