//! What the parser reads over, or cannot read, of a dataset's data layout message.
//!
//! Format: HDF5 File Format Specification IV.A.2.i, "The Data Layout Message", version 4.
//! - Chunked (class 2): bit 0 of the flags says that chunks which reach past the current extent are
//!   left out of the filters (`H5Pset_chunk_opts(H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS)`); their
//!   filter mask does not tell.
//! - Virtual (class 3): a place in the global heap, where the mapping is. The parser refuses an object
//!   with such a message, so it is shown another one in its place: [`hide`].

use super::heap::Reference;
use super::index::Frame;
use super::storage::PagedStorage;
use crate::cursor::Cursor;
use hdf5_reader::Storage;
use hdf5_reader::checksum::jenkins_lookup3;
use hdf5_reader::error::{Error, Result};

const LAYOUT: u16 = 0x08;
const CONTINUATION: u16 = 0x10;
/// Blocks of one object header that are looked through.
const MAX_BLOCKS: usize = 1024;
/// Largest block that is looked through.
const MAX_BLOCK: usize = 64 * 1024 * 1024;
const CHUNKED: u8 = 2;
const VIRTUAL: u8 = 3;

/// The layout message of an object.
pub(super) struct Message {
    body: Vec<u8>,
    /// Byte of the file where the body begins.
    at: u64,
    /// The bytes of the file that a checksum behind them covers, in the second version of headers.
    covered: Option<(u64, usize)>,
}

/// Finds the layout message of the object header at `address`, relative to the user block.
///
/// # Errors
/// Those of the storage; [`Error::InvalidData`] if there is none.
pub(super) fn message(storage: &PagedStorage, frame: Frame, address: u64) -> Result<Message> {
    let start = address.checked_add(frame.base).ok_or_else(damaged)?;
    let head = storage.read_range(start, 16)?.as_ref().to_vec();
    if head.starts_with(b"OHDR\x02") {
        return second_version(storage, frame, start, &head);
    }
    // Version 1: version, reserved, messages (2 bytes), references (4), size of the first block (4).
    let mut cursor = Cursor::new(&head);
    let known = cursor.u8() == Some(1) && cursor.take(7).is_some();
    let length = cursor.u32_le().filter(|_| known).ok_or_else(damaged)?;
    let first = start.checked_add(16).ok_or_else(damaged)?;
    let mut message = find(storage, frame, (first, length.into()), 0, |mut head| {
        // Type, size, flags, reserved.
        let (kind, size) = (head.u16_le()?, head.u16_le()?);
        Some((kind, size, head.take(4).map(|_| 8)?))
    })?;
    message.covered = None;
    Ok(message)
}

/// Signature, version, flags, then what the flags announce (specification IV.A.1.b).
fn second_version(
    storage: &PagedStorage,
    frame: Frame,
    start: u64,
    head: &[u8],
) -> Result<Message> {
    let flags = head.get(5).copied().ok_or_else(damaged)?;
    let times = if flags & 0x20 == 0 { 0 } else { 16 };
    let phases = if flags & 0x10 == 0 { 0 } else { 4 };
    let width = 1_usize << (flags & 0x03);
    let before = 6 + times + phases;
    let prefix = storage.read_range(start, before + width)?.as_ref().to_vec();
    let mut cursor = Cursor::new(&prefix);
    let length = cursor.take(before).and_then(|_| cursor.uint_le(width)).ok_or_else(damaged)?;
    let first = start.checked_add((before + width) as u64).ok_or_else(damaged)?;
    let mut message = find(storage, frame, (first, length), 4, |mut head| {
        // Type, size, flags, and the order of creation where it is kept.
        let (kind, size) = (head.u8()?, head.u16_le()?);
        let rest = if flags & 0x04 != 0 { 3 } else { 1 };
        Some((kind.into(), size, head.take(rest).map(|_| 3 + rest)?))
    })?;
    // The checksum covers the prefix, or a continuation's signature, too.
    message.covered = message.covered.map(|(block, length)| {
        if block == first { (start, length + before + width) } else { (block - 4, length + 4) }
    });
    Ok(message)
}

/// Looks through the blocks of a header. Blocks of continuation have `frills` bytes before and behind
/// their messages; `head` reads a message's type and size, and the bytes of its head.
fn find(
    storage: &PagedStorage,
    frame: Frame,
    first: (u64, u64),
    frills: u64,
    head: impl Fn(Cursor<'_>) -> Option<(u16, u16, usize)>,
) -> Result<Message> {
    let mut blocks = vec![first];
    for _ in 0..MAX_BLOCKS {
        let Some((start, length)) = blocks.pop() else { break };
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BLOCK);
        let length = length.ok_or_else(damaged)?;
        let block = storage.read_range(start, length)?.as_ref().to_vec();
        let mut cursor = Cursor::new(&block);
        // The end may be a gap that is shorter than the head of a message.
        while let Some((kind, size, skip)) = head(cursor.clone()) {
            cursor.take(skip);
            let at = start + cursor.position() as u64;
            let Some(body) = cursor.take(size.into()) else { break };
            match kind {
                LAYOUT => {
                    let covered = Some((start, length));
                    return Ok(Message { body: body.to_vec(), at, covered });
                }
                CONTINUATION => {
                    blocks.push(continuation(frame, frills, body).ok_or_else(damaged)?);
                }
                _ => {}
            }
        }
    }
    Err(damaged())
}

/// Where the messages of a continuation block are.
fn continuation(frame: Frame, frills: u64, body: &[u8]) -> Option<(u64, u64)> {
    let mut body = Cursor::new(body);
    let at = body.uint_le(frame.offset_size.into())?.checked_add(frame.base)?;
    let length = body.uint_le(frame.length_size.into())?;
    Some((at.checked_add(frills)?, length.checked_sub(2 * frills)?))
}

fn damaged() -> Error {
    Error::InvalidData("its layout message cannot be found".to_owned())
}

impl Message {
    /// Whether partial edge chunks were left out of the filters.
    ///
    /// # Errors
    /// [`Error::InvalidData`] if this is no message of version 4 or 5 on chunks: the flag must not
    /// be guessed.
    pub(super) fn unfiltered_edges(&self) -> Result<bool> {
        match self.body.as_slice() {
            [4 | 5, CHUNKED, flags, ..] => Ok(flags & 1 == 1),
            _ => Err(damaged()),
        }
    }

    /// The place of a virtual dataset's mapping; `None` if this is no virtual dataset.
    pub(super) fn mapping(&self, frame: Frame) -> Option<Reference> {
        match self.body.as_slice() {
            [4 | 5, VIRTUAL, rest @ ..] => Reference::object(rest, frame),
            _ => None,
        }
    }

    /// Shows the parser a message of no values, stored in the header, in place of this one.
    pub(super) fn hide(&self, storage: &PagedStorage) -> Result<()> {
        // Version 3, compact, size 0; the rest of the body is read over.
        let mut body = vec![0; self.body.len()];
        body.first_chunk_mut::<4>().ok_or_else(damaged)?.copy_from_slice(&[3, 0, 0, 0]);
        storage.show(self.at, body);
        let Some((start, length)) = self.covered else { return Ok(()) };
        let sum = jenkins_lookup3(storage.read_range(start, length)?.as_ref());
        storage.show(start.saturating_add(length as u64), sum.to_le_bytes().to_vec());
        Ok(())
    }
}
