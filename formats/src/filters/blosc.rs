//! Blosc, version 1 (filter 32001).
//!
//! Format: c-blosc's README_HEADER and README_CHUNK_FORMAT. A header of 16 bytes says how large the
//! chunk and its blocks are, how they were shuffled and with what they were compressed; then come the
//! place of each block (4 bytes, from the header's first byte), and the blocks. A block is one part,
//! or one for each byte of an element; each part stands behind its compressed size, and a part that
//! did not shrink is stored as it is. Everything is little-endian.

use super::bitshuffle;
use super::shuffle::Planes;
use super::tools::{Codecs, room};
use super::{blosclz, lz4};
use crate::cursor::Cursor;

/// Bits of the header's flags.
const SHUFFLED: u8 = 0x01;
const COPIED: u8 = 0x02;
const BIT_SHUFFLED: u8 = 0x04;
const IN_ONE_PART: u8 = 0x10;
/// Elements of more bytes are never in parts, nor are blocks of fewer elements.
const MOST_PARTS: usize = 16;
const LEAST_ELEMENTS: usize = 128;

/// Undoes it into the front of `output`; gives the number of bytes. `scratch` is memory for blocks.
pub(crate) fn undo(
    input: &[u8],
    output: &mut [u8],
    scratch: &mut Vec<u8>,
    codecs: &mut Codecs,
) -> Option<usize> {
    let mut header = Cursor::new(input);
    // The versions of the format and of the codec; both have one value only.
    header.take(2)?;
    let flags = header.u8()?;
    let width = usize::from(header.u8()?);
    let size = usize::try_from(header.u32_le()?).ok()?;
    let block = usize::try_from(header.u32_le()?).ok()?;
    let stored = usize::try_from(header.u32_le()?).ok()?;
    let input = input.get(..stored)?;
    let output = output.get_mut(..size)?;
    if flags & COPIED != 0 {
        output.copy_from_slice(input.get(header.position()..header.position().checked_add(size)?)?);
        return Some(size);
    }
    let block = block.min(size).max(1);
    let (first, second) = room(scratch, block.checked_mul(2)?).split_at_mut_checked(block)?;
    for target in output.chunks_mut(block) {
        let from = input.get(usize::try_from(header.u32_le()?).ok()?..)?;
        let length = target.len();
        let (first, second) = (first.get_mut(..length)?, second.get_mut(..length)?);
        let last = length < block;
        let in_parts = flags & IN_ONE_PART == 0
            && !last
            && (1..=MOST_PARTS).contains(&width)
            && length / width >= LEAST_ELEMENTS;
        let parts = if in_parts { width } else { 1 };
        let shuffled = flags & SHUFFLED != 0 && width > 1;
        let bit_shuffled = flags & BIT_SHUFFLED != 0 && (1..=length).contains(&width);
        let direct = !shuffled && !bit_shuffled;
        decompress(flags >> 5, from, if direct { &mut *target } else { first }, parts, codecs)?;
        if direct {
            continue;
        }
        match Planes::new(first, width) {
            Some(planes) if shuffled => planes.undo(target)?,
            _ if bit_shuffled && (length / width).is_multiple_of(8) => {
                let whole = length / width * width;
                let (elements, rest) = target.split_at_mut_checked(whole)?;
                rest.copy_from_slice(first.get(whole..)?);
                bitshuffle::unshuffle(
                    first.get(..whole)?,
                    second.get_mut(..whole)?,
                    elements,
                    width,
                )?;
            }
            _ => target.copy_from_slice(first),
        }
    }
    Some(size)
}

/// Decompresses the parts of a block, which fill `target`.
fn decompress(
    codec: u8,
    from: &[u8],
    target: &mut [u8],
    parts: usize,
    codecs: &mut Codecs,
) -> Option<()> {
    let mut cursor = Cursor::new(from);
    for part in target.chunks_exact_mut(target.len() / parts) {
        let length = usize::try_from(cursor.u32_le()?).ok()?;
        let stored = cursor.take(length)?;
        if length == part.len() {
            part.copy_from_slice(stored);
            continue;
        }
        let written = match codec {
            0 => blosclz::decompress(stored, part).map(|()| part.len()),
            1 => lz4::block_into(stored, part).map(|()| part.len()),
            2 => {
                let length = snap::raw::decompress_len(stored).ok()?;
                (length == part.len()).then_some(())?;
                codecs.snappy.decompress(stored, part).ok()
            }
            3 => codecs.inflate.zlib_decompress(stored, part).ok(),
            4 => codecs.zstd.decompress_to_buffer(stored, part).ok(),
            _ => None,
        };
        (written == Some(part.len())).then_some(())?;
    }
    Some(())
}
