//! Tickets, handles and states that only nodes of this catalog can make and only their principal can use.

use super::status::{refuse, to_status};
use crate::engine::Engine;
use crate::error::QueryError;
use bytes::Bytes;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tarn_schemas::Principal;
use tarn_schemas::code::ErrorCode;
use tonic::Status;

/// How every sealed text begins: no JSON and no Flight SQL message begins so.
const MAGIC: &[u8; 4] = b"TRN1";
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 4 + 1 + 8;

/// What a sealed text is for. One kind cannot be used in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A planned statement that runs once.
    Statement = 1,
    /// A prepared statement.
    Prepared = 2,
    /// A stream.
    Stream = 3,
    /// Where a stream was.
    State = 4,
}

/// After which time the key is looked up again, so that one that was replaced soon seals and opens nothing.
const REFRESH: Duration = Duration::from_secs(2);

/// The key.
pub(crate) struct Seal {
    key: Mutex<([u8; 32], Option<Instant>)>,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// A random key, which is that of the process alone until the catalog's was looked up.
    pub(crate) fn new() -> Self {
        Self { key: Mutex::new((rand::random(), None)) }
    }

    /// Takes the catalog's key, which outlives the process and is that of every node of the catalog.
    pub(crate) async fn refresh(&self, engine: &Engine) -> Result<(), Status> {
        let Some(catalog) = engine.catalog() else { return Ok(()) };
        let (_, asked) = *self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|asked| asked.elapsed() < REFRESH) {
            return Ok(());
        }
        let key = catalog.seal_key().await;
        let key = key.map_err(|error| to_status(&QueryError::Catalog(error)))?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = (key, Some(Instant::now()));
        Ok(())
    }

    /// The cipher, whose key is made of the catalog's for this alone.
    fn cipher(&self) -> Result<LessSafeKey, Status> {
        let (key, _) = *self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key =
            blake3::derive_key("tarn 2026-11-23 tickets, handles and states of streams", &key);
        UnboundKey::new(&CHACHA20_POLY1305, &key)
            .map(LessSafeKey::new)
            .map_err(|error| failed(&error))
    }

    /// What is authenticated beside the payload: what stands before it, and who it is for.
    fn beside(head: &[u8], who: &Principal) -> Result<Aad<Vec<u8>>, Status> {
        let who = serde_json::to_vec(who).map_err(|error| failed(&error))?;
        Ok(Aad::from([head, &who].concat()))
    }

    /// Seals a payload for a principal, so that nobody else can read it either.
    pub(crate) fn close(
        &self,
        kind: Kind,
        who: &Principal,
        life: Duration,
        payload: &[u8],
    ) -> Result<Bytes, Status> {
        let expires = seconds_now().saturating_add(life.as_secs());
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = Vec::with_capacity(HEAD_BYTES + NONCE_LEN + payload.len() + TAG_BYTES);
        sealed.extend_from_slice(MAGIC);
        sealed.push(kind as u8);
        sealed.extend_from_slice(&expires.to_le_bytes());
        let beside = Self::beside(&sealed, who)?;
        sealed.extend_from_slice(&nonce);
        let mut secret = payload.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), beside, &mut secret)
            .map_err(|error| failed(&error))?;
        sealed.extend(secret);
        Ok(sealed.into())
    }

    /// The payload, if this key sealed it for this principal and its time has not passed.
    pub(crate) fn open(&self, kind: Kind, who: &Principal, text: &[u8]) -> Result<Vec<u8>, Status> {
        let refused =
            || refuse(ErrorCode::PermissionDenied, "the ticket was not made for you by this node");
        let (head, rest) = text.split_at_checked(HEAD_BYTES).ok_or_else(refused)?;
        let (nonce, secret) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(refused)?;
        let mut payload = secret.to_vec();
        let length = self
            .cipher()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Self::beside(head, who)?,
                &mut payload,
            )
            .map_err(|_| refused())?
            .len();
        payload.truncate(length);
        let (magic, head) = head.split_at_checked(MAGIC.len()).ok_or_else(refused)?;
        let (own, expires) = head.split_first().ok_or_else(refused)?;
        let expires = u64::from_le_bytes(expires.try_into().map_err(|_| refused())?);
        if magic != MAGIC || *own != kind as u8 {
            return Err(refused());
        }
        if expires < seconds_now() {
            let code = match kind {
                Kind::Stream => ErrorCode::PlanExpired,
                _ => ErrorCode::Conflict,
            };
            return Err(refuse(code, "the ticket has expired; ask for a new one"));
        }
        Ok(payload)
    }
}

fn failed(error: &dyn std::fmt::Display) -> Status {
    super::status::hidden(ErrorCode::Internal, "the node failed", error)
}

/// Whether bytes look like a sealed text.
pub(crate) fn is_sealed(text: &[u8]) -> bool {
    text.starts_with(MAGIC)
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    #[test]
    fn only_the_principal_and_the_kind_it_was_made_for_open_a_seal() {
        let seal = Seal::new();
        let ada = Principal::person("ada", tarn_schemas::Scope::Read);
        let text = seal.close(Kind::Stream, &ada, LIFE, b"payload").unwrap();
        assert_eq!(seal.open(Kind::Stream, &ada, &text).unwrap(), b"payload");
        assert!(seal.open(Kind::Statement, &ada, &text).is_err());
        assert!(seal.open(Kind::Stream, &Principal::Anonymous, &text).is_err());
        assert!(Seal::new().open(Kind::Stream, &ada, &text).is_err());
    }

    #[test]
    fn a_changed_or_cut_text_does_not_open() {
        let seal = Seal::new();
        let who = Principal::Anonymous;
        let text = seal.close(Kind::Stream, &who, LIFE, b"payload").unwrap();
        for at in 0..text.len() {
            let mut changed = text.to_vec();
            changed[at] ^= 1;
            assert!(seal.open(Kind::Stream, &who, &changed).is_err(), "byte {at}");
            assert!(seal.open(Kind::Stream, &who, &text[..at]).is_err(), "length {at}");
        }
    }

    #[test]
    fn a_seal_expires() {
        let seal = Seal::new();
        let who = Principal::Anonymous;
        let text = seal.close(Kind::Stream, &who, Duration::ZERO, b"").unwrap();
        std::thread::sleep(Duration::from_millis(2100));
        assert_eq!(
            seal.open(Kind::Stream, &who, &text).unwrap_err().code(),
            tonic::Code::FailedPrecondition
        );
    }
}
