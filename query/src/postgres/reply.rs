//! What clients are told: messages of the PostgreSQL protocol, gathered until they are sent.

use super::failure::Refusal;
use super::types::{Column, Format};
use bytes::{BufMut, BytesMut};

/// Longest text of an error or a notice.
const LONGEST: usize = 16 << 10;

/// Messages on their way, and what the next part of a file begins with.
#[derive(Debug, Default)]
pub(super) struct Replies(BytesMut, BytesMut);

/// Whether a client may go on after what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    /// The connection ends.
    Fatal,
    /// The statement ends.
    Error,
    /// Nothing ends.
    Warning,
    /// To be read by people.
    Notice,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Self::Fatal => "FATAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }
}

impl Replies {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All that waits, to be sent.
    pub(super) fn take(&mut self) -> BytesMut {
        self.0.split()
    }

    /// A message without fields.
    pub(super) fn plain(&mut self, tag: u8) {
        self.message(tag, |_| ());
    }

    fn message(&mut self, tag: u8, fill: impl FnOnce(&mut BytesMut)) {
        let _ = self.try_message(tag, |body| {
            fill(body);
            Ok(())
        });
    }

    /// A message whose body may fail, or be longer than a message can be; then nothing of it is there.
    fn try_message(
        &mut self,
        tag: u8,
        fill: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let start = self.0.len();
        self.0.put_u8(tag);
        let at = self.0.len();
        self.0.put_i32(0);
        let filled = fill(&mut self.0);
        let length = i32::try_from(self.0.len().saturating_sub(at)).map_err(|_| {
            Refusal::new("54000", "a row has more than 2 GiB; name fewer columns, or use Flight")
        });
        match (filled, length) {
            (Ok(()), Ok(length)) => {
                if let Some(place) = self.0.get_mut(at..at.saturating_add(4)) {
                    place.copy_from_slice(&length.to_be_bytes());
                }
                Ok(())
            }
            (Err(refusal), _) | (_, Err(refusal)) => {
                self.0.truncate(start);
                Err(refusal)
            }
        }
    }

    /// An answer to a client that wants to come in: 0 for welcome, 3 for a password in clear text.
    pub(super) fn authentication(&mut self, code: i32) {
        self.message(b'R', |body| body.put_i32(code));
    }

    /// The newest version of the protocol is 3.0, and these options are not known.
    pub(super) fn negotiate(&mut self, unknown: &[String]) {
        self.message(b'v', |body| {
            body.put_i32(0);
            body.put_i32(i32::try_from(unknown.len()).unwrap_or(0));
            for name in unknown {
                text(body, name);
            }
        });
    }

    /// A setting of the session.
    pub(super) fn setting(&mut self, name: &str, value: &str) {
        self.message(b'S', |body| {
            text(body, name);
            text(body, value);
        });
    }

    /// What a request to cancel names.
    pub(super) fn cancel_key(&mut self, (process, secret): (i32, i32)) {
        self.message(b'K', |body| {
            body.put_i32(process);
            body.put_i32(secret);
        });
    }

    /// The next statement may come.
    pub(super) fn ready(&mut self, transaction: u8) {
        self.message(b'Z', |body| body.put_u8(transaction));
    }

    /// Types of parameters.
    pub(super) fn parameters(&mut self, types: &[u32]) {
        self.message(b't', |body| {
            body.put_i16(i16::try_from(types.len()).unwrap_or(i16::MAX));
            for oid in types {
                body.put_u32(*oid);
            }
        });
    }

    /// The columns of rows.
    pub(super) fn columns(
        &mut self,
        columns: &[Column],
        formats: &[Format],
    ) -> Result<(), Refusal> {
        let count = count(columns.len())?;
        self.try_message(b'T', |body| {
            body.put_i16(count);
            for (place, column) in columns.iter().enumerate() {
                text(body, &column.name);
                // Neither a table nor one of its columns.
                body.put_i32(0);
                body.put_i16(0);
                body.put_u32(column.kind.oid());
                body.put_i16(column.kind.length());
                body.put_i32(column.kind.modifier());
                body.put_i16(Format::at(formats, place).unwrap_or(Format::Text).code());
            }
            Ok(())
        })
    }

    /// Rows follow as a file, each with so many values in this format. Clients read the beginning of a binary file in
    /// one part with its first row, or with its end.
    pub(super) fn copy(
        &mut self,
        values: usize,
        format: Format,
        beginning: &[u8],
    ) -> Result<(), Refusal> {
        let count = count(values)?;
        self.1 = BytesMut::from(beginning);
        self.message(b'H', |body| {
            body.put_i8(i8::try_from(format.code()).unwrap_or(0));
            body.put_i16(count);
            (0..values).for_each(|_| body.put_i16(format.code()));
        });
        Ok(())
    }

    /// A part of a file.
    pub(super) fn copied(
        &mut self,
        fill: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let beginning = self.1.split();
        self.try_message(b'd', |body| {
            body.extend_from_slice(&beginning);
            fill(body)
        })
    }

    /// A row of so many values, each of which `fill` writes after its length.
    pub(super) fn row(
        &mut self,
        values: usize,
        fill: impl FnOnce(&mut BytesMut) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let count = count(values)?;
        self.try_message(b'D', |body| {
            body.put_i16(count);
            fill(body)
        })
    }

    /// A statement is done.
    pub(super) fn complete(&mut self, tag: &str) {
        self.message(b'C', |body| text(body, tag));
    }

    /// Something went wrong.
    pub(super) fn error(&mut self, severity: Severity, refusal: &Refusal) {
        self.told(b'E', severity, refusal.sqlstate, &refusal.message);
    }

    /// Something to know.
    pub(super) fn notice(&mut self, severity: Severity, message: &str) {
        let code = if severity == Severity::Warning { "01000" } else { "00000" };
        self.told(b'N', severity, code, message);
    }

    fn told(&mut self, tag: u8, severity: Severity, code: &str, message: &str) {
        let end = message.floor_char_boundary(message.len().min(LONGEST));
        let message = message.get(..end).unwrap_or_default();
        self.message(tag, |body| {
            for (field, said) in
                [(b'S', severity.word()), (b'V', severity.word()), (b'C', code), (b'M', message)]
            {
                body.put_u8(field);
                text(body, said);
            }
            body.put_u8(0);
        });
    }
}

/// Text with its end. No text of the protocol has a zero in it.
fn text(body: &mut BytesMut, text: &str) {
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.put_u8(0);
}

fn count(columns: usize) -> Result<i16, Refusal> {
    i16::try_from(columns).map_err(|_| {
        let problem = "the answer has more than 32767 columns, which this protocol cannot say; name fewer, or use Flight";
        Refusal::new("54011", problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_and_a_row_that_fails_leaves_nothing() {
        let mut replies = Replies::default();
        replies.ready(b'I');
        assert_eq!(&replies.take()[..], b"Z\0\0\0\x05I");
        let failed = replies.row(1, |body| {
            body.put_u8(1);
            Err(Refusal::new("22003", "no"))
        });
        assert!(failed.is_err());
        assert_eq!(replies.len(), 0);
        replies.complete("a\0b");
        assert_eq!(&replies.take()[..], b"C\0\0\0\x07ab\0");
    }
}
