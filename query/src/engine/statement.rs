//! Which statements are allowed, decided on what was parsed and never on the text.

use crate::engine::expansion::Expansion;
use crate::engine::{nesting, parameters};
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
/// [`QueryError::Nesting`] for a statement that nests too deeply, before it is parsed;
/// [`QueryError::Invalid`] for text that is no SQL, for several statements, and for any statement
/// that would change something.
pub(crate) fn parse(sql: &str) -> Result<Parsed, QueryError> {
    parse_as(sql, |_| Ok(()))
}

/// The same for a statement that is put in other words once it is parsed, and then decided on.
///
/// # Errors
/// As [`parse`], and what `words` finds wrong.
pub(crate) fn parse_as(
    sql: &str,
    words: impl FnOnce(&mut Statement) -> Result<(), QueryError>,
) -> Result<Parsed, QueryError> {
    nesting::check(sql)?;
    let mut statements = DFParserBuilder::new(sql).build()?.parse_statements()?;
    let Some(mut statement) = statements.pop_front() else {
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
    words(&mut statement)?;
    let kind = kind(&statement)?;
    parameters::number(&mut statement)?;
    let mut visitor = Calls::default();
    let _ = inner(&statement).map(|inner| inner.visit(&mut visitor));
    nesting::check_tables(visitor.tables)?;
    visitor.expansion.check()?;
    if let Some(word) = visitor.writes {
        return Err(refused(word));
    }
    if let Some((clause, instead)) = visitor.ignored {
        return Err(QueryError::Invalid(format!("{clause} is not supported{instead}")));
    }
    Ok(Parsed { statement, kind, calls: visitor.calls })
}

fn refused(word: &str) -> QueryError {
    QueryError::Invalid(format!(
        "{word} is not allowed here: SQL reads (SELECT, WITH, VALUES, EXPLAIN, DESCRIBE, SHOW TABLES, SHOW \
         COLUMNS), and makes tables of queries over HTTP and in `tarn sql` (CREATE TABLE dataset.table AS \
         SELECT …, DROP TABLE dataset.table) and views (CREATE VIEW, DROP VIEW); data come in with `tarn ingest` and `tarn register`"
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
                detailed: explain.options.verbose || explain.options.format.is_some(),
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
        ast::Statement::Explain { statement, verbose, format, describe_alias, .. } => {
            match (kind_of_sql(statement)?, describe_alias) {
                (Kind::Query, ast::DescribeAlias::Explain) => {
                    Ok(Kind::Explain { detailed: *verbose || format.is_some() })
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

/// Finds calls of table functions, parts of a query that write, and clauses that the planner reads
/// over or answers wrongly.
#[derive(Default)]
struct Calls {
    calls: Vec<Call>,
    /// Tables and calls that stand in FROM.
    tables: usize,
    expansion: Expansion,
    writes: Option<&'static str>,
    /// The clause and what to write in its place.
    ignored: Option<(&'static str, &'static str)>,
}

impl Calls {
    fn refuse(&mut self, there: bool, clause: &'static str, instead: &'static str) {
        if there && self.ignored.is_none() {
            self.ignored = Some((clause, instead));
        }
    }

    /// Set operations that count duplicates are planned as joins, which do not.
    fn set_operations(&mut self, body: &ast::SetExpr) {
        if let ast::SetExpr::SetOperation { op, set_quantifier, left, right } = body {
            use ast::{SetOperator, SetQuantifier};
            let counts = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
            let clause = match op {
                SetOperator::Intersect => "INTERSECT ALL",
                SetOperator::Except | SetOperator::Minus => "EXCEPT ALL",
                SetOperator::Union => "",
            };
            let instead = "; without ALL it works, and gives each row once";
            self.refuse(counts && !clause.is_empty(), clause, instead);
            self.set_operations(left);
            self.set_operations(right);
        }
    }
}

impl Visitor for Calls {
    type Break = ();

    fn post_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.expansion.leave(query);
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &ast::Query) -> ControlFlow<()> {
        self.expansion.enter(query);
        self.writes = self.writes.or(match query.body.as_ref() {
            ast::SetExpr::Insert(_) => Some("INSERT"),
            ast::SetExpr::Update(_) => Some("UPDATE"),
            ast::SetExpr::Delete(_) => Some("DELETE"),
            ast::SetExpr::Merge(_) => Some("MERGE"),
            _ => None,
        });
        self.set_operations(&query.body);
        self.refuse(!query.locks.is_empty(), "FOR UPDATE or FOR SHARE", "; leave it out");
        self.refuse(query.for_clause.is_some(), "FOR XML or JSON", "; see --format");
        self.refuse(query.settings.is_some(), "SETTINGS", "; leave it out");
        self.refuse(query.format_clause.is_some(), "FORMAT", "; see --format");
        let limit_by = matches!(&query.limit_clause,
            Some(ast::LimitClause::LimitOffset { limit_by, .. }) if !limit_by.is_empty());
        self.refuse(
            limit_by,
            "LIMIT … BY",
            "; use QUALIFY row_number() OVER (PARTITION BY …) <= n",
        );
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &ast::Select) -> ControlFlow<()> {
        if select.into.is_some() {
            self.writes = self.writes.or(Some("SELECT INTO"));
        }
        self.refuse(select.prewhere.is_some(), "PREWHERE", "; write WHERE");
        self.refuse(!select.connect_by.is_empty(), "CONNECT BY", "; use WITH RECURSIVE");
        self.refuse(!select.distribute_by.is_empty(), "DISTRIBUTE BY", "; leave it out");
        self.refuse(select.select_modifiers.is_some(), "a modifier of SELECT", "; leave it out");
        self.refuse(select.value_table_mode.is_some(), "SELECT AS", "; name the columns");
        let modified = matches!(&select.group_by,
            ast::GroupByExpr::All(modifiers) | ast::GroupByExpr::Expressions(_, modifiers)
                if !modifiers.is_empty());
        self.refuse(modified, "GROUP BY … WITH", "; write ROLLUP(…) or CUBE(…)");
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &ast::TableFactor) -> ControlFlow<()> {
        self.tables += 1;
        self.expansion.table(factor);
        let call = match factor {
            ast::TableFactor::Table { name, args: Some(args), .. } => Some((name, &args.args)),
            ast::TableFactor::Function { name, args, .. } => Some((name, args)),
            _ => None,
        };
        if let ast::TableFactor::Table {
            with_hints,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints,
            ..
        } = factor
        {
            let by_random = "; use WHERE random() < 0.1 or LIMIT";
            self.refuse(sample.is_some(), "TABLESAMPLE", by_random);
            let of_version = r#"; a version is read as "dataset@3".table"#;
            self.refuse(version.is_some(), "FOR SYSTEM_TIME or FINAL", of_version);
            self.refuse(!partitions.is_empty(), "PARTITION (…)", "; use WHERE");
            let hints = !with_hints.is_empty() || !index_hints.is_empty();
            self.refuse(hints, "a hint on a table", "; leave it out");
            self.refuse(json_path.is_some(), "a JSON path on a table", "");
            self.refuse(*with_ordinality, "WITH ORDINALITY", "; use row_number() OVER ()");
        }
        if let ast::TableFactor::Derived { sample: Some(_), .. } = factor {
            self.refuse(true, "TABLESAMPLE", "; use WHERE random() < 0.1 or LIMIT");
        }
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
            ("EXPLAIN ANALYZE SELECT 1", false),
            ("EXPLAIN ANALYZE VERBOSE SELECT 1", true),
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
        let doubling: String = (1..30)
            .map(|step| format!(", a{step} AS (SELECT * FROM a{0} x, A{0} y)", step - 1))
            .collect();
        let refused = parse(&format!("WITH a0 AS (SELECT * FROM t){doubling} SELECT * FROM a29"));
        assert!(refused.is_err_and(|error| error.to_string().contains("4096")));
        assert!(parse("SELECT 1; DROP TABLE t").is_err());
        assert!(parse("").is_err());
        assert!(parse("SELEC 1").is_err());
    }

    #[test]
    fn what_would_be_ignored_is_refused_by_name() {
        for (sql, word) in [
            ("SELECT a FROM t PREWHERE a > 1", "PREWHERE"),
            ("SELECT a FROM t TABLESAMPLE BERNOULLI (50)", "TABLESAMPLE"),
            ("SELECT a FROM t TABLESAMPLE (10 ROWS)", "TABLESAMPLE"),
            ("SELECT a FROM t START WITH a = 1 CONNECT BY PRIOR a = b", "CONNECT BY"),
            ("SELECT a FROM t PARTITION (p)", "PARTITION"),
            ("SELECT a FROM t WITH (NOLOCK)", "hint"),
            ("SELECT a FROM t SETTINGS x = 1", "SETTINGS"),
            ("SELECT a FROM t FOR UPDATE", "FOR UPDATE"),
            ("SELECT a FROM t LIMIT 1 BY a", "LIMIT"),
            ("SELECT a, count(*) FROM t GROUP BY a WITH TOTALS", "GROUP BY"),
            ("SELECT 1 INTERSECT ALL SELECT 2", "INTERSECT ALL"),
            ("SELECT * FROM (SELECT 1 UNION SELECT 2 EXCEPT ALL SELECT 2)", "EXCEPT ALL"),
            ("SELECT * FROM generate_series(1, 3) WITH ORDINALITY", "WITH ORDINALITY"),
            ("WITH x AS (SELECT a FROM t PREWHERE a > 1) SELECT * FROM x", "PREWHERE"),
        ] {
            match parse(sql) {
                Err(QueryError::Invalid(text)) => assert!(text.contains(word), "{sql}: {text}"),
                other => panic!("{sql}: {other:?}"),
            }
        }
        assert!(parse("SELECT a FROM t UNION ALL SELECT b FROM t EXCEPT SELECT 1").is_ok());
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
