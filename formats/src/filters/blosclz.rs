//! BloscLZ, the codec that Blosc brings along: the second level of FastLZ.
//!
//! A control byte below 32 stands before that many literal bytes and one more. Any other holds three
//! bits of length and five of distance; length 7 goes on in bytes up to the first that is not 255, a
//! byte with the rest of the distance follows, and the largest distance of all means that two more
//! bytes hold one beyond it. A match is three bytes at least. The first control byte is a literal's.

use super::lzf::{literal, repeat};
use crate::cursor::Cursor;

/// Largest distance without two more bytes.
const NEAR: usize = 8191;

/// Decompresses into `output`, which it must fill.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<()> {
    let mut cursor = Cursor::new(input);
    let mut control = usize::from(cursor.u8()? & 31);
    let mut at = 0_usize;
    loop {
        if control < 32 {
            at = literal(output, at, &mut cursor, control + 1)?;
        } else {
            let mut length = (control >> 5) + 2;
            if length == 9 {
                loop {
                    let more = usize::from(cursor.u8()?);
                    length = length.checked_add(more)?;
                    if more != 255 {
                        break;
                    }
                }
            }
            let mut distance = ((control & 31) << 8) + usize::from(cursor.u8()?);
            if distance == NEAR {
                distance += (usize::from(cursor.u8()?) << 8) + usize::from(cursor.u8()?);
            }
            at = repeat(output, at, distance + 1, length)?;
        }
        if cursor.remaining() == 0 {
            return (at == output.len()).then_some(());
        }
        control = usize::from(cursor.u8()?);
    }
}
