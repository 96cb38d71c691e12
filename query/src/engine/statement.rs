//! Which statements are allowed, decided on what was parsed and never on the text.

use crate::error::QueryError;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::{Visit, Visitor};
use std::ops::ControlFlow;

/// How a statement is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows of a query.
    Query,
    /// The plan of a query.
    Explain {
        /// Whether it runs the query, shows every step, or asks for another format.
        detailed: bool,
    },
    /// The columns of a table, or a listing of what there is.
    Listing,
}

/// A statement that may be planned.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    /// The statement.
    pub(crate) statement: Statement,
    /// How it is answered.
    pub(crate) kind: Kind,
    /// Calls of table functions in it.
    pub(crate) calls: Vec<Call>,
}

/// A call of a table function, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Name in lower case.
    pub(crate) function: String,
    /// Arguments: constant text or NULL; an error text for anything else.
    pub(crate) arguments: Result<Vec<Option<String>>, String>,
}

/// Parses one read-only statement.
///
/// # Errors
/// [`QueryError::Invalid`] for text that is no SQL, for several statements, and for any statement
/// that would change something.
pub(crate) fn parse(sql: &str) -> Result<Parsed, QueryError> {
    let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    let Some(statement) = statements.pop_front() else {
        return Err(QueryError::Invalid(
            "there is no statement; write SELECT … or SHOW TABLES".to_owned(),
        ));
    };
    if !statements.is_empty() {
        return Err(QueryError::Invalid(format!(
            "these are {} statements; send one at a time",
            statements.len().saturating_add(1)
        )));
    }
    let kind = kind(&statement)?;
    let mut visitor = Calls::default();
    let _ = inner(&statement).map(|inner| inner.visit(&mut visitor));
    if let Some(word) = visitor.writes {
        return Err(refused(word));
    }
    Ok(Parsed { statement, kind, calls: visitor.calls })
}

fn refused(word: &str) -> QueryError {
    QueryError::Invalid(format!(
        "{word} is not allowed: SQL here only reads (SELECT, WITH, VALUES, EXPLAIN, DESCRIBE, SHOW \
         TABLES, SHOW COLUMNS); data come in with `tarn ingest` and `tarn register`"
    ))
}

/// The sqlparser statement inside EXPLAIN.
fn inner(statement: &Statement) -> Option<&ast::Statement> {
    match statement {
        Statement::Statement(inner) => Some(inner),
        Statement::Explain(explain) => inner(&explain.statement),
        _ => None,
    }
}

fn kind(statement: &Statement) -> Result<Kind, QueryError> {
    match statement {
        Statement::Statement(inner) => kind_of_sql(inner),
        Statement::Explain(explain) => match kind(&explain.statement)? {
            Kind::Query => Ok(Kind::Explain {
                detailed: explain.options.analyze
                    || explain.options.verbose
                    || explain.options.format.is_some(),
            }),
            Kind::Explain { .. } | Kind::Listing => Err(QueryError::Invalid(
                "EXPLAIN works on queries only: write EXPLAIN SELECT …".to_owned(),
            )),
        },
        Statement::CreateExternalTable(_) => Err(refused("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(refused("COPY")),
        Statement::Reset(_) => Err(refused("RESET")),
    }
}

fn kind_of_sql(statement: &ast::Statement) -> Result<Kind, QueryError> {
    match statement {
        ast::Statement::Query(_) => Ok(Kind::Query),
        ast::Statement::ExplainTable { .. }
        | ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. } => Ok(Kind::Listing),
        // Only `DESCRIBE SELECT …` arrives here: EXPLAIN is a statement of DataFusion's own parser.
        ast::Statement::Explain { statement, analyze, verbose, format, describe_alias, .. } => {
            match (kind_of_sql(statement)?, describe_alias) {
                (Kind::Query, ast::DescribeAlias::Explain) => {
                    Ok(Kind::Explain { detailed: *analyze || *verbose || format.is_some() })
                }
                (Kind::Query, _) => Ok(Kind::Query),
                _ => {
                    Err(QueryError::Invalid("DESCRIBE works on tables and queries only".to_owned()))
                }
            }
        }
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            let word = match words.as_slice() {
                [first @ ("CREATE" | "DROP" | "ALTER" | "SHOW"), second] => {
                    format!("{first} {second}")
                }
                [first, ..] => (*first).to_owned(),
                [] => "this statement".to_owned(),
            };
            Err(refused(&word))
        }
    }
}

/// Finds calls of table functions, and parts of a query that write.
#[derive(Default)]
struct Calls {
    calls: Vec<Call>,
    writes: Option<&'static str>,
}

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.writes = self.writes.or(match query.body.as_ref() {
            ast::SetExpr::Insert(_) => Some("INSERT"),
            ast::SetExpr::Update(_) => Some("UPDATE"),
            ast::SetExpr::Delete(_) => Some("DELETE"),
            ast::SetExpr::Merge(_) => Some("MERGE"),
            _ => None,
        });
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        if select.into.is_some() {
            self.writes = self.writes.or(Some("SELECT INTO"));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        let call = match factor {
            ast::TableFactor::Table { name, args: Some(args), .. } => Some((name, &args.args)),
            ast::TableFactor::Function { name, args, .. } => Some((name, args)),
            _ => None,
        };
        if let Some((name, arguments)) = call {
            let function = match name.0.as_slice() {
                [part] => part.as_ident().map(|ident| match ident.quote_style {
                    Some(_) => ident.value.clone(),
                    None => ident.value.to_ascii_lowercase(),
                }),
                _ => None,
            };
            self.calls.push(Call {
                function: function.unwrap_or_else(|| name.to_string()),
                arguments: arguments.iter().map(constant).collect(),
            });
        }
        ControlFlow::Continue(())
    }
}

/// An argument as constant text.
fn constant(argument: &ast::FunctionArg) -> Result<Option<String>, String> {
    let ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(ast::Expr::Value(value))) = argument
    else {
        return Err(argument.to_string());
    };
    match &value.value {
        ast::Value::SingleQuotedString(text) => Ok(Some(text.clone())),
        ast::Value::Null => Ok(None),
        _ => Err(argument.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_is_allowed() {
        for sql in [
            "SELECT 1",
            "select a from b where c in (select d from e)",
            "WITH a AS (SELECT 1) SELECT * FROM a;",
            "VALUES (1, 2), (3, 4)",
            "(SELECT 1) UNION ALL (SELECT 2)",
        ] {
            assert_eq!(parse(sql).map(|p| p.kind).ok(), Some(Kind::Query), "{sql}");
        }
        for sql in ["SHOW TABLES", "DESCRIBE t", "DESC lab.ds.t", "SHOW COLUMNS FROM t"] {
            assert_eq!(parse(sql).map(|p| p.kind).ok(), Some(Kind::Listing), "{sql}");
        }
        for (sql, detailed) in [
            ("EXPLAIN SELECT 1", false),
            ("EXPLAIN ANALYZE SELECT 1", true),
            ("EXPLAIN VERBOSE SELECT 1", true),
            ("EXPLAIN FORMAT TREE SELECT 1", true),
        ] {
            assert_eq!(parse(sql).map(|p| p.kind).ok(), Some(Kind::Explain { detailed }), "{sql}");
        }
    }

    #[test]
    fn what_changes_something_is_refused_by_name() {
        for (sql, word) in [
            ("CREATE TABLE t (a int)", "CREATE TABLE"),
            ("CREATE TABLE t AS SELECT 1", "CREATE TABLE"),
            ("CREATE VIEW v AS SELECT 1", "CREATE VIEW"),
            ("CREATE SCHEMA s", "CREATE SCHEMA"),
            ("CREATE FUNCTION f() RETURNS int RETURN 1", "CREATE FUNCTION"),
            ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "CREATE EXTERNAL"),
            ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY"),
            ("COPY t TO '/tmp/x.parquet' STORED AS PARQUET", "COPY"),
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("UPDATE t SET a = 1", "UPDATE"),
            ("DELETE FROM t", "DELETE"),
            ("MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE", "MERGE"),
            ("DROP TABLE t", "DROP TABLE"),
            ("ALTER TABLE t ADD COLUMN b int", "ALTER TABLE"),
            ("TRUNCATE TABLE t", "TRUNCATE"),
            ("SET datafusion.execution.batch_size = 1", "SET"),
            ("RESET datafusion.execution.batch_size", "RESET"),
            ("SHOW ALL", "SHOW ALL"),
            ("SHOW datafusion.execution.batch_size", "SHOW"),
            ("PREPARE p AS SELECT 1", "PREPARE"),
            ("EXECUTE p", "EXECUTE"),
            ("BEGIN", "BEGIN"),
            ("COMMIT", "COMMIT"),
            ("SELECT * INTO t FROM s", "SELECT INTO"),
            ("EXPLAIN INSERT INTO t VALUES (1)", "INSERT"),
            ("EXPLAIN COPY t TO 'x'", "COPY"),
        ] {
            match parse(sql) {
                Err(QueryError::Invalid(text)) => {
                    assert!(text.contains(word), "{sql}: {text}");
                }
                other => panic!("{sql}: {other:?}"),
            }
        }
        assert!(parse("SELECT 1; DROP TABLE t").is_err());
        assert!(parse("").is_err());
        assert!(parse("SELEC 1").is_err());
    }

    #[test]
    fn calls_of_table_functions_are_found_wherever_they_stand() {
        let parsed = parse(
            "WITH a AS (SELECT * FROM read_netcdf('a.nc', NULL, '{}')) SELECT * FROM a JOIN \
             READ_ANY('b') b ON true WHERE EXISTS (SELECT 1 FROM grids('c')) UNION ALL SELECT * \
             FROM range(1, 2)",
        )
        .unwrap();
        let calls: Vec<_> = parsed.calls.iter().map(|c| c.function.as_str()).collect();
        assert_eq!(calls.len(), 4);
        for name in ["read_netcdf", "read_any", "grids", "range"] {
            assert!(calls.contains(&name), "{calls:?}");
        }
        let netcdf = parsed.calls.iter().find(|c| c.function == "read_netcdf").unwrap();
        let expected = vec![Some("a.nc".to_owned()), None, Some("{}".to_owned())];
        assert_eq!(netcdf.arguments, Ok(expected));
    }
}
