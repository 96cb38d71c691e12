//! Searches that people keep.

use super::policy::{named_person, put, tiered};
use super::support::*;
use tarn_catalog::SearchRequest;
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::Exposure;

fn asks(text: &str) -> SearchRequest {
    SearchRequest { text: text.to_owned(), ..SearchRequest::default() }
}

/// The names that a saved search finds, and those of them that are new.
async fn run(
    catalog: &Catalog,
    who: &Principal,
    name: &str,
    cursor: Option<String>,
) -> (Vec<String>, Option<Vec<String>>, Option<String>) {
    let begun = catalog.begin_saved_search(who, name, cursor).await.unwrap();
    let answer = catalog.search(who, &begun.request).await.unwrap();
    let new = catalog.end_saved_search(who, &begun, &answer.hits).await.unwrap();
    (answer.hits.iter().map(|hit| hit.name.to_string()).collect(), new, answer.next)
}

#[tokio::test]
async fn a_search_is_kept_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let (ada, bob) = (person(Scope::Read), named_person("bob", Scope::Admin));
    let request = SearchRequest {
        text: "ice air_temperature > -3 degC".to_owned(),
        filters: vec![
            ("tier".to_owned(), "public".to_owned()),
            ("elements".to_owned(), "Fe,O".to_owned()),
            ("bbox".to_owned(), "-20,30,40,70".to_owned()),
        ],
        facets: vec!["lab".to_owned(), "element".to_owned()],
        limit: 7,
        cursor: None,
    };
    let saved = catalog.save_search(&ada, "ice 'n \" æther", &request).await.unwrap();
    assert_eq!(saved.request, request);
    assert_eq!(catalog.saved_searches(&ada).await.unwrap(), std::slice::from_ref(&saved));
    assert_eq!(catalog.saved_search(&ada, &saved.name).await.unwrap(), saved);
    // The same person with another token, and nobody else.
    assert_eq!(catalog.saved_searches(&person(Scope::Admin)).await.unwrap().len(), 1);
    for other in [bob.clone(), Principal::Owner] {
        assert!(catalog.saved_searches(&other).await.unwrap().is_empty());
        let known = catalog.saved_search(&other, &saved.name).await.unwrap_err();
        let unknown = catalog.saved_search(&other, "none").await.unwrap_err();
        assert_eq!(known.code(), ErrorCode::NotFound);
        let name = format!("{:?}", saved.name);
        assert_eq!(known.to_string().replace(&name, "\"none\""), unknown.to_string());
        assert!(catalog.forget_search(&other, &saved.name).await.is_err());
        assert!(catalog.begin_saved_search(&other, &saved.name, None).await.is_err());
    }
    let error = catalog.saved_searches(&Principal::Anonymous).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied);
    // A second one of the name takes the place of the first.
    catalog.save_search(&ada, &saved.name, &asks("sea")).await.unwrap();
    assert_eq!(catalog.saved_search(&ada, &saved.name).await.unwrap().request, asks("sea"));
    catalog.forget_search(&ada, &saved.name).await.unwrap();
    assert_eq!(
        catalog.forget_search(&ada, &saved.name).await.unwrap_err().code(),
        ErrorCode::NotFound
    );
}

#[tokio::test]
async fn what_cannot_be_named_or_asked_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let ada = person(Scope::Read);
    let long = "x".repeat(101);
    for (name, told) in [
        ("", "1 to 100"),
        (" a", "no blanks"),
        (long.as_str(), "1 to 100"),
        ("a\u{200b}b", "U+200B"),
        ("a\u{202e}b", "U+202E"),
        ("a\0b", "U+0000"),
        ("a/b", "no /"),
    ] {
        let error = catalog.save_search(&ada, name, &asks("x")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{name}");
        assert!(error.to_string().contains(told), "{error}");
    }
    let filter = |key: &str, value: &str| SearchRequest {
        filters: vec![(key.to_owned(), value.to_owned())],
        ..SearchRequest::default()
    };
    let placed = SearchRequest { cursor: Some("00000000.a.b".to_owned()), ..asks("x") };
    for wrong in [filter("colour", "x"), filter("elements", "Xx"), filter("time", "x"), placed] {
        assert!(catalog.save_search(&ada, "a", &wrong).await.is_err(), "{wrong:?}");
    }
    for number in 0..200 {
        catalog.save_search(&ada, &format!("s{number}"), &asks("x")).await.unwrap();
    }
    let error = catalog.save_search(&ada, "one more", &asks("x")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
    catalog.save_search(&ada, "s7", &asks("y")).await.unwrap();
    catalog.save_search(&named_person("bob", Scope::Read), "a", &asks("x")).await.unwrap();
}

#[tokio::test]
async fn a_run_says_what_is_new_since_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let (owner, ada) = (Principal::Owner, person(Scope::Read));
    for name in ["a", "b"] {
        catalog.register(&owner, record(name), data()).await.unwrap();
    }
    catalog.save_search(&ada, "all", &SearchRequest { limit: 2, ..asks("study") }).await.unwrap();
    let (found, new, _) = run(&catalog, &ada, "all", None).await;
    assert_eq!((found.len(), new), (2, None));
    assert!(catalog.saved_search(&ada, "all").await.unwrap().ran_at.is_some());
    assert_eq!(run(&catalog, &ada, "all", None).await.1, Some(vec![]));
    // A new dataset, and a new version of an old one; tables make neither.
    catalog.register(&owner, record("c"), data()).await.unwrap();
    let retitled = Record { title: "A study of another a".to_owned(), ..record("a") };
    catalog.register(&owner, retitled, data()).await.unwrap();
    catalog.put_tables(&owner, &"b".parse().unwrap(), vec![delta("t", 0)]).await.unwrap();
    let (mut seen, mut fresh, mut cursor) = (Vec::new(), Vec::new(), None);
    loop {
        let (found, new, next) = run(&catalog, &ada, "all", cursor).await;
        seen.extend(found);
        fresh.extend(new.unwrap());
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    fresh.sort();
    assert_eq!((seen.len(), fresh), (3, vec!["ornl.a".to_owned(), "ornl.c".to_owned()]));
    assert_eq!(run(&catalog, &ada, "all", None).await.1, Some(vec![]));
    // Another question was never asked.
    catalog.save_search(&ada, "all", &asks("study")).await.unwrap();
    assert_eq!(run(&catalog, &ada, "all", None).await.1, None);
}

#[tokio::test]
async fn a_run_decides_anew_and_tells_nothing_of_what_is_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let ada = person(Scope::Read);
    catalog.register(&Principal::Owner, record("a"), data()).await.unwrap();
    catalog.save_search(&ada, "all", &asks("study")).await.unwrap();
    assert_eq!(run(&catalog, &ada, "all", None).await.0, ["a"]);
    // What is hidden is neither found nor new; what becomes hidden is found no more.
    let hidden = tiered("hidden", Tier::Restricted, Exposure::None);
    put(folder.path(), &catalog, &Principal::Owner, hidden).await;
    assert_eq!(run(&catalog, &ada, "all", None).await, (vec!["a".to_owned()], Some(vec![]), None));
    super::policy::grant(&catalog, "hidden", "person:ada", 1).await;
    let (found, ..) = run(&catalog, &ada, "all", None).await;
    assert_eq!(found.len(), 2);
    let closed = tiered("a", Tier::Restricted, Exposure::None);
    catalog.register(&Principal::Owner, closed, data()).await.unwrap();
    assert_eq!(run(&catalog, &ada, "all", None).await.0, ["hidden"]);
}
