//! The cursor that travels in `app_metadata` of every batch of a stream.

use crate::order_hash::OrderHash;

/// First four bytes of a cursor: "TRNC".
const MAGIC: [u8; 4] = *b"TRNC";
/// Version of the layout.
const VERSION: u16 = 1;
/// Length of a cursor in bytes.
const LENGTH: usize = 48;

/// The last batch of the epoch for this rank.
const LAST: u16 = 1;
/// The message is of no batch: it says that the node is there.
const HEARTBEAT: u16 = 2;
/// Rows beyond `rows` fill the step and do not count.
const PADDED: u16 = 4;

/// Where a stream is after a batch.
///
/// On the wire it is 48 bytes, little-endian: `magic [u8; 4] = "TRNC"`, `version u16 = 1`,
/// `flags u16` (bit 0: last batch of the epoch; bit 1: a heartbeat, without a batch; bit 2: filled up with rows
/// that do not count), `plan u64` (first eight bytes of the plan id),
/// `epoch u32`, `n_valid u32`, `step u64`, `next_position u64`, `crc32c u32` (0: not computed),
/// `reserved u32 = 0`. A reader must accept more bytes after it: over Flight the state after the batch, sealed, which
/// `resume` takes in base64url. `step` and `next_position` of a heartbeat are those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The first eight bytes of the plan's id.
    pub plan: u64,
    /// Epoch.
    pub epoch: u32,
    /// Rows of the batch that count.
    pub rows: u32,
    /// Number of the step, counted from the start of this stream.
    pub step: u64,
    /// Global position in rows after this step: the `start` of a stream that goes on from here.
    pub next_position: u64,
    /// Whether this is the last batch of the epoch.
    pub last: bool,
    /// Whether it stands for no batch, and says only that the node is there.
    pub heartbeat: bool,
    /// Whether the batch has more rows than count.
    pub padded: bool,
    /// Sum over the samples of the batch that count. It is not in the 48 bytes.
    pub hash: OrderHash,
}

impl Cursor {
    /// The bytes on the wire.
    pub fn to_bytes(self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        let said = [(self.last, LAST), (self.heartbeat, HEARTBEAT), (self.padded, PADDED)];
        let flags = said.into_iter().filter(|(is, _)| *is).fold(0_u16, |all, (_, flag)| all | flag);
        let fields: [&[u8]; 8] = [
            &MAGIC,
            &VERSION.to_le_bytes(),
            &flags.to_le_bytes(),
            &self.plan.to_le_bytes(),
            &self.epoch.to_le_bytes(),
            &self.rows.to_le_bytes(),
            &self.step.to_le_bytes(),
            &self.next_position.to_le_bytes(),
        ];
        for (target, byte) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *target = *byte;
        }
        bytes
    }

    /// Reads a cursor; `None` if the bytes are none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
            bytes.get(at..at.checked_add(N)?)?.try_into().ok()
        }
        if bytes.len() < LENGTH
            || field(bytes, 0)? != MAGIC
            || u16::from_le_bytes(field(bytes, 4)?) != VERSION
        {
            return None;
        }
        let flags = u16::from_le_bytes(field(bytes, 6)?);
        Some(Self {
            last: flags & LAST != 0,
            heartbeat: flags & HEARTBEAT != 0,
            padded: flags & PADDED != 0,
            plan: u64::from_le_bytes(field(bytes, 8)?),
            epoch: u32::from_le_bytes(field(bytes, 16)?),
            rows: u32::from_le_bytes(field(bytes, 20)?),
            step: u64::from_le_bytes(field(bytes, 24)?),
            next_position: u64::from_le_bytes(field(bytes, 32)?),
            hash: OrderHash::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_has_the_documented_layout_and_reads_back() {
        let cursor = Cursor {
            plan: 0x0807_0605_0403_0201,
            epoch: 9,
            rows: 256,
            step: 3,
            next_position: 1024,
            last: true,
            heartbeat: false,
            padded: true,
            hash: OrderHash::default(),
        };
        let bytes = cursor.to_bytes();
        assert_eq!(&bytes[..8], b"TRNC\x01\x00\x05\x00");
        assert_eq!(&bytes[8..16], &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(&bytes[16..24], &[9, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(&bytes[32..48], &[0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Cursor::from_bytes(&bytes), Some(cursor));
        assert_eq!(Cursor::from_bytes(&bytes[..47]), None);
        assert_eq!(Cursor::from_bytes(&[0; 48]), None);
    }
}
