//! CRC-32C (Castagnoli), the checksum of Zarr's `crc32c`: four bytes, little-endian, at the end.
//!
//! Polynomial: RFC 3720, section 12.1, reflected. Eight bytes at a time, by eight tables.

const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0_u32;
    while byte < 256 {
        let mut sum = byte;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte as usize] = sum;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// The bytes without their checksum.
///
/// # Errors
/// If the checksum does not fit.
pub(crate) fn check(input: &[u8]) -> Result<&[u8], String> {
    let (payload, stored) =
        input.split_last_chunk::<4>().ok_or_else(|| "no room for a checksum".to_owned())?;
    let (sum, stored) = (checksum(payload), u32::from_le_bytes(*stored));
    if sum == stored {
        return Ok(payload);
    }
    Err(format!("the checksum is {stored:08x} and not {sum:08x}"))
}

fn checksum(bytes: &[u8]) -> u32 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let at = |table: &[u32; 256], byte: u8| table.get(usize::from(byte)).copied().unwrap_or(0);
    let mut sum = !0_u32;
    let (eights, rest) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in eights {
        let [p, q, r, s] = (sum ^ u32::from_le_bytes([*a, *b, *c, *d])).to_le_bytes();
        sum = at(t7, p) ^ at(t6, q) ^ at(t5, r) ^ at(t4, s);
        sum ^= at(t3, *e) ^ at(t2, *f) ^ at(t1, *g) ^ at(t0, *h);
    }
    for byte in rest {
        let [low, ..] = sum.to_le_bytes();
        sum = (sum >> 8) ^ at(t0, low ^ byte);
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_are_those_of_the_standard() {
        // RFC 3720, appendix B.4, and the check value of the catalogue of CRCs.
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(checksum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(check(b"123456789\x83\x92\x06\xe3"), Ok(b"123456789".as_slice()));
        assert!(check(b"123456788\x83\x92\x06\xe3").is_err());
        assert!(check(b"123").is_err());
    }

    proptest! {
        #[test]
        fn eight_bytes_at_a_time_are_bit_by_bit(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut sum = !0_u32;
            for byte in &bytes {
                sum ^= u32::from(*byte);
                for _ in 0..8 {
                    sum = if sum & 1 == 1 { (sum >> 1) ^ POLYNOMIAL } else { sum >> 1 };
                }
            }
            prop_assert_eq!(checksum(&bytes), !sum);
        }
    }
}
