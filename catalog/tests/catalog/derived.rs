//! Tables that were made by queries, and what of their inputs holds for them.

use super::policy::{grant, named_person, put, tiered};
use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::{Action, Making, Obligation, PinnedTable};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::Exposure;

fn making(datasets: &[&str], owed: &[&str]) -> Making {
    let owed: BTreeSet<Obligation> = owed.iter().map(|text| text.parse().unwrap()).collect();
    let pin = |dataset: &&str| {
        let at = (dataset.parse().unwrap(), 1);
        PinnedTable::new(format!("{dataset}.t"), at, "t".parse().unwrap(), &owed)
    };
    let tables = datasets.iter().map(pin).collect();
    Making { sql: "SELECT 'ü'".to_owned(), tables, engine: "an engine".to_owned() }
}

async fn may_read(catalog: &Catalog, who: &Principal, dataset: &str) -> bool {
    let found = match catalog.dataset(who, &named(dataset)).await {
        Ok(found) => found,
        Err(error) => {
            assert_eq!(error.code(), ErrorCode::NotFound);
            return false;
        }
    };
    catalog.decide(who, Action::Read, &found).await.unwrap().allowed
}

#[tokio::test]
async fn what_was_made_is_for_those_who_may_read_every_input() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let (ann, bob, cat) = (
        named_person("ann", Scope::Write),
        named_person("bob", Scope::Admin),
        named_person("cat", Scope::Read),
    );
    for name in ["open", "made"] {
        catalog.register(&owner, record(name), data()).await.unwrap();
    }
    let again = tiered("again", Tier::Controlled, Exposure::Redacted);
    put(folder.path(), &catalog, &owner, again).await;
    let everyone = tiered("everyone", Tier::Public, Exposure::Full);
    put(folder.path(), &catalog, &owner, everyone).await;
    for name in ["closed", "other"] {
        let closed = tiered(name, Tier::Controlled, Exposure::Full);
        put(folder.path(), &catalog, &owner, closed).await;
    }
    grant(&catalog, "closed", "person:ann", 1).await;
    grant(&catalog, "closed", "person:cat", 1).await;
    grant(&catalog, "made", "person:bob", 1).await;
    grant(&catalog, "made", "person:ann", 1).await;
    let put_table = async |who: &Principal, dataset: &str, table: &str, making: Making| {
        catalog.put_derived_table(who, &dataset.parse().unwrap(), delta(table, 0), making).await
    };
    // Who may not read an input, or not write, makes nothing.
    let refused = put_table(&bob, "made", "t", making(&["open", "closed"], &[])).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    let refused = put_table(&cat, "made", "t", making(&["closed"], &[])).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    let gone = put_table(&ann, "made", "t", making(&["none"], &[])).await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::NotFound);
    // Who saw less than is seen now has to ask again.
    let less = put_table(&ann, "made", "t", making(&["closed"], &["rows: x > 1"])).await;
    assert_eq!(less.unwrap_err().code(), ErrorCode::Conflict);
    assert_eq!(catalog.dataset(&owner, &named("made")).await.unwrap().version, 1);
    let version = put_table(&ann, "made", "t", making(&["open", "closed"], &[])).await.unwrap();
    assert_eq!(version, 2);
    let made = catalog.dataset(&owner, &named("made")).await.unwrap();
    assert_eq!(made.tier, Tier::Controlled);
    assert_eq!(made.record.provenance.unwrap().derived_from, ["ornl.open@1", "ornl.closed@1"]);
    let twice = put_table(&owner, "made", "t", making(&["open"], &[])).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::Conflict);
    let ingested = catalog.put_tables(&owner, &"made".parse().unwrap(), vec![delta("t", 1)]).await;
    assert_eq!(ingested.unwrap_err().code(), ErrorCode::Conflict);
    // A grant for what was made is none for what it was made of, and the other way round.
    assert!(may_read(&catalog, &ann, "made").await);
    assert!(may_read(&catalog, &owner, "made").await);
    for who in [&bob, &cat, &Principal::Anonymous] {
        assert!(!may_read(&catalog, who, "made").await, "{who:?}");
        // The version before is held by what holds the newest.
        assert!(!may_read(&catalog, who, "made@1").await, "{who:?}");
    }
    // Also through a second dataset, and after its record was registered anew.
    let mut second = making(&["made"], &[]);
    let at = ("made".parse().unwrap(), 2);
    second.tables =
        vec![PinnedTable::new("made.t".to_owned(), at, "t".parse().unwrap(), &BTreeSet::new())];
    // Not where everyone would see its columns, and not in the dataset that it is made of.
    for (dataset, making) in
        [("everyone", second.clone()), ("made", second.clone()), ("open", making(&["made"], &[]))]
    {
        let refused = put_table(&owner, dataset, "x", making).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::PermissionDenied, "{dataset}");
    }
    put_table(&owner, "again", "t", second).await.unwrap();
    grant(&catalog, "again", "person:bob", 1).await;
    grant(&catalog, "again", "person:ann", 1).await;
    let retitled = Record { title: "Another title".to_owned(), ..record("again") };
    catalog.register(&owner, retitled, data()).await.unwrap();
    assert_eq!(catalog.dataset(&owner, &named("again")).await.unwrap().tier, Tier::Controlled);
    assert!(may_read(&catalog, &ann, "again").await);
    assert!(!may_read(&catalog, &bob, "again").await);
    // What ends for the input ends for what was made of it.
    catalog.withdraw(&owner, &"closed".parse().unwrap(), "consent ended", None).await.unwrap();
    for name in ["made", "again"] {
        assert!(!may_read(&catalog, &ann, name).await && !may_read(&catalog, &owner, name).await);
    }
}

#[tokio::test]
async fn of_what_only_aggregates_may_leave_no_table_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, record("made"), data()).await.unwrap();
    let census = tiered("census", Tier::AggregatesOnly, Exposure::Full);
    put(folder.path(), &catalog, &owner, census).await;
    let name = "made".parse().unwrap();
    let refused =
        catalog.put_derived_table(&owner, &name, delta("t", 0), making(&["census"], &[])).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    assert!(refused.to_string().contains("only aggregates"), "{refused}");
}
