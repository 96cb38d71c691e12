//! What clients send: messages of version 3 of the PostgreSQL protocol, taken apart within bounds.

use super::types::Format;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest time in which the rest of a message has to come once it began.
const PAUSE: Duration = Duration::from_secs(30);

/// Why what a client sent is no message.
#[derive(Debug, Error)]
pub(super) enum Wrong {
    /// The connection.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// It is longer than it may be.
    #[error("a message of {length} bytes was sent, and {most} may be; send less at a time")]
    TooLong {
        /// What it says it is.
        length: usize,
        /// What it may be.
        most: usize,
    },
    /// It breaks the rules of the protocol.
    #[error("the message is malformed: {0}; this is version 3 of the PostgreSQL protocol")]
    Malformed(&'static str),
}

/// What a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A prepared statement.
    Statement(String),
    /// A statement with its values.
    Portal(String),
}

/// Values for the parameters of a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) portal: String,
    pub(super) statement: String,
    /// None for all text, one for all, or one for each.
    pub(super) formats: Vec<Format>,
    pub(super) values: Vec<Option<Bytes>>,
    /// Formats of the answer's columns, by the same rule.
    pub(super) results: Vec<Format>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Statements to run, one after the other.
    Query(String),
    /// A statement to prepare, with the types that the client gives its parameters.
    Parse { name: String, sql: String, types: Vec<u32> },
    /// Values for it.
    Bind(Bind),
    /// What it takes and gives.
    Describe(Target),
    /// Its rows; 0 for all of them.
    Execute { portal: String, rows: u32 },
    /// It is not needed any more.
    Close(Target),
    /// Answers so far are wanted.
    Flush,
    /// The end of a series.
    Sync,
    /// The password.
    Password(String),
    /// The client goes.
    Terminate,
    /// A kind that this door does not serve.
    Other,
}

/// What the next message is, and how many bytes follow, of at most so many; none where the client went.
pub(super) async fn head<R: AsyncRead + Unpin>(
    from: &mut R,
    most: usize,
) -> Result<Option<(u8, usize)>, Wrong> {
    let tag = match from.read_u8().await {
        Ok(tag) => tag,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = tokio::time::timeout(PAUSE, from.read_i32()).await;
    let length = length.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Some((tag, within(length, 4, most)?)))
}

/// What follows.
pub(super) async fn rest<R: AsyncRead + Unpin>(
    from: &mut R,
    length: usize,
) -> Result<Bytes, Wrong> {
    let body = tokio::time::timeout(PAUSE, exactly(from, length)).await;
    body.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// The next message, of at most so many bytes; none where the client went.
pub(super) async fn read<R: AsyncRead + Unpin>(
    from: &mut R,
    most: usize,
) -> Result<Option<(u8, Bytes)>, Wrong> {
    let Some((tag, length)) = head(from, most).await? else { return Ok(None) };
    Ok(Some((tag, rest(from, length).await?)))
}

/// The rest of a message whose length, with `before` bytes that were read, is `length`. Memory grows with what comes
/// and not with what was announced.
pub(super) async fn body<R: AsyncRead + Unpin>(
    from: &mut R,
    length: i32,
    before: usize,
    most: usize,
) -> Result<Bytes, Wrong> {
    exactly(from, within(length, before, most)?).await
}

fn within(length: i32, before: usize, most: usize) -> Result<usize, Wrong> {
    let length = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_sub(before))
        .ok_or(Wrong::Malformed("its length makes no sense"))?;
    if length > most {
        return Err(Wrong::TooLong { length, most });
    }
    Ok(length)
}

async fn exactly<R: AsyncRead + Unpin>(from: &mut R, length: usize) -> Result<Bytes, Wrong> {
    let mut bytes = BytesMut::new();
    let wanted = u64::try_from(length).unwrap_or(u64::MAX);
    let mut rest = from.take(wanted);
    while bytes.len() < length {
        if rest.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
    Ok(bytes.freeze())
}

/// Fields of a message, in order.
#[derive(Debug)]
pub(super) struct Fields(Bytes);

impl Fields {
    /// The fields of a body.
    pub(super) fn of(body: Bytes) -> Self {
        Self(body)
    }

    fn need(&self, bytes: usize) -> Result<(), Wrong> {
        if self.0.remaining() < bytes {
            return Err(Wrong::Malformed("it ends too early"));
        }
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, Wrong> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    fn count(&mut self) -> Result<u16, Wrong> {
        self.need(2)?;
        Ok(self.0.get_u16())
    }

    /// A number of four bytes.
    pub(super) fn i32(&mut self) -> Result<i32, Wrong> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    /// Text that ends with a zero.
    pub(super) fn text(&mut self) -> Result<String, Wrong> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let end = end.ok_or(Wrong::Malformed("a text has no end"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        String::from_utf8(text.to_vec()).map_err(|_| Wrong::Malformed("a text is not UTF-8"))
    }

    fn value(&mut self) -> Result<Option<Bytes>, Wrong> {
        let Ok(length) = usize::try_from(self.i32()?) else { return Ok(None) };
        self.need(length)?;
        Ok(Some(self.0.split_to(length)))
    }

    fn formats(&mut self) -> Result<Vec<Format>, Wrong> {
        (0..self.count()?)
            .map(|_| {
                self.need(2)?;
                match self.0.get_u16() {
                    0 => Ok(Format::Text),
                    1 => Ok(Format::Binary),
                    _ => Err(Wrong::Malformed("a format is neither text nor binary")),
                }
            })
            .collect()
    }

    fn target(&mut self) -> Result<Target, Wrong> {
        match self.u8()? {
            b'S' => self.text().map(Target::Statement),
            b'P' => self.text().map(Target::Portal),
            _ => Err(Wrong::Malformed("it is about neither a statement nor a portal")),
        }
    }

    /// Nothing follows.
    pub(super) fn end(self) -> Result<(), Wrong> {
        if self.0.has_remaining() {
            return Err(Wrong::Malformed("it is longer than its fields"));
        }
        Ok(())
    }
}

impl Message {
    /// The message of a tag and a body.
    pub(super) fn of(tag: u8, body: Bytes) -> Result<Self, Wrong> {
        let mut fields = Fields::of(body);
        let message = match tag {
            b'Q' => Self::Query(fields.text()?),
            b'P' => {
                let (name, sql) = (fields.text()?, fields.text()?);
                let types = (0..fields.count()?)
                    .map(|_| fields.i32().map(i32::cast_unsigned))
                    .collect::<Result<_, _>>()?;
                Self::Parse { name, sql, types }
            }
            b'B' => {
                let (portal, statement) = (fields.text()?, fields.text()?);
                let formats = fields.formats()?;
                let values =
                    (0..fields.count()?).map(|_| fields.value()).collect::<Result<_, _>>()?;
                let results = fields.formats()?;
                Self::Bind(Bind { portal, statement, formats, values, results })
            }
            b'D' => Self::Describe(fields.target()?),
            b'E' => {
                let portal = fields.text()?;
                // A negative number is no bound, as zero is none.
                let rows = u32::try_from(fields.i32()?).unwrap_or(0);
                Self::Execute { portal, rows }
            }
            b'C' => Self::Close(fields.target()?),
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'p' => Self::Password(fields.text()?),
            // COPY that never began, and calls of functions.
            b'd' | b'c' | b'f' | b'F' => return Ok(Self::Other),
            _ => return Err(Wrong::Malformed("there is no message of this kind")),
        };
        fields.end()?;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    async fn one(bytes: &[u8], most: usize) -> Result<Option<(u8, Bytes)>, Wrong> {
        let mut from = bytes;
        read(&mut from, most).await
    }

    #[tokio::test]
    async fn lengths_that_lie_are_refused_before_anything_is_kept() {
        assert!(one(b"", 10).await.unwrap().is_none());
        let (tag, body) = one(b"Q\0\0\0\x06a\0", 10).await.unwrap().unwrap();
        assert_eq!(Message::of(tag, body).unwrap(), Message::Query("a".to_owned()));
        assert!(matches!(one(b"Q\x7f\xff\xff\xff", 10).await, Err(Wrong::TooLong { .. })));
        assert!(matches!(one(b"Q\0\0\0\x03", 10).await, Err(Wrong::Malformed(_))));
        assert!(matches!(one(b"Q\xff\xff\xff\xff", 10).await, Err(Wrong::Malformed(_))));
        assert!(matches!(one(b"Q\0\0\0\x09ab", 10).await, Err(Wrong::Broken(_))));
    }

    #[test]
    fn a_bind_is_taken_apart() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0";
        let Message::Bind(bind) = Message::of(b'B', Bytes::from_static(body)).unwrap() else {
            panic!()
        };
        assert_eq!((&*bind.portal, &*bind.statement), ("p", "s"));
        assert_eq!(bind.formats, [Format::Binary]);
        assert_eq!(bind.values, [Some(Bytes::from_static(b"x")), None]);
        assert!(bind.results.is_empty());
        let longer = Bytes::from_static(b"p\0s\0\0\0\xff\xff");
        assert!(Message::of(b'B', longer).is_err(), "65535 formats that are not there");
    }

    proptest! {
        #[test]
        fn no_bytes_are_more_than_an_error(tag: u8, body: Vec<u8>) {
            let _ = Message::of(tag, Bytes::from(body));
        }
    }
}
