//! The key that a node signs visas with: ES256, because GA4GH's clearinghouses read RS256 and ES256.

use crate::{CatalogError, key_file};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The key, in the file `visa.key` of the home.
#[derive(Debug)]
pub(crate) struct VisaSigner {
    path: PathBuf,
    key: OnceLock<EcdsaKeyPair>,
}

impl VisaSigner {
    pub(crate) fn new(home: &Path) -> Self {
        Self { path: home.join("visa.key"), key: OnceLock::new() }
    }

    fn failed(&self, problem: impl std::fmt::Display) -> CatalogError {
        CatalogError::VisaKey(format!("{}: {problem}", self.path.display()))
    }

    fn key(&self) -> Result<&EcdsaKeyPair, CatalogError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let (method, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let bytes =
            key_file::read_or_make(&self.path, || EcdsaKeyPair::generate_pkcs8(method, &random))
                .map_err(|error| self.failed(error))?;
        let key = EcdsaKeyPair::from_pkcs8(method, &bytes, &random).map_err(|_| {
            self.failed("this is no key of the curve P-256; put the file back that was there")
        })?;
        Ok(self.key.get_or_init(|| key))
    }

    /// The public key as RFC 7517 has it, named by its thumbprint (RFC 7638).
    pub(crate) fn public(&self) -> Result<Value, CatalogError> {
        let point = self.key()?.public_key().as_ref();
        // SEC 1: the byte 4, then both coordinates.
        let (x, y) = point
            .split_first()
            .and_then(|(_, both)| both.split_at_checked(32))
            .ok_or_else(|| self.failed("it has no public part"))?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let named = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(Sha256::digest(named.as_bytes()));
        Ok(
            json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y}),
        )
    }

    /// Claims as a signed token. `keys` is where the public key is.
    pub(crate) fn sign(&self, claims: &Value, keys: &str) -> Result<String, CatalogError> {
        let kid = self.public()?.get("kid").cloned().unwrap_or_default();
        let header = json!({"alg": "ES256", "typ": "vnd.ga4gh.visa+jwt", "kid": kid, "jku": keys});
        let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encoded(&header), encoded(claims));
        let signature = self
            .key()?
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| self.failed("the system gives no random numbers"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
