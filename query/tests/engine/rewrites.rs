//! Statements that DataFusion alone answers wrongly or not at all.

use crate::support::{files_only, rows};

async fn check(expected: &[(&str, &str)]) {
    let session = files_only().await;
    let mut wrong = vec![];
    for (sql, answer) in expected {
        let found = match rows(&session, sql).await {
            Ok(rows) => rows.iter().map(|row| row.join(" ")).collect::<Vec<_>>().join(", "),
            Err(error) => error.to_string(),
        };
        if found != *answer {
            wrong.push(format!("{sql}: {found} and not {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// DuckDB gives these answers; it has one zero.
#[tokio::test]
async fn there_is_one_zero() {
    let zeros = "WITH t AS (SELECT * FROM (VALUES (0e0, 1), (-0.0e0, 2), (1e0, 3)) t(x, k))";
    let with = |sql: &str| format!("{zeros} {sql}");
    let statements = [
        (with("SELECT k FROM t WHERE x IN (0, 5, 6, 7, 8, 9) ORDER BY k"), "1, 2"),
        (with("SELECT k FROM t WHERE x NOT IN (-0.0, 5, 6, 7, 8) ORDER BY k"), "3"),
        (with("SELECT k FROM t WHERE CAST(x AS REAL) IN (5, 6, 7, 8, x) ORDER BY k"), "1, 2, 3"),
        (
            with("SELECT k, CASE x WHEN 0 THEN 'zero' ELSE 'other' END FROM t ORDER BY k"),
            "1 zero, 2 zero, 3 other",
        ),
        (with("SELECT k FROM t WHERE nullif(x, 0) IS NULL ORDER BY k"), "1, 2"),
        (with("SELECT nullif(x, 0) AS \"nullif(t.x,0)\" FROM t WHERE k = 3"), "1.0"),
        (with("SELECT count(DISTINCT x), count(DISTINCT k) FROM t"), "2 3"),
        (with("SELECT avg(DISTINCT x), count(DISTINCT k) FROM t"), "0.5 3"),
        (with("SELECT k, count(*) OVER (PARTITION BY x) FROM t ORDER BY k"), "1 2, 2 2, 3 1"),
        (with("SELECT k, rank() OVER (ORDER BY x) FROM t ORDER BY k"), "1 1, 2 1, 3 3"),
        (with("SELECT count(DISTINCT x) AS n FROM t HAVING count(DISTINCT x) = 2"), "2"),
    ];
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}

#[tokio::test]
async fn dates_beyond_nanoseconds_are_compared() {
    let near = "WITH t AS (SELECT arrow_cast(d, 'Timestamp(Nanosecond, None)') d FROM (VALUES \
                ('1990-01-01'), ('2000-01-01'), (NULL)) t(d))";
    let far = "WITH t AS (SELECT arrow_cast(d, 'Timestamp(Microsecond, None)') d FROM (VALUES \
               ('0990-01-01'), ('2000-01-01'), ('3000-01-01'), (NULL)) t(d))";
    let both = "WITH a AS (SELECT arrow_cast(d, 'Timestamp(Nanosecond, None)') d FROM (VALUES \
                ('1990-01-01'), ('2000-01-01')) t(d)), b AS (SELECT arrow_cast(d, \
                'Timestamp(Microsecond, None)') d FROM (VALUES ('2000-01-01'), ('3000-01-01')) t(d))";
    let statements: Vec<(String, &str)> = [
        (near, "SELECT count(*) FROM t WHERE d < '9999-12-31'", "2"),
        (near, "SELECT count(*) FROM t WHERE d < TIMESTAMP '9999-12-31'", "2"),
        (near, "SELECT count(*) FROM t WHERE DATE '9999-12-31' >= d", "2"),
        (near, "SELECT count(*) FROM t WHERE d > DATE '9999-12-31'", "0"),
        (near, "SELECT count(*) FROM t WHERE NOT (d > TIMESTAMP '2500-01-01 00:00:00')", "2"),
        (near, "SELECT count(*) FROM t WHERE d = '0001-01-01'", "0"),
        (near, "SELECT count(*) FROM t WHERE d <> '0001-01-01'", "2"),
        (near, "SELECT count(*) FROM t WHERE d <= '0001-01-01'", "0"),
        (near, "SELECT count(*) FROM t WHERE d IS DISTINCT FROM TIMESTAMP '0001-01-01'", "3"),
        (near, "SELECT count(*) FROM t WHERE d BETWEEN '1000-01-01' AND '9999-12-31'", "2"),
        (near, "SELECT count(*) FROM t WHERE d BETWEEN '1000-01-01' AND '1995-12-31'", "1"),
        (near, "SELECT count(*) FROM t WHERE d NOT BETWEEN '2500-01-01' AND '9999-12-31'", "2"),
        (near, "SELECT count(*) FROM t WHERE d IN ('2000-01-01', '9999-12-31')", "1"),
        (near, "SELECT count(*) FROM t WHERE d NOT IN ('0002-01-01', '9999-12-31')", "2"),
        (far, "SELECT count(*) FROM t WHERE d > TIMESTAMP '2500-01-01'", "1"),
        (far, "SELECT count(*) FROM t WHERE d = TIMESTAMP '3000-01-01'", "1"),
        (far, "SELECT count(*) FROM t WHERE d BETWEEN DATE '0900-01-01' AND now()", "2"),
        (far, "SELECT max(d) - TIMESTAMP '2999-12-31' FROM t", "PT86400S"),
        (both, "SELECT a.d FROM a JOIN b USING (d)", "2000-01-01T00:00:00"),
        (both, "SELECT count(*) FROM a FULL JOIN b ON a.d = b.d", "3"),
        (both, "SELECT count(*) FROM a, b WHERE b.d = a.d AND b.d > DATE '0900-01-01'", "1"),
    ]
    .iter()
    .map(|(with, sql, answer)| (format!("{with} {sql}"), *answer))
    .collect();
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
    check(&[
        ("SELECT TIMESTAMP '2500-01-01' AS t", "2500-01-01T00:00:00"),
        ("SELECT arrow_typeof(TIMESTAMP '2000-01-01')", "Timestamp(ns)"),
        ("WITH t AS (SELECT TIMESTAMP '2500-01-01' AS d) SELECT now() < d FROM t", "true"),
    ])
    .await;
}
