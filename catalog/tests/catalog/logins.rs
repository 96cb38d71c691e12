//! Logins, their sessions, and administrators.

use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::CatalogError;
use tarn_catalog::audit::{Act, AuditFilter, Outcome};
use tarn_connectors::oidc::{Assertion, OidcError, VisaGrants, subject_name};
use tarn_schemas::code::{Coded, ErrorCode};

const ISSUER: &str = "https://sso.lab.gov";

/// What an issuer says of somebody; each token is another one.
fn said(sub: &str, issued: i64, groups: &[&str]) -> Assertion {
    let now = chrono::Utc::now().timestamp();
    Assertion {
        issuer_name: "lab".to_owned(),
        issuer: ISSUER.to_owned(),
        sub: sub.to_owned(),
        name: subject_name(ISSUER, sub),
        called: format!("Dr {sub}"),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        affiliations: BTreeSet::new(),
        assurance: Some("medium".to_owned()),
        scope: Scope::Read,
        limit: None,
        issued: now + issued,
        expires: now + 600,
        visas: VisaGrants::default(),
        token: format!("{sub} {issued} {groups:?}"),
    }
}

fn principal(sub: &str, scope: Scope) -> Principal {
    Principal::Person { name: subject_name(ISSUER, sub), scope }
}

async fn groups(catalog: &Catalog, sub: &str) -> Vec<String> {
    let about = catalog.about(&principal(sub, Scope::Read)).await.unwrap();
    about.attributes.groups.into_iter().collect()
}

async fn outcomes(catalog: &Catalog, act: Act) -> Vec<(String, Outcome)> {
    let all = catalog.audit(&Principal::Owner, &AuditFilter::default()).await.unwrap();
    let all = all.into_iter().filter(|entry| entry.act == act);
    all.map(|entry| (entry.person, entry.outcome)).collect()
}

#[tokio::test]
async fn a_login_counts_once_and_its_session_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let session = catalog.begin_session(&said("ann", 0, &["dac"]), "browser", 12).await.unwrap();
    assert!(session.token.starts_with("tarn_s_"));
    let who = catalog.authenticate(&session.token).await.unwrap();
    assert_eq!(who, principal("ann", Scope::Read));
    assert_eq!(groups(&catalog, "ann").await, ["dac"]);
    catalog.check_current(&who).await.unwrap();
    assert!(catalog.check_current(&principal("ann", Scope::Write)).await.is_err());

    let again = catalog.begin_session(&said("ann", 0, &["dac"]), "terminal", 12).await.unwrap_err();
    assert!(matches!(again, CatalogError::Login(OidcError::Replayed)), "{again}");

    // The session has no secret in the database, and another process knows it.
    let elsewhere = Catalog::open(folder.path()).await.unwrap();
    assert_eq!(elsewhere.authenticate(&session.token).await.unwrap(), who);
    let mut backup = Vec::new();
    catalog.backup(&mut backup, "").await.unwrap();
    assert!(!String::from_utf8(backup).unwrap().contains(&session.token));

    assert!(elsewhere.end_session(&session.token).await.unwrap());
    assert!(!elsewhere.end_session(&session.token).await.unwrap());
    let error = catalog.authenticate(&session.token).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(catalog.check_current(&who).await.is_err());
    assert!(groups(&catalog, "ann").await.is_empty());
    let name = format!("person:{}", subject_name(ISSUER, "ann"));
    let expected = [(name.clone(), Outcome::Allowed), (name.clone(), Outcome::Refused)];
    assert_eq!(outcomes(&catalog, Act::Login).await, expected);
    assert_eq!(outcomes(&catalog, Act::Logout).await, [(name, Outcome::Allowed)]);
}

#[tokio::test]
async fn a_session_expires_and_another_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let one = catalog.begin_session(&said("ann", 0, &[]), "browser", 1).await.unwrap();
    let two = catalog.begin_session(&said("ann", 1, &[]), "terminal", 2).await.unwrap();
    let who = principal("ann", Scope::Read);
    assert!(catalog.end_session(&one.token).await.unwrap());
    catalog.check_current(&who).await.unwrap();
    super::tamper(
        folder.path(),
        &["UPDATE login_session SET expires_at = '2020-01-01T00:00:00.000000Z'"],
    )
    .await;
    let error = catalog.authenticate(&two.token).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    for wrong in ["tarn_s_", "tarn_s_x", &format!("{}x", two.token)] {
        let error = catalog.authenticate(wrong).await.unwrap_err();
        assert!(matches!(error, CatalogError::Unauthenticated("it is unknown here")), "{error}");
    }
}

#[tokio::test]
async fn the_newest_word_of_the_issuer_counts_beside_that_of_the_operator() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    catalog.begin_session(&said("ann", -20, &["dac", "old"]), "browser", 12).await.unwrap();
    catalog.begin_session(&said("ann", -10, &["new"]), "browser", 12).await.unwrap();
    catalog.begin_session(&said("ann", -15, &["dac"]), "browser", 12).await.unwrap();
    assert_eq!(groups(&catalog, "ann").await, ["new"]);
    let subject = format!("person:{}", subject_name(ISSUER, "ann"));
    let own = tarn_catalog::PersonAttributes {
        groups: ["board".to_owned()].into(),
        assurance: Some("low".to_owned()),
        ..Default::default()
    };
    catalog.put_person(&subject, &own).await.unwrap();
    let about = catalog.about(&principal("ann", Scope::Read)).await.unwrap();
    assert_eq!(about.attributes.groups, ["board", "new"].map(str::to_owned).into());
    // A lab that knows somebody less well than their issuer says so, and is believed.
    assert_eq!(about.attributes.assurance.as_deref(), Some("low"));
    assert_eq!(about.tiers, [Tier::Public, Tier::Registered]);
    // Somebody else has none of it.
    assert!(groups(&catalog, "bob").await.is_empty());
    catalog.remove_person(&subject).await.unwrap();
    assert!(groups(&catalog, "ann").await.is_empty() && catalog.logins().await.unwrap().is_empty());
}

#[tokio::test]
async fn visas_open_a_dataset_until_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let now = chrono::Utc::now().timestamp();
    let mut ann = said("ann", 0, &[]);
    ann.visas.datasets.insert(tarn_schemas::DatasetName::new("trial").unwrap());
    ann.visas.until = now + 100;
    catalog.begin_session(&ann, "browser", 12).await.unwrap();
    let who = principal("ann", Scope::Read);
    let about = catalog.about(&who).await.unwrap();
    assert_eq!(about.grants, ["ornl.trial".to_owned()].into());
    let mut later = Assertion { token: "later".to_owned(), issued: ann.issued + 1, ..ann };
    later.visas.until = now - 1;
    catalog.begin_session(&later, "browser", 12).await.unwrap();
    assert!(catalog.about(&who).await.unwrap().grants.is_empty());
    // Nothing that a visa says becomes a grant of this lab's committee, so none leaves again.
    assert!(catalog.visas(&who, "https://ornl.example").await.unwrap().is_empty());
    assert!(catalog.visas(&Principal::Anonymous, "https://ornl.example").await.is_err());
}

#[tokio::test]
async fn an_administrator_comes_by_a_token_that_works_once() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let once = catalog.invite_administrator().await.unwrap();
    let late = catalog.invite_administrator().await.unwrap();
    let (ann, bob) = (principal("ann", Scope::Read), principal("bob", Scope::Read));
    let session = catalog.begin_session(&said("ann", 0, &[]), "browser", 12).await.unwrap();
    for who in [Principal::Anonymous, Principal::Owner, person(Scope::Admin)] {
        let error = catalog.become_administrator(&who, &once).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
    }
    catalog.become_administrator(&ann, &once).await.unwrap();
    for who in [&bob, &ann] {
        let error = catalog.become_administrator(who, &once).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
    }
    super::tamper(
        folder.path(),
        &["UPDATE administrator_token SET expires_at = '2020-01-01T00:00:00.000000Z'"],
    )
    .await;
    assert!(catalog.become_administrator(&bob, &late).await.is_err());
    let who = catalog.authenticate(&session.token).await.unwrap();
    assert_eq!(who, principal("ann", Scope::Admin));
    let claims = outcomes(&catalog, Act::ClaimAdministrator).await;
    let kinds: Vec<Outcome> = claims.iter().map(|(_, outcome)| *outcome).collect();
    use Outcome::{Allowed, Refused};
    assert_eq!(kinds, [Allowed, Refused, Refused, Refused]);

    // A backup brings the administrator back, and no session.
    let path = folder.path().join("backup");
    catalog.backup(std::fs::File::create(&path).unwrap(), "").await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let again = Catalog::restore(other.path(), &path).await.unwrap();
    let name = subject_name(ISSUER, "ann");
    assert!(again.is_administrator(&name).await.unwrap());
    assert!(again.authenticate(&session.token).await.is_err());
}
