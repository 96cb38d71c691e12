//! Queries that people keep under an ARK.

use super::policy::{grant, named_person, put, tiered};
use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::audit::AuditFilter;
use tarn_catalog::{KeptAnswer, NewQuery, Obligation, PinnedTable, Readers};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::Exposure;

pub(super) fn reads(dataset: &str, owed: &[&str]) -> PinnedTable {
    let owed: BTreeSet<Obligation> = owed.iter().map(|text| text.parse().unwrap()).collect();
    let at = (dataset.parse().unwrap(), 1);
    PinnedTable::new(format!("{dataset}.t"), at, "t".parse().unwrap(), &owed)
}

pub(super) fn query(name: &str, tables: Vec<PinnedTable>, readers: Readers) -> NewQuery {
    NewQuery {
        name: name.to_owned(),
        sql: "SELECT \"ünï\", $1 FROM a.t".to_owned(),
        parameters: vec![serde_json::json!("x'\"é"), serde_json::json!(null)],
        tables,
        engine: "an engine".to_owned(),
        answer: KeptAnswer { rows: 7, sha256: "ab".repeat(32) },
        readers,
    }
}

fn everyone() -> Readers {
    Readers { public: true, ..Readers::default() }
}

fn only(subject: &str) -> Readers {
    Readers { people: [subject.to_owned()].into(), public: false }
}

#[tokio::test]
async fn a_query_has_an_ark_and_is_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
    let (ada, bob) = (person(Scope::Read), named_person("bob", Scope::Admin));
    let asked = query("my query", vec![reads("a", &[])], Readers::default());
    let saved = catalog.save_query(&ada, asked.clone()).await.unwrap();
    assert!(saved.ark.starts_with("ark:/99999/") && saved.ark.ends_with(&saved.id), "{saved:?}");
    assert_eq!((&saved.sql, &saved.parameters), (&asked.sql, &asked.parameters));
    assert_eq!(saved.answer.as_ref(), Some(&asked.answer));
    for name in [&saved.id, &saved.ark, &saved.name, &saved.ark.replacen("ark:/", "ark:", 1)] {
        assert_eq!(catalog.saved_query(&ada, name).await.unwrap(), saved, "{name}");
    }
    assert_eq!(catalog.saved_queries(&ada, None).await.unwrap(), (vec![saved.clone()], None));
    // What is cited does not change.
    let taken = catalog.save_query(&ada, asked.clone()).await.unwrap_err();
    assert_eq!(taken.code(), ErrorCode::Conflict);
    // To others it does not exist, by whatever name; names are each person's own.
    for other in [bob.clone(), Principal::Owner, Principal::Anonymous] {
        assert_eq!(catalog.saved_queries(&other, None).await.unwrap(), (vec![], None));
        for name in [&saved.id, &saved.ark, &saved.name] {
            let known = catalog.saved_query(&other, name).await.unwrap_err();
            let unknown = catalog.saved_query(&other, "none").await.unwrap_err();
            assert_eq!(known.code(), ErrorCode::NotFound);
            assert_eq!(known.to_string().replace(name.as_str(), "none"), unknown.to_string());
            assert!(catalog.delete_query(&other, name).await.is_err());
        }
    }
    let other = catalog.save_query(&bob, asked.clone()).await.unwrap();
    assert_ne!(other.ark, saved.ark);
    for name in ["", " a", "a/b", "a\u{200b}"] {
        let wrong = NewQuery { name: name.to_owned(), ..asked.clone() };
        assert_eq!(
            catalog.save_query(&ada, wrong).await.unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
    }
    let error = catalog.save_query(&Principal::Anonymous, asked.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    catalog.delete_query(&ada, "my query").await.unwrap();
    assert_eq!(
        catalog.saved_query(&ada, &saved.ark).await.unwrap_err().code(),
        ErrorCode::NotFound
    );
    // Both acts are in the log, which holds.
    let log = catalog.audit(&Principal::Owner, &AuditFilter::default()).await.unwrap();
    let told: Vec<&str> = log.iter().map(|entry| entry.act.name()).collect();
    assert_eq!(told.iter().filter(|act| **act == "save-query").count(), 2);
    assert_eq!(told.last(), Some(&"delete-query"));
    let shared = query("shared", vec![reads("a", &[])], only("person:bob"));
    let shared = catalog.save_query(&ada, shared).await.unwrap();
    let seen = catalog.saved_query(&bob, &shared.id).await.unwrap();
    assert_eq!((seen.readers, seen.answer.is_some()), (None, true));
    let error = catalog.delete_query(&bob, &shared.id).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    assert!(catalog.saved_query(&Principal::Anonymous, &shared.id).await.is_err());
}

#[tokio::test]
async fn a_shared_query_tells_nothing_of_what_its_reader_may_not_know_of_or_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let (ada, bob) = (person(Scope::Read), named_person("bob", Scope::Read));
    for (name, exposure) in
        [("hidden", Exposure::None), ("shown", Exposure::Full), ("part", Exposure::Redacted)]
    {
        let closed = tiered(name, Tier::Restricted, exposure);
        put(folder.path(), &catalog, &Principal::Owner, closed).await;
        grant(&catalog, name, "person:ada", 1).await;
    }
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
    let mut saved = Vec::new();
    for name in ["a", "hidden", "shown", "part"] {
        let asked = query(name, vec![reads("a", &[]), reads(name, &[])], everyone());
        saved.push(catalog.save_query(&ada, asked).await.unwrap());
    }
    let seen = async |who: &Principal| {
        let (all, _) = catalog.saved_queries(who, None).await.unwrap();
        let told = all.into_iter().map(|query| (query.name, query.answer.is_some()));
        told.collect::<std::collections::BTreeMap<_, _>>()
    };
    let yes = |pairs: &[(&str, bool)]| {
        pairs.iter().map(|(name, told)| ((*name).to_owned(), *told)).collect()
    };
    // Whoever may not know of a table knows of no query over it; of what may be known of and not be read,
    // the answer is not told.
    for who in [&bob, &Principal::Anonymous] {
        assert_eq!(seen(who).await, yes(&[("a", true), ("shown", false)]));
        assert!(catalog.saved_query(who, &saved[1].ark).await.is_err());
        assert!(catalog.saved_query(who, &saved[3].ark).await.is_err());
    }
    assert_eq!(
        seen(&ada).await,
        yes(&[("a", true), ("hidden", true), ("shown", true), ("part", true)])
    );
    grant(&catalog, "shown", "person:bob", 1).await;
    assert_eq!(seen(&bob).await, yes(&[("a", true), ("shown", true)]));
    // What was saved by somebody who saw less is another answer.
    let less = query("less", vec![reads("a", &["rows: x > 1"])], everyone());
    let less = catalog.save_query(&ada, less).await.unwrap();
    assert_eq!(catalog.saved_query(&bob, &less.id).await.unwrap().answer, None);
    let pinned = reads("a", &["rows: x > 1", "mask: y"]);
    let owed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    assert!(pinned.is_seen_alike(&owed(&["mask: y", "rows: x > 1"])));
    for other in
        [&["rows: x > 1"][..], &["rows: x > 2", "mask: y"], &["rows: x > 1", "hash: y"], &[]]
    {
        assert!(!pinned.is_seen_alike(&owed(other)), "{other:?}");
    }
}

#[tokio::test]
async fn pages_of_queries_have_each_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
    let hidden = tiered("hidden", Tier::Restricted, Exposure::None);
    put(folder.path(), &catalog, &Principal::Owner, hidden).await;
    let mut shown = BTreeSet::new();
    for number in 0..250_u32 {
        let who = named_person(&format!("p{}", number % 3), Scope::Read);
        let dataset = if number % 2 == 0 { "a" } else { "hidden" };
        let asked = query(&format!("q{number}"), vec![reads(dataset, &[])], everyone());
        let saved = catalog.save_query(&who, asked).await.unwrap();
        if dataset == "a" {
            shown.insert(saved.id);
        }
    }
    let (mut found, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let (page, next) =
            catalog.saved_queries(&Principal::Anonymous, cursor.as_deref()).await.unwrap();
        found.extend(page.into_iter().map(|query| query.id));
        pages += 1;
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, shown.into_iter().collect::<Vec<_>>());
    assert_eq!(pages, 2);
    // Each person has room of their own.
    let ada = person(Scope::Read);
    for number in 0..200 {
        let asked = query(&format!("q{number}"), vec![], Readers::default());
        catalog.save_query(&ada, asked).await.unwrap();
    }
    let error = catalog.save_query(&ada, query("more", vec![], everyone())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
}
