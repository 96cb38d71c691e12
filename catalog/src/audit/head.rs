//! Signed heads: what the log was at a moment.

use super::log::{count, hashes};
use super::{hash_of, hexadecimal, merkle};
use crate::register::timestamp;
use crate::{Catalog, CatalogError, key_file};
use chrono::Utc;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tarn_schemas::LabName;

/// The state of a log, signed by its node with Ed25519 (RFC 8032).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// When it was signed, RFC 3339 in UTC.
    pub at: String,
    /// Public key of the node, 64 hexadecimal digits.
    pub key: String,
    /// Whose log it is.
    pub lab: LabName,
    /// Root of the Merkle tree over the entries, in hexadecimal.
    pub root: String,
    /// Signature over the canonical JSON of the other fields, 128 hexadecimal digits.
    pub signature: String,
    /// Number of entries.
    pub size: u64,
}

/// What is signed, in the order of canonical JSON.
#[derive(Serialize)]
struct Signed<'a> {
    at: &'a str,
    key: &'a str,
    lab: &'a LabName,
    root: &'a str,
    size: u64,
}

impl SignedHead {
    fn signed(&self) -> Vec<u8> {
        let Self { at, key, lab, root, size, .. } = self;
        // Texts and a number: there is nothing that JSON could not hold.
        serde_json::to_vec(&Signed { at, key, lab, root, size: *size }).unwrap_or_default()
    }

    /// Whether the signature is that of the key that the head names. Whether that is the node's key,
    /// somebody has to know who keeps heads.
    pub fn is_signed(&self) -> bool {
        is_signed(&self.key, &self.signature, &self.signed())
    }
}

/// Whether a text was signed with the private part of a key. Key and signature are hexadecimal.
pub(crate) fn is_signed(key: &str, signature: &str, text: &[u8]) -> bool {
    let signature: Option<Vec<u8>> = (signature.len() == 128)
        .then(|| signature.split_at_checked(64))
        .flatten()
        .and_then(|(first, last)| Some([hash_of(first)?, hash_of(last)?].concat()));
    let (Some(key), Some(signature)) = (hash_of(key), signature) else { return false };
    UnparsedPublicKey::new(&ED25519, key).verify(text, &signature).is_ok()
}

/// The node's key, in the file `audit.key` of its home. It is made when it is first needed, and is not
/// in the database: who can write there cannot sign.
#[derive(Debug)]
pub(crate) struct Signer {
    path: PathBuf,
    key: OnceLock<Ed25519KeyPair>,
}

impl Signer {
    pub(crate) fn new(home: &Path) -> Self {
        Self { path: home.join("audit.key"), key: OnceLock::new() }
    }

    fn key(&self) -> Result<&Ed25519KeyPair, CatalogError> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let failed = |problem: String| {
            CatalogError::Audit(format!("its key {}: {problem}", self.path.display()))
        };
        let bytes = key_file::read_or_make(&self.path, || {
            Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
        })
        .map_err(|error| failed(error.to_string()))?;
        let key = Ed25519KeyPair::from_pkcs8(&bytes).map_err(|_| {
            failed("this is no Ed25519 key; put the file back that was there".to_owned())
        })?;
        Ok(self.key.get_or_init(|| key))
    }
}

impl Signer {
    /// The signature of a text, in hexadecimal.
    pub(crate) fn sign(&self, text: &[u8]) -> Result<String, CatalogError> {
        Ok(hexadecimal(self.key()?.sign(text).as_ref()))
    }
}

impl Catalog {
    /// The public key that this node signs with, in hexadecimal.
    pub(crate) fn audit_key(&self) -> Result<String, CatalogError> {
        Ok(hexadecimal(self.inner.signer.key()?.public_key().as_ref()))
    }

    /// The state of the log now, signed and kept. As long as nothing is added the head stays the same.
    pub async fn audit_head(&self) -> Result<SignedHead, CatalogError> {
        let database = &self.inner.database;
        let mut read = database.read().await?;
        let size = count(database, &mut read).await?;
        let kept = self.kept_heads(&mut read).await?;
        let own = self.audit_key()?;
        let kept = kept.into_iter().find(|kept| kept.stands_for(size));
        if let Some(head) = kept.map(|kept| kept.head()) {
            // Who writes to the database can put a head there, and cannot sign it.
            return head.ok().filter(|head| head.key == own && head.is_signed()).ok_or_else(|| {
                CatalogError::Audit(
                    "a kept head was not signed by this node, or not for the place where it stands; \
                     `tarn audit verify` says more"
                        .to_owned(),
                )
            });
        }
        let root = match size {
            0 => merkle::empty(),
            _ => hashes(database, &mut read, &[(0, size)]).await?.pop().unwrap_or_default(),
        };
        drop(read);
        let mut head = SignedHead {
            at: timestamp(Utc::now()),
            key: own,
            lab: self.lab().clone(),
            root: hexadecimal(&root),
            signature: String::new(),
            size,
        };
        head.signature = self.inner.signer.sign(&head.signed())?;
        let text =
            serde_json::to_string(&head).map_err(|error| database.unreadable("a head", &error))?;
        let mut write = database.write().await?;
        sqlx::query(
            "INSERT INTO audit_head (size, head) VALUES ($1, $2) ON CONFLICT (size) DO NOTHING",
        )
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(text)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await?;
        Ok(head)
    }

    /// The heads that this node kept, as they stand in the database, that of the shortest log first.
    pub(super) async fn kept_heads(
        &self,
        read: &mut sqlx::Transaction<'static, sqlx::Any>,
    ) -> Result<Vec<KeptHead>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT size, head FROM audit_head ORDER BY size")
            .fetch_all(&mut **read)
            .await
            .map_err(|error| database.error(&error))?;
        let kept = |row| {
            let (size, text) = (database.number(row, "size")?, database.text(row, "head")?);
            Ok(KeptHead { size, text })
        };
        rows.iter().map(kept).collect()
    }
}

/// A head as it stands in the database, where anybody who writes there may have changed it.
pub(super) struct KeptHead {
    /// By which it is found.
    pub(super) size: i64,
    text: String,
}

impl KeptHead {
    /// Whether it is found by this size.
    fn stands_for(&self, size: u64) -> bool {
        u64::try_from(self.size).is_ok_and(|own| own == size)
    }

    /// The head, or what is wrong with its row.
    pub(super) fn head(&self) -> Result<SignedHead, String> {
        let head: SignedHead =
            serde_json::from_str(&self.text).map_err(|error| format!("cannot be read: {error}"))?;
        if !self.stands_for(head.size) {
            return Err(format!("was signed of {} entries", head.size));
        }
        if serde_json::to_string(&head).ok().as_deref() != Some(&self.text) {
            return Err("is not written as it was".to_owned());
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_signed_by_the_key_of_the_home_and_by_no_other() {
        let home = tempfile::tempdir().unwrap();
        let signer = Signer::new(home.path());
        let key = signer.key().unwrap();
        let mut head = SignedHead {
            at: "2026-11-22T00:00:00Z".to_owned(),
            key: hexadecimal(key.public_key().as_ref()),
            lab: LabName::new("ornl").unwrap(),
            root: "ab".repeat(32),
            signature: String::new(),
            size: 3,
        };
        assert!(!head.is_signed());
        head.signature = hexadecimal(key.sign(&head.signed()).as_ref());
        assert!(head.is_signed());
        for forged in [
            SignedHead { size: 2, ..head.clone() },
            SignedHead { root: "ac".repeat(32), ..head.clone() },
            SignedHead { key: "ab".repeat(32), ..head.clone() },
            SignedHead { signature: "ab".repeat(64), ..head.clone() },
            SignedHead { signature: "é".repeat(64), ..head.clone() },
        ] {
            assert!(!forged.is_signed(), "{forged:?}");
        }
        // The same key the next time; a file that is none is said to be none, and left alone.
        let again = Signer::new(home.path());
        assert_eq!(hexadecimal(again.key().unwrap().public_key().as_ref()), head.key);
        std::fs::write(home.path().join("audit.key"), "x").unwrap();
        let error = Signer::new(home.path()).key().unwrap_err();
        assert!(error.to_string().contains("audit.key"), "{error}");
    }
}
