//! The keys that an issuer publishes (RFC 7517).

use super::OidcError;
use super::jws::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// Most keys of an issuer.
const MOST: usize = 64;

/// Public keys for signatures.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, if it says so.
    alg: Option<String>,
    material: Material,
}

#[derive(Debug, Clone)]
enum Material {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Debug, Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Published {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    usage: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
}

impl Keys {
    /// The keys for signatures in a JWKS. Those of other kinds are left out, as the standard says.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let set: Set =
            serde_json::from_slice(bytes).map_err(|_| "its keys cannot be read".to_owned())?;
        if set.keys.len() > MOST {
            return Err(format!("it publishes more than {MOST} keys"));
        }
        // None at all is an answer too: whoever withdrew their keys is to be believed.
        Ok(Self { keys: set.keys.into_iter().filter_map(key).collect() })
    }

    /// Whether a token that names this key could be checked.
    pub(super) fn has(&self, algorithm: Algorithm, kid: Option<&str>) -> bool {
        self.candidates(algorithm, kid).next().is_some()
    }

    fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        kid: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(move |key| {
            kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)) && key.fits(algorithm)
        })
    }

    /// Whether one of the keys made this signature.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        made: &[u8],
    ) -> Result<(), OidcError> {
        let mut refusal = OidcError::UnknownKey;
        for key in self.candidates(algorithm, kid) {
            if key.material.verify(algorithm, message, made) {
                return Ok(());
            }
            refusal = OidcError::Signature;
        }
        Err(refusal)
    }
}

/// A published key, if it is one for signatures of a kind that is known.
fn key(value: serde_json::Value) -> Option<Key> {
    let found: Published = serde_json::from_value(value).ok()?;
    if found.usage.as_deref().is_some_and(|usage| usage != "sig") {
        return None;
    }
    let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    // A point as SEC 1 writes it: both coordinates in full length.
    let point = |length: usize| {
        let (x, y) = (bytes(&found.x)?, bytes(&found.y)?);
        (x.len() == length && y.len() == length).then(|| [vec![4], x, y].concat())
    };
    let material = match (found.kty.as_str(), found.crv.as_deref()) {
        ("RSA", _) => Material::Rsa { n: bytes(&found.n)?, e: bytes(&found.e)? },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&found.x)?),
        _ => return None,
    };
    Some(Key { kid: found.kid, alg: found.alg, material })
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => {
                matches!(self.material, Material::Rsa { .. })
            }
            ES256 => matches!(self.material, Material::P256(_)),
            ES384 => matches!(self.material, Material::P384(_)),
            EdDSA => matches!(self.material, Material::Ed25519(_)),
        };
        let named = match &self.alg {
            None => true,
            Some(alg) if alg == "Ed25519" => algorithm == EdDSA,
            Some(alg) => *alg == format!("{algorithm:?}"),
        };
        kind && named
    }
}

impl Material {
    fn verify(&self, algorithm: Algorithm, message: &[u8], made: &[u8]) -> bool {
        match self {
            Self::Rsa { n, e } => rsa(algorithm).is_some_and(|parameters| {
                RsaPublicKeyComponents { n, e }.verify(parameters, message, made).is_ok()
            }),
            Self::P256(point) => {
                let method = &signature::ECDSA_P256_SHA256_FIXED;
                UnparsedPublicKey::new(method, point).verify(message, made).is_ok()
            }
            Self::P384(point) => {
                let method = &signature::ECDSA_P384_SHA384_FIXED;
                UnparsedPublicKey::new(method, point).verify(message, made).is_ok()
            }
            Self::Ed25519(key) => {
                UnparsedPublicKey::new(&signature::ED25519, key).verify(message, made).is_ok()
            }
        }
    }
}

/// How RSA is used by an algorithm; keys of fewer than 2048 bits are refused by all of them.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::RS256 => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&signature::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&signature::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&signature::RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => None,
    }
}
