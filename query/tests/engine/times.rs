//! Times that are numbers meet only their like.

use crate::support::{demo, files_only, rows};
use tarn_query::QueryError;

/// Columns of `time` of two of the demo's files whose calendars have no timestamps.
fn sources() -> [(&'static str, String); 4] {
    let read = |file: &str| format!("read_netcdf('{}/data/{file}')", demo().display());
    [
        ("{noleap}", read(NOLEAP)),
        ("{days360}", read(DAYS_360)),
        ("{other_noleap}", read(OTHER_NOLEAP)),
        ("{standard}", read(STANDARD)),
    ]
}

const NOLEAP: &str = "ornl/ta_Amon_E3SM-1-0_historical_r1i1p1f1_gr_200001-201412.nc";
const DAYS_360: &str = "llnl/ta_Amon_KACE-1-0-G_historical_r1i1p1f1_gr_185001-201412.nc";
const OTHER_NOLEAP: &str = "ornl/ta_Amon_CESM2_historical_r1i1p1f1_gn_185001-201412.nc";
const STANDARD: &str = "llnl/ta_Amon_MRI-ESM2-0_historical_r1i1p1f1_gn_200001-201412.nc";

fn filled(sql: &str) -> String {
    sources().iter().fold(sql.to_owned(), |sql, (name, source)| sql.replace(name, source))
}

#[tokio::test]
async fn numbers_of_different_axes_do_not_meet() {
    let session = files_only().await;
    for sql in [
        "SELECT count(*) FROM {noleap} a JOIN {days360} b ON a.time = b.time",
        "SELECT count(*) FROM {noleap} a JOIN {days360} b USING (time)",
        "SELECT count(*) FROM {noleap} a JOIN {other_noleap} b USING (time)",
        "SELECT count(*) FROM {noleap} a FULL JOIN {days360} b ON a.time = b.time",
        "SELECT count(*) FROM {noleap} a, {days360} b WHERE a.time < b.time",
        "SELECT count(*) FROM {noleap} a JOIN {days360} b ON a.time + 1 = CAST(b.time AS BIGINT)",
        "SELECT time FROM {noleap} UNION ALL SELECT time FROM {days360}",
        "SELECT time FROM {noleap} UNION SELECT time FROM {other_noleap}",
        "SELECT time AS x FROM {noleap} INTERSECT SELECT time FROM {days360}",
        "SELECT time AS x FROM {noleap} EXCEPT SELECT time FROM {days360}",
        "SELECT 1 FROM {noleap} WHERE time IN (SELECT time FROM {days360})",
        "SELECT 1 FROM {noleap} WHERE time > (SELECT max(time) FROM {days360})",
        "SELECT 1 FROM {noleap} a WHERE EXISTS (SELECT 1 FROM {days360} b WHERE b.time = a.time)",
        "SELECT (SELECT max(time) FROM {noleap}) - (SELECT min(time) FROM {days360})",
        "WITH a AS (SELECT max(time) m FROM {noleap}), b AS (SELECT max(time) m FROM {days360}) \
         SELECT a.m > b.m FROM a, b",
        "WITH a AS (SELECT plev, max(time) OVER (PARTITION BY plev) m FROM {noleap}) SELECT 1 FROM \
         a JOIN {days360} b ON a.m = b.time",
        "SELECT coalesce(a.time, b.time) FROM {noleap} a FULL JOIN {days360} b ON a.lat = b.lat",
        "SELECT CASE WHEN a.lat > 0 THEN a.time ELSE b.time END FROM {noleap} a JOIN {days360} b ON \
         a.lat = b.lat",
        "SELECT 1 FROM (SELECT unnest(array_agg(time)) t FROM {noleap}) a JOIN {days360} b ON a.t \
         = b.time",
        "EXPLAIN SELECT 1 FROM {noleap} a JOIN {days360} b USING (time)",
    ] {
        match rows(&session, &filled(sql)).await {
            Err(QueryError::Invalid(text)) => {
                assert!(text.contains("cf_date(") && text.contains("365_day"), "{sql}: {text}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn numbers_do_not_meet_timestamps_and_dates_as_text() {
    let session = files_only().await;
    for sql in [
        "SELECT 1 FROM {noleap} WHERE time < TIMESTAMP '2000-01-01'",
        "SELECT 1 FROM {noleap} WHERE time BETWEEN DATE '1990-01-01' AND DATE '2000-01-01'",
        "SELECT 1 FROM {noleap} WHERE time >= '2000-01-18 06:00'",
        "SELECT 1 FROM {noleap} WHERE time IN ('2000-01-18', '2000-02-18')",
        "SELECT 1 FROM {noleap} WHERE CAST(time AS TIMESTAMP) < now()",
        "SELECT 1 FROM {noleap} a JOIN {standard} b ON a.time = b.time",
        "SELECT time FROM {noleap} UNION ALL SELECT time FROM {standard}",
        "SELECT time FROM {standard} UNION ALL SELECT time FROM {noleap}",
    ] {
        match rows(&session, &filled(sql)).await {
            Err(QueryError::Invalid(text)) => {
                assert!(text.contains("write cf_date(time)"), "{sql}: {text}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn numbers_meet_their_like_numbers_and_dates() {
    let session = files_only().await;
    let one = |text: &str| vec![vec![text.to_owned()]];
    let times = rows(&session, &filled("SELECT count(DISTINCT time) FROM {noleap}")).await.unwrap();
    for sql in [
        "SELECT count(*) FROM (SELECT DISTINCT time FROM {noleap}) a JOIN (SELECT min(time) AS time \
         FROM {noleap} GROUP BY cf_date(time)) b ON a.time = b.time",
        "SELECT count(*) FROM (SELECT time FROM {noleap} UNION SELECT time FROM {noleap})",
        "SELECT count(*) FROM (SELECT DISTINCT cf_date(time) d FROM {noleap}) a LEFT JOIN (SELECT \
         DISTINCT cf_date(time) d FROM {days360}) b ON a.d = b.d",
        "SELECT count(DISTINCT time) FROM {noleap} WHERE time > 0 OR time IN (1, 2) OR time = '3'",
        "SELECT count(DISTINCT d) FROM (SELECT cf_date(time) d FROM {noleap} UNION ALL SELECT NULL)",
        "SELECT count(DISTINCT concat('t', time)) FROM {noleap}",
    ] {
        let found = rows(&session, &filled(sql)).await;
        assert_eq!(found.unwrap_or_else(|error| panic!("{sql}: {error}")), times, "{sql}");
    }
    let sql = "SELECT (SELECT max(time) FROM {noleap}) - (SELECT max(time) FROM {noleap}) < \
               (SELECT max(time) FROM {days360})";
    assert_eq!(rows(&session, &filled(sql)).await.unwrap(), one("true"));
}
