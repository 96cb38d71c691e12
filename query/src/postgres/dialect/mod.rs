//! Statements that clients of PostgreSQL send on their own, as SQL that the engine understands.
//!
//! Clients ask `pg_catalog` for what there is, with functions, casts and operators of PostgreSQL. A statement that has
//! some of them is rewritten here, tree for tree, and then planned in the session of whoever asks like any other: what
//! it may read is decided there. A statement without them stays the text that it was.

mod casts;
mod empty;
mod functions;

use super::settings::Settings;
use crate::engine::nesting;
use crate::error::QueryError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    TableAlias, TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What the functions of a session answer.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// The database: this lab.
    pub(super) lab: &'a str,
    /// The name that the client came in with.
    pub(super) user: &'a str,
    /// The number of the connection.
    pub(super) process: i32,
    pub(super) settings: &'a Settings,
}

/// Parts of words that a statement has where it may be of this kind.
const SIGNS: [&str; 21] = [
    "escape",
    "pg_",
    "information_schema",
    "current_",
    "session_user",
    "version",
    "reg",
    "quote_",
    "_description",
    "format_type",
    "has_",
    "set_config",
    "txid_",
    "inet_",
    "oid",
    "name",
    "\"char\"",
    "operator",
    "any",
    "collate",
    "array_to_string",
];

/// The statement as the engine reads it; none where it is so already.
///
/// # Errors
/// For what is no SQL.
pub(super) fn rewritten(sql: &str, facts: &Facts<'_>) -> Result<Option<Rewritten>, QueryError> {
    nesting::check(sql)?;
    let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    let lower = sql.to_ascii_lowercase();
    if statements.len() != 1 || !SIGNS.iter().any(|sign| lower.contains(sign)) {
        return Ok(None);
    }
    let Some(Statement::Statement(mut statement)) = statements.pop_front() else { return Ok(None) };
    let mut before = Placeholders::default();
    let _ = VisitMut::visit(statement.as_mut(), &mut before);
    let mut rewriter = Rewriter { facts, changed: false };
    let _ = VisitMut::visit(statement.as_mut(), &mut rewriter);
    if !rewriter.changed {
        return Ok(None);
    }
    let mut after = Placeholders::default();
    let _ = VisitMut::visit(statement.as_mut(), &mut after);
    // Numbers without gaps.
    let kept: Vec<usize> = after.found.into_iter().collect();
    after = Placeholders { found: BTreeSet::new(), kept: Some(kept) };
    let _ = VisitMut::visit(statement.as_mut(), &mut after);
    Ok(Some(Rewritten {
        sql: statement.to_string(),
        kept: after.kept.unwrap_or_default(),
        parameters: before.found.last().copied().unwrap_or(0),
    }))
}

/// A statement as the engine reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    pub(super) sql: String,
    /// Numbers of the parameters that are still in it, in order.
    pub(super) kept: Vec<usize>,
    /// How many there were.
    pub(super) parameters: usize,
}

/// Finds parameters, `$1`, or gives those that were kept their new numbers.
#[derive(Default)]
struct Placeholders {
    found: BTreeSet<usize>,
    kept: Option<Vec<usize>>,
}

impl VisitorMut for Placeholders {
    type Break = ();

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let Value::Placeholder(text) = &mut value.value else { return ControlFlow::Continue(()) };
        let number = text.strip_prefix('$').and_then(|number| number.parse().ok());
        match (number, &self.kept) {
            (Some(number), None) => drop(self.found.insert(number)),
            (Some(number), Some(kept)) => {
                if let Some(place) = kept.iter().position(|kept| *kept == number) {
                    *text = format!("${}", place.saturating_add(1));
                }
            }
            (None, _) => {}
        }
        ControlFlow::Continue(())
    }
}

struct Rewriter<'a> {
    facts: &'a Facts<'a>,
    changed: bool,
}

/// An expression that stands as text.
fn parsed(text: &str) -> Option<Expr> {
    let parser = Parser::new(&GenericDialect {}).try_with_sql(text);
    parser.and_then(|mut parser| parser.parse_expr()).ok()
}

/// Text as a literal of SQL.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The text of an expression that is a literal text.
fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => Some(text),
            _ => None,
        },
        Expr::Cast { expr, .. } | Expr::Nested(expr) => text_of(expr),
        _ => None,
    }
}

/// The parts of a name, in lower case where they are not in quotes.
fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .map(|ident| match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        })
        .collect()
}

/// How PostgreSQL calls a column that has no name.
fn column_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(idents) => idents.last().map(|ident| ident.value.clone()),
        Expr::Function(function) => parts(&function.name).pop(),
        Expr::Case { .. } => Some("case".to_owned()),
        Expr::Cast { expr, data_type, .. } => {
            column_name(expr).or_else(|| Some(data_type.to_string().to_lowercase()))
        }
        Expr::Nested(expr) | Expr::Collate { expr, .. } => column_name(expr),
        _ => None,
    }
}

impl Rewriter<'_> {
    fn replace(&mut self, expr: &mut Expr, with: Option<Expr>) {
        if let Some(with) = with {
            *expr = with;
            self.changed = true;
        }
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
                && let Some(name) = column_name(expr)
            {
                let alias = Ident::with_quote('"', format!("{name}_2"));
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                self.changed = true;
            }
        }
    }

    /// An expression in the place of this one, after what is in it was looked at.
    fn instead(&self, expr: &Expr) -> Option<Expr> {
        match expr {
            Expr::Function(function) => functions::instead(function, self.facts),
            Expr::Identifier(ident) if ident.quote_style.is_none() => {
                match ident.value.to_lowercase().as_str() {
                    "current_schema" => parsed("CAST(NULL AS VARCHAR)"),
                    "current_role" => parsed(&literal(self.facts.user)),
                    _ => None,
                }
            }
            Expr::Cast { expr, data_type, .. } => casts::instead(expr, data_type),
            Expr::Collate { expr, collation } => {
                let ours = parts(collation).first().is_some_and(|part| part == "pg_catalog");
                ours.then(|| expr.as_ref().clone())
            }
            Expr::BinaryOp { left, op: BinaryOperator::PGCustomBinaryOperator(names), right } => {
                let op = match names.last()?.as_str() {
                    "~" => BinaryOperator::PGRegexMatch,
                    "!~" => BinaryOperator::PGRegexNotMatch,
                    "~*" => BinaryOperator::PGRegexIMatch,
                    "~~" => BinaryOperator::PGLikeMatch,
                    "=" => BinaryOperator::Eq,
                    "<>" => BinaryOperator::NotEq,
                    _ => return None,
                };
                Some(Expr::BinaryOp { left: left.clone(), op, right: right.clone() })
            }
            // The engine escapes with a backslash alone.
            Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
                let escape = match &escape.value {
                    Value::SingleQuotedString(text)
                        if text.chars().count() == 1 && text != "\\" =>
                    {
                        text
                    }
                    _ => return None,
                };
                let pattern = parsed(&format!(
                    "replace(replace(({pattern}), '\\', '\\\\'), {}, '\\')",
                    literal(escape)
                ))?;
                Some(Expr::Like {
                    negated: *negated,
                    any: *any,
                    expr: expr.clone(),
                    pattern: Box::new(pattern),
                    escape_char: None,
                })
            }
            Expr::Subquery(query) if empty::is_blank_query(query) => {
                parsed("CAST(NULL AS VARCHAR)")
            }
            Expr::Exists { subquery, negated } if empty::is_blank_query(subquery) => {
                parsed(if *negated { "true" } else { "false" })
            }
            Expr::InSubquery { subquery, negated, .. } if empty::is_blank_query(subquery) => {
                parsed(if *negated { "true" } else { "false" })
            }
            _ => None,
        }
    }
}

/// An expression in the place of this one, before what is in it is looked at.
fn whole(expr: &Expr) -> Option<Expr> {
    let text = match expr {
        // What is found without its schema: everything is.
        Expr::AnyOp { right, .. } if right.to_string().contains("current_schemas") => "true",
        Expr::InSubquery { subquery, .. }
            if subquery.to_string().contains("current_setting('search_path')") =>
        {
            "true"
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
            return one_of(left, right);
        }
        Expr::Function(function) => {
            let name = parts(&function.name).pop()?;
            let acl = || function.args.to_string().to_lowercase().contains("acl,");
            let of_rows = || {
                let arguments = function.args.to_string().to_lowercase();
                arguments.contains("array(") && arguments.contains("select ")
            };
            match name.as_str() {
                "array_to_string" if acl() || of_rows() => "CAST(NULL AS VARCHAR)",
                "array" if function.args.to_string().to_lowercase().contains("select ") => {
                    "CAST(NULL AS VARCHAR)"
                }
                _ => return None,
            }
        }
        _ => return None,
    };
    parsed(text)
}

/// `x = ANY(ARRAY['a', 'b'])` and `x = ANY('{a,b}')` as a list.
fn one_of(left: &Expr, right: &Expr) -> Option<Expr> {
    let list = match right {
        Expr::Array(array) => array.elem.clone(),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => return one_of(left, expr),
        other => {
            let inner = text_of(other)?.strip_prefix('{')?.strip_suffix('}')?;
            inner.split(',').map(|item| parsed(&literal(item))).collect::<Option<_>>()?
        }
    };
    Some(Expr::InList { expr: Box::new(left.clone()), list, negated: false })
}

impl VisitorMut for Rewriter<'_> {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        // Rewritten columns keep the names that PostgreSQL gives them.
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) = item
                && (matches!(expr, Expr::Function(_) | Expr::Cast { .. } | Expr::Case { .. })
                    || self.instead(expr).is_some())
                && let Some(name) = column_name(expr)
            {
                let alias = Ident::with_quote('"', name);
                *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        self.changed |= empty::blank(select) || empty::loosen(select);
        self.tell_apart(select);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        // What it was in the order of is not there any more.
        if empty::is_blank_query(query) {
            query.order_by = None;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } =
            factor
            && parts(name).first().is_some_and(|schema| schema == "pg_catalog")
        {
            // A function that makes rows, which the engine has without a schema.
            name.0.drain(..name.0.len().saturating_sub(1));
            self.changed = true;
        }
        let TableFactor::Table { name, alias, args: None, .. } = factor else {
            return ControlFlow::Continue(());
        };
        let parts = parts(name);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let table = match parts.as_slice() {
            [table] if super::system::is_table(table) => (*table).to_owned(),
            [.., "information_schema", table] => format!("information_schema_{table}"),
            [.., "pg_catalog", _] => {
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
        *name = ObjectName::from(vec![Ident::new("pg_catalog"), Ident::with_quote('"', table)]);
        self.changed = true;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let with = whole(expr);
        self.replace(expr, with);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let with = self.instead(expr);
        self.replace(expr, with);
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        if let ast::Value::EscapedStringLiteral(text) = &value.value {
            value.value = ast::Value::SingleQuotedString(text.clone());
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(sql: &str) -> Option<Rewritten> {
        let settings = Settings::new("ada", "");
        let facts = Facts { lab: "ornl", user: "ada", process: 7, settings: &settings };
        rewritten(sql, &facts).unwrap()
    }

    fn told(sql: &str) -> String {
        asked(sql).unwrap().sql
    }

    #[test]
    fn what_the_engine_understands_stays_as_it_is() {
        for sql in [
            "SELECT name FROM a.t WHERE version > 1 AND \"current_user\" = 'x'",
            "SELECT count(*) AS any FROM a.t WHERE name LIKE 'a%'",
            "SELECT CAST(region AS VARCHAR) FROM a.t",
        ] {
            assert_eq!(asked(sql), None, "{sql}");
        }
    }

    #[test]
    fn functions_casts_and_operators_are_those_of_the_engine() {
        assert_eq!(
            told("SELECT current_database(), pg_catalog.lower('A')"),
            "SELECT 'ornl' AS \"current_database\", lower('A') AS \"lower\""
        );
        assert!(told("SELECT x::pg_catalog.oid FROM a.t").contains("BIGINT"));
        let regex = told(
            "SELECT 1 FROM pg_class c WHERE relname OPERATOR(pg_catalog.~) 'a' COLLATE pg_catalog.default",
        );
        assert!(regex.ends_with("WHERE relname ~ 'a'"), "{regex}");
        assert!(
            told("SELECT 1 FROM pg_class WHERE relkind = ANY(ARRAY['r', 'v'])")
                .contains("IN ('r', 'v')")
        );
        assert!(told("SELECT * FROM information_schema.tables").contains("AS \"tables\""));
        assert!(told("SELECT current_user FROM a.t WHERE 'it''s' = 'x'").contains("'it''s' = 'x'"));
    }

    #[test]
    fn what_joins_nothing_has_no_rows_and_keeps_its_names_and_parameters() {
        let keys = "SELECT c.relname, i.indkey[0] AS k FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid \
                    WHERE i.indisunique = $1";
        let blank = "SELECT CAST(NULL AS VARCHAR) AS \"relname\", CAST(NULL AS VARCHAR) AS \"k\" WHERE false";
        let keys = asked(keys).unwrap();
        assert_eq!((keys.sql.as_str(), keys.kept.len(), keys.parameters), (blank, 0, 1));
        let kept = asked(
            "SELECT relname FROM pg_class WHERE oid = $2 AND EXISTS (SELECT 1 FROM pg_index WHERE indrelid = $1)",
        );
        let kept = kept.unwrap();
        assert!(kept.sql.ends_with("WHERE oid = $1 AND false"), "{}", kept.sql);
        assert_eq!((kept.kept, kept.parameters), (vec![2], 2));
        let left =
            told("SELECT c.relname FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid");
        assert!(left.contains("LEFT JOIN") && left.ends_with("ON false"), "{left}");
        assert!(
            told("SELECT count(*) FROM pg_index").contains("FROM pg_catalog"),
            "a count has a row"
        );
    }
}
