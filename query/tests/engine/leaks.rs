//! What a policy hides changes nothing: every probe is asked of a lab that has the hidden rows and
//! values, and of one that never had them, and answers, errors and plans must be equal.

use crate::program::program;
use crate::support::{Lab, person, rows, under_agreement};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use deltalake::DeltaTable;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tarn_catalog::Peer;
use tarn_query::Session;
use tarn_schemas::{LabName, Principal, Scope};
use url::Url;

/// Who is ada sees patients of site a, without their telephones, with ages in tens and places in
/// cells of two degrees.
const POLICY: &str = r#"
@id("site-a")
@obligation("rows: site = 'a' AND score > -913; mask: phone; round: age to 10; coarsen: lat to 2")
permit (principal, action == Action::"read", resource == Dataset::"ornl.patients")
when { ["person:ada", "visitor:anl:ada"].contains(principal.id) };
"#;

/// Rows that may be seen: id, site, name, phone, age, lat, score. Of the second lab phones, ages and
/// places differ where that must not show, and rows of site b are not there at all.
fn patients(whole: bool) -> Vec<(i64, &'static str, &'static str, &'static str, f64, f64, i64)> {
    let mut rows = vec![
        (1, "a", "17", "555-0001", 41.0, 50.3, 1),
        (2, "a", "18", "555-0002", 38.0, 51.1, 2),
        (3, "a", "19", "555-0003", 72.0, -0.5, 3),
        (4, "a", "20", "555-0004", 69.0, 11.0, 4),
    ];
    if whole {
        rows.extend([
            (42, "b", "PATIENT-0042", "555-0042", 33.0, 80.0, 0),
            (43, "b", "PATIENT-0043", "555-0043", 34.0, 81.0, -7),
            (44, "b", "9223372036854775808", "555-0044", 1e300, 89.0, 99),
        ]);
    } else {
        for (row, (phone, age, lat)) in rows.iter_mut().zip([
            ("x", 40.0, 50.0),
            ("y", 44.0, 51.9),
            ("z", 70.0, -1.9),
            ("", 74.0, 10.1),
        ]) {
            (row.3, row.4, row.5) = (phone, age, lat);
        }
    }
    rows
}

fn batch(whole: bool) -> RecordBatch {
    let rows = patients(whole);
    let text = |pick: fn(
        &(i64, &'static str, &'static str, &'static str, f64, f64, i64),
    ) -> &'static str| {
        Arc::new(StringArray::from_iter_values(rows.iter().map(pick))) as ArrayRef
    };
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))) as ArrayRef),
        ("site", text(|row| row.1)),
        ("name", text(|row| row.2)),
        ("phone", text(|row| row.3)),
        ("age", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.4))) as ArrayRef),
        ("lat", Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.5))) as ArrayRef),
        ("score", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.6))) as ArrayRef),
    ])
    .unwrap()
}

/// The rows as a file of records along one dimension.
fn file(folder: &Path, whole: bool) -> String {
    let path = folder.join("patients.nc");
    let rows: Vec<_> = patients(whole)
        .into_iter()
        .map(|row| json!([row.0, row.1, row.2, row.3, row.4, row.5, row.6]))
        .collect();
    let script = r#"
import sys, json, netCDF4, numpy as np
rows = json.loads(sys.argv[2])
with netCDF4.Dataset(sys.argv[1], "w") as f:
    f.createDimension("id", len(rows))
    names = [("id", "i8"), ("site", str), ("name", str), ("phone", str), ("age", "f8"), ("lat", "f8"), ("score", "i8")]
    for k, (name, kind) in enumerate(names):
        v = f.createVariable(name, kind, ("id",))
        v[:] = np.array([row[k] for row in rows], dtype=object if kind is str else kind)
"#;
    let python = program("python3").expect("make setup installs it");
    let done = Command::new(python)
        .args(["-c", script, path.to_str().unwrap(), &serde_json::Value::from(rows).to_string()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    path.to_str().unwrap().to_owned()
}

/// Through what the probes look at the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    /// The table itself, under the policy.
    Table,
    /// A view with the rights of whoever asks, under the policy.
    Invoker,
    /// A view with the rights of its definer, who sees everything: what is hidden is hidden by its query.
    Definer,
}

impl Through {
    fn name(self) -> &'static str {
        match self {
            Self::Table => "ornl.patients.visits",
            Self::Invoker => "ornl.patients.mine",
            Self::Definer => "ornl.shown.visits",
        }
    }

    /// Who asks: nobody but ada may read the table.
    fn asker(self) -> Principal {
        match self {
            Self::Definer => Principal::person("bob", Scope::Read),
            Self::Table | Self::Invoker => person(),
        }
    }

    fn view(self) -> Option<&'static str> {
        match self {
            Self::Table => None,
            Self::Invoker => Some(
                "CREATE VIEW patients.mine WITH (security_invoker = true) AS SELECT * FROM patients.visits",
            ),
            Self::Definer => Some(
                "CREATE VIEW shown.visits WITH (security_invoker = false) AS \
                 SELECT id, site, name, CAST(NULL AS VARCHAR) AS phone, floor(age / 10 + 0.5) * 10 AS age, \
                 floor(lat / 2) * 2 + 1 AS lat, score FROM patients.visits WHERE site IN ('a') AND score > -900",
            ),
        }
    }
}

/// A lab with the table `ornl.patients.visits`.
async fn lab(in_place: bool, whole: bool, through: Through) -> Lab {
    let lab = Lab::new("ornl").await;
    lab.register_with("patients", "controlled", under_agreement()).await;
    lab.register("shown", "public").await;
    let folder = lab.folder.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    if in_place {
        let path = file(&folder, whole);
        lab.put("patients", "visits", &[&path], json!({})).await;
    } else {
        let url = Url::from_directory_path(&folder).unwrap();
        let table = DeltaTable::try_from_url(url.clone()).await.unwrap();
        let all = batch(whole);
        let schema: Schema = all.schema().as_ref().clone();
        // What is hidden is in files of its own, so that what is read of them shows in the plan.
        let seen = all.num_rows().min(4);
        let mut table = table.write(vec![all.slice(0, seen)]).await.unwrap();
        for row in seen..all.num_rows() {
            table = table.write(vec![all.slice(row, 1)]).await.unwrap();
        }
        let version = table.version().unwrap();
        lab.put_delta("patients", "visits", &schema, url.as_str(), version).await;
    }
    let lab = lab.under(POLICY).await;
    if let Some(view) = through.view() {
        lab.view(view).await;
    }
    lab
}

const PROBES: &[&str] = &[
    // What is there.
    "SELECT * FROM t",
    "SELECT id FROM t ORDER BY id",
    "SELECT count(*) FROM t",
    "SELECT count(phone), count(DISTINCT phone), max(phone) FROM t",
    "SELECT min(id), max(id), sum(score), avg(age), min(lat), max(lat) FROM t",
    "SELECT site, count(*) FROM t GROUP BY site ORDER BY site",
    "SELECT approx_distinct(name), median(age), stddev(lat) FROM t",
    "SELECT * FROM t LIMIT 0",
    "SELECT count(*) FROM (SELECT * FROM t LIMIT 100)",
    "SELECT count(*) FROM (SELECT id FROM t LIMIT 5 OFFSET 3)",
    // Conditions on what is hidden.
    "SELECT id FROM t WHERE site = 'b'",
    "SELECT id FROM t WHERE site <> 'a'",
    "SELECT id FROM t WHERE id = 42",
    "SELECT id FROM t WHERE id > 41 OR name = 'PATIENT-0042'",
    "SELECT id FROM t WHERE phone = '555-0001'",
    "SELECT id FROM t WHERE phone IS NOT NULL",
    "SELECT id FROM t WHERE age = 41",
    "SELECT id FROM t WHERE age > 39 AND age < 41.5",
    "SELECT id FROM t WHERE age IN (41, 38, 72)",
    "SELECT id FROM t WHERE lat BETWEEN 50.2 AND 50.4",
    "SELECT id, age, lat FROM t WHERE age = 40 AND lat = 51",
    "SELECT id FROM t WHERE NOT (site = 'a')",
    "SELECT id FROM t WHERE name LIKE 'PATIENT%'",
    "SELECT id FROM t WHERE name ~ '^PATIENT-00(42|43)$'",
    "SELECT id FROM t WHERE regexp_like(phone, '555')",
    // Failures that only what is hidden would cause.
    "SELECT id FROM t WHERE CAST(name AS BIGINT) > 0",
    "SELECT id FROM (SELECT * FROM t) x WHERE CAST(name AS BIGINT) > 0",
    "SELECT id FROM t WHERE id = 42 AND 1 / (id - 42) = 0",
    "SELECT id FROM t WHERE 1 / (id - 42) = 0",
    "SELECT 1 / (score - 99) FROM t",
    "SELECT 10 / score FROM t",
    "SELECT id FROM t WHERE 1 / (id - 42) >= 0 OR site = 'a'",
    "SELECT CAST(name AS INT) FROM t",
    "SELECT sum(CAST(name AS BIGINT)) FROM t",
    "SELECT max(CAST(name AS BIGINT)) FROM t WHERE site = 'b'",
    "SELECT id FROM t WHERE CASE WHEN id = 42 THEN 1 / (id - 42) ELSE 1 END = 1",
    "SELECT CASE WHEN site = 'b' THEN CAST(name AS INT) ELSE 0 END FROM t",
    "SELECT CASE WHEN age > 1e200 THEN CAST('x' || id AS INT) ELSE 0 END FROM t",
    "SELECT id FROM t WHERE CAST(phone AS DATE) IS NOT NULL",
    "SELECT CAST(age AS SMALLINT) FROM t",
    "SELECT arrow_cast(age, 'Int8') FROM t",
    "SELECT id FROM t ORDER BY 1 / (id - 42)",
    "SELECT id FROM t ORDER BY CAST(name AS BIGINT) LIMIT 1",
    "SELECT id FROM t WHERE factorial(score) > 0",
    "SELECT repeat(name, score) FROM t",
    "SELECT array_element(make_array(1, 2), score) FROM t",
    // Order and places.
    "SELECT id FROM t ORDER BY phone, id LIMIT 2",
    "SELECT id FROM t ORDER BY age, lat, id",
    "SELECT id, row_number() OVER (ORDER BY id) FROM t",
    "SELECT id, lag(id) OVER (ORDER BY id), lead(name) OVER (ORDER BY id) FROM t",
    "SELECT id, sum(score) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM t",
    "SELECT id, ntile(3) OVER (ORDER BY age) FROM t",
    "SELECT first_value(id ORDER BY score), last_value(id ORDER BY score), nth_value(name, 1) FROM t",
    "SELECT DISTINCT ON (site) site, id FROM t ORDER BY site, id DESC",
    "SELECT array_agg(id ORDER BY id), string_agg(name, ',' ORDER BY id) FROM t",
    // Joins and subqueries.
    "SELECT a.id FROM t a JOIN t b ON a.id = b.id AND b.site = 'b'",
    "SELECT a.id, b.id FROM t a FULL JOIN (VALUES (1), (42)) b(id) ON a.id = b.id ORDER BY 1, 2",
    "SELECT v.id FROM (VALUES (42), (1)) v(id) WHERE EXISTS (SELECT 1 FROM t WHERE t.id = v.id)",
    "SELECT v.id FROM (VALUES (42), (1)) v(id) WHERE v.id NOT IN (SELECT id FROM t)",
    "SELECT v.id FROM (VALUES (42), (1)) v(id) JOIN t ON t.id = v.id WHERE 1 / (t.id - 42) < 1",
    "SELECT (SELECT max(id) FROM t), (SELECT name FROM t WHERE id = 42)",
    "SELECT (SELECT CAST(max(name) AS BIGINT) FROM t)",
    "SELECT id FROM t WHERE id = (SELECT max(id) FROM t)",
    "SELECT count(*) FROM t a, t b WHERE a.id < b.id",
    "SELECT a.id FROM t a JOIN (SELECT 1 AS id ORDER BY 1 LIMIT 1) b ON a.id >= b.id ORDER BY a.id",
    "SELECT count(*) FROM t a LEFT ANTI JOIN t b ON a.phone = b.phone",
    "SELECT id FROM t UNION SELECT score FROM t ORDER BY 1",
    "SELECT id FROM t EXCEPT SELECT id FROM t WHERE site = 'a'",
    "SELECT id FROM t INTERSECT VALUES (42), (2)",
    "WITH x AS (SELECT * FROM t), y AS (SELECT id FROM x WHERE CAST(name AS INT) > 18) SELECT * FROM y ORDER BY 1",
    "WITH RECURSIVE r(n) AS (SELECT min(id) FROM t UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT max(id) FROM t)) \
     SELECT count(*) FROM r",
    // Grouping.
    "SELECT age, count(*) FROM t GROUP BY age ORDER BY age",
    "SELECT phone, count(*) FROM t GROUP BY phone",
    "SELECT site, age, count(*) FROM t GROUP BY ROLLUP (site, age) ORDER BY site, age",
    "SELECT count(*) FILTER (WHERE site = 'b'), sum(1 / (id - 42)) FILTER (WHERE id <> 42) FROM t",
    "SELECT site FROM t GROUP BY site HAVING count(*) > 4",
    // Plans, names and listings.
    "EXPLAIN SELECT * FROM t",
    "EXPLAIN SELECT count(*) FROM t",
    "EXPLAIN SELECT * FROM t WHERE id > 41",
    "EXPLAIN SELECT site, count(*) FROM t WHERE score < -3 OR score > 98 GROUP BY site",
    "EXPLAIN SELECT id FROM t WHERE site = 'b' AND id = 42 AND age > 3 ORDER BY id LIMIT 1",
    "EXPLAIN SELECT a.id FROM t a JOIN t b USING (id) WHERE CAST(a.name AS INT) > 0",
    "EXPLAIN ANALYZE SELECT * FROM t",
    "EXPLAIN ANALYZE SELECT site, count(*) FROM t WHERE name || site LIKE 'P%' GROUP BY site",
    "SELECT id FROM t WHERE CAST(name || '1' AS BIGINT) > 0",
    "SELECT id FROM t WHERE length(repeat(name, 1000000000)) > 0",
    "EXPLAIN VERBOSE SELECT * FROM t",
    "DESCRIBE t",
    "SELECT * FROM information_schema.columns WHERE table_name IN ('visits', 'mine') ORDER BY table_name, column_name",
    "SELECT * FROM information_schema.tables ORDER BY table_name",
    "SELECT * FROM information_schema.views",
    "SELECT nam FROM t",
    "SELECT id FROM patients.visit",
    "SELECT t.secret FROM t",
    "SHOW COLUMNS FROM t",
    // Ways around.
    "SELECT * FROM read_any('/etc/passwd')",
    "SELECT * FROM guarded",
    "SELECT * FROM \"ornl\".\"patients@1\".\"visits\" ORDER BY id",
    "CREATE VIEW v AS SELECT * FROM t",
    "SET datafusion.optimizer.enable_dynamic_filter_pushdown = false",
    "COPY (SELECT * FROM t) TO '/tmp/out.csv'",
    "PREPARE p AS SELECT * FROM t WHERE id = $1",
    "SELECT pseudonym(name) FROM t",
    "SELECT id FROM t WHERE pseudonym(phone) IS NULL",
];

/// A lab `anl` that asks this lab.
async fn asking(lab: &Lab) -> Lab {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(tarn_query::flight::serve(
        listener,
        tarn_query::flight::FlightDoor::new(lab.engine.clone()),
        std::future::pending(),
    ));
    let secret = tarn_catalog::new_peer_secret();
    let peer = |name: &str| Peer {
        lab: LabName::new(name).unwrap(),
        flight: url.clone(),
        http: "http://127.0.0.1:1".to_owned(),
        secret: secret.clone(),
        since: "2026-11-22T00:00:00Z".to_owned(),
        key: None,
    };
    let asking = Lab::new("anl").await;
    lab.engine.catalog().unwrap().put_peer(peer("anl")).await.unwrap();
    asking.engine.catalog().unwrap().put_peer(peer("ornl")).await.unwrap();
    asking
}

/// How long a statement took is another time in each run.
fn without_time(text: &str) -> String {
    match text.split_once("elapsed=") {
        Some((before, rest)) => {
            format!("{before}{}", rest.split_once("ms").map_or("", |(_, rest)| rest))
        }
        None => text.to_owned(),
    }
}

/// Everything that a caller gets to see.
async fn seen(session: &Session, name: &str, sql: &str) -> String {
    let sql = sql
        .replace("FROM t", &format!("FROM {name} t"))
        .replace(" t b", &format!(" {name} b"))
        .replace("JOIN t ", &format!("JOIN {name} t "))
        .replace(&format!("{name} t a"), &format!("{name} a"))
        .replace("DESCRIBE t", &format!("DESCRIBE {name}"))
        .replace(&format!("SHOW COLUMNS FROM {name} t"), &format!("SHOW COLUMNS FROM {name}"));
    match rows(session, &sql).await {
        Ok(rows) => {
            let mut rows: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
            if !sql.contains("ORDER BY") && !sql.contains("EXPLAIN") {
                rows.sort();
            }
            without_time(&rows.join("\n"))
        }
        // Of names that are equally near, DataFusion takes any.
        Err(error) => {
            let text = error.to_string();
            format!("error: {}", text.split("Did you mean").next().unwrap_or_default())
        }
    }
}

async fn probe(in_place: bool, from_afar: bool, through: Through) {
    let (whole, without) =
        (lab(in_place, true, through).await, lab(in_place, false, through).await);
    // The probes would show something: the owner sees all of it.
    let (owner, table) = (whole.session(Principal::Owner).await, Through::Table.name());
    assert!(seen(&owner, table, "SELECT id FROM t WHERE id = 42").await.contains("42"));
    let broken = seen(&owner, table, "SELECT CAST(name AS BIGINT) FROM t WHERE id = 42").await;
    assert!(broken.contains("PATIENT-0042"), "{broken}");
    let name = through.name();

    let askers =
        if from_afar { Some((asking(&whole).await, asking(&without).await)) } else { None };
    let (whole, without) = askers.as_ref().map_or((&whole, &without), |(a, b)| (a, b));
    let who = through.asker();
    let (with, without) = (whole.session(who.clone()).await, without.session(who).await);
    let mut leaks = vec![];
    for sql in PROBES {
        let (one, other) = (seen(&with, name, sql).await, seen(&without, name, sql).await);
        let tells = ["PATIENT", "555-", "site = 'a'", "913", "9223372036854775808"];
        let tells = tells.into_iter().any(|text| one.contains(text) && !sql.contains(text));
        if one != other || tells {
            leaks.push(format!("{sql}\n  with: {one}\n  without: {other}"));
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    // What may be seen is seen, and as the policy says.
    assert_eq!(
        seen(&with, name, "SELECT id, phone, age, lat FROM t ORDER BY id").await,
        "1 | NULL | 40.0 | 51.0\n2 | NULL | 40.0 | 51.0\n3 | NULL | 70.0 | -1.0\n4 | NULL | 70.0 | 11.0"
    );
    assert_eq!(
        seen(&with, name, "SELECT count(*), sum(score) FROM t WHERE id >= 2").await,
        "3 | 9"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_and_values_of_a_delta_table_change_nothing() {
    Box::pin(probe(false, false, Through::Table)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_and_values_of_files_in_place_change_nothing() {
    Box::pin(probe(true, false, Through::Table)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_rows_and_values_of_another_lab_change_nothing() {
    Box::pin(probe(false, true, Through::Table)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_invokers_view_of_a_delta_table_hides_changes_nothing() {
    Box::pin(probe(false, false, Through::Invoker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_invokers_view_of_files_in_place_hides_changes_nothing() {
    Box::pin(probe(true, false, Through::Invoker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_invokers_view_of_another_lab_hides_changes_nothing() {
    Box::pin(probe(false, true, Through::Invoker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_definers_view_of_a_delta_table_hides_changes_nothing() {
    Box::pin(probe(false, false, Through::Definer)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_definers_view_of_files_in_place_hides_changes_nothing() {
    Box::pin(probe(true, false, Through::Definer)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_definers_view_of_another_lab_hides_changes_nothing() {
    Box::pin(probe(false, true, Through::Definer)).await;
}
