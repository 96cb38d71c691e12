//! Receipts of streams, and the key that tickets are sealed with.

use super::policy::named_person;
use super::support::*;
use std::collections::BTreeMap;
use tarn_catalog::{NewReceipt, ReceiptSegment};
use tarn_schemas::code::{Coded, ErrorCode};

pub(super) fn receipt(id: &str, dataset: &str, version: u32, rows: u64) -> NewReceipt {
    let segment = ReceiptSegment {
        batch_size: 4,
        from: 0,
        hash: "ab".repeat(32),
        rank: 0,
        rows,
        to: rows,
        world_size: 1,
    };
    NewReceipt {
        batches: rows / 4,
        columns: Some(vec!["ünï".to_owned()]),
        complete: true,
        dataset: format!("ornl.{dataset}.t"),
        epoch: 1,
        filter: Some("x > '\"'".to_owned()),
        global_batch: 4,
        hash: "sum:00".to_owned(),
        id: id.to_owned(),
        next_position: rows,
        order: "fz1".to_owned(),
        plan_id: "cd".repeat(32),
        policies: vec!["tier".to_owned()],
        policy_digest: "blake3:ef".to_owned(),
        rows,
        seed: u64::MAX,
        segments: vec![segment],
        selected: rows,
        split: None,
        start: 0,
        versions: BTreeMap::from([(format!("ornl.{dataset}"), version)]),
    }
}

#[tokio::test]
async fn a_receipt_is_signed_kept_and_seen_by_whom_it_concerns() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, registered("a"), data()).await.unwrap();
    catalog.register(&owner, record("b"), data()).await.unwrap();
    let (ada, bob) = (person(Scope::Read), named_person("bob", Scope::Read));
    let first = catalog.keep_receipt(&ada, receipt("01", "a", 1, 8)).await.unwrap();
    assert!(first.is_signed());
    assert_eq!(first.key, catalog.receipt_key().unwrap());
    // What was changed is not signed.
    let mut forged = first.clone();
    forged.what.rows += 1;
    assert!(!forged.is_signed());
    let text = serde_json::to_string(&first).unwrap();
    let read: tarn_catalog::Receipt = serde_json::from_str(&text).unwrap();
    assert!(read == first && read.is_signed());

    let second = catalog.keep_receipt(&bob, receipt("02", "b", 1, 4)).await.unwrap();
    let ids = |who: Principal, affected: Option<&'static str>| {
        let catalog = catalog.clone();
        async move {
            let affected = affected.map(|name| name.parse::<DatasetRef>().unwrap());
            let (found, next) = catalog.receipts(&who, affected.as_ref(), None).await.unwrap();
            assert_eq!(next, None);
            found.into_iter().map(|receipt| receipt.what.id).collect::<Vec<_>>()
        }
    };
    assert_eq!(ids(owner.clone(), None).await, ["01", "02"]);
    assert_eq!(ids(named_person("root", Scope::Admin), None).await, ["01", "02"]);
    assert_eq!(ids(ada.clone(), None).await, ["01"]);
    assert_eq!(ids(bob.clone(), None).await, ["02"]);
    assert_eq!(ids(Principal::Anonymous, None).await, [] as [&str; 0]);
    assert_eq!(ids(owner.clone(), Some("a")).await, ["01"]);
    assert_eq!(ids(owner.clone(), Some("ornl.a@1")).await, ["01"]);
    assert_eq!(ids(owner.clone(), Some("a@2")).await, [] as [&str; 0]);
    // It is found after the dataset was withdrawn, and by another process.
    catalog.withdraw(&owner, &"a".parse().unwrap(), "wrong", None).await.unwrap();
    let again = Catalog::open(folder.path()).await.unwrap();
    let found = again.receipts(&owner, Some(&"a".parse().unwrap()), None).await.unwrap().0;
    assert_eq!(found, vec![first.clone()]);
    assert_eq!(again.receipt(&ada, "01").await.unwrap(), Some(first));
    assert_eq!(again.receipt(&bob, "01").await.unwrap(), None);
    assert_eq!(again.receipt(&bob, "02").await.unwrap(), Some(second));
    let elsewhere: DatasetRef = "anl.a".parse().unwrap();
    let refused = again.receipts(&owner, Some(&elsewhere), None).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn a_receipt_that_goes_on_takes_the_place_of_its_beginning_and_nothing_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
    let (ada, bob) = (person(Scope::Read), named_person("bob", Scope::Read));
    catalog.keep_receipt(&ada, receipt("01", "a", 1, 8)).await.unwrap();
    let more = catalog.keep_receipt(&ada, receipt("01", "a", 1, 12)).await.unwrap();
    catalog.keep_receipt(&ada, receipt("01", "a", 1, 4)).await.unwrap();
    catalog.keep_receipt(&bob, receipt("01", "a", 1, 16)).await.unwrap();
    assert_eq!(catalog.receipt(&ada, "01").await.unwrap(), Some(more.clone()));
    let (all, _) = catalog.receipts(&Principal::Owner, None, None).await.unwrap();
    assert_eq!(all, vec![more]);
}

#[tokio::test]
async fn receipts_come_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
    let ada = person(Scope::Read);
    for number in 0..130 {
        catalog.keep_receipt(&ada, receipt(&format!("{number:03}"), "a", 1, 4)).await.unwrap();
    }
    let (first, next) = catalog.receipts(&ada, None, None).await.unwrap();
    let (second, end) = catalog.receipts(&ada, None, next.as_deref()).await.unwrap();
    assert_eq!((first.len(), second.len(), end), (100, 30, None));
    let ids: Vec<_> = first.iter().chain(&second).map(|receipt| receipt.what.id.clone()).collect();
    assert_eq!(ids, (0..130).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn all_nodes_of_a_catalog_seal_with_one_key_until_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let other = Catalog::open(folder.path()).await.unwrap();
    let (one, same) = tokio::join!(catalog.seal_key(), other.seal_key());
    let key = one.unwrap();
    assert_eq!(key, same.unwrap());
    let refused = catalog.replace_seal_key(&person(Scope::Write)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    assert_eq!(other.seal_key().await.unwrap(), key);
    catalog.replace_seal_key(&Principal::Owner).await.unwrap();
    assert_ne!(other.seal_key().await.unwrap(), key);
}
