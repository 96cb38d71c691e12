//! Requests for access, grants, withdrawal.

use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::{Action, IntendedUse, PersonAttributes, RequestState, SearchRequest};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::{Exposure, Provenance};

pub(super) fn controlled(name: &str, exposure: Exposure) -> Record {
    let mut record = super::policy::tiered(name, Tier::Restricted, exposure);
    if let Some(agreement) = &mut record.agreement {
        agreement.committee = "dac".to_owned();
        agreement.months = 6;
    }
    record
}

fn ask() -> IntendedUse {
    IntendedUse {
        purpose: "research".to_owned(),
        justification: "mortality by region".to_owned(),
        agreement: "cd".repeat(32),
        ..IntendedUse::default()
    }
}

async fn lab(folder: &Path) -> (Catalog, Principal, Principal) {
    let catalog = catalog(folder).await;
    let dac = PersonAttributes {
        groups: BTreeSet::from(["dac".to_owned()]),
        ..PersonAttributes::default()
    };
    catalog.put_person(&Principal::Owner, "person:dan", &dac).await.unwrap();
    let dan = Principal::person("dan", Scope::Read);
    (catalog, person(Scope::Read), dan)
}

#[tokio::test]
async fn a_request_becomes_a_grant_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, dan) = lab(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, controlled("a", Exposure::Redacted), data()).await.unwrap();
    let reads = async |who: &Principal| {
        let dataset = catalog.dataset(&owner, &named("a")).await.unwrap();
        catalog.decide(who, Action::Read, &dataset).await.unwrap().allowed
    };
    let request = catalog.request_access(&ada, None, &named("a"), &ask()).await.unwrap();
    assert_eq!((request.subject.as_str(), request.state), ("person:ada", RequestState::Open));
    let twice = catalog.request_access(&ada, None, &named("a"), &ask()).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::Conflict);
    assert!(!reads(&ada).await);
    // Who decides: the committee, not the person, not others; months are those of the agreement at most.
    for who in [&ada, &person(Scope::Admin), &Principal::Anonymous] {
        assert!(catalog.approve_access(who, &request.id, None).await.is_err());
    }
    for months in [0, 7] {
        let error = catalog.approve_access(&dan, &request.id, Some(months)).await.unwrap_err();
        assert!(error.to_string().contains("1 to 6 months"), "{error}");
    }
    let grant = catalog.approve_access(&dan, &request.id, None).await.unwrap();
    let ends = chrono::DateTime::parse_from_rfc3339(&grant.expires_at).unwrap().to_utc();
    let latest = chrono::Utc::now() + chrono::Months::new(6);
    assert!(ends <= latest && ends > latest - chrono::Days::new(1), "{ends}");
    assert!(reads(&ada).await && !reads(&dan).await);
    assert!(catalog.deny_access(&dan, &request.id, "late").await.is_err());
    let of_ada = catalog.access_requests(&ada).await.unwrap();
    assert_eq!(of_ada[0].grant.as_deref(), Some(grant.id.as_str()));
    assert_eq!(catalog.access_requests(&person(Scope::Admin)).await.unwrap().len(), 1);
    let bob = Principal::person("bob", Scope::Admin);
    assert!(catalog.access_requests(&bob).await.unwrap().is_empty());
    // Renewing is asking again, and the newest decision is the only one.
    let again = catalog.request_access(&ada, None, &named("a"), &ask()).await.unwrap();
    let second = catalog.approve_access(&Principal::Owner, &again.id, None).await.unwrap();
    assert!(catalog.revoke_access(&bob, &second.id).await.is_err());
    assert!(reads(&ada).await);
    catalog.revoke_access(&dan, &second.id).await.unwrap();
    assert!(!reads(&ada).await, "no older grant goes on");
    for ended in [&grant.id, &second.id] {
        let error = catalog.revoke_access(&dan, ended).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Conflict);
    }
    assert_eq!(catalog.grants(&"a".parse().unwrap()).await.unwrap().len(), 2);
    // The clock ends it as well.
    let third = catalog.request_access(&ada, None, &named("a"), &ask()).await.unwrap();
    catalog.approve_access(&dan, &third.id, None).await.unwrap();
    assert!(reads(&ada).await);
    super::tamper(
        folder.path(),
        &["UPDATE access_grant SET expires_at = '2020-01-01T00:00:00.000000Z'"],
    )
    .await;
    assert!(!reads(&ada).await);
}

#[tokio::test]
async fn nobody_decides_about_their_own_request_and_a_changed_agreement_needs_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, dan) = lab(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, controlled("a", Exposure::Redacted), data()).await.unwrap();
    let own = catalog.request_access(&dan, None, &named("a"), &ask()).await.unwrap();
    let error = catalog.approve_access(&dan, &own.id, None).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    let request = catalog.request_access(&ada, None, &named("a"), &ask()).await.unwrap();
    let mut changed = controlled("a", Exposure::Redacted);
    changed.agreement.as_mut().unwrap().sha256 = "ef".repeat(32);
    catalog.register(&owner, changed, data()).await.unwrap();
    let error = catalog.approve_access(&dan, &request.id, None).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    catalog.deny_access(&dan, &request.id, "the agreement changed").await.unwrap();
    let denied = &catalog.access_requests(&ada).await.unwrap()[0];
    assert_eq!(denied.state, RequestState::Denied);
    assert_eq!(denied.reason.as_deref(), Some("the agreement changed"));
}

#[tokio::test]
async fn what_may_not_be_known_of_takes_requests_only_where_existence_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, _) = lab(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, controlled("known", Exposure::Existence), data()).await.unwrap();
    catalog.register(&owner, controlled("hidden", Exposure::None), data()).await.unwrap();
    catalog.register(&owner, record("open"), data()).await.unwrap();
    let told = async |who: &Principal, name: &str| {
        let asked = catalog.request_access(who, None, &named(name), &ask()).await;
        asked.map_err(|error| error.to_string().replace(name, "…"))
    };
    assert!(told(&ada, "known").await.is_ok());
    let absent = told(&ada, "absent").await.unwrap_err();
    assert_eq!(told(&ada, "hidden").await.unwrap_err(), absent);
    for name in ["known", "hidden", "absent"] {
        assert_eq!(told(&Principal::Anonymous, name).await.unwrap_err(), absent, "{name}");
    }
    assert!(told(&ada, "open").await.unwrap_err().contains("takes no requests"));
    // Nobody asks in another's name but the owner.
    let error = catalog.request_access(&ada, Some("person:bob"), &named("known"), &ask()).await;
    assert_eq!(error.unwrap_err().code(), ErrorCode::PermissionDenied);
    catalog.request_access(&owner, Some("person:bob"), &named("hidden"), &ask()).await.unwrap();
}

#[tokio::test]
async fn withdrawn_data_are_for_nobody_and_what_was_made_from_them_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let owner = Principal::Owner;
    catalog.register(&owner, record("a"), data()).await.unwrap();
    for (name, input) in [("b", "a"), ("c", "a"), ("d", "b")] {
        let made = Record {
            provenance: Some(Provenance {
                derived_from: vec![input.to_owned()],
                activity: Some("averaged".to_owned()),
                ..Provenance::default()
            }),
            ..record(name)
        };
        catalog.register(&owner, made, data()).await.unwrap();
    }
    let a = "a".parse().unwrap();
    assert!(catalog.withdraw(&person(Scope::Read), &a, "wrong", None).await.is_err());
    assert!(catalog.withdraw(&owner, &a, " ", None).await.is_err());
    let made = catalog.withdraw(&person(Scope::Write), &a, "wrong", Some("b")).await.unwrap();
    assert_eq!(
        made.iter().map(tarn_schemas::DatasetName::as_str).collect::<Vec<_>>(),
        ["b", "c", "d"]
    );
    let again = catalog.withdraw(&owner, &a, "wrong", None).await.unwrap_err();
    assert_eq!(again.code(), ErrorCode::Conflict);
    let tombstone = catalog.dataset(&Principal::Anonymous, &named("a")).await.unwrap();
    assert_eq!(tombstone.withdrawn.as_ref().unwrap().reason, "wrong");
    for who in [Principal::Anonymous, person(Scope::Admin), owner] {
        for name in ["a", "a@1"] {
            let dataset = catalog.dataset(&who, &named(name)).await.unwrap();
            let decision = catalog.decide(&who, Action::Read, &dataset).await.unwrap();
            assert!(decision.refusal().unwrap().contains("use b"), "{decision:?}");
        }
    }
    let found = catalog.search(&Principal::Owner, &SearchRequest::default()).await.unwrap();
    assert_eq!(found.total, 3);
}

#[tokio::test]
async fn a_person_tightens_and_only_the_owner_relaxes() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let writer = person(Scope::Write);
    catalog.register(&writer, record("a"), data()).await.unwrap();
    catalog.register(&writer, registered("a"), data()).await.unwrap();
    let error = catalog.register(&writer, record("a"), data()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(error.to_string().contains("two people"), "{error}");
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
}

#[tokio::test]
async fn a_use_is_within_what_the_data_may_be_used_for_and_a_grant_is_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, dan) = lab(folder.path()).await;
    let mut limited = controlled("a", Exposure::Redacted);
    limited.data_use = serde_json::from_value(serde_json::json!({
        "permission": "GRU",
        "modifiers": [{"code": "TS", "months": 2}, {"code": "MOR", "until": "2030-01-01"}],
    }))
    .unwrap();
    catalog.register(&Principal::Owner, limited, data()).await.unwrap();
    let mut wish = IntendedUse { data_use: Some("HMB".to_owned()), ..ask() };
    let error = catalog.request_access(&ada, None, &named("a"), &wish).await.unwrap_err();
    assert!(error.to_string().contains("MOR until 2030-01-01"), "{error}");
    wish.accepts.insert("MOR".to_owned());
    let request = catalog.request_access(&ada, None, &named("a"), &wish).await.unwrap();
    assert!(catalog.approve_access(&dan, &request.id, Some(3)).await.is_err());
    let grant = catalog.approve_access(&dan, &request.id, None).await.unwrap();
    let ends = chrono::DateTime::parse_from_rfc3339(&grant.expires_at).unwrap().to_utc();
    assert!(ends <= chrono::Utc::now() + chrono::Months::new(2), "{ends}");
}
