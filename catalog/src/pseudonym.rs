//! The key of pseudonyms: masked columns show them in place of text.

use crate::{Catalog, CatalogError, key_file};
use ring::rand::{SecureRandom, SystemRandom};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the key is for, as BLAKE3's derivation asks for it.
const CONTEXT: &str = "tarn 2026-11-22 pseudonyms of masked columns";

/// The key, in the file `mask.key` of the home. Without it pseudonyms can be neither made again nor
/// guessed by trying names.
#[derive(Debug)]
pub(crate) struct PseudonymKey {
    path: PathBuf,
    key: OnceLock<[u8; 32]>,
}

impl PseudonymKey {
    pub(crate) fn new(home: &Path) -> Self {
        Self { path: home.join("mask.key"), key: OnceLock::new() }
    }

    fn key(&self) -> Result<[u8; 32], CatalogError> {
        if let Some(key) = self.key.get() {
            return Ok(*key);
        }
        let failed =
            |problem: String| CatalogError::Policy(format!("{}: {problem}", self.path.display()));
        let bytes = key_file::read_or_make(&self.path, || {
            let mut bytes = [0_u8; 32];
            SystemRandom::new().fill(&mut bytes).map(|()| bytes)
        })
        .map_err(|error| failed(error.to_string()))?;
        if bytes.len() != 32 {
            return Err(failed(
                "this is no key of 32 bytes; put back the file that was there".into(),
            ));
        }
        Ok(*self.key.get_or_init(|| blake3::derive_key(CONTEXT, &bytes)))
    }
}

impl Catalog {
    /// The key of pseudonyms of this lab.
    ///
    /// # Errors
    /// [`CatalogError::Policy`] if its file can be neither read nor made.
    pub fn pseudonym_key(&self) -> Result<[u8; 32], CatalogError> {
        self.inner.pseudonyms.key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_and_is_not_the_files_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let key = PseudonymKey::new(folder.path()).key().unwrap();
        assert_eq!(PseudonymKey::new(folder.path()).key().unwrap(), key);
        assert_ne!(std::fs::read(folder.path().join("mask.key")).unwrap(), key);
        std::fs::write(folder.path().join("mask.key"), "short").unwrap();
        assert!(PseudonymKey::new(folder.path()).key().is_err());
    }
}
