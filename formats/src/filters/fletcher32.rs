//! Fletcher32 (filter 3): a checksum in the last four bytes.

/// The bytes without their checksum.
///
/// # Errors
/// If the checksum does not fit.
pub(crate) fn check(input: &[u8]) -> Result<&[u8], String> {
    let (payload, stored) =
        input.split_last_chunk::<4>().ok_or_else(|| "no room for a checksum".to_owned())?;
    let sum = checksum(payload);
    if sum == u32::from_le_bytes(*stored) {
        return Ok(payload);
    }
    Err(format!("the checksum is {:08x} and not {sum:08x}", u32::from_le_bytes(*stored)))
}

/// Fletcher's checksum over 16-bit big-endian words; a last odd byte is the high half of a word.
fn checksum(bytes: &[u8]) -> u32 {
    let (mut first, mut second) = (0_u32, 0_u32);
    // 360 words are the most that two 32-bit sums take without overflow.
    for block in bytes.chunks(720) {
        for word in block.chunks(2) {
            let low = word.get(1).copied().unwrap_or(0);
            first += u32::from_be_bytes([0, 0, word.first().copied().unwrap_or(0), low]);
            second += first;
        }
        first = (first & 0xffff) + (first >> 16);
        second = (second & 0xffff) + (second >> 16);
    }
    first = (first & 0xffff) + (first >> 16);
    second = (second & 0xffff) + (second >> 16);
    (second << 16) | first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_checksum_is_refused() {
        // Fletcher-32 of "abcde" as big-endian words, by hand: 6162, 6364, 6500.
        let first: u32 = (0x6162 + 0x6364 + 0x6500) % 0xffff;
        let second: u32 = (3 * 0x6162 + 2 * 0x6364 + 0x6500) % 0xffff;
        let mut bytes = b"abcde".to_vec();
        bytes.extend((second << 16 | first).to_le_bytes());
        assert_eq!(check(&bytes), Ok(b"abcde".as_slice()));
        bytes[0] = b'b';
        assert!(check(&bytes).is_err());
        assert!(check(b"abc").is_err());
    }
}
