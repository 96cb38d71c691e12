//! Random access to the bytes of one file.

use crate::traffic;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use thiserror::Error;

/// Bytes that cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A range lies outside the file.
    #[error(
        "{location}: bytes {start}..{end} lie outside the file of {len} bytes; the file may be truncated"
    )]
    OutOfBounds {
        /// The file.
        location: String,
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// Length of the file.
        len: u64,
    },
    /// More bytes than there can be.
    #[error("{location}: {len} bytes, where {most} are the most that there can be")]
    TooLong {
        /// The file.
        location: String,
        /// Bytes it has.
        len: u64,
        /// Bytes allowed.
        most: u64,
    },
    /// The file is not the one that was opened.
    #[error(
        "{location}: the file has changed since it was listed or registered ({was}, now {now}); \
         register or ingest it again"
    )]
    Changed {
        /// The file.
        location: String,
        /// Size and tag then.
        was: String,
        /// Size and tag now.
        now: String,
    },
    /// The bytes are noted and fetched before the file is opened again: nobody outside sees this.
    #[error("{location}: these bytes are not there yet")]
    Pending {
        /// The file.
        location: String,
    },
    /// The file system or the store failed.
    #[error("{location}: {source}")]
    Io {
        /// The file.
        location: String,
        /// What the system said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// How a source is best asked for many ranges of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Bytes between two ranges that are read along rather than asked for separately.
    pub gap: u64,
    /// Longest run that ranges are joined to.
    pub run: u64,
    /// Bytes asked for, and held, at once.
    pub batch: u64,
    /// Bytes from the beginning of a file that are read at once when it is opened, because a request
    /// costs as much; 0 where it does not.
    pub head: u64,
}

impl Access {
    /// A request costs little: runs stay small enough to be still in the processor's cache when
    /// they are decoded.
    pub const LOCAL: Self = Self { gap: 16 << 10, run: 256 << 10, batch: 256 << 10, head: 0 };
    /// A request costs as much as a megabyte does: few of them, and many at once.
    pub const REMOTE: Self = Self { gap: 1 << 20, run: 16 << 20, batch: 64 << 20, head: 1 << 20 };

    /// Whether a range is read together with the ones before it, with the `gap` between them: the
    /// gap is short and, where bytes have a long way, no more is read along (`waste`, with the gap)
    /// than is `wanted`.
    pub fn reads_along(self, gap: u64, wanted: u64, waste: u64) -> bool {
        /// Bytes that come along with any request.
        const LITTLE: u64 = 128 << 10;
        gap <= self.gap && (!self.is_remote() || waste <= wanted.max(LITTLE))
    }

    /// Whether a request costs more than the bytes near those that are wanted.
    pub(crate) fn is_remote(self) -> bool {
        self.head > 0
    }
}

/// Random access to the bytes of one file, from any number of threads at once.
///
/// The length is fixed when the source is opened. Reading blocks the calling thread: callers in
/// async code move to a blocking thread first.
pub trait ByteSource: Send + Sync + fmt::Debug {
    /// Path or URL, for messages, the `_file` column and `path:` columns.
    fn location(&self) -> &str;

    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How ranges are best asked for.
    fn access(&self) -> Access {
        Access::REMOTE
    }

    /// The bytes of every range, in the order asked for; each answer has exactly the length of its
    /// range. Remote sources fetch the ranges concurrently and coalesce neighbours.
    ///
    /// # Errors
    /// [`SourceError::OutOfBounds`] before anything is read if a range reaches past the end.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError>;

    /// Says which ranges will be read soon. A source that answers slowly begins to fetch them, and
    /// coalesces them as those of one call; the others do nothing. Failures come out when the ranges
    /// are read.
    fn announce(&self, _ranges: &[Range<u64>]) {}

    /// One range, in memory of its own.
    fn read_owned(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        self.read(range).map(Vec::from)
    }

    /// One range.
    fn read(&self, range: Range<u64>) -> Result<Bytes, SourceError> {
        let mut all = self.read_ranges(std::slice::from_ref(&range))?;
        all.pop().ok_or(SourceError::OutOfBounds {
            location: self.location().to_owned(),
            start: range.start,
            end: range.end,
            len: self.len(),
        })
    }
}

/// Checks that every range lies inside a file of `len` bytes.
pub fn check_ranges(location: &str, len: u64, ranges: &[Range<u64>]) -> Result<(), SourceError> {
    match ranges.iter().find(|range| range.start > range.end || range.end > len) {
        None => Ok(()),
        Some(range) => Err(SourceError::OutOfBounds {
            location: location.to_owned(),
            start: range.start,
            end: range.end,
            len,
        }),
    }
}

/// A file of the local file system, read with `pread`: a file that shrinks while it is read gives
/// an error, where a map would raise SIGBUS.
#[derive(Debug)]
pub struct LocalFile {
    location: String,
    len: u64,
    file: File,
}

impl LocalFile {
    /// Opens a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let location = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::of(location, file),
            Err(error) => Err(SourceError::Io { location, source: Box::new(error) }),
        }
    }

    /// An open file, under a name.
    ///
    /// # Errors
    /// If it is a folder.
    pub fn of(location: String, file: File) -> Result<Self, SourceError> {
        let io = |source: std::io::Error| SourceError::Io {
            location: location.clone(),
            source: Box::new(source),
        };
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        Ok(Self { len: metadata.len(), location, file })
    }
}

impl ByteSource for LocalFile {
    fn location(&self) -> &str {
        &self.location
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn access(&self) -> Access {
        Access::LOCAL
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        check_ranges(&self.location, self.len, ranges)?;
        ranges.iter().map(|range| self.range(range).map(Bytes::from)).collect()
    }

    fn read_owned(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        check_ranges(&self.location, self.len, std::slice::from_ref(&range))?;
        self.range(&range)
    }
}

impl LocalFile {
    /// A range inside the file, read into memory that is not cleared first.
    fn range(&self, range: &Range<u64>) -> Result<Vec<u8>, SourceError> {
        let io = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Io {
            location: self.location.clone(),
            source,
        };
        let length = usize::try_from(range.end - range.start).map_err(|e| io(Box::new(e)))?;
        traffic::count(1, range.end - range.start);
        let mut bytes: Vec<u8> = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = range.start.saturating_add(bytes.len() as u64);
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => {
                    return Err(SourceError::OutOfBounds {
                        location: self.location.clone(),
                        start: range.start,
                        end: range.end,
                        len: at,
                    });
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(io(Box::new(std::io::Error::from(error)))),
            }
        }
        // There may be room, and then bytes, for more than was asked for.
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Bytes in memory.
#[derive(Debug, Clone)]
pub struct MemorySource {
    location: String,
    bytes: Bytes,
}

impl MemorySource {
    /// Bytes under a name.
    pub fn new(location: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { location: location.into(), bytes: bytes.into() }
    }
}

impl ByteSource for MemorySource {
    fn location(&self) -> &str {
        &self.location
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn access(&self) -> Access {
        Access::LOCAL
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        check_ranges(&self.location, self.len(), ranges)?;
        ranges
            .iter()
            .map(|range| {
                let out_of_bounds = || SourceError::OutOfBounds {
                    location: self.location.clone(),
                    start: range.start,
                    end: range.end,
                    len: self.len(),
                };
                let start = usize::try_from(range.start).map_err(|_| out_of_bounds())?;
                let end = usize::try_from(range.end).map_err(|_| out_of_bounds())?;
                Ok(self.bytes.slice(start..end))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_source_gives_the_same_bytes_and_refuses_ranges_past_the_end() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let sources: [Box<dyn ByteSource>; 2] = [
            Box::new(LocalFile::open(file.path()).unwrap()),
            Box::new(MemorySource::new("memory", b"0123456789".to_vec())),
        ];
        for source in sources {
            assert_eq!(source.len(), 10);
            assert_eq!(source.read_ranges(&[8..10, 0..2, 3..3]).unwrap(), ["89", "01", ""]);
            assert!(matches!(source.read(5..11), Err(SourceError::OutOfBounds { end: 11, .. })));
        }
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_gives_an_error() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"0123456789").unwrap();
        let source = LocalFile::open(file.path()).unwrap();
        file.as_file().set_len(6).unwrap();
        assert_eq!(source.read(2..6).unwrap(), "2345");
        let error = source.read(2..10).unwrap_err();
        assert!(matches!(error, SourceError::OutOfBounds { len: 6, .. }), "{error}");
    }
}
