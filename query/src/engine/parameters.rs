//! Parameters of a statement: `$1`, `$2`, …, or `?` in the order in which they stand.
//!
//! Values go into the plan as literals with types, after the SQL was read: no text of theirs is ever SQL.

use crate::error::QueryError;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Value, ValueWithSpan, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Location;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Most parameters of a statement.
const MOST: usize = 1_000;
/// Most rows of values that one statement runs with.
pub(super) const MOST_ROWS: usize = 1_000;

/// Gives parameters that are written `?` their numbers.
///
/// # Errors
/// [`QueryError::Invalid`] for parameters with names, for `?` beside `$1`, and for numbers that leave gaps.
pub(super) fn number(statement: &mut Statement) -> Result<(), QueryError> {
    let Some(inner) = inner(statement) else { return Ok(()) };
    let mut found = Found::default();
    let _ = inner.visit(&mut found);
    if let Some(name) = found.named {
        return Err(QueryError::Invalid(format!(
            "the parameter {name} is not understood; write ? or $1, $2, …"
        )));
    }
    if !found.plain.is_empty() && !found.numbers.is_empty() {
        return Err(QueryError::Invalid(
            "write all parameters as ? or all as $1, $2, …".to_owned(),
        ));
    }
    let most = found.plain.len().max(found.numbers.last().copied().unwrap_or(0));
    if most > MOST {
        return Err(QueryError::Invalid(format!(
            "the statement has more than {MOST} parameters; join a table or VALUES"
        )));
    }
    if most > found.plain.len().max(found.numbers.len()) {
        return Err(QueryError::Invalid(format!(
            "the parameters of the statement go up to ${most} and leave numbers out"
        )));
    }
    found.plain.sort_unstable();
    found.numbering = true;
    let _ = inner.visit(&mut found);
    Ok(())
}

fn inner(statement: &mut Statement) -> Option<&mut ast::Statement> {
    match statement {
        Statement::Statement(statement) => Some(statement),
        Statement::Explain(explain) => inner(&mut explain.statement),
        _ => None,
    }
}

/// Parameters, found in a first walk and given numbers in a second.
#[derive(Default)]
struct Found {
    /// Where those stand that are written `?`: a walk does not meet them in their order.
    plain: Vec<Location>,
    /// Numbers of the others.
    numbers: BTreeSet<usize>,
    named: Option<String>,
    numbering: bool,
}

impl VisitorMut for Found {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let Value::Placeholder(text) = &mut value.value else { return ControlFlow::Continue(()) };
        let at = value.span.start;
        if self.numbering {
            if text == "?"
                && let Ok(index) = self.plain.binary_search(&at)
            {
                *text = format!("${}", index.saturating_add(1));
            }
        } else if text == "?" {
            self.plain.push(at);
        } else {
            match text.strip_prefix('$').and_then(|number| number.parse::<usize>().ok()) {
                Some(number) if number > 0 => {
                    self.numbers.insert(number);
                }
                _ => self.named = Some(text.clone()),
            }
        }
        ControlFlow::Continue(())
    }
}

/// The plan with each parameter that stands where a number does in the type that a number written there would have:
/// `$1` in `station * $1` is a whole number of 64 bits, whatever the column is, so that the answer has the type, and the
/// value, that `station * 7` has.
pub(super) fn widened(plan: LogicalPlan) -> Result<LogicalPlan, QueryError> {
    if plan.get_parameter_fields()?.is_empty() {
        return Ok(plan);
    }
    let widened = plan.transform_up_with_subqueries(|plan| {
        plan.map_expressions(|expression| {
            expression.transform_up(|expression| {
                let Expr::Placeholder(Placeholder { id, field: Some(field) }) = expression else {
                    return Ok(Transformed::no(expression));
                };
                let wide = match field.data_type() {
                    whole if whole.is_integer() => Some(DataType::Int64),
                    DataType::Float16 | DataType::Float32 => Some(DataType::Float64),
                    _ => None,
                };
                let field = match wide {
                    Some(wide) => Arc::new(field.as_ref().clone().with_data_type(wide)),
                    None => field,
                };
                Ok(Transformed::yes(Expr::Placeholder(Placeholder { id, field: Some(field) })))
            })
        })?
        .map_data(LogicalPlan::recompute_schema)
    })?;
    Ok(widened.data)
}

/// The parameters of a plan, in order, with the types that the statement asks for; `Null` where any will
/// do.
pub(super) fn schema(plan: &LogicalPlan) -> Result<SchemaRef, QueryError> {
    let mut fields: BTreeMap<usize, Field> = BTreeMap::new();
    for (name, known) in plan.get_parameter_fields()? {
        let Some(number) = name.strip_prefix('$').and_then(|number| number.parse().ok()) else {
            continue;
        };
        let data_type = known.map_or(DataType::Null, |known: FieldRef| plain(known.data_type()));
        fields.insert(number, Field::new(name, data_type, true));
    }
    Ok(Arc::new(Schema::new(fields.into_values().collect::<Vec<_>>())))
}

/// The type that clients know a parameter by.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain(values),
        DataType::RunEndEncoded(_, values) => plain(values.data_type()),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

/// The plan with these values in place of its parameters.
///
/// # Errors
/// [`QueryError::Invalid`] for values that are too few or too many, or of a type that cannot stand there.
pub(super) fn bind(plan: LogicalPlan, values: &[ScalarValue]) -> Result<LogicalPlan, QueryError> {
    let wanted = schema(&plan)?;
    if wanted.fields().len() != values.len() {
        return Err(QueryError::Invalid(format!(
            "the statement has {} parameter(s), and {} value(s) were bound",
            wanted.fields().len(),
            values.len()
        )));
    }
    if values.is_empty() {
        return Ok(plan);
    }
    let values: Vec<ScalarValue> = wanted
        .fields()
        .iter()
        .zip(values)
        .map(|(field, value)| fit(field, value))
        .collect::<Result<_, _>>()?;
    Ok(plan.with_param_values(ParamValues::from(values))?)
}

/// A value in the type that the statement asks for, if it is the same value there and is written alike; as it was
/// given if it is of the same kind, where it means what it would as a literal in the SQL. So 2.0 stays a float, also
/// where a whole number is asked for: `7 / 2.0` is 3.5.
fn fit(field: &Field, value: &ScalarValue) -> Result<ScalarValue, QueryError> {
    let (wanted, given) = (field.data_type(), plain(&value.data_type()));
    let value = value.cast_to(&given)?;
    if wanted.is_null() || *wanted == given {
        return Ok(value);
    }
    if value.is_null() {
        return Ok(ScalarValue::try_from(wanted)?);
    }
    if let (Some(wanted_kind), Some(kind)) = (Kind::of(wanted), Kind::of(&given))
        && wanted_kind.takes(kind)
    {
        let alike = given.is_integer()
            || (given.is_floating() && wanted.is_floating())
            || (given.is_decimal() && wanted.is_decimal())
            || (wanted_kind == kind && kind != Kind::Number);
        let cast = value.cast_to(wanted).ok().filter(|_| alike);
        let same = cast.filter(|cast| cast.cast_to(&given).is_ok_and(|back| back == value));
        return Ok(same.unwrap_or(value));
    }
    Err(QueryError::Invalid(format!(
        "the value of parameter {} is of type {given}, and the statement asks for {wanted}",
        field.name()
    )))
}

/// Kinds of values that SQL compares with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Boolean,
    Number,
    Text,
    Binary,
    Time,
    Interval,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Boolean => Some(Self::Boolean),
            DataType::Utf8 | DataType::LargeUtf8 => Some(Self::Text),
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) => {
                Some(Self::Binary)
            }
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_) => Some(Self::Time),
            DataType::Interval(_) | DataType::Duration(_) => Some(Self::Interval),
            other if other.is_numeric() => Some(Self::Number),
            _ => None,
        }
    }

    /// Whether a value of another kind may stand in this one's place: times may be written as text.
    fn takes(self, given: Self) -> bool {
        self == given || (matches!(self, Self::Time | Self::Interval) && given == Self::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::parser::DFParserBuilder;

    fn numbered(sql: &str) -> Result<String, QueryError> {
        let mut statement =
            DFParserBuilder::new(sql).build().unwrap().parse_statements().unwrap().pop_front();
        number(statement.as_mut().unwrap())?;
        Ok(statement.unwrap().to_string())
    }

    #[test]
    fn question_marks_are_numbered_as_they_stand() {
        let text = numbered(
            "SELECT ? FROM (SELECT 1 AS a WHERE ? IS NULL) JOIN t ON a = ? WHERE b BETWEEN ? AND ? \
             ORDER BY c LIMIT ? OFFSET ?",
        )
        .unwrap();
        let found: Vec<&str> = text.split('$').skip(1).map(|rest| &rest[..1]).collect();
        assert_eq!(found, ["1", "2", "3", "4", "5", "6", "7"], "{text}");
        assert_eq!(numbered("SELECT '?' || ?").unwrap(), "SELECT '?' || $1");
        assert_eq!(numbered("SELECT $2, $1, $1").unwrap(), "SELECT $2, $1, $1");
    }

    #[test]
    fn parameters_that_cannot_be_told_apart_are_refused() {
        for sql in ["SELECT ?, $1", "SELECT $name", "SELECT $1, $3", "SELECT $0", "SELECT :a"] {
            assert!(matches!(numbered(sql), Err(QueryError::Invalid(_))), "{sql}");
        }
    }

    #[test]
    fn a_value_keeps_what_it_is() {
        let fit = |wanted, value: ScalarValue| fit(&Field::new("$1", wanted, true), &value);
        let long = |value| ScalarValue::Int64(Some(value));
        assert_eq!(fit(DataType::Int16, long(7)).unwrap(), ScalarValue::Int16(Some(7)));
        assert_eq!(fit(DataType::Int16, long(70_000)).unwrap(), long(70_000));
        let two = ScalarValue::Float64(Some(2.0));
        assert_eq!(fit(DataType::Int64, two.clone()).unwrap(), two);
        assert_eq!(fit(DataType::Decimal128(10, 2), two.clone()).unwrap(), two);
        let two = ScalarValue::Decimal128(Some(20), 2, 1);
        assert_eq!(fit(DataType::Int64, two.clone()).unwrap(), two);
        let half = ScalarValue::Float64(Some(0.5));
        assert_eq!(fit(DataType::Int32, half.clone()).unwrap(), half);
        let tenth = ScalarValue::Float64(Some(0.1));
        assert_eq!(fit(DataType::Float32, tenth.clone()).unwrap(), tenth);
        assert_eq!(fit(DataType::Null, tenth.clone()).unwrap(), tenth);
        let text = ScalarValue::from("1");
        assert!(fit(DataType::Int64, text.clone()).is_err());
        assert!(fit(DataType::Utf8, long(1)).is_err());
        assert!(fit(DataType::Boolean, long(1)).is_err());
        assert_eq!(fit(DataType::Date32, text.clone()).unwrap(), text);
        let nothing = ScalarValue::Int64(None);
        assert_eq!(fit(DataType::Utf8, nothing).unwrap(), ScalarValue::Utf8(None));
    }
}
