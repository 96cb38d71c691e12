//! What may travel in a fragment: a closed list of plan nodes, expressions, functions and types.
//!
//! The asking lab checks before it encodes (what is not on the list is computed here), the owner
//! checks after it has decoded (what is not on the list is refused). A node or an expression is on the list only if
//! Substrait, as `datafusion-substrait` writes and reads it, carries all of its meaning. It does not
//! for `NOT IN` joins (`null_aware`), null treatment of aggregates, time zones other than UTC,
//! metadata of literals and casts, and `log` with two arguments.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, InList, ScalarFunction};
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, Operator, SkipType, Volatility};

/// Most plan nodes of a fragment.
const MOST_NODES: usize = 256;
/// Most expressions of a fragment, counted with their parts.
const MOST_EXPRESSIONS: usize = 20_000;
/// Deepest plan and deepest expression.
const DEEPEST: usize = 64;

/// Aggregates whose value depends on nothing but the values and the filter.
const AGGREGATES: [&str; 22] = [
    "count",
    "sum",
    "min",
    "max",
    "avg",
    "median",
    "var",
    "var_samp",
    "var_sample",
    "var_pop",
    "var_population",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "corr",
    "covar",
    "covar_samp",
    "covar_pop",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
];

/// Why something may not travel.
pub(crate) type Refusal = String;

/// Checks that a plan may travel; `has_function` says which functions the other lab has.
pub(crate) fn check_plan(
    plan: &LogicalPlan,
    has_function: &dyn Fn(&str) -> bool,
) -> std::result::Result<(), Refusal> {
    let mut check = Check { has_function, nodes: 0, expressions: 0 };
    check.plan(plan, 0)
}

/// Checks that a single expression may travel.
pub(crate) fn check_expression(
    expr: &Expr,
    has_function: &dyn Fn(&str) -> bool,
) -> std::result::Result<(), Refusal> {
    Check { has_function, nodes: 0, expressions: 0 }.expression(expr)
}

struct Check<'a> {
    has_function: &'a dyn Fn(&str) -> bool,
    nodes: usize,
    expressions: usize,
}

impl Check<'_> {
    fn plan(&mut self, plan: &LogicalPlan, depth: usize) -> std::result::Result<(), Refusal> {
        self.nodes += 1;
        if self.nodes > MOST_NODES {
            return Err(format!("the plan has more than {MOST_NODES} nodes"));
        }
        if depth > DEEPEST {
            return Err(format!("the plan is more than {DEEPEST} nodes deep"));
        }
        match plan {
            LogicalPlan::TableScan(scan) => {
                for field in scan.projected_schema.fields() {
                    data_type(field.data_type())?;
                }
                for filter in &scan.filters {
                    self.expression(filter)?;
                }
            }
            LogicalPlan::Projection(projection) => {
                for expr in &projection.expr {
                    self.expression(expr)?;
                }
            }
            LogicalPlan::Filter(filter) => self.expression(&filter.predicate)?,
            LogicalPlan::Aggregate(aggregate) => {
                for expr in &aggregate.group_expr {
                    self.expression(expr)?;
                }
                for expr in &aggregate.aggr_expr {
                    self.aggregate(expr)?;
                }
            }
            LogicalPlan::Sort(sort) => {
                for by in &sort.expr {
                    self.expression(&by.expr)?;
                }
            }
            LogicalPlan::Limit(limit) => {
                let skip = limit.get_skip_type().map_err(|error| error.to_string())?;
                let fetch = limit.get_fetch_type().map_err(|error| error.to_string())?;
                if !matches!((skip, fetch), (SkipType::Literal(_), FetchType::Literal(_))) {
                    return Err("the limit is no plain number".to_owned());
                }
            }
            LogicalPlan::Join(join) => {
                if join.null_aware {
                    return Err("NOT IN does not travel".to_owned());
                }
                if matches!(join.join_type, JoinType::LeftMark | JoinType::RightMark) {
                    return Err("mark joins do not travel".to_owned());
                }
                for (left, right) in &join.on {
                    self.expression(left)?;
                    self.expression(right)?;
                }
                if let Some(filter) = &join.filter {
                    self.expression(filter)?;
                }
            }
            LogicalPlan::Union(_) | LogicalPlan::SubqueryAlias(_) => {}
            other => return Err(format!("{} does not travel", node_name(other))),
        }
        for input in plan.inputs() {
            self.plan(input, depth + 1)?;
        }
        Ok(())
    }

    fn aggregate(&mut self, expr: &Expr) -> std::result::Result<(), Refusal> {
        match expr {
            Expr::Alias(alias) => self.aggregate(&alias.expr),
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                if !AGGREGATES.contains(&func.name()) || !(self.has_function)(func.name()) {
                    return Err(format!("the aggregate {} does not travel", func.name()));
                }
                if !params.order_by.is_empty() || params.null_treatment.is_some() {
                    return Err("ordered aggregates do not travel".to_owned());
                }
                for arg in params.args.iter().chain(params.filter.as_deref()) {
                    self.expression(arg)?;
                }
                Ok(())
            }
            other => Err(format!("{} does not travel as an aggregate", other.variant_name())),
        }
    }

    fn expression(&mut self, expr: &Expr) -> std::result::Result<(), Refusal> {
        if depth(expr, 0) > DEEPEST {
            return Err(format!("an expression is more than {DEEPEST} deep"));
        }
        let mut refusal = None;
        let visited = expr.apply(|expr| {
            self.expressions += 1;
            let checked = if self.expressions > MOST_EXPRESSIONS {
                Err(format!("the plan has more than {MOST_EXPRESSIONS} expressions"))
            } else {
                self.one_expression(expr)
            };
            Ok(match checked {
                Ok(()) => TreeNodeRecursion::Continue,
                Err(reason) => {
                    refusal = Some(reason);
                    TreeNodeRecursion::Stop
                }
            })
        });
        match (refusal, visited) {
            (Some(reason), _) => Err(reason),
            (None, Err(error)) => Err(error.to_string()),
            (None, Ok(_)) => Ok(()),
        }
    }

    fn one_expression(&self, expr: &Expr) -> std::result::Result<(), Refusal> {
        match expr {
            Expr::Column(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Like(_)
            | Expr::Case(_) => Ok(()),
            Expr::InList(InList { list, .. }) if !list.is_empty() => Ok(()),
            Expr::Alias(alias) if alias.metadata.is_none() => Ok(()),
            Expr::Literal(value, None) => literal(value),
            Expr::BinaryExpr(binary) => operator(binary.op),
            Expr::Cast(cast) if cast.field.metadata().is_empty() => {
                data_type(cast.field.data_type())
            }
            Expr::TryCast(cast) if cast.field.metadata().is_empty() => {
                data_type(cast.field.data_type())
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) => {
                let name = func.name();
                if func.signature().volatility != Volatility::Immutable
                    || (name == "log" && args.len() == 2)
                    || !(self.has_function)(name)
                {
                    return Err(format!("the function {name} does not travel"));
                }
                Ok(())
            }
            other => Err(format!("{} does not travel", other.variant_name())),
        }
    }
}

fn depth(expr: &Expr, above: usize) -> usize {
    let mut deepest = above + 1;
    if deepest > DEEPEST {
        return deepest;
    }
    let visited: Result<TreeNodeRecursion> = expr.apply_children(|child| {
        deepest = deepest.max(depth(child, above + 1));
        Ok(TreeNodeRecursion::Continue)
    });
    if visited.is_err() { usize::MAX } else { deepest }
}

fn node_name(plan: &LogicalPlan) -> String {
    plan.display().to_string().split([':', ' ']).next().unwrap_or("this node").to_owned()
}

fn operator(op: Operator) -> std::result::Result<(), Refusal> {
    match op {
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::Plus
        | Operator::Minus
        | Operator::Multiply
        | Operator::Divide
        | Operator::Modulo
        | Operator::And
        | Operator::Or
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom
        | Operator::RegexMatch
        | Operator::RegexIMatch
        | Operator::RegexNotMatch
        | Operator::RegexNotIMatch
        | Operator::BitwiseAnd
        | Operator::BitwiseOr
        | Operator::BitwiseXor
        | Operator::BitwiseShiftLeft
        | Operator::BitwiseShiftRight
        | Operator::StringConcat => Ok(()),
        other => Err(format!("the operator {other} does not travel")),
    }
}

fn literal(value: &ScalarValue) -> std::result::Result<(), Refusal> {
    match value {
        ScalarValue::Boolean(_)
        | ScalarValue::Int8(_)
        | ScalarValue::Int16(_)
        | ScalarValue::Int32(_)
        | ScalarValue::Int64(_)
        | ScalarValue::UInt8(_)
        | ScalarValue::UInt16(_)
        | ScalarValue::UInt32(_)
        | ScalarValue::UInt64(_)
        | ScalarValue::Float32(_)
        | ScalarValue::Float64(_)
        | ScalarValue::Utf8(_)
        | ScalarValue::LargeUtf8(_)
        | ScalarValue::Utf8View(_)
        | ScalarValue::Date32(_)
        | ScalarValue::Decimal128(..)
        | ScalarValue::TimestampSecond(..)
        | ScalarValue::TimestampMillisecond(..)
        | ScalarValue::TimestampMicrosecond(..)
        | ScalarValue::TimestampNanosecond(..) => data_type(&value.data_type()),
        other => Err(format!("a literal of type {} does not travel", other.data_type())),
    }
}

fn data_type(data_type: &DataType) -> std::result::Result<(), Refusal> {
    match data_type {
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::Date32
        | DataType::Decimal128(..)
        | DataType::Time32(TimeUnit::Second | TimeUnit::Millisecond)
        | DataType::Time64(TimeUnit::Microsecond | TimeUnit::Nanosecond)
        | DataType::Timestamp(_, None) => Ok(()),
        DataType::Timestamp(_, Some(zone)) if zone.as_ref() == "UTC" => Ok(()),
        DataType::Dictionary(keys, values) if keys.is_integer() => self::data_type(values),
        other => Err(format!("the type {other} does not travel")),
    }
}
