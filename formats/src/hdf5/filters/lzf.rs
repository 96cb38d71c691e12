//! LZF (filter 32000), h5py's own compression. Format: liblzf.

/// Decompresses to exactly `size` bytes.
pub(super) fn decompress(input: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut output = Vec::with_capacity(size);
    let mut rest = input.iter().copied();
    while let Some(control) = rest.next() {
        let control = usize::from(control);
        if control < 32 {
            // A literal run of control + 1 bytes.
            for _ in 0..=control {
                output.push(rest.next()?);
            }
        } else {
            // A match: 3 bits of length (7 = one more byte), 13 bits of distance.
            let mut length = (control >> 5) + 2;
            if length == 9 {
                length += usize::from(rest.next()?);
            }
            let distance = ((control & 0x1f) << 8) + usize::from(rest.next()?) + 1;
            let start = output.len().checked_sub(distance)?;
            if output.len() + length > size {
                return None;
            }
            for at in start..start + length {
                output.push(*output.get(at)?);
            }
        }
        if output.len() > size {
            return None;
        }
    }
    (output.len() == size).then_some(output)
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn literals_and_overlapping_matches_are_undone() {
        assert_eq!(decompress(&[2, b'a', b'b', b'c'], 3).unwrap(), b"abc");
        // "a", then 8 bytes from one back.
        assert_eq!(decompress(&[0, b'a', 0b1100_0000, 0], 9).unwrap(), b"aaaaaaaaa");
        // Length 7 in the control byte: 9 + the next byte.
        assert_eq!(decompress(&[1, b'x', b'y', 0b1110_0000, 2, 1], 13).unwrap(), b"xyxyxyxyxyxyx");
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bad in [&[2, b'a'][..], &[0, b'a', 0b0010_0000, 5], &[0, b'a', 0b0010_0000], &[0, b'a']]
        {
            assert_eq!(decompress(bad, 4), None);
        }
    }
}
