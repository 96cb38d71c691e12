//! Local files that are opened when they are first read.
//!
//! A table may have more files than a process may have open: those read least recently are closed,
//! and opened again when they are wanted, if they are still the files they were.

use super::{FileStat, StoreError, local_stat_of};
use bytes::Bytes;
use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tarn_formats::{Access, ByteSource, LocalFile, SourceError};

/// Files that are open at once.
const OPEN: usize = 256;

/// The files that are open, those opened longest ago first.
#[derive(Debug, Default)]
pub(super) struct OpenFiles(Mutex<VecDeque<Arc<LocalFile>>>);

/// A local file, pinned to its size and times.
#[derive(Debug)]
pub(super) struct LaterFile {
    stat: FileStat,
    path: PathBuf,
    open: Mutex<Weak<LocalFile>>,
    files: Arc<OpenFiles>,
}

impl LaterFile {
    pub(super) fn new(stat: FileStat, path: PathBuf, files: Arc<OpenFiles>) -> Self {
        Self { stat, path, open: Mutex::default(), files }
    }

    /// The open file.
    fn file(&self) -> Result<Arc<LocalFile>, SourceError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.upgrade() {
            return Ok(file);
        }
        let io = |error: std::io::Error| SourceError::Io {
            location: self.stat.location.clone(),
            source: Box::new(error),
        };
        let file = File::open(&self.path).map_err(io)?;
        let now = local_stat_of(&self.stat.location, &file.metadata().map_err(io)?);
        if now != self.stat {
            let describe = |stat: &FileStat| format!("{} bytes, tag {}", stat.bytes, stat.tag);
            return Err(SourceError::Changed {
                location: self.stat.location.clone(),
                was: describe(&self.stat),
                now: describe(&now),
            });
        }
        let file = Arc::new(LocalFile::of(self.stat.location.clone(), file)?);
        *open = Arc::downgrade(&file);
        let mut files = self.files.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.push_back(Arc::clone(&file));
        if files.len() > OPEN {
            files.pop_front();
        }
        Ok(file)
    }
}

impl ByteSource for LaterFile {
    fn location(&self) -> &str {
        &self.stat.location
    }

    fn len(&self) -> u64 {
        self.stat.bytes
    }

    fn access(&self) -> Access {
        Access::LOCAL
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        self.file()?.read_ranges(ranges)
    }

    fn read_owned(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        self.file()?.read_owned(range)
    }
}

/// The states that local files have now.
pub(super) fn stats(paths: Vec<PathBuf>) -> Vec<Result<FileStat, StoreError>> {
    paths.iter().map(|path| super::local_stat(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Location, Stores};

    #[tokio::test]
    async fn files_are_opened_when_they_are_read_closed_again_and_refused_when_they_changed() {
        let folder = tempfile::tempdir().unwrap();
        let stores = Stores::default();
        let mut sources = vec![];
        for number in 0..2 * OPEN {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, format!("{number:04}")).unwrap();
            let stat = stores.stat(&Location::from_path(&path).unwrap()).await.unwrap();
            sources.push(stores.source_later(&stat).unwrap().unwrap());
        }
        for (number, source) in sources.iter().enumerate().chain(sources.iter().enumerate()) {
            assert_eq!(source.read(0..4).unwrap(), format!("{number:04}"));
        }
        assert!(stores.open_files.0.lock().unwrap().len() <= OPEN);
        std::fs::write(folder.path().join("3"), "other").unwrap();
        std::fs::remove_file(folder.path().join("4")).unwrap();
        assert!(matches!(sources[3].read(0..4), Err(SourceError::Changed { .. })));
        assert!(matches!(sources[4].read(0..4), Err(SourceError::Io { .. })));
    }
}
