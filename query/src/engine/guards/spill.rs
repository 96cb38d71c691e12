//! Where queries put what does not fit into their memory.

use datafusion::common::Result;
use datafusion::execution::disk_manager::{DiskManager, DiskManagerBuilder, DiskManagerMode};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// The file that a process holds locked in a folder it uses.
const LOCK: &str = "lock";

/// The folder of one process, removed with it.
#[derive(Debug)]
pub(super) struct Spill {
    manager: Arc<DiskManager>,
    /// The folder and its lock; `None` where the system's temporary folder is used.
    _folder: Option<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next process.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Spill {
    /// Spill files of so many bytes in a folder of its own below `parent`. What processes that died left
    /// there is removed. Without a parent, or where it cannot be written, files go to the system's
    /// temporary folder.
    pub(super) fn new(parent: Option<&Path>, bytes: u64) -> Result<Self> {
        let folder = parent.and_then(|parent| {
            sweep(parent);
            // Another process may sweep the folder before its lock is taken.
            claim(parent)
                .or_else(|_| claim(parent))
                .inspect_err(|error| {
                    tracing::warn!(folder = %parent.display(), %error, "queries spill elsewhere");
                })
                .ok()
        });
        let mode = folder.as_ref().map_or(DiskManagerMode::OsTmpDirectory, |folder| {
            DiskManagerMode::Directories(vec![folder.path.clone()])
        });
        let builder = DiskManagerBuilder::default().with_mode(mode);
        let manager = builder.with_max_temp_directory_size(bytes).build()?;
        Ok(Self { manager: Arc::new(manager), _folder: folder })
    }

    pub(super) fn manager(&self) -> &Arc<DiskManager> {
        &self.manager
    }
}

/// Makes a folder and locks it.
fn claim(parent: &Path) -> std::io::Result<Folder> {
    let path = parent.join(Uuid::new_v4().simple().to_string());
    fs::create_dir_all(&path)?;
    let lock = File::create(path.join(LOCK))?;
    lock.try_lock()?;
    Ok(Folder { path, _lock: lock })
}

/// Removes the folders that no process holds.
fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        // A folder without a lock is about to be claimed, or is none of ours.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok()
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(folder = %entry.path().display(), %error, "an old folder stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_left_is_removed_and_what_a_living_one_uses_stays() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("dead");
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("rows"), "rows").unwrap();
        let living = Spill::new(Some(parent.path()), 1 << 20).unwrap();
        assert!(!dead.exists());
        let other = Spill::new(Some(parent.path()), 1 << 20).unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
        drop((living, other));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_no_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(Spill::new(Some(file.path()), 1).is_ok());
    }
}
