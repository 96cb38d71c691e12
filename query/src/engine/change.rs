//! Statements that change something: the few forms that there are, and what each is to do. Doing it is for who
//! has a store and a catalog to write to.

use crate::engine::Session;
use crate::engine::nesting;
use crate::error::QueryError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use tarn_schemas::{DatasetName, LabName, TableName};

/// The form of a table that is made of a query.
const CREATE_TABLE: &str = "write CREATE TABLE dataset.table AS SELECT …, with nothing else in it: the dataset is \
                            one of this lab that is registered, the table a new one";
/// The form of taking one away.
const DROP_TABLE: &str = "write DROP TABLE dataset.table, with nothing else in it: the table is one of this lab \
                          that a query made";

/// The form of a view.
const CREATE_VIEW: &str = "write CREATE VIEW dataset.view WITH (security_invoker = true) AS SELECT … for a view that \
                           reads with the rights of whoever asks, or WITH (security_invoker = false) for one that \
                           reads with the rights of whoever makes it (an administrator or the owner of the node), \
                           with nothing else in it: one of the two is to be said, because it decides who sees what";
/// The form of taking one away.
const DROP_VIEW: &str =
    "write DROP VIEW dataset.view, with nothing else in it: the view is one of this lab";

/// What a statement is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// `CREATE TABLE dataset.table AS SELECT …`
    CreateTable(Creation),
    /// `DROP TABLE dataset.table`
    DropTable(Dropping),
    /// `CREATE VIEW dataset.view WITH (security_invoker = …) AS SELECT …`
    CreateView(ViewCreation),
    /// `DROP VIEW dataset.view`
    DropView(Dropping),
}

/// A view that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewCreation {
    /// The dataset, of this lab.
    pub dataset: DatasetName,
    /// The view.
    pub name: TableName,
    /// Whether it reads with the rights of whoever asks.
    pub security_invoker: bool,
    /// The query.
    pub sql: String,
}

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

/// What is to be taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropping {
    /// The dataset, of this lab.
    pub dataset: DatasetName,
    /// Its name in the dataset.
    pub name: TableName,
}

impl Session {
    /// What a statement is to change; none if it is another statement.
    ///
    /// # Errors
    /// [`QueryError::Invalid`] for a statement of another form.
    pub async fn change(&self, sql: &str) -> Result<Option<Change>, QueryError> {
        let words: Vec<String> =
            sql.split_whitespace().take(2).map(str::to_ascii_uppercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if !matches!(words.as_slice(), ["CREATE" | "DROP", "TABLE" | "VIEW"]) {
            return Ok(None);
        }
        let (text, lab) = (sql.to_owned(), self.lab().cloned());
        self.engine.workers().run(async move { read(&text, lab.as_ref()) }).await.map(Some)
    }
}

fn read(sql: &str, lab: Option<&LabName>) -> Result<Change, QueryError> {
    nesting::check(sql)?;
    let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    let (Some(Statement::Statement(statement)), true) =
        (statements.pop_front(), statements.is_empty())
    else {
        return Err(wrong("send one statement at a time"));
    };
    match statement.as_ref() {
        ast::Statement::Drop { object_type: ast::ObjectType::Table, names, .. } => {
            let (dataset, name) = only(names, (&statement, "TABLE"), lab, DROP_TABLE)?;
            Ok(Change::DropTable(Dropping { dataset, name }))
        }
        ast::Statement::CreateTable(table) => {
            let Some(query) = &table.query else { return Err(wrong(CREATE_TABLE)) };
            // Whatever else was said would be left out.
            if statement.to_string() != format!("CREATE TABLE {} AS {query}", table.name) {
                return Err(wrong(CREATE_TABLE));
            }
            let (dataset, table) = named(&table.name, lab, CREATE_TABLE)?;
            Ok(Change::CreateTable(Creation { dataset, table, sql: written(query)? }))
        }
        ast::Statement::Drop { object_type: ast::ObjectType::View, names, .. } => {
            let (dataset, name) = only(names, (&statement, "VIEW"), lab, DROP_VIEW)?;
            Ok(Change::DropView(Dropping { dataset, name }))
        }
        ast::Statement::CreateView(view) => {
            let ast::CreateTableOptions::With(options) = &view.options else {
                return Err(wrong(CREATE_VIEW));
            };
            let [ast::SqlOption::KeyValue { key, value: ast::Expr::Value(value) }] =
                options.as_slice()
            else {
                return Err(wrong(CREATE_VIEW));
            };
            let ast::Value::Boolean(security_invoker) = value.value else {
                return Err(wrong(CREATE_VIEW));
            };
            let (name, query) = (&view.name, &view.query);
            let said = format!("CREATE VIEW {name} WITH ({key} = {security_invoker}) AS {query}");
            if !key.value.eq_ignore_ascii_case("security_invoker") || statement.to_string() != said
            {
                return Err(wrong(CREATE_VIEW));
            }
            let (dataset, name) = named(name, lab, CREATE_VIEW)?;
            let sql = written(query)?;
            Ok(Change::CreateView(ViewCreation { dataset, name, security_invoker, sql }))
        }
        _ => Err(wrong(CREATE_TABLE)),
    }
}

/// A query as it is kept: written again, without comments, and only if that means the same. The printer of the parser
/// leaves some quotes within texts as they are, so that what it prints may be another statement.
pub(super) fn written(query: &ast::Query) -> Result<String, QueryError> {
    let text = query.to_string();
    let again = DFParserBuilder::new(text.as_str()).build()?.parse_statements();
    let same = again.is_ok_and(|again| {
        matches!(again.iter().collect::<Vec<_>>().as_slice(), [Statement::Statement(one)]
            if matches!(one.as_ref(), ast::Statement::Query(again) if again.as_ref() == query))
    });
    if same {
        return Ok(text);
    }
    Err(QueryError::Invalid(
        "the query cannot be written down so that it means the same: put parentheses around signs and \
         casts, as in -(-1)"
            .to_owned(),
    ))
}

fn wrong(form: &str) -> QueryError {
    QueryError::Invalid(format!("this statement is not understood: {form}"))
}

/// The one name of a `DROP` that says nothing else.
fn only(
    names: &[ast::ObjectName],
    (statement, kind): (&ast::Statement, &str),
    lab: Option<&LabName>,
    form: &str,
) -> Result<(DatasetName, TableName), QueryError> {
    let [name] = names else { return Err(wrong(form)) };
    if statement.to_string() != format!("DROP {kind} {name}") {
        return Err(wrong(form));
    }
    named(name, lab, form)
}

/// `dataset.name` or `lab.dataset.name`, of this lab.
fn named(
    name: &ast::ObjectName,
    lab: Option<&LabName>,
    form: &str,
) -> Result<(DatasetName, TableName), QueryError> {
    let mut parts = Vec::new();
    for part in &name.0 {
        let ident = part.as_ident().ok_or_else(|| wrong(form))?;
        parts.push(match ident.quote_style {
            Some(_) => ident.value.clone(),
            None => ident.value.to_lowercase(),
        });
    }
    let (said, dataset, name) = match parts.as_slice() {
        [lab, dataset, name] => (Some(lab), dataset, name),
        [dataset, name] => (None, dataset, name),
        _ => return Err(wrong(form)),
    };
    if said.is_some_and(|said| lab.is_none_or(|own| own.as_str() != said)) {
        return Err(wrong(form));
    }
    let problem = |problem: &dyn std::fmt::Display| QueryError::Invalid(problem.to_string());
    Ok((
        DatasetName::new(dataset.as_str()).map_err(|error| problem(&error))?,
        TableName::new(name.as_str()).map_err(|error| problem(&error))?,
    ))
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
            let Change::CreateTable(made) = made else { panic!("{made:?}") };
            assert_eq!((made.dataset.as_str(), made.table.as_str()), ("a", "t"));
            assert_eq!(made.sql, "SELECT 'it''s' AS x FROM b.t");
            let dropped = read(&format!("drop table {name}")).unwrap();
            let Change::DropTable(dropped) = dropped else { panic!("{dropped:?}") };
            assert_eq!((dropped.dataset.as_str(), dropped.name.as_str()), ("a", "t"));
        }
        for (said, security_invoker) in [("true", true), ("FALSE", false)] {
            let sql = format!("create view A.v with (Security_Invoker = {said}) as select 1 as x");
            let Change::CreateView(view) = read(&sql).unwrap() else { panic!("{sql}") };
            assert_eq!((view.dataset.as_str(), view.name.as_str()), ("a", "v"));
            assert_eq!((view.security_invoker, &*view.sql), (security_invoker, "SELECT 1 AS x"));
        }
        for (said, kept) in [
            ("SELECT -(-1) AS x", Some("SELECT -(-1) AS x")),
            ("SELECT 1 -- one\n AS x", Some("SELECT 1 AS x")),
            ("SELECT - -1 AS x", None),
            ("SELECT 'a''''b' AS x", None),
            (r"SELECT '\'' UNION ALL SELECT y FROM b.t --' AS x", None),
            (r#"SELECT 1 AS "a""""b""#, None),
        ] {
            let made = read(&format!("CREATE VIEW a.v WITH (security_invoker = true) AS {said}"));
            let made = made.ok().map(|made| match made {
                Change::CreateView(view) => view.sql,
                other => panic!("{other:?}"),
            });
            assert_eq!(made.as_deref(), kept, "{said}");
        }
        let Change::DropView(dropped) = read("DROP VIEW ornl.a.v").unwrap() else { panic!() };
        assert_eq!((dropped.dataset.as_str(), dropped.name.as_str()), ("a", "v"));
        for sql in ["CREATE VIEW a.v AS SELECT 1", "CREATE VIEW a.v WITH (x = 1) AS SELECT 1"] {
            let told = read(sql).unwrap_err().to_string();
            assert!(told.contains("= true)") && told.contains("= false)"), "{told}");
        }
        for sql in [
            "CREATE VIEW v WITH (security_invoker = true) AS SELECT 1",
            "CREATE VIEW llnl.a.v WITH (security_invoker = true) AS SELECT 1",
            "CREATE OR REPLACE VIEW a.v WITH (security_invoker = true) AS SELECT 1",
            "CREATE MATERIALIZED VIEW a.v WITH (security_invoker = true) AS SELECT 1",
            "CREATE VIEW a.v (x) WITH (security_invoker = true) AS SELECT 1",
            "CREATE VIEW a.v WITH (security_invoker = 'true') AS SELECT 1",
            "CREATE VIEW a.v WITH (security_invoker = true, security_barrier = true) AS SELECT 1",
            "CREATE VIEW a.v WITH (security_invoker = true) AS SELECT 1; DROP VIEW a.v",
            "CREATE VIEW IF NOT EXISTS a.v WITH (security_invoker = true) AS SELECT 1",
            "DROP VIEW v",
            "DROP VIEW IF EXISTS a.v",
            "DROP VIEW a.v, a.w",
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
            "DROP TABLE t",
            "DROP TABLE llnl.a.t",
            "DROP TABLE \"a@2\".t",
            "DROP TABLE IF EXISTS a.t",
            "DROP TABLE a.t CASCADE",
            "DROP TABLE a.t, a.u",
            "DROP TABLE a.t; SELECT 1",
        ] {
            assert!(read(sql).is_err(), "{sql}");
        }
    }
}
