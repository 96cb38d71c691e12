//! Messages of gRPC that hold `FlightData`, as they come in frames of HTTP/2: their bodies are put where they stay.

use super::pool::Pool;
use arrow::buffer::{Buffer, MutableBuffer};
use arrow_flight::FlightData;
use bytes::{Buf, Bytes, BytesMut};
use prost::Message as _;
use thiserror::Error;

/// What a stream that is cut into messages may not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Broken {
    #[error("a message of {0} bytes; at most {MOST} are read")]
    Large(u64),
    #[error("a compressed message; none was asked for")]
    Compressed,
    #[error("a message is no FlightData: {0}")]
    Foreign(String),
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    /// The head of the IPC message (Arrow format, "Encapsulated message format").
    pub(crate) header: Bytes,
    /// What stands beside it.
    pub(crate) metadata: Bytes,
    /// The buffers of its arrays.
    pub(crate) body: Buffer,
}

/// Bytes of gRPC's own head of a message (gRPC over HTTP2, "Length-Prefixed-Message").
const HEAD: usize = 5;
/// Most bytes of a message.
const MOST: u64 = 1 << 30;
/// Keys of the fields of `FlightData` (Flight.proto): their number, and that a length follows.
const DATA_HEADER: u64 = (2 << 3) | 2;
const APP_METADATA: u64 = (3 << 3) | 2;
const DATA_BODY: u64 = (1000 << 3) | 2;

/// Puts messages together.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    pool: Pool,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// The beginning of a message: what is known of it, and its length once five bytes are.
    #[default]
    Empty,
    Head(BytesMut),
    /// Its body: where it goes, how many bytes are there, and how many belong there.
    Body {
        header: Bytes,
        metadata: Bytes,
        into: MutableBuffer,
        filled: usize,
        length: usize,
    },
}

/// What the beginning of a message says.
enum Beginning {
    /// More has to come first.
    Short,
    /// The body is all that follows.
    BodyFollows { header: Bytes, metadata: Bytes, at: usize, length: usize },
    /// Something else: the message is read as a whole.
    Other,
}

impl Messages {
    /// Takes the next bytes of the stream, and gives a message once one is whole. To be called again with what is left of
    /// `bytes` until that is empty, and once with nothing for a message that ends where the bytes do.
    pub(crate) fn take(&mut self, bytes: &mut Bytes) -> Result<Option<Message>, Broken> {
        loop {
            match std::mem::take(&mut self.state) {
                State::Body { header, metadata, mut into, mut filled, length } => {
                    let part = bytes.split_to(bytes.len().min(length.saturating_sub(filled)));
                    let end = filled.saturating_add(part.len());
                    if let Some(place) = into.as_slice_mut().get_mut(filled..end) {
                        place.copy_from_slice(&part);
                    }
                    filled = end;
                    if filled < length {
                        self.state = State::Body { header, metadata, into, filled, length };
                        return Ok(None);
                    }
                    let body = self.pool.lend(into, length);
                    return Ok(Some(Message { header, metadata, body }));
                }
                State::Empty if bytes.is_empty() => return Ok(None),
                State::Empty => self.state = State::Head(BytesMut::new()),
                State::Head(mut head) => {
                    if head.len() < HEAD {
                        head.extend_from_slice(&bytes.split_to(bytes.len().min(HEAD - head.len())));
                    }
                    let Some(length) = length(&head)? else {
                        self.state = State::Head(head);
                        return Ok(None);
                    };
                    if let Some(message) = self.begin(&mut head, bytes, length)? {
                        return Ok(Some(message));
                    }
                    if matches!(self.state, State::Empty) {
                        self.state = State::Head(head);
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Goes on with the beginning of a message of `length` bytes: a message that is whole without a body of its own
    /// place, or the state of one whose body follows. Neither where more bytes have to come first.
    fn begin(
        &mut self,
        head: &mut BytesMut,
        bytes: &mut Bytes,
        length: usize,
    ) -> Result<Option<Message>, Broken> {
        // Heads are small: what is looked at is copied, a body is not.
        const STEP: usize = 4096;
        let whole = HEAD.saturating_add(length);
        loop {
            let told = head.get(HEAD..).map_or(Beginning::Short, |told| beginning(told, length));
            if let Beginning::BodyFollows { header, metadata, at, length } = told {
                let mut into = self.pool.take(length);
                let known = head.get(HEAD.saturating_add(at)..).unwrap_or_default();
                if let Some(place) = into.as_slice_mut().get_mut(..known.len()) {
                    place.copy_from_slice(known);
                }
                let filled = known.len();
                self.state = State::Body { header, metadata, into, filled, length };
                return Ok(None);
            }
            let missing = whole.saturating_sub(head.len());
            if missing == 0 {
                let told = head.split().freeze().slice(HEAD..);
                let data =
                    FlightData::decode(told).map_err(|error| Broken::Foreign(error.to_string()))?;
                let mut into = self.pool.take(data.data_body.len());
                if let Some(place) = into.as_slice_mut().get_mut(..data.data_body.len()) {
                    place.copy_from_slice(&data.data_body);
                }
                let body = self.pool.lend(into, data.data_body.len());
                let (header, metadata) = (data.data_header, data.app_metadata);
                return Ok(Some(Message { header, metadata, body }));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            let next = match told {
                Beginning::Other => missing,
                _ => missing.min(STEP),
            };
            head.extend_from_slice(&bytes.split_to(bytes.len().min(next)));
        }
    }

    /// Whether the last message is whole.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(&self.state, State::Empty)
    }
}

/// The length of a message, once its head is there.
fn length(head: &[u8]) -> Result<Option<usize>, Broken> {
    let Some((&compressed, length)) = head.get(..HEAD).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if compressed != 0 {
        return Err(Broken::Compressed);
    }
    let length = length.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    match usize::try_from(length) {
        Ok(fits) if length <= MOST => Ok(Some(fits)),
        _ => Err(Broken::Large(length)),
    }
}

/// What is known from the first bytes of a message of `whole` bytes.
fn beginning(told: &[u8], whole: usize) -> Beginning {
    let mut rest = told;
    let (mut header, mut metadata) = (Bytes::new(), Bytes::new());
    loop {
        let Some((key, length)) = varint(&mut rest).zip(varint(&mut rest)) else {
            // A number has ten bytes at most.
            return if rest.len() < 20 && told.len() < whole {
                Beginning::Short
            } else {
                Beginning::Other
            };
        };
        let Ok(length) = usize::try_from(length) else { return Beginning::Other };
        let at = told.len().saturating_sub(rest.len());
        match key {
            DATA_BODY if at.checked_add(length) == Some(whole) => {
                return Beginning::BodyFollows { header, metadata, at, length };
            }
            DATA_HEADER | APP_METADATA if at.saturating_add(length) <= whole => {
                let Some(field) = rest.get(..length) else { return Beginning::Short };
                let field = Bytes::copy_from_slice(field);
                if key == DATA_HEADER {
                    header = field;
                } else {
                    metadata = field;
                }
                rest.advance(length);
            }
            _ => return Beginning::Other,
        }
    }
}

/// A number of protobuf (Encoding, "Base 128 Varints"), if it is there whole. What is read is taken off either way.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;
    use proptest::prelude::*;

    fn framed(data: &FlightData) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.put_u32(u32::try_from(data.encoded_len()).unwrap());
        data.encode(&mut bytes).unwrap();
        bytes
    }

    fn data(header: usize, metadata: usize, body: usize) -> FlightData {
        let filled =
            |length: usize| (0..length).map(|byte| byte.to_le_bytes()[0]).collect::<Vec<_>>();
        FlightData {
            flight_descriptor: None,
            data_header: filled(header).into(),
            app_metadata: filled(metadata).into(),
            data_body: filled(body).into(),
        }
    }

    fn read(bytes: &[u8], cuts: &[usize]) -> Result<Vec<Message>, Broken> {
        let (mut messages, mut found, mut rest) = (Messages::default(), Vec::new(), bytes);
        let mut cuts = cuts.iter().copied().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap_or(1).clamp(1, rest.len()));
            rest = later;
            let mut now = Bytes::copy_from_slice(now);
            while let Some(message) = messages.take(&mut now)? {
                found.push(message);
            }
            assert!(now.is_empty());
        }
        assert!(messages.is_whole());
        Ok(found)
    }

    proptest! {
        #[test]
        fn messages_are_what_prost_reads_however_they_are_cut(
            sizes in prop::collection::vec((0_usize..6000, 0_usize..200, 0_usize..9000), 1..6),
            cuts in prop::collection::vec(1_usize..5000, 1..8),
        ) {
            let sent: Vec<FlightData> = sizes.into_iter().map(|(h, m, b)| data(h, m, b)).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
            let found = read(&bytes, &cuts).unwrap();
            prop_assert_eq!(found.len(), sent.len());
            for (found, sent) in found.iter().zip(&sent) {
                prop_assert_eq!(&found.header, &sent.data_header);
                prop_assert_eq!(&found.metadata, &sent.app_metadata);
                prop_assert_eq!(found.body.as_slice(), &sent.data_body[..]);
            }
        }

        #[test]
        fn any_bytes_end_in_an_error_or_in_messages(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
            let mut messages = Messages::default();
            let mut bytes = Bytes::from(bytes);
            for _ in 0..4000 {
                match messages.take(&mut bytes) {
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }

    #[test]
    fn what_has_another_order_is_read_as_a_whole() {
        let mut message = Vec::new();
        // The body first, and then a field that Flight does not have.
        for (field, bytes) in [(1000_u32, b"body".as_slice()), (2, b"head"), (77, b"new")] {
            prost::encoding::encode_key(
                field,
                prost::encoding::WireType::LengthDelimited,
                &mut message,
            );
            prost::encoding::encode_varint(bytes.len() as u64, &mut message);
            message.extend_from_slice(bytes);
        }
        let mut bytes = vec![0];
        bytes.put_u32(u32::try_from(message.len()).unwrap());
        bytes.extend(message);
        for cut in 1..bytes.len() {
            let found = read(&bytes, &[cut]).unwrap();
            assert_eq!(
                (&found[0].header[..], found[0].body.as_slice()),
                (&b"head"[..], &b"body"[..])
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert_eq!(read(&[1, 0, 0, 0, 0], &[5]), Err(Broken::Compressed));
        assert_eq!(read(&[0, 255, 255, 255, 255], &[5]), Err(Broken::Large(u64::from(u32::MAX))));
        assert!(matches!(read(&[0, 0, 0, 0, 3, 18, 9, 1], &[8]), Err(Broken::Foreign(_))));
    }
}
