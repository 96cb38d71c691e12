//! Signed tokens (RFC 7515 in its compact form): taken apart, and their signature checked.

use super::OidcError;
use super::keys::Keys;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Longest token: a passport with many visas has some ten kilobytes.
const LONGEST: usize = 64 << 10;

/// Signing algorithms that are accepted: asymmetric ones. `none` and those with a shared secret
/// (`HS256`, …) have no name here, so that a public key can never be taken for a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    #[serde(alias = "Ed25519")]
    EdDSA,
}

/// What the header says that counts. Where keys are (`jku`, `x5u`, `jwk`, `x5c`) does not.
#[derive(Debug, Deserialize)]
struct Header {
    alg: Value,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

/// What a token is for, by its `typ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Access,
    Id,
    Visa,
}

/// A token whose signature nobody checked.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    claims: Map<String, Value>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Takes a token apart.
pub(super) fn parse(token: &str) -> Result<Unverified<'_>, OidcError> {
    if token.len() > LONGEST {
        return Err(OidcError::Malformed("it is longer than 64 KiB"));
    }
    let malformed = OidcError::Malformed("it does not have the form of one");
    let (signed, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
    let (header, claims) = signed.split_once('.').ok_or(malformed.clone())?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed.clone());
    let header: Header = serde_json::from_slice(&bytes(header)?).map_err(|_| malformed.clone())?;
    // Extensions that have to be understood: none are.
    if header.crit.is_some() {
        return Err(OidcError::Malformed("it needs extensions that are not known here"));
    }
    let algorithm = Algorithm::deserialize(header.alg).map_err(|_| OidcError::Algorithm)?;
    let claims = serde_json::from_slice(&bytes(claims)?).map_err(|_| malformed.clone())?;
    let signature = bytes(signature)?;
    Ok(Unverified { algorithm, kid: header.kid, typ: header.typ, claims, signed, signature })
}

impl Unverified<'_> {
    /// Who says to have issued it: to know whose keys are to be used.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// Whom it says to be for.
    pub(super) fn audiences(&self) -> Vec<String> {
        super::claims::texts(self.claims.get("aud"))
    }

    /// What of it is signed.
    pub(super) fn signed(&self) -> &str {
        self.signed
    }

    /// The claims, if one of the keys signed them and the token is of this kind.
    pub(super) fn verify(&self, keys: &Keys, kind: Kind) -> Result<&Map<String, Value>, OidcError> {
        keys.verify(self.algorithm, self.kid.as_deref(), self.signed.as_bytes(), &self.signature)?;
        // Tokens for other ends (logout, DPoP, …) name them; one without a name is of any.
        let typ = self.typ.as_deref().map(str::to_ascii_lowercase);
        let typ = typ.as_deref().map(|typ| typ.trim_start_matches("application/"));
        let fits = match typ {
            None | Some("jwt") => true,
            Some("at+jwt") => kind == Kind::Access,
            Some("vnd.ga4gh.visa+jwt") => kind == Kind::Visa,
            Some(_) => false,
        };
        if fits { Ok(&self.claims) } else { Err(OidcError::Malformed("it is for another end")) }
    }
}
