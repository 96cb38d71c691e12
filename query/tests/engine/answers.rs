//! Answers that DataFusion or delta-rs alone get wrong without a word, against what SQL says.

use crate::support::{Lab, files_only, person, rows};
use arrow::array::{Float64Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use deltalake::DeltaTable;
use proptest::prelude::*;
use std::sync::Arc;
use tarn_query::QueryError;
use url::Url;

/// A lab whose Delta table `d.t` has k = 0, 1, … 9 and x = k / 2, in two files.
async fn numbers() -> Lab {
    let lab = Lab::new("ornl").await;
    lab.register("d", "public").await;
    let folder = lab.folder.path().join("place");
    std::fs::create_dir(&folder).unwrap();
    let url = Url::from_directory_path(&folder).unwrap();
    let schema = Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
    ]);
    let mut table = DeltaTable::try_from_url(url.clone()).await.unwrap();
    for start in [0_i64, 5] {
        let keys = Int64Array::from_iter_values(start..start + 5);
        let halves = (start..start + 5).map(|k| f64::from(i32::try_from(k).unwrap()) / 2.0);
        let columns =
            vec![Arc::new(keys) as _, Arc::new(Float64Array::from_iter_values(halves)) as _];
        let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap();
        table = table.write(vec![batch]).await.unwrap();
    }
    lab.put_delta("d", "t", &schema, url.as_str(), 1).await;
    lab
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_is_null_keeps_no_row_of_a_delta_table() {
    let lab = numbers().await;
    let session = lab.session(person()).await;
    for (condition, expected) in [
        ("k NOT IN (1, NULL)", "0"),
        ("k > 2 AND k < NULL", "0"),
        ("k >= 0 AND NULL", "0"),
        ("x BETWEEN NULL AND 3", "0"),
        ("k IN (1, NULL)", "1"),
        ("k > 7 OR NULL", "2"),
        ("false", "0"),
        ("true", "10"),
        ("k < 3", "3"),
    ] {
        let sql = format!("SELECT count(*) FROM d.t WHERE {condition}");
        assert_eq!(rows(&session, &sql).await.unwrap(), [[expected]], "{condition}");
    }
    let joined = "SELECT count(*) FROM d.t a JOIN d.t b ON a.k = b.k AND b.x < NULL";
    assert_eq!(rows(&session, joined).await.unwrap(), [["0"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_and_ordered_aggregates_work_on_delta_tables() {
    let lab = numbers().await;
    let session = lab.session(person()).await;
    for (sql, expected) in [
        (
            "SELECT row_number() OVER (ORDER BY k DESC) n, k FROM d.t ORDER BY n LIMIT 1",
            vec!["1", "9"],
        ),
        ("SELECT k, sum(k) OVER (ORDER BY k) s FROM d.t ORDER BY k DESC LIMIT 1", vec!["9", "45"]),
        (
            "SELECT k % 2 p, count(*) OVER (PARTITION BY k % 2) c FROM d.t ORDER BY k LIMIT 1",
            vec!["0", "5"],
        ),
        ("SELECT k, lag(x) OVER (ORDER BY k) FROM d.t ORDER BY k DESC LIMIT 1", vec!["9", "4.0"]),
        ("SELECT array_agg(k ORDER BY k DESC) FROM d.t WHERE k > 7", vec!["[9, 8]"]),
        ("SELECT k FROM d.t QUALIFY row_number() OVER (ORDER BY x DESC) = 2", vec!["8"]),
    ] {
        assert_eq!(rows(&session, sql).await.unwrap(), [expected], "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_statement_is_known_and_one_for_all_of_it() {
    let session = files_only().await;
    let same = "SELECT now() = now() AND current_date = CAST(now() AS DATE) AND \
                now() > '2026-01-01' AND count(*) = 2 FROM (VALUES (1), (2)) t(a) WHERE now() > '2026-01-01'";
    assert_eq!(rows(&session, same).await.unwrap(), [["true"]]);
    let lab = numbers().await;
    let session = lab.session(person()).await;
    let sql = "SELECT count(*) FROM d.t WHERE current_timestamp > '2026-01-01'";
    assert_eq!(rows(&session, sql).await.unwrap(), [["10"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_that_does_not_fit_is_an_error_and_no_other_number() {
    let session = files_only().await;
    let most = i64::MAX;
    for sql in [
        format!("SELECT sum(x) FROM (VALUES ({most}), (1)) t(x)"),
        format!("SELECT g, sum(x) FROM (VALUES (1, {most}), (1, 1)) t(g, x) GROUP BY g"),
        format!("SELECT sum(x) OVER () FROM (VALUES ({most}), (1)) t(x)"),
    ] {
        let error = rows(&session, &sql).await.unwrap_err();
        let told = error.to_string();
        assert!(
            matches!(error, QueryError::Invalid(_)) && told.contains("DECIMAL"),
            "{sql}: {told}"
        );
    }
    for (sql, expected) in [
        (format!("SELECT sum(x) FROM (VALUES ({most}), (1), (-1)) t(x)"), most.to_string()),
        (
            format!("SELECT sum(CAST(x AS DECIMAL(38, 0))) FROM (VALUES ({most}), (1)) t(x)"),
            "9223372036854775808".to_owned(),
        ),
        (
            "SELECT sum(x) FROM (VALUES (1), (NULL)) t(x) WHERE x IS NULL".to_owned(),
            "NULL".to_owned(),
        ),
        (
            "SELECT sum(x) FILTER (WHERE x > 1) FROM (VALUES (1), (2), (3)) t(x)".to_owned(),
            "5".to_owned(),
        ),
        (
            "SELECT sum(x) OVER (ORDER BY x ROWS 1 PRECEDING) FROM (VALUES (1), (2), (3)) t(x) \
             ORDER BY x DESC LIMIT 1"
                .to_owned(),
            "5".to_owned(),
        ),
    ] {
        assert_eq!(rows(&session, &sql).await.unwrap(), [[expected]], "{sql}");
    }
}

/// The greatest and the least of floats by IEEE 754's total order, NaN above every number.
fn extremes(values: &[Option<f64>]) -> (Option<f64>, Option<f64>) {
    let there = || values.iter().copied().flatten();
    (there().max_by(f64::total_cmp), there().min_by(f64::total_cmp))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn extremes_of_groups_know_nan_wherever_it_stands(
        values in prop::collection::vec((0_i64..3, prop::option::of(prop_oneof![
            Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), -5.0_f64..5.0
        ])), 1..20),
    ) {
        let literal = |value: &Option<f64>| match value {
            None => "CAST(NULL AS DOUBLE)".to_owned(),
            Some(value) => format!("CAST('{value}' AS DOUBLE)"),
        };
        let table: Vec<String> =
            values.iter().map(|(g, x)| format!("({g}, {})", literal(x))).collect();
        let sql = format!(
            "SELECT g, max(x) AS p, min(x) AS q, max(y) AS r FROM (SELECT g, x, \
             CAST(x AS REAL) AS y FROM (VALUES {}) t(g, x)) GROUP BY g ORDER BY g",
            table.join(", ")
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let got = runtime.block_on(async { rows(&files_only().await, &sql).await }).unwrap();
        let mut groups: Vec<i64> = values.iter().map(|(g, _)| *g).collect();
        groups.sort_unstable();
        groups.dedup();
        prop_assert_eq!(got.len(), groups.len());
        for (row, group) in got.iter().zip(groups) {
            let own: Vec<_> = values.iter().filter(|(g, _)| *g == group).map(|(_, x)| *x).collect();
            let (most, least) = extremes(&own);
            for (text, expected) in [(&row[1], most), (&row[2], least)] {
                match expected {
                    None => prop_assert_eq!(text, "NULL"),
                    Some(expected) => {
                        let read: f64 = text.parse().unwrap();
                        prop_assert!(read.total_cmp(&expected).is_eq(), "{sql}: {text} for {expected}");
                    }
                }
            }
            prop_assert_eq!(row[3] == "NULL", most.is_none());
        }
    }
}
