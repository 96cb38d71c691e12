//! Tables of which only aggregates leave.

use crate::support::{Lab, person, rows, under_agreement};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use deltalake::DeltaTable;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tarn_catalog::PersonAttributes;
use tarn_query::QueryError;
use tarn_schemas::Principal;
use url::Url;

const POLICY: &str = r#"
@id("numbers")
@obligation("aggregates: 12")
permit (principal, action == Action::"read", resource == Dataset::"ornl.survey")
when { principal.id == "person:ada" };
"#;

/// A visit: person, year, region, income. `None` is a person without a name.
pub(crate) type Visit = (Option<i64>, i64, &'static str, Option<f64>);

/// Cells of 30, 12, 11 and 20 persons, one of 20 in which one person has nearly all of the income, and
/// one of 40 rows of 4 persons.
fn visits() -> Vec<Visit> {
    let mut visits = vec![];
    let mut add = |people: std::ops::Range<i64>, year, region, times: i64| {
        for who in people {
            for time in 0..times {
                visits.push((Some(who), year, region, Some((who * 7 % 50 + time) as f64)));
            }
        }
    };
    add(0..30, 2020, "north", 2);
    add(0..12, 2020, "south", 1);
    add(40..51, 2021, "north", 3);
    add(60..80, 2021, "south", 1);
    add(100..120, 2022, "north", 1);
    add(200..204, 2022, "south", 10);
    visits.push((Some(119), 2022, "north", Some(1e6)));
    visits.push((Some(70), 2021, "south", None));
    visits.extend((0..50).map(|_| (None, 2021, "north", Some(3.0))));
    visits
}

/// Visits as a batch.
pub(crate) fn batch(visits: &[Visit]) -> RecordBatch {
    RecordBatch::try_from_iter([
        (
            "person",
            Arc::new(visits.iter().map(|visit| visit.0).collect::<Int64Array>()) as ArrayRef,
        ),
        ("year", Arc::new(Int64Array::from_iter_values(visits.iter().map(|visit| visit.1))) as _),
        (
            "region",
            Arc::new(StringArray::from_iter_values(visits.iter().map(|visit| visit.2))) as _,
        ),
        ("income", Arc::new(visits.iter().map(|visit| visit.3).collect::<Float64Array>()) as _),
    ])
    .unwrap()
}

pub(crate) async fn lab(visits: &[Visit], disclosure: serde_json::Value) -> Lab {
    let lab = Lab::new("ornl").await;
    let mut more = under_agreement();
    more["conditions"] = json!({"assurance": "low"});
    more["tables"] = json!({"visits": {}});
    more["disclosure"] = disclosure;
    lab.register_with("survey", "aggregates_only", more).await;
    let batch = batch(visits);
    let folder = lab.folder.path().join("visits");
    std::fs::create_dir(&folder).unwrap();
    let url = Url::from_directory_path(&folder).unwrap();
    let schema: Schema = batch.schema().as_ref().clone();
    DeltaTable::try_from_url(url.clone()).await.unwrap().write(vec![batch]).await.unwrap();
    lab.put_delta("survey", "visits", &schema, url.as_str(), 0).await;
    let ada = PersonAttributes { assurance: Some("low".to_owned()), ..PersonAttributes::default() };
    lab.under(POLICY).await.knows("person:ada", ada).await
}

fn disclosure() -> serde_json::Value {
    json!({"unit": "person", "minimum_cell": 11, "dominance_percent": 50,
        "functions": ["count", "sum", "avg"], "group_by": ["year", "region"]})
}

/// Count, and count and sum of incomes, of the cells that may be told of, computed here.
fn cells(visits: &[Visit], with_income: bool) -> BTreeMap<(i64, &'static str), (i64, i64, f64)> {
    let mut rows: BTreeMap<_, Vec<(i64, Option<f64>)>> = BTreeMap::new();
    for (who, year, region, income) in visits {
        if let Some(who) = who {
            rows.entry((*year, *region)).or_default().push((*who, *income));
        }
    }
    rows.retain(|_, rows| {
        let people: BTreeSet<i64> = rows.iter().map(|row| row.0).collect();
        let of = |who: i64| -> f64 {
            rows.iter().filter(|row| row.0 == who).filter_map(|row| row.1).sum::<f64>().abs()
        };
        let all: f64 = people.iter().map(|who| of(*who)).sum();
        let largest = people.iter().map(|who| of(*who)).fold(0.0, f64::max);
        people.len() >= 12 && (!with_income || largest * 100.0 <= all * 50.0)
    });
    let told = |rows: Vec<(i64, Option<f64>)>| {
        let incomes: Vec<f64> = rows.iter().filter_map(|row| row.1).collect();
        let count = |rows: usize| i64::try_from(rows).unwrap();
        (count(rows.len()), count(incomes.len()), incomes.iter().sum())
    };
    rows.into_iter().map(|(key, rows)| (key, told(rows))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_those_of_the_cells_that_may_be_told_of() {
    let visits = visits();
    let lab = lab(&visits, disclosure()).await;
    let session = lab.session(person()).await;
    let ask = async |sql: &str| rows(&session, sql).await.unwrap();
    let (counts, sums) = (cells(&visits, false), cells(&visits, true));
    assert_eq!(counts.len(), 4);
    assert_eq!(sums.len(), 3);

    let expected: Vec<Vec<String>> = counts
        .iter()
        .map(|((year, region), told)| {
            vec![year.to_string(), (*region).to_owned(), told.0.to_string()]
        })
        .collect();
    let sql =
        "SELECT year, region, count(*) FROM survey.visits GROUP BY year, region ORDER BY 1, 2";
    assert_eq!(ask(sql).await, expected);

    let mut by_year: BTreeMap<i64, (i64, i64, f64)> = BTreeMap::new();
    for ((year, _), told) in &sums {
        let total = by_year.entry(*year).or_default();
        *total = (total.0 + told.0, total.1 + told.1, total.2 + told.2);
    }
    let expected: Vec<Vec<String>> = by_year
        .iter()
        .map(|(year, told)| {
            let mean = told.2 / told.1 as f64;
            vec![year.to_string(), told.1.to_string(), format!("{:?}", told.2), format!("{mean:?}")]
        })
        .collect();
    let sql = "SELECT v.year AS y, count(v.income), sum(v.income) AS total, avg(v.income) FROM \
               ornl.survey.visits AS v GROUP BY v.year HAVING count(v.income) > 3 ORDER BY y";
    assert_eq!(ask(sql).await, expected);

    let north: i64 =
        counts.iter().filter(|(key, _)| key.1 == "north").map(|(_, told)| told.0).sum();
    let all: i64 = counts.values().map(|told| told.0).sum();
    for (condition, expected) in [
        ("true", all.to_string()),
        ("region = 'north'", north.to_string()),
        ("NOT region = 'north'", (all - north).to_string()),
        ("year = 2021 AND region = 'north'", "NULL".to_owned()),
        ("year + 1 = 2022 AND upper(region) = 'SOUTH'", "21".to_owned()),
    ] {
        let sql = format!("SELECT count(*) FROM survey.visits WHERE {condition}");
        assert_eq!(ask(&sql).await, [[expected]], "{sql}");
    }
    let rollup = "SELECT region, count(*) FROM survey.visits GROUP BY ROLLUP (region) ORDER BY 1";
    let south = (all - north).to_string();
    assert_eq!(
        ask(rollup).await,
        [["north", &north.to_string()], ["south", &south], ["NULL", &all.to_string()]]
    );
    let within = "SELECT n FROM (SELECT count(*) AS n FROM survey.visits) WHERE n > 1";
    assert_eq!(ask(within).await, [[all.to_string()]]);
    let beside = "SELECT a.n, b.n FROM (SELECT year, count(*) AS n FROM survey.visits GROUP BY year) a JOIN \
                  (SELECT year, sum(income) AS n FROM survey.visits GROUP BY year) b USING (year)";
    assert_eq!(ask(beside).await.len(), by_year.len());
    // The owner of the node has them all.
    let owner = lab.session(Principal::Owner).await;
    let sql = "SELECT count(*) FROM survey.visits";
    assert_eq!(rows(&owner, sql).await.unwrap(), [[visits.len().to_string()]]);
}

/// Every pair of answers: what lies between them is cells that may be told of.
#[tokio::test(flavor = "multi_thread")]
async fn no_two_answers_differ_by_what_may_not_be_told() {
    let whole = visits();
    // The same without the small cells, and without the persons in them.
    let without: Vec<Visit> = whole
        .iter()
        .copied()
        .filter(|visit| cells(&whole, true).contains_key(&(visit.1, visit.2)) && visit.0.is_some())
        .collect();
    let (one, other) = (lab(&whole, disclosure()).await, lab(&without, disclosure()).await);
    let (one, other) = (one.session(person()).await, other.session(person()).await);
    let conditions = [
        // These fail where they are asked of rows that may not be told of.
        "CASE WHEN year = 2021 AND region = 'north' THEN 1 / (year - 2021) ELSE 1 END = 1",
        "CASE WHEN year = 2022 AND region = 'south' THEN arrow_cast(region, 'Int32') ELSE 1 END = 1",
        "true",
        "year = 2021",
        "year <> 2021",
        "region = 'north'",
        "year > 2020 OR region = 'south'",
    ];
    for condition in conditions {
        for groups in
            ["", "GROUP BY year ORDER BY year", "GROUP BY year, region ORDER BY year, region"]
        {
            let sql = format!(
                "SELECT sum(income), count(income), avg(income) FROM survey.visits WHERE {condition} {groups}"
            );
            assert_eq!(rows(&one, &sql).await.unwrap(), rows(&other, &sql).await.unwrap(), "{sql}");
        }
    }
    // Neither do conditions on answers reach rows, nor chance.
    let grouped = "SELECT year, region, sum(income) AS n FROM survey.visits GROUP BY year, region";
    for sql in [
        format!(
            "SELECT * FROM ({grouped}) WHERE 1 / (year - 2021 + length(region) - 5) < 9 ORDER BY 1, 2"
        ),
        format!(
            "{grouped} HAVING CASE WHEN region = 'south' AND year = 2022 THEN 1 / 0 ELSE 1 END = 1 ORDER BY 1, 2"
        ),
        format!("SELECT sum(n) > 0 FROM ({grouped}) WHERE random() >= 0"),
        format!(
            "SELECT x.year, x.n FROM ({grouped}) x LEFT JOIN (VALUES (1)) v(k) ON 1 / (x.year - 2022 + length(x.region) \
             - 5) = k ORDER BY 1, 2"
        ),
    ] {
        let (one, other) = (rows(&one, &sql).await, rows(&other, &sql).await);
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_leaves() {
    let lab = lab(&visits(), disclosure()).await;
    let session = lab.session(person()).await;
    for sql in [
        "SELECT * FROM survey.visits",
        "SELECT year FROM survey.visits",
        "SELECT year FROM survey.visits LIMIT 1",
        "SELECT DISTINCT region FROM survey.visits",
        "SELECT count(*) FROM survey.visits WHERE person = 3",
        "SELECT count(*) FROM survey.visits WHERE income > 100",
        "SELECT person, count(*) FROM survey.visits GROUP BY person",
        "SELECT income, count(*) FROM survey.visits GROUP BY income",
        "SELECT count(DISTINCT person) FROM survey.visits",
        "SELECT count(person) FROM survey.visits",
        "SELECT sum(person) FROM survey.visits",
        "SELECT min(income) FROM survey.visits",
        "SELECT max(income), count(*) FROM survey.visits GROUP BY year",
        "SELECT median(income) FROM survey.visits",
        "SELECT array_agg(income) FROM survey.visits",
        "SELECT sum(CASE WHEN person = 3 THEN income END) FROM survey.visits",
        "SELECT sum(income + 0) FROM survey.visits",
        "SELECT sum(income) FILTER (WHERE person = 3) FROM survey.visits",
        "SELECT count(*) FILTER (WHERE year = 2020) FROM survey.visits",
        "SELECT first_value(income ORDER BY income) FROM survey.visits",
        "SELECT sum(income) OVER () FROM survey.visits",
        "SELECT count(*) FROM survey.visits a JOIN survey.visits b ON a.person = b.person",
        "SELECT count(*) FROM survey.visits, (VALUES (1), (2)) v(x)",
        "SELECT count(*) FROM (SELECT * FROM survey.visits LIMIT 5)",
        "SELECT count(*) FROM (SELECT year, row_number() OVER () FROM survey.visits)",
        "SELECT count(*) FROM (SELECT person AS year FROM survey.visits) WHERE year = 3",
        "SELECT count(*) FROM (SELECT income AS region, year FROM survey.visits) GROUP BY region",
        "SELECT count(*) FROM survey.visits WHERE EXISTS (SELECT 1)",
        "SELECT count(*) FROM survey.visits WHERE random() > 0.01",
        "SELECT count(*) FROM survey.visits WHERE year = 2020 AND uuid() > '08'",
        "SELECT count(*) FROM survey.visits WHERE year IN (SELECT person FROM survey.visits)",
        "SELECT year, count(*) FROM survey.visits v GROUP BY year HAVING max(person) > 3",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM survey.visits WHERE person = 3)",
        "SELECT 1 WHERE 3 IN (SELECT person FROM survey.visits)",
        "SELECT (SELECT income FROM survey.visits LIMIT 1)",
        "SELECT year FROM survey.visits UNION ALL SELECT 1",
        "SELECT * FROM survey.visits ORDER BY income DESC LIMIT 1",
        "WITH x AS (SELECT * FROM survey.visits) SELECT person, count(*) FROM x GROUP BY person",
        "EXPLAIN SELECT * FROM survey.visits",
    ] {
        match rows(&session, sql).await {
            Err(QueryError::Denied(text)) => assert!(text.contains("survey"), "{sql}: {text}"),
            other => panic!("{sql}: {other:?}"),
        }
    }
    let refusal = rows(&session, "SELECT * FROM survey.visits").await.unwrap_err().to_string();
    assert!(refusal.contains("year, region") && refusal.contains("12 units"), "{refusal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_rounded() {
    let mut rounded = disclosure();
    rounded["rounding"] = json!(5);
    rounded["functions"] = json!(["count", "sum", "avg", "max"]);
    let visits = visits();
    let rounded = lab(&visits, rounded).await;
    let session = rounded.session(person()).await;
    let sql = "SELECT count(*), sum(income), max(income) FROM survey.visits WHERE year = 2020";
    let told = cells(&visits, true);
    let near = |value: f64| (value / 5.0).round() * 5.0;
    let (count, sum) =
        told.iter().filter(|(key, _)| key.0 == 2020).fold((0.0, 0.0), |total, (_, cell)| {
            (total.0 + near(cell.0 as f64), total.1 + near(cell.2))
        });
    // The largest income of 2020 is 50.
    let expected = [count.to_string(), format!("{sum:?}"), "50.0".to_owned()];
    assert_eq!(rows(&session, sql).await.unwrap(), [expected]);
}

/// A number is of the units that have a value, and no one of them may be most of it.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_few_values_do_not_leave() {
    let of = |income: fn(i64) -> Option<f64>| -> Vec<Visit> {
        (0..20).map(|who| (Some(who), 2020, "north", income(who))).collect()
    };
    for (visits, told) in [
        (of(|who| Some(who as f64)), true),
        (of(|who| (who < 12).then_some(0.0)), true),
        (of(|who| (who < 11).then_some(1.0)), false),
        (of(|who| (who < 2).then_some(if who == 0 { 7.0 } else { -7.5 })), false),
        (of(|who| Some(if who == 0 { 1e307 } else { 1.0 })), false),
        (of(|who| Some(if who == 0 { f64::INFINITY } else { 1.0 })), false),
        (of(|who| Some(if who == 0 { f64::NAN } else { 1.0 })), false),
    ] {
        let lab = lab(&visits, disclosure()).await;
        let session = lab.session(person()).await;
        let sql =
            "SELECT count(income), sum(income) IS NULL, avg(income) IS NULL FROM survey.visits";
        let answer = rows(&session, sql).await.unwrap();
        assert_eq!(answer[0][0] != "NULL", told, "{visits:?}: {answer:?}");
        assert_eq!(answer[0][1..], [(!told).to_string(), (!told).to_string()], "{answer:?}");
    }
}
