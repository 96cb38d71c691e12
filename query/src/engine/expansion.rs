//! How many tables a statement reads once its WITH expressions stand where they are used.
//!
//! `WITH b AS (SELECT … FROM a, a), c AS (SELECT … FROM b, b), …` doubles with each step: a few hundred
//! bytes are more plan than any memory holds. The planner walks all of it, so it is counted before.

use crate::engine::nesting::NestingError;
use datafusion::sql::sqlparser::ast;
use std::collections::HashMap;

/// Most tables after expansion.
const MOST_TABLES: usize = 4_096;

/// Counts as a visitor walks a statement.
#[derive(Debug, Default)]
pub(super) struct Expansion {
    /// Tables of the queries that are open, outermost first.
    open: Vec<usize>,
    /// Names of WITH expressions that were not walked yet, by the address of their query.
    waiting: HashMap<usize, String>,
    /// Tables of those that were. Of two with one name the larger counts.
    known: HashMap<String, usize>,
    /// The most that any query reads.
    most: usize,
}

impl Expansion {
    pub(super) fn enter(&mut self, query: &ast::Query) {
        self.open.push(0);
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = table.alias.name.value.to_lowercase();
            self.waiting.insert(std::ptr::from_ref(table.query.as_ref()).addr(), name);
        }
    }

    pub(super) fn table(&mut self, factor: &ast::TableFactor) {
        let ast::TableFactor::Table { name, .. } = factor else { return };
        let tables = match name.0.as_slice() {
            [part] => part.as_ident().map(|ident| ident.value.to_lowercase()),
            _ => None,
        };
        let tables = tables.and_then(|name| self.known.get(&name).copied()).unwrap_or(1).max(1);
        self.add(tables);
    }

    pub(super) fn leave(&mut self, query: &ast::Query) {
        let tables = self.open.pop().unwrap_or(0);
        match self.waiting.remove(&std::ptr::from_ref(query).addr()) {
            Some(name) => {
                let known = self.known.entry(name).or_default();
                *known = tables.max(*known);
            }
            None => self.add(tables),
        }
    }

    fn add(&mut self, tables: usize) {
        if let Some(open) = self.open.last_mut() {
            *open = open.saturating_add(tables);
            self.most = self.most.max(*open);
        }
    }

    pub(super) fn check(&self) -> Result<(), NestingError> {
        if self.most > MOST_TABLES { Err(NestingError::Plan) } else { Ok(()) }
    }
}
