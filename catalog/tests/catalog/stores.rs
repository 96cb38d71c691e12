//! What every store does: the feed of changes, conflicts of writers, backup and restore.

use super::support::*;
use tarn_catalog::{CatalogError, Peer, Readers, SearchRequest, new_peer_secret};
use tarn_schemas::code::{Coded, ErrorCode};

#[tokio::test]
async fn the_feed_tells_every_change_once_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    assert_eq!(catalog.changes(0, 10).await.unwrap(), []);
    let owner = Principal::Owner;
    for name in ["a", "b"] {
        catalog.register(&owner, record(name), data()).await.unwrap();
    }
    // The same again is no change.
    catalog.register(&owner, record("a"), data()).await.unwrap();
    catalog.put_tables(&owner, &"a".parse().unwrap(), vec![delta("t", 0)]).await.unwrap();
    let retitled = Record { title: "Another title".to_owned(), ..record("a") };
    catalog.register(&owner, retitled, data()).await.unwrap();
    let all = catalog.changes(0, 10).await.unwrap();
    let told: Vec<_> =
        all.iter().map(|change| (change.dataset.as_str(), change.version, &*change.kind)).collect();
    let expected = [
        ("a", 1, "registered"),
        ("b", 1, "registered"),
        ("a", 1, "tables"),
        ("a", 2, "registered"),
    ];
    assert_eq!(told, expected);
    assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    // In pieces it is the same.
    let (mut pieces, mut after) = (Vec::new(), 0);
    loop {
        let piece = catalog.changes(after, 3).await.unwrap();
        let Some(last) = piece.last() else { break };
        after = last.sequence;
        pieces.extend(piece);
    }
    assert_eq!(pieces, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_of_the_feed_misses_nothing_while_many_write() {
    let folder = tempfile::tempdir().unwrap();
    let handles = [catalog(folder.path()).await, Catalog::open(folder.path()).await.unwrap()];
    let writers: Vec<_> = (0..24)
        .map(|number| {
            let catalog = handles[number % 2].clone();
            tokio::spawn(async move {
                let record = record(&format!("set_{number}"));
                catalog.register(&Principal::Owner, record, data()).await.unwrap();
            })
        })
        .collect();
    let (mut followed, mut after) = (Vec::new(), 0);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while followed.len() < 24 {
        assert!(std::time::Instant::now() < until, "only {} were seen", followed.len());
        let piece = handles[0].changes(after, 5).await.unwrap();
        after = piece.last().map_or(after, |change| change.sequence);
        followed.extend(piece);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(followed, handles[1].changes(0, 100).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_writers_of_one_record_one_wins_and_the_other_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let handles = [catalog(folder.path()).await, Catalog::open(folder.path()).await.unwrap()];
    let owner = Principal::Owner;
    handles[0].register(&owner, record("sst"), data()).await.unwrap();
    let work: Vec<_> = (0..6)
        .map(|number| {
            let catalog = handles[number % 2].clone();
            tokio::spawn(async move {
                let title = format!("Edition of writer {number}");
                let edited = Record { title, ..record("sst") };
                catalog.register_from(&Principal::Owner, edited, data(), Some(1)).await
            })
        })
        .collect();
    let (mut won, mut told) = (0, 0);
    for work in work {
        match work.await.unwrap() {
            Ok(done) => {
                assert_eq!(done.dataset.version, 2);
                won += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::Conflict);
                let text = error.to_string();
                assert!(text.contains("version 2") && text.contains("version 1"), "{text}");
                told += 1;
            }
        }
    }
    assert_eq!((won, told), (1, 5));
    // What is new cannot be there already.
    let first = handles[0].register_from(&owner, record("sst"), data(), Some(0)).await;
    assert_eq!(first.unwrap_err().code(), ErrorCode::Conflict);
    handles[0].register_from(&owner, record("other"), data(), Some(0)).await.unwrap();
    let gone = handles[0].register_from(&owner, record("third"), data(), Some(1)).await;
    assert_eq!(gone.unwrap_err().code(), ErrorCode::Conflict);
}

/// A catalog with something in every table.
async fn full(folder: &Path) -> (Catalog, String) {
    let catalog = catalog(folder).await;
    let owner = Principal::Owner;
    for name in ["a", "b"] {
        catalog.register(&owner, record(name), data()).await.unwrap();
    }
    let odd = Record { title: "Ünïcode \u{1F30A} \" \\ title".to_owned(), ..record("a") };
    catalog.register(&owner, odd, vec![file("/data/a.nc", "ab")]).await.unwrap();
    catalog.put_tables(&owner, &"a".parse().unwrap(), vec![delta("t", 3)]).await.unwrap();
    let token = catalog.create_token(&Principal::Owner, "ada", Scope::Write, 30).await.unwrap();
    catalog.create_token(&Principal::Owner, "bob", Scope::Read, 30).await.unwrap();
    catalog.revoke_token(&Principal::Owner, "bob").await.unwrap();
    let peer = Peer {
        lab: LabName::new("anl").unwrap(),
        flight: "http://127.0.0.1:1".to_owned(),
        http: "http://127.0.0.1:2".to_owned(),
        secret: new_peer_secret(),
        since: "2026-11-22T00:00:00Z".to_owned(),
        key: None,
    };
    catalog.put_peer(peer.clone()).await.unwrap();
    catalog.put_peer_tables(&peer.lab, "[1]").await.unwrap();
    catalog.put_invitation(&token).await.unwrap();
    let asks = SearchRequest { text: "ünïcode \" study".to_owned(), ..SearchRequest::default() };
    let ada = person(Scope::Read);
    for name in ["never ran", "ran"] {
        catalog.save_search(&ada, name, &asks).await.unwrap();
    }
    let run = catalog.begin_saved_search(&ada, "ran", None).await.unwrap();
    catalog.end_saved_search(&ada, &run, &[]).await.unwrap();
    let readers = Readers { public: true, people: ["person:bob".to_owned()].into() };
    let kept =
        super::queries::query("kept", vec![super::queries::reads("a", &["mask: x"])], readers);
    catalog.save_query(&ada, kept).await.unwrap();
    catalog.keep_receipt(&ada, super::receipts::receipt("01", "a", 1, 8)).await.unwrap();
    catalog.seal_key().await.unwrap();
    (catalog, token)
}

async fn assert_same(one: &tarn_catalog::Catalog, other: &tarn_catalog::Catalog, token: &str) {
    let owner = Principal::Owner;
    assert_eq!(one.lab(), other.lab());
    assert_eq!(one.defaults().await.unwrap(), other.defaults().await.unwrap());
    let datasets = one.datasets(&owner).await.unwrap();
    assert_eq!(datasets, other.datasets(&owner).await.unwrap());
    assert!(datasets.len() > 1);
    for dataset in &datasets {
        let versions = one.versions(&owner, &dataset.name).await.unwrap();
        assert_eq!(versions, other.versions(&owner, &dataset.name).await.unwrap());
        let by_ark = other.dataset_by_ark(&owner, &dataset.ark).await.unwrap();
        assert_eq!(&by_ark, dataset);
    }
    assert_eq!(one.changes(0, 100).await.unwrap(), other.changes(0, 100).await.unwrap());
    assert_eq!(
        one.tokens(&Principal::Owner).await.unwrap(),
        other.tokens(&Principal::Owner).await.unwrap()
    );
    assert_eq!(one.peers().await.unwrap(), other.peers().await.unwrap());
    let anl = LabName::new("anl").unwrap();
    assert_eq!(one.peer_tables(&anl).await.unwrap(), other.peer_tables(&anl).await.unwrap());
    assert_eq!(other.authenticate(token).await.unwrap(), person(Scope::Write));
    assert!(other.invitation_is_open(token).await.unwrap());
    let ada = person(Scope::Read);
    let saved = one.saved_searches(&ada).await.unwrap();
    assert_eq!(saved, other.saved_searches(&ada).await.unwrap());
    assert_eq!(saved.len(), 2);
    for name in ["never ran", "ran"] {
        let runs = async |catalog: &tarn_catalog::Catalog| {
            catalog.begin_saved_search(&ada, name, None).await.unwrap()
        };
        assert_eq!(runs(one).await, runs(other).await, "{name}");
    }
    let kept = one.saved_query(&ada, "kept").await.unwrap();
    assert_eq!(kept, other.saved_query(&ada, &kept.ark).await.unwrap());
    let receipts = one.receipts(&owner, Some(&"a@1".parse().unwrap()), None).await.unwrap();
    assert_eq!(
        receipts,
        other.receipts(&owner, Some(&"a@1".parse().unwrap()), None).await.unwrap()
    );
    assert_eq!(receipts.0.len(), 1);
    assert_eq!(one.seal_key().await.unwrap(), other.seal_key().await.unwrap());
    let request = SearchRequest { facets: vec!["keyword".to_owned()], ..SearchRequest::default() };
    let found = one.search(&owner, &request).await.unwrap();
    assert_eq!(found, other.search(&owner, &request).await.unwrap());
}

#[tokio::test]
async fn a_backup_restores_everything_into_either_store() {
    let (from, to, sqlite) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (catalog, token) = full(from.path()).await;
    let place = from.path().join("backup");
    let rows =
        catalog.backup(std::fs::File::create(&place).unwrap(), "lab = \"ornl\"").await.unwrap();
    assert!(rows > 10);
    assert_eq!(tarn_catalog::Catalog::backup_config(&place).unwrap(), "lab = \"ornl\"");

    let again = Catalog::restore(to.path(), &place).await.unwrap();
    assert_same(&catalog, &again, &token).await;
    let in_file = tarn_catalog::Catalog::restore_in(sqlite.path(), None, &place).await.unwrap();
    assert_same(&catalog, &in_file, &token).await;
    // What is restored goes on: later changes have later sequences, and search finds them.
    for restored in [&*again, &in_file] {
        let last = restored.changes(0, 100).await.unwrap().last().unwrap().sequence;
        restored.register(&Principal::Owner, record("later"), data()).await.unwrap();
        let more = restored.changes(last, 100).await.unwrap();
        assert_eq!(more.len(), 1);
        let text = SearchRequest { text: "later".to_owned(), ..SearchRequest::default() };
        assert_eq!(restored.search(&Principal::Anonymous, &text).await.unwrap().total, 1);
    }
    // Nothing is restored over something.
    let error = Catalog::restore(to.path(), &place).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict);
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused_and_leaves_nothing() {
    let from = tempfile::tempdir().unwrap();
    let (catalog, _) = full(from.path()).await;
    let mut backup = Vec::new();
    catalog.backup(&mut backup, "").await.unwrap();
    let whole = String::from_utf8(backup).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let without = |at: usize| {
        let kept = lines.iter().enumerate().filter(|(place, _)| *place != at);
        kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    let mut damaged: Vec<String> = (0..lines.len()).map(without).collect();
    damaged.push(whole.replacen("Oak Ridge", "Oak Rigde", 1));
    damaged.push(whole[..whole.len() / 2].to_owned());
    damaged.push(String::new());
    damaged.push("lab = \"ornl\"\n".to_owned());
    let place = from.path().join("backup");
    let to = tempfile::tempdir().unwrap();
    for text in damaged {
        std::fs::write(&place, &text).unwrap();
        let error = Catalog::restore(to.path(), &place).await.unwrap_err();
        assert!(matches!(error, CatalogError::Backup(_)), "{error}");
        assert!(!to.path().join("catalog.sqlite").exists());
    }
    std::fs::write(&place, &whole).unwrap();
    Catalog::restore(to.path(), &place).await.unwrap();
}

#[tokio::test]
async fn every_store_says_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(catalog(folder.path()).await);
    super::tamper(folder.path(), &["DROP TABLE invitation"]).await;
    let catalog = Catalog::open(folder.path()).await.unwrap();
    let error = catalog.put_invitation(&new_peer_secret()).await.unwrap_err();
    assert!(matches!(error, CatalogError::Database { .. }), "{error}");
    assert!(error.to_string().contains("invitation"), "{error}");
}
