//! A hierarchy of keys, each with bytes: what a Zarr store is made of.
//!
//! A file is one [`ByteSource`](crate::ByteSource); a store is a folder of the file system, or a
//! prefix of an object store. Keys are relative, with `/` between their parts.

use crate::source::{Access, ByteSource, LocalFile, SourceError};
use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

/// Which bytes of a key are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// All of them, if they are no more than so many.
    Whole(u64),
    /// These; it is an error if the key has fewer.
    Range(Range<u64>),
    /// So many at its end; it is an error if the key has fewer.
    Last(u64),
}

impl Span {
    /// The range that is meant in a value of `len` bytes.
    ///
    /// # Errors
    /// [`SourceError::OutOfBounds`] if it has fewer, [`SourceError::TooLong`] if a whole one has more
    /// than allowed. `location` names the store, `key` the key.
    pub fn of(&self, location: &str, key: &str, len: u64) -> Result<Range<u64>, SourceError> {
        let (range, fits) = match self {
            Self::Whole(most) if len > *most => {
                return Err(SourceError::TooLong {
                    location: place(location, key),
                    len,
                    most: *most,
                });
            }
            Self::Whole(_) => (0..len, true),
            Self::Range(range) => (range.clone(), range.start <= range.end && range.end <= len),
            Self::Last(count) => (len.saturating_sub(*count)..len, *count <= len),
        };
        if fits {
            return Ok(range);
        }
        Err(SourceError::OutOfBounds {
            location: place(location, key),
            start: range.start,
            end: range.end,
            len,
        })
    }
}

/// A key in a store, for messages.
fn place(location: &str, key: &str) -> String {
    format!("{}/{key}", location.trim_end_matches('/'))
}

/// Bytes by key, from any number of threads at once. Reading blocks the calling thread.
pub trait KeySource: Send + Sync + fmt::Debug {
    /// Path or URL of the store, for messages and the `_file` column.
    fn location(&self) -> &str;

    /// How ranges of one key are best asked for.
    fn access(&self) -> Access {
        Access::REMOTE
    }

    /// The bytes of every key and span, in the order asked for; `None` for a key that is not there.
    /// Remote stores fetch them concurrently.
    ///
    /// # Errors
    /// [`SourceError::OutOfBounds`] for a key with fewer bytes than wanted; [`SourceError::Io`] for
    /// one that may not be read, above all one that leads out of the store.
    fn read(&self, wanted: &[(String, Span)]) -> Result<Vec<Option<Bytes>>, SourceError>;

    /// Names directly below a key (empty for the root) that have keys below them, sorted; `None` where
    /// keys cannot be listed.
    ///
    /// # Errors
    /// If the store fails.
    fn folders(&self, key: &str) -> Result<Option<Vec<String>>, SourceError>;
}

/// Whether a key is one: parts that are names, and no way up or out.
pub fn is_key(key: &str) -> bool {
    let is_name = |part: &str| !part.is_empty() && part != "." && part != "..";
    key.split('/').all(is_name) && !key.contains(['\0', '\\'])
}

/// A folder of the local file system. What lies outside of it is not read, also where links of the
/// file system lead there.
#[derive(Debug)]
pub struct LocalKeys {
    location: String,
    /// Where all links are resolved.
    folder: PathBuf,
}

impl LocalKeys {
    /// The keys of a folder.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let location = path.as_ref().display().to_string();
        let folder = path.as_ref().canonicalize().and_then(|folder| {
            if folder.is_dir() { Ok(folder) } else { Err(ErrorKind::NotADirectory.into()) }
        });
        match folder {
            Ok(folder) => Ok(Self { location, folder }),
            Err(error) => Err(SourceError::Io { location, source: Box::new(error) }),
        }
    }

    fn io(
        &self,
        key: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> SourceError {
        SourceError::Io { location: place(&self.location, key), source: source.into() }
    }

    /// The file or folder of a key, with all links resolved; `None` where nothing is there.
    fn resolve(&self, key: &str) -> Result<Option<PathBuf>, SourceError> {
        let plain = |part| matches!(part, Component::Normal(_));
        if !(key.is_empty() || (is_key(key) && Path::new(key).components().all(plain))) {
            return Err(self.io(key, "this key leads out of the store"));
        }
        match self.folder.join(key).canonicalize() {
            Ok(path) if path.starts_with(&self.folder) => Ok(Some(path)),
            Ok(_) => Err(self.io(key, "a link that leads out of the store")),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) => Err(self.io(key, error)),
        }
    }

    /// The file of a key; `None` where there is none.
    fn file(&self, key: &str) -> Result<Option<LocalFile>, SourceError> {
        let Some(path) = self.resolve(key)? else { return Ok(None) };
        // Not a link that was put there since, and not a pipe that would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(error) if is_absence(&error.into()) => return Ok(None),
            Err(error) => return Err(self.io(key, std::io::Error::from(error))),
        };
        let kind = file.metadata().map_err(|error| self.io(key, error))?.file_type();
        if kind.is_dir() {
            return Ok(None);
        }
        if !kind.is_file() {
            return Err(self.io(key, "this is no regular file"));
        }
        LocalFile::of(place(&self.location, key), file).map(Some)
    }
}

/// Whether an error says that nothing is there.
fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl KeySource for LocalKeys {
    fn location(&self) -> &str {
        &self.location
    }

    fn access(&self) -> Access {
        Access::LOCAL
    }

    fn read(&self, wanted: &[(String, Span)]) -> Result<Vec<Option<Bytes>>, SourceError> {
        let mut read = Vec::with_capacity(wanted.len());
        // Spans of one key come one after the other: it is opened once.
        let mut open: Option<(&str, Option<LocalFile>)> = None;
        for (key, span) in wanted {
            let file = match open.take() {
                Some((last, file)) if last == key => file,
                _ => self.file(key)?,
            };
            read.push(match &file {
                None => None,
                Some(file) => {
                    let range = span.of(&self.location, key, file.len())?;
                    Some(file.read_owned(range)?.into())
                }
            });
            open = Some((key, file));
        }
        Ok(read)
    }

    fn folders(&self, key: &str) -> Result<Option<Vec<String>>, SourceError> {
        let Some(path) = self.resolve(key)? else { return Ok(Some(vec![])) };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| self.io(key, error))? {
            let entry = entry.map_err(|error| self.io(key, error))?;
            // Links to folders are not followed: they may lead in a circle.
            if entry.file_type().map_err(|error| self.io(key, error))?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(Some(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(keys: &LocalKeys, key: &str) -> Result<Option<Bytes>, SourceError> {
        Ok(keys.read(&[(key.to_owned(), Span::Whole(100))])?.remove(0))
    }

    #[test]
    fn spans_are_cut_out_of_keys_and_missing_keys_are_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/c")).unwrap();
        std::fs::write(folder.path().join("a/c/0"), "0123456789").unwrap();
        let keys = LocalKeys::open(folder.path()).unwrap();
        let wanted = |span| ("a/c/0".to_owned(), span);
        let read = keys.read(&[
            wanted(Span::Whole(10)),
            ("a/c/1".to_owned(), Span::Whole(10)),
            wanted(Span::Range(2..4)),
            wanted(Span::Last(3)),
            ("a/c".to_owned(), Span::Whole(10)),
            ("a/c/0/0".to_owned(), Span::Last(4)),
        ]);
        let read: Vec<_> = read.unwrap().into_iter().map(|b| b.map(|b| b.to_vec())).collect();
        let expected = [
            Some(b"0123456789".to_vec()),
            None,
            Some(b"23".to_vec()),
            Some(b"789".to_vec()),
            None,
            None,
        ];
        assert_eq!(read, expected);
        for span in [Span::Whole(9), Span::Range(9..11), Span::Last(11)] {
            let error = keys.read(&[wanted(span)]).unwrap_err().to_string();
            assert!(error.contains("/a/c/0: "), "{error}");
        }
        assert_eq!(keys.folders("").unwrap(), Some(vec!["a".to_owned()]));
        assert_eq!(keys.folders("a/c").unwrap(), Some(vec![]));
        assert!(LocalKeys::open(folder.path().join("a/c/0")).is_err());
    }

    #[test]
    fn nothing_outside_of_the_folder_is_read() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let folder = outside.path().join("x.zarr");
        std::fs::create_dir_all(folder.join("a")).unwrap();
        std::fs::write(folder.join("a/in"), "in").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("out")).unwrap();
        std::os::unix::fs::symlink("a/in", folder.join("in")).unwrap();
        std::os::unix::fs::symlink("circle", folder.join("circle")).unwrap();
        std::os::unix::fs::symlink(".", folder.join("self")).unwrap();
        let keys = LocalKeys::open(&folder).unwrap();
        assert_eq!(all(&keys, "in").unwrap().unwrap(), "in");
        assert_eq!(all(&keys, "nothing").unwrap(), None);
        let absolute = outside.path().join("secret").display().to_string();
        for key in ["../secret", "a/../a/in", absolute.as_str(), "out", "circle", "a//in", "a\0"] {
            assert!(matches!(all(&keys, key), Err(SourceError::Io { .. })), "{key:?}");
        }
        assert_eq!(keys.folders("").unwrap(), Some(vec!["a".to_owned()]));
        assert!(keys.folders("..").is_err());
    }
}
