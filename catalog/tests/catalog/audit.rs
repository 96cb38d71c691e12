//! What is in the audit log, and that nothing of it can be changed unnoticed.

use super::support::*;
use chrono::{Duration, Utc};
use tarn_catalog::Door;
use tarn_catalog::audit::{Act, AuditFault, AuditFilter, Outcome, SignedHead, merkle, verify_text};
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::record::Embargo;

async fn entries(catalog: &Catalog, filter: AuditFilter) -> Vec<tarn_catalog::audit::AuditEntry> {
    catalog.audit(&Principal::Owner, &filter).await.unwrap()
}

/// A log with a few acts in it.
async fn busy(folder: &Path) -> Catalog {
    let catalog = catalog(folder).await;
    for name in ["a", "b", "c"] {
        catalog.register(&Principal::Owner, registered(name), data()).await.unwrap();
    }
    for who in [person(Scope::Read), Principal::Anonymous] {
        let dataset = catalog.dataset(&who, &named("a")).await.unwrap();
        catalog.admit(&who, &dataset, Door::Sql).await.unwrap();
    }
    catalog.create_token(&Principal::Owner, "ada", Scope::Read, 7).await.unwrap();
    catalog.revoke_token(&Principal::Owner, "ada").await.unwrap();
    catalog
}

#[tokio::test]
async fn acts_and_decisions_are_found_by_person_dataset_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let begin = Utc::now();
    let catalog = busy(folder.path()).await;
    let all = entries(&catalog, AuditFilter::default()).await;
    let acts: Vec<Act> = all.iter().map(|entry| entry.act).collect();
    assert_eq!(
        acts,
        [
            Act::Create,
            Act::Register,
            Act::Register,
            Act::Register,
            Act::Read,
            Act::Read,
            Act::CreateToken,
            Act::RevokeToken
        ]
    );
    let of_a =
        entries(&catalog, AuditFilter { dataset: Some(named("ornl.a")), ..AuditFilter::default() })
            .await;
    let found: Vec<(&str, Outcome)> =
        of_a.iter().map(|entry| (entry.person.as_str(), entry.outcome)).collect();
    assert_eq!(
        found,
        [
            ("owner", Outcome::Allowed),
            ("person:ada", Outcome::Allowed),
            ("anonymous", Outcome::Refused)
        ]
    );
    assert!(of_a[2].details["reason"].contains("sign in"), "{:?}", of_a[2]);
    assert!(of_a.iter().all(|entry| entry.dataset.as_deref() == Some("ornl.a@1")));
    let of_ada = AuditFilter { person: Some("person:ada".to_owned()), ..AuditFilter::default() };
    assert_eq!(entries(&catalog, of_ada).await.len(), 1);
    let none = AuditFilter { until: Some(begin), ..AuditFilter::default() };
    assert!(entries(&catalog, none).await.is_empty());
    let later =
        AuditFilter { since: Some(Utc::now() + Duration::days(1)), ..AuditFilter::default() };
    assert!(entries(&catalog, later).await.is_empty());
    let page = AuditFilter { from: 3, limit: Some(2), ..AuditFilter::default() };
    let page: Vec<u64> = entries(&catalog, page).await.iter().map(|e| e.sequence).collect();
    assert_eq!(page, [3, 4]);
    // No secret is in it, and it is not for everyone.
    assert!(!serde_json::to_string(&all).unwrap().contains("tarn_t_"));
    for who in [person(Scope::Write), Principal::Anonymous] {
        let error = catalog.audit(&who, &AuditFilter::default()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
    }
    assert!(catalog.audit(&person(Scope::Admin), &AuditFilter::default()).await.is_ok());
}

#[tokio::test]
async fn public_data_leave_without_an_entry_and_embargoed_ones_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.register(&Principal::Owner, record("open"), data()).await.unwrap();
    let until = (Utc::now() + Duration::days(30)).date_naive().to_string();
    let held = Record {
        embargo: Some(Embargo { until, reason: "in review".to_owned() }),
        ..record("held")
    };
    catalog.register(&Principal::Owner, held, data()).await.unwrap();
    let before = entries(&catalog, AuditFilter::default()).await.len();
    for name in ["open", "held"] {
        let dataset = catalog.dataset(&Principal::Anonymous, &named(name)).await.unwrap();
        catalog.admit(&Principal::Anonymous, &dataset, Door::File).await.unwrap();
    }
    let after = entries(&catalog, AuditFilter::default()).await;
    assert_eq!(after.len(), before + 1);
    let last = after.last().unwrap();
    assert_eq!(last.dataset.as_deref(), Some("ornl.held@1"));
    assert_eq!((last.outcome, last.details["door"].as_str()), (Outcome::Refused, "file"));
}

async fn verify(catalog: &Catalog, heads: Vec<SignedHead>) -> Result<u64, AuditFault> {
    let found = catalog.audit_verify(&Principal::Owner, heads).await.unwrap();
    found.map(|verified| verified.entries)
}

fn hash(text: &str) -> merkle::Hash {
    let bytes: Vec<u8> = (0..32)
        .map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

#[tokio::test]
async fn heads_and_proofs_hold_for_every_entry_and_every_size() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let mut heads = vec![catalog.audit_head().await.unwrap()];
    for name in ["a", "b", "c", "d", "e", "f"] {
        catalog.register(&Principal::Owner, record(name), data()).await.unwrap();
        heads.push(catalog.audit_head().await.unwrap());
    }
    assert_eq!(catalog.audit_head().await.unwrap(), heads[6]);
    let all = entries(&catalog, AuditFilter::default()).await;
    for head in &heads {
        assert!(head.is_signed());
        for entry in all.iter().take(usize::try_from(head.size).unwrap()) {
            let path = catalog.audit_inclusion(entry.sequence, head.size).await.unwrap();
            let path: Vec<_> = path.iter().map(|text| hash(text)).collect();
            let leaf = merkle::leaf(entry.text().unwrap().as_bytes());
            let root = hash(&head.root);
            assert!(merkle::includes(&leaf, entry.sequence, head.size, &path, &root));
        }
        for later in heads.iter().filter(|later| later.size >= head.size) {
            let path = catalog.audit_consistency(head.size, later.size).await.unwrap();
            let path: Vec<_> = path.iter().map(|text| hash(text)).collect();
            let (first, second) = (hash(&head.root), hash(&later.root));
            assert!(merkle::is_consistent((head.size, &first), (later.size, &second), &path));
        }
    }
    for (first, second) in [(0, 7), (7, 8), (8, 7)] {
        assert!(catalog.audit_consistency(first, second).await.is_err());
    }
    assert!(catalog.audit_inclusion(7, 7).await.is_err());
    assert_eq!(verify(&catalog, heads.clone()).await.unwrap(), 7);
    // By the entries alone, as somebody has them who has no access to the database.
    let texts: Vec<String> = all.iter().map(|entry| entry.text().unwrap()).collect();
    assert_eq!(verify_text(&texts, heads).unwrap().heads, 7);
    // Another lab's head is no head of this log.
    let other =
        SignedHead { lab: LabName::new("anl").unwrap(), ..catalog.audit_head().await.unwrap() };
    assert!(catalog.audit_verify(&Principal::Owner, vec![other]).await.is_err());
}

#[tokio::test]
async fn whatever_is_changed_in_the_database_is_named() {
    for (statement, first) in [
        ("UPDATE audit SET entry = replace(entry, 'ornl.b@1', 'ornl.x@1') WHERE sequence = 2", 2),
        ("UPDATE audit SET person = 'person:eve' WHERE sequence = 4", 4),
        ("UPDATE audit SET dataset = NULL WHERE sequence = 3", 3),
        ("UPDATE audit SET entry = ' ' || entry WHERE sequence = 1", 1),
        ("UPDATE audit SET entry = 'x' WHERE sequence = 0", 0),
        ("DELETE FROM audit WHERE sequence = 5", 5),
        ("DELETE FROM audit WHERE sequence = 7", 7),
        ("DELETE FROM audit_node WHERE level = 1 AND position = 1", 3),
        ("DELETE FROM audit_node WHERE level = 0 AND position = 6", 6),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let catalog = busy(folder.path()).await;
        let head = catalog.audit_head().await.unwrap();
        assert_eq!(verify(&catalog, vec![head.clone()]).await.unwrap(), 8);
        super::tamper(folder.path(), &[statement]).await;
        match verify(&catalog, vec![head]).await.unwrap_err() {
            AuditFault::Entry { sequence, .. } => assert_eq!(sequence, first, "{statement}"),
            other => panic!("{statement}: {other}"),
        }
    }
}

/// Every column of every table of the log, in every row: what is found by it, or signed of it, is named.
#[tokio::test]
async fn no_column_of_the_log_is_changed_unnoticed() {
    let columns = [
        ("audit", "sequence", "sequence + 100", "sequence = 3"),
        ("audit", "sequence", "-1 - sequence", "sequence = 7"),
        ("audit", "at", "'2026-01-01T00:00:00Z'", "sequence = 3"),
        ("audit", "person", "person || 'x'", "sequence = 3"),
        ("audit", "act", "'withdraw'", "sequence = 3"),
        ("audit", "dataset", "'ornl.z'", "sequence = 3"),
        ("audit", "dataset", "'ornl.z'", "sequence = 0"),
        ("audit", "entry", "entry || ' '", "sequence = 3"),
        ("audit_node", "level", "level + 20", "filled_by = 3 AND level = 1"),
        ("audit_node", "position", "position + 1000", "filled_by = 3 AND level = 1"),
        ("audit_node", "filled_by", "filled_by + 1", "filled_by = 3 AND level = 1"),
        ("audit_node", "filled_by", "filled_by + 100000", "filled_by = 3 AND level = 1"),
        ("audit_node", "hash", "replace(hash, substr(hash, 1, 1), 'g')", "filled_by = 3"),
        ("audit_head", "size", "size + 1", "size = 4"),
        ("audit_head", "size", "-size", "size = 4"),
        ("audit_head", "head", "'x'", "size = 4"),
        ("audit_head", "head", "head || ' '", "size = 4"),
        ("audit_head", "head", "(SELECT head FROM audit_head WHERE size = 8)", "size = 4"),
    ];
    for (table, column, value, row) in columns {
        let folder = tempfile::tempdir().unwrap();
        let catalog = catalog(folder.path()).await;
        for name in ["a", "b", "c"] {
            catalog.register(&Principal::Owner, registered(name), data()).await.unwrap();
        }
        catalog.audit_head().await.unwrap();
        for name in ["d", "e", "f", "g"] {
            catalog.register(&Principal::Owner, registered(name), data()).await.unwrap();
        }
        catalog.audit_head().await.unwrap();
        assert_eq!(verify(&catalog, Vec::new()).await.unwrap(), 8);
        let statement = format!("UPDATE {table} SET {column} = {value} WHERE {row}");
        super::tamper(folder.path(), &[&statement]).await;
        match verify(&catalog, Vec::new()).await.unwrap_err() {
            AuditFault::Entry { sequence, .. } => {
                assert_ne!(table, "audit_head", "{statement}");
                let expected = if row == "sequence = 3" || row.contains("filled_by = 3") {
                    3
                } else {
                    row.trim_start_matches("sequence = ").parse().unwrap()
                };
                assert_eq!(sequence, expected, "{statement}");
            }
            AuditFault::Kept { size, .. } => {
                assert_eq!(table, "audit_head", "{statement}");
                let expected = match value {
                    "size + 1" => 5,
                    "-size" => -4,
                    _ => 4,
                };
                assert_eq!(size, expected, "{statement}");
            }
            other @ AuditFault::Head { .. } => panic!("{statement}: {other}"),
        }
    }
    // Rows that nobody wrote.
    for statement in [
        "INSERT INTO audit_node (level, position, filled_by, hash) VALUES (5, 9, 2, 'ab')",
        "INSERT INTO audit_node (level, position, filled_by, hash) VALUES (5, 9, 100000, 'ab')",
        "INSERT INTO audit (sequence, at, person, act, entry) VALUES (-5, 'a', 'b', 'c', 'd')",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let catalog = busy(folder.path()).await;
        super::tamper(folder.path(), &[statement]).await;
        assert!(verify(&catalog, Vec::new()).await.is_err(), "{statement}");
    }
    // A head that was moved is neither given out nor replaced by one that hides it.
    let folder = tempfile::tempdir().unwrap();
    let catalog = busy(folder.path()).await;
    catalog.register(&Principal::Owner, record("z"), data()).await.unwrap();
    let own = catalog.audit_head().await.unwrap();
    catalog.register(&Principal::Owner, record("y"), data()).await.unwrap();
    let moved = format!("UPDATE audit_head SET size = {0} + 1 WHERE size = {0}", own.size);
    super::tamper(folder.path(), &[&moved]).await;
    let error = catalog.audit_head().await.unwrap_err();
    assert!(error.to_string().contains("not for the place"), "{error}");
}

/// Who writes the database can make a log that fits together. A head that was signed before tells.
#[tokio::test]
async fn a_log_that_was_written_anew_is_not_the_one_that_was_signed() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = busy(folder.path()).await;
    let head = catalog.audit_head().await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let forged = busy(other.path()).await;
    assert_eq!(verify(&forged, Vec::new()).await.unwrap(), 8);
    assert!(matches!(verify(&forged, vec![head]).await, Err(AuditFault::Head { size: 8, .. })));
    // A log that lost its tail, tree and heads with it, is shorter than what was signed.
    let head = catalog.audit_head().await.unwrap();
    super::tamper(
        folder.path(),
        &[
            "DELETE FROM audit WHERE sequence >= 6",
            "DELETE FROM audit_node WHERE filled_by >= 6",
            "DELETE FROM audit_head",
        ],
    )
    .await;
    assert_eq!(verify(&catalog, Vec::new()).await.unwrap(), 6);
    let fault = verify(&catalog, vec![head]).await.unwrap_err();
    assert!(matches!(fault, AuditFault::Entry { sequence: 6, .. }), "{fault}");
}

#[tokio::test]
async fn an_act_that_fails_leaves_no_entry_and_a_lost_tree_stops_acts() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = busy(folder.path()).await;
    let bad = Record { title: String::new(), ..record("z") };
    catalog.register(&Principal::Owner, bad, data()).await.unwrap_err();
    assert_eq!(verify(&catalog, Vec::new()).await.unwrap(), 8);
    super::tamper(folder.path(), &["DELETE FROM audit_node WHERE level = 0 AND position = 7"])
        .await;
    let error = catalog.register(&Principal::Owner, record("z"), data()).await.unwrap_err();
    assert!(error.to_string().contains("tarn audit verify"), "{error}");
    let dataset = catalog.dataset(&Principal::Owner, &named("a")).await.unwrap();
    catalog.admit(&Principal::Owner, &dataset, Door::Sql).await.unwrap_err();
}

#[tokio::test]
async fn who_asks_for_what_is_hidden_is_in_the_log_and_hears_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let closed = super::policy::tiered(
        "closed",
        tarn_schemas::Tier::Restricted,
        tarn_schemas::record::Exposure::None,
    );
    catalog.register(&Principal::Owner, closed, data()).await.unwrap();
    catalog.register(&Principal::Owner, record("open"), data()).await.unwrap();
    let who = person(Scope::Read);
    let mut said = Vec::new();
    for text in ["closed", "closed@1", "absent", "open@7"] {
        let began = std::time::Instant::now();
        let error = catalog.dataset(&who, &named(text)).await.unwrap_err().to_string();
        assert!(began.elapsed() >= std::time::Duration::from_millis(9), "{text}");
        said.push(error.replace("closed", "absent"));
    }
    assert_eq!(said[0], said[2]);
    let looked = async || {
        let all = entries(&catalog, AuditFilter::default()).await;
        all.into_iter().filter(|entry| entry.act == Act::Discover).collect::<Vec<_>>()
    };
    for _ in 0..200 {
        if looked().await.len() >= 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let found = looked().await;
    let about: Vec<_> = found.iter().map(|entry| entry.dataset.clone().unwrap()).collect();
    assert_eq!(about, ["ornl.closed@1", "ornl.closed@1"]);
    assert!(found.iter().all(|e| e.outcome == Outcome::Refused && e.person == "person:ada"));
}

/// A copy of a home has the same log and another key. Somebody who kept what it signed may compare it, as
/// after a restore; what this node kept itself has to be its own.
#[tokio::test]
async fn a_head_of_another_key_is_compared_and_never_this_nodes_own() {
    let (home, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let catalog = busy(home.path()).await;
    let backup = home.path().join("backup");
    catalog.backup(std::fs::File::create(&backup).unwrap(), "").await.unwrap();
    let twin = Catalog::restore(copy.path(), &backup).await.unwrap();
    let own = catalog.audit_head().await.unwrap();
    let foreign = twin.audit_head().await.unwrap();
    assert_eq!((own.size, &own.root, &own.lab), (foreign.size, &foreign.root, &foreign.lab));
    assert!(own.key != foreign.key && foreign.is_signed());
    verify(&catalog, vec![own.clone()]).await.unwrap();
    assert_eq!(verify(&catalog, vec![own.clone(), foreign.clone()]).await.unwrap(), own.size);
    // The other's key under the own name, or the other way round, is no signature.
    for forged in [
        SignedHead { key: own.key.clone(), ..foreign.clone() },
        SignedHead { signature: foreign.signature.clone(), ..own.clone() },
    ] {
        assert!(!forged.is_signed());
        assert!(verify(&catalog, vec![forged]).await.is_err());
    }
    // Somebody who writes in the database puts it in the place of a kept one: it is not given out.
    let text = serde_json::to_string(&foreign).unwrap();
    let statement = format!("UPDATE audit_head SET head = '{text}' WHERE size = {}", own.size);
    super::tamper(home.path(), &[&statement]).await;
    let error = catalog.audit_head().await.unwrap_err();
    assert!(error.to_string().contains("not signed by this node"), "{error}");
    let fault = verify(&catalog, Vec::new()).await.unwrap_err();
    assert!(matches!(fault, AuditFault::Head { .. }), "{fault}");
    assert!(fault.to_string().contains(&foreign.key), "{fault}");
    // And what the other writes from then on is not this log.
    twin.register(&Principal::Owner, record("later"), data()).await.unwrap();
    catalog.register(&Principal::Owner, record("other"), data()).await.unwrap();
    let later = twin.audit_head().await.unwrap();
    super::tamper(home.path(), &["DELETE FROM audit_head"]).await;
    assert!(matches!(verify(&catalog, vec![later]).await, Err(AuditFault::Head { .. })));
}
