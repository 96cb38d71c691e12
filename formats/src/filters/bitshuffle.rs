//! Bitshuffle (filter 32008): the bits of all elements of a block sorted by their place in the
//! element, alone or followed by LZ4 or zstd.
//!
//! Format: kiyo-masui/bitshuffle. Parameters: version (2), element size, block size in elements
//! (0 = default), compression (0 none, 2 LZ4, 3 zstd). Compressed chunks begin with their size
//! (8 bytes) and the size of a block in bytes (4 bytes), big-endian; each block has its compressed
//! size before it. Elements past the last multiple of eight are stored as they are.
#![expect(
    clippy::inline_always,
    reason = "a loop has to be inlined to be compiled for the machine's vector instructions"
)]

use super::lz4;
use super::shuffle::{self, Planes};
use super::tools::room;
use crate::cursor::Cursor;
use crate::simd::{self, Kernel};
use zstd::bulk::Decompressor;

const LZ4: u32 = 2;
const ZSTD: u32 = 3;
/// Bytes of a block where the file does not say.
const DEFAULT_BLOCK: usize = 8192;
/// Fewest elements of a block.
const LEAST: usize = 128;

/// Undoes it into the front of `output`; gives the number of bytes. Elements have `width` bytes;
/// `scratch` is memory for a block.
pub(super) fn undo(
    input: &[u8],
    parameters: &[u32],
    width: usize,
    output: &mut [u8],
    scratch: &mut Vec<u8>,
    zstd: &mut Decompressor<'_>,
) -> Option<usize> {
    let parameter = |at: usize| parameters.get(at).copied().unwrap_or(0);
    if width == 0 {
        return None;
    }
    let compression = parameter(4);
    let mut cursor = Cursor::new(input);
    let (size, block) = if compression == LZ4 || compression == ZSTD {
        let size = usize::try_from(cursor.u64_be()?).ok()?;
        (size, usize::try_from(cursor.u32_be()?).ok()? / width)
    } else if compression == 0 {
        (input.len(), usize::try_from(parameter(3)).ok()?)
    } else {
        return None;
    };
    let output = output.get_mut(..size)?;
    let block = match block {
        0 => (DEFAULT_BLOCK / width / 8 * 8).max(LEAST),
        block => block.checked_next_multiple_of(8)?,
    };

    // Only whole groups of eight elements are shuffled.
    let shuffled = size / (width.checked_mul(8)?) * width * 8;
    let block_bytes = block.checked_mul(width)?.min(shuffled).max(1);
    let (blocks, tail) = output.split_at_mut_checked(shuffled)?;
    let (rows, planes) = room(scratch, block_bytes.checked_mul(2)?).split_at_mut(block_bytes);
    for target in blocks.chunks_mut(block_bytes) {
        let (rows, planes) = (rows.get_mut(..target.len())?, planes.get_mut(..target.len())?);
        let rows = if compression == 0 {
            cursor.take(target.len())?
        } else {
            let length = usize::try_from(cursor.u32_be()?).ok()?;
            let stored = cursor.take(length)?;
            if compression == LZ4 {
                lz4::block_into(stored, rows)?;
            } else {
                let written = zstd.decompress_to_buffer(stored, rows).ok()?;
                (written == target.len()).then_some(())?;
            }
            rows
        };
        unshuffle(rows, planes, target, width)?;
    }
    tail.copy_from_slice(cursor.take(tail.len())?);
    Some(size)
}

/// Row `8 b + k` holds bit `k` of byte `b` of every element, eight elements a byte, the first in the
/// lowest bit. Eight rows make a plane, which holds byte `b` of every element.
pub(super) fn unshuffle(
    rows: &[u8],
    planes: &mut [u8],
    target: &mut [u8],
    width: usize,
) -> Option<()> {
    let count = rows.len() / width;
    if count < 8 {
        return rows.is_empty().then_some(());
    }
    for (eight, plane) in rows.chunks_exact(count).zip(planes.chunks_exact_mut(count)) {
        let mut parts = [[].as_slice(); 8];
        parts.iter_mut().zip(eight.chunks_exact(count / 8)).for_each(|(part, row)| *part = row);
        shuffle::interleave(parts, plane);
        simd::run(Transpose(plane));
    }
    match Planes::new(planes, width) {
        Some(planes) => planes.write(0..count, target),
        None => {
            target.copy_from_slice(planes);
            Some(())
        }
    }
}

/// Every eight bytes as a square of bits: bit `j` of byte `i` to bit `i` of byte `j`.
struct Transpose<'a>(&'a mut [u8]);

impl Kernel for Transpose<'_> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for square in self.0.as_chunks_mut::<8>().0 {
            *square = transpose(u64::from_le_bytes(*square)).to_le_bytes();
        }
    }
}

/// Swaps ever larger squares.
#[inline(always)]
fn transpose(mut square: u64) -> u64 {
    for (mask, shift) in
        [(0x00aa_00aa_00aa_00aa, 7), (0x0000_cccc_0000_cccc, 14), (0x0000_0000_f0f0_f0f0, 28)]
    {
        let swapped = (square ^ (square >> shift)) & mask;
        square ^= swapped ^ (swapped << shift);
    }
    square
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small(number: usize) -> u32 {
        u32::try_from(number).unwrap()
    }

    /// The transpose by its definition, bit by bit.
    fn shuffle(block: &[u8], width: usize) -> Vec<u8> {
        let count = block.len() / width;
        let mut planes = vec![0; block.len()];
        for element in 0..count {
            for bit in 0..width * 8 {
                let set = block[element * width + bit / 8] >> (bit % 8) & 1;
                planes[bit * count / 8 + element / 8] |= set << (element % 8);
            }
        }
        planes
    }

    proptest! {
        #[test]
        fn shuffled_blocks_come_back(bytes in prop::collection::vec(any::<u8>(), 0..700), width in 1_usize..9) {
            let whole = bytes.len() / width * width;
            let bytes = &bytes[..whole];
            let (blocks, tail) = bytes.split_at(whole / width / 8 * 8 * width);
            for compression in [0, LZ4, ZSTD] {
                let mut stored = vec![];
                if compression != 0 {
                    stored.extend((whole as u64).to_be_bytes());
                    stored.extend(small(16 * width).to_be_bytes());
                }
                for block in blocks.chunks(16 * width) {
                    let planes = shuffle(block, width);
                    let packed = match compression {
                        LZ4 => lz4_flex::block::compress(&planes),
                        ZSTD => zstd::bulk::compress(&planes, 1).unwrap(),
                        _ => planes,
                    };
                    if compression != 0 {
                        stored.extend(small(packed.len()).to_be_bytes());
                    }
                    stored.extend(packed);
                }
                stored.extend(tail);
                let parameters = [0, 0, small(width), 16, compression];
                let mut output = vec![0xee; 1000];
                let mut zstd = Decompressor::new().unwrap();
                let length = undo(&stored, &parameters, width, &mut output, &mut vec![], &mut zstd);
                prop_assert_eq!(length, Some(whole));
                prop_assert_eq!(&output[..whole], bytes);
                let (room, scratch) = (&mut output[..whole.saturating_sub(1)], &mut vec![]);
                let length = undo(&stored, &parameters, width, room, scratch, &mut zstd);
                prop_assert_eq!(length, if whole == 0 { Some(0) } else { None });
            }
        }
    }
}
