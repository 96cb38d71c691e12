//! Times that are numbers meet only numbers of the same units and calendar.
//!
//! A CF time of a calendar without timestamps (`noleap`, `360_day`, …) is the number of its file. Two
//! such columns are alike to SQL, also where one counts days since 1850 and the other hours since 2000:
//! comparing, joining or uniting them would give an answer, and a wrong one. Therefore the axis of
//! every column is followed through the plan as the statement was written, before the optimizer, and
//! where two axes meet that differ the statement is refused. The attributes of fields are not enough
//! for that: aggregates and unions drop or mix them.

use crate::error::QueryError;
use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Join, JoinType, LogicalPlan, Operator,
    Union,
};
use std::sync::Arc;
use tarn_formats::cf::TimeAxis;

/// Functions whose value is one of the times they are given, or lies between them.
const KEEPS_TIME: [&str; 14] = [
    "min",
    "max",
    "avg",
    "median",
    "approx_median",
    "percentile_cont",
    "approx_percentile_cont",
    "array_agg",
    "first_value",
    "last_value",
    "nth_value",
    "any_value",
    "lag",
    "lead",
];

/// Functions that compare their arguments, or whose value is one of them.
const CHOOSES: [&str; 7] =
    ["coalesce", "greatest", "ifnull", "least", "make_array", "nullif", "nvl"];

/// The axis that the numbers of a column count on, and the name of that column.
#[derive(Debug, Clone)]
struct Axis {
    column: String,
    units: String,
    calendar: String,
    parsed: Option<TimeAxis>,
}

/// Of each column of a plan, in the order of its schema.
type Axes = Vec<Option<Arc<Axis>>>;

/// Checks a plan as it was written.
///
/// # Errors
/// [`QueryError::Invalid`] naming both columns, their units and calendars, where times that are numbers
/// meet others, timestamps or texts.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), QueryError> {
    axes(plan).map(|_| ())
}

impl Axis {
    fn of_field(field: &Field) -> Option<Arc<Self>> {
        let units = field.metadata().get("units")?;
        if !is_number(field.data_type()) || !units.to_ascii_lowercase().contains(" since ") {
            return None;
        }
        let calendar =
            field.metadata().get("calendar").cloned().unwrap_or_else(|| "standard".to_owned());
        let parsed = TimeAxis::parse(units, Some(&calendar));
        Some(Arc::new(Self {
            column: field.name().clone(),
            units: units.clone(),
            calendar,
            parsed,
        }))
    }

    fn counts_as(&self, other: &Self) -> bool {
        match (&self.parsed, &other.parsed) {
            (Some(own), Some(others)) => own == others,
            (None, None) => {
                self.units.eq_ignore_ascii_case(&other.units)
                    && self.calendar.eq_ignore_ascii_case(&other.calendar)
            }
            _ => false,
        }
    }
}

fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        DataType::RunEndEncoded(_, values) => is_number(values.data_type()),
        other => other.is_numeric(),
    }
}

fn differ(one: &Axis, other: &Axis) -> QueryError {
    let both = |axis: &Axis| {
        format!("{} counts {:?} in the calendar {:?}", axis.column, axis.units, axis.calendar)
    };
    QueryError::Invalid(format!(
        "times that are numbers of different units or calendars meet here: {}, {}; write \
         cf_date({}) and cf_date({}), which are dates as text, in their place",
        both(one),
        both(other),
        one.column,
        other.column
    ))
}

fn no_number(axis: &Axis, other: &str) -> QueryError {
    QueryError::Invalid(format!(
        "{0} is a number, {1:?} in the calendar {2:?}, and cannot meet {other}; write \
         cf_date({0}), which is the date as text such as '2000-01-18T00:00:00', in its place",
        axis.column, axis.units, axis.calendar
    ))
}

/// The axes of the columns of a plan.
#[recursive::recursive]
fn axes(plan: &LogicalPlan) -> Result<Axes, QueryError> {
    match plan {
        LogicalPlan::Projection(projection) => Scope::of(&projection.input)?.all(&projection.expr),
        LogicalPlan::Filter(filter) => {
            let scope = Scope::of(&filter.input)?;
            scope.axis(&filter.predicate)?;
            Ok(scope.axes)
        }
        LogicalPlan::Window(window) => {
            let mut scope = Scope::of(&window.input)?;
            let more = scope.all(&window.window_expr)?;
            scope.axes.extend(more);
            Ok(scope.axes)
        }
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate),
        LogicalPlan::Sort(sort) => {
            let scope = Scope::of(&sort.input)?;
            sort.expr.iter().try_for_each(|sort| scope.axis(&sort.expr).map(|_| ()))?;
            Ok(scope.axes)
        }
        LogicalPlan::Join(join) => of_join(join),
        LogicalPlan::Union(union) => of_union(union),
        LogicalPlan::Distinct(Distinct::On(distinct)) => {
            let scope = Scope::of(&distinct.input)?;
            scope.all(&distinct.on_expr)?;
            scope.all(&distinct.select_expr)
        }
        LogicalPlan::Unnest(unnest) => {
            let input = axes(&unnest.input)?;
            let of = |index: &usize| input.get(*index).cloned().flatten();
            Ok(unnest.dependency_indices.iter().map(of).collect())
        }
        LogicalPlan::RecursiveQuery(query) => {
            let (first, then) = (axes(&query.static_term)?, axes(&query.recursive_term)?);
            for (first, then) in first.iter().zip(then) {
                compared((first.clone(), Other::Fitting), (then, Other::Fitting))?;
            }
            Ok(first)
        }
        LogicalPlan::SubqueryAlias(alias) => axes(&alias.input),
        LogicalPlan::Subquery(subquery) => axes(&subquery.subquery),
        LogicalPlan::Limit(limit) => axes(&limit.input),
        LogicalPlan::Repartition(repartition) => axes(&repartition.input),
        LogicalPlan::Distinct(Distinct::All(input)) => axes(input),
        LogicalPlan::Explain(explain) => axes(&explain.plan).map(|_| vec![]),
        LogicalPlan::Analyze(analyze) => axes(&analyze.input).map(|_| vec![]),
        other => {
            other.inputs().into_iter().try_for_each(|input| axes(input).map(|_| ()))?;
            Ok(other.schema().fields().iter().map(|field| Axis::of_field(field)).collect())
        }
    }
}

fn of_aggregate(aggregate: &Aggregate) -> Result<Axes, QueryError> {
    let scope = Scope::of(&aggregate.input)?;
    let groups = grouping_set_to_exprlist(&aggregate.group_expr)?;
    let mut axes: Axes =
        groups.into_iter().map(|group| scope.axis(group)).collect::<Result<_, _>>()?;
    // A set of groupings has one more column, which says of which grouping a row is.
    let functions = aggregate.schema.fields().len().saturating_sub(aggregate.aggr_expr.len());
    axes.resize(functions, None);
    axes.extend(scope.all(&aggregate.aggr_expr)?);
    Ok(axes)
}

fn of_join(join: &Join) -> Result<Axes, QueryError> {
    let (left, right) = (Scope::of(&join.left)?, Scope::of(&join.right)?);
    for (on_left, on_right) in &join.on {
        let of_left = (left.axis(on_left)?, left.kind(on_left));
        compared(of_left, (right.axis(on_right)?, right.kind(on_right)))?;
    }
    let marked = |scope: Scope| scope.axes.into_iter().chain([None]).collect();
    if let Some(filter) = &join.filter {
        Scope::both(&left, &right)?.axis(filter)?;
    }
    Ok(match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti => left.axes,
        JoinType::RightSemi | JoinType::RightAnti => right.axes,
        JoinType::LeftMark => marked(left),
        JoinType::RightMark => marked(right),
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
            left.axes.into_iter().chain(right.axes).collect()
        }
    })
}

fn of_union(union: &Union) -> Result<Axes, QueryError> {
    let mut united = vec![(None, Other::Fitting); union.schema.fields().len()];
    for input in &union.inputs {
        let fields = input.schema().fields().iter();
        for ((own, axis), field) in united.iter_mut().zip(axes(input)?).zip(fields) {
            let kind = Other::of_type(field.data_type());
            compared(own.clone(), (axis.clone(), kind.clone()))?;
            if axis.is_some() || kind == Other::Date {
                *own = (axis, kind);
            }
        }
    }
    Ok(united.into_iter().map(|(axis, _)| axis).collect())
}

/// What a value is that meets a time.
#[derive(Debug, Clone, PartialEq)]
enum Other {
    /// A number, a NULL, or what SQL refuses itself.
    Fitting,
    /// A date or a timestamp.
    Date,
    /// A constant text that is no number.
    Text(String),
}

impl Other {
    fn of_type(data_type: &DataType) -> Self {
        match data_type {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Self::Date,
            _ => Self::Fitting,
        }
    }
}

/// The times of a value, where it is one, and what it is else.
type Value = (Option<Arc<Axis>>, Other);

/// An error where two values cannot meet.
fn compared(one: Value, other: Value) -> Result<(), QueryError> {
    match (one, other) {
        ((Some(one), _), (Some(other), _)) if !one.counts_as(&other) => Err(differ(&one, &other)),
        ((Some(axis), _), (None, kind)) | ((None, kind), (Some(axis), _)) => match kind {
            Other::Date => Err(no_number(&axis, "a timestamp")),
            Other::Text(text) => Err(no_number(&axis, &format!("the text {text:?}"))),
            Other::Fitting => Ok(()),
        },
        _ => Ok(()),
    }
}

/// The columns that an expression may name.
struct Scope {
    schema: DFSchema,
    axes: Axes,
}

impl Scope {
    fn of(input: &LogicalPlan) -> Result<Self, QueryError> {
        Ok(Self { schema: input.schema().as_ref().clone(), axes: axes(input)? })
    }

    fn both(left: &Self, right: &Self) -> Result<Self, QueryError> {
        let axes = left.axes.iter().chain(&right.axes).cloned().collect();
        Ok(Self { schema: left.schema.join(&right.schema)?, axes })
    }

    fn all(&self, expressions: &[Expr]) -> Result<Axes, QueryError> {
        expressions.iter().map(|expression| self.axis(expression)).collect()
    }

    fn column(&self, column: &Column) -> Option<Arc<Axis>> {
        let index = self.schema.maybe_index_of_column(column)?;
        self.axes.get(index).cloned().flatten()
    }

    /// What an expression is, should it meet a time.
    fn kind(&self, expression: &Expr) -> Other {
        if let Expr::Literal(
            ScalarValue::Utf8(Some(text))
            | ScalarValue::Utf8View(Some(text))
            | ScalarValue::LargeUtf8(Some(text)),
            _,
        ) = expression
        {
            let number = text.trim().parse::<f64>().is_ok();
            return if number { Other::Fitting } else { Other::Text(text.clone()) };
        }
        expression
            .get_type(&self.schema)
            .map_or(Other::Fitting, |data_type| Other::of_type(&data_type))
    }

    /// Checks that some values may meet each other, and gives the axis of each.
    fn together(&self, values: &[&Expr]) -> Result<Axes, QueryError> {
        let axes: Axes = values.iter().map(|value| self.axis(value)).collect::<Result<_, _>>()?;
        let Some(first) = common(&axes) else { return Ok(axes) };
        for (value, axis) in values.iter().zip(&axes) {
            let kind = if axis.is_some() { Other::Fitting } else { self.kind(value) };
            compared((Some(Arc::clone(&first)), Other::Fitting), (axis.clone(), kind))?;
        }
        Ok(axes)
    }

    /// Checks what an expression is made of, and gives the axis of each part.
    fn parts(&self, expression: &Expr) -> Result<Axes, QueryError> {
        let mut axes = Ok(vec![]);
        expression.apply_children(|part| {
            if let Ok(known) = &mut axes {
                match self.axis(part) {
                    Ok(axis) => known.push(axis),
                    Err(error) => axes = Err(error),
                }
            }
            Ok(if axes.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        })?;
        axes
    }

    /// The values of a subquery meet a value.
    fn with_subquery(&self, value: &Expr, plan: &LogicalPlan) -> Result<(), QueryError> {
        let inner = axes(plan)?.into_iter().next().flatten();
        let kind = match plan.schema().fields().first() {
            Some(field) => Other::of_type(field.data_type()),
            None => Other::Fitting,
        };
        compared((self.axis(value)?, self.kind(value)), (inner, kind))
    }

    /// The axis of the numbers of an expression.
    #[recursive::recursive]
    fn axis(&self, expression: &Expr) -> Result<Option<Arc<Axis>>, QueryError> {
        match expression {
            Expr::Column(column) => Ok(self.column(column)),
            Expr::OuterReferenceColumn(field, _) => Ok(Axis::of_field(field)),
            Expr::Alias(alias) => self.axis(&alias.expr),
            Expr::Negative(inner) => self.axis(inner),
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type()),
            Expr::TryCast(cast) => self.cast(&cast.expr, cast.field.data_type()),
            Expr::Unnest(unnest) => self.axis(&unnest.expr),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
                Operator::Plus => Ok(common(&self.together(&[left, right])?)),
                // The distance of two times is no time.
                Operator::Minus => match self.together(&[left, right])?.as_slice() {
                    [axis, None] => Ok(axis.clone()),
                    _ => Ok(None),
                },
                op if op.supports_propagation() => self.together(&[left, right]).map(|_| None),
                _ => self.parts(expression).map(|_| None),
            },
            Expr::Between(between) => {
                self.together(&[&between.expr, &between.low, &between.high]).map(|_| None)
            }
            Expr::InList(list) => {
                let values: Vec<&Expr> =
                    std::iter::once(list.expr.as_ref()).chain(&list.list).collect();
                self.together(&values).map(|_| None)
            }
            Expr::Case(case) => {
                let whens = case.when_then_expr.iter().map(|(when, _)| when.as_ref());
                match &case.expr {
                    Some(value) => {
                        self.together(
                            &std::iter::once(value.as_ref()).chain(whens).collect::<Vec<_>>(),
                        )?;
                    }
                    None => {
                        for when in whens {
                            self.axis(when)?;
                        }
                    }
                }
                let thens = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
                let values: Vec<&Expr> = thens.chain(case.else_expr.as_deref()).collect();
                Ok(common(&self.together(&values)?))
            }
            Expr::ScalarFunction(function) if CHOOSES.contains(&function.name()) => {
                Ok(common(&self.together(&function.args.iter().collect::<Vec<_>>())?))
            }
            // A function of one time is compared with the same function of another.
            Expr::ScalarFunction(function) => {
                let axes = self.parts(expression)?;
                let number = || {
                    let value = expression.get_type(&self.schema);
                    value.is_ok_and(|data_type| is_number(&data_type))
                };
                Ok(common(&axes).filter(|_| !function.name().starts_with("cf_") && number()))
            }
            Expr::AggregateFunction(AggregateFunction { func, .. }) => {
                Ok(kept(func.name(), self.parts(expression)?))
            }
            Expr::WindowFunction(function) => {
                Ok(kept(function.fun.name(), self.parts(expression)?))
            }
            Expr::InSubquery(inside) => {
                self.with_subquery(&inside.expr, &inside.subquery.subquery).map(|()| None)
            }
            Expr::SetComparison(comparison) => {
                self.with_subquery(&comparison.expr, &comparison.subquery.subquery).map(|()| None)
            }
            Expr::ScalarSubquery(subquery) => {
                Ok(axes(&subquery.subquery)?.into_iter().next().flatten())
            }
            Expr::Exists(exists) => axes(&exists.subquery.subquery).map(|_| None),
            other => self.parts(other).map(|_| None),
        }
    }

    fn cast(&self, inner: &Expr, to: &DataType) -> Result<Option<Arc<Axis>>, QueryError> {
        let axis = self.axis(inner)?;
        match axis {
            Some(axis) if Other::of_type(to) == Other::Date => Err(no_number(&axis, "a timestamp")),
            axis => Ok(axis.filter(|_| is_number(to))),
        }
    }
}

/// The axis of values of which each may be a time; they have been compared.
fn common(axes: &[Option<Arc<Axis>>]) -> Option<Arc<Axis>> {
    axes.iter().flatten().next().cloned()
}

fn kept(function: &str, values: Axes) -> Option<Arc<Axis>> {
    let name = function.to_ascii_lowercase();
    values.into_iter().next().flatten().filter(|_| KEEPS_TIME.contains(&name.as_str()))
}
