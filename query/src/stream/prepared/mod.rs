//! Prepared blocks: decoded once, kept as files, and read by mapping them.
//!
//! A block stands for rows of a table *below* the policy and the filters of streams: whoever may read the whole
//! table shares it, and which of its rows a stream sees is decided by its plan. Everything here may be removed at any
//! time, and nothing of it is needed: what is not here is decoded from the table.

mod mapping;
mod segment;
#[cfg(test)]
mod tests;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use segment::Unreadable;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;

/// Most files that are mapped at once; the system allows a process some 65,000 mappings.
const MOST_MAPPED: usize = 16_384;
/// Blocks that are written at once.
const WRITERS: usize = 2;
/// How long nothing is written after the disk refused.
const PAUSE: Duration = Duration::from_secs(60);
/// Age at which a file that was never finished is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Where prepared blocks are kept, and how many bytes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedConfig {
    /// The folder. It is made when it is first needed.
    pub folder: PathBuf,
    /// Most bytes of all files together.
    pub bytes: u64,
}

/// A table at a version with some of its columns, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Set(pub(crate) blake3::Hash);

type Key = (Set, usize);

/// The prepared blocks of a node.
#[derive(Debug)]
pub(crate) struct Prepared {
    config: PreparedConfig,
    state: Mutex<State>,
    writers: Arc<Semaphore>,
    /// Numbers temporary files.
    written: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<Key, Entry>,
    uses: BTreeMap<u64, Key>,
    writing: HashSet<Key>,
    bytes: u64,
    clock: u64,
    mapped: usize,
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    used: u64,
    /// The block, while its file is mapped.
    batch: Option<RecordBatch>,
    /// Whether the checksum was compared since the process began.
    checked: bool,
}

impl State {
    fn touch(&mut self, key: Key) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(&key) {
            self.uses.remove(&entry.used);
            entry.used = self.clock;
            self.uses.insert(self.clock, key);
        }
    }

    fn add(&mut self, key: Key, bytes: u64) {
        self.remove(key);
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.insert(key, Entry { bytes, used: 0, batch: None, checked: false });
        self.touch(key);
    }

    fn remove(&mut self, key: Key) {
        let Some(entry) = self.entries.remove(&key) else { return };
        self.uses.remove(&entry.used);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        self.mapped -= usize::from(entry.batch.is_some());
    }

    /// The file that was not used for longest and is not of this set: a table that is larger than the cache
    /// would push out its own blocks again and again, and find none of them.
    fn oldest(&self, besides: Set) -> Option<Key> {
        self.uses.values().find(|(set, _)| *set != besides).copied()
    }

    fn paused(&self) -> bool {
        self.paused.is_some_and(|since| since.elapsed() < PAUSE)
    }
}

impl Prepared {
    /// Finds what earlier processes have left.
    pub(crate) fn new(mut config: PreparedConfig) -> Self {
        // Clients are told of it. It stays as it is where the process has no folder of its own.
        config.folder = std::path::absolute(&config.folder).unwrap_or(config.folder);
        let mut found = Vec::new();
        for set in entries(&config.folder) {
            let Some(name) = set
                .file_name()
                .and_then(|name| blake3::Hash::from_hex(name.as_encoded_bytes()).ok())
            else {
                continue;
            };
            for file in entries(&set) {
                let Ok(metadata) = file.metadata() else { continue };
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                match block_of(&file) {
                    Some(block) => found.push((modified, (Set(name), block), metadata.len())),
                    None if modified.elapsed().is_ok_and(|age| age > ABANDONED) => {
                        // If it stays, it is found again.
                        let _ = fs::remove_file(&file);
                    }
                    None => {}
                }
            }
        }
        found.sort_unstable_by_key(|(modified, (_, block), _)| (*modified, *block));
        let mut state = State::default();
        for (_, key, bytes) in found {
            state.add(key, bytes);
        }
        let prepared = Self {
            config,
            state: Mutex::new(state),
            writers: Arc::new(Semaphore::new(WRITERS)),
            written: AtomicU64::new(0),
        };
        // The bound may be smaller than it was.
        prepared.make_room(0, None);
        prepared
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of a set.
    pub(crate) fn folder(&self, set: Set) -> PathBuf {
        self.config.folder.join(set.0.to_hex().as_str())
    }

    fn path(&self, (set, block): Key) -> PathBuf {
        self.folder(set).join(format!("{block}.arrow"))
    }

    /// A block that is mapped already.
    pub(crate) fn mapped(&self, set: Set, block: usize) -> Option<RecordBatch> {
        let mut state = self.state();
        let batch = state.entries.get(&(set, block))?.batch.clone()?;
        state.touch((set, block));
        Some(batch)
    }

    /// Whether there is a file for a block, mapped or not.
    pub(crate) fn has(&self, set: Set, block: usize) -> bool {
        self.state().entries.contains_key(&(set, block))
    }

    /// Maps a block and compares its checksum. A file that is damaged is removed, so that it is made anew.
    /// Reads the whole file: not for a thread that answers others.
    pub(crate) fn map(
        &self,
        set: Set,
        block: usize,
        schema: &SchemaRef,
        rows: u64,
    ) -> Option<RecordBatch> {
        let key = (set, block);
        if let Some(batch) = self.mapped(set, block) {
            return Some(batch);
        }
        if !self.has(set, block) {
            return None;
        }
        let path = self.path(key);
        match segment::open(&path, schema, rows) {
            Ok(batch) => {
                let mut state = self.state();
                if state.mapped >= MOST_MAPPED {
                    for entry in state.entries.values_mut() {
                        entry.batch = None;
                    }
                    state.mapped = 0;
                }
                let fresh = state.entries.get_mut(&key).is_some_and(|entry| {
                    entry.checked = true;
                    entry.batch.replace(batch.clone()).is_none()
                });
                state.mapped += usize::from(fresh);
                state.touch(key);
                Some(batch)
            }
            Err(problem) => {
                let gone = matches!(&problem, Unreadable::Io(error) if error.kind() == io::ErrorKind::NotFound);
                if !gone {
                    tracing::warn!(path = %path.display(), %problem, "a prepared block is made anew");
                    // Its name is taken by the new one anyway.
                    let _ = fs::remove_file(&path);
                }
                self.state().remove(key);
                None
            }
        }
    }

    /// The folder of a set of which every block is here and whole. Reads what was not checked since the process began.
    pub(crate) fn whole(&self, set: Set, schema: &SchemaRef, blocks: &[u64]) -> Option<PathBuf> {
        let mut missing = false;
        for key in (0..blocks.len()).map(|block| (set, block)) {
            // Somebody may have removed what is still mapped here.
            if !self.has(set, key.1) || !self.path(key).exists() {
                self.state().remove(key);
                missing = true;
            }
        }
        if missing {
            return None;
        }
        for (block, rows) in blocks.iter().enumerate() {
            let checked = {
                let mut state = self.state();
                state.touch((set, block));
                state.entries.get(&(set, block)).is_some_and(|entry| entry.checked)
            };
            if !checked && self.map(set, block, schema, *rows).is_none() {
                return None;
            }
        }
        Some(self.folder(set))
    }

    /// Keeps a block, some time after this returns; `done` is called when it is there. Where the cache or the disk is
    /// full it is not kept, and nobody is told but the log.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        set: Set,
        block: usize,
        batch: RecordBatch,
        done: impl FnOnce() + Send + 'static,
    ) {
        let key = (set, block);
        if self.has(set, block) {
            return;
        }
        let Ok(turn) = Arc::clone(&self.writers).acquire_owned().await else { return };
        {
            let mut state = self.state();
            let kept = state.entries.contains_key(&key);
            if kept || state.paused() || !state.writing.insert(key) {
                return;
            }
        }
        let own = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let kept = own.write(key, &batch);
            let mut state = own.state();
            state.writing.remove(&key);
            match kept {
                Ok(Some(bytes)) => {
                    state.add(key, bytes);
                    drop(state);
                    done();
                }
                Ok(None) => {}
                Err(problem) => {
                    state.paused = Some(Instant::now());
                    drop(state);
                    tracing::warn!(folder = %own.config.folder.display(), %problem,
                        "blocks of streams are not prepared for a minute; streams go on without");
                }
            }
        });
    }

    fn write(&self, key: Key, batch: &RecordBatch) -> io::Result<Option<u64>> {
        let about = batch.get_array_memory_size() as u64;
        if !self.make_room(about, Some(key.0)) {
            return Ok(None);
        }
        let folder = self.folder(key.0);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let temporary = folder.join(format!("{}-{number}.writing", std::process::id()));
        match segment::write(batch, &temporary, &self.path(key)) {
            // Somebody removes the folder at this moment, who may.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            written => written.map(Some),
        }
    }

    /// Removes what was not used for longest until so many more bytes fit. False if they do not.
    fn make_room(&self, bytes: u64, besides: Option<Set>) -> bool {
        loop {
            let oldest = {
                let mut state = self.state();
                if state.bytes.saturating_add(bytes) <= self.config.bytes {
                    return true;
                }
                let oldest = match besides {
                    Some(set) => state.oldest(set),
                    None => state.uses.values().next().copied(),
                };
                let Some(oldest) = oldest else { return false };
                state.remove(oldest);
                oldest
            };
            // Who has it open keeps it; the folder goes with its last file.
            let _ = fs::remove_file(self.path(oldest));
            let _ = fs::remove_dir(self.folder(oldest.0));
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn block_of(file: &Path) -> Option<usize> {
    (file.extension()? == "arrow").then_some(())?;
    file.file_stem()?.to_str()?.parse().ok()
}
