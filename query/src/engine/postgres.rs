//! Sessions of clients of PostgreSQL: tables of `pg_catalog` beside those of the lab.

use crate::engine::catalogs::OwnLab;
use crate::engine::guards::Held;
use crate::engine::{Engine, Query, Session, names, nesting};
use crate::error::QueryError;
use crate::postgres;
use crate::provider::schema_of;
use datafusion::common::TableReference;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::functions::datetime::now::NowFunc;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::parser::DFParserBuilder;
use std::sync::Arc;

impl Engine {
    /// What is known of a statement of a client of PostgreSQL before it is planned. It is found on the threads of
    /// queries, whose stacks are made for deep statements.
    ///
    /// # Errors
    /// For what is no SQL, and what nests too deeply.
    pub(crate) async fn translated(
        &self,
        sql: &str,
        facts: &postgres::Facts,
    ) -> Result<postgres::Known, QueryError> {
        let (text, facts) = (sql.to_owned(), facts.clone());
        let work = move || {
            nesting::check(&text)?;
            let mut statements = DFParserBuilder::new(text.as_str()).build()?.parse_statements()?;
            match (statements.pop_front(), statements.is_empty()) {
                (Some(mut statement), true) => postgres::translate(&mut statement, &facts),
                _ => Ok(postgres::Known::default()),
            }
        };
        self.workers().run(async move { work() }).await
    }

    /// Waits for a place for a query that gave its own back, before its rows are read on.
    ///
    /// # Errors
    /// If it was stopped meanwhile, or too many wait.
    pub(crate) async fn resume(&self, query: &Query, held: &Held) -> Result<(), QueryError> {
        if held.is_given_back() {
            held.take(self.guards().another_turn(query).await?);
        }
        Ok(())
    }
}

impl Session {
    /// The same session, in which `pg_catalog` tells of what its principal may know, and statements say things as
    /// PostgreSQL does.
    #[must_use]
    pub(crate) fn of_postgres(mut self, facts: postgres::Facts) -> Self {
        self.postgres = Some(Arc::new(facts));
        self
    }

    /// The same session, in which they do not: what is made of statements is read by others too.
    #[must_use]
    pub(crate) fn not_of_postgres(mut self) -> Self {
        self.postgres = None;
        self
    }

    /// The same session, in which the types of parameters are asked for.
    #[must_use]
    pub(crate) fn describing(mut self) -> Self {
        if let Some(facts) = &mut self.postgres {
            *facts = Arc::new(facts.as_ref().clone().describing());
        }
        self
    }

    /// With the functions that PostgreSQL has and the engine has not, where they are to be there.
    pub(super) fn with_functions_of_postgres(
        &self,
        mut state: SessionState,
    ) -> Result<SessionState, QueryError> {
        if self.postgres.is_some() {
            for function in postgres::functions() {
                state.register_udf(function)?;
            }
            // Times with a zone are instants there, in UTC: those of casts, and that at which a statement began.
            let options = state.config_mut().options_mut();
            options.execution.time_zone = Some("UTC".to_owned());
            let now = NowFunc::new_with_config(options);
            state.register_udf(Arc::new(ScalarUDF::from(now)))?;
        }
        Ok(state)
    }

    /// Tables and views of this lab that may be known of.
    pub(crate) async fn relations(&self) -> Result<Vec<postgres::Relation>, QueryError> {
        let Some(catalog) = self.engine.catalog() else { return Ok(Vec::new()) };
        let mut relations = Vec::new();
        for dataset in catalog.datasets(self.principal()).await? {
            let name = dataset.name.to_string();
            for entry in &dataset.tables {
                relations.push(postgres::Relation {
                    dataset: name.clone(),
                    name: entry.name.to_string(),
                    schema: schema_of(entry)?,
                    view: false,
                    definition: None,
                });
            }
            for view in &dataset.views {
                relations.push(postgres::Relation {
                    dataset: name.clone(),
                    name: view.name.to_string(),
                    schema: names::schema_of_view(view)?,
                    view: true,
                    definition: view.sql.clone(),
                });
            }
        }
        Ok(relations)
    }

    /// Opens a table of `pg_catalog`; whether the reference means one.
    pub(super) async fn open_system_table(
        &self,
        reference: &TableReference,
        own: &mut OwnLab,
    ) -> Result<bool, QueryError> {
        let here =
            reference.catalog().is_none_or(|lab| self.lab().is_some_and(|own| own.as_str() == lab));
        if self.postgres.is_none() || !here || reference.schema() != Some(postgres::SCHEMA) {
            return Ok(false);
        }
        let table = Box::pin(postgres::table(self, reference.table())).await?;
        let table = table.ok_or_else(|| {
            QueryError::NotFound(format!(
                "there is no table {reference} in the catalog of PostgreSQL here"
            ))
        })?;
        own.open(postgres::SCHEMA, reference.table(), table);
        Ok(true)
    }
}
