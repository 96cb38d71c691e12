//! The query of a view that is to be made: what it reads, and its columns.

use super::view::shown;
use crate::engine::change::written;
use crate::engine::guards::{Awaited, Query};
use crate::engine::statement::parse;
use crate::engine::{Session, nesting, parameters};
use crate::error::QueryError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use tarn_catalog::{DEEPEST_VIEW, NewView, ViewInput, schema_text};
use tarn_schemas::{DatasetRef, TableName};

/// How a refusal begins.
const WHAT: &str = "this view cannot be made";

fn refused(problem: &str) -> QueryError {
    QueryError::Invalid(format!("{WHAT}: {problem}"))
}

impl Session {
    /// Plans the query of a view as whoever makes it sees its tables, and says what is to be kept of it.
    ///
    /// # Errors
    /// As [`Session::plan`], and [`QueryError::Invalid`] for what is no table of this lab, tables that are not
    /// named with their dataset, parameters, and columns that have no names of their own.
    pub async fn plan_view(
        &self,
        query: &Query,
        (name, sql): (TableName, &str),
        security_invoker: bool,
    ) -> Result<NewView, QueryError> {
        let awaited = Awaited::new(query);
        let work = async {
            self.check_own_tables(sql, WHAT).await?;
            let (sql, inputs) = self.in_full(sql).await?;
            let plan = Box::pin(self.plan_logical(query, &sql, &[])).await?.plan;
            if !parameters::schema(&plan)?.fields().is_empty() {
                return Err(refused("it has parameters, and nobody gives a view their values"));
            }
            let schema = shown(plan.schema().as_arrow());
            let mut names = BTreeSet::new();
            for field in schema.fields() {
                if !names.insert(field.name().to_lowercase()) {
                    return Err(refused(&format!(
                        "two of its columns are called {}: give each a name (… AS name)",
                        field.name()
                    )));
                }
            }
            let columns = schema_text::columns(&schema);
            let schema = schema_text::encode(&schema);
            Ok(NewView { name, sql, security_invoker, schema, columns, inputs })
        };
        let (planned, _) = self.in_turn(query, Box::pin(work)).await;
        let planned = planned?;
        awaited.over();
        query.done();
        Ok(planned)
    }

    /// A query with all of its tables named in full, and these.
    async fn in_full(&self, sql: &str) -> Result<(String, BTreeSet<ViewInput>), QueryError> {
        let (text, lab) = (sql.to_owned(), self.lab().cloned());
        let Some(lab) = lab else { return Err(refused("this is no home, so there are no tables")) };
        // With as many within one another as there may be, and a statement above them, this is what one statement
        // may nest.
        nesting::check_share(&text, 2 * DEEPEST_VIEW).map_err(|error| {
            refused(&format!(
                "views stand within one another, so each may nest an eighth of what a statement may: {error}"
            ))
        })?;
        let parsed = self.engine.workers().run(async move { parse(&text) }).await?;
        let Statement::Statement(mut statement) = parsed.statement else {
            return Err(refused("it is no SELECT, WITH or VALUES"));
        };
        let whole = Statement::Statement(statement.clone());
        let mut inputs = BTreeSet::new();
        for reference in self.engine.template().resolve_table_references(&whole)? {
            let (Some(dataset), table) = (reference.schema(), reference.table()) else {
                return Err(refused(&format!(
                    "the table {reference} is to be named with its dataset: write dataset.{reference}"
                )));
            };
            let known = dataset.parse::<DatasetRef>().ok().zip(TableName::new(table).ok());
            let Some((dataset, table)) = known else {
                return Err(QueryError::NotFound(format!("there is no table {reference}")));
            };
            let DatasetRef { name: dataset, version, .. } = dataset;
            inputs.insert(ViewInput { dataset, version, table });
        }
        // Names of one part are those of WITH: all others were found to have more.
        let _ = ast::visit_relations_mut(&mut statement, |name| {
            if name.0.len() == 2 {
                let lab = ast::Ident::with_quote('"', lab.as_str());
                name.0.insert(0, ast::ObjectNamePart::Identifier(lab));
            }
            ControlFlow::<()>::Continue(())
        });
        match statement.as_ref() {
            ast::Statement::Query(query) => Ok((written(query)?, inputs)),
            _ => Err(refused("it is no SELECT, WITH or VALUES")),
        }
    }
}
