//! What parent and child say to each other: frames of a kind, a length and that many bytes.

use std::io::{self, Read, Write};

/// From the parent: a filter by its number; is there a plugin?
pub(super) const FILTER: u8 = b'F';
/// From the parent: a chunk, see [`Chunk`].
pub(super) const CHUNK: u8 = b'C';
/// From the child, first: the version of the library.
pub(super) const READY: u8 = b'R';
/// From the child, first and last: there is no library, for the reason given.
pub(super) const NO_LIBRARY: u8 = b'L';
/// From the child: yes, there is a plugin.
pub(super) const YES: u8 = b'Y';
/// From the child: no, there is none.
pub(super) const NO: u8 = b'N';
/// From the child: the bytes of the chunk.
pub(super) const BYTES: u8 = b'B';
/// From the child: why there are none.
pub(super) const REFUSED: u8 = b'E';

/// Longest text.
pub(super) const MOST_TEXT: u64 = 4096;

/// Bytes of a second of the library's time, at least.
const PER_SECOND: u64 = 4 << 20;

/// Seconds of processor that undoing takes, at most, where a chunk of any size may take `least`.
pub(super) fn seconds(least: u64, bytes: u64) -> u64 {
    least.saturating_add(bytes / PER_SECOND)
}

/// A chunk to read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Filters whose plugins must be there before the chunk is looked at.
    pub(super) filters: Vec<u16>,
    /// Bytes that come out.
    pub(super) size: u64,
    /// Seconds of processor that it may take.
    pub(super) seconds: u64,
    /// The file to read it from.
    pub(super) image: Vec<u8>,
}

impl Chunk {
    /// What stands before the image.
    pub(super) fn head(filters: &[u16], size: u64, seconds: u64) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend(size.to_le_bytes());
        head.extend(seconds.to_le_bytes());
        head.push(u8::try_from(filters.len()).unwrap_or(u8::MAX));
        head.extend(filters.iter().take(u8::MAX.into()).flat_map(|filter| filter.to_le_bytes()));
        head
    }

    /// The request of a frame; `None` if it is none.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let (size, rest) = payload.split_first_chunk()?;
        let (seconds, rest) = rest.split_first_chunk()?;
        let (count, rest) = rest.split_first()?;
        let (filters, image) = rest.split_at_checked(usize::from(*count) * 2)?;
        let (filters, _) = filters.as_chunks();
        Some(Self {
            filters: filters.iter().map(|filter| u16::from_le_bytes(*filter)).collect(),
            size: u64::from_le_bytes(*size),
            seconds: u64::from_le_bytes(*seconds),
            image: image.to_vec(),
        })
    }
}

/// Writes a frame of one payload in parts.
pub(super) fn send(to: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
    let mut head = vec![kind];
    head.extend(length.to_le_bytes());
    to.write_all(&head)?;
    parts.iter().try_for_each(|part| to.write_all(part))?;
    to.flush()
}

/// Reads a frame whose payload has at most `most` bytes. Memory is taken as bytes come.
pub(super) fn receive(from: &mut impl Read, most: u64) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let length = u64::from_le_bytes(length);
    if length > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is too long"));
    }
    let mut payload = Vec::new();
    from.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 == length {
        Ok((kind, payload))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A text that came over the wire.
pub(super) fn text(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_is_received_and_what_breaks_off_is_an_error(
            filters in prop::collection::vec(any::<u16>(), 0..5),
            size: u64,
            seconds: u64,
            image in prop::collection::vec(any::<u8>(), 0..100),
            cut in 0_usize..40,
        ) {
            let mut wire = vec![];
            send(&mut wire, CHUNK, &[&Chunk::head(&filters, size, seconds), &image]).unwrap();
            let (kind, payload) = receive(&mut wire.as_slice(), 1000).unwrap();
            prop_assert_eq!(kind, CHUNK);
            prop_assert_eq!(Chunk::parse(&payload).unwrap(), Chunk { filters, size, seconds, image });
            prop_assert!(receive(&mut wire.as_slice(), payload.len() as u64 - 1).is_err());
            let kept = wire.len().saturating_sub(cut + 1);
            prop_assert!(receive(&mut &wire[..kept], 1000).is_err());
        }
    }
}
