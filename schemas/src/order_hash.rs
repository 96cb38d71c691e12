//! A hash of samples at their places that can be summed: the parts of an epoch may be sent in any cut, by any number of
//! ranks and over any number of connections, and their sum is that of the whole.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The sum over samples of BLAKE3 of (global position, block, row of the block), each 64-bit little-endian; the sum is of
/// four 64-bit words, each by itself and without carry. It tells whether two runs had the same samples at
/// the same places. Whoever makes receipts could find two sets of one sum; that is why receipts are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OrderHash([u64; 4]);

impl OrderHash {
    /// Adds the sample at a position.
    pub fn add(&mut self, position: u64, (block, row): (u64, u64)) {
        let mut sample = [0; 24];
        let numbers = [position, block, row];
        for (target, byte) in sample.iter_mut().zip(numbers.into_iter().flat_map(u64::to_le_bytes))
        {
            *target = byte;
        }
        self.merge(Self::from_bytes(blake3::hash(&sample).as_bytes()));
    }

    /// Adds the samples of another part.
    pub fn merge(&mut self, other: Self) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own = own.wrapping_add(more);
        }
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self(words)
    }

    /// 64 hexadecimal digits.
    pub fn to_hexadecimal(self) -> String {
        let mut bytes = [0; 32];
        for (target, byte) in bytes.iter_mut().zip(self.0.into_iter().flat_map(u64::to_le_bytes)) {
            *target = byte;
        }
        blake3::Hash::from(bytes).to_hex().to_string()
    }
}

impl Serialize for OrderHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hexadecimal())
    }
}

impl<'de> Deserialize<'de> for OrderHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hash = blake3::Hash::from_hex(text).map_err(serde::de::Error::custom)?;
        Ok(Self::from_bytes(hash.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(range: std::ops::Range<u64>) -> OrderHash {
        let mut hash = OrderHash::default();
        for position in range {
            hash.add(position, (3, position * 7));
        }
        hash
    }

    #[test]
    fn parts_in_any_cut_and_order_have_the_sum_of_the_whole() {
        let mut joined = samples(60..100);
        joined.merge(samples(0..17));
        joined.merge(samples(17..60));
        assert_eq!(joined, samples(0..100));
        assert_ne!(joined, samples(0..99));
        let text = serde_json::to_string(&joined).unwrap();
        assert_eq!(text.len(), 66);
        assert_eq!(serde_json::from_str::<OrderHash>(&text).unwrap(), joined);
    }

    #[test]
    fn two_samples_that_change_places_are_another_order() {
        let (one, other) = ((0, 1), (1, 0));
        let pair = |first, second| {
            let mut hash = OrderHash::default();
            hash.add(0, first);
            hash.add(1, second);
            hash
        };
        assert_ne!(pair(one, other), pair(other, one));
    }
}
