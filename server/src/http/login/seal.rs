//! Texts that a browser keeps for this node and can neither read nor change.
//!
//! The key is of this process: a login that is on its way when the node is restarted begins again.
//! Nothing of it is stored here, so that whoever calls `/login` again and again fills nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// A key.
#[derive(Debug)]
pub(super) struct Seal {
    /// `None` never happens: the key has the length that the algorithm asks for.
    key: Option<LessSafeKey>,
}

impl Default for Seal {
    fn default() -> Self {
        let mut key = [0_u8; 32];
        rand::rng().fill_bytes(&mut key);
        Self { key: UnboundKey::new(&CHACHA20_POLY1305, &key).ok().map(LessSafeKey::new) }
    }
}

impl Seal {
    /// A text, sealed.
    pub(super) fn close(&self, text: &str) -> Option<String> {
        let mut nonce = [0_u8; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let mut bytes = text.as_bytes().to_vec();
        let key = self.key.as_ref()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::empty(), &mut bytes).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &bytes].concat()))
    }

    /// The text again, if this key sealed it.
    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let text = self.key.as_ref()?.open_in_place(nonce, Aad::empty(), &mut rest).ok()?;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_key_that_sealed_opens_and_only_what_is_whole() {
        let (seal, other) = (Seal::default(), Seal::default());
        let sealed = seal.close("state and nonce").unwrap();
        assert_eq!(seal.open(&sealed).as_deref(), Some("state and nonce"));
        assert_eq!(other.open(&sealed), None);
        assert_ne!(seal.close("state and nonce").unwrap(), sealed);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last letter may hold bits that are no part of the text, and is refused by them.
            assert_eq!(seal.open(&changed), None, "{at}");
        }
        assert_eq!(seal.open(""), None);
    }
}
