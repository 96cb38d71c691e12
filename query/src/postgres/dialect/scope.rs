//! What a statement reads: where it is nothing but tables of the catalog, more is known of it before it is planned.

use super::super::system;
use super::tree::{parts, text_of};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, Select, SelectItem, Statement, TableAlias, TableFactor,
    Visit, Visitor,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// What a statement reads, and what it names.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// Tables of the catalog.
    system: usize,
    /// Others, with names that may be those of queries of WITH.
    bare: BTreeSet<String>,
    others: bool,
    /// Queries of WITH.
    queries: BTreeSet<String>,
    /// Names that it gives itself.
    given: BTreeSet<String>,
}

impl Scope {
    /// That of a statement.
    pub(super) fn of(statement: &Statement) -> Self {
        let mut scope = Self::default();
        let _ = Visit::visit(statement, &mut scope);
        scope
    }

    /// Whether tables of the catalog are read, and nothing else.
    pub(super) fn is_catalog(&self) -> bool {
        self.system > 0 && !self.others && self.bare.is_subset(&self.queries)
    }

    /// Whether an expression is a list of the catalog's that is always NULL: access lists, options, keys.
    pub(super) fn is_never_there(&self, expr: &Expr) -> bool {
        let name = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(idents) => idents.last(),
            Expr::Nested(expr) => return self.is_never_there(expr),
            _ => None,
        };
        name.map(plain).is_some_and(|name| {
            self.is_catalog() && !self.given.contains(&name) && system::is_list(&name)
        })
    }

    /// Whether a condition asks for types of a kind that there is none of: domains, ranges and their like.
    pub(super) fn asks_for_other_types(&self, condition: &Expr) -> bool {
        let Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else {
            return false;
        };
        let kind = match left.as_ref() {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(idents) => idents.last(),
            _ => None,
        };
        self.is_catalog()
            && !self.given.contains("typtype")
            && kind.is_some_and(|kind| plain(kind) == "typtype")
            && text_of(right).is_some_and(|wanted| wanted != "b")
    }

    fn alias(&mut self, alias: Option<&TableAlias>) {
        let Some(alias) = alias else { return };
        self.given.insert(plain(&alias.name));
        self.given.extend(alias.columns.iter().map(|column| plain(&column.name)));
    }
}

fn plain(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

impl Visitor for Scope {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.queries.insert(plain(&cte.alias.name));
            self.given.extend(cte.alias.columns.iter().map(|column| plain(&column.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { expr, alias } = item
                && !matches!(expr, Expr::Identifier(name) if plain(name) == plain(alias))
            {
                self.given.insert(plain(alias));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, args: None, .. } => {
                self.alias(alias.as_ref());
                let parts = parts(name);
                match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                    [table] if system::is_table(table) => {
                        self.system = self.system.saturating_add(1);
                    }
                    [table] => {
                        self.bare.insert((*table).to_owned());
                    }
                    [.., "pg_catalog" | "information_schema", _] => {
                        self.system = self.system.saturating_add(1);
                    }
                    _ => self.others = true,
                }
            }
            TableFactor::Table { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. }
            | TableFactor::Derived { alias, .. } => self.alias(alias.as_ref()),
            TableFactor::NestedJoin { .. } => {}
            _ => self.others = true,
        }
        ControlFlow::Continue(())
    }
}
