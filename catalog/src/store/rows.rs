//! Many rows in one statement: each statement is a way to the database and back, which takes longer
//! than what it does.

use super::{Database, Write};
use crate::CatalogError;
use sqlx::{Any, AssertSqlSafe, Transaction};

/// Most parameters of one statement; SQLite takes 32,766.
const MOST: usize = 30_000;

/// A value of a row.
#[derive(Debug)]
pub(crate) enum Value {
    Integer(i64),
    Double(f64),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

/// Rows of `N` columns that are to be inserted.
#[derive(Debug)]
pub(crate) struct Rows<const N: usize>(Vec<[Value; N]>);

impl<const N: usize> Rows<N> {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: [Value; N]) {
        self.0.push(row);
    }

    /// Inserts all of them, `into` being `INTO table (column, …)`. A row that breaks a constraint fails
    /// the transaction.
    pub(crate) async fn insert(
        self,
        write: &mut Write<'_>,
        into: &'static str,
    ) -> Result<(), CatalogError> {
        self.insert_or(write, into, "").await
    }

    /// Inserts all of them, or does what `otherwise` says (`ON CONFLICT …`) with those that are there. No two of them
    /// may be the same row.
    pub(crate) async fn insert_or(
        self,
        write: &mut Write<'_>,
        into: &'static str,
        otherwise: &'static str,
    ) -> Result<(), CatalogError> {
        let database = write.database();
        let mut rows = self.0.into_iter().peekable();
        while rows.peek().is_some() {
            let some: Vec<[Value; N]> = rows.by_ref().take((MOST / N).max(1)).collect();
            let places: Vec<String> =
                (0..some.len()).map(|row| places(row.saturating_mul(N), N)).collect();
            // A text of this crate and numbers: values are bound.
            let statement =
                AssertSqlSafe(format!("INSERT {into} VALUES {} {otherwise}", places.join(", ")));
            let mut query = sqlx::query(statement);
            for value in some.into_iter().flatten() {
                query = match value {
                    Value::Integer(value) => query.bind(value),
                    Value::Double(value) => query.bind(value),
                    Value::Text(value) => query.bind(value),
                };
            }
            let done = query.execute(&mut *write.transaction).await;
            done.map_err(|error| database.error(&error))?;
        }
        Ok(())
    }
}

/// `($4, $5, $6)`: the places of `count` parameters after `before` others.
fn places(before: usize, count: usize) -> String {
    let places: Vec<String> =
        (1..=count).map(|place| format!("${}", before.saturating_add(place))).collect();
    format!("({})", places.join(", "))
}

impl Database {
    /// The rows of a statement for each of many texts: `statement` ends before the list that they have
    /// to be in.
    pub(crate) async fn rows_for(
        &self,
        transaction: &mut Transaction<'static, Any>,
        statement: &'static str,
        texts: &[&str],
    ) -> Result<Vec<sqlx::any::AnyRow>, CatalogError> {
        let mut all = Vec::new();
        for some in texts.chunks(MOST) {
            // A text of this crate and numbers: what is looked for is bound.
            let statement = AssertSqlSafe(format!("{statement} {}", places(0, some.len())));
            let mut query = sqlx::query(statement);
            for text in some {
                query = query.bind((*text).to_owned());
            }
            let rows = query.fetch_all(&mut **transaction).await;
            all.extend(rows.map_err(|error| self.error(&error))?);
        }
        Ok(all)
    }
}
