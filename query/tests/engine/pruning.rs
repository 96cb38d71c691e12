//! What need not be read is not, and the answer stays the same: figures of values and coordinates,
//! bounds of joins and of ORDER BY … LIMIT, and limits.

use crate::memory::{Axis, Cube, axis, context, plan, predicate, runtime, texts, typed, values};
use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionContext;
use proptest::prelude::*;
use std::sync::Arc;

/// A file over `y` and `x` in 12 blocks whose variable `v` grows with `y`.
///
/// Small chunks are read together up to 65,536 cells, so that the axes must be long.
fn slope(location: &str, first: i64) -> Cube {
    let (rows, columns) = (12_u64, 70_000_u64);
    let y = Int64Array::from_iter_values((0..12).map(|i| first + 10 * i));
    let x = Float64Array::from_iter_values((0_i32..70_000).map(|i| f64::from(i) / 100.0));
    let cells = (0..rows * columns).map(|cell| i64::try_from(cell / columns).unwrap());
    let v = Int64Array::from_iter_values(cells.map(|row| first + row * 100));
    assert!(!location.is_empty());
    Cube {
        axes: vec![
            ("y", Some(Arc::new(y) as ArrayRef), rows),
            ("x", Some(Arc::new(x) as ArrayRef), columns),
        ],
        variables: vec![("v", Arc::new(v) as ArrayRef)],
        chunk: Some(vec![1, columns]),
    }
}

/// Runs a query in one partition; its rows, and the sums of metrics of the scan or the aggregate.
async fn measured(context: &SessionContext, sql: &str, metrics: &[&str]) -> (usize, Vec<usize>) {
    fn find(plan: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
        if plan.name().starts_with("Grid") {
            return Some(Arc::clone(plan));
        }
        plan.children().into_iter().find_map(find)
    }
    let state = context.state_ref();
    state.write().config_mut().options_mut().execution.target_partitions = 1;
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let batches = collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let own = find(&plan).unwrap().metrics().unwrap();
    let sum = |name: &&str| own.sum_by_name(name).map_or(0, |value| value.as_usize());
    (rows, metrics.iter().map(sum).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn extremes_and_counts_of_coordinates_need_no_cell() {
    let y: Axis = Some(Arc::new(Float64Array::from(vec![60.0, 30.0, 0.0, -30.0])));
    let cube = Cube {
        axes: vec![("y", y, 4), ("x", None, 6)],
        variables: vec![("v", values(&[Some(1); 24], false, 2))],
        chunk: None,
    };
    let context = context(vec![cube.file("a.nc"), cube.file("b.nc")], true, 16);
    for sql in [
        "SELECT count(*), min(y), max(y), count(y), max(x) FROM grid",
        "SELECT min(y), max(y), count(x) FROM grid WHERE y < 50 AND x > 1",
        "SELECT max(y) FROM grid WHERE x IN (0, 5)",
    ] {
        let plan = plan(&context, sql).await;
        assert!(!plan.contains("Grid"), "{sql}\n{plan}");
        let expected = texts(&context, &sql.replace("FROM grid", "FROM rows")).await;
        assert_eq!(texts(&context, sql).await, expected, "{sql}");
    }
    // The extremes of all rows are not those of some.
    let sql = "SELECT min(y), count(y) FROM (SELECT y FROM grid LIMIT 5)";
    assert_eq!(texts(&context, sql).await.unwrap(), [["60.0", "5"]]);
    let sql = "SELECT min(y) FROM grid WHERE v < 1 AND y > 0";
    assert_eq!(texts(&context, sql).await.unwrap(), [["30.0"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn extremes_of_coordinates_with_nan_are_those_of_the_rows() {
    let y: Axis = Some(Arc::new(Float64Array::from(vec![1.0, f64::NAN, -2.0])));
    let cube = Cube {
        axes: vec![("y", y, 3), ("x", None, 2)],
        variables: vec![("v", values(&[Some(1); 6], false, 0))],
        chunk: None,
    };
    let context = context(vec![cube.file("a.nc")], true, 16);
    let sql = "SELECT min(y), max(y), count(y) FROM grid";
    let expected = texts(&context, &sql.replace("grid", "rows")).await;
    assert_eq!(texts(&context, sql).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_values_skips_blocks_that_an_earlier_query_knew() {
    let context = context(vec![slope("a.nc", 0).file("a.nc")], true, 8_192);
    let sql = "SELECT count(*), sum(v), max(y) FROM grid WHERE v >= 1000";
    let answer = texts(&context, sql).await.unwrap();
    assert_eq!(answer, [["140000", "147000000", "110"]]);
    assert!(plan(&context, sql).await.contains("regions=2/12"), "{}", plan(&context, sql).await);
    assert_eq!(texts(&context, sql).await.unwrap(), answer);
    // Of a part of a block the extremes of the whole still hold.
    let sql = "SELECT v FROM grid WHERE v < 150 AND x < 0.05";
    assert!(plan(&context, sql).await.contains("regions=2/12"));
    assert_eq!(texts(&context, sql).await.unwrap().len(), 10);
    // All blocks are known: their extremes are those of the variable.
    let sql = "SELECT min(v), max(v), count(v) FROM grid";
    assert!(!plan(&context, sql).await.contains("Grid"));
    assert_eq!(texts(&context, sql).await.unwrap(), [["0", "1100", "840000"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_on_two_coordinates_skips_blocks() {
    let context = context(vec![slope("a.nc", 0).file("a.nc")], true, 8_192);
    let sql = "SELECT count(*) FROM grid WHERE y > 95 OR (y < 15 AND v < 100)";
    assert!(plan(&context, sql).await.contains("regions=4/12"), "{}", plan(&context, sql).await);
    assert_eq!(texts(&context, sql).await.unwrap(), [["210000"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_and_an_ordered_limit_read_only_what_they_need() {
    let context = context(vec![slope("a.nc", 0).file("a.nc")], true, 8_192);
    let keys = "(VALUES (20), (30)) AS k(y)";
    let sql = format!("SELECT g.v FROM grid g JOIN {keys} ON g.y = k.y WHERE g.x < 1");
    let names = ["pieces", "pieces_pruned_by_dynamic_filters"];
    let (rows, counts) = measured(&context, &sql, &names).await;
    assert_eq!((rows, counts), (200, vec![2, 10]), "{sql}");

    let sql = "SELECT y, x, v FROM grid ORDER BY y DESC LIMIT 3";
    let (rows, counts) = measured(&context, sql, &names).await;
    assert_eq!(rows, 3);
    assert!(counts[0] <= 3 && counts[0] + counts[1] == 12, "{counts:?}");
    let answer = texts(&context, sql).await.unwrap();
    assert!(answer.iter().all(|row| row[0] == "110"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_makes_few_cells() {
    let context = context(vec![slope("a.nc", 0).file("a.nc")], true, 8_192);
    let (rows, cells) = measured(&context, "SELECT y, v FROM grid LIMIT 10", &["cells"]).await;
    assert_eq!((rows, cells), (10, vec![20]));
    let sql = "SELECT v FROM grid WHERE v > 10 LIMIT 10";
    let (rows, counts) = measured(&context, sql, &["pieces"]).await;
    assert_eq!(rows, 10);
    // Those that wait for a reader that has gone.
    assert!(counts[0] < 8, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_say_what_was_left_out() {
    let files = vec![slope("a.nc", 0).file("a.nc"), slope("b.nc", 1_000).file("b.nc")];
    let context = context(files, true, 8_192);
    let names = ["pieces_pruned_by_coordinates", "pieces_pruned_by_statistics", "pieces", "cells"];
    let sql = "SELECT x, v FROM grid WHERE y BETWEEN 1000 AND 1040 AND x < 2";
    let (rows, counts) = measured(&context, sql, &names).await;
    assert_eq!((rows, counts), (1_000, vec![19, 0, 5, 2_000]));
    let sql = "SELECT max(v) FROM grid WHERE y > 95 OR (y < 15 AND v < 100)";
    assert!(plan(&context, sql).await.contains("files=2/2, regions=16/24"));
    let (_, counts) = measured(&context, sql, &names).await;
    // The conditions on `y` are evaluated on its axis.
    assert_eq!(counts, [0, 8, 16, 16 * 70_000]);
}

/// A file over `y` and `x` with the variables `v` and `w`, in one block or in several files.
fn cubes() -> impl Strategy<Value = Vec<Cube>> {
    let one = (axis(6), axis(6), (0_usize..4, 0_usize..4, 0_usize..5), 0_u32..4);
    let one = one.prop_flat_map(|(ys, xs, kinds, nulls)| {
        let value = prop_oneof![10 => (-40_i16..40).prop_map(Some), nulls => Just(None)];
        let eighths = prop::collection::vec(value, ys.len() * xs.len());
        (eighths, any::<bool>()).prop_map(move |(eighths, special)| Cube {
            axes: vec![
                ("y", typed(&ys, kinds.0), ys.len() as u64),
                ("x", typed(&xs, kinds.1), xs.len() as u64),
            ],
            variables: vec![("v", values(&eighths, special, kinds.2))],
            chunk: None,
        })
    });
    // Files of one table have columns of the same types.
    prop::collection::vec(one, 1..6).prop_map(|cubes| {
        let like = |cube: &Cube| {
            let types =
                cube.axes.iter().map(|(_, axis, _)| axis.as_ref().map(|a| a.data_type().clone()));
            (types.collect::<Vec<_>>(), cube.variables[0].1.data_type().clone())
        };
        let first = like(&cubes[0]);
        cubes.into_iter().filter(|cube| like(cube) == first).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn joins_orders_and_conditions_agree_with_a_copy_of_the_rows_when_values_are_known(
        cubes in cubes(),
        condition in predicate(),
        (key, descending, limit) in (prop::sample::select(vec!["y", "x", "v", "y, v", "v, x"]), any::<bool>(), 1..9),
        learn in any::<bool>(),
    ) {
        let files = cubes.iter().enumerate().map(|(n, cube)| cube.file(&format!("{n}.nc"))).collect();
        let context = context(files, true, 4);
        let order = key.split(", ").map(|key| format!("{key} {}", if descending { "DESC" } else { "ASC" }));
        let order = order.collect::<Vec<_>>().join(", ");
        runtime().block_on(async {
            if learn {
                texts(&context, "SELECT v FROM grid").await.unwrap();
            }
            for sql in [
                format!("SELECT y, x, v FROM grid WHERE {condition}"),
                format!("SELECT {key} FROM grid WHERE {condition} ORDER BY {order} LIMIT {limit}"),
                format!("SELECT {key} FROM grid ORDER BY {order} LIMIT {limit}"),
                format!("SELECT g.y, g.x, g.v FROM grid g JOIN (SELECT DISTINCT y FROM rows WHERE {condition}) r ON g.y = r.y"),
                format!("SELECT g.x, r.v FROM (SELECT DISTINCT v FROM rows WHERE {condition}) r JOIN grid g ON g.v = r.v"),
                "SELECT min(v), max(v), count(v), min(y), max(y), count(y) FROM grid".to_owned(),
            ] {
                let copy = sql.replace("FROM grid", "FROM rows").replace("JOIN grid", "JOIN rows");
                if let Ok(mut expected) = texts(&context, &copy).await {
                    let got = texts(&context, &sql).await;
                    if matches!(&got, Err(error) if error.contains("Divide by zero") || error.contains("verflow")) {
                        continue;
                    }
                    let got = got.map(|mut rows| { rows.sort(); rows });
                    expected.sort();
                    prop_assert_eq!(got, Ok(expected), "{}", sql);
                }
            }
            Ok(())
        })?;
    }
}
