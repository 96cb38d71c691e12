//! Bitshuffle (filter 32008): the bits of all elements of a block sorted by their place in the
//! element, alone or followed by LZ4 or zstd.
//!
//! Format: kiyo-masui/bitshuffle. Parameters: version (2), element size, block size in elements
//! (0 = default), compression (0 none, 2 LZ4, 3 zstd). Compressed chunks begin with their size
//! (8 bytes) and the size of a block in bytes (4 bytes), big-endian; each block has its compressed
//! size before it. Elements past the last multiple of eight are stored as they are.

use super::lz4;
use crate::cursor::Cursor;

const LZ4: u32 = 2;
const ZSTD: u32 = 3;
/// Bytes of a block where the file does not say.
const DEFAULT_BLOCK: usize = 8192;
/// Fewest elements of a block.
const LEAST: usize = 128;

pub(super) fn undo(
    input: &[u8],
    parameters: &[u32],
    element: usize,
    limit: usize,
) -> Option<Vec<u8>> {
    let parameter = |at: usize| parameters.get(at).copied().unwrap_or(0);
    let width = match usize::try_from(parameter(2)).ok()? {
        0 => element,
        width => width,
    };
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
    if size > limit {
        return None;
    }
    let block = match block {
        0 => (DEFAULT_BLOCK / width / 8 * 8).max(LEAST),
        block => block.checked_next_multiple_of(8)?,
    };
    let block_bytes = block.checked_mul(width)?;

    let mut output = vec![0; size];
    // Only whole groups of eight elements are shuffled.
    let shuffled = size / (width.checked_mul(8)?) * width * 8;
    let (blocks, tail) = output.split_at_mut_checked(shuffled)?;
    let mut scratch = vec![0; block_bytes.min(shuffled)];
    for target in blocks.chunks_mut(block_bytes) {
        let planes = scratch.get_mut(..target.len())?;
        if compression == 0 {
            planes.copy_from_slice(cursor.take(target.len())?);
        } else {
            let length = usize::try_from(cursor.u32_be()?).ok()?;
            let stored = cursor.take(length)?;
            if compression == LZ4 {
                lz4::block_into(stored, planes)?;
            } else {
                let written = zstd::bulk::decompress_to_buffer(stored, planes).ok()?;
                (written == target.len()).then_some(())?;
            }
        }
        unshuffle(planes, target, width);
    }
    tail.copy_from_slice(cursor.take(tail.len())?);
    Some(output)
}

/// Row `8 b + k` of the planes holds bit `k` of byte `b` of every element, eight elements a byte,
/// the first in the lowest bit.
fn unshuffle(planes: &[u8], target: &mut [u8], width: usize) {
    let row = target.len() / width / 8;
    if row == 0 {
        return;
    }
    for (byte, rows) in planes.chunks_exact(row * 8).enumerate() {
        for (group, eight) in target.chunks_exact_mut(width * 8).enumerate() {
            let bits = rows.iter().skip(group).step_by(row).enumerate();
            let square = bits.fold(0_u64, |square, (k, bits)| square | u64::from(*bits) << (8 * k));
            let cells = eight.iter_mut().skip(byte).step_by(width);
            cells.zip(transpose(square).to_le_bytes()).for_each(|(cell, value)| *cell = value);
        }
    }
}

/// Bit `j` of byte `i` to bit `i` of byte `j`, by swapping ever larger squares.
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
                prop_assert_eq!(undo(&stored, &parameters, width, 1000), Some(bytes.to_vec()));
            }
        }
    }
}
