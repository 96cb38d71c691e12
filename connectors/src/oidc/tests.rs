//! Signatures, keys and visas, with keys made here.

use super::jws::{Algorithm, Kind, parse};
use super::keys::Keys;
use super::provider::Provider;
use super::visa::{Visa, read};
use super::{IssuerConfig, Issuers, OidcError, Tokens, VisaIssuerConfig, transport};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key of the curve P-256.
struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Self {
        let (method, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let bytes = EcdsaKeyPair::generate_pkcs8(method, &random).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(method, bytes.as_ref(), &random).unwrap())
    }

    fn published(&self, kid: &str) -> Value {
        let point = self.0.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig",
            "x": encoded(&point[1..33]), "y": encoded(&point[33..])})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let made = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", encoded(made))
    }
}

/// The order of the curve P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// A token signed with ES256, and the same with n - s in place of s.
fn said_twice(token: &str) -> (String, String) {
    let (signed, made) = token.rsplit_once('.').unwrap();
    let mut made = URL_SAFE_NO_PAD.decode(made).unwrap();
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i16::from(ORDER[at]) - i16::from(made[32 + at]) - borrow;
        borrow = i16::from(digit < 0);
        made[32 + at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    (token.to_owned(), format!("{signed}.{}", encoded(made)))
}

fn keys(all: &[Value]) -> Result<Keys, String> {
    Keys::parse(json!({ "keys": all }).to_string().as_bytes())
}

fn verdict(keys: &Keys, token: &str, kind: Kind) -> Result<(), OidcError> {
    parse(token)?.verify(keys, kind).map(drop)
}

#[test]
fn a_signature_counts_by_the_named_key_alone() {
    let (key, other) = (Key::new(), Key::new());
    let set = keys(&[key.published("a"), other.published("b")]).unwrap();
    let claims = json!({"sub": "x"});
    let of = |header: Value| verdict(&set, &key.sign(&header, &claims), Kind::Access);
    assert_eq!(of(json!({"alg": "ES256", "kid": "a"})), Ok(()));
    assert_eq!(of(json!({"alg": "ES256"})), Ok(()));
    assert_eq!(of(json!({"alg": "ES256", "kid": "b"})), Err(OidcError::Signature));
    assert_eq!(of(json!({"alg": "ES256", "kid": "c"})), Err(OidcError::UnknownKey));
    // A key of one kind is used by no algorithm of another.
    for alg in ["RS256", "PS256", "ES384", "EdDSA"] {
        assert_eq!(of(json!({"alg": alg, "kid": "a"})), Err(OidcError::UnknownKey), "{alg}");
    }
    for alg in ["none", "None", "HS256", "HS512", "es256", "", "RSA-OAEP"] {
        assert_eq!(of(json!({"alg": alg, "kid": "a"})), Err(OidcError::Algorithm), "{alg}");
    }
    assert_eq!(of(json!({"alg": ["ES256"], "kid": "a"})), Err(OidcError::Algorithm));
    // A key within the token is not looked at.
    let own = json!({"alg": "ES256", "kid": "z", "jwk": key.published("z"), "jku": "https://x"});
    assert_eq!(of(own), Err(OidcError::UnknownKey));
    let critical = of(json!({"alg": "ES256", "kid": "a", "crit": []}));
    assert!(matches!(critical, Err(OidcError::Malformed(_))), "{critical:?}");
}

#[test]
fn a_token_is_for_the_end_that_it_names() {
    let key = Key::new();
    let set = keys(&[key.published("a")]).unwrap();
    let fits = |typ: &str, kind: Kind| {
        let token = key.sign(&json!({"alg": "ES256", "typ": typ}), &json!({}));
        verdict(&set, &token, kind).is_ok()
    };
    for (typ, access, id, visa) in [
        ("JWT", true, true, true),
        ("at+jwt", true, false, false),
        ("application/at+JWT", true, false, false),
        ("vnd.ga4gh.visa+jwt", false, false, true),
        ("logout+jwt", false, false, false),
        ("dpop+jwt", false, false, false),
    ] {
        let found = [Kind::Access, Kind::Id, Kind::Visa].map(|kind| fits(typ, kind));
        assert_eq!(found, [access, id, visa], "{typ}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let key = Key::new();
    let set = keys(&[key.published("a")]).unwrap();
    let token = key.sign(&json!({"alg": "ES256", "kid": "a"}), &json!({"sub": "alice"}));
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verdict(&set, &changed, Kind::Access).is_err(), "{at}");
    }
    for cut in 0..token.len() {
        assert!(verdict(&set, &token[..cut], Kind::Access).is_err(), "{cut}");
    }
}

#[test]
fn ed25519_counts_and_other_kinds_of_keys_do_not() {
    let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap();
    let published = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(key.public_key())});
    let signed = format!("{}.{}", encoded(r#"{"alg":"EdDSA"}"#), encoded("{}"));
    let token = format!("{signed}.{}", encoded(key.sign(signed.as_bytes())));
    let set = keys(std::slice::from_ref(&published)).unwrap();
    assert_eq!(verdict(&set, &token, Kind::Access), Ok(()));
    let mut sealing = published.clone();
    sealing["use"] = json!("enc");
    let mut short = Key::new().published("s");
    short["x"] = json!(encoded([1; 31]));
    // A secret, a key for encryption, a point that is too short, another curve, no key at all.
    let secret = json!({"kty": "oct", "k": encoded("secret"), "alg": "HS256"});
    let curve = json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"});
    let useless = [sealing, short, secret, curve, json!(7)];
    // A set without a usable key is one: it takes the place of the one before.
    assert!(!keys(&useless).unwrap().has(Algorithm::EdDSA, None));
    assert!(keys(&[&useless[..], &[published]].concat()).is_ok());
    assert!(keys(&vec![json!({}); 65]).is_err());
}

const NOW: i64 = 1_800_000_000;

fn visa(changes: &Value) -> Result<Visa, OidcError> {
    let config: VisaIssuerConfig = serde_json::from_value(json!({
        "url": "https://dac.example", "jwks_url": "https://dac.example/jwks", "max_days": 10,
    }))
    .unwrap();
    let mut claims = json!({
        "iss": "https://dac.example", "sub": "v", "iat": NOW - 10, "exp": NOW + 3600,
        "ga4gh_visa_v1": {"type": "ControlledAccessGrants", "asserted": NOW - 86_400,
            "value": "https://ega.example/EGAD1", "source": "https://dac.example", "by": "dac"},
    });
    for (name, value) in changes.as_object().unwrap() {
        if claims["ga4gh_visa_v1"].get(name).is_some() || name == "conditions" {
            claims["ga4gh_visa_v1"][name] = value.clone();
        } else {
            claims[name] = value.clone();
        }
    }
    let key = Key::new();
    let token = key.sign(&json!({"alg": "ES256", "kid": "a"}), &claims);
    let set = keys(&[key.published("a")]).unwrap();
    read(&config, &parse(&token).unwrap(), &set, NOW)
}

#[test]
fn a_visa_ends_with_its_token_or_with_the_trust_in_it() {
    assert_eq!(visa(&json!({})).unwrap().until, NOW + 3600);
    // Ten days after it was asserted, whatever the token says.
    let old = json!({"asserted": NOW - 10 * 86_400 + 60});
    assert_eq!(visa(&old).unwrap().until, NOW + 60);
    assert_eq!(visa(&json!({"asserted": NOW - 10 * 86_400})), Err(OidcError::Expired));
    // The minute that clocks may differ lengthens no visa.
    assert_eq!(visa(&json!({"exp": NOW, "iat": NOW - 100})), Err(OidcError::Expired));
    assert_eq!(visa(&json!({"asserted": NOW + 61})), Err(OidcError::NotYet));
}

#[test]
fn a_visa_that_is_not_whole_or_not_understood_does_not_count() {
    assert!(visa(&json!({"conditions": []})).is_ok());
    for changes in [
        json!({"conditions": [[{"type": "ResearcherStatus"}]]}),
        json!({"conditions": {"type": "ResearcherStatus"}}),
        json!({"source": null}),
        json!({"type": 7}),
        json!({"value": null}),
        json!({"asserted": "yesterday"}),
        json!({"ga4gh_visa_v1": "x"}),
        json!({"iss": "https://other.example"}),
    ] {
        assert!(visa(&changes).is_err(), "{changes}");
    }
}

/// A server that publishes one key after another, and the number of times it was asked.
async fn publisher(sets: Vec<Value>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let number = counter.fetch_add(1, Ordering::SeqCst);
            let body = sets[number.min(sets.len() - 1)].to_string();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

#[tokio::test]
async fn keys_are_asked_for_once_whatever_tokens_name() {
    let key = Key::new();
    let set = json!({"keys": [key.published("a")]});
    let (url, asked) = publisher(vec![set]).await;
    let client = transport::client().unwrap();
    let provider = Arc::new(Provider::pinned(client, "https://dac.example".to_owned(), url));
    let all = (0..20).map(|number| {
        let provider = provider.clone();
        async move { provider.keys(Algorithm::ES256, Some(&format!("k{number}"))).await.unwrap() }
    });
    for found in futures::future::join_all(all).await {
        assert!(found.has(Algorithm::ES256, Some("a")) && !found.has(Algorithm::RS256, Some("a")));
    }
    provider.keys(Algorithm::ES256, Some("a")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_forgotten() {
    let (old, new) = (Key::new(), Key::new());
    let sets = [(&old, "old"), (&new, "new")];
    let sets = sets.map(|(key, kid)| json!({"keys": [key.published(kid)]}));
    let (url, asked) = publisher(sets.to_vec()).await;
    let client = transport::client().unwrap();
    let provider = Provider::pinned(client, "https://dac.example".to_owned(), url).without_pause();
    let has = |kid: &'static str| {
        let provider = &provider;
        async move {
            let keys = provider.keys(Algorithm::ES256, Some(kid)).await.unwrap();
            keys.has(Algorithm::ES256, Some(kid))
        }
    };
    assert!(has("old").await && has("old").await);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(has("new").await && has("new").await);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // What the issuer does not publish any more signs nothing here.
    assert!(!has("old").await);
}

#[tokio::test]
async fn withdrawn_keys_are_not_used_any_more() {
    let key = Key::new();
    let sets = vec![json!({"keys": [key.published("a")]}), json!({"keys": []})];
    let (url, _) = publisher(sets).await;
    let client = transport::client().unwrap();
    let provider = Provider::pinned(client, "https://dac.example".to_owned(), url).without_pause();
    assert!(provider.keys(Algorithm::ES256, Some("a")).await.is_ok());
    provider.keys(Algorithm::ES256, Some("b")).await.unwrap();
    let kept = provider.keys(Algorithm::ES256, Some("a")).await.unwrap();
    assert!(!kept.has(Algorithm::ES256, Some("a")));
}

/// An issuer that has stopped answering keeps nobody waiting whose key is known.
#[tokio::test]
async fn old_keys_are_asked_for_beside() {
    let key = Key::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let set = json!({"keys": [key.published("a")]}).to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if counter.fetch_add(1, Ordering::SeqCst) > 0 {
                open.push(stream);
                continue;
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", set.len());
            let answer = format!("{head}connection: close\r\n\r\n{set}");
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let client = transport::client().unwrap();
    let provider = Provider::pinned(client, "https://dac.example".to_owned(), url);
    let provider = provider.without_pause().never_fresh();
    for _ in 0..5 {
        let began = std::time::Instant::now();
        let keys = provider.keys(Algorithm::ES256, Some("a")).await.unwrap();
        assert!(keys.has(Algorithm::ES256, Some("a")));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// A stranger whose token makes this node ask, and who hangs up before the issuer has answered.
#[tokio::test]
async fn who_hangs_up_keeps_no_keys_from_others() {
    let key = Key::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
    let published = json!({"keys": [key.published("a")]});
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            let keys = String::from_utf8_lossy(&request[..read]).starts_with("GET /jwks");
            let body = if keys { published.to_string() } else { metadata.to_string() };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", body.len());
            let answer = format!("{head}connection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let brief = std::time::Duration::from_millis(50);
    for provider in [
        Provider::discovered(transport::client().unwrap(), url.clone()),
        Provider::pinned(transport::client().unwrap(), url.clone(), format!("{url}/jwks")),
    ] {
        let dropped = tokio::time::timeout(brief, provider.keys(Algorithm::ES256, Some("z"))).await;
        assert!(dropped.is_err());
        let keys = provider.keys(Algorithm::ES256, Some("a")).await.unwrap();
        assert!(keys.has(Algorithm::ES256, Some("a")));
    }
    // Nor is anything asked twice: metadata and keys, and keys.
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_not_asked_again_at_once() {
    let client = transport::client().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let provider = Provider::pinned(client, "https://dac.example".to_owned(), url);
    for _ in 0..2 {
        let error = provider.keys(Algorithm::ES256, None).await.unwrap_err();
        assert!(matches!(error, OidcError::Unreachable { .. }), "{error}");
    }
}

/// An issuer over HTTP: metadata, then keys.
#[tokio::test]
async fn an_access_token_is_checked_against_its_own_issuer() {
    let key = Key::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
    let published = json!({"keys": [key.published("a")]});
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap();
            let keys = String::from_utf8_lossy(&request[..read]).starts_with("GET /jwks");
            let body = if keys { published.to_string() } else { metadata.to_string() };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", body.len());
            let answer = format!("{head}connection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let config: IssuerConfig = serde_json::from_value(json!({
        "name": "lab", "url": url, "client_id": "web", "audience": ["urn:tarn:api"],
        "admin_group": "wheel",
    }))
    .unwrap();
    let home = tempfile::tempdir().unwrap();
    let issuers = Issuers::new(home.path(), std::slice::from_ref(&config), &[]).unwrap();
    assert!(Issuers::new(home.path(), &[config.clone(), config], &[]).is_err());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"iss": url, "sub": "ann", "aud": "urn:tarn:api", "iat": now,
        "exp": now + 60, "groups": ["wheel"]});
    let header = json!({"alg": "ES256", "kid": "a"});
    let said = issuers.accept(&key.sign(&header, &claims)).await.unwrap();
    assert_eq!((said.issuer.as_str(), said.sub.as_str()), (url.as_str(), "ann"));
    assert_eq!(said.scope, tarn_schemas::Scope::Admin);
    assert!(said.groups.contains("lab:wheel") && said.visas.is_empty());
    let wrong =
        [("at_hash", json!("x")), ("events", json!({})), ("iss", json!("https://evil.example"))];
    for (claim, value) in wrong {
        let mut wrong = claims.clone();
        wrong[claim] = value;
        assert!(issuers.accept(&key.sign(&header, &wrong)).await.is_err(), "{claim}");
    }
    let stranger = Key::new().sign(&header, &claims);
    assert_eq!(issuers.accept(&stranger).await, Err(OidcError::Signature));
    // The same text with the other signature that ECDSA allows is the same token.
    let (signed, made) = said_twice(&key.sign(&header, &claims));
    let [one, other] =
        [issuers.accept(&signed).await.unwrap(), issuers.accept(&made).await.unwrap()];
    assert!(signed != made && one.token == other.token);

    // A login by an access token that is for one node alone, and no other.
    let issuer = issuers.named(None).unwrap();
    let given =
        |claims: &Value| Tokens { id_token: None, access_token: Some(key.sign(&header, claims)) };
    let mut bound = claims.clone();
    bound["aud"] = json!("https://lake.lab.gov");
    assert!(issuer.terminal(&given(&bound), "https://lake.lab.gov").await.is_ok());
    for node in ["https://evil.example", "https://lake.lab.gov/", ""] {
        let refused = issuer.terminal(&given(&bound), node).await;
        assert!(matches!(refused, Err(OidcError::Audience { .. })), "{node}");
    }
    bound["aud"] = json!(["https://lake.lab.gov", "https://evil.example"]);
    assert!(issuer.terminal(&given(&bound), "https://lake.lab.gov").await.is_err());
    assert!(issuer.terminal(&given(&claims), "https://lake.lab.gov").await.is_err());
}
