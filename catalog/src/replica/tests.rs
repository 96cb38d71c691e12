//! Two catalogs in one process, one of which may lie.

use super::FeedRefusal;
use crate::feed::{Event, Kind, LARGEST, Page, PageRequest, Position, Signed, hash_of_content};
use crate::model::Peer;
use crate::{Catalog, CatalogError, LabDefaults, SearchRequest, secret};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;
use tarn_schemas::facts::{Extent, FileFacts};
use tarn_schemas::record::{Contact, Organisation};
use tarn_schemas::{DatasetName, LabName, Principal, Record};

const GRACE: Duration = Duration::from_secs(60);

struct Two {
    ornl: Catalog,
    anl: Catalog,
    /// ORNL as ANL knows it.
    peer: Peer,
    folders: [tempfile::TempDir; 2],
}

fn lab(name: &str) -> LabName {
    LabName::new(name).unwrap()
}

async fn two() -> Two {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let defaults = LabDefaults {
        publisher: Some(Organisation { name: "Lab".to_owned(), ror: None }),
        contact: Some(Contact { name: "Desk".to_owned(), email: "desk@lab.gov".to_owned() }),
        ..LabDefaults::default()
    };
    let ornl = Catalog::create(folders[0].path(), lab("ornl"), defaults.clone()).await.unwrap();
    let anl = Catalog::create(folders[1].path(), lab("anl"), defaults).await.unwrap();
    let secret = secret::new_peer_secret();
    let peer = |of: &Catalog| Peer {
        lab: of.lab().clone(),
        flight: "http://127.0.0.1:1".to_owned(),
        http: "http://127.0.0.1:1".to_owned(),
        secret: secret.clone(),
        since: "2026-11-22T00:00:00Z".to_owned(),
        key: Some(of.public_key().unwrap()),
    };
    let (of_ornl, of_anl) = (peer(&ornl), peer(&anl));
    anl.put_peer(of_ornl.clone()).await.unwrap();
    ornl.put_peer(of_anl).await.unwrap();
    Two { ornl, anl, peer: of_ornl, folders }
}

fn record(name: &str, changes: serde_json::Value) -> Record {
    let mut record = serde_json::json!({
        "name": name,
        "title": format!("A study of {name}"),
        "description": "Monthly means on a one degree grid, made from ship and buoy reports by \
                        optimal interpolation; good for climate variability, not for single days.",
        "creators": [{"name": "Curie, Marie"}],
        "license": "CC-BY-4.0",
        "keywords": ["climate"],
        "tier": "public",
    });
    for (key, value) in changes.as_object().unwrap() {
        record[key] = value.clone();
    }
    serde_json::from_value(record).unwrap()
}

/// What closes a record to all but those who were granted access.
fn hidden(title: &str) -> serde_json::Value {
    serde_json::json!({
        "title": title,
        "tier": "restricted",
        "exposure": "none",
        "license": null,
        "rights": "https://lab.gov/agreement",
        "terms": {"id": "https://lab.gov/terms", "sha256": "ab".repeat(32)},
        "agreement": {"id": "https://lab.gov/agreement", "sha256": "cd".repeat(32), "committee": "dac",
            "months": 12, "purposes": ["research"]},
        "conditions": {"assurance": "low"},
        "provenance": {"activity": "a survey"},
        "human_data": false,
        "reviewed": {"by": "rev", "on": "2026-11-01"},
        "review": (chrono::Utc::now() + chrono::Days::new(180)).date_naive().to_string(),
    })
}

fn file(name: &str) -> FileFacts {
    FileFacts {
        location: format!("/private/place/{name}.csv"),
        media_type: "text/csv".to_owned(),
        bytes: 100,
        sha256: blake3::hash(name.as_bytes()).to_hex().to_string(),
        variables: Vec::new(),
        extent: Extent::default(),
        attributes: Vec::new(),
    }
}

impl Two {
    async fn register(&self, name: &str, changes: serde_json::Value) {
        let files = vec![file(name)];
        self.ornl.register(&Principal::Owner, record(name, changes), files).await.unwrap();
    }

    /// What ORNL answers to the next question of ANL.
    async fn ask(&self) -> (PageRequest, Signed) {
        let request = self.anl.next_page_request(&lab("ornl")).await.unwrap();
        let signed = self.ornl.feed_page(&lab("anl"), &request, GRACE).await.unwrap();
        (request, signed)
    }

    async fn pull(&self) -> u64 {
        let mut events = 0;
        loop {
            let (request, signed) = self.ask().await;
            let applied = self.anl.apply_page(&self.peer, &request, &signed).await.unwrap();
            events += applied.events;
            if applied.complete {
                return events;
            }
        }
    }

    async fn found(&self, text: &str) -> BTreeSet<String> {
        let request =
            SearchRequest { text: text.to_owned(), limit: 1000, ..SearchRequest::default() };
        let answer = self.anl.search_replicas(&request).await.unwrap();
        assert_eq!(usize::try_from(answer.total).unwrap(), answer.hits.len());
        answer.hits.into_iter().map(|hit| format!("{}.{}", hit.lab, hit.name)).collect()
    }

    /// A page that ORNL signs, whatever is in it.
    fn page(&self, request: &PageRequest, change: impl FnOnce(&mut Page)) -> Signed {
        let content = |name: &str| {
            let record = serde_json::json!({"lab": "ornl", "name": name, "version": 1, "ark": "ark:/99999/x",
                "tier": "public", "record": {"name": name, "title": "T"}, "registered_at": "2026-11-22T00:00:00Z"});
            record.to_string()
        };
        let event = |sequence: u64, name: &str| Event {
            sequence,
            kind: Kind::Upsert,
            name: name.parse().unwrap(),
            hash: hash_of_content(&content(name)),
            content: content(name),
        };
        let mut page = Page {
            after: request.after,
            through: Position { upserts: 9, retractions: 9 },
            complete: true,
            grace_seconds: 60,
            events: vec![event(1, "a"), event(2, "b")],
        };
        change(&mut page);
        self.ornl
            .state(("page", &lab("anl"), &request.nonce), ("feed".to_owned(), 9), page)
            .unwrap()
    }

    async fn refusal(&self, request: &PageRequest, signed: &Signed) -> FeedRefusal {
        match self.anl.apply_page(&self.peer, request, signed).await {
            Err(CatalogError::Feed(refusal)) => {
                let state = self.anl.replica_state(&lab("ornl")).await.unwrap();
                assert_eq!(state.position, Position::default(), "a refused page moved the place");
                assert!(self.found("").await.is_empty(), "a refused page changed something");
                refusal
            }
            other => panic!("{other:?}"),
        }
    }

    async fn roots(&self) -> (String, String, BTreeSet<DatasetName>) {
        let mut walk = self.anl.begin_walk_of(&lab("ornl")).await.unwrap();
        while let Some(request) = walk.next_request() {
            let signed = self.ornl.feed_tree(&lab("anl"), &request).await.unwrap();
            walk.absorb(&self.anl, &self.peer, (&request, &signed)).unwrap();
        }
        (walk.root().unwrap().to_owned(), walk.own_root(), walk.drift().names())
    }
}

#[tokio::test]
async fn a_peer_is_told_of_what_anybody_there_may_see_and_of_nothing_else() {
    let two = two().await;
    two.register("open", serde_json::json!({})).await;
    let closed = hidden("A study of a secret");
    two.register("secret", closed.clone()).await;
    let (_, signed) = two.ask().await;
    assert!(!signed.text.contains("secret"), "{}", signed.text);
    assert!(!signed.text.contains("/private/place"), "{}", signed.text);
    assert_eq!(two.pull().await, 1);
    assert_eq!(two.found("study").await, BTreeSet::from(["ornl.open".to_owned()]));
    let own = SearchRequest::default();
    assert_eq!(
        two.anl.search(&Principal::Owner, &own).await.unwrap().total,
        0,
        "counted as its own"
    );
    assert!(two.anl.datasets(&Principal::Owner).await.unwrap().is_empty());

    // Nothing that happens to what is hidden shows, not even in a number.
    let before = two.ornl.feed_sequence(&lab("anl")).await.unwrap();
    two.register("secret", hidden("Another study of a secret")).await;
    assert_eq!(two.pull().await, 0);
    assert_eq!(two.ornl.feed_sequence(&lab("anl")).await.unwrap(), before);

    // A second version is told with both; what is closed is forgotten.
    two.register("open", serde_json::json!({"title": "A study of ice"})).await;
    assert_eq!(two.pull().await, 1);
    let replica = two.anl.replica(&lab("ornl"), &"open".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(replica.record.versions.iter().map(|one| one.version).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(two.found("ice").await.len(), 1);
    two.register("open", closed).await;
    let (_, signed) = two.ask().await;
    assert!(signed.text.contains("tombstone") && !signed.text.contains("study"), "{}", signed.text);
    assert_eq!(two.pull().await, 1);
    assert!(two.found("").await.is_empty());
    assert_eq!(two.anl.replica(&lab("ornl"), &"open".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn what_is_taken_back_comes_first_and_a_retraction_keeps_its_page() {
    let two = two().await;
    for name in ["a", "b", "c"] {
        two.register(name, serde_json::json!({})).await;
    }
    assert_eq!(two.pull().await, 3);
    two.register("d", serde_json::json!({})).await;
    two.register("a", serde_json::json!({"title": "A study again"})).await;
    two.ornl
        .withdraw(&Principal::Owner, &"b".parse().unwrap(), "wrong", Some("ornl.c"))
        .await
        .unwrap();
    let (request, signed) = two.ask().await;
    let retracted = signed.text.find("\\\"reason\\\"").unwrap();
    assert!(retracted < signed.text.find("again").unwrap(), "{}", signed.text);
    let applied = two.anl.apply_page(&two.peer, &request, &signed).await.unwrap();
    assert_eq!((applied.events, applied.complete), (3, true));
    let names = ["a", "c", "d"].map(|name| format!("ornl.{name}"));
    assert_eq!(two.found("").await, BTreeSet::from(names));
    let page = two.anl.replica(&lab("ornl"), &"b".parse().unwrap()).await.unwrap().unwrap();
    let withdrawn = page.record.withdrawn.unwrap();
    assert_eq!((&*withdrawn.reason, withdrawn.replaced_by.as_deref()), ("wrong", Some("ornl.c")));
    // An answer that comes a second time changes nothing: the place has moved.
    let again = two.anl.apply_page(&two.peer, &request, &signed).await.unwrap_err();
    assert!(matches!(again, CatalogError::Conflict(_)), "{again:?}");
    let (root, own, drift) = two.roots().await;
    assert_eq!((root, drift.len()), (own, 0));
    // Whoever is no peer any more is forgotten with all that was told.
    two.anl.remove_peer(&lab("ornl")).await.unwrap();
    assert!(two.found("").await.is_empty());
    assert_eq!(two.anl.replica(&lab("ornl"), &"a".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn lies_are_refused_each_with_its_reason_and_change_nothing() {
    let two = two().await;
    let request = two.anl.next_page_request(&lab("ornl")).await.unwrap();
    // A page that is right, to show that only what is wrong with the others is refused: see the end.
    let right = two.page(&request, |_| {});

    let mut foreign = right.clone();
    foreign.signature = two.anl.inner.signer.sign(right.text.as_bytes()).unwrap();
    assert!(matches!(two.refusal(&request, &foreign).await, FeedRefusal::Signature { .. }));
    // The key of a receipt is the same, and its signatures are of another purpose.
    foreign.signature = two.ornl.inner.signer.sign(right.text.as_bytes()).unwrap();
    assert!(matches!(two.refusal(&request, &foreign).await, FeedRefusal::Signature { .. }));
    let mut changed = right.clone();
    changed.text = changed.text.replace("\"grace_seconds\":60", "\"grace_seconds\":61");
    assert!(matches!(two.refusal(&request, &changed).await, FeedRefusal::Signature { .. }));

    let other = PageRequest { nonce: "another question".to_owned(), ..request.clone() };
    let old = two.page(&other, |_| {});
    assert!(matches!(two.refusal(&request, &old).await, FeedRefusal::Replayed { .. }));
    let to_another = two
        .ornl
        .state(("page", &lab("llnl"), &request.nonce), ("feed".to_owned(), 9), Vec::<Event>::new())
        .unwrap();
    assert!(matches!(two.refusal(&request, &to_another).await, FeedRefusal::Foreign { .. }));

    let refused = |change: fn(&mut Page)| two.page(&request, change);
    let gap = refused(|page| page.after.upserts = 5);
    assert!(matches!(
        two.refusal(&request, &gap).await,
        FeedRefusal::Gap { expected: 0, found: 5 }
    ));
    for order in [
        refused(|page| page.events.reverse()),
        refused(|page| page.events[1].sequence = 1),
        refused(|page| page.events[1].sequence = 10),
        refused(|page| {
            page.events[1] = Event {
                kind: Kind::Tombstone,
                hash: String::new(),
                content: String::new(),
                ..page.events[1].clone()
            }
        }),
    ] {
        let refusal = two.refusal(&request, &order).await;
        assert!(matches!(refusal, FeedRefusal::Order { .. }), "{refusal:?}");
    }
    let large = refused(|page| {
        page.events[0].content = " ".repeat(LARGEST + 1);
        page.events[0].hash = hash_of_content(&page.events[0].content);
    });
    assert!(matches!(two.refusal(&request, &large).await, FeedRefusal::Oversized { .. }));
    for content in [
        refused(|page| page.events[0].hash = "ab".repeat(32)),
        refused(|page| page.events[0].name = "other".parse().unwrap()),
        refused(|page| page.events[0].kind = Kind::Retraction),
        refused(|page| {
            page.events[0].content = page.events[0].content.replace("ornl", "llnl");
            page.events[0].hash = hash_of_content(&page.events[0].content);
        }),
        refused(|page| {
            page.events[0].content = "{}".to_owned();
            page.events[0].hash = hash_of_content("{}");
        }),
    ] {
        let refusal = two.refusal(&request, &content).await;
        assert!(matches!(refusal, FeedRefusal::Content { .. }), "{refusal:?}");
    }
    // Clocks.
    for hours in [-1, 1] {
        let signed = two.page(&request, |_| {});
        let now = chrono::Utc::now() + chrono::TimeDelta::hours(hours);
        let question = ("page", two.anl.lab(), request.nonce.as_str());
        let refusal = crate::feed::read::<Page>(&signed, &two.peer, question, now).unwrap_err();
        let FeedRefusal::Clock { apart, .. } = &refusal else { panic!("{refusal:?}") };
        assert!((3599..=3601).contains(&apart.abs()), "{apart}");
        assert!(refusal.to_string().contains("NTP"), "{refusal}");
    }
    let nameless = Peer { key: None, ..two.peer.clone() };
    let refusal = two.anl.apply_page(&nameless, &request, &right).await.unwrap_err();
    assert!(matches!(refusal, CatalogError::Feed(FeedRefusal::NoKey { .. })), "{refusal:?}");
    two.anl.apply_page(&two.peer, &request, &right).await.unwrap();
    assert_eq!(two.found("").await.len(), 2);
}

#[tokio::test]
async fn a_copy_that_drifted_is_found_by_name_and_repaired() {
    let two = two().await;
    for at in 0..40 {
        two.register(&format!("d{at}"), serde_json::json!({})).await;
    }
    assert_eq!(two.pull().await, 40);
    let database = &two.anl.inner.database;
    for (statement, name) in [
        ("UPDATE replica SET hash = 'x', content = '{}' WHERE dataset = $1", "d7"),
        ("DELETE FROM replica WHERE dataset = $1", "d8"),
        ("UPDATE replica SET dataset = 'ghost' WHERE dataset = $1", "d9"),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(name)
            .execute(database.pool())
            .await
            .unwrap();
    }
    let (root, own, drift) = two.roots().await;
    assert_ne!(root, own);
    let named: BTreeSet<&str> = drift.iter().map(DatasetName::as_str).collect();
    assert_eq!(named, BTreeSet::from(["d7", "d8", "d9", "ghost"]));
    let request = Catalog::records_request(drift.iter().cloned().collect());
    let signed = two.ornl.feed_records(&lab("anl"), &request).await.unwrap();
    assert_eq!(two.anl.apply_records(&two.peer, &request, &signed).await.unwrap(), drift);
    let (root, own, drift) = two.roots().await;
    assert_eq!((root, drift.len()), (own, 0));
    assert_eq!(two.found("").await.len(), 40);
}

#[tokio::test]
async fn a_feed_that_begins_anew_is_read_from_its_beginning() {
    let two = two().await;
    two.register("a", serde_json::json!({})).await;
    two.pull().await;
    sqlx::query("UPDATE peer_feed_state SET feed = 'another'")
        .execute(two.ornl.inner.database.pool())
        .await
        .unwrap();
    let (request, signed) = two.ask().await;
    let applied = two.anl.apply_page(&two.peer, &request, &signed).await.unwrap();
    assert!(applied.began_anew && !applied.complete);
    assert_eq!(two.pull().await, 1);
}

#[tokio::test]
async fn what_a_policy_closes_for_one_peer_is_taken_back_from_that_peer() {
    let mut two = two().await;
    for name in ["a", "b"] {
        two.register(name, serde_json::json!({})).await;
    }
    assert_eq!(two.pull().await, 2);
    let folder = two.folders[0].path();
    std::fs::create_dir_all(folder.join("policies")).unwrap();
    let closes = |lab: &str| {
        let policy = format!(
            r#"@id("closed") forbid (principal, action in [Action::"discover", Action::"describe"], resource == Dataset::"ornl.a")
               when {{ principal.kind == "visitor" && principal.lab == "{lab}" }};"#
        );
        std::fs::write(folder.join("policies/own.cedar"), policy).unwrap();
    };
    // Another lab is no business of this one.
    closes("llnl");
    two.ornl = Catalog::open(folder).await.unwrap();
    assert_eq!(two.pull().await, 0);
    closes("anl");
    two.ornl = Catalog::open(folder).await.unwrap();
    let (_, signed) = two.ask().await;
    assert!(signed.text.contains("tombstone") && !signed.text.contains("study"), "{}", signed.text);
    assert_eq!(two.pull().await, 1);
    assert_eq!(two.found("").await, BTreeSet::from(["ornl.b".to_owned()]));
    std::fs::remove_file(folder.join("policies/own.cedar")).unwrap();
    two.ornl = Catalog::open(folder).await.unwrap();
    assert_eq!(two.pull().await, 1);
    assert_eq!(two.found("").await.len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever happens in whatever order, and wherever reading is broken off, both have the same in the end.
    #[test]
    fn copies_converge(steps in prop::collection::vec((0..4_u8, 0..6_u8), 1..25)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let two = two().await;
            for (step, at) in steps {
                let name = format!("d{at}");
                match step {
                    0 => { two.pull().await; }
                    1 => {
                        // It was asked, and the answer was lost.
                        two.ask().await;
                    }
                    2 => {
                        let name = name.parse().unwrap();
                        drop(two.ornl.withdraw(&Principal::Owner, &name, "wrong", None).await);
                    }
                    _ => {
                        let title = format!("A study of {}", uuid::Uuid::new_v4());
                        let changed = record(&name, serde_json::json!({"title": title}));
                        drop(two.ornl.register(&Principal::Owner, changed, vec![file(&name)]).await);
                    }
                }
            }
            two.pull().await;
            let (root, own, drift) = two.roots().await;
            prop_assert_eq!(root, own);
            prop_assert!(drift.is_empty());
            let all = two.ornl.datasets(&Principal::Owner).await.unwrap();
            let here: BTreeSet<String> = all
                .into_iter()
                .filter(|dataset| dataset.withdrawn.is_none())
                .map(|dataset| format!("ornl.{}", dataset.name))
                .collect();
            prop_assert_eq!(two.found("").await, here);
            Ok(())
        })?;
    }
}
