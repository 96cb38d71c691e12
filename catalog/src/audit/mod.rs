//! The audit log: every decision about data above public and every act of a steward, in a chain that
//! shows when an entry is changed, taken out or put in.
//!
//! An entry is canonical JSON (RFC 8785) that holds the hash of the entry before it. Its own hash is
//! that of a leaf of the Merkle tree of RFC 9162, so that a short proof shows that an entry is in the
//! log, and that a longer log continues a shorter one. Signed heads name the state of the log at a
//! moment: whoever keeps one notices if what was before it is rewritten.
//!
//! An act and its entry are one transaction. A decision is written before data leave; if it cannot be
//! written, no data leave.

mod entry;
mod head;
mod log;
pub mod merkle;
mod verify;

pub use entry::{Act, AuditEntry, Outcome};
pub use head::SignedHead;
pub use log::AuditFilter;
pub use verify::{AuditFault, Verified, verify_text};

pub(crate) use entry::Said;
pub(crate) use head::{Signer, is_signed};

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of 64 lower-case hexadecimal digits.
pub(crate) fn hash_of(text: &str) -> Option<merkle::Hash> {
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let mut bytes = [0_u8; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let value = digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_written_in_one_way() {
        let hash = merkle::leaf(b"x");
        assert_eq!(hash_of(&hexadecimal(&hash)), Some(hash));
        for wrong in [String::new(), "ab".repeat(31), "AB".repeat(32), "zz".repeat(32)] {
            assert_eq!(hash_of(&wrong), None, "{wrong}");
        }
    }
}
