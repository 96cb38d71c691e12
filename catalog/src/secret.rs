//! Secrets of tokens, peers and invitations: made of 32 random bytes, compared in constant time.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;

/// Least length of a secret that somebody else made: shorter ones can be guessed.
pub(crate) const SHORTEST: usize = 20;

/// 256 random bits as text.
fn random() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A new token: its public id and the whole text, `tarn_t_<id>_<secret>`.
pub(crate) fn new_token() -> (String, String) {
    let id = format!("{:08x}", rand::rng().next_u32());
    let token = format!("tarn_t_{id}_{}", random());
    (id, token)
}

/// The public id in the text of a token.
pub(crate) fn token_id(token: &str) -> Option<&str> {
    token.strip_prefix("tarn_t_")?.split_once('_').map(|(id, _)| id)
}

/// A new secret for two peers to share: `tarn_p_…`.
pub fn new_peer_secret() -> String {
    format!("tarn_p_{}", random())
}

/// How tokens of sessions begin.
pub(crate) const SESSION: &str = "tarn_s_";

/// A new token of a session.
pub(crate) fn new_session() -> String {
    format!("{SESSION}{}", random())
}

/// A new one-time token for an administrator: `tarn_a_…`.
pub(crate) fn new_administrator() -> String {
    format!("tarn_a_{}", random())
}

/// Hash under which a secret is stored. The secrets are random, so a fast hash is enough: there is
/// nothing to guess.
pub(crate) fn hash(secret: &str) -> String {
    blake3::hash(secret.as_bytes()).to_hex().to_string()
}

/// Whether a secret has this hash, in a time that does not depend on where they differ.
pub(crate) fn has_hash(secret: &str, stored: &str) -> bool {
    blake3::Hash::from_hex(stored).is_ok_and(|stored| blake3::hash(secret.as_bytes()) == stored)
}

/// Whether two secrets are the same, in a time that does not depend on where they differ.
pub(crate) fn equal(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_name_their_id_and_are_never_the_same() {
        let tokens: HashSet<_> = (0..100)
            .map(|_| {
                let (id, token) = new_token();
                assert_eq!(token_id(&token), Some(id.as_str()));
                assert_eq!(token.len(), 7 + 8 + 1 + 43);
                token
            })
            .collect();
        assert_eq!(tokens.len(), 100);
        for bad in ["", "tarn_t_", "tarn_t_abc", "tarn_p_abc_def", "Bearer tarn_t_a_b"] {
            assert_eq!(token_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_hash_belongs_to_one_secret() {
        let stored = hash("tarn_t_a_b");
        assert!(has_hash("tarn_t_a_b", &stored));
        assert!(!has_hash("tarn_t_a_c", &stored));
        assert!(!has_hash("tarn_t_a_b", "not a hash"));
        assert!(equal("x", "x") && !equal("x", "xy") && !equal("", "x"));
    }
}
