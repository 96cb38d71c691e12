//! Tables of dataset versions.

use super::support::*;
use std::collections::BTreeMap;
use tarn_catalog::PinnedFile;
use tarn_connectors::store::FileStat;
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::{DatasetName, TableOptions};

fn in_place(name: &str, tag: &str, hash: &str) -> TableEntry {
    let stat = FileStat { location: "/data/a.nc".to_owned(), bytes: 10, tag: tag.to_owned() };
    let files = vec![PinnedFile { stat, sha256: hash.repeat(32) }];
    TableEntry {
        storage: TableStorage::InPlace { files, options: TableOptions::default() },
        ..delta(name, 0)
    }
}

async fn with_dataset(folder: &Path) -> (Catalog, DatasetName) {
    let catalog = catalog(folder).await;
    catalog.register(&Principal::Owner, record("sst"), data()).await.unwrap();
    (catalog, "sst".parse().unwrap())
}

#[tokio::test]
async fn the_first_tables_join_the_version_and_changed_ones_make_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, sst) = with_dataset(folder.path()).await;
    let owner = Principal::Owner;
    let before = catalog.dataset(&owner, &named("sst")).await.unwrap();
    assert_eq!(catalog.put_tables(&owner, &sst, vec![delta("a", 0)]).await.unwrap(), 1);
    assert_eq!(catalog.put_tables(&owner, &sst, vec![delta("b", 3)]).await.unwrap(), 1);
    // Again the same: nothing happens, in any order.
    let both = vec![delta("b", 3), delta("a", 0)];
    assert_eq!(catalog.put_tables(&owner, &sst, both).await.unwrap(), 1);
    let after = catalog.dataset(&owner, &named("sst")).await.unwrap();
    assert!(after.fair_score >= before.fair_score, "tables make nothing worse");
    assert_eq!(after.tables, [delta("a", 0), delta("b", 3)]);

    // A changed one makes a version that keeps the others.
    assert_eq!(
        catalog.put_tables(&owner, &sst, vec![delta("a", 1), delta("c", 0)]).await.unwrap(),
        2
    );
    let newest = catalog.dataset(&owner, &named("sst")).await.unwrap();
    assert_eq!(newest.tables, [delta("a", 1), delta("b", 3), delta("c", 0)]);
    // The old version still pins what it pinned.
    let (old, table) = catalog.table(&owner, &named("sst@1"), &"a".parse().unwrap()).await.unwrap();
    assert_eq!((old.version, table), (1, delta("a", 0)));

    let versions = catalog.versions(&owner, &sst).await.unwrap();
    assert_eq!(versions[0].notes, "registered; ingested table a; ingested table b");
    assert_eq!(versions[1].notes, "ingested table a, c");
    let pins = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, pin)| (name.to_owned(), pin.to_owned())).collect()
    };
    assert_eq!(versions[0].tables, pins(&[("a", "delta@0"), ("b", "delta@3")]));
    assert_eq!(versions[1].tables, pins(&[("a", "delta@1"), ("b", "delta@3"), ("c", "delta@0")]));

    // A new record keeps the tables.
    let retitled = Record { title: "Another title".to_owned(), ..record("sst") };
    let third = catalog.register(&owner, retitled, data()).await.unwrap();
    assert_eq!(third.dataset.version, 3);
    assert_eq!(third.dataset.tables, newest.tables);
}

#[tokio::test]
async fn a_file_in_place_that_was_only_touched_is_pinned_anew_in_the_same_version() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, sst) = with_dataset(folder.path()).await;
    let owner = Principal::Owner;
    catalog.put_tables(&owner, &sst, vec![in_place("a", "1", "ab")]).await.unwrap();
    let hash = catalog.versions(&owner, &sst).await.unwrap()[0].content_hash.clone();
    assert_eq!(catalog.put_tables(&owner, &sst, vec![in_place("a", "2", "ab")]).await.unwrap(), 1);
    let versions = catalog.versions(&owner, &sst).await.unwrap();
    assert_eq!(versions[0].content_hash, hash);
    assert_eq!(versions[0].notes, "registered; ingested table a");
    assert_eq!(versions[0].tables["a"], "in place, 1 file");
    let (_, table) = catalog.table(&owner, &named("sst"), &"a".parse().unwrap()).await.unwrap();
    assert_eq!(table, in_place("a", "2", "ab"));
    // Other bytes are another version.
    assert_eq!(catalog.put_tables(&owner, &sst, vec![in_place("a", "2", "cd")]).await.unwrap(), 2);
}

#[tokio::test]
async fn tables_need_a_dataset_and_names_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, sst) = with_dataset(folder.path()).await;
    let owner = Principal::Owner;
    let error = catalog
        .put_tables(&owner, &"no_such".parse().unwrap(), vec![delta("a", 0)])
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    let twice = vec![delta("a", 0), delta("a", 1)];
    let error = catalog.put_tables(&owner, &sst, twice).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert_eq!(catalog.put_tables(&owner, &sst, vec![]).await.unwrap(), 1);
    let error = catalog.table(&owner, &named("sst"), &"a".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tables_put_at_once_over_two_handles_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, sst) = with_dataset(folder.path()).await;
    let handles = [catalog.clone(), Catalog::open(folder.path()).await.unwrap()];
    let work: Vec<_> = (0..8)
        .map(|number| {
            let (catalog, sst) = (handles[number % 2].clone(), sst.clone());
            tokio::spawn(async move {
                let tables = vec![delta(&format!("t{number}"), 0)];
                catalog.put_tables(&Principal::Owner, &sst, tables).await.unwrap()
            })
        })
        .collect();
    for work in work {
        assert_eq!(work.await.unwrap(), 1);
    }
    let dataset = catalog.dataset(&Principal::Owner, &named("sst")).await.unwrap();
    assert_eq!(dataset.tables.len(), 8);
}
