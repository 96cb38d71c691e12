//! `CREATE TABLE dataset.table AS SELECT …`: what is to be made, and the rows to make it of. Writing them is
//! for who has a store and a catalog to write to.

use crate::engine::Session;
use crate::engine::answer::Prepared;
use crate::engine::guards::{Awaited, Query};
use crate::engine::nesting;
use crate::error::QueryError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use tarn_catalog::PinnedTable;
use tarn_schemas::{DatasetName, LabName, TableName};

/// The form that is understood.
const FORM: &str = "write CREATE TABLE dataset.table AS SELECT …, with nothing else in it: the dataset is one \
                    of this lab that is registered, the table a new one";

/// A table that is to be made of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The dataset, of this lab.
    pub dataset: DatasetName,
    /// The table.
    pub table: TableName,
    /// The query.
    pub sql: String,
}

impl Session {
    /// The table that a statement is to make; none if it is another statement.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for a `CREATE TABLE` of another form.
    pub async fn creation(&self, sql: &str) -> Result<Option<Creation>, QueryError> {
        let mut words = sql.split_whitespace();
        let mut next =
            |word: &str| words.next().is_some_and(|said| said.eq_ignore_ascii_case(word));
        if !(next("CREATE") && next("TABLE")) {
            return Ok(None);
        }
        let (text, lab) = (sql.to_owned(), self.lab().cloned());
        self.engine.workers().run(async move { read(&text, lab.as_ref()) }).await.map(Some)
    }

    /// Plans the query of a table that is to be made, and says which tables it reads.
    ///
    /// # Errors
    /// As [`Session::plan`], and [`QueryError::Invalid`] for what is no table of this lab: of files and of
    /// tables of peers nobody could say here who may read what was made of them.
    pub async fn plan_derived(
        &self,
        query: &Query,
        sql: &str,
    ) -> Result<(Prepared, Vec<PinnedTable>), QueryError> {
        let awaited = Awaited::new(query);
        let work = async {
            self.check_own_tables(sql, "no table can be made of this query").await?;
            let mut logical = Box::pin(self.plan_logical(query, sql, &[])).await?;
            let read = std::mem::take(&mut logical.planning.read);
            let (session, query) = (self.clone(), query.clone());
            let work = async move { session.finish(&query, logical, &[]).await };
            Ok((self.engine.workers().run(work).await?, read))
        };
        let (planned, slot) = self.in_turn(query, Box::pin(work)).await;
        let (prepared, read) = planned?;
        awaited.over();
        Ok((prepared.holding(slot), read))
    }
}

fn read(sql: &str, lab: Option<&LabName>) -> Result<Creation, QueryError> {
    let wrong = || QueryError::Invalid(format!("this CREATE TABLE is not understood: {FORM}"));
    nesting::check(sql)?;
    let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    let (Some(Statement::Statement(statement)), true) =
        (statements.pop_front(), statements.is_empty())
    else {
        return Err(wrong());
    };
    let ast::Statement::CreateTable(table) = statement.as_ref() else { return Err(wrong()) };
    let Some(query) = &table.query else { return Err(wrong()) };
    // Whatever else was said would be left out.
    if statement.to_string() != format!("CREATE TABLE {} AS {query}", table.name) {
        return Err(wrong());
    }
    let mut parts = Vec::new();
    for part in &table.name.0 {
        let ident = part.as_ident().ok_or_else(wrong)?;
        parts.push(match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        });
    }
    let (said, dataset, name) = match parts.as_slice() {
        [lab, dataset, name] => (Some(lab), dataset, name),
        [dataset, name] => (None, dataset, name),
        _ => return Err(wrong()),
    };
    if said.is_some_and(|said| lab.is_none_or(|own| own.as_str() != said)) {
        return Err(wrong());
    }
    let named = |problem: &dyn std::fmt::Display| QueryError::Invalid(problem.to_string());
    Ok(Creation {
        dataset: DatasetName::new(dataset.as_str()).map_err(|error| named(&error))?,
        table: TableName::new(name.as_str()).map_err(|error| named(&error))?,
        sql: query.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_is_understood_and_whatever_else_is_said_is_refused() {
        let lab = LabName::new("ornl").unwrap();
        let read = |sql: &str| read(sql, Some(&lab));
        for name in ["a.t", "ornl.a.t", "A.T", "\"a\".\"t\""] {
            let made =
                read(&format!("CREATE TABLE {name} AS SELECT 'it''s' AS x FROM b.t")).unwrap();
            assert_eq!((made.dataset.as_str(), made.table.as_str()), ("a", "t"));
            assert_eq!(made.sql, "SELECT 'it''s' AS x FROM b.t");
        }
        for sql in [
            "CREATE TABLE t AS SELECT 1",
            "CREATE TABLE llnl.a.t AS SELECT 1",
            "CREATE TABLE \"A\".t AS SELECT 1",
            "CREATE TABLE \"a@2\".t AS SELECT 1",
            "CREATE TABLE a.t (x int)",
            "CREATE TABLE a.t (x) AS SELECT 1",
            "CREATE OR REPLACE TABLE a.t AS SELECT 1",
            "CREATE TEMPORARY TABLE a.t AS SELECT 1",
            "CREATE TABLE IF NOT EXISTS a.t AS SELECT 1",
            "CREATE TABLE a.t WITH (x = 1) AS SELECT 1",
            "CREATE TABLE a.t LIKE b.t",
            "CREATE TABLE a.t CLONE b.t",
            "CREATE TABLE a.t AS SELECT 1; DROP TABLE a.t",
            "CREATE TABLE a.t AS",
        ] {
            assert!(read(sql).is_err(), "{sql}");
        }
    }
}
