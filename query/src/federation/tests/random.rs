//! Random queries: the federated answer equals the local one.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn table() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("ornl.d.ta".to_owned()),
        Just("llnl.d.ta".to_owned()),
        Just("anl.d.ta".to_owned()),
        Just("(SELECT * FROM ornl.d.ta UNION ALL SELECT * FROM llnl.d.ta)".to_owned()),
        Just("(SELECT * FROM llnl.d.ta UNION ALL SELECT * FROM anl.d.ta UNION ALL SELECT * FROM ornl.d.ta)".to_owned()),
        Just("(SELECT model, year + 1 AS year, ta * 2 AS ta, n, ok FROM ornl.d.ta WHERE ok IS NOT FALSE UNION ALL SELECT * FROM llnl.d.ta)".to_owned()),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let simple = prop_oneof![
        (0..5_i32).prop_map(|y| format!("year > {}", 1849 + y)),
        Just("ta < 280".to_owned()),
        Just("ta IS NULL".to_owned()),
        Just("model = 'cesm'".to_owned()),
        Just("model LIKE '%s%'".to_owned()),
        Just("model IN ('e3sm', 'gfdl')".to_owned()),
        Just("n BETWEEN 2 AND 8".to_owned()),
        Just("ok".to_owned()),
        Just("ok IS NOT TRUE".to_owned()),
        Just("n IS DISTINCT FROM year".to_owned()),
        Just("year % 2 = 0".to_owned()),
        Just("abs(n) > 4".to_owned()),
        Just("random() >= 0".to_owned()),
        Just("true".to_owned()),
    ];
    simple.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn aggregate() -> impl Strategy<Value = String> {
    let call = prop_oneof![
        Just("count(*)"),
        Just("count(ta)"),
        Just("sum(n)"),
        Just("sum(ta)"),
        Just("min(ta)"),
        Just("max(model)"),
        Just("avg(ta)"),
        Just("avg(n)"),
        Just("min(year)"),
        Just("count(DISTINCT model)"),
        Just("sum(year)"),
        Just("max(ok)"),
        Just("median(n)"),
        Just("bool_or(ok)"),
    ];
    (call, proptest::option::of(condition())).prop_map(|(call, filter)| match filter {
        Some(filter) => format!("{call} FILTER (WHERE {filter})"),
        None => call.to_owned(),
    })
}

fn group() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(vec!["model", "ok", "year", "year % 2", "upper(model)"], 0..3)
}

fn query() -> impl Strategy<Value = String> {
    let aggregated = (table(), condition(), group(), proptest::collection::vec(aggregate(), 1..4))
        .prop_map(|(table, condition, groups, aggregates)| {
            let columns: Vec<String> =
                groups.iter().map(|g| (*g).to_owned()).chain(aggregates).collect();
            let columns: Vec<String> =
                columns.iter().enumerate().map(|(i, c)| format!("{c} AS c{i}")).collect();
            let by = if groups.is_empty() {
                String::new()
            } else {
                format!(" GROUP BY {}", groups.join(", "))
            };
            format!("SELECT {} FROM {table} t WHERE {condition}{by}", columns.join(", "))
        });
    let plain = (table(), condition()).prop_map(|(table, condition)| {
        format!("SELECT n, model, ta / 2, year FROM {table} t WHERE {condition}")
    });
    let joined = (table(), table(), condition(), proptest::sample::select(vec!["JOIN", "LEFT JOIN", "FULL JOIN"]))
        .prop_map(|(a, b, condition, join)| {
            format!(
                "SELECT t.model, t.year, s.year AS y, s.ta FROM (SELECT * FROM {a} x WHERE {condition}) t \
                 {join} {b} s ON t.model = s.model AND t.year <= s.year"
            )
        });
    let sorted = (table(), condition(), 1..5_usize).prop_map(|(table, condition, limit)| {
        format!("SELECT year, n FROM {table} t WHERE {condition} ORDER BY year, n NULLS FIRST LIMIT {limit}")
    });
    prop_oneof![3 => aggregated, 2 => plain, 1 => joined, 1 => sorted]
}

#[test]
fn random_queries_give_the_same_answer_as_without_federation() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (ornl, llnl) = runtime.block_on(two_labs());
    let here = everything_here();
    let mut runner =
        TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
    runner
        .run(&query(), |sql| {
            let (here, federated) = runtime.block_on(async {
                let known = vec![ornl.known().await, llnl.known().await];
                let (context, _) = asker(known, PartialMode::Error);
                let ordered = sql.contains("ORDER BY");
                (rows(&here, &sql, ordered).await, rows(&context, &sql, ordered).await)
            });
            match (here, federated) {
                (Ok(here), Ok(federated)) => prop_assert_eq!(federated, here, "{}", sql),
                (Err(_), Err(_)) => {}
                (here, federated) => {
                    return Err(TestCaseError::fail(format!("{sql}: {here:?} but {federated:?}")));
                }
            }
            Ok(())
        })
        .unwrap();
}
