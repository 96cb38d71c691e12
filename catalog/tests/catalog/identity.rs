//! Tokens, peers, invitations.

use super::support::*;
use tarn_catalog::{CatalogError, Peer, new_peer_secret};
use tarn_schemas::code::{Coded, ErrorCode};

#[tokio::test]
async fn a_token_signs_in_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let token = catalog.create_token(&Principal::Owner, "ada", Scope::Write, 30).await.unwrap();
    let other = catalog.create_token(&Principal::Owner, "bob", Scope::Read, 30).await.unwrap();
    assert!(token.starts_with("tarn_t_"));
    let who = catalog.authenticate(&token).await.unwrap();
    assert_eq!(who, person(Scope::Write));

    let listed = catalog.tokens(&Principal::Owner).await.unwrap();
    assert_eq!(listed.len(), 2);
    let ada = listed.iter().find(|token| token.name == "ada").unwrap();
    assert!(token.contains(&ada.id) && ada.revoked_at.is_none());

    // By name, from another process.
    let elsewhere = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(elsewhere.revoke_token(&Principal::Owner, "ada").await.unwrap(), 1);
    assert_eq!(elsewhere.revoke_token(&Principal::Owner, "ada").await.unwrap(), 0);
    let error = catalog.authenticate(&token).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(error.to_string().contains("revoked"), "{error}");
    // By id.
    catalog.authenticate(&other).await.unwrap();
    let id = other.split('_').nth(2).unwrap();
    assert_eq!(catalog.revoke_token(&Principal::Owner, id).await.unwrap(), 1);
    assert!(catalog.authenticate(&other).await.is_err());
}

#[tokio::test]
async fn wrong_tokens_are_unknown_whatever_is_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let token = catalog.create_token(&Principal::Owner, "ada", Scope::Read, 1).await.unwrap();
    let last = if token.ends_with('A') { "E" } else { "A" };
    let changed = format!("{}{last}", &token[..token.len() - 1]);
    let id_only = token.rsplit_once(&token[16..]).unwrap().0.to_owned();
    catalog.revoke_token(&Principal::Owner, "ada").await.unwrap();
    for wrong in
        [changed, id_only, String::new(), "tarn_t_".to_owned(), format!("{token}x"), "x".repeat(9)]
    {
        let error = catalog.authenticate(&wrong).await.unwrap_err();
        // Also that it was revoked is told to its holder only.
        assert!(matches!(error, CatalogError::Unauthenticated("it is unknown here")), "{error}");
    }
}

#[tokio::test]
async fn a_token_expires_and_no_secret_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let token = catalog.create_token(&Principal::Owner, "ada", Scope::Read, 1).await.unwrap();
    let secret = &token[16..];
    // A day later, as the database has it.
    super::tamper(folder.path(), &["UPDATE token SET expires_at = '2020-01-01T00:00:00.000000Z'"])
        .await;
    let error = catalog.authenticate(&token).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    let mut backup = Vec::new();
    catalog.backup(&mut backup, "").await.unwrap();
    let mut bytes = backup;
    for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
        bytes.extend(std::fs::read(folder.path().join(name)).unwrap_or_default());
    }
    let contains = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(contains("ada") && !contains(secret));
}

#[tokio::test]
async fn tokens_have_a_name_and_a_sensible_life() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    for (name, days) in [("", 1), (" ", 1), ("a\nb", 1), ("a", 0), ("a", u32::MAX)] {
        let error =
            catalog.create_token(&Principal::Owner, name, Scope::Read, days).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{name:?} {days}");
    }
}

fn peer(lab: &str) -> Peer {
    Peer {
        lab: LabName::new(lab).unwrap(),
        flight: "http://127.0.0.1:1".to_owned(),
        http: "http://127.0.0.1:2".to_owned(),
        secret: new_peer_secret(),
        since: "2026-11-22T00:00:00Z".to_owned(),
        key: None,
    }
}

#[tokio::test]
async fn peers_are_remembered_recognised_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let (anl, llnl) = (peer("anl"), peer("llnl"));
    catalog.put_peer(anl.clone()).await.unwrap();
    catalog.put_peer(llnl.clone()).await.unwrap();
    assert_eq!(catalog.peers().await.unwrap(), [anl.clone(), llnl.clone()]);
    assert_eq!(catalog.authenticate_peer(&llnl.secret).await.unwrap(), llnl);
    for wrong in ["", "tarn_p_x", &anl.secret[1..]] {
        let error = catalog.authenticate_peer(wrong).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
    }

    catalog.put_peer_tables(&anl.lab, "[1]").await.unwrap();
    catalog.put_peer_tables(&anl.lab, "[2]").await.unwrap();
    assert_eq!(catalog.peer_tables(&anl.lab).await.unwrap().unwrap().0, "[2]");
    assert_eq!(catalog.peer_tables(&llnl.lab).await.unwrap(), None);
    // A new secret does not lose what is known.
    let renewed = Peer { secret: new_peer_secret(), ..anl.clone() };
    catalog.put_peer(renewed.clone()).await.unwrap();
    assert!(catalog.authenticate_peer(&anl.secret).await.is_err());
    assert_eq!(catalog.authenticate_peer(&renewed.secret).await.unwrap(), renewed);
    assert!(catalog.peer_tables(&anl.lab).await.unwrap().is_some());

    assert!(catalog.remove_peer(&anl.lab).await.unwrap());
    assert!(!catalog.remove_peer(&anl.lab).await.unwrap());
    assert_eq!(catalog.peer_tables(&anl.lab).await.unwrap(), None);
    assert!(catalog.authenticate_peer(&renewed.secret).await.is_err());
    let error = catalog.put_peer_tables(&anl.lab, "[]").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_peer_is_another_lab_with_a_secret_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let own = catalog.put_peer(peer("ornl")).await.unwrap_err();
    assert_eq!(own.code(), ErrorCode::InvalidArgument);
    let empty = Peer { secret: String::new(), ..peer("anl") };
    assert_eq!(catalog.put_peer(empty).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    let anl = peer("anl");
    catalog.put_peer(anl.clone()).await.unwrap();
    let same = Peer { secret: anl.secret.clone(), ..peer("llnl") };
    assert_eq!(catalog.put_peer(same).await.unwrap_err().code(), ErrorCode::Conflict);
    assert!(!format!("{anl:?}").contains(&anl.secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_invitation_is_redeemed_once_even_if_many_try_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let handles = [catalog(folder.path()).await, Catalog::open(folder.path()).await.unwrap()];
    let secret = new_peer_secret();
    assert!(!handles[0].redeem_invitation(&secret).await.unwrap());
    handles[0].put_invitation(&secret).await.unwrap();
    let work: Vec<_> = (0..8)
        .map(|number| {
            let (catalog, secret) = (handles[number % 2].clone(), secret.clone());
            tokio::spawn(async move { catalog.redeem_invitation(&secret).await.unwrap() })
        })
        .collect();
    let mut redeemed = 0;
    for work in work {
        redeemed += u32::from(work.await.unwrap());
    }
    assert_eq!(redeemed, 1);
    assert!(handles[0].put_invitation("short").await.is_err());
}
