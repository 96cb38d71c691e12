//! Records on their way, and who may look at them.

use super::support::*;
use tarn_catalog::audit::{Act, AuditFilter};
use tarn_catalog::{CatalogError, Draft, DraftState, PersonAttributes, Submission};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::Exposure;
use tarn_schemas::{DatasetName, FileFacts};

fn name(text: &str) -> DatasetName {
    DatasetName::new(text).unwrap()
}

fn writer(name: &str) -> Principal {
    Principal::person(name, Scope::Write)
}

/// A lab in which ada and bob may write.
async fn lab(folder: &Path) -> (Catalog, Principal, Principal) {
    let catalog = catalog(folder).await;
    for who in ["ada", "bob"] {
        catalog.create_token(&Principal::Owner, who, Scope::Write, 7).await.unwrap();
    }
    (catalog, writer("ada"), writer("bob"))
}

async fn submit(
    catalog: &Catalog,
    who: &Principal,
    name: &DatasetName,
    files: Vec<FileFacts>,
) -> Result<Submission, CatalogError> {
    let draft = catalog.draft(who, name).await?;
    catalog.submit_draft(who, &draft, files).await
}

/// Approves revision so and so of the record of `a`.
async fn approve(
    catalog: &Catalog,
    who: &Principal,
    revision: u64,
) -> Result<tarn_catalog::Registered, CatalogError> {
    let draft = Draft { revision, ..catalog.draft(&Principal::Owner, &name("a")).await? };
    catalog.approve_draft(who, &draft, data()).await
}

async fn waiting(catalog: &Catalog, who: &Principal, record: Record) -> Draft {
    let dataset = record.name.clone();
    Box::pin(catalog.save_draft(who, record, None)).await.unwrap();
    match Box::pin(submit(catalog, who, &dataset, data())).await.unwrap() {
        Submission::Waiting(draft) => *draft,
        Submission::Registered(done) => panic!("{done:?}"),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, CatalogError>) -> ErrorCode {
    result.unwrap_err().code()
}

#[tokio::test]
async fn a_draft_may_be_incomplete_and_is_its_authors_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, bob) = lab(folder.path()).await;
    let draft = catalog.save_draft(&ada, Record::new(name("a")), Some(0)).await.unwrap();
    assert_eq!((draft.state, draft.revision), (DraftState::Draft, 1));
    for who in [&bob, &Principal::Owner, &person(Scope::Read), &Principal::Anonymous] {
        // A reader's token in the same name is the same person, and the owner sees all there is.
        let own = *who == person(Scope::Read) || *who == Principal::Owner;
        assert_eq!(catalog.draft(who, &name("a")).await.is_ok(), own, "{who:?}");
        assert_eq!(catalog.drafts(who).await.unwrap().len(), usize::from(own));
    }
    // Another one under its name is told no more than that; without scope write nobody drafts.
    assert_eq!(code(catalog.save_draft(&bob, record("a"), None).await), ErrorCode::Conflict);
    for who in [person(Scope::Read), Principal::Anonymous] {
        assert_eq!(
            code(catalog.save_draft(&who, record("b"), None).await),
            ErrorCode::PermissionDenied
        );
    }
    // Every rule at once, and the draft stays.
    let error = submit(&catalog, &ada, &name("a"), data()).await.unwrap_err();
    assert!(matches!(&error, CatalogError::Invalid { violations, .. } if violations.len() > 2));
    assert_eq!(catalog.draft(&ada, &name("a")).await.unwrap(), draft);
    assert!(catalog.delete_draft(&bob, &name("a")).await.is_err());
    // A name is not taken for ever: the owner can give it back.
    catalog.save_draft(&bob, record("b"), None).await.unwrap();
    catalog.delete_draft(&Principal::Owner, &name("b")).await.unwrap();
    catalog.save_draft(&ada, record("b"), None).await.unwrap();
    catalog.delete_draft(&ada, &name("b")).await.unwrap();
    catalog.delete_draft(&ada, &name("a")).await.unwrap();
    assert_eq!(code(catalog.draft(&ada, &name("a")).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn of_two_who_edit_one_draft_the_second_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, _) = lab(folder.path()).await;
    catalog.save_draft(&ada, record("a"), Some(0)).await.unwrap();
    catalog.save_draft(&ada, record("a"), Some(1)).await.unwrap();
    for late in [0, 1, 3] {
        assert_eq!(
            code(catalog.save_draft(&ada, Record::new(name("a")), Some(late)).await),
            ErrorCode::Conflict
        );
    }
    assert_eq!(catalog.draft(&ada, &name("a")).await.unwrap().record, record("a"));
}

#[tokio::test]
async fn what_is_for_everyone_is_registered_by_its_author() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, _) = lab(folder.path()).await;
    catalog.save_draft(&ada, record("a"), None).await.unwrap();
    let submitted = submit(&catalog, &ada, &name("a"), data()).await.unwrap();
    assert!(matches!(submitted, Submission::Registered(done) if done.created));
    assert!(catalog.drafts(&ada).await.unwrap().is_empty());
    let versions = catalog.versions(&Principal::Anonymous, &name("a")).await.unwrap();
    assert_eq!(versions[0].created_by, "ada");
}

#[tokio::test]
async fn anything_else_waits_for_a_second_person() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, bob) = lab(folder.path()).await;
    let draft = waiting(&catalog, &ada, registered("a")).await;
    assert_eq!((draft.state, draft.revision), (DraftState::Submitted, 2));
    assert!(catalog.dataset(&Principal::Owner, &named("a")).await.is_err());
    // Not by the author, not by a reader, not another revision than was looked at.
    assert_eq!(code(approve(&catalog, &ada, 2).await), ErrorCode::PermissionDenied);
    let reader = Principal::person("eve", Scope::Read);
    assert_eq!(code(approve(&catalog, &reader, 2).await), ErrorCode::NotFound);
    assert_eq!(code(approve(&catalog, &bob, 1).await), ErrorCode::Conflict);
    let back = catalog.return_draft(&bob, &draft, "which terms?").await.unwrap();
    assert_eq!((back.state, back.note.as_deref()), (DraftState::Draft, Some("which terms?")));
    assert_eq!(code(catalog.draft(&bob, &name("a")).await), ErrorCode::NotFound);
    let draft = waiting(&catalog, &ada, registered("a")).await;
    let done = approve(&catalog, &bob, draft.revision).await.unwrap();
    assert!(done.created);
    let versions = catalog.versions(&Principal::Owner, &name("a")).await.unwrap();
    assert_eq!(versions[0].created_by, "ada");
    assert!(catalog.drafts(&Principal::Owner).await.unwrap().is_empty());
    let all = catalog.audit(&Principal::Owner, &AuditFilter::default()).await.unwrap();
    let acts: Vec<_> = all.iter().map(|entry| entry.act).collect();
    assert_eq!(acts[acts.len() - 4..], [Act::Submit, Act::Return, Act::Submit, Act::Register]);
    assert_eq!(all.last().unwrap().details["reviewer"], "person:bob");
}

/// Opening a dataset further takes two people: the second may be the reviewer.
#[tokio::test]
async fn what_closes_a_dataset_does_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, bob) = lab(folder.path()).await;
    let a = name("a");
    let closed = super::access::controlled("a", Exposure::Redacted);
    let open = Record { provenance: closed.provenance.clone(), ..record("a") };
    catalog.register(&Principal::Owner, open, data()).await.unwrap();
    let tier = async || catalog.dataset(&Principal::Owner, &named("a")).await.unwrap().tier;
    // A text that changes beside it does not hold it back.
    let closed = Record { title: "Another title of the same data".to_owned(), ..closed };
    Box::pin(catalog.save_draft(&ada, closed.clone(), None)).await.unwrap();
    let done = Box::pin(submit(&catalog, &ada, &a, data())).await.unwrap();
    assert!(matches!(done, Submission::Registered(_)), "{done:?}");
    assert_eq!(tier().await, Tier::Restricted);
    // Nobody makes themselves the committee of what is closed already.
    let mut taken = closed.clone();
    taken.exposure = Some(Exposure::None);
    taken.agreement.as_mut().unwrap().committee = "friends-of-bob".to_owned();
    let refused = Box::pin(catalog.save_draft(&bob, taken, None)).await;
    assert_eq!(code(refused), ErrorCode::PermissionDenied);
    assert_eq!(tier().await, Tier::Restricted);
}

#[tokio::test]
async fn a_record_that_opens_a_dataset_waits_too() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, bob) = lab(folder.path()).await;
    let draft = waiting(&catalog, &ada, registered("a")).await;
    approve(&catalog, &bob, draft.revision).await.unwrap();
    let draft = waiting(&catalog, &ada, record("a")).await;
    // Two who write do not open what is there between them.
    assert_eq!(code(catalog.draft(&bob, &name("a")).await), ErrorCode::NotFound);
    assert_eq!(code(approve(&catalog, &bob, draft.revision).await), ErrorCode::NotFound);
    let done = approve(&catalog, &Principal::Owner, draft.revision).await.unwrap();
    assert_eq!((done.dataset.version, done.dataset.tier), (2, Tier::Public));
}

/// Somebody who may write could else read through a dataset of their own what is held back from them.
#[tokio::test]
async fn files_that_others_hold_back_are_looked_at_by_somebody() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, bob) = lab(folder.path()).await;
    let until = (chrono::Utc::now() + chrono::Duration::days(30)).date_naive().to_string();
    let held = Record {
        embargo: Some(tarn_schemas::record::Embargo { until, reason: "review".to_owned() }),
        ..record("held")
    };
    let files = |hash: &str| {
        let media_type = "text/csv".to_owned();
        vec![FileFacts { variables: vec![], media_type, ..file("/data/x.csv", hash) }]
    };
    catalog.register(&Principal::Owner, held, files("ab")).await.unwrap();
    for (dataset, hash, alone) in [("mine", "ab", false), ("other", "cd", true)] {
        catalog.save_draft(&ada, record(dataset), None).await.unwrap();
        let done = submit(&catalog, &ada, &name(dataset), files(hash)).await.unwrap();
        assert_eq!(matches!(done, Submission::Registered(_)), alone, "{dataset}");
    }
    // Nor do two who write: the owner decides.
    let draft = catalog.draft(&bob, &name("mine")).await.unwrap();
    let refused = catalog.approve_draft(&bob, &draft, files("ab")).await;
    assert_eq!(code(refused), ErrorCode::PermissionDenied);
    // What is wrong with such a record says something of the files: its author does not hear it.
    catalog.save_draft(&ada, Record::new(name("blind")), None).await.unwrap();
    let done = submit(&catalog, &ada, &name("blind"), files("ab")).await.unwrap();
    assert!(matches!(done, Submission::Waiting(_)));
    let draft = catalog.draft(&Principal::Owner, &name("blind")).await.unwrap();
    let refused = catalog.approve_draft(&Principal::Owner, &draft, files("ab")).await;
    assert_eq!(code(refused), ErrorCode::InvalidData);
}

#[tokio::test]
async fn restricted_records_are_reviewed_by_their_committee_and_not_by_every_writer() {
    let folder = tempfile::tempdir().unwrap();
    let (catalog, ada, bob) = lab(folder.path()).await;
    let dan = Principal::person("dan", Scope::Read);
    let dac = PersonAttributes {
        groups: std::collections::BTreeSet::from(["dac".to_owned()]),
        ..PersonAttributes::default()
    };
    catalog.put_person(&Principal::Owner, "person:dan", &dac).await.unwrap();
    let draft = waiting(
        &catalog,
        &ada,
        super::access::controlled("a", tarn_schemas::record::Exposure::None),
    )
    .await;
    assert_eq!(code(catalog.draft(&bob, &name("a")).await), ErrorCode::NotFound);
    assert!(catalog.drafts(&bob).await.unwrap().is_empty());
    // Whose author may not write any more.
    catalog.revoke_token(&Principal::Owner, "ada").await.unwrap();
    assert_eq!(code(approve(&catalog, &dan, draft.revision).await), ErrorCode::Conflict);
    catalog.create_token(&Principal::Owner, "ada", Scope::Write, 7).await.unwrap();
    approve(&catalog, &dan, draft.revision).await.unwrap();
    let dataset = catalog.dataset(&ada, &named("a")).await.unwrap();
    assert_eq!(dataset.tier, Tier::Restricted);
    assert!(catalog.dataset(&bob, &named("a")).await.is_err());
}
