//! Rows as a file: Arrow IPC, arrays at multiples of 64 bytes, no bitmaps where no value is NULL.

use super::mapping;
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::writer::FileWriter;
use arrow::ipc::{Block, root_as_footer};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Key of the checksum in the file's metadata: CRC-32C of all messages, and how many bytes they are.
const CHECKSUM: &str = "tarn.crc32c";
/// What the footer's own checksum follows, in eight hexadecimal digits; it is made with zeros in their place. A footer
/// is not looked into before it was compared: Arrow gives up the thread for a type that there is not.
const SEAL: &str = "tarn.footer=";
const DIGITS: usize = 8;
/// Last bytes of a file: the length of its footer, and that it is one of Arrow's.
const TRAILER: usize = 10;
/// Bytes that are written at once.
const WRITTEN: usize = 1 << 20;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the file is damaged: {0}")]
    Damaged(String),
}

fn damaged(problem: impl ToString) -> Unreadable {
    Unreadable::Damaged(problem.to_string())
}

/// What is written, counted and summed up.
struct Summed<W> {
    inner: W,
    sum: u32,
    bytes: u64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(bytes) = bytes.get(..written) {
            self.sum = crc32c::crc32c_append(self.sum, bytes);
            self.bytes = self.bytes.saturating_add(written as u64);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes rows under their name, whole or not at all, and says how many bytes it takes. What a loss of power
/// leaves of it is noticed by the checksum, so that nothing has to wait for the disk.
pub(super) fn write(batch: &RecordBatch, temporary: &Path, path: &Path) -> io::Result<u64> {
    let written = write_temporary(batch, temporary).and_then(|bytes| {
        fs::rename(temporary, path)?;
        Ok(bytes)
    });
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(temporary);
    }
    written
}

fn write_temporary(batch: &RecordBatch, temporary: &Path) -> io::Result<u64> {
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(temporary)?;
    let writer = BufWriter::with_capacity(WRITTEN, file);
    let summed = Summed { inner: writer, sum: 0, bytes: 0 };
    let mut writer = FileWriter::try_new(summed, batch.schema_ref()).map_err(unwritten)?;
    writer.write(batch).map_err(unwritten)?;
    let Summed { sum, bytes, .. } = *writer.get_ref();
    writer.write_metadata(CHECKSUM, format!("{sum:08x} {bytes}"));
    writer.write_metadata("tarn.footer", format!("{SEAL}{:08}", 0));
    writer.finish().map_err(unwritten)?;
    let summed = writer.into_inner().map_err(unwritten)?;
    let file = summed.inner.into_inner().map_err(io::IntoInnerError::into_error)?;
    seal(&file)?;
    file.set_permissions(Permissions::from_mode(0o400))?;
    Ok(summed.bytes)
}

/// Writes the checksum of the footer into it.
fn seal(file: &File) -> io::Result<()> {
    let wrong = || io::Error::other("Arrow wrote another footer than it says");
    let end = file.metadata()?.len().checked_sub(TRAILER as u64).ok_or_else(wrong)?;
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, end)?;
    let length = read_footer_length(trailer).map_err(unwritten)?;
    let at = end.checked_sub(length as u64).ok_or_else(wrong)?;
    let mut footer = vec![0; length];
    file.read_exact_at(&mut footer, at)?;
    let (place, sum) = sealed(&footer).ok_or_else(wrong)?;
    file.write_all_at(format!("{sum:08x}").as_bytes(), at.saturating_add(place as u64))
}

/// Where a footer has its checksum, and what that is for these bytes.
fn sealed(footer: &[u8]) -> Option<(usize, u32)> {
    let found = footer.windows(SEAL.len()).position(|bytes| bytes == SEAL.as_bytes())?;
    let place = found.checked_add(SEAL.len())?;
    let mut unsealed = footer.to_vec();
    unsealed.get_mut(place..place.checked_add(DIGITS)?)?.fill(b'0');
    Some((place, crc32c::crc32c(&unsealed)))
}

/// Whether a footer is as it was written.
fn is_whole(footer: &[u8]) -> bool {
    sealed(footer).is_some_and(|(place, sum)| {
        let digits = footer.get(place..place.saturating_add(DIGITS));
        digits == Some(format!("{sum:08x}").as_bytes())
    })
}

fn unwritten(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}

/// The rows of a file, over its mapping, after its checksum was compared, if that is needed.
pub(super) fn open(
    path: &Path,
    schema: &SchemaRef,
    rows: u64,
    compare: bool,
) -> Result<RecordBatch, Unreadable> {
    let file = File::open(path)?;
    if file.metadata()?.len() < TRAILER as u64 {
        return Err(damaged("it is too short"));
    }
    let bytes = mapping::map(&file)?;
    let (rest, trailer) =
        bytes.split_last_chunk::<TRAILER>().ok_or_else(|| damaged("it is too short"))?;
    let length = read_footer_length(*trailer).map_err(damaged)?;
    let at = rest.len().checked_sub(length).ok_or_else(|| damaged("its footer is too long"))?;
    let footer = rest.get(at..).ok_or_else(|| damaged("it has no footer"))?;
    if !is_whole(footer) {
        return Err(damaged("the checksum of its footer is another"));
    }
    let footer = root_as_footer(footer).map_err(damaged)?;
    let found: Schema =
        footer.schema().map(fb_to_schema).ok_or_else(|| damaged("it has no schema"))?;
    if found != **schema {
        return Err(damaged("its columns are others"));
    }
    let said = footer.custom_metadata().and_then(|pairs| {
        let pair = pairs.iter().find(|pair| pair.key() == Some(CHECKSUM))?;
        let (sum, length) = pair.value()?.split_once(' ')?;
        Some((u32::from_str_radix(sum, 16).ok()?, length.parse::<usize>().ok()?))
    });
    let (sum, length) = said.ok_or_else(|| damaged("it has no checksum"))?;
    let messages = bytes.get(..length).ok_or_else(|| damaged("it is too short"))?;
    let now = if compare { crc32c::crc32c(messages) } else { sum };
    if now != sum {
        return Err(damaged(format!("its checksum is {now:08x} and was {sum:08x}")));
    }
    let mut decoder =
        FileDecoder::new(schema.clone(), footer.version()).with_require_alignment(true);
    for block in footer.dictionaries().iter().flatten() {
        decoder.read_dictionary(block, &part(&bytes, block, length)?).map_err(damaged)?;
    }
    let blocks = footer.recordBatches().ok_or_else(|| damaged("it has no rows"))?;
    if blocks.len() != 1 {
        return Err(damaged("it has more than one block"));
    }
    let block = blocks.get(0);
    let batch = decoder.read_record_batch(block, &part(&bytes, block, length)?);
    let batch = batch.map_err(damaged)?.ok_or_else(|| damaged("it has no rows"))?;
    if batch.num_rows() as u64 != rows {
        return Err(damaged(format!("it has {} rows and not {rows}", batch.num_rows())));
    }
    Ok(batch)
}

/// One message: it lies within what the checksum was made of.
fn part(bytes: &Buffer, block: &Block, most: usize) -> Result<Buffer, Unreadable> {
    let wrong = || damaged("a message lies elsewhere");
    let at = usize::try_from(block.offset()).map_err(|_| wrong())?;
    let head = usize::try_from(block.metaDataLength()).map_err(|_| wrong())?;
    let body = usize::try_from(block.bodyLength()).map_err(|_| wrong())?;
    let length = head.checked_add(body).ok_or_else(wrong)?;
    let end = at.checked_add(length).ok_or_else(wrong)?;
    if end > most || head < 8 || !at.is_multiple_of(8) {
        return Err(wrong());
    }
    Ok(bytes.slice_with_length(at, length))
}
