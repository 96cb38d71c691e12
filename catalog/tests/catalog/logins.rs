//! Logins, their sessions, and administrators.

use super::support::*;
use std::collections::BTreeSet;
use tarn_catalog::audit::{Act, AuditFilter, Outcome};
use tarn_catalog::{CatalogError, SearchRequest};
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
        identities: BTreeSet::new(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        affiliations: BTreeSet::new(),
        assurance: Some("medium".to_owned()),
        scope: Scope::Read,
        limit: None,
        issued: now + issued,
        expires: now + 600,
        visas: VisaGrants::default(),
        rules: String::new(),
        token: format!("{sub} {issued} {groups:?}"),
    }
}

fn principal(sub: &str, scope: Scope) -> Principal {
    Principal::person(subject_name(ISSUER, sub), scope)
}

/// Who somebody is, however they came.
fn without_login(who: &Principal) -> Principal {
    match who {
        Principal::Person { name, scope, .. } => Principal::person(name, *scope),
        other => other.clone(),
    }
}

/// The groups of somebody who came by a session.
async fn groups_by(catalog: &Catalog, token: &str) -> Vec<String> {
    let who = catalog.authenticate(token).await.unwrap();
    catalog.about(&who).await.unwrap().attributes.groups.into_iter().collect()
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
    assert_eq!(without_login(&who), principal("ann", Scope::Read));
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
    catalog.put_person(&Principal::Owner, &subject, &own).await.unwrap();
    let about = catalog.about(&principal("ann", Scope::Read)).await.unwrap();
    assert_eq!(about.attributes.groups, ["board", "new"].map(str::to_owned).into());
    // A lab that knows somebody less well than their issuer says so, and is believed.
    assert_eq!(about.attributes.assurance.as_deref(), Some("low"));
    assert_eq!(about.tiers, [Tier::Public, Tier::Registered]);
    // Somebody else has none of it.
    assert!(groups(&catalog, "bob").await.is_empty());
    catalog.remove_person(&Principal::Owner, &subject).await.unwrap();
    assert!(groups(&catalog, "ann").await.is_empty());
}

#[tokio::test]
async fn who_is_locked_out_comes_back_by_nothing_that_was_said_before() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let (old, taken) = (said("ann", -3000, &["dac"]), said("ann", -10, &["staff"]));
    let session = catalog.begin_session(&taken, "browser", 12).await.unwrap();
    let who = catalog.authenticate(&session.token).await.unwrap();
    let subject = format!("person:{}", subject_name(ISSUER, "ann"));
    assert!(catalog.remove_person(&Principal::Owner, &subject).await.unwrap());
    assert!(catalog.authenticate(&session.token).await.is_err());
    assert!(catalog.check_current(&who).await.is_err());
    // Neither what was never shown, nor what an issuer said whose clock is fast.
    for late in [old.clone(), said("ann", 0, &["dac"]), said("ann", 55, &["dac"])] {
        for _ in 0..2 {
            let error = catalog.begin_session(&late, "terminal", 12).await.unwrap_err();
            assert!(matches!(error, CatalogError::Login(OidcError::LockedOut)), "{error}");
        }
    }
    assert!(groups(&catalog, "ann").await.is_empty());
    let logged = outcomes(&catalog, Act::Login).await;
    assert_eq!(logged.iter().filter(|(_, outcome)| *outcome == Outcome::Refused).count(), 3);
    // The operator still knows who it is.
    let logins = catalog.logins().await.unwrap();
    let [ann] = logins.as_slice() else { panic!("{logins:?}") };
    assert_eq!((ann.sub.as_str(), ann.called.as_str()), ("ann", "Dr ann"));
    assert!(ann.attributes.groups.is_empty() && ann.not_before > taken.issued);
    // What is said later counts, and opens nothing to what was said before.
    let new = catalog.begin_session(&said("ann", 70, &["dac"]), "browser", 12).await.unwrap();
    assert_eq!(groups_by(&catalog, &new.token).await, ["dac"]);
    let old = Assertion { token: "another".to_owned(), ..old };
    assert!(catalog.begin_session(&old, "browser", 12).await.is_err());
    assert_eq!(
        catalog.authenticate(&session.token).await.unwrap_err().code(),
        ErrorCode::Unauthenticated
    );
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
    let once = catalog.invite_administrator(&Principal::Owner).await.unwrap();
    let late = catalog.invite_administrator(&Principal::Owner).await.unwrap();
    let session = catalog.begin_session(&said("ann", 0, &[]), "browser", 12).await.unwrap();
    let other = catalog.begin_session(&said("bob", 0, &[]), "browser", 12).await.unwrap();
    let ann = catalog.authenticate(&session.token).await.unwrap();
    let bob = catalog.authenticate(&other.token).await.unwrap();
    // An API token with the name of a person who logged in is not that person.
    let same_name = principal("ann", Scope::Admin);
    for who in [Principal::Anonymous, Principal::Owner, person(Scope::Admin), same_name] {
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
    assert!(who.has_scope(Scope::Admin));
    let claims = outcomes(&catalog, Act::ClaimAdministrator).await;
    let kinds: Vec<Outcome> = claims.iter().map(|(_, outcome)| *outcome).collect();
    use Outcome::{Allowed, Refused};
    assert_eq!(kinds[..4], [Refused; 4]);
    assert_eq!(kinds[4..], [Allowed, Refused, Refused, Refused]);
    // Strangers who try again and again do not fill the log.
    for _ in 0..20 {
        assert!(catalog.become_administrator(&Principal::Anonymous, "tarn_a_x").await.is_err());
    }
    let claims = outcomes(&catalog, Act::ClaimAdministrator).await;
    assert_eq!(claims.iter().filter(|(person, _)| person == "anonymous").count(), 10);

    // A backup brings the administrator back, and no session.
    let path = folder.path().join("backup");
    catalog.backup(std::fs::File::create(&path).unwrap(), "").await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let again = Catalog::restore(other.path(), &path).await.unwrap();
    let name = subject_name(ISSUER, "ann");
    assert!(again.is_administrator(&name).await.unwrap());
    assert!(again.authenticate(&session.token).await.is_err());
    // Nor does a one-time token work again that was used since.
    let once = catalog.invite_administrator(&Principal::Owner).await.unwrap();
    catalog.backup(std::fs::File::create(&path).unwrap(), "").await.unwrap();
    let other = tempfile::tempdir().unwrap();
    let again = Catalog::restore(other.path(), &path).await.unwrap();
    let mallory = again.begin_session(&said("mallory", 0, &[]), "browser", 12).await.unwrap();
    let mallory = again.authenticate(&mallory.token).await.unwrap();
    assert!(again.become_administrator(&mallory, &once).await.is_err());
    let session = catalog.begin_session(&said("eve", 0, &[]), "browser", 12).await.unwrap();
    let eve = catalog.authenticate(&session.token).await.unwrap();
    catalog.become_administrator(&eve, &once).await.unwrap();
}

#[tokio::test]
async fn an_api_token_is_of_nobody_who_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let session = catalog.begin_session(&said("ann", 0, &["dac"]), "browser", 12).await.unwrap();
    let error = catalog
        .create_token(&Principal::Owner, &session.person.name, Scope::Read, 1)
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    // One of before that was refused.
    let token = catalog.create_token(&Principal::Owner, "robot", Scope::Read, 1).await.unwrap();
    catalog.authenticate(&token).await.unwrap();
    let statement = format!("UPDATE token SET name = '{}'", session.person.name);
    super::tamper(folder.path(), &[statement.as_str()]).await;
    let error = catalog.authenticate(&token).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(catalog.end_session(&session.token).await.unwrap());
    assert!(catalog.check_current(&principal("ann", Scope::Read)).await.is_err());
}

#[tokio::test]
async fn what_a_login_says_counts_for_itself_alone_and_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let begin = async |said: &Assertion, hours| {
        catalog.begin_session(said, "terminal", hours).await.unwrap().token
    };
    let plain = begin(&said("ann", -30, &["staff", "board"]), 12).await;
    let more = Assertion { scope: Scope::Admin, ..said("ann", -20, &["staff", "dac"]) };
    let raised = begin(&more, 1).await;
    let moment = more.issued;
    // The newer login takes the board from the older one, and lends it nothing.
    assert_eq!(groups_by(&catalog, &raised).await, ["dac", "staff"]);
    assert_eq!(groups_by(&catalog, &plain).await, ["staff"]);
    let scope = async |token: &str| {
        let who = catalog.authenticate(token).await.unwrap();
        [Scope::Admin, Scope::Write].into_iter().find(|scope| who.has_scope(*scope))
    };
    assert_eq!((scope(&raised).await, scope(&plain).await), (Some(Scope::Admin), None));
    let who = catalog.authenticate(&raised).await.unwrap();
    catalog.check_current(&who).await.unwrap();
    // It ends: nobody is administrator any more, and what it took away stays away.
    assert!(catalog.end_session(&raised).await.unwrap());
    assert!(catalog.check_current(&who).await.is_err());
    assert_eq!(
        (groups_by(&catalog, &plain).await, scope(&plain).await),
        (vec!["staff".to_owned()], None)
    );
    // A login of the same moment counts for itself, and changes nothing for others.
    let same = Assertion { issued: moment, ..said("ann", -20, &["other", "board"]) };
    let same = begin(&same, 12).await;
    assert_eq!(groups_by(&catalog, &same).await, ["board", "other"]);
    assert_eq!(groups_by(&catalog, &plain).await, ["staff"]);
}

#[tokio::test]
async fn a_login_that_limits_itself_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let once = catalog.invite_administrator(&Principal::Owner).await.unwrap();
    let limited = Assertion { limit: Some(Scope::Read), ..said("dan", 0, &["dac"]) };
    let limited = catalog.begin_session(&limited, "terminal", 12).await.unwrap().token;
    let whole =
        catalog.begin_session(&said("dan", 1, &["dac"]), "terminal", 12).await.unwrap().token;
    let [limited, whole] = [
        catalog.authenticate(&limited).await.unwrap(),
        catalog.authenticate(&whole).await.unwrap(),
    ];
    let closed = super::access::controlled("a", tarn_schemas::record::Exposure::Redacted);
    catalog.register(&Principal::Owner, closed, data()).await.unwrap();
    let ask = tarn_catalog::IntendedUse {
        purpose: "research".to_owned(),
        justification: "mortality by region".to_owned(),
        agreement: "cd".repeat(32),
        ..Default::default()
    };
    let ada = person(Scope::Read);
    let request = catalog.request_access(&ada, None, &named("a"), &ask).await.unwrap();
    for refused in [
        catalog.approve_access(&limited, &request.id, None).await.map(drop),
        catalog.deny_access(&limited, &request.id, "no").await,
        catalog.revoke_access(&limited, "x").await,
        catalog.become_administrator(&limited, &once).await,
        catalog.request_access(&limited, None, &named("a"), &ask).await.map(drop),
        catalog.save_search(&limited, "x", &SearchRequest::default()).await.map(drop),
        catalog.forget_search(&limited, "x").await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
        assert!(error.to_string().contains("tarn:read"), "{error}");
    }
    catalog.approve_access(&whole, &request.id, None).await.unwrap();
    catalog.become_administrator(&whole, &once).await.unwrap();
    // The administrator's limited login stays what it is.
    let again = Assertion { limit: Some(Scope::Write), ..said("dan", 2, &["dac"]) };
    let again = catalog.begin_session(&again, "terminal", 12).await.unwrap().token;
    let again = catalog.authenticate(&again).await.unwrap();
    assert!(again.has_scope(Scope::Write) && !again.has_scope(Scope::Admin));
}

#[tokio::test]
async fn a_session_ends_with_its_issuer_and_groups_are_read_by_todays_configuration() {
    use tarn_connectors::oidc::{IssuerConfig, Issuers};
    let folder = tempfile::tempdir().unwrap();
    let first = catalog(folder.path()).await;
    let begun = Assertion { scope: Scope::Write, ..said("ann", 0, &["stewards"]) };
    let rules_of = |config: &serde_json::Value| {
        let config: IssuerConfig = serde_json::from_value(config.clone()).unwrap();
        let issuers = Issuers::new(folder.path(), &[config], &[]).unwrap();
        issuers.of(ISSUER).unwrap().rules().to_owned()
    };
    let config = serde_json::json!({"name": "lab", "url": ISSUER, "client_id": "t", "group_prefix": "",
        "write_group": "stewards"});
    let begun = Assertion { rules: rules_of(&config), ..begun };
    let token = first.begin_session(&begun, "browser", 12).await.unwrap().token;
    let serving = async |configured: &[serde_json::Value]| {
        let configured: Vec<IssuerConfig> =
            configured.iter().map(|one| serde_json::from_value(one.clone()).unwrap()).collect();
        let catalog = Catalog::open(folder.path()).await.unwrap();
        catalog.accept_logins_of(Issuers::new(folder.path(), &configured, &[]).unwrap());
        catalog
    };
    let who = serving(std::slice::from_ref(&config)).await.authenticate(&token).await.unwrap();
    assert!(who.has_scope(Scope::Write));
    let mut other = config.clone();
    other["write_group"] = "others".into();
    let catalog = serving(&[other.clone()]).await;
    let now = catalog.authenticate(&token).await.unwrap();
    assert!(!now.has_scope(Scope::Write));
    // What runs since before the change may not write any more either.
    assert!(catalog.check_current(&who).await.is_err());
    catalog.check_current(&now).await.unwrap();
    // What was said by other rules counts no more: here of a prefix that was corrected.
    let mut corrected = config.clone();
    corrected["group_prefix"] = "lab:".into();
    let catalog = serving(&[corrected]).await;
    let error = catalog.authenticate(&token).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unauthenticated);
    assert!(catalog.about(&who).await.unwrap().attributes.groups.is_empty());
    assert!(catalog.check_current(&now).await.is_err());
    other["url"] = "https://elsewhere.gov".into();
    for catalog in [serving(&[]).await, serving(&[other]).await] {
        let error = catalog.authenticate(&token).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unauthenticated);
        assert!(catalog.about(&who).await.unwrap().attributes.groups.is_empty());
        assert!(catalog.check_current(&now).await.is_err());
    }
}

#[tokio::test]
async fn a_refusal_is_in_the_log_once_and_uses_no_token_up() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = catalog(folder.path()).await;
    let early = said("ann", 0, &[]);
    for _ in 0..3 {
        let named = (early.name.as_str(), early.token.as_str());
        catalog.note_refused_login(named, ISSUER, "terminal", &OidcError::NotYet).await.unwrap();
    }
    assert_eq!(outcomes(&catalog, Act::Login).await.len(), 1);
    catalog.begin_session(&early, "terminal", 12).await.unwrap();
    // What would be remembered for ever, or forgotten at once, is no login.
    let late = Assertion { expires: 300_000_000_000, ..said("bob", 0, &[]) };
    for _ in 0..2 {
        let error = catalog.begin_session(&late, "terminal", 12).await.unwrap_err();
        assert!(matches!(error, CatalogError::Login(OidcError::TooLong)), "{error}");
    }
    assert!(!catalog.end_session("junk").await.unwrap());
}
