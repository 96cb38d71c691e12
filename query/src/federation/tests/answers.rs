//! Federated answers equal local ones, and only what is needed travels.

use super::*;
use tarn_schemas::SiteStatus;

/// Both climate labs under one name.
const BOTH: &str = "(SELECT * FROM ornl.d.ta UNION ALL SELECT * FROM llnl.d.ta)";

async fn same_as_here(sql: &str) -> Sites {
    let (ornl, llnl) = two_labs().await;
    let (context, sites) = asker(vec![ornl.known().await, llnl.known().await], PartialMode::Error);
    // The ORDER BY of a window orders no rows of the answer.
    let ordered = sql.contains("ORDER BY") && !sql.contains("OVER (");
    let here = rows(&everything_here(), sql, ordered).await.unwrap();
    let federated = rows(&context, sql, ordered).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert_eq!(federated, here, "{sql}");
    sites
}

#[tokio::test]
async fn a_filter_runs_at_the_owner() {
    let sites =
        same_as_here("SELECT model, year FROM ornl.d.ta WHERE ta < 180 AND model = 'cesm'").await;
    let report = report(&sites, "ornl");
    assert_eq!((report.status, report.rows), (SiteStatus::Ok, 1));
    assert!(report.bytes > 0 && report.as_of.is_some());
}

#[tokio::test]
async fn an_aggregate_over_one_lab_sends_groups_only() {
    let sites = same_as_here(
        "SELECT model, count(*), count(ta), avg(ta) FILTER (WHERE ok), min(year), stddev(n) \
         FROM llnl.d.ta GROUP BY model HAVING count(*) > 1",
    )
    .await;
    assert_eq!(report(&sites, "llnl").rows, 2);
}

#[tokio::test]
async fn an_aggregate_over_a_union_of_labs_sends_groups_only() {
    let sites = same_as_here(&format!(
        "SELECT model, count(*) AS c, count(n), sum(n), avg(ta) FILTER (WHERE year < 1852) AS mean, \
         min(ta), max(ta), avg(n), sum(ta) FILTER (WHERE ok) FROM {BOTH} GROUP BY model"
    ))
    .await;
    assert_eq!(report(&sites, "ornl").rows, 3);
    assert_eq!(report(&sites, "llnl").rows, 2);
}

#[tokio::test]
async fn a_sum_over_labs_that_does_not_fit_is_an_error_and_does_not_wrap() {
    let (ornl, llnl) = two_labs().await;
    let (context, _) = asker(vec![ornl.known().await, llnl.known().await], PartialMode::Error);
    // Each lab's sum fits.
    let sql =
        format!("SELECT sum(CASE WHEN n = 1 OR n = 7 THEN 5000000000000000000 END) FROM {BOTH}");
    let error = rows(&context, &sql, false).await.unwrap_err();
    assert!(error.to_string().contains("sum"), "{error}");
    assert!(rows(&everything_here(), &sql, false).await.is_err());
}

#[tokio::test]
async fn a_total_over_a_union_sends_one_row_a_lab() {
    let sites = same_as_here(&format!("SELECT count(*), avg(ta), sum(n) FROM {BOTH}")).await;
    assert_eq!(report(&sites, "ornl").rows, 1);
    let none = format!("SELECT count(*), count(ta), avg(ta), max(n) FROM {BOTH} WHERE year > 3000");
    same_as_here(&none).await;
}

#[tokio::test]
async fn own_tables_take_part_in_unions_and_joins() {
    same_as_here(
        "SELECT model, avg(ta), count(*) FROM (SELECT model, ta FROM ornl.d.ta UNION ALL \
         SELECT model, ta FROM anl.d.ta) GROUP BY model",
    )
    .await;
    let sites = same_as_here(
        "SELECT m.country, count(*), max(t.ta) FROM ornl.d.ta t JOIN anl.d.models m \
         ON t.model = m.model WHERE t.year = 1850 GROUP BY m.country",
    )
    .await;
    assert_eq!(report(&sites, "ornl").rows, 3);
}

#[tokio::test]
async fn joins_inside_one_lab_run_there_and_joins_across_labs_here() {
    let sites = same_as_here(
        "SELECT t.year, m.country, count(*) FROM llnl.d.ta t JOIN llnl.d.models m USING (model) \
         GROUP BY t.year, m.country",
    )
    .await;
    assert_eq!(report(&sites, "llnl").rows, 3);
    for join in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
        same_as_here(&format!(
            "SELECT a.model, a.year, b.ta, a.ta FROM ornl.d.ta a {join} llnl.d.ta b \
             ON a.model = b.model AND a.year = b.year"
        ))
        .await;
    }
}

#[tokio::test]
async fn self_joins_subqueries_and_set_operations_keep_their_meaning() {
    for sql in [
        "SELECT a.year, b.year, a.ta - b.ta FROM llnl.d.ta a JOIN llnl.d.ta b ON a.model = b.model AND a.year < b.year",
        "SELECT model FROM llnl.d.ta WHERE n NOT IN (SELECT n FROM llnl.d.ta WHERE ok)",
        "SELECT model FROM ornl.d.ta WHERE n NOT IN (SELECT n FROM llnl.d.ta WHERE n IS NOT NULL)",
        "SELECT model FROM llnl.d.ta t WHERE EXISTS (SELECT 1 FROM llnl.d.models m WHERE m.model = t.model AND m.country = 'us')",
        "SELECT model, ta FROM llnl.d.ta WHERE ta > (SELECT avg(ta) FROM llnl.d.ta)",
        "SELECT model FROM ornl.d.ta INTERSECT SELECT model FROM llnl.d.ta",
        "SELECT model FROM ornl.d.ta EXCEPT SELECT model FROM llnl.d.ta",
        "SELECT DISTINCT model FROM (SELECT model FROM ornl.d.ta UNION ALL SELECT model FROM llnl.d.ta)",
        "SELECT count(DISTINCT model) FROM (SELECT model FROM ornl.d.ta UNION ALL SELECT model FROM llnl.d.ta)",
        "SELECT count(*) FROM llnl.d.ta a, llnl.d.models b",
        "WITH m AS (SELECT model, avg(ta) AS mean FROM llnl.d.ta GROUP BY model) SELECT t.model, t.ta - m.mean FROM llnl.d.ta t JOIN m ON m.model = t.model",
        "SELECT year, model, row_number() OVER (PARTITION BY model ORDER BY year) FROM llnl.d.ta",
        "SELECT CASE WHEN ta > 280 THEN 'warm' WHEN ta IS NULL THEN 'none' ELSE upper(model) END, year % 2, -n, ta BETWEEN 279 AND 281, model LIKE 'g%', model IN ('cesm', 'mpi') FROM llnl.d.ta",
        "SELECT round(ta, 1), abs(n), coalesce(n, 0), CAST(year AS VARCHAR) || 'x', date_trunc('year', CAST('2020-05-06' AS TIMESTAMP)) FROM llnl.d.ta",
        "SELECT count(*) FROM ornl.d.ta",
        "SELECT 1 FROM ornl.d.ta",
        "SELECT model, year FROM ornl.d.ta WHERE random() < 2",
        "SELECT grouping(model), model, ok, count(*) FROM llnl.d.ta GROUP BY ROLLUP (model, ok)",
        "SELECT log(2, ta), log(10, 100.0) FROM llnl.d.ta",
    ] {
        same_as_here(sql).await;
    }
}

#[tokio::test]
async fn the_first_rows_of_an_order_are_taken_at_the_owner() {
    let sites =
        same_as_here("SELECT model, year, n FROM ornl.d.ta ORDER BY n DESC NULLS LAST LIMIT 2")
            .await;
    assert_eq!(report(&sites, "ornl").rows, 2);
    same_as_here("SELECT year, ta FROM llnl.d.ta ORDER BY year, ta DESC").await;
    same_as_here("SELECT year + 1 AS y, ta FROM llnl.d.ta ORDER BY y DESC, ta OFFSET 1").await;
    same_as_here(&format!(
        "SELECT model, avg(ta) AS m FROM {BOTH} GROUP BY model ORDER BY model LIMIT 2"
    ))
    .await;
}

#[tokio::test]
async fn a_volatile_condition_beside_another_changes_no_answer() {
    same_as_here("SELECT model FROM ornl.d.ta WHERE model = 'e3sm' AND random() < 2").await;
    same_as_here("SELECT model FROM ornl.d.ta WHERE model = 'e3sm' AND random() > 2").await;
}

#[tokio::test]
async fn a_long_chain_of_conditions_travels() {
    let any: Vec<String> = (0..300).map(|i| format!("(year = {i} AND n > {i})")).collect();
    let sites =
        same_as_here(&format!("SELECT model FROM ornl.d.ta WHERE {}", any.join(" OR "))).await;
    assert_eq!(report(&sites, "ornl").rows, 0);
}

#[tokio::test]
async fn columns_whose_type_has_no_name_on_the_wire_are_scanned() {
    let list = arrow::array::FixedSizeListArray::from_iter_primitive::<
        arrow::datatypes::Float32Type,
        _,
        _,
    >([Some([Some(1.0), Some(2.0)]), Some([Some(3.0), None])], 2);
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("tensor", Arc::new(list) as ArrayRef),
    ])
    .unwrap();
    let ornl = Lab::start("ornl", &[("ta", vec![batch])]).await;
    let (context, sites) = asker(vec![ornl.known().await], PartialMode::Error);
    let answer = rows(&context, "SELECT tensor FROM ornl.d.ta WHERE id = 2", false).await.unwrap();
    assert_eq!(answer, ["[3.0, NULL]"]);
    assert_eq!(report(&sites, "ornl").rows, 2);
    let ids = rows(&context, "SELECT id FROM ornl.d.ta WHERE id > 1", false).await.unwrap();
    assert_eq!(ids, ["2"]);
    assert_eq!(report(&sites, "ornl").rows, 3);
}

#[tokio::test]
async fn explain_shows_the_fragments_and_no_secret() {
    let (ornl, llnl) = two_labs().await;
    let (context, sites) = asker(vec![ornl.known().await, llnl.known().await], PartialMode::Error);
    let sql = format!("EXPLAIN SELECT model, avg(ta) FROM {BOTH} GROUP BY model");
    let plan = rows(&context, &sql, true).await.unwrap().join("\n");
    assert!(plan.contains("PeerFragment lab=ornl: Projection"), "{plan}");
    assert!(plan.contains("PeerFragmentExec lab=llnl"), "{plan}");
    assert!(!plan.contains(SECRET) && !plan.contains("127.0.0.1"), "{plan}");
    assert!(sites.reports().is_empty());
    for (_, value) in std::env::vars() {
        assert_ne!(value, SECRET);
    }
}
