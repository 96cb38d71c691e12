//! Parameters of a statement, `$1`, and what it says of their types.

use super::super::types::PgType;
use super::arrays::parameter_of_elements;
use super::tree::{parameter, parameter_of};
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, Expr, LimitClause, Query, TimezoneInfo, Value, ValueWithSpan,
    VisitMut, VisitorMut,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Numbers of types beside those that values have.
const OID: u32 = 26;
const OIDS: u32 = 1028;
const NAME: u32 = 19;
const VARCHAR: u32 = 1043;
const BPCHAR: u32 = 1042;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

/// Parameters, as a statement has them.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Their numbers.
    pub(super) numbers: BTreeSet<usize>,
    /// Types that a cast gives them, or the place where they stand.
    pub(super) types: BTreeMap<usize, u32>,
    /// Those that are arrays, whose elements are compared.
    pub(super) lists: BTreeSet<usize>,
}

impl Found {
    fn of(&mut self, expr: &Expr, oid: u32) {
        if let Some(number) = parameter_of(expr) {
            self.types.entry(number).or_insert(oid);
        }
    }
}

impl VisitorMut for Found {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(text) = &value.value
            && let Some(number) = parameter(text)
        {
            self.numbers.insert(number);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Cast { expr, data_type, .. } = expr
            && let Some(oid) = oid(data_type)
        {
            self.of(expr, oid);
        }
        if let Some(number) = parameter_of_elements(expr) {
            self.lists.insert(number);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let int8 = PgType::Int8.known().oid;
        match &query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                for expr in limit.iter().chain(offset.iter().map(|offset| &offset.value)) {
                    self.of(expr, int8);
                }
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                self.of(offset, int8);
                self.of(limit, int8);
            }
            None => {}
        }
        if let Some(quantity) = query.fetch.as_ref().and_then(|fetch| fetch.quantity.as_ref()) {
            self.of(quantity, int8);
        }
        ControlFlow::Continue(())
    }
}

/// Gives parameters numbers without gaps.
pub(super) struct Renumbered<'a>(pub(super) &'a [usize]);

impl VisitorMut for Renumbered<'_> {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let Value::Placeholder(text) = &mut value.value
            && let Some(number) = parameter(text)
            && let Ok(place) = self.0.binary_search(&number)
        {
            *text = format!("${}", place.saturating_add(1));
        }
        ControlFlow::Continue(())
    }
}

/// Whether a value beside a time is an interval, which the engine would take for a time too: it is told so by a cast.
pub(super) fn cast_intervals<T: VisitMut>(tree: &mut T, intervals: &BTreeSet<usize>) {
    if !intervals.is_empty() {
        let _ = VisitMut::visit(tree, &mut Intervals(intervals));
    }
}

struct Intervals<'a>(&'a BTreeSet<usize>);

impl VisitorMut for Intervals<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Value(_) = expr
            && parameter_of(expr).is_some_and(|number| self.0.contains(&number))
        {
            let interval = DataType::Interval { fields: None, precision: None };
            *expr = super::tree::cast(super::tree::taken(expr), interval);
        }
        ControlFlow::Continue(())
    }
}

/// The number of a type of SQL; none where any text will do.
fn oid(data_type: &DataType) -> Option<u32> {
    let kind = match data_type {
        DataType::Bool | DataType::Boolean => PgType::Bool,
        DataType::SmallInt(_) | DataType::Int2(_) | DataType::TinyInt(_) => PgType::Int2,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => PgType::Int4,
        DataType::BigInt(_) | DataType::Int8(_) => PgType::Int8,
        DataType::Real | DataType::Float4 => PgType::Float4,
        DataType::Float(_) | DataType::Float8 | DataType::Double(_) | DataType::DoublePrecision => {
            PgType::Float8
        }
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => PgType::Numeric,
        DataType::Text | DataType::String(_) => PgType::Text,
        DataType::Varchar(_) | DataType::CharVarying(_) | DataType::CharacterVarying(_) => {
            return Some(VARCHAR);
        }
        DataType::Char(_) | DataType::Character(_) => return Some(BPCHAR),
        DataType::Bytea => PgType::Bytea,
        DataType::Date => PgType::Date,
        DataType::Time(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => PgType::Time,
        DataType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            PgType::Timestamp
        }
        DataType::Timestamp(_, _) => PgType::TimestampTz,
        DataType::Interval { .. } => PgType::Interval,
        DataType::JSON => PgType::Json,
        DataType::JSONB => return Some(JSONB),
        DataType::Uuid => return Some(UUID),
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _)
            | ArrayElemTypeDef::AngleBracket(element)
            | ArrayElemTypeDef::Parenthesis(element),
        ) => {
            let element = oid(element)?;
            if element == OID {
                return Some(OIDS);
            }
            let known = PgType::ALL.into_iter().map(PgType::known);
            let array = known.filter(|known| known.oid == element).map(|known| known.array).next();
            return array.or(Some(PgType::Text.known().array));
        }
        DataType::Custom(name, _) => {
            let name = super::tree::parts(name).pop()?;
            match name.as_str() {
                "oid" => return Some(OID),
                "name" => return Some(NAME),
                name => {
                    let mut known = PgType::ALL.into_iter().map(PgType::known);
                    return known.find(|known| known.name == name).map(|known| known.oid);
                }
            }
        }
        _ => return None,
    };
    Some(kind.known().oid)
}
