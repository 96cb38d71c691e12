//! The walk through a statement, in which what is PostgreSQL's own is put in the engine's words.

use super::scope::Scope;
use super::tree::{compared, parts, query, taken, text, text_of, truth};
use super::{Facts, arrays, casts, empty, functions, names, tree, udf};
use crate::engine::NestingError;
use crate::error::QueryError;
use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CaseWhen, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, Ident, LimitClause, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SetExpr, Table, TableAlias, TableAliasColumnDef, TableFactor, Value, ValueWithSpan, Visit,
    VisitMut, Visitor, VisitorMut,
};
use std::ops::ControlFlow;

/// Most queries that a statement may get in the place of calls and casts: each is planned.
const MOST_QUERIES: usize = 256;
/// Most bytes of text that it may get.
const MOST_TEXT: usize = 1 << 20;

/// Walks a statement.
pub(super) struct Rewriter<'a> {
    facts: &'a Facts,
    scope: &'a Scope,
    /// Whether something was put in other words.
    pub(super) changed: bool,
    /// Queries that are open.
    depth: usize,
    queries: usize,
    text: usize,
}

impl<'a> Rewriter<'a> {
    pub(super) fn new(facts: &'a Facts, scope: &'a Scope) -> Self {
        Self { facts, scope, changed: false, depth: 0, queries: 0, text: 0 }
    }

    /// What was made of a statement.
    pub(super) fn walk<T: VisitMut>(&mut self, tree: &mut T) -> Result<(), QueryError> {
        match VisitMut::visit(tree, self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn replace(&mut self, expr: &mut Expr, with: Option<Expr>) -> ControlFlow<QueryError> {
        let Some(with) = with else { return ControlFlow::Continue(()) };
        match &with {
            Expr::Subquery(_) => self.queries = self.queries.saturating_add(1),
            other => {
                let length = text_of(other).map_or(0, str::len);
                self.text = self.text.saturating_add(length);
            }
        }
        if self.queries > MOST_QUERIES {
            return ControlFlow::Break(NestingError::Relations.into());
        }
        if self.text > MOST_TEXT {
            return ControlFlow::Break(QueryError::Invalid(
                "this statement asks for the same texts too often; ask once".to_owned(),
            ));
        }
        *expr = with;
        self.changed = true;
        ControlFlow::Continue(())
    }

    /// An expression in the place of this one, after what is in it was looked at.
    fn instead(&self, expr: &mut Expr) -> Result<Option<Expr>, QueryError> {
        Ok(match expr {
            Expr::Function(function) => {
                arrays::of_rows(function).or_else(|| functions::instead(function, self.facts))
            }
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                match ident.value.to_lowercase().as_str() {
                    "current_schema" => Some(tree::no_text()),
                    "current_role" => Some(text(&self.facts.user)),
                    _ => None,
                }
            }
            Expr::Cast { expr, data_type, .. } => casts::instead(expr, data_type),
            Expr::Collate { expr, collation } => {
                let ours = parts(collation).first().is_some_and(|part| part == "pg_catalog");
                ours.then(|| taken(expr))
            }
            Expr::BinaryOp { left, op: BinaryOperator::PGCustomBinaryOperator(names), right } => {
                let op = match names.last().map(String::as_str) {
                    Some("~") => BinaryOperator::PGRegexMatch,
                    Some("!~") => BinaryOperator::PGRegexNotMatch,
                    Some("~*") => BinaryOperator::PGRegexIMatch,
                    Some("~~") => BinaryOperator::PGLikeMatch,
                    Some("=") => BinaryOperator::Eq,
                    Some("<>") => BinaryOperator::NotEq,
                    _ => return Ok(None),
                };
                Some(compared(taken(left), op, taken(right)))
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                if let Some(made) = pattern_of(pattern, escape_char.as_ref())? {
                    **pattern = made;
                    *escape_char = None;
                    return Ok(Some(taken(expr)));
                }
                None
            }
            Expr::BinaryOp { .. } if self.scope.asks_for_other_types(expr) => Some(truth(false)),
            Expr::Case { conditions, .. } if self.scope.is_catalog() => {
                forget(conditions).then(|| taken(expr))
            }
            Expr::IsNull(list) if self.scope.is_never_there(list) => Some(truth(true)),
            Expr::IsNotNull(list) if self.scope.is_never_there(list) => Some(truth(false)),
            Expr::Subquery(query) if empty::is_blank_query(query) => Some(tree::no_text()),
            Expr::Subquery(query) => {
                if one_row_of_the_catalog(query) {
                    return Ok(Some(taken(expr)));
                }
                None
            }
            Expr::Exists { subquery, negated } if empty::is_blank_query(subquery) => {
                Some(truth(*negated))
            }
            Expr::InSubquery { subquery, negated, .. } if empty::is_blank_query(subquery) => {
                Some(truth(*negated))
            }
            _ => None,
        })
    }

    /// Gives columns that stand beside all columns of a table of the catalog a name of their own: a name is there once.
    fn tell_apart(&mut self, select: &mut Select) {
        let system = |factor: &TableFactor| {
            matches!(factor, TableFactor::Table { name, .. }
                if parts(name).first().is_some_and(|schema| schema == "pg_catalog"))
        };
        let all = select.projection.iter().any(|item| {
            matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        });
        if !all || !select.from.iter().any(|table| system(&table.relation)) {
            return;
        }
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(
                expr @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
            ) = item
                && let Some(name) = names::column_name(expr)
            {
                let alias = Ident::with_quote('"', format!("{name}_2"));
                *item = SelectItem::ExprWithAlias { expr: taken(expr), alias };
                self.changed = true;
            }
        }
    }
}

/// The pattern of a LIKE, with the engine's own escape, which is a backslash.
fn pattern_of(
    pattern: &mut Expr,
    escape: Option<&ValueWithSpan>,
) -> Result<Option<Expr>, QueryError> {
    let Some(ValueWithSpan { value: Value::SingleQuotedString(escape), .. }) = escape else {
        return Ok(None);
    };
    if escape == "\\" {
        return Ok(None);
    }
    Ok(Some(match text_of(pattern) {
        Some(pattern) => text(udf::like_pattern(pattern, escape)?),
        None => tree::call(udf::LIKE_PATTERN, vec![taken(pattern), text(escape)]),
    }))
}

/// Lets a query for one value of a row of the catalog give one whatever there is, as the engine wants it; whether it is
/// such a query. PostgreSQL's own catalog has one row there, and so has this one.
fn one_row_of_the_catalog(query: &mut Query) -> bool {
    let plain = query.with.is_none() && query.order_by.is_none() && query.fetch.is_none();
    let SetExpr::Select(select) = query.body.as_mut() else { return false };
    let system = |factor: &TableFactor| {
        matches!(factor, TableFactor::Table { name, args: None, .. }
            if matches!(parts(name).as_slice(), [schema, _] if schema == "pg_catalog"))
    };
    let of_catalog = !select.from.is_empty()
        && select.from.iter().all(|table| {
            system(&table.relation) && table.joins.iter().all(|join| system(&join.relation))
        });
    if !plain || !of_catalog || !empty::is_plain(select) {
        return false;
    }
    let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
        select.projection.as_mut_slice()
    else {
        return false;
    };
    *expr = tree::call("max", vec![taken(expr)]);
    query.limit_clause = None;
    true
}

/// Queries for values that are wanted in no case are not asked; whether there were such. What they would be stays known.
fn forget(conditions: &mut [CaseWhen]) -> bool {
    let mut changed = false;
    for CaseWhen { condition, result } in conditions {
        let Expr::Subquery(query) = &*result else { continue };
        if !empty::is_never(condition) {
            continue;
        }
        let gathers = matches!(query.body.as_ref(), SetExpr::Select(select)
            if matches!(select.projection.as_slice(),
                [SelectItem::UnnamedExpr(Expr::Function(function)) | SelectItem::ExprWithAlias { expr: Expr::Function(function), .. }]
                    if tree::function_name(function).as_deref() == Some("array_agg")));
        let number = DataType::BigInt(None);
        let kind = if gathers {
            DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(number), None))
        } else {
            number
        };
        *result = tree::null(kind);
        changed = true;
    }
    changed
}

/// Whether a query looks through `search_path`, which means nothing here.
fn asks_for_search_path(query: &Query) -> bool {
    struct Asks(bool);
    impl Visitor for Asks {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && tree::function_name(function).as_deref() == Some("current_setting")
                && function_says(function, "search_path")
            {
                self.0 = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let mut asks = Asks(false);
    let _ = query.visit(&mut asks);
    asks.0
}

fn function_says(function: &Function, said: &str) -> bool {
    tree::arguments(&mut function.clone()).iter().any(|argument| text_of(argument) == Some(said))
}

/// A call of `unnest` that was not read as one, because its name had a schema.
fn unnested(factor: &mut TableFactor) -> Option<TableFactor> {
    let TableFactor::Table { name, alias, args: Some(args), with_ordinality, .. } = factor else {
        return None;
    };
    if parts(name) != ["unnest"] || args.settings.is_some() {
        return None;
    }
    let each = args.args.iter_mut().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    let arrays = each.collect::<Option<Vec<_>>>()?;
    Some(TableFactor::UNNEST {
        alias: alias.take(),
        array_exprs: arrays.into_iter().map(taken).collect(),
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: *with_ordinality,
    })
}

/// What a table of one column is called is the name of the column too; whether it had none.
fn name_column(alias: &mut TableAlias) -> bool {
    let none = alias.columns.is_empty();
    if none {
        let column = TableAliasColumnDef { name: alias.name.clone(), data_type: None };
        alias.columns.push(column);
    }
    none
}

/// A table without rows, in the place of elements that are not there.
fn nothing(alias: Option<&TableAlias>) -> Option<TableFactor> {
    let mut alias = alias?.clone();
    name_column(&mut alias);
    let subquery = query("SELECT CAST(NULL AS VARCHAR) AS tarn_value WHERE false", None)?;
    Some(TableFactor::Derived {
        lateral: false,
        subquery: Box::new(subquery),
        alias: Some(alias),
        sample: None,
    })
}

/// `TABLE a` as the query that it means.
fn all_of(table: &Table) -> Option<Query> {
    let name = table.table_name.as_ref()?;
    let idents = table.schema_name.iter().chain([name]).map(Ident::new).collect::<Vec<_>>();
    let mut all = query("SELECT * FROM tarn_table", None)?;
    if let SetExpr::Select(select) = all.body.as_mut()
        && let [table] = select.from.as_mut_slice()
        && let TableFactor::Table { name, .. } = &mut table.relation
    {
        *name = ObjectName::from(idents);
    }
    Some(all)
}

/// `FETCH FIRST n ROWS ONLY` as a LIMIT; whether it was one.
fn limit(query: &mut Query) -> bool {
    let none = LimitClause::LimitOffset { limit: None, offset: None, limit_by: Vec::new() };
    let clause = query.limit_clause.take().unwrap_or(none);
    let LimitClause::LimitOffset { limit: None, offset, limit_by } = clause else {
        query.limit_clause = Some(clause);
        return false;
    };
    let fetch = query.fetch.take_if(|fetch| !fetch.with_ties && !fetch.percent);
    let (there, limit) = match fetch {
        Some(fetch) => (true, Some(fetch.quantity.unwrap_or_else(|| tree::number(1)))),
        None => (false, None),
    };
    if there || offset.is_some() || !limit_by.is_empty() {
        query.limit_clause = Some(LimitClause::LimitOffset { limit, offset, limit_by });
    }
    there
}

impl VisitorMut for Rewriter<'_> {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        self.depth = self.depth.saturating_add(1);
        self.changed |= limit(query);
        if let SetExpr::Table(table) = query.body.as_ref()
            && let Some(all) = all_of(table)
        {
            query.body = all.body;
            self.changed = true;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<QueryError> {
        self.depth = self.depth.saturating_sub(1);
        // What it was in the order of is not there any more.
        if empty::is_blank_query(query) {
            query.order_by = None;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        if self.depth > 1 {
            names::name(select);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<QueryError> {
        let within_catalog = self.depth > 1 && self.scope.is_catalog();
        self.changed |= empty::blank(select, within_catalog) || empty::loosen(select);
        self.tell_apart(select);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<QueryError> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } =
            factor
            && parts(name).first().is_some_and(|schema| schema == "pg_catalog")
        {
            // A function that makes rows, which the engine has without a schema.
            name.0.drain(..name.0.len().saturating_sub(1));
            self.changed = true;
        }
        if let Some(unnest) = unnested(factor) {
            *factor = unnest;
            self.changed = true;
        }
        if let TableFactor::UNNEST { alias, array_exprs, with_ordinality, .. } = factor {
            let never = array_exprs.iter().all(|list| self.scope.is_never_there(list));
            if let (true, Some(nothing)) = (never, nothing(alias.as_ref())) {
                *factor = nothing;
                self.changed = true;
            } else if let (Some(alias), [_], false) = (alias, &**array_exprs, *with_ordinality) {
                self.changed |= name_column(alias);
            }
            return ControlFlow::Continue(());
        }
        let TableFactor::Table { name, alias, args, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let parts = parts(name);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let table = match (parts.as_slice(), args.as_ref()) {
            (["pg_get_keywords"], Some(_)) => {
                *args = None;
                "pg_get_keywords".to_owned()
            }
            (_, Some(_)) => return ControlFlow::Continue(()),
            ([table], _) if super::super::system::is_table(table) => (*table).to_owned(),
            ([.., "information_schema", table], _) => format!("information_schema_{table}"),
            ([.., "pg_catalog", _], _) => {
                self.changed = true;
                return ControlFlow::Continue(());
            }
            _ => return ControlFlow::Continue(()),
        };
        if alias.is_none()
            && let Some(shown) = parts.last()
        {
            let name = Ident::with_quote('"', *shown);
            *alias = Some(TableAlias { explicit: true, name, columns: vec![], at: None });
        }
        let parts = vec![Ident::new("pg_catalog"), Ident::with_quote('"', table)];
        *name = ObjectName(parts.into_iter().map(ObjectNamePart::Identifier).collect());
        self.changed = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        let with = match expr {
            Expr::InSubquery { subquery, .. } if asks_for_search_path(subquery) => {
                Some(truth(true))
            }
            _ => arrays::quantified(expr, self.facts.describing),
        };
        self.replace(expr, with)
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<QueryError> {
        match self.instead(expr) {
            Ok(with) => self.replace(expr, with),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<QueryError> {
        if let Value::EscapedStringLiteral(text) = &mut value.value {
            value.value = Value::SingleQuotedString(std::mem::take(text));
            self.changed = true;
        }
        ControlFlow::Continue(())
    }
}
