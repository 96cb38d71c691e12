//! Who sees what, and what is refused.

use crate::support::{Lab, copy, files_only, person, rows};
use serde_json::json;
use tarn_query::{Engine, EngineConfig, QueryError, SessionOptions};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::{Principal, SiteStatus};

const MODEL: &str = "ornl/ta_Amon_GFDL-ESM4_historical_r1i1p1f1_gr1_195001-201412.nc";

/// A lab with `open.ta` (public), `members.ta` (registered) and `members.plev`.
async fn lab() -> Lab {
    let lab = Lab::new("ornl").await;
    let path = copy(MODEL, lab.folder.path());
    for (dataset, tier) in [("open", "public"), ("members", "registered")] {
        lab.register(dataset, tier).await;
        lab.put(dataset, "ta", &[&path], json!({})).await;
    }
    lab.put("members", "levels", &[&path], json!({"grid": "time_bnds"})).await;
    lab
}

async fn refused(session: &tarn_query::Session, sql: &str) -> QueryError {
    match rows(session, sql).await {
        Err(error) => error,
        Ok(rows) => panic!("{sql} gave {} rows", rows.len()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_home_reads_files_and_has_no_tables() {
    let session = files_only().await;
    assert_eq!(rows(&session, "SELECT 1 + 1 AS two").await.unwrap(), [["2"]]);
    assert!(session.lab().is_none());
    assert!(session.tables().await.unwrap().is_empty());
    assert!(rows(&session, "SHOW TABLES").await.is_ok());
    let error = refused(&session, "SELECT * FROM ta").await;
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.to_string().contains("tarn init"), "{error}");
    let error = refused(&session, "SELECT * FROM read_netcdf('/no/such/file.nc')").await;
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.to_string().contains("/no/such/file.nc"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_tables_have_short_names_and_versions() {
    let lab = lab().await;
    let owner = lab.session(Principal::Owner).await;
    for name in ["ornl.open.ta", "open.ta", "open@1.ta", "ornl.open@1.ta"] {
        let count = rows(&owner, &format!("SELECT count(*) FROM {name}")).await.unwrap();
        assert_eq!(count, [["6240"]], "{name}");
    }
    assert!(rows(&owner, "SELECT count(*) FROM levels").await.is_ok());
    let error = refused(&owner, "SELECT * FROM ta").await;
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.to_string().contains("open.ta") && error.to_string().contains("members.ta"));
    assert_eq!(refused(&owner, "SELECT * FROM open@9.ta").await.code(), ErrorCode::NotFound);
    let qualified = "SELECT t.ta FROM open.ta t WHERE t.lat > 89 LIMIT 1";
    assert_eq!(rows(&owner, qualified).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_known_and_not_read_is_denied_and_what_is_unknown_is_not_found() {
    let lab = lab().await;
    let (anonymous, person) =
        (lab.session(Principal::Anonymous).await, lab.session(person()).await);
    assert!(rows(&anonymous, "SELECT count(*) FROM open.ta").await.is_ok());
    assert!(rows(&person, "SELECT count(*) FROM members.ta").await.is_ok());
    for sql in [
        "SELECT * FROM members.ta",
        "SELECT count(*) FROM members.ta",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM ornl.members.ta)",
        "WITH x AS (SELECT * FROM members.ta) SELECT 1 FROM x",
        "SELECT * FROM open.ta UNION ALL SELECT * FROM members@1.ta",
        "EXPLAIN SELECT * FROM members.ta",
    ] {
        let error = refused(&anonymous, sql).await;
        assert!(matches!(error, QueryError::Denied(_)), "{sql}: {error:?}");
    }
    // The columns of a table are part of its record, which anyone may see.
    assert!(!rows(&anonymous, "DESCRIBE members.ta").await.unwrap().is_empty());
    let error = refused(&anonymous, "SELECT * FROM open.tas").await;
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.to_string().contains("ornl.open.ta"), "{error}");
    for sql in ["SELECT * FROM secret.ta", "SELECT * FROM llnl.open.ta", "SELECT * FROM \"no;\".ta"]
    {
        assert_eq!(refused(&anonymous, sql).await.code(), ErrorCode::NotFound, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listings_show_what_the_principal_may_know() {
    let lab = lab().await;
    let session = lab.session(Principal::Anonymous).await;
    let tables = rows(
        &session,
        "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema <> \
         'information_schema' ORDER BY 1, 2",
    )
    .await
    .unwrap();
    assert_eq!(tables, [["members", "levels"], ["members", "ta"], ["open", "ta"]]);
    let columns = rows(&session, "SHOW COLUMNS FROM open.ta").await.unwrap();
    assert!(columns.iter().any(|row| row.contains(&"plev".to_owned())), "{columns:?}");
    let known = session.tables().await.unwrap();
    assert_eq!(known.len(), 3);
    let (_, schema) = known.iter().find(|(name, _)| name.to_string() == "ornl.open.ta").unwrap();
    assert_eq!(schema.field_with_name("ta").unwrap().metadata()["units"], "K");
    let error = refused(&session, "SELECT * FROM information_schema.df_settings").await;
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_people_at_the_machine_and_plans_do_not_tell_where_data_lie() {
    let lab = lab().await;
    let session = lab.session(person()).await;
    for function in ["read_netcdf", "read_any", "read_hdf5", "read_spec", "grids", "variables"] {
        let error = refused(&session, &format!("SELECT * FROM {function}('/etc/passwd')")).await;
        assert!(matches!(error, QueryError::Denied(_)), "{function}: {error:?}");
    }
    // Nor does the node ask other servers for whoever is not its owner.
    for url in ["http://127.0.0.1:9/x.nc", "https://host/x.nc", "s3://b/x", "gs://b/x", "az://b/x"]
    {
        let error = refused(&session, &format!("SELECT * FROM read_any('{url}')")).await;
        assert!(matches!(error, QueryError::Denied(_)), "{url}: {error:?}");
    }
    for sql in ["EXPLAIN ANALYZE VERBOSE SELECT 1", "EXPLAIN VERBOSE SELECT * FROM open.ta"] {
        assert!(matches!(refused(&session, sql).await, QueryError::Denied(_)), "{sql}");
    }
    let plan = rows(&session, "EXPLAIN SELECT ta FROM open.ta WHERE lat > 89").await.unwrap();
    let text = plan.concat().join("\n");
    assert!(text.contains("GridScanExec: table=ornl.open.ta"), "{text}");
    assert!(!text.contains(lab.folder.path().to_str().unwrap()), "{text}");
    let plan =
        rows(&session, "EXPLAIN ANALYZE SELECT ta FROM open.ta WHERE lat > 89").await.unwrap();
    let text = plan.concat().join("\n");
    assert!(
        text.contains("output_rows=") && text.contains("GridScanExec: table=ornl.open.ta"),
        "{text}"
    );
    assert!(
        !text.contains(lab.folder.path().to_str().unwrap()) && !text.contains("metrics"),
        "{text}"
    );
    let owner = lab.session(Principal::Owner).await;
    assert!(rows(&owner, "EXPLAIN ANALYZE SELECT ta FROM open.ta").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_is_refused_and_never_answered_from() {
    let lab = lab().await;
    let session = lab.session(Principal::Owner).await;
    assert!(rows(&session, "SELECT max(ta) FROM open.ta").await.is_ok());
    let path = lab.folder.path().join(MODEL.rsplit('/').next().unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = refused(&session, "SELECT max(ta) FROM open.ta").await;
    assert_eq!(error.code(), ErrorCode::InvalidData);
    assert!(error.to_string().contains("register"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = refused(&session, "SELECT max(ta) FROM open.ta").await;
    assert_eq!(error.code(), ErrorCode::InvalidData);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_say_what_the_own_lab_gave() {
    let lab = lab().await;
    let session = lab.session(person()).await;
    let mut answer = session.sql("SELECT ta FROM open.ta WHERE lat > 89").await.unwrap();
    let sites = answer.sites.clone();
    let mut given = 0;
    while let Some(batch) = futures::StreamExt::next(&mut answer.stream).await {
        given += batch.unwrap().num_rows();
    }
    let reports = sites.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!((reports[0].lab.as_str(), reports[0].status), ("ornl", SiteStatus::Ok));
    assert_eq!(reports[0].rows, given as u64);
    assert!(given > 0 && reports[0].bytes >= 4 * given as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_needs_too_much_memory_is_refused_and_the_next_one_runs() {
    let config = EngineConfig {
        memory_bytes: 1 << 20,
        partitions: 2,
        peer_seconds: 1,
        ..EngineConfig::default()
    };
    let engine = Engine::new(None, tarn_connectors::Stores::new(vec![]), config).unwrap();
    let session = engine.session(Principal::Owner, SessionOptions::default()).await.unwrap();
    let hungry =
        "SELECT count(*) FROM range(0, 400000) a JOIN range(0, 400000) b ON a.value = b.value";
    let error = refused(&session, hungry).await;
    assert_eq!(error.code(), ErrorCode::ResourceExhausted, "{error}");
    assert_eq!(rows(&session, "SELECT 1").await.unwrap(), [["1"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_sql_say_what_to_write() {
    let lab = lab().await;
    let session = lab.session(Principal::Owner).await;
    let error = refused(&session, "SELECT tas FROM open.ta").await;
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.to_string().contains("\"tas\"") && error.to_string().contains("plev"), "{error}");
    for sql in ["SELEC 1", "SELECT no_such_function(1)", "DROP TABLE open.ta", "SELECT 1; SELECT 2"]
    {
        assert_eq!(refused(&session, sql).await.code(), ErrorCode::InvalidArgument, "{sql}");
    }
    assert_eq!(refused(&session, "SELECT 1/0").await.code(), ErrorCode::InvalidArgument);
}
