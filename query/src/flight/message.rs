//! Messages of a stream, as they lie in the memory of the batches that they carry.
//!
//! `FlightData` has its body in one piece: to make one copies the rows, and prost copies them again. Here a body is the
//! buffers of the arrays themselves, and what goes between them.

use arrow::buffer::Buffer;
use arrow::error::ArrowError;
use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::{encode_length_delimiter, length_delimiter_len};
use std::collections::VecDeque;
use tarn_schemas::code::ErrorCode;
use tonic::Status;

use super::status::refuse;

/// Pieces of fewer bytes are copied together: each piece is a frame of HTTP/2 and a call of the system, which take longer.
const SMALL: usize = 128 << 10;
/// What messages of an IPC stream begin with (Arrow format, "Encapsulated message format").
const CONTINUATION: u32 = 0xFFFF_FFFF;
/// Bytes of gRPC's own head of a message (gRPC over HTTP2, "Length-Prefixed-Message").
pub(super) const HEAD: usize = 5;
/// Keys of the fields of `FlightData` (Flight.proto): their number, and that a length follows.
const DATA_HEADER: usize = (2 << 3) | 2;
const APP_METADATA: usize = (3 << 3) | 2;
const DATA_BODY: usize = (1000 << 3) | 2;
/// Where the body of a message begins, modulo [`ALIGNMENT`]. Clients that join the frames of a message have the arrays at
/// multiples of 16 then, and those that keep gRPC's five bytes and eleven more before it at multiples of 64.
const BODY_AT: usize = 48;
const ALIGNMENT: usize = 64;

/// One message: a schema, a dictionary or rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The flatbuffer that says what the body is.
    header: Bytes,
    /// What the stream says of it.
    pub(crate) app_metadata: Bytes,
    body: Vec<Bytes>,
}

impl Message {
    /// A message that has no body.
    pub(crate) fn bare(header: Vec<u8>) -> Self {
        Self { header: header.into(), ..Self::default() }
    }

    /// A message that says something, and has neither header nor body.
    pub(crate) fn saying(app_metadata: Bytes) -> Self {
        Self { app_metadata, ..Self::default() }
    }

    /// The messages of a stretch of an IPC stream, which share its buffers.
    ///
    /// # Errors
    /// If it does not begin and end as messages do.
    pub(crate) fn split(buffers: Vec<Buffer>) -> Result<VecDeque<Self>, ArrowError> {
        let mut left = Pieces(buffers.into_iter().map(shared).collect());
        let mut messages = VecDeque::new();
        while !left.0.is_empty() {
            let mut head = left.joined(8)?;
            let (continuation, length) = (head.get_u32_le(), head.get_u32_le());
            if continuation != CONTINUATION {
                return Err(malformed("it begins otherwise"));
            }
            let header = left.joined(usize::try_from(length).map_err(malformed)?)?;
            let message = root_as_message(&header).map_err(malformed)?;
            let length = usize::try_from(message.bodyLength()).map_err(malformed)?;
            let body = left.taken(length)?;
            messages.push_back(Self { header, body, ..Self::default() });
        }
        Ok(messages)
    }

    /// Bytes of the body.
    pub(crate) fn body_length(&self) -> usize {
        self.body.iter().map(Bytes::len).fold(0, usize::saturating_add)
    }

    /// The message as gRPC sends it: its head, the fields of `FlightData`, and the body as it lies there.
    ///
    /// # Errors
    /// [`ErrorCode::ResourceExhausted`] for more than four GiB, a length that gRPC has no room for.
    pub(crate) fn frames(self) -> Result<VecDeque<Bytes>, Status> {
        let body = self.body_length();
        let pad = self.padding();
        let length = self.head_length(pad).saturating_add(body);
        let length = u32::try_from(length).map_err(|_| {
            refuse(ErrorCode::ResourceExhausted, "a message of the answer is larger than 4 GiB")
        })?;
        let small = self.body.iter().map(Bytes::len).filter(|length| *length < SMALL);
        let copied = small.fold(self.head_length(pad), usize::saturating_add);
        let mut frames = Frames::default();
        frames.open.reserve(copied.saturating_add(HEAD));
        // gRPC's own head: that nothing is compressed, and how long the message is.
        frames.open.put_u8(0);
        frames.open.put_u32(length);
        if !self.header.is_empty() {
            frames.field(DATA_HEADER, self.header.len().saturating_add(pad));
            frames.open.put_slice(&self.header);
            frames.open.put_bytes(0, pad);
        }
        if !self.app_metadata.is_empty() {
            frames.field(APP_METADATA, self.app_metadata.len());
            frames.open.put_slice(&self.app_metadata);
        }
        if body > 0 {
            frames.field(DATA_BODY, body);
        }
        for piece in self.body {
            frames.push(piece);
        }
        Ok(frames.end())
    }

    /// Zeros behind the flatbuffer, which readers of it do not look at, so that the body begins at a good place.
    fn padding(&self) -> usize {
        let good = |pad: &usize| self.head_length(*pad) % ALIGNMENT == BODY_AT;
        if self.body.is_empty() { 0 } else { (0..2 * ALIGNMENT).find(good).unwrap_or(0) }
    }

    /// Bytes of the message before its body, behind gRPC's own.
    fn head_length(&self, pad: usize) -> usize {
        let field = |key: usize, length: usize| {
            length_delimiter_len(key).saturating_add(length_delimiter_len(length))
        };
        let kept = |key, length: usize| match length {
            0 => 0,
            length => field(key, length).saturating_add(length),
        };
        let header = match self.header.len() {
            0 => 0,
            length => length.saturating_add(pad),
        };
        let body = self.body_length();
        kept(DATA_HEADER, header)
            .saturating_add(kept(APP_METADATA, self.app_metadata.len()))
            .saturating_add(if body > 0 { field(DATA_BODY, body) } else { 0 })
    }
}

impl From<Message> for FlightData {
    fn from(message: Message) -> Self {
        let data_body = match message.body.as_slice() {
            [body] => body.clone(),
            pieces => pieces.concat().into(),
        };
        Self {
            data_header: message.header,
            app_metadata: message.app_metadata,
            data_body,
            ..Self::default()
        }
    }
}

/// The memory of a buffer, for as long as somebody sends it.
fn shared(buffer: Buffer) -> Bytes {
    struct Owner(Buffer);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    Bytes::from_owner(Owner(buffer))
}

fn malformed(problem: impl ToString) -> ArrowError {
    ArrowError::IpcError(format!("an encoder made no message: {}", problem.to_string()))
}

/// Pieces that are one sequence of bytes.
struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// The next bytes, in as many pieces as they lie in.
    fn taken(&mut self, mut length: usize) -> Result<Vec<Bytes>, ArrowError> {
        let mut taken = Vec::new();
        while length > 0 {
            let piece = self.0.front_mut().ok_or_else(|| malformed("it ends early"))?;
            let part = piece.split_to(length.min(piece.len()));
            length = length.saturating_sub(part.len());
            if piece.is_empty() {
                self.0.pop_front();
            }
            if !part.is_empty() {
                taken.push(part);
            }
        }
        while self.0.front().is_some_and(Bytes::is_empty) {
            self.0.pop_front();
        }
        Ok(taken)
    }

    /// The next bytes in one piece.
    fn joined(&mut self, length: usize) -> Result<Bytes, ArrowError> {
        let mut taken = self.taken(length)?;
        Ok(match taken.pop() {
            Some(only) if taken.is_empty() => only,
            Some(last) => [taken.concat(), last.to_vec()].concat().into(),
            None => Bytes::new(),
        })
    }
}

/// Pieces on their way, small ones together.
#[derive(Default)]
struct Frames {
    ready: VecDeque<Bytes>,
    open: BytesMut,
}

impl Frames {
    /// The key and the length of a field.
    fn field(&mut self, key: usize, length: usize) {
        for number in [key, length] {
            // The memory grows: there is always room.
            let _ = encode_length_delimiter(number, &mut self.open);
        }
    }

    fn push(&mut self, piece: Bytes) {
        if piece.len() < SMALL {
            self.open.put_slice(&piece);
        } else {
            self.close();
            self.ready.push_back(piece);
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.ready.push_back(self.open.split().freeze());
        }
    }

    fn end(mut self) -> VecDeque<Bytes> {
        self.close();
        self.ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow::ipc::writer::StreamEncoder;
    use prost::Message as _;
    use std::sync::Arc;

    fn messages(rows: usize) -> (VecDeque<Message>, RecordBatch) {
        let numbers: Int64Array =
            (0..rows).map(|row| (row % 3 > 0).then(|| i64::try_from(row).unwrap())).collect();
        let numbers: ArrayRef = Arc::new(numbers);
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..rows).map(|row| "x".repeat(row % 17))));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        let mut encoder = StreamEncoder::try_new(batch.schema_ref()).unwrap();
        (Message::split(encoder.encode(&batch).unwrap()).unwrap(), batch)
    }

    #[test]
    fn what_is_sent_is_flight_data_whose_body_begins_at_a_good_place() {
        for rows in [0, 1, 7, 1000, 100_000] {
            let (messages, _) = messages(rows);
            assert_eq!(messages.len(), 2);
            for (place, mut message) in messages.into_iter().enumerate() {
                message.app_metadata = Bytes::from(vec![7; 45 * place]);
                let expected = FlightData::from(message.clone());
                let sent = message.frames().unwrap().into_iter().collect::<Vec<_>>().concat();
                let (head, said) = sent.split_at(5);
                assert_eq!(head[0], 0);
                assert_eq!(&head[1..], u32::try_from(said.len()).unwrap().to_be_bytes());
                let found = FlightData::decode(said).unwrap();
                assert_eq!(found.data_body, expected.data_body);
                assert_eq!(found.app_metadata, expected.app_metadata);
                let (header, pad) = found.data_header.split_at(expected.data_header.len());
                assert_eq!(header, expected.data_header);
                assert!(pad.iter().all(|byte| *byte == 0));
                if !found.data_body.is_empty() {
                    assert_eq!((said.len() - found.data_body.len()) % ALIGNMENT, BODY_AT);
                }
            }
        }
    }

    #[test]
    fn large_arrays_are_sent_from_where_they_lie() {
        let (messages, batch) = messages(100_000);
        let frames = messages.back().unwrap().clone().frames().unwrap();
        let values = batch.column(0).to_data();
        let place = values.buffers()[0].as_slice().as_ptr();
        assert!(frames.iter().any(|frame| frame.as_ptr() == place));
    }

    #[test]
    fn a_stretch_that_is_no_message_is_refused() {
        let (_, batch) = messages(10);
        let mut encoder = StreamEncoder::try_new(batch.schema_ref()).unwrap();
        let mut buffers = encoder.encode(&batch).unwrap();
        buffers.pop();
        assert!(Message::split(buffers).is_err());
        assert!(Message::split(vec![Buffer::from(vec![1u8; 64])]).is_err());
    }
}
