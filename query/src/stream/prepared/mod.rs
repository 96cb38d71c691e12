//! Prepared blocks: decoded once, kept as files, and read by mapping them.
//!
//! A block stands for rows of a table *below* the policy and the filters of streams: whoever may read the whole
//! table shares it, and which of its rows a stream sees is decided by its plan. Everything here may be removed at any
//! time, and nothing of it is needed: what is not here is decoded from the table.

mod layout;
mod mapping;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use layout::Layout;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
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

/// A file of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Name {
    /// One block, as it was decoded.
    Block(usize),
    /// Blocks that follow each other, in one array for each column.
    Pack(usize),
}

impl Name {
    fn file(self) -> String {
        match self {
            Self::Block(number) => format!("{number}.arrow"),
            Self::Pack(number) => format!("pack-{number}.arrow"),
        }
    }
}

type Key = (Set, Name);

/// Rows of a block, in the memory of a file.
#[derive(Debug, Clone)]
pub(crate) struct Mapped {
    pub(crate) batch: RecordBatch,
    /// First row of the block in the batch.
    pub(crate) first: usize,
    /// The first block of the file, where it is one of several blocks.
    pub(crate) pack: Option<usize>,
}

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
    /// Whether the checksum was compared since the process began, or this process made the file.
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

    fn add(&mut self, key: Key, bytes: u64, checked: bool) {
        self.remove(key);
        self.bytes = self.bytes.saturating_add(bytes);
        self.entries.insert(key, Entry { bytes, used: 0, batch: None, checked });
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

    fn pause(&mut self, folder: &Path, problem: &io::Error) {
        self.paused = Some(Instant::now());
        tracing::warn!(folder = %folder.display(), %problem,
            "blocks of streams are not prepared for a minute; streams go on without");
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
                match name_of(&file) {
                    Some(file) => found.push((modified, (Set(name), file), metadata.len())),
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
            state.add(key, bytes, false);
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

    fn path(&self, (set, name): Key) -> PathBuf {
        self.folder(set).join(name.file())
    }

    /// A block whose file is mapped already.
    pub(crate) fn mapped(&self, set: Set, layout: &Layout, block: usize) -> Option<Mapped> {
        let [pack, own] = names(layout, block);
        let batch = |name| {
            let mut state = self.state();
            let batch = state.entries.get(&(set, name))?.batch.clone()?;
            state.touch((set, name));
            Some(batch)
        };
        let packed = batch(pack).map(|batch| layout.mapped(batch, block, pack));
        packed.or_else(|| Some(layout.mapped(batch(own)?, block, own)))
    }

    /// Whether there is a file with a block, mapped or not.
    pub(crate) fn has(&self, set: Set, layout: &Layout, block: usize) -> bool {
        let state = self.state();
        names(layout, block).iter().any(|name| state.entries.contains_key(&(set, *name)))
    }

    /// Maps the file with a block. Reads the whole file: not for a thread that answers others.
    pub(crate) fn map(
        &self,
        set: Set,
        layout: &Layout,
        block: usize,
        schema: &SchemaRef,
    ) -> Option<Mapped> {
        names(layout, block).into_iter().find_map(|name| {
            let batch = self.map_file((set, name), schema, layout.rows(name))?;
            Some(layout.mapped(batch, block, name))
        })
    }

    /// Maps a file and compares its checksum. One that is damaged is removed, so that it is made anew.
    fn map_file(&self, key: Key, schema: &SchemaRef, rows: u64) -> Option<RecordBatch> {
        let checked = {
            let mut state = self.state();
            let entry = state.entries.get(&key)?;
            let (found, checked) = (entry.batch.clone(), entry.checked);
            if found.is_some() {
                state.touch(key);
                return found;
            }
            checked
        };
        let path = self.path(key);
        match segment::open(&path, schema, rows, !checked) {
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

    /// The folder of a set of which every row is here in packs, and whole. Reads what was not checked since the process
    /// began, and lets blocks be packed that wait for it.
    pub(crate) fn whole(
        self: &Arc<Self>,
        set: Set,
        layout: &Arc<Layout>,
        schema: &SchemaRef,
    ) -> Option<PathBuf> {
        let mut missing = false;
        let packs = || layout.packs().filter(|name| layout.rows(*name) > 0);
        for name in packs() {
            // Somebody may have removed what is still mapped here.
            let there = self.state().entries.contains_key(&(set, name));
            if !there || !self.path((set, name)).exists() {
                self.state().remove((set, name));
                self.pack((set, name), layout, schema);
                missing = true;
            }
        }
        if missing {
            return None;
        }
        for name in packs() {
            let checked = {
                let mut state = self.state();
                state.touch((set, name));
                state.entries.get(&(set, name)).is_some_and(|entry| entry.checked)
            };
            if !checked && self.map_file((set, name), schema, layout.rows(name)).is_none() {
                return None;
            }
        }
        Some(self.folder(set))
    }

    /// Joins the blocks of a pack in one file, where all of them are here. What is joined goes.
    fn pack(&self, key: Key, layout: &Layout, schema: &SchemaRef) {
        let (set, Name::Pack(_)) = key else { return };
        let blocks: Vec<Key> =
            layout.blocks(key.1).map(|block| (set, Name::Block(block))).collect();
        // Nobody decodes a block without rows.
        let needed = || blocks.iter().filter(|(_, name)| layout.rows(*name) > 0);
        {
            let mut state = self.state();
            let ready = needed().count() > 0 && needed().all(|key| state.entries.contains_key(key));
            let kept = state.entries.contains_key(&key);
            if !ready || kept || state.paused() || !state.writing.insert(key) {
                return;
            }
        }
        let parts = needed().map(|key| self.map_file(*key, schema, layout.rows(key.1)));
        let parts: Option<Vec<RecordBatch>> = parts.collect();
        // A file that was removed or damaged meanwhile is made anew first.
        let joined = parts.and_then(|parts| concat_batches(schema, &parts).ok());
        let written = joined.map(|batch| self.write(key, &batch));
        let mut state = self.state();
        state.writing.remove(&key);
        match written {
            Some(Ok(Some(bytes))) => {
                state.add(key, bytes, true);
                for block in &blocks {
                    state.remove(*block);
                }
                drop(state);
                for block in blocks {
                    // Who has it open keeps it.
                    let _ = fs::remove_file(self.path(block));
                }
            }
            None | Some(Ok(None)) => {}
            Some(Err(problem)) => state.pause(&self.config.folder, &problem),
        }
    }

    /// Keeps a block, some time after this returns; `done` is called when it is there. Where the cache or the disk is
    /// full it is not kept, and nobody is told but the log.
    pub(crate) async fn keep(
        self: &Arc<Self>,
        set: Set,
        layout: &Arc<Layout>,
        block: usize,
        batch: RecordBatch,
        done: impl FnOnce() + Send + 'static,
    ) {
        let [pack, own] = names(layout, block);
        let key = (set, own);
        if self.has(set, layout, block) {
            return;
        }
        let Ok(turn) = Arc::clone(&self.writers).acquire_owned().await else { return };
        {
            let mut state = self.state();
            let kept = [pack, own].iter().any(|name| state.entries.contains_key(&(set, *name)));
            if kept || state.paused() || !state.writing.insert(key) {
                return;
            }
        }
        let (store, layout) = (Arc::clone(self), Arc::clone(layout));
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let kept = store.write(key, &batch);
            let mut state = store.state();
            state.writing.remove(&key);
            match kept {
                Ok(Some(bytes)) => {
                    state.add(key, bytes, true);
                    drop(state);
                    done();
                    store.pack((set, pack), &layout, batch.schema_ref());
                }
                Ok(None) => {}
                Err(problem) => state.pause(&store.config.folder, &problem),
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

/// The files that a block may be in: with others, and alone.
fn names(layout: &Layout, block: usize) -> [Name; 2] {
    [layout.name(block), Name::Block(block)]
}

fn name_of(file: &Path) -> Option<Name> {
    (file.extension()? == "arrow").then_some(())?;
    let stem = file.file_stem()?.to_str()?;
    match stem.strip_prefix("pack-") {
        Some(number) => number.parse().ok().map(Name::Pack),
        None => stem.parse().ok().map(Name::Block),
    }
}
