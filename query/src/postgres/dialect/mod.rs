//! Statements that clients of PostgreSQL send, in words that the engine understands.
//!
//! Clients ask `pg_catalog` for what there is, with functions, casts and operators of PostgreSQL. A statement that has
//! some of them is rewritten here, tree for tree, and then planned in the session of whoever asks like any other: what
//! it may read is decided there. A tree is never written down to be read again, for what stood in quotes would be SQL
//! where the quotes are wrong; and nothing in it is copied, so that it does not grow.

mod arrays;
mod casts;
mod empty;
mod functions;
mod names;
mod parameters;
mod rewriter;
mod scope;
mod tree;
mod udf;

pub(crate) use udf::functions;

use super::settings::Settings;
use crate::error::QueryError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, VisitMut};
use parameters::{Found, Renumbered, cast_intervals};
use rewriter::Rewriter;
use scope::Scope;
use std::collections::{BTreeMap, BTreeSet};

/// Most parameters that a statement may have in this protocol.
const MOST_PARAMETERS: usize = 65_535;

/// What the functions of a session answer, and what is known of the parameters of a statement.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The database: this lab.
    pub(super) lab: String,
    /// Who asks.
    pub(super) user: String,
    /// The number of the connection.
    pub(super) process: i32,
    pub(super) settings: Settings,
    /// Numbers of parameters that the client says are intervals.
    pub(super) intervals: BTreeSet<usize>,
    /// Whether types of parameters are asked for.
    pub(super) describing: bool,
}

impl Facts {
    /// The same where the types of parameters are asked for.
    pub(crate) fn describing(self) -> Self {
        Self { describing: true, ..self }
    }
}

/// What is known of a statement before it is planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// Numbers of the parameters that are still in it, in order.
    pub(super) kept: Vec<usize>,
    /// How many there were.
    pub(super) parameters: usize,
    /// Types that it gives some of them, by their numbers.
    pub(super) types: BTreeMap<usize, u32>,
    /// Those that are arrays, whose elements it compares with something.
    pub(super) lists: BTreeSet<usize>,
    /// Names of its columns; none for those that the engine gives.
    pub(super) names: Vec<Option<String>>,
    /// Whether it reads tables of the catalog, and nothing else.
    pub(super) catalog: bool,
}

/// Puts a statement in the engine's words.
///
/// # Errors
/// For what would be too much, and for patterns that mean nothing.
pub(crate) fn translate(statement: &mut Statement, facts: &Facts) -> Result<Known, QueryError> {
    match statement {
        Statement::Statement(statement) => translated(statement, facts),
        Statement::Explain(explain) => {
            let known = translate(&mut explain.statement, facts)?;
            Ok(Known { names: Vec::new(), ..known })
        }
        _ => Ok(Known::default()),
    }
}

fn translated(statement: &mut ast::Statement, facts: &Facts) -> Result<Known, QueryError> {
    let mut before = Found::default();
    let _ = VisitMut::visit(statement, &mut before);
    let parameters = before.numbers.last().copied().unwrap_or(0);
    if parameters > MOST_PARAMETERS {
        return Err(QueryError::Invalid(format!(
            "there are at most {MOST_PARAMETERS} parameters in this protocol, and ${parameters} is one"
        )));
    }
    let names = query_of(statement).map(names::told).unwrap_or_default();
    let scope = Scope::of(statement);
    let mut rewritten = statement.clone();
    let mut rewriter = Rewriter::new(facts, &scope);
    rewriter.walk(&mut rewritten)?;
    if rewriter.changed {
        *statement = rewritten;
    }
    if let Some(query) = query_of(statement) {
        names::tell_apart(query);
    }
    cast_intervals(statement, &facts.intervals);
    let mut after = Found::default();
    let _ = VisitMut::visit(statement, &mut after);
    let kept: Vec<usize> = after.numbers.into_iter().collect();
    if kept.len() < parameters {
        let _ = VisitMut::visit(statement, &mut Renumbered(&kept));
    }
    let catalog = scope.is_catalog();
    Ok(Known { kept, parameters, types: before.types, lists: before.lists, names, catalog })
}

fn query_of(statement: &mut ast::Statement) -> Option<&mut ast::Query> {
    match statement {
        ast::Statement::Query(query) => Some(query),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
