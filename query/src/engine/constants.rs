//! What a filter makes constant.
//!
//! DataFusion narrows the range of every column under a filter, and takes a column whose range is one
//! value for a constant: it need not be sorted, or told apart in windows. To do so it turns expressions
//! around as if they kept apart what goes in: from `CAST(w AS BIGINT) = 5` it takes `w = 5.0`, from
//! `i / 10 = 6` that `i = 60`, and rows with 5.1 and 65 come in any order. Hidden from it, such an
//! expression says nothing, and only `column = value` makes a constant.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, NegativeExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The rule that hides such expressions in filters. It stands before the rules that leave out sorts.
#[derive(Debug, Default)]
pub(crate) struct NoFalseConstants;

impl PhysicalOptimizerRule for NoFalseConstants {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(filter) = plan.downcast_ref::<FilterExec>() else {
                return Ok(Transformed::no(plan));
            };
            let hidden = hidden(filter.predicate())?;
            if !hidden.transformed {
                return Ok(Transformed::no(plan));
            }
            let filter = FilterExecBuilder::from(filter).with_predicate(hidden.data).build()?;
            Ok(Transformed::yes(Arc::new(filter) as Arc<dyn ExecutionPlan>))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "NoFalseConstants"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The predicate with every outermost cast, arithmetic and sign hidden.
fn hidden(predicate: &Arc<dyn PhysicalExpr>) -> Result<Transformed<Arc<dyn PhysicalExpr>>> {
    Arc::clone(predicate).transform_down(|expr| {
        let inverted = expr.is::<CastExpr>()
            || expr.is::<NegativeExpr>()
            || expr.downcast_ref::<BinaryExpr>().is_some_and(|binary| is_arithmetic(*binary.op()));
        Ok(if inverted {
            let hidden: Arc<dyn PhysicalExpr> = Arc::new(Hidden { inner: expr });
            Transformed::new(hidden, true, TreeNodeRecursion::Jump)
        } else if expr.is::<Hidden>() {
            Transformed::new(expr, false, TreeNodeRecursion::Jump)
        } else {
            Transformed::no(expr)
        })
    })
}

fn is_arithmetic(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo
    )
}

/// An expression of which only the value is known.
#[derive(Debug, Eq)]
struct Hidden {
    inner: Arc<dyn PhysicalExpr>,
}

impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Hash for Hidden {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for Hidden {
    fn data_type(&self, schema: &Schema) -> Result<DataType> {
        self.inner.data_type(schema)
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.inner.nullable(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        self.inner.evaluate(batch)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        self.inner.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let [inner] = <[_; 1]>::try_from(children).map_err(|_| {
            DataFusionError::Internal("a hidden expression has one child".to_owned())
        })?;
        Ok(Arc::new(Self { inner }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
