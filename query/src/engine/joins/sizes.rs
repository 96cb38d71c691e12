//! How many rows parts of a plan make, roughly.
//!
//! Rows of tables and bounds of columns are what their logs say; of everything else it is a guess. Guesses
//! choose the order of joins and answer nothing.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Column, ColumnStatistics, DFSchema, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, Join, JoinType, LogicalPlan, Operator, TableScan,
};
use std::collections::HashMap;

/// Rows taken for those of a table of which nothing may be said.
pub(super) const UNTOLD_ROWS: f64 = 4e6;
/// Values that a column of text has at most, as far as conditions on it are concerned.
const TEXT_VALUES: f64 = 20.0;
/// The share of rows that a condition keeps of which nothing else is known.
const SHARE: f64 = 0.3;
/// The share that fit a pattern.
const OF_PATTERN: f64 = 0.1;

/// What is known of a table that is scanned; none where nothing is.
pub(super) type Known<'a> = &'a dyn Fn(&TableScan) -> Option<Size>;

/// Rows, and what is in them.
#[derive(Debug, Clone)]
pub(super) struct Size {
    /// Rows after conditions.
    pub(super) rows: f64,
    /// By column of the schema.
    pub(super) columns: Vec<Values>,
}

/// The values of a column.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    /// Rows of the table that it comes from, before conditions.
    pub(super) of: f64,
    /// The least and the greatest.
    range: Option<(f64, f64)>,
    /// How many they may be.
    distinct: Option<f64>,
}

/// A count as a number; beyond four billion all are as large.
pub(super) fn number_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl Values {
    /// Those of a column of a table of so many rows.
    pub(super) fn new(rows: f64, known: Option<&ColumnStatistics>) -> Self {
        let Some(known) = known else { return Self { of: rows, ..Self::default() } };
        let bounds = (known.min_value.get_value(), known.max_value.get_value());
        let (range, distinct) = match bounds {
            (Some(low), Some(high)) => match (number(low), number(high)) {
                (Some(least), Some(greatest)) => {
                    let steps = (greatest - least) * steps_to_one(low) + 1.0;
                    (Some((least, greatest)), Some(steps.clamp(1.0, rows.max(1.0))))
                }
                _ => (None, None),
            },
            _ => (None, None),
        };
        Self { of: rows, range, distinct }
    }

    /// Whether there may be a row for each value, as in a key.
    fn may_be_key(&self) -> bool {
        self.distinct.is_none_or(|distinct| distinct > 0.9 * self.of)
    }

    fn at_most(&self) -> f64 {
        self.distinct.unwrap_or(self.of).max(1.0)
    }

    /// The share of rows with one value.
    fn share_of_one(&self) -> f64 {
        1.0 / self.distinct.unwrap_or_else(|| self.of.clamp(1.0, TEXT_VALUES))
    }
}

/// The share of all pairs of rows that have the same values in these pairs of columns.
pub(super) fn share_of_pairs(pairs: &[(Values, Values)]) -> f64 {
    let mut values = 1.0_f64;
    let mut fewest_rows = f64::INFINITY;
    for (one, other) in pairs {
        fewest_rows = fewest_rows.min(one.of).min(other.of);
        values *= match (one.may_be_key(), other.may_be_key()) {
            // The greater table refers to the lesser.
            (true, true) => one.of.min(other.of).max(1.0),
            (true, false) => one.of.max(1.0),
            (false, true) => other.of.max(1.0),
            (false, false) => one.at_most().max(other.at_most()),
        };
    }
    if pairs.len() > 1 {
        // Together they are a key of the lesser table at best.
        values = values.min(fewest_rows.max(1.0));
    }
    1.0 / values.max(1.0)
}

/// How many rows a plan makes; none where a part of it is unknown.
pub(super) fn size_of(plan: &LogicalPlan, known: Known<'_>) -> Option<Size> {
    let width = plan.schema().fields().len();
    let mut size = match plan {
        LogicalPlan::TableScan(scan) => known(scan)?,
        LogicalPlan::Filter(filter) => {
            let size = size_of(&filter.input, known)?;
            filtered(size, filter.input.schema(), &filter.predicate)
        }
        LogicalPlan::Projection(projection) => {
            let size = size_of(&projection.input, known)?;
            let columns = projection.expr.iter();
            let columns = columns.map(|column| values(column, projection.input.schema(), &size));
            Size { rows: size.rows, columns: columns.collect() }
        }
        LogicalPlan::Aggregate(aggregate) => {
            let size = size_of(&aggregate.input, known)?;
            let of = |key| values(key, aggregate.input.schema(), &size);
            let keys: Vec<Values> = aggregate.group_expr.iter().map(of).collect();
            let groups: f64 = keys.iter().map(Values::at_most).product();
            let rows = groups.min(size.rows).max(1.0);
            let of_groups = |key: &Values| Values { of: rows, distinct: key.distinct, ..*key };
            Size { rows, columns: keys.iter().map(of_groups).collect() }
        }
        LogicalPlan::Join(join) => joined(join, known)?,
        LogicalPlan::Limit(limit) => {
            let mut size = size_of(&limit.input, known)?;
            if let Some(Expr::Literal(count, _)) = limit.fetch.as_deref()
                && let Some(count) = number(count)
            {
                size.rows = size.rows.min(count);
            }
            size
        }
        LogicalPlan::Union(union) => {
            let mut rows = 0.0;
            for input in &union.inputs {
                rows += size_of(input, known)?.rows;
            }
            Size { rows, columns: vec![] }
        }
        LogicalPlan::SubqueryAlias(alias) => size_of(&alias.input, known)?,
        LogicalPlan::Subquery(subquery) => size_of(&subquery.subquery, known)?,
        LogicalPlan::Sort(sort) => size_of(&sort.input, known)?,
        LogicalPlan::Repartition(repartition) => size_of(&repartition.input, known)?,
        LogicalPlan::Window(window) => size_of(&window.input, known)?,
        LogicalPlan::Distinct(Distinct::All(input)) => size_of(input, known)?,
        LogicalPlan::EmptyRelation(_) => Size { rows: 1.0, columns: vec![] },
        LogicalPlan::Values(values) => {
            Size { rows: number_of(values.values.len()), columns: vec![] }
        }
        _ => return None,
    };
    size.rows = size.rows.max(1.0);
    size.columns.resize(width, Values { of: size.rows, ..Values::default() });
    Some(size)
}

fn joined(join: &Join, known: Known<'_>) -> Option<Size> {
    let (left, right) = (size_of(&join.left, known)?, size_of(&join.right, known)?);
    let pairs: Vec<(Values, Values)> = join
        .on
        .iter()
        .map(|(one, other)| {
            (values(one, join.left.schema(), &left), values(other, join.right.schema(), &right))
        })
        .collect();
    let met = left.rows * right.rows * share_of_pairs(&pairs);
    let met = if join.filter.is_some() { met * SHARE } else { met };
    let rows = match join.join_type {
        JoinType::Inner => met,
        JoinType::Left | JoinType::LeftMark => met.max(left.rows),
        JoinType::Right | JoinType::RightMark => met.max(right.rows),
        JoinType::Full => met.max(left.rows + right.rows),
        JoinType::LeftSemi | JoinType::LeftAnti => met.min(left.rows / 2.0),
        JoinType::RightSemi | JoinType::RightAnti => met.min(right.rows / 2.0),
    };
    let columns = match join.join_type {
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => right.columns,
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => left.columns,
        _ => left.columns.into_iter().chain(right.columns).collect(),
    };
    Some(Size { rows, columns })
}

/// What is known of the values of an expression over these rows.
pub(super) fn values(expr: &Expr, schema: &DFSchema, size: &Size) -> Values {
    let column = match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => return values(&alias.expr, schema, size),
        Expr::Cast(cast) => return values(&cast.expr, schema, size),
        _ => None,
    };
    column
        .and_then(|column| schema.maybe_index_of_column(column))
        .and_then(|place| size.columns.get(place).copied())
        .unwrap_or(Values { of: size.rows, ..Values::default() })
}

/// What a condition leaves.
fn filtered(mut size: Size, schema: &DFSchema, condition: &Expr) -> Size {
    size.rows = (size.rows * share_of(condition, schema, &size)).max(1.0);
    size
}

/// The share of rows that a condition keeps.
pub(super) fn share_of(condition: &Expr, schema: &DFSchema, size: &Size) -> f64 {
    // Bounds of one column belong together.
    let mut bounds: HashMap<&Column, (f64, f64)> = HashMap::new();
    let mut share = 1.0;
    for part in split_conjunction(condition) {
        match bound(part) {
            Some((column, low, high)) => {
                let known = bounds.entry(column).or_insert((f64::NEG_INFINITY, f64::INFINITY));
                *known = (known.0.max(low), known.1.min(high));
            }
            None => share *= share_of_part(part, schema, size),
        }
    }
    for (column, (low, high)) in bounds {
        let values = values(&Expr::Column(column.clone()), schema, size);
        share *= match values.range {
            Some((least, greatest)) if greatest > least => {
                ((high.min(greatest) - low.max(least)) / (greatest - least)).clamp(0.0, 1.0)
            }
            _ => SHARE,
        };
    }
    share.clamp(0.0, 1.0)
}

/// The bounds that a condition sets to a column.
fn bound(part: &Expr) -> Option<(&Column, f64, f64)> {
    let of = |expr: &Expr| match expr {
        Expr::Literal(value, _) => number(value),
        _ => None,
    };
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (Expr::Column(column), Some(value)) = (left.as_ref(), of(right)) else {
                return None;
            };
            match op {
                Operator::Lt | Operator::LtEq => Some((column, f64::NEG_INFINITY, value)),
                Operator::Gt | Operator::GtEq => Some((column, value, f64::INFINITY)),
                _ => None,
            }
        }
        Expr::Between(between) if !between.negated => match between.expr.as_ref() {
            Expr::Column(column) => Some((column, of(&between.low)?, of(&between.high)?)),
            _ => None,
        },
        _ => None,
    }
}

fn share_of_part(part: &Expr, schema: &DFSchema, size: &Size) -> f64 {
    let one = |expr: &Expr| values(expr, schema, size).share_of_one();
    let unless = |negated: bool, share: f64| if negated { 1.0 - share } else { share };
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::And => share_of(part, schema, size),
            Operator::Or => {
                let (one, other) = (share_of(left, schema, size), share_of(right, schema, size));
                (one + other).min(1.0)
            }
            Operator::Eq => one(left).min(one(right)),
            Operator::NotEq => 1.0 - one(left).min(one(right)),
            _ => SHARE,
        },
        Expr::Not(inner) => 1.0 - share_of(inner, schema, size),
        Expr::InList(list) => {
            let share = (one(&list.expr) * number_of(list.list.len())).min(1.0);
            unless(list.negated, share)
        }
        Expr::Like(like) => unless(like.negated, OF_PATTERN),
        Expr::IsNotNull(_) => 1.0,
        Expr::IsNull(_) => OF_PATTERN,
        Expr::Literal(ScalarValue::Boolean(Some(holds)), _) => unless(!holds, 1.0),
        _ => SHARE,
    }
}

/// A value on the line of its type's numbers.
fn number(value: &ScalarValue) -> Option<f64> {
    let whole = |value: &ScalarValue| value.cast_to(&DataType::Int64).ok();
    let value = match value.data_type() {
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => whole(value)?,
        kind if kind.is_numeric() => value.clone(),
        _ => return None,
    };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(number)) => number.filter(|number| number.is_finite()),
        _ => None,
    }
}

/// How many values there are from one whole number to the next.
fn steps_to_one(value: &ScalarValue) -> f64 {
    match value.data_type() {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            10_f64.powi(i32::from(scale))
        }
        kind if kind.is_floating() => f64::MAX,
        _ => 1.0,
    }
}
