//! Tables of the catalog after ingests.

use crate::program::program;
use crate::support::{E3SM, Lab, catalog, e3sm, expected, request};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tarn_catalog::{Catalog, TableStorage};
use tarn_ingest::{Cancel, IngestError, IngestRequest, Progress, ingest};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::{DatasetRef, Principal, Scope};

async fn storage(catalog: &Catalog) -> (u32, TableStorage, Option<u64>) {
    let air: DatasetRef = "air".parse().unwrap();
    let dataset = catalog.dataset(&Principal::Owner, &air).await.unwrap();
    let entry = dataset.tables.iter().find(|entry| entry.name.as_str() == "ta").unwrap();
    (dataset.version, entry.storage.clone(), entry.rows)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_written_table_reads_in_other_programs_as_its_sources_do_in_netcdf4() {
    let (Some(files), Some(python)) = (e3sm(), program("python")) else { return };
    let lab = Lab::new().await;
    let report = lab.ingest(&request(&files)).await.unwrap();
    assert_eq!((report.files_added, report.rows_added), (3, 8 * 780));
    let table = lab.folder.path().join("store/air/ta");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ingest/compare.py");
    let output = Command::new(python).arg(script).arg(table).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let fills = |name: &&str| {
        expected(&format!("netcdf__cmip6__{name}"), "ta")["n_default_fill"].as_u64().unwrap_or(0)
    };
    assert_eq!(answer["source"]["nulls"], E3SM.iter().map(fills).sum::<u64>());
    assert_eq!(answer["deltalake"], answer["source"]);
    assert_eq!(answer["polars"], answer["source"]);
    assert_eq!(answer["units"], "K");
    assert_eq!(answer["calendar"], "365_day");
    assert_eq!(answer["time_units"], "days since 1850-01-01 00:00:00");
    assert_eq!(answer["models"], json!(["E3SM-1-0"]));
    assert_eq!(answer["interval"], "10");
    assert_eq!(answer["features"], json!([["timestampNtz"], ["timestampNtz"]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_adds_nothing_and_a_new_file_makes_the_next_version() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    let first = lab.ingest(&request(&files[..2])).await.unwrap();
    let (version, before, rows) = storage(&lab.catalog).await;
    assert_eq!((first.dataset_version, version, rows), (1, 1, Some(8 * 600)));

    let again = lab.ingest(&request(&files[..2])).await.unwrap();
    assert_eq!((again.files_added, again.files_skipped, again.rows_added), (0, 2, 0));
    assert_eq!(again.dataset_version, 1);
    assert_eq!(storage(&lab.catalog).await.1, before);

    let more = lab.ingest(&request(&files)).await.unwrap();
    assert_eq!((more.files_added, more.files_skipped, more.rows_added), (1, 2, 8 * 180));
    let (version, storage, rows) = storage(&lab.catalog).await;
    assert_eq!((version, rows), (2, Some(8 * 780)));
    assert!(matches!(storage, TableStorage::Delta { version: 1, .. }), "{storage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_died_before_it_told_the_catalog_is_finished_by_a_repeat() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    lab.ingest(&request(&files)).await.unwrap();
    // A catalog that was not told: the state after a kill between the two.
    let late = Lab { catalog: catalog(&lab.folder.path().join("late")).await, ..lab };
    let report = late.ingest(&request(&files)).await.unwrap();
    assert_eq!((report.files_added, report.files_skipped, report.rows_added), (0, 3, 0));
    let (_, storage, rows) = storage(&late.catalog).await;
    assert!(matches!(storage, TableStorage::Delta { version: 0, .. }), "{storage:?}");
    assert_eq!(rows, Some(8 * 780));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_ingests_write_a_checkpoint_that_keeps_what_was_added() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    // The same bytes under other names are the same rows, except with the name as a column.
    let copies = lab.folder.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    let named = |number: u8| {
        let copy = copies.join(format!("copy{number}.nc"));
        std::fs::copy(&files[0], &copy).unwrap();
        let mut named = request(&[copy.display().to_string()]);
        named.options =
            serde_json::from_str(r#"{"columns": {"copy": "path:copy([0-9]+)"}}"#).unwrap();
        named
    };
    for number in 0..11 {
        let report = lab.ingest(&named(number)).await.unwrap();
        assert_eq!(report.files_added, 1, "{number}");
    }
    let log = lab.folder.path().join("store/air/ta/_delta_log");
    let checkpoints = std::fs::read_dir(log).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().contains(".checkpoint")
    });
    assert_eq!(checkpoints.count(), 1);
    let again = lab.ingest(&named(0)).await.unwrap();
    assert_eq!(again.files_skipped, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_place_are_pinned_and_more_files_join_them() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    let in_place = |files: &[String]| IngestRequest { in_place: true, ..request(files) };
    let first = lab.ingest(&in_place(&files[..1])).await.unwrap();
    assert_eq!((first.files_added, first.rows_added), (1, 8 * 300));
    let again = lab.ingest(&in_place(&files[..1])).await.unwrap();
    assert_eq!((again.files_added, again.files_skipped, again.dataset_version), (0, 1, 1));
    let more = lab.ingest(&in_place(&files[1..])).await.unwrap();
    assert_eq!((more.files_added, more.rows_added, more.dataset_version), (2, 8 * 480, 2));
    let (_, pinned, rows) = storage(&lab.catalog).await;
    let TableStorage::InPlace { files: pins, .. } = pinned else { panic!("{pinned:?}") };
    let places: Vec<_> = pins.iter().map(|pin| pin.stat.location.clone()).collect();
    assert_eq!((places, rows), (files.clone(), Some(8 * 780)));

    let error = lab.ingest(&request(&files)).await.unwrap_err();
    assert!(matches!(error, IngestError::Conflict { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_name_every_grid_becomes_a_table() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    let mut unnamed = request(&files[..1]);
    unnamed.table = None;
    let report = lab.ingest(&unnamed).await.unwrap();
    let names: Vec<_> = report.tables.iter().map(|entry| entry.name.to_string()).collect();
    assert!(names.contains(&"time_plev_lat_lon".to_owned()), "{names:?}");
    assert!(names.contains(&"time_bnds".to_owned()), "{names:?}");
    assert_eq!(report.files_added, 1, "a file counts once, whatever it gave");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_and_what_is_not_there_is_refused_and_nothing_is_written() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    let reader = Principal::person("ada", Scope::Read);
    let quiet = std::sync::Arc::new(|_| {});
    let asked = request(&files);
    let refused =
        ingest(&lab.catalog, &lab.stores, &lab.store, &reader, &asked, quiet, &Cancel::new()).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::PermissionDenied);
    let missing = lab.ingest(&request(&["/none/x.nc".to_owned()])).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::NotFound);
    let empty = lab.folder.path().join("empty.nc");
    std::fs::write(&empty, "").unwrap();
    let mut with_empty = files.clone();
    with_empty.push(empty.display().to_string());
    let invalid = lab.ingest(&request(&with_empty)).await.unwrap_err();
    assert_eq!(invalid.code(), ErrorCode::InvalidData);
    assert!(invalid.to_string().contains("empty.nc"), "{invalid}");
    assert!(!lab.folder.path().join("store").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_is_cancelled_leaves_nothing_and_a_repeat_does_it_all() {
    let Some(files) = e3sm() else { return };
    let lab = Lab::new().await;
    let owner = Principal::Owner;
    let asked = request(&files);
    // Before it begins, with one file written, and with all of them written.
    for moment in [None, Some("file"), Some("verifying")] {
        let cancel = Cancel::new();
        if moment.is_none() {
            cancel.cancel();
        }
        let when = cancel.clone();
        let progress = std::sync::Arc::new(move |progress| match progress {
            Progress::FileDone { .. } if moment == Some("file") => when.cancel(),
            Progress::Verifying if moment == Some("verifying") => when.cancel(),
            _ => {}
        });
        let ingest =
            ingest(&lab.catalog, &lab.stores, &lab.store, &owner, &asked, progress, &cancel);
        let error = ingest.await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Cancelled, "{moment:?}: {error}");
        let table = lab.folder.path().join("store/air/ta");
        let left = std::fs::read_dir(table).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{moment:?}");
    }
    assert_eq!(lab.ingest(&asked).await.unwrap().files_added, 3);
}
