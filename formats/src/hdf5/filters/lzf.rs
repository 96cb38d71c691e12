//! LZF (filter 32000), h5py's own compression. Format: liblzf.

use crate::cursor::Cursor;

/// Decompresses into `output`, which it must fill; gives the number of bytes.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut cursor = Cursor::new(input);
    let mut at = 0_usize;
    while cursor.remaining() > 0 {
        let control = usize::from(cursor.u8()?);
        if control < 32 {
            // A literal run of control + 1 bytes.
            let literal = cursor.take(control + 1)?;
            let end = at.checked_add(literal.len())?;
            output.get_mut(at..end)?.copy_from_slice(literal);
            at = end;
            continue;
        }
        // A match: 3 bits of length (7 = one more byte), 13 bits of distance.
        let mut length = (control >> 5) + 2;
        if length == 9 {
            length += usize::from(cursor.u8()?);
        }
        let distance = ((control & 0x1f) << 8) + usize::from(cursor.u8()?) + 1;
        at = repeat(output, at, distance, length)?;
    }
    (at == output.len()).then_some(at)
}

/// Writes `length` bytes at `at` that repeat those `distance` before, and says where they end.
pub(super) fn repeat(
    output: &mut [u8],
    at: usize,
    distance: usize,
    length: usize,
) -> Option<usize> {
    let end = at.checked_add(length)?;
    let (before, after) = output.get_mut(..end)?.split_at_mut_checked(at)?;
    let source = before.get(at.checked_sub(distance)?..)?;
    if distance >= length {
        after.copy_from_slice(source.get(..length)?);
        return Some(end);
    }
    // The match reaches into what it writes: what is between repeats.
    for part in after.chunks_mut(distance) {
        part.copy_from_slice(source.get(..part.len())?);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    fn decompressed(input: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut output = vec![0xee; size];
        decompress(input, &mut output)?;
        Some(output)
    }

    #[test]
    fn literals_and_overlapping_matches_are_undone() {
        assert_eq!(decompressed(&[2, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        // "a", then 8 bytes from one back.
        assert_eq!(decompressed(&[0, b'a', 0b1100_0000, 0], 9).unwrap(), b"aaaaaaaaa");
        // Length 7 in the control byte: 9 + the next byte.
        let overlapping = [1, b'x', b'y', 0b1110_0000, 2, 1];
        assert_eq!(decompressed(&overlapping, 13).unwrap(), b"xyxyxyxyxyxyx");
        let apart = [4, b'a', b'b', b'c', b'd', b'e', 0b0010_0000, 3];
        assert_eq!(decompressed(&apart, 8).unwrap(), b"abcdebcd");
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bad in [&[2, b'a'][..], &[0, b'a', 0b0010_0000, 5], &[0, b'a', 0b0010_0000], &[0, b'a']]
        {
            assert_eq!(decompressed(bad, 4), None);
        }
    }
}
