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

/// A column is a constant below a filter only where the filter says `column = value`.
#[tokio::test]
async fn order_and_windows_hold_below_filters_that_lose_digits() {
    let numbers = "WITH t AS (SELECT * FROM (VALUES (68, 5.7e0), (61, 5.1e0), (65, 5.5e0), \
                   (66, 5.3e0), (5, 9e0), (61, 5.1e0)) t(i, w))";
    let with = |sql: &str| format!("{numbers} {sql}");
    let statements = [
        (with("SELECT i FROM t WHERE i / 10 = 6 ORDER BY i"), "61, 61, 65, 66, 68"),
        (with("SELECT i FROM t WHERE i / 10 = 6 ORDER BY i DESC LIMIT 1"), "68"),
        (with("SELECT w FROM t WHERE CAST(w AS BIGINT) = 5 ORDER BY w LIMIT 2"), "5.1, 5.1"),
        (
            with("SELECT i, rank() OVER (ORDER BY i) r FROM t WHERE i / 10 = 6 ORDER BY r, i"),
            "61 1, 61 1, 65 3, 66 4, 68 5",
        ),
        (
            with("SELECT i, count(*) OVER (PARTITION BY i) FROM t WHERE i / 10 = 6 ORDER BY i"),
            "61 2, 61 2, 65 1, 66 1, 68 1",
        ),
        (with("SELECT DISTINCT ON (i) i FROM t WHERE i / 10 = 6 ORDER BY i"), "61, 65, 66, 68"),
        (with("SELECT i FROM t WHERE -(w + 1e16) = -1e16 ORDER BY i"), ""),
        (with("SELECT w FROM t WHERE w + 1e16 = 1e16 + 6 ORDER BY w"), "5.1, 5.1, 5.3, 5.5, 5.7"),
        (with("SELECT i FROM t WHERE i = 61 ORDER BY i"), "61, 61"),
        (
            with(
                "SELECT i FROM t WHERE i / 10 = 6 AND CAST(w AS BIGINT) = 5 AND i > 61 ORDER BY w",
            ),
            "66, 65, 68",
        ),
    ];
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}

/// Parts of a sum may not fit where the whole does.
#[tokio::test]
async fn a_sum_whose_parts_do_not_fit_is_exact() {
    let big = "WITH t AS (SELECT v % 2 AS k, CASE WHEN v <= 6 THEN 4611686018427387904 ELSE \
               -4611686018427387904 END AS s FROM generate_series(1, 12) g(v))";
    let with = |sql: &str| format!("{big} {sql}");
    let statements = [
        (with("SELECT k, sum(s) FROM t GROUP BY k ORDER BY k"), "0 0, 1 0"),
        (with("SELECT sum(s) FROM (SELECT s, row_number() OVER () r FROM t) u WHERE r > 0"), "0"),
        (with("SELECT sum(DISTINCT s) FROM t"), "0"),
    ];
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}

#[tokio::test]
async fn times_of_two_units_are_compared_exactly_wherever_they_come_from() {
    let both = "WITH n AS (SELECT arrow_cast(d, 'Timestamp(Nanosecond, None)') d FROM (VALUES \
                ('1990-01-01'), ('2000-01-01T00:00:00.000000001'), (NULL)) t(d)), m AS (SELECT \
                arrow_cast(d, 'Timestamp(Microsecond, None)') d FROM (VALUES ('1500-01-01'), \
                ('1990-01-01'), ('2000-01-01'), ('3000-01-01')) t(d))";
    let statements: Vec<(String, &str)> = [
        ("SELECT count(*) FROM m WHERE d < (SELECT max(d) FROM n)", "3"),
        ("SELECT count(*) FROM m WHERE d <> ALL (SELECT d FROM n WHERE d IS NOT NULL)", "3"),
        ("SELECT count(*) FROM m WHERE d NOT IN (SELECT d FROM n WHERE d IS NOT NULL)", "3"),
        // NOT IN with a NULL among the rows is never true.
        ("SELECT count(*) FROM m WHERE d NOT IN (SELECT d FROM n)", "0"),
        ("SELECT count(*) FROM m WHERE d IN (SELECT d FROM n)", "1"),
        ("SELECT count(*) FROM m JOIN n ON m.d > n.d", "3"),
        ("SELECT count(*) FROM m JOIN n ON m.d < n.d", "4"),
        ("SELECT count(*) FROM m, n WHERE m.d = n.d OR m.d IS NULL", "1"),
        ("SELECT count(*) FROM m, n WHERE m.d IS NOT DISTINCT FROM n.d", "1"),
    ]
    .into_iter()
    .map(|(sql, answer)| (format!("{both} {sql}"), answer))
    .collect();
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}

#[tokio::test]
async fn narrow_floats_meet_integers_as_doubles_and_keep_their_nan() {
    let floats = "WITH t AS (SELECT arrow_cast(x, 'Float32') x FROM (VALUES (16777214e0), \
                  (16777216e0), (16777218e0)) t(x)), n AS (SELECT arrow_cast(w, 'Float32') w FROM \
                  (VALUES (1e0), (-2e0), (arrow_cast('NaN', 'Float64'))) t(w))";
    let statements: Vec<(String, &str)> = [
        ("SELECT count(*) FROM t WHERE x = 16777217", "0"),
        ("SELECT count(*) FROM t WHERE x < 16777217", "2"),
        ("SELECT count(*) FROM t WHERE x IN (16777217, 16777218)", "1"),
        ("SELECT count(*) FROM t WHERE x BETWEEN 16777215 AND 16777217", "1"),
        ("SELECT count(*) FROM t WHERE x IS NOT DISTINCT FROM 16777217", "0"),
        ("SELECT w FROM n WHERE -w < -0.5", "1.0"),
        ("SELECT min(-w), max(-w) FROM n", "-1.0 NaN"),
        ("SELECT count(*) FROM n WHERE -(-w) = w", "3"),
    ]
    .into_iter()
    .map(|(sql, answer)| (format!("{floats} {sql}"), answer))
    .collect();
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}

/// DuckDB gives these answers.
#[tokio::test]
async fn comparisons_joined_by_and_are_told_apart_by_what_they_say() {
    let times = "WITH t AS (SELECT arrow_cast(d, 'Timestamp(Nanosecond, None)') d FROM (VALUES \
                 ('2000-01-03'), ('2000-01-04'), (NULL)) t(d))";
    let zeros = "WITH t AS (SELECT * FROM (VALUES (0e0), (-0.0e0), (5e0)) t(v))";
    let numbers = "WITH t AS (SELECT * FROM (VALUES (1), (2), (3), (4)) t(v))";
    let statements: Vec<(String, &str)> = [
        (times, "WHERE TIMESTAMP '2000-01-03' = d AND d = TIMESTAMP '2000-01-03'", "1"),
        (times, "WHERE TIMESTAMP '2000-01-03' = d AND d = '2000-01-03'", "1"),
        (times, "WHERE TIMESTAMP '2000-01-03' = d AND d = TIMESTAMP '2000-01-04'", "0"),
        (
            times,
            "JOIN (SELECT TIMESTAMP '2000-01-03' AS c) x ON c = d WHERE d = TIMESTAMP '2000-01-03'",
            "1",
        ),
        (zeros, "WHERE v = 0.0 AND v = -0.0", "2"),
        (zeros, "WHERE v > -0.0 AND v >= 0.0", "1"),
        (zeros, "WHERE v < 0.0 AND v <= -0.0", "0"),
        (zeros, "WHERE -0.0 <= v AND 0.0 = v", "2"),
        (zeros, "WHERE CAST(5 AS REAL) = v AND v = CAST(5 AS REAL)", "1"),
        (numbers, "WHERE NOT (v NOT IN (3) AND v IN (1, 2, 7, 8, NULL))", "1"),
        (numbers, "WHERE v NOT IN (1, NULL)", "0"),
        (numbers, "WHERE v IN (1, NULL, 3 + 0, v - 0)", "4"),
        (numbers, "WHERE (v IN (1, NULL)) IS NULL", "3"),
        (numbers, "WHERE (v NOT IN (1, 2, NULL)) IS FALSE", "2"),
        (numbers, "WHERE v IN (NULL)", "0"),
    ]
    .map(|(with, rest, answer)| (format!("{with} SELECT count(*) FROM t {rest}"), answer))
    .into();
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}

/// What a time in a coarse unit says of a finer constant, in every unit: the answers are those of
/// whole numbers that are counted in nanoseconds.
#[tokio::test]
async fn constants_finer_than_a_unit_are_compared_exactly() {
    let constants = [
        "2000-01-03T00:00:00",
        "2000-01-03T00:00:00.000000001",
        "2000-01-02T23:59:59.999999999",
        "2000-01-03T00:00:00.001",
        "2000-01-03T00:00:01",
        "1969-12-31T23:59:59.999999999",
    ];
    let mut statements = Vec::new();
    for data_type in [
        "Timestamp(Nanosecond, None)",
        "Timestamp(Microsecond, None)",
        "Timestamp(Millisecond, None)",
        "Timestamp(Second, None)",
        "Date32",
    ] {
        let times = format!(
            "WITH t AS (SELECT arrow_cast(d, '{data_type}') d FROM (VALUES ('1969-12-31'), \
             ('2000-01-02'), ('2000-01-03'), ('2000-01-04'), (NULL)) t(d)), c AS (SELECT d, \
             arrow_cast(arrow_cast(d, 'Timestamp(Nanosecond, None)'), 'Int64') n FROM t), v AS \
             (SELECT * FROM (VALUES (-86400000000000), (946771200000000000), (946857600000000000), \
             (946944000000000000), (NULL)) t(n))"
        );
        for constant in constants {
            let time = format!("TIMESTAMP '{constant}'");
            let count = format!("arrow_cast({time}, 'Int64')");
            let other = "arrow_cast(TIMESTAMP '2000-01-04T00:00:00', 'Int64')";
            for (on_times, on_counts) in [
                (format!("d < {time}"), format!("n < {count}")),
                (format!("d <= {time}"), format!("n <= {count}")),
                (format!("{time} < d"), format!("{count} < n")),
                (format!("d >= {time}"), format!("n >= {count}")),
                (format!("d = {time}"), format!("n = {count}")),
                (format!("d <> {time}"), format!("n <> {count}")),
                (format!("d IS DISTINCT FROM {time}"), format!("n IS DISTINCT FROM {count}")),
                (
                    format!("d BETWEEN {time} AND TIMESTAMP '2000-01-04T00:00:00'"),
                    format!("n BETWEEN {count} AND {other}"),
                ),
                (
                    format!("d NOT IN ({time}, TIMESTAMP '2000-01-04T00:00:00')"),
                    format!("n NOT IN ({count}, {other})"),
                ),
                (format!("d IN ({time})"), format!("n IN ({count})")),
            ] {
                statements.push(format!(
                    "{times} SELECT count(*) FILTER (WHERE ({on_times}) IS NOT DISTINCT FROM \
                     ({on_counts})), (SELECT count(*) FROM c WHERE {on_times}) - (SELECT count(*) \
                     FROM c WHERE {on_counts}), (SELECT count(*) FROM (SELECT CAST(d AS TIMESTAMP) d \
                     FROM c) WHERE {on_times}) - (SELECT count(*) FROM v WHERE {on_counts}) AS x FROM c"
                ));
            }
        }
    }
    check(&statements.iter().map(|sql| (sql.as_str(), "5 0 0")).collect::<Vec<_>>()).await;
}

/// DuckDB gives these answers.
#[tokio::test]
async fn a_cast_may_stand_beside_what_it_casts() {
    let with =
        |sql: &str| format!("WITH t AS (SELECT * FROM (VALUES (3, 1), (4, 2)) t(v, k)) {sql}");
    let statements = [
        (
            with("SELECT v, CAST(v AS DOUBLE), v::TEXT || 'x' FROM t ORDER BY v"),
            "3 3.0 3x, 4 4.0 4x",
        ),
        (with("SELECT sum(v), sum(CAST(v AS DOUBLE)) / 2 FROM t"), "7 3.5"),
        (
            with("SELECT avg(v) AS a, avg(v::DOUBLE) AS b, avg(v::SMALLINT) AS c FROM t"),
            "3.5 3.5 3.5",
        ),
        (with("SELECT *, TRY_CAST(v AS DOUBLE) FROM t WHERE v::TEXT = '3'"), "3 1 3.0"),
        (
            with("SELECT k, v::DOUBLE, v, count(*) FROM t GROUP BY k, v::DOUBLE, v ORDER BY k"),
            "1 3.0 3 1, 2 4.0 4 1",
        ),
        (
            with(
                "SELECT \"CAST(v AS DOUBLE)\" FROM (SELECT v, CAST(v AS DOUBLE) FROM t) ORDER BY 1",
            ),
            "3.0, 4.0",
        ),
        (
            with(
                "SELECT sum(v), sum(v::DOUBLE) FROM t HAVING sum(v::DOUBLE) > 6.5 ORDER BY sum(v::DOUBLE)",
            ),
            "7 7.0",
        ),
        (
            with(
                "SELECT k FROM t WHERE v > (SELECT min(v) + min(CAST(v AS DOUBLE)) - 3 FROM t) \
                 ORDER BY k",
            ),
            "2",
        ),
        (
            with(
                "SELECT lag(v) OVER (ORDER BY k), lag(v::DOUBLE) OVER (ORDER BY k) FROM t ORDER BY k",
            ),
            "NULL NULL, 3 3.0",
        ),
    ];
    check(&statements.iter().map(|(sql, answer)| (sql.as_str(), *answer)).collect::<Vec<_>>())
        .await;
}
