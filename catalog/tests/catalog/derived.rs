//! Tables that were made by queries, and what of their inputs holds for them.

use super::policy::{grant, named_person, put, tiered};
use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::{Action, CatalogError, Making, Obligation, PinnedTable, SearchRequest};
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

/// Makes a table of the table `t` of a dataset, as if a query had.
pub(crate) async fn put_made(
    catalog: &Catalog,
    who: &Principal,
    to: &str,
    table: &str,
    from: &str,
) -> Result<u32, CatalogError> {
    put_making(catalog, who, to, table, making(&[from], &[])).await
}

async fn put_making(
    catalog: &Catalog,
    who: &Principal,
    to: &str,
    table: &str,
    making: Making,
) -> Result<u32, CatalogError> {
    let folder = format!("file:///store/{to}/{table}-{}", uuid::Uuid::now_v7());
    catalog.begin_table(&folder).await?;
    let made = (delta(table, 0), &*folder);
    Box::pin(catalog.put_derived_table(who, &to.parse().unwrap(), made, making)).await
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
    catalog.register(&owner, record("open"), data()).await.unwrap();
    catalog.register(&ann, record("made"), data()).await.unwrap();
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
        put_making(&catalog, who, dataset, table, making).await
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
    // Not where everyone would see its columns, and not in a dataset that it is made of.
    for (dataset, making) in [
        ("everyone", making(&["again"], &[])),
        ("made", second.clone()),
        ("open", making(&["made"], &[])),
    ] {
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
    let refused = put_made(&catalog, &owner, "made", "t", "census").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    assert!(refused.to_string().contains("only aggregates"), "{refused}");
}

#[tokio::test]
async fn tables_are_made_and_taken_away_in_ones_own_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    let (ann, wes, adm) = (
        named_person("ann", Scope::Write),
        named_person("wes", Scope::Write),
        named_person("adm", Scope::Admin),
    );
    catalog.register(&owner, record("open"), data()).await.unwrap();
    let closed = tiered("closed", Tier::Controlled, Exposure::Full);
    put(folder.path(), &catalog, &owner, closed).await;
    put(folder.path(), &catalog, &owner, tiered("hidden", Tier::Restricted, Exposure::None)).await;
    grant(&catalog, "closed", "person:wes", 1).await;
    let mut own = record("made");
    let origin = serde_json::json!({ "derived_from": ["ornl.open@1"] });
    own.provenance = Some(serde_json::from_value(origin).unwrap());
    // Whatever tier it takes over, everyone knows that it is there.
    own.exposure = Some(Exposure::Full);
    catalog.register(&ann, own, data()).await.unwrap();
    // Another's is not to be closed by whoever may write, and hidden ones are not there.
    let refused = put_made(&catalog, &wes, "made", "t", "closed").await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::PermissionDenied);
    assert!(refused.to_string().contains("registered by somebody else"), "{refused}");
    let hidden = put_made(&catalog, &wes, "hidden", "t", "open").await.unwrap_err();
    assert_eq!(hidden.to_string().replace("hidden", "none"), {
        put_made(&catalog, &wes, "none", "t", "open").await.unwrap_err().to_string()
    });
    let made = "made".parse().unwrap();
    assert_eq!(put_made(&catalog, &ann, "made", "a", "open").await.unwrap(), 2);
    assert_eq!(put_made(&catalog, &owner, "made", "b", "closed").await.unwrap(), 3);
    for who in [&Principal::Anonymous, &ann, &adm] {
        for version in ["made", "made@1", "made@2", "made@3"] {
            assert!(!may_read(&catalog, who, version).await, "{version}");
        }
    }
    // Only those who may make one take it away, only such tables, and without a word of what is hidden.
    for (who, name) in [(&wes, "b"), (&named_person("ann", Scope::Read), "b")] {
        let refused = catalog.drop_derived_table(who, &made, &name.parse().unwrap()).await;
        assert_eq!(refused.unwrap_err().code(), ErrorCode::PermissionDenied);
    }
    let hidden = "hidden".parse().unwrap();
    let refused = catalog.drop_derived_table(&wes, &hidden, &"t".parse().unwrap()).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::NotFound);
    let missing = catalog.drop_derived_table(&ann, &made, &"none".parse().unwrap()).await;
    assert_eq!(missing.unwrap_err().code(), ErrorCode::NotFound);
    let ingested = catalog.put_tables(&ann, &made, vec![delta("data", 0)]).await.unwrap();
    let kept = catalog.drop_derived_table(&ann, &made, &"data".parse().unwrap()).await;
    assert_eq!(kept.unwrap_err().code(), ErrorCode::Conflict);
    // Who may not read the input takes it away all the same: it is their dataset.
    let version = catalog.drop_derived_table(&ann, &made, &"b".parse().unwrap()).await.unwrap();
    assert_eq!(version, ingested + 1);
    let now = catalog.dataset(&owner, &named("made")).await.unwrap();
    let tables: Vec<&str> = now.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["a", "data"]);
    // What the steward wrote stays, what the table brought goes; what was taken over stays.
    assert_eq!(now.record.provenance.unwrap().derived_from, ["ornl.open@1"]);
    assert_eq!(now.tier, Tier::Controlled);
    let relaxed = catalog.register(&ann, record("made"), data()).await.unwrap_err();
    assert!(relaxed.to_string().contains("two people"), "{relaxed}");
    // The version with the table is under its rules still, those without are not.
    grant(&catalog, "made", "person:bob", 1).await;
    let bob = named_person("bob", Scope::Read);
    for (version, readable) in
        [("made", true), ("made@4", true), ("made@3", false), ("made@2", true)]
    {
        assert_eq!(may_read(&catalog, &bob, version).await, readable, "{version}");
    }
    assert!(may_read(&catalog, &owner, "made@3").await);
    // Records of its inputs are for everyone, so what was made is no secret: only its rows are.
    let versions = catalog.versions(&bob, &made).await.unwrap();
    assert!(versions.iter().any(|version| version.notes.contains("table b")), "{versions:?}");
    // What closes the input later does not close the dataset without the table.
    let reason = "consent ended";
    catalog.withdraw(&owner, &"closed".parse().unwrap(), reason, None).await.unwrap();
    assert!(may_read(&catalog, &bob, "made").await);
    assert!(!may_read(&catalog, &owner, "made@3").await);
    // The name is free again.
    put_made(&catalog, &ann, "made", "b", "open").await.unwrap();
    assert!(may_read(&catalog, &bob, "made").await);
}

#[tokio::test]
async fn no_table_is_made_of_a_folder_that_was_swept_and_none_is_swept_that_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    for name in ["open", "made"] {
        catalog.register(&owner, record(name), data()).await.unwrap();
    }
    let made = "made".parse().unwrap();
    catalog.begin_table("file:///store/made/t-1").await.unwrap();
    assert_eq!(catalog.abandoned_tables().await.unwrap(), Vec::<String>::new());
    assert!(catalog.abandon_table("file:///store/made/t-1").await.unwrap());
    assert_eq!(catalog.abandoned_tables().await.unwrap(), ["file:///store/made/t-1"]);
    let late = (delta("t", 0), "file:///store/made/t-1");
    let late =
        Box::pin(catalog.put_derived_table(&owner, &made, late, making(&["open"], &[]))).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::Conflict);
    catalog.forget_table("file:///store/made/t-1").await.unwrap();
    assert_eq!(catalog.abandoned_tables().await.unwrap(), Vec::<String>::new());
    catalog.begin_table("file:///store/made/t-2").await.unwrap();
    let whole = (delta("t", 0), "file:///store/made/t-2");
    Box::pin(catalog.put_derived_table(&owner, &made, whole, making(&["open"], &[])))
        .await
        .unwrap();
    // Whoever did not hear that it was made deletes nothing.
    assert!(!catalog.abandon_table("file:///store/made/t-2").await.unwrap());
}

/// What a person is told of a word, by search, facets, subjects, harvest, versions and listing.
async fn told_of(catalog: &Catalog, who: &Principal, word: &str) -> (u64, u64, bool, bool) {
    let asked = |text: &str| SearchRequest {
        text: text.to_owned(),
        facets: vec!["variable".to_owned()],
        ..SearchRequest::default()
    };
    let found = catalog.search(who, &asked(word)).await.unwrap();
    let all = catalog.search(who, &asked("")).await.unwrap();
    let counted = all.facets["variable"].iter().filter(|(value, _)| value == word);
    let said = serde_json::to_string(&all.hits).unwrap();
    let listed = serde_json::to_string(&catalog.datasets(who).await.unwrap()).unwrap();
    (found.total, counted.map(|(_, count)| count).sum(), said.contains(word), listed.contains(word))
}

#[tokio::test]
async fn what_closes_an_input_closes_what_was_made_of_it_at_every_door() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    for name in ["input", "made"] {
        catalog.register(&owner, record(name), data()).await.unwrap();
    }
    let dataset = "made".parse().unwrap();
    let column = serde_json::json!({"name": "unmistakable", "data_type": "Float64"});
    let table =
        TableEntry { columns: vec![serde_json::from_value(column).unwrap()], ..delta("t", 0) };
    let place = "file:///store/made/t-3";
    catalog.begin_table(place).await.unwrap();
    let making = making(&["input"], &[]);
    Box::pin(catalog.put_derived_table(&owner, &dataset, (table, place), making)).await.unwrap();
    let ark = catalog.dataset(&owner, &named("made")).await.unwrap().ark;
    let everyone = Principal::Anonymous;
    assert_eq!(told_of(&catalog, &everyone, "unmistakable").await, (1, 1, true, true));
    assert!(catalog.harvest_one(&ark).await.unwrap().unwrap().dataset.is_some());
    assert_eq!(catalog.versions(&everyone, &dataset).await.unwrap().len(), 2);
    drop(catalog);
    // A policy closes the input; nothing of what was made changes.
    std::fs::create_dir_all(folder.path().join("policies")).unwrap();
    let policy = r#"@id("closed") forbid (principal, action == Action::"discover", resource == Dataset::"ornl.input")
                    unless { principal.kind == "owner" };"#;
    std::fs::write(folder.path().join("policies/x.cedar"), policy).unwrap();
    let catalog = Catalog::open(folder.path()).await.unwrap();
    for who in [&everyone, &named_person("ann", Scope::Write)] {
        assert_eq!(told_of(&catalog, who, "unmistakable").await, (0, 0, false, false), "{who:?}");
        assert_eq!(told_of(&catalog, who, "input").await.0, 0);
        // Neither of the versions may be seen whole.
        assert!(catalog.versions(who, &dataset).await.unwrap().is_empty());
    }
    assert!(catalog.harvest_one(&ark).await.unwrap().unwrap().dataset.is_none());
    let (harvested, _) = catalog.harvest(None, (None, None), 100).await.unwrap();
    assert!(harvested.iter().all(|one| one.dataset.is_none()), "{harvested:?}");
    assert_eq!(told_of(&catalog, &owner, "unmistakable").await, (1, 1, true, true));
}
