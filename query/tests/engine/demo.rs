//! The demo's questions on its real files, all in one lab, against answers that DataFusion and DuckDB
//! gave over the same files read by netCDF4 and h5py.

use crate::support::{Lab, demo, files_only, rows};
use serde_json::{Value, json};
use tarn_query::Session;
use tarn_schemas::Principal;

const CMIP: &str = "(SELECT * FROM ornl_cmip6.ta UNION ALL SELECT * FROM llnl_cmip6.ta)";

async fn labs() -> (Lab, Session) {
    let lab = Lab::new("demo").await;
    let data = demo().join("data");
    let data = data.to_str().unwrap();
    for dataset in ["ornl_cmip6", "llnl_cmip6", "scenarios", "usaxs"] {
        lab.register(dataset, "public").await;
    }
    let ta = json!({
        "grid": "time_plev_lat_lon",
        "columns": {
            "model": "attribute:source_id",
            "calendar": "attribute:time:calendar",
            "year": "cf_year(time)",
            "month": "cf_month(time)",
            "file": "path:([^/]+)$"
        },
        "select": ["model", "calendar", "year", "month", "plev", "lat", "lon", "ta", "file"]
    });
    lab.put("ornl_cmip6", "ta", &[&format!("{data}/ornl/*.nc")], ta.clone()).await;
    lab.put("llnl_cmip6", "ta", &[&format!("{data}/llnl/ta_*.nc")], ta).await;
    let annual = json!({
        "grid": "time_latitude_longitude",
        "columns": {
            "scenario": "path:([A-Z0-9]+)_north_america",
            "year": "cf_year(time)",
            "lat": "variable:latitude",
            "lon": "variable:longitude"
        },
        "select": ["scenario", "year", "lat", "lon", "air_temperature"]
    });
    lab.put("scenarios", "annual", &[&format!("{data}/llnl/*_north_america.nc")], annual).await;
    let reduced = json!({
        "grid": "entry_flyScan_reduced_250_dim_0",
        "columns": {
            "scan": "path:S([0-9]+)_[^/]*$",
            "sample": r"path:S[0-9]+_([^/]*)\.h5$",
            "bin": "variable:dim_0",
            "q": "variable:Q",
            "r": "variable:R"
        },
        "select": ["scan", "sample", "bin", "q", "r"]
    });
    lab.put("usaxs", "reduced", &[&format!("{data}/anl/*.h5")], reduced).await;
    let scans = json!({"select": ["scan", "macro", "args", "started"]});
    lab.put("usaxs", "scans", &[&format!("{data}/anl/02_03_setup.dat")], scans).await;
    let session = lab.session(Principal::Anonymous).await;
    (lab, session)
}

fn same(got: &str, want: &Value, loose: bool) -> bool {
    match want {
        // Times are printed with a T between date and clock.
        Value::String(want) => {
            got == want || got.replacen('T', " ", 1).trim_end_matches('Z') == want
        }
        Value::Number(number) if number.is_i64() => {
            got.parse::<f64>().is_ok_and(|got| Some(got) == number.as_f64())
        }
        Value::Number(number) => {
            let want = number.as_f64().unwrap();
            let relative = if loose { 1e-5 } else { 1e-6 };
            got.parse::<f64>().is_ok_and(|got| (got - want).abs() <= relative * want.abs() + 6e-7)
        }
        _ => false,
    }
}

async fn check(session: &Session, question: &str, sql: &str) {
    let text = std::fs::read_to_string(demo().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let expected = &expected[question];
    let loose: Vec<&str> =
        expected["loose"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let got = rows(session, sql).await.unwrap();
    let want = expected["rows"].as_array().unwrap();
    assert_eq!(got.len(), want.len(), "{question}: {got:?}");
    for (got, want) in got.iter().zip(want) {
        let want = want.as_array().unwrap();
        assert_eq!(got.len(), want.len(), "{question}");
        for ((got, want), column) in
            got.iter().zip(want).zip(expected["columns"].as_array().unwrap())
        {
            let loose = loose.contains(&column.as_str().unwrap());
            assert!(same(got, want, loose), "{question}: {column} is {got} and not {want}");
        }
    }
}

fn warming(condition: &str) -> String {
    let early = "FILTER (WHERE year BETWEEN 1950 AND 1979)";
    let late = "FILTER (WHERE year BETWEEN 1985 AND 2014)";
    format!(
        "SELECT model, count(ta) {early} AS n1, avg(ta) {early} AS t1, count(ta) {late} AS n2, avg(ta) \
         {late} AS t2, avg(ta) {late} - avg(ta) {early} AS warming FROM {CMIP} WHERE plev > \
         99999{condition} GROUP BY model HAVING count(ta) {early} > 0 ORDER BY warming DESC"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_questions_of_the_demo_have_their_known_answers() {
    let (_lab, session) = labs().await;
    let q1 = format!(
        "SELECT model, count(*) AS n, count(ta) AS not_null, min(year) AS y0, max(year) AS y1 FROM \
         {CMIP} GROUP BY model ORDER BY model"
    );
    check(&session, "Q1", &q1).await;
    check(&session, "Q2", &warming("")).await;
    let q3 = format!(
        "SELECT model, year, month, lat, lon, ta, file FROM {CMIP} WHERE ta < 180 ORDER BY ta"
    );
    check(&session, "Q3", &q3).await;
    check(&session, "Q3b", &warming(" AND ta >= 180")).await;
    let q4 = "WITH e AS (SELECT year, avg(ta) AS t FROM ornl_cmip6.ta WHERE model = 'E3SM-1-0' AND plev \
        > 99999 AND ta >= 180 GROUP BY year), x AS (SELECT model, year, avg(ta) AS t FROM \
        llnl_cmip6.ta WHERE plev > 99999 AND ta >= 180 GROUP BY model, year) SELECT x.model, count(*) \
        AS years, avg(x.t - e.t) AS bias, corr(x.t, e.t) AS r FROM e JOIN x USING (year) GROUP BY \
        x.model ORDER BY x.model";
    check(&session, "Q4", q4).await;
    let (early, late) = ("year BETWEEN 1950 AND 1979", "year BETWEEN 1985 AND 2014");
    let q5 = format!(
        "WITH p AS (SELECT model, avg(ta) FILTER (WHERE {late}) - avg(ta) FILTER (WHERE {early}) AS pole \
         FROM ornl_cmip6.ta WHERE plev > 99999 AND ta >= 180 GROUP BY model), w AS (SELECT year, \
         air_temperature * cos(radians(lat)) AS tw, cos(radians(lat)) AS w FROM scenarios.annual WHERE \
         scenario = 'A1B'), c AS (SELECT sum(tw) FILTER (WHERE {late}) / sum(w) FILTER (WHERE {late}) - \
         sum(tw) FILTER (WHERE {early}) / sum(w) FILTER (WHERE {early}) AS land FROM w) SELECT model, \
         pole, land, pole / land AS ratio FROM p CROSS JOIN c ORDER BY ratio DESC"
    );
    check(&session, "Q5", &q5).await;
    let q6 = "SELECT year / 10 * 10 AS decade, avg(air_temperature) FILTER (WHERE scenario = 'A1B') - \
        avg(air_temperature) FILTER (WHERE scenario = 'E1') AS avoided FROM scenarios.annual WHERE year \
        >= 2050 GROUP BY year / 10 * 10 ORDER BY decade";
    check(&session, "Q6", q6).await;
    let q7 = "WITH b AS (SELECT bin, r FROM usaxs.reduced WHERE sample = 'Blank') SELECT s.scan, \
        s.macro, s.started, u.sample, count(*) AS bins, max(u.r) AS peak, max(u.r) / (SELECT max(r) \
        FROM b) AS transmission, avg(u.r / b.r) FILTER (WHERE u.q BETWEEN 0.01 AND 0.03) AS excess \
        FROM usaxs.reduced u JOIN usaxs.scans s USING (scan) JOIN b USING (bin) GROUP BY s.scan, \
        s.macro, s.started, u.sample ORDER BY s.scan";
    check(&session, "Q7", q7).await;
    let kelvin = |table: &str, column: &str| {
        let value = format!("convert_units({column}, 'K', 'K')");
        format!("SELECT '{table}' AS t, count({value}) AS n, min({value}), max({value}) FROM ")
    };
    let q8 = format!(
        "{}llnl_cmip6.ta UNION ALL {}scenarios.annual UNION ALL {}ornl_cmip6.ta ORDER BY t",
        kelvin("llnl.cmip6.ta", "ta"),
        kelvin("llnl.scenarios.annual", "air_temperature"),
        kelvin("ornl.cmip6.ta", "ta"),
    );
    check(&session, "Q8", &q8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_read_by_path_with_functions_over_their_own_calendars() {
    let session = files_only().await;
    let data = demo().join("data");
    let file = data.join("llnl/A1B_north_america.nc");
    let file = file.display();
    // netCDF4: 240 years from 1860, calendar 360_day; 870,240 cells in both scenarios together.
    let years = format!(
        "SELECT count(*), count(DISTINCT cf_year(time)), min(cf_year(time)), max(cf_year(time)) FROM \
         read_netcdf('{file}')"
    );
    assert_eq!(rows(&session, &years).await.unwrap(), [["435120", "240", "1860", "2099"]]);
    let options = r#"{"file_column": true}"#;
    let both = format!(
        "SELECT count(DISTINCT _file), count(*) FROM read_any('{}', NULL, '{options}')",
        data.join("llnl/*_north_america.nc").display()
    );
    assert_eq!(rows(&session, &both).await.unwrap(), [["2", "870240"]]);
    let short = both.replace(", NULL, ", ", ");
    assert_eq!(rows(&session, &short).await.unwrap(), [["2", "870240"]]);
    let grids = format!("SELECT grid, cells FROM grids('{file}') ORDER BY cells DESC LIMIT 1");
    assert_eq!(rows(&session, &grids).await.unwrap(), [["time_latitude_longitude", "435120"]]);
    let units = format!("SELECT units FROM variables('{file}') WHERE name = 'air_temperature'");
    assert_eq!(rows(&session, &units).await.unwrap(), [["K"]]);
    let attribute = format!(
        "SELECT value FROM attributes('{file}') WHERE path = '/time' AND name = 'calendar'"
    );
    assert_eq!(rows(&session, &attribute).await.unwrap(), [["360_day"]]);
    let wrong = format!("SELECT * FROM read_spec('{file}')");
    let error = rows(&session, &wrong).await.unwrap_err().to_string();
    assert!(error.contains("NetCDF") && error.contains("read_any"), "{error}");
}
