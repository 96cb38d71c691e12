//! LZ4 (filter 32004), in the framing of the HDF5 plugin: the size of the chunk (8 bytes), the size
//! of a block (4 bytes), then for each block its compressed size (4 bytes) and bytes; all big-endian.

use crate::cursor::Cursor;

/// Decompresses into the front of `output`; gives the number of bytes.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut cursor = Cursor::new(input);
    let size = usize::try_from(cursor.u64_be()?).ok()?;
    let output = output.get_mut(..size)?;
    let block = usize::try_from(cursor.u32_be()?).ok()?.min(size);
    for target in output.chunks_mut(block.max(1)) {
        let length = usize::try_from(cursor.u32_be()?).ok()?;
        let stored = cursor.take(length)?;
        // A block that did not shrink is stored as it is.
        if length == target.len() {
            target.copy_from_slice(stored);
        } else {
            block_into(stored, target)?;
        }
    }
    Some(size)
}

/// Decompresses a block that fills `target`.
pub(crate) fn block_into(stored: &[u8], target: &mut [u8]) -> Option<()> {
    let written = lz4_flex::block::decompress_into(stored, target).ok()?;
    (written == target.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_undone_and_damaged_ones_refused() {
        let text = b"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc!?";
        let mut framed = (text.len() as u64).to_be_bytes().to_vec();
        framed.extend(66_u32.to_be_bytes());
        let first = lz4_flex::block::compress(&text[..66]);
        framed.extend(u32::try_from(first.len()).unwrap().to_be_bytes());
        framed.extend(&first);
        framed.extend(2_u32.to_be_bytes());
        framed.extend(b"!?");
        let mut output = [0; 100];
        assert_eq!(decompress(&framed, &mut output), Some(text.len()));
        assert_eq!(output[..text.len()], *text);
        assert_eq!(decompress(&framed, &mut output[..67]), None);
        for length in 0..framed.len() {
            assert_eq!(decompress(&framed[..length], &mut output), None);
        }
    }
}
