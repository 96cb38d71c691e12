//! Bad databases, bad folders, and processes that are killed.

use super::support::*;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;
use tarn_catalog::CatalogError;
use tarn_schemas::code::{Coded, ErrorCode};

#[tokio::test]
async fn a_folder_that_has_a_catalog_is_not_made_one_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = catalog(folder.path()).await;
    first.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    let again =
        Catalog::create(folder.path(), LabName::new("anl").unwrap(), LabDefaults::default()).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::Conflict);
    let same = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(same.lab().as_str(), "ornl");
    assert_eq!(same.datasets(&Principal::Owner).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_folder_without_a_catalog_is_not_opened_and_stays_empty() {
    let folder = tempfile::tempdir().unwrap();
    let error = Catalog::open(folder.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.to_string().contains("tarn init"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_making_that_was_killed_is_finished_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("catalog.sqlite"), "").unwrap();
    let error = Catalog::open(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("tarn init"), "{error}");
    catalog(folder.path()).await;
}

#[tokio::test]
async fn a_file_that_is_no_catalog_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("catalog.sqlite");
    let garbage = "this is not a database. ".repeat(500);
    std::fs::write(&place, &garbage).unwrap();
    let error = Catalog::open(folder.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.to_string().contains("restore a backup"), "{error}");
    assert!(error.to_string().contains("catalog.sqlite"), "{error}");
    assert_eq!(std::fs::read_to_string(&place).unwrap(), garbage);

    // A database of another program.
    std::fs::remove_file(&place).unwrap();
    let url = format!("sqlite://{}?mode=rwc", place.display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE bookmarks (url TEXT)").execute(&pool).await.unwrap();
    pool.close().await;
    let error = Catalog::open(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_catalog_of_a_newer_tarn_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    drop(catalog(folder.path()).await);
    let url = format!("sqlite://{}", folder.path().join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query("PRAGMA user_version = 999").execute(&pool).await.unwrap();
    pool.close().await;
    let error = Catalog::open(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("newer tarn"), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_an_error_and_not_a_wrong_answer() {
    let folder = tempfile::tempdir().unwrap();
    {
        let catalog = catalog(folder.path()).await;
        for number in 0..30 {
            let record = record(&format!("set_{number}"));
            catalog.register(&Principal::Owner, record, data()).await.unwrap();
        }
    }
    // Everything is in the main file once the log is folded in.
    let place = folder.path().join("catalog.sqlite");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", place.display())).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await.unwrap();
    pool.close().await;
    let mut bytes = std::fs::read(&place).unwrap();
    let header = 4096;
    bytes[header..].fill(0x5a);
    std::fs::write(&place, bytes).unwrap();
    let _ = std::fs::remove_file(folder.path().join("catalog.sqlite-wal"));
    let _ = std::fs::remove_file(folder.path().join("catalog.sqlite-shm"));
    let error = match Catalog::open(folder.path()).await {
        Ok(catalog) => catalog.datasets(&Principal::Owner).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, CatalogError::Database { .. }), "{error}");
    assert!(error.to_string().contains("restore a backup"), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_a_clear_error() {
    // /proc is read-only for everyone, root as well.
    let place = Path::new("/proc/tarn-test");
    let error =
        Catalog::create(place, LabName::new("ornl").unwrap(), defaults()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(error.to_string().contains("may write there"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_read_only_database_answers_or_refuses_clearly_and_takes_no_record() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    {
        let catalog = catalog(folder.path()).await;
        catalog.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    }
    let mode = |bits: u32, path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    for file in std::fs::read_dir(folder.path()).unwrap() {
        mode(0o444, &file.unwrap().path());
    }
    mode(0o555, folder.path());
    if std::fs::write(folder.path().join("probe"), "").is_ok() {
        println!("left out: this user may write everywhere");
        mode(0o755, folder.path());
        return;
    }
    let refused = match Catalog::open(folder.path()).await {
        Ok(catalog) => {
            catalog.register(&Principal::Owner, record("other"), data()).await.unwrap_err()
        }
        Err(error) => error,
    };
    mode(0o755, folder.path());
    assert_eq!(refused.code(), ErrorCode::Unavailable);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_of_the_home_may_read_the_database_with_its_secrets() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_writer_that_holds_the_database_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let url = format!("sqlite://{}", folder.path().join("catalog.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let holding = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let waiting = {
        let catalog = catalog.clone();
        tokio::spawn(
            async move { catalog.register(&Principal::Owner, record("sst"), data()).await },
        )
    };
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!waiting.is_finished());
    // Readers do not wait.
    assert!(catalog.datasets(&Principal::Owner).await.unwrap().is_empty());
    holding.rollback().await.unwrap();
    assert!(waiting.await.unwrap().unwrap().created);
}

const CHILD: &str = "TARN_TEST_CATALOG_CHILD";

/// Not a test of its own: the process that the next test starts and kills. It says what is done.
#[tokio::test]
async fn child_that_registers_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let catalog = Catalog::open(Path::new(&folder)).await.unwrap();
    let start = catalog.datasets(&Principal::Owner).await.unwrap().len();
    for number in start..start + 10_000 {
        let name = format!("set_{number}");
        catalog.register(&Principal::Owner, record(&name), data()).await.unwrap();
        println!("\nregistered {name}");
        let dataset = name.parse().unwrap();
        let tables = vec![delta("a", 0), delta("b", 0)];
        catalog.put_tables(&Principal::Owner, &dataset, tables).await.unwrap();
        println!("\ntables {name}");
        let revised = Record { title: format!("Revised {name}"), ..record(&name) };
        catalog.register(&Principal::Owner, revised, data()).await.unwrap();
        println!("\nrevised {name}");
        // Searching writes the index, so that it is killed as well.
        catalog.search(&Principal::Owner, &tarn_catalog::SearchRequest::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_has_confirmed_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    drop(catalog(folder.path()).await);
    let mut confirmed: Vec<(String, String)> = Vec::new();
    for round in 0..6_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "sqlite::durability::child_that_registers_until_it_is_killed",
                "--exact",
                "--nocapture",
            ])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines
                .filter_map(|line| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())))
                .filter(|(what, _)| ["registered", "tables", "revised"].contains(&what.as_str()))
                .collect::<Vec<_>>()
        });
        // A moment that falls elsewhere in the work each time.
        tokio::time::sleep(Duration::from_millis(400 + round * 137)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        confirmed.extend(reader.join().unwrap());

        let catalog = Catalog::open(folder.path()).await.unwrap();
        let datasets = catalog.datasets(&Principal::Owner).await.unwrap();
        let arks: BTreeSet<_> = datasets.iter().map(|dataset| &dataset.ark).collect();
        assert_eq!(arks.len(), datasets.len());
        for dataset in &datasets {
            let tables = dataset.tables.len();
            assert!(tables == 0 || tables == 2, "{} has {tables} tables", dataset.name);
            let versions = catalog.versions(&Principal::Owner, &dataset.name).await.unwrap();
            let numbers: Vec<u32> = versions.iter().map(|version| version.version).collect();
            assert_eq!(numbers, (1..=dataset.version).collect::<Vec<_>>());
        }
        for (what, name) in &confirmed {
            let dataset = datasets.iter().find(|dataset| dataset.name.as_str() == name).unwrap();
            match what.as_str() {
                "tables" => assert_eq!(dataset.tables.len(), 2),
                "revised" => assert_eq!(dataset.version, 2),
                _ => {}
            }
        }
        let everything = tarn_catalog::SearchRequest::default();
        let answer = catalog.search(&Principal::Owner, &everything).await.unwrap();
        assert_eq!(answer.total, u64::try_from(datasets.len()).unwrap());
        let revised = tarn_catalog::SearchRequest { text: "revised".to_owned(), ..everything };
        let answer = catalog.search(&Principal::Owner, &revised).await.unwrap();
        let expected = datasets.iter().filter(|dataset| dataset.version == 2).count();
        assert_eq!(answer.total, u64::try_from(expected).unwrap());
    }
    assert!(confirmed.len() > 5, "the child did too little: {confirmed:?}");
}
