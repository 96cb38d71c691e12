//! LZF (filter 32000), h5py's own compression. Format: liblzf.

use crate::cursor::Cursor;

/// Decompresses into the front of `output`; gives the number of bytes.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let mut cursor = Cursor::new(input);
    let mut at = 0_usize;
    while cursor.remaining() > 0 {
        let control = usize::from(cursor.u8()?);
        if control < 32 {
            // A literal run of control + 1 bytes.
            at = literal(output, at, &mut cursor, control + 1)?;
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
    Some(at)
}

/// Bytes that are moved at once where there is room for them: a few moves of a fixed size cost less
/// than finding out how many bytes are wanted.
const MOVE: usize = 16;

/// Writes the next `length` bytes of the input, which are 32 at most, at `at`, and says where they
/// end. What stands behind them in the output may change.
pub(super) fn literal(
    output: &mut [u8],
    at: usize,
    cursor: &mut Cursor<'_>,
    length: usize,
) -> Option<usize> {
    let end = at.checked_add(length)?;
    let room = output.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<{ 2 * MOVE }>());
    if let (Some(room), Some(bytes)) = (room, cursor.ahead::<{ 2 * MOVE }>())
        && length <= 2 * MOVE
    {
        *room = *bytes;
        cursor.take(length)?;
        return Some(end);
    }
    output.get_mut(at..end)?.copy_from_slice(cursor.take(length)?);
    Some(end)
}

/// Writes `length` bytes at `at` that repeat those `distance` before, and says where they end. What
/// stands behind them in the output may change.
pub(super) fn repeat(
    output: &mut [u8],
    at: usize,
    distance: usize,
    length: usize,
) -> Option<usize> {
    let end = at.checked_add(length)?;
    let from = at.checked_sub(distance).filter(|_| distance > 0)?;
    if distance >= MOVE && end.checked_add(MOVE)? <= output.len() {
        for done in (0..length).step_by(MOVE) {
            output.copy_within(from + done..from + done + MOVE, at + done);
        }
        return Some(end);
    }
    let (before, after) = output.get_mut(..end)?.split_at_mut_checked(at)?;
    let source = before.get(from..)?;
    // Where the match reaches into what it writes, what is between repeats.
    for part in after.chunks_mut(distance) {
        part.copy_from_slice(source.get(..part.len())?);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decompressed(input: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut output = vec![0xee; size];
        (decompress(input, &mut output)? == size).then_some(output)
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

    proptest! {
        #[test]
        fn moves_write_what_their_definition_says(
            start in prop::collection::vec(any::<u8>(), 1..60),
            moves in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..70, any::<bool>()), 0..12),
        ) {
            let input: Vec<u8> = (0..=255).cycle().take(1000).collect();
            let mut cursor = Cursor::new(&input);
            let (mut expected, mut steps) = (start.clone(), vec![]);
            for (place, length, copies) in moves {
                let distance = place.index(expected.len()) + 1;
                let length = if copies { length } else { length.min(32) };
                for _ in 0..length {
                    let next = expected[expected.len() - distance];
                    expected.push(next);
                }
                if !copies {
                    let from = expected.len() - length;
                    let taken: usize = steps.iter().filter(|s: &&(_, _, bool)| !s.2).map(|s| s.1).sum();
                    expected[from..].copy_from_slice(&input[taken..taken + length]);
                }
                steps.push((distance, length, copies));
            }
            let mut output = vec![0xee; expected.len()];
            output[..start.len()].copy_from_slice(&start);
            let mut at = start.len();
            for (distance, length, copies) in steps {
                at = if copies {
                    repeat(&mut output, at, distance, length)
                } else {
                    literal(&mut output, at, &mut cursor, length)
                }
                .unwrap();
            }
            prop_assert_eq!(&output, &expected);
            prop_assert_eq!(repeat(&mut output, at, at + 1, 1), None);
            prop_assert_eq!(repeat(&mut output, at, 1, 1), None);
            prop_assert_eq!(literal(&mut output, at, &mut cursor, 1), None);
        }
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for bad in [&[2, b'a'][..], &[0, b'a', 0b0010_0000, 5], &[0, b'a', 0b0010_0000], &[0, b'a']]
        {
            assert_eq!(decompressed(bad, 4), None);
        }
    }
}
