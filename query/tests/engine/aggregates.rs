//! Aggregates below the broadcast give the answer of DataFusion over a copy of the rows.
//!
//! Least and greatest of floats by group are compared with the first value in sorted order: with
//! NaN, DataFusion's own depend on the order of rows.

use crate::memory::{Axis, Cube, axis, context, plan, predicate, runtime, texts, typed, values};
use arrow::array::{ArrayRef, Float32Array, Float64Array, Int64Array, StringArray};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use std::sync::Arc;

const RULE: &str = "GridAggregateExec";

/// Rows in one order, with one zero.
fn sorted(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    for text in rows.iter_mut().flatten() {
        if text == "-0.0" {
            *text = "0.0".to_owned();
        }
    }
    rows.sort();
    rows
}

/// Whether two answers are the same, up to rounding.
fn same(one: &[Vec<String>], other: &[Vec<String>]) -> bool {
    let close = |a: &String, b: &String| {
        a == b
            || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b))
                if (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0))
    };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(a, b)| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b)))
}

/// Aggregates over the grid, and the same over the copy.
fn aggregate() -> impl Strategy<Value = (String, String)> {
    let both = |text: String| (text.clone(), text);
    let argument = prop::sample::select(vec![
        "v",
        "v",
        "v",
        "w",
        "w",
        "y",
        "x",
        "v + 1",
        "CAST(v AS DOUBLE)",
        "CAST(w AS DOUBLE)",
        "v * 2 - w",
        "CASE WHEN v > 0 THEN v END",
        "10 / (CAST(y AS INT) - 40)",
        "abs(v) + abs(x)",
        "v * CAST(y > 0 AS INT)",
        "CASE WHEN v > 0 THEN 10 / (CAST(w AS INT) - 1) ELSE CAST(x < 1 AS INT) END",
    ]);
    let function = prop::sample::select(vec!["sum", "avg", "min", "max", "count"]);
    let filter = prop_oneof![
        4 => Just(String::new()),
        1 => predicate().prop_map(|condition| format!(" FILTER (WHERE {condition})")),
    ];
    prop_oneof![
        2 => Just(both("count(*)".to_owned())),
        1 => Just(both("count(1)".to_owned())),
        10 => (function, argument.clone(), filter).prop_map(|(function, argument, filter)| {
            let own = format!("{function}({argument}){filter}");
            let other = match function {
                "min" => format!("first_value({argument} ORDER BY {argument} NULLS LAST){filter}"),
                "max" => {
                    format!("first_value({argument} ORDER BY {argument} DESC NULLS LAST){filter}")
                }
                _ => own.clone(),
            };
            (own, other)
        }),
        1 => argument.clone().prop_map(move |argument| {
            both(format!("bit_xor(CAST(abs(w) AS BIGINT)), count({argument})"))
        }),
        1 => Just(both("bool_and(v > 0), bool_or(w > 0)".to_owned())),
        1 => Just(both("count(DISTINCT w)".to_owned())),
    ]
}

fn key() -> impl Strategy<Value = String> {
    let column = prop::sample::select(vec!["y", "x"]);
    prop_oneof![
        6 => column.clone().prop_map(str::to_owned),
        2 => column.clone().prop_map(|c| format!("{c} > 0")),
        2 => column.clone().prop_map(|c| format!("floor(CAST({c} AS DOUBLE))")),
        1 => column.clone().prop_map(|c| format!("CASE WHEN {c} > 0 THEN 'north' ELSE 'south' END")),
        1 => column.clone().prop_map(|c| format!("10 / (CAST({c} AS INT) - 1)")),
        1 => column.prop_map(|c| format!("nullif({c}, 1)")),
        1 => Just("x + y".to_owned()),
        1 => Just("v > 0".to_owned()),
    ]
}

/// A file over `y` and `x`, or over `t`, `y` and `x`, with the variables `v` and `w`.
fn cube() -> impl Strategy<Value = Cube> {
    let lengths = prop_oneof![3 => Just(0_u64), 1 => 1_u64..4];
    (axis(8), axis(24), lengths, (0_usize..4, 0_usize..4), (0_usize..5, 0_usize..5), 0_u32..4)
        .prop_flat_map(|(ys, xs, times, axes, kinds, nulls)| {
            let cells = ys.len() * xs.len() * usize::try_from(times.max(1)).unwrap();
            let value = prop_oneof![
                10 => (-12_i16..100).prop_map(Some),
                nulls => Just(None),
            ];
            let eighths = prop::collection::vec(value, cells);
            let chunk = prop::option::of((1_u64..4, 1_u64..6, 1_u64..30));
            (eighths, chunk, any::<bool>()).prop_map(move |(eighths, chunk, special)| {
                let mut axes = vec![
                    ("y", typed(&ys, axes.0), ys.len() as u64),
                    ("x", typed(&xs, axes.1), xs.len() as u64),
                ];
                let mut chunk = chunk.map(|(t, y, x)| vec![t, y, x]);
                if times > 0 {
                    axes.insert(0, ("t", None, times));
                } else if let Some(chunk) = &mut chunk {
                    chunk.remove(0);
                }
                let mut other = eighths.clone();
                other.reverse();
                Cube {
                    axes,
                    variables: vec![
                        ("v", values(&eighths, special, kinds.0)),
                        ("w", values(&other, false, kinds.1)),
                    ],
                    chunk,
                }
            })
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn an_aggregate_agrees_with_the_same_aggregate_over_a_copy_of_the_rows(
        cube in cube(),
        keys in prop::collection::vec(key(), 0..3),
        aggregates in prop::collection::vec(aggregate(), 1..4),
        condition in prop::option::of(predicate()),
        files in 1_usize..3,
        learn in any::<bool>(),
    ) {
        let made = (0..files).map(|number| cube.file(&format!("{number}.nc"))).collect();
        let context = context(made, true, 16);
        let tail = |table: &str| {
            let filter = condition.as_ref().map(|c| format!(" WHERE {c}")).unwrap_or_default();
            let group = match keys.as_slice() {
                [] => String::new(),
                keys => format!(" GROUP BY {}", keys.join(", ")),
            };
            format!(" FROM {table}{filter}{group}")
        };
        let select = |own: bool| {
            let functions = aggregates.iter().map(|(one, other)| if own { one } else { other });
            let columns: Vec<String> = keys.iter().chain(functions).cloned().collect();
            let named = columns.iter().enumerate().map(|(place, text)| format!("{text} AS c{place}"));
            // Aggregates in pairs have names of their own.
            let named = named.map(|text| if text.contains("), ") { text.rsplit_once(" AS ").unwrap().0.to_owned() } else { text });
            named.collect::<Vec<_>>().join(", ")
        };
        let own = format!("SELECT {}{}", select(true), tail("grid"));
        let other = format!("SELECT {}{}", select(false), tail("rows"));
        runtime().block_on(async {
            if learn {
                texts(&context, "SELECT v, w FROM grid").await.unwrap();
            }
            if let Ok(expected) = texts(&context, &other).await {
                let got = texts(&context, &own).await;
                // What DataFusion cannot plan or compute over the copy either is no answer.
                if got.is_err() && texts(&context, &own.replace("FROM grid", "FROM rows")).await.is_err() {
                    return Ok(());
                }
                // As with predicates: an order of evaluation that divides by zero is none.
                if matches!(&got, Err(error) if error.contains("Divide by zero")) && own.contains('/') {
                    return Ok(());
                }
                let (expected, got) = (sorted(expected), got.map(sorted));
                let equal = matches!(&got, Ok(got) if same(got, &expected));
                prop_assert!(equal, "{}\n{:?}\n{:?}", own, got, expected);
            }
            Ok(())
        })?;
    }
}

/// A file over `time`, `lat` and `lon` with NULLs in `t`, in several chunks.
fn field() -> SessionContext {
    let lat: Axis = Some(Arc::new(Float32Array::from_iter_values(
        (0_i8..6).map(|i| 50.0 - 20.0 * f32::from(i)),
    )));
    let lon: Axis =
        Some(Arc::new(Float64Array::from_iter_values((0_i8..40).map(|i| 9.0 * f64::from(i)))));
    let time: Axis = Some(Arc::new(Int64Array::from_iter_values(0..9)));
    let eighths: Vec<Option<i16>> =
        (0_i16..9 * 6 * 40).map(|i| (i % 11 != 0).then_some(i % 97)).collect();
    let cube = Cube {
        axes: vec![("time", time, 9), ("lat", lat, 6), ("lon", lon, 40)],
        variables: vec![("t", values(&eighths, false, 1)), ("n", values(&eighths, false, 2))],
        chunk: Some(vec![4, 3, 20]),
    };
    context(vec![cube.file("a.nc")], true, 16)
}

async fn agree(context: &SessionContext, sql: &str) {
    let got = sorted(texts(context, sql).await.unwrap());
    let expected = sorted(texts(context, &sql.replace("FROM grid", "FROM rows")).await.unwrap());
    assert!(same(&got, &expected), "{sql}\n{got:?}\n{expected:?}");
}

#[tokio::test]
async fn the_rule_replaces_what_it_can_and_nothing_else() {
    let context = field();
    for sql in [
        "SELECT avg(t) FROM grid",
        "SELECT lat, avg(t), count(*), count(t), min(t), max(t), sum(n) FROM grid GROUP BY lat",
        "SELECT lon, sum(t) FROM grid GROUP BY lon",
        "SELECT time, lat, max(n) FROM grid GROUP BY time, lat",
        "SELECT time % 3 AS season, lat > 0, avg(t) FROM grid GROUP BY season, lat > 0",
        "SELECT lat, count(*) FROM grid GROUP BY lat",
        "SELECT lat, stddev(t), var_pop(n) FROM grid GROUP BY lat",
        "SELECT avg(t) FROM grid WHERE lat > 0 AND lon < 100",
        "SELECT lat, avg(t) FROM grid WHERE t > 5 GROUP BY lat",
        "SELECT count(*) FROM grid WHERE t > 5 OR n < 3",
        "SELECT sum(t * cos(radians(lat))) / sum(cos(radians(lat))) FROM grid WHERE t IS NOT NULL",
        "SELECT lat, sum(t) FILTER (WHERE n > 3) FROM grid GROUP BY lat",
        "SELECT m, avg(t) FROM (SELECT t, time / 3 AS m FROM grid WHERE lon > 50) GROUP BY m HAVING avg(t) > 1",
        "SELECT lat, avg(t) AS mean FROM grid GROUP BY lat ORDER BY mean DESC LIMIT 2",
        "SELECT DISTINCT lat FROM grid",
        "SELECT sum(n) FROM grid WHERE n % 2 = 0",
        "SELECT a.lat, a.m - b.m FROM (SELECT lat, avg(t) AS m FROM grid GROUP BY lat) a JOIN \
         (SELECT lat, avg(t) AS m FROM grid WHERE time > 4 GROUP BY lat) b ON a.lat = b.lat",
        "SELECT max(m) FROM (SELECT lat, avg(t) AS m FROM grid GROUP BY lat)",
        "SELECT sum(t), count(t) FROM grid WHERE lat + lon > 1000",
        "SELECT lat, count(t) FROM grid WHERE lat > 1000 GROUP BY lat",
        "SELECT lat, sum(n) FROM grid WHERE t > 1000 GROUP BY lat",
    ] {
        let plan = plan(&context, sql).await;
        assert!(plan.contains(RULE) && !plan.contains("GridScanExec"), "{sql}\n{plan}");
        agree(&context, sql).await;
    }
    for sql in [
        "SELECT t > 5, count(*) FROM grid GROUP BY t > 5",
        "SELECT lat + lon, count(*) FROM grid GROUP BY lat + lon",
        "SELECT count(DISTINCT t) FROM grid",
        "SELECT array_agg(t ORDER BY lon) FROM grid WHERE time = 0 AND lat = 50",
        "SELECT lat, count(*) FROM grid WHERE random() >= 0 GROUP BY lat",
        "SELECT lat, lon, sum(t) FROM grid GROUP BY ROLLUP (lat, lon)",
        "SELECT sum(t) FROM (SELECT t FROM grid LIMIT 100000)",
        "SELECT g.lat, avg(g.t) FROM grid g JOIN rows r ON g.lat = r.lat AND r.lon = 0 GROUP BY g.lat",
    ] {
        let plan = plan(&context, sql).await;
        assert!(!plan.contains(RULE), "{sql}\n{plan}");
        agree(&context, sql).await;
    }
}

#[tokio::test]
async fn least_and_greatest_by_group_do_not_depend_on_the_order_of_rows() {
    let numbers = [5.0, f64::NAN, 2.0, f64::NEG_INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let cube = Cube {
        axes: vec![("y", None, 2), ("x", None, 3)],
        variables: vec![("v", Arc::new(Float64Array::from(numbers.to_vec())) as ArrayRef)],
        chunk: Some(vec![1, 1]),
    };
    let context = context(vec![cube.file("a.nc")], true, 16);
    let sql = "SELECT y, min(v), max(v) FROM grid GROUP BY y ORDER BY y";
    let rows = texts(&context, sql).await.unwrap();
    assert_eq!(rows, [["0", "2.0", "NaN"], ["1", "-inf", "-inf"]]);
    let sql = "SELECT min(v), max(v) FROM grid";
    assert_eq!(texts(&context, sql).await, texts(&context, &sql.replace("grid", "rows")).await);
}

#[tokio::test]
async fn a_sum_does_not_depend_on_who_added_what() {
    // Large values that cancel over files: plain doubles lose what lies between, each order of the
    // files something else.
    let files = (0_u32..30).map(|number| {
        let large = [1e17, 3.0, -1e17, 1e-3, 7e16, -7e16][number as usize % 6];
        let numbers = vec![large + 0.25 * f64::from(number)];
        let cube = Cube {
            axes: vec![("y", None, 1), ("x", None, 1)],
            variables: vec![("v", Arc::new(Float64Array::from(numbers)) as ArrayRef)],
            chunk: None,
        };
        cube.file(&format!("{number}.nc"))
    });
    let context = context(files.collect(), true, 16);
    let mut answers = std::collections::HashSet::new();
    for _ in 0..20 {
        answers.insert(texts(&context, "SELECT sum(v) FROM grid").await.unwrap());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    // The exact sum of these doubles, by Python's math.fsum.
    let sum: f64 = answers.into_iter().next().unwrap()[0][0].parse().unwrap();
    assert!((sum - 90.005).abs() < 1e-9, "{sum}");
}

#[tokio::test]
async fn keys_of_several_files_are_one_set_of_groups() {
    let part = |first: i64, eighths: Vec<Option<i16>>| Cube {
        axes: vec![
            ("y", Some(Arc::new(Int64Array::from_iter_values(first..first + 3)) as ArrayRef), 3),
            ("x", Some(Arc::new(StringArray::from(vec!["a", "b", "a"])) as ArrayRef), 3),
        ],
        variables: vec![("v", values(&eighths, false, 0))],
        chunk: None,
    };
    let one = part(0, (1..10).map(Some).collect()).file("a.nc");
    let other = part(2, (11..20).map(|i| (i != 15).then_some(i)).collect()).file("b.nc");
    let context = context(vec![one, other], true, 16);
    for sql in [
        "SELECT y, sum(v), count(v) FROM grid GROUP BY y",
        "SELECT x, sum(v), count(*) FROM grid GROUP BY x",
        "SELECT y % 2, x, max(v) FROM grid GROUP BY y % 2, x",
        "SELECT max(x), min(y) FROM grid WHERE v > 1",
    ] {
        assert!(plan(&context, sql).await.contains(RULE), "{sql}");
        agree(&context, sql).await;
    }
}
