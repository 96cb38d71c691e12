//! Whether a dataset's partial edge chunks were left out of its filters.
//!
//! The flag stands in the data layout message of version 4 (HDF5 File Format Specification IV.A.2.i,
//! "Data Storage - Version 4", flags bit 0), which the parser reads over. Its writer is
//! `H5Pset_chunk_opts(H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS)`. A chunk is partial if it reaches past
//! the current extent in any dimension; its filter mask does not tell.

use super::index::Frame;
use super::storage::PagedStorage;
use crate::cursor::Cursor;
use hdf5_reader::Storage;
use hdf5_reader::error::{Error, Result};

const LAYOUT: u8 = 0x08;
const CONTINUATION: u8 = 0x10;
/// Blocks of one object header that are looked through.
const MAX_BLOCKS: usize = 1024;

/// Reads the flag from the object header at `address`, relative to the user block.
///
/// # Errors
/// Those of the storage; [`Error::InvalidData`] if no layout message of version 4 or 5 is found,
/// which the caller has seen there: the flag must not be guessed.
pub(super) fn unfiltered_edges(storage: &PagedStorage, frame: Frame, address: u64) -> Result<bool> {
    let damaged = || Error::InvalidData("its layout message cannot be found again".to_owned());
    let bytes = |at: u64, length: usize| -> Result<Vec<u8>> {
        let at = at.checked_add(frame.base).ok_or_else(damaged)?;
        Ok(storage.read_range(at, length)?.as_ref().to_vec())
    };
    // Signature, version, flags, then what the flags announce (specification IV.A.1.b).
    let start = bytes(address, 6)?;
    let mut cursor = Cursor::new(&start);
    if cursor.take(5) != Some(b"OHDR\x02") {
        return Err(damaged());
    }
    let flags = cursor.u8().ok_or_else(damaged)?;
    let times = if flags & 0x20 == 0 { 0 } else { 16 };
    let phases = if flags & 0x10 == 0 { 0 } else { 4 };
    let width = 1_usize << (flags & 0x03);
    let before = 6 + times + phases;
    let prefix = bytes(address, before + width)?;
    let mut cursor = Cursor::new(&prefix);
    let length = cursor.take(before).and_then(|_| cursor.uint_le(width)).ok_or_else(damaged)?;

    let body = address.checked_add((before + width) as u64).ok_or_else(damaged)?;
    let mut blocks = vec![(body, length)];
    for _ in 0..MAX_BLOCKS {
        let Some((at, length)) = blocks.pop() else { break };
        let length = usize::try_from(length).map_err(|_| damaged())?;
        let block = bytes(at, length)?;
        let messages = Messages { cursor: Cursor::new(&block), ordered: flags & 0x04 != 0 };
        for (kind, body) in messages {
            let mut body = Cursor::new(body);
            match kind {
                // Version, class 2 (chunked), flags.
                LAYOUT => {
                    return match (body.u8(), body.u8(), body.u8()) {
                        (Some(4 | 5), Some(2), Some(flags)) => Ok(flags & 1 == 1),
                        _ => Err(damaged()),
                    };
                }
                CONTINUATION => {
                    let at = body.uint_le(frame.offset_size.into()).ok_or_else(damaged)?;
                    let length = body.uint_le(frame.length_size.into()).ok_or_else(damaged)?;
                    // Between the signature `OCHK` and the checksum.
                    let inner = at.checked_add(4).zip(length.checked_sub(8));
                    blocks.push(inner.ok_or_else(damaged)?);
                }
                _ => {}
            }
        }
    }
    Err(damaged())
}

/// The messages of a block of an object header of version 2: type and body.
struct Messages<'a> {
    cursor: Cursor<'a>,
    /// Whether each carries the order of its creation.
    ordered: bool,
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u8, &'a [u8]);

    /// `None` at the end, which may be a gap shorter than the head of a message.
    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.cursor.u8()?;
        let size = self.cursor.u16_le()?;
        self.cursor.take(if self.ordered { 3 } else { 1 })?;
        Some((kind, self.cursor.take(size.into())?))
    }
}
