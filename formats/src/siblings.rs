//! Other files that a file refers to: external links and virtual datasets of HDF5.
//!
//! A name inside a file is written by whoever made the file. What it may open is decided by whoever
//! opens the file, by a [`SourceResolver`]; without one nothing is opened.

use crate::source::{ByteSource, LocalFile, SourceError};
use rustix::fs::{Mode, OFlags};
use std::fmt;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Why a file that another one refers to cannot be had.
#[derive(Debug, Error)]
pub enum Unresolved {
    /// There is no such file.
    #[error("there is no such file")]
    Missing,
    /// It may not be opened, for the reason given.
    #[error("it may not be opened: {0}")]
    Refused(String),
    /// It cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Opens files by the names that other files give them.
pub trait SourceResolver: Send + Sync + fmt::Debug {
    /// The file that is called `name` in the file at `location`, which is a file that was opened
    /// before: the first one, or one that this gave.
    ///
    /// # Errors
    /// [`Unresolved`]; above all [`Unresolved::Refused`] for a name that leads out of what the
    /// caller may read.
    fn resolve(&self, location: &str, name: &str) -> Result<Arc<dyn ByteSource>, Unresolved>;
}

/// Opens local files in one folder and below it, and nothing else.
#[derive(Debug)]
pub struct LocalSiblings {
    folder: PathBuf,
}

impl LocalSiblings {
    /// The files beside the one at `path`, and in folders beside it.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn of(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = folder.canonicalize().map_err(|error| SourceError::Io {
            location: folder.display().to_string(),
            source: Box::new(error),
        })?;
        Ok(Self { folder })
    }
}

impl SourceResolver for LocalSiblings {
    fn resolve(&self, location: &str, name: &str) -> Result<Arc<dyn ByteSource>, Unresolved> {
        let refused = |why: &str| Unresolved::Refused(why.to_owned());
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || name.contains('\0') || !Path::new(name).components().all(plain) {
            return Err(refused("its name is no path below the folder of the file"));
        }
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Unresolved::Missing,
            _ => SourceError::Io { location: name.to_owned(), source: Box::new(error) }.into(),
        };
        let beside = Path::new(location).parent().unwrap_or(Path::new("")).join(name);
        // Where links of the file system lead to counts, not what they are called.
        let path = beside.canonicalize().map_err(io)?;
        if !path.starts_with(&self.folder) {
            return Err(refused("it lies outside the folder of the file"));
        }
        // Not a link that was put there since, and not a pipe that would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(&path, flags, Mode::empty()).map_err(|e| io(e.into()))?;
        let file = File::from(file);
        if !file.metadata().map_err(io)?.is_file() {
            return Err(refused("it is no regular file"));
        }
        Ok(Arc::new(LocalFile::of(beside.display().to_string(), file)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_below_the_folder_are_opened_and_no_others() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let folder = outside.path().join("data");
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        std::fs::write(folder.join("a"), "aa").unwrap();
        std::fs::write(folder.join("inner/b"), "bbb").unwrap();
        std::os::unix::fs::symlink("../secret", folder.join("out")).unwrap();
        std::os::unix::fs::symlink("inner/b", folder.join("in")).unwrap();
        std::os::unix::fs::symlink("/etc", folder.join("etc")).unwrap();
        let main = folder.join("main");
        std::fs::write(&main, "").unwrap();
        let siblings = LocalSiblings::of(&main).unwrap();
        let resolve = |name: &str| siblings.resolve(main.to_str().unwrap(), name);

        assert_eq!(resolve("a").unwrap().len(), 2);
        assert_eq!(resolve("./inner/b").unwrap().len(), 3);
        assert_eq!(resolve("in").unwrap().len(), 3);
        let inner = folder.join("inner/b");
        let sibling = siblings.resolve(inner.to_str().unwrap(), "b").unwrap();
        assert_eq!(sibling.location(), inner.to_str().unwrap());
        for missing in ["nothing", "inner/nothing", "a/below"] {
            assert!(matches!(resolve(missing), Err(Unresolved::Missing)), "{missing}");
        }
        let absolute = outside.path().join("secret");
        for name in [
            "../secret",
            "inner/../a",
            absolute.to_str().unwrap(),
            "out",
            "etc/passwd",
            "inner",
            "",
            "a\0",
        ] {
            assert!(matches!(resolve(name), Err(Unresolved::Refused(_))), "{name:?}");
        }
    }
}
