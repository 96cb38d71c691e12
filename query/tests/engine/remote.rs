//! Files in a bucket as a table: how many requests queries take.

use crate::program::program;
use crate::support::{Lab, rows};
use crate::weed::Server;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;
use std::process::Command;
use tarn_connectors::{Location, Stores};
use tarn_formats::Traffic;
use tarn_query::{Engine, SessionOptions};
use tarn_schemas::Principal;

/// Files of a day each, with three variables in 64 chunks of 45 KB that do not compress.
const WRITE: &str = r#"
import sys, netCDF4, numpy as np
for day in range(12):
    rng = np.random.default_rng(day)
    with netCDF4.Dataset(f"{sys.argv[1]}/day_{day:02}.nc", "w") as f:
        for name, size in (("time", 4), ("lat", 96), ("lon", 480)):
            f.createDimension(name, size)
        t = f.createVariable("time", "f8", ("time",))
        t.units = "days since 2000-01-01"
        t[:] = day + np.arange(4) / 4
        f.createVariable("lat", "f8", ("lat",))[:] = np.arange(96) * 1.5
        f.createVariable("lon", "f8", ("lon",))[:] = np.arange(480) * 0.75
        for name in "abc":
            v = f.createVariable(name, "f4", ("time", "lat", "lon"), zlib=True, complevel=1, chunksizes=(1, 24, 120))
            v[:] = rng.integers(0, 2**31, size=(4, 96, 480)).astype("f4")
"#;

async fn ask(engine: &Engine, sql: &str) -> Vec<Vec<String>> {
    let options = SessionOptions::default();
    let session = engine.session(Principal::Owner, options).await.unwrap();
    rows(&session, sql).await.unwrap()
}

async fn cost(engine: &Engine, stores: &Stores, sql: &str) -> (Vec<Vec<String>>, Traffic) {
    let before = stores.traffic();
    let answer = ask(engine, sql).await;
    (answer, stores.traffic() - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_a_bucket_is_planned_by_one_request_and_reads_what_it_needs() {
    let (Some(weed), Some(python)) = (program("weed"), program("python")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new(python).arg("-c").arg(WRITE).arg(folder.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let server = Server::start(&weed);
    let (bucket, _) = server.stores().object_store(&Location::parse("s3://lake").unwrap()).unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let key = format!("days/{}", path.file_name().unwrap().to_str().unwrap());
        let payload = PutPayload::from(std::fs::read(&path).unwrap());
        bucket.put(&key.into(), payload).await.unwrap();
    }
    let lab = Lab::with("ornl", server.stores()).await;
    lab.register("days", "public").await;
    lab.put("days", "remote", &["s3://lake/days"], json!({})).await;
    lab.register("local", "public").await;
    lab.put("local", "days", &[folder.path().to_str().unwrap()], json!({})).await;
    // Fills the chunk index.
    ask(&lab.engine, "SELECT count(*) FROM days.remote").await;

    let stores = server.stores();
    let engine = lab.restarted_with(stores.clone());
    let both = async |sql: &str| {
        let (answer, cost) = cost(&engine, &stores, &sql.replace("TABLE", "days.remote")).await;
        assert_eq!(answer, ask(&engine, &sql.replace("TABLE", "local.days")).await, "{sql}");
        eprintln!("{cost:?} {sql}");
        cost
    };
    // One listing tells that twelve files are as they were; nothing is read.
    let planned = both("SELECT count(*), min(time), max(lon) FROM TABLE").await;
    assert_eq!(planned, Traffic { requests: 1, bytes: 0 });
    // For a moment that is believed: what the chunk index has of the files costs nothing.
    let again = both("SELECT count(*), min(lat), max(time) FROM TABLE").await;
    assert_eq!(again, Traffic { requests: 0, bytes: 0 });
    // Four chunks of one file of twelve.
    let one = "SELECT time, a FROM TABLE WHERE time >= TIMESTAMP '2000-01-07' AND \
               time < TIMESTAMP '2000-01-08' AND lat = 45 AND lon = 9 ORDER BY time";
    let series = both(one).await;
    let chunk = 24 * 120 * 4;
    assert!(series.requests <= 1 + 4 && series.bytes <= 4 * chunk + 3 * (1 << 20), "{series:?}");
    // The same again is kept.
    assert_eq!(both(one).await.bytes, 0);
    // Chunks of many blocks come in few requests.
    let all = both(
        "SELECT count(b), sum(CAST(b AS DOUBLE)), max(c) FROM TABLE WHERE time < \
                    TIMESTAMP '2000-01-05'",
    )
    .await;
    assert!(all.requests <= 1 + 4 * 2, "{all:?}");

    let sql =
        "EXPLAIN ANALYZE SELECT time, c FROM days.remote WHERE time >= TIMESTAMP '2000-01-11'";
    let plan = format!("{:?}", ask(&engine, sql).await);
    let number = |name: &str| -> u64 {
        let at = plan.find(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {plan}"));
        let rest = &plan[at + name.len() + 2..];
        let end = rest.find([',', ']', ' ']).unwrap();
        rest[..end].parse().unwrap_or_else(|_| panic!("{rest}"))
    };
    assert!((1..=4).contains(&number("requests")), "{plan}");
    assert!(plan.contains(" requested_bytes="), "{plan}");

    // A file that is exchanged is noticed when it is read, and then also where nothing of it is.
    let other = vec![7; std::fs::read(folder.path().join("day_07.nc")).unwrap().len()];
    bucket.put(&"days/day_07.nc".into(), other.into()).await.unwrap();
    let session = engine.session(Principal::Owner, SessionOptions::default()).await.unwrap();
    let of_it = "SELECT max(b) FROM days.remote WHERE time = TIMESTAMP '2000-01-08'";
    for sql in [of_it.to_owned(), one.replace("TABLE", "days.remote")] {
        let error = rows(&session, &sql).await.unwrap_err();
        assert!(error.to_string().contains("day_07.nc"), "{error}");
        assert!(error.to_string().contains("changed"), "{error}");
    }
}
