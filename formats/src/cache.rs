//! Decoded chunks, kept because only a part of them was wanted.
//!
//! A chunk can be decoded only as a whole. Where a query takes it in parts, or takes the same part
//! again, the second time costs a copy.

use arrow::buffer::Buffer;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

/// Bytes that the cache of the process holds.
const OF_PROCESS: usize = 128 << 20;

/// Decoded chunks of any number of files, up to a number of bytes: those used least recently go
/// first. Chunks larger than that are never kept.
#[derive(Debug)]
pub struct ChunkCache {
    capacity: usize,
    /// The next file's number.
    files: AtomicU64,
    kept: Mutex<Kept>,
}

/// A file's number, and what tells a chunk from others of the file.
type Key = (u64, ChunkKey);

/// An array of a file, and the first byte of the chunk in the file.
pub(crate) type ChunkKey = (u64, u64);

#[derive(Debug, Default)]
struct Kept {
    slots: HashMap<Key, Slot>,
    /// When a slot was last used, from the longest ago.
    uses: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Slot {
    used: u64,
    bytes: usize,
    /// `None` until it is decoded, by whoever holds the lock.
    values: Arc<Mutex<Option<Buffer>>>,
}

impl ChunkCache {
    /// An empty cache for so many bytes; for none it keeps nothing.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, files: AtomicU64::new(0), kept: Mutex::default() }
    }

    /// The cache that all readers share unless they are given another: 128 MiB.
    pub fn of_process() -> Arc<Self> {
        static CACHE: LazyLock<Arc<ChunkCache>> =
            LazyLock::new(|| Arc::new(ChunkCache::new(OF_PROCESS)));
        Arc::clone(&CACHE)
    }

    /// Bytes of the chunks it holds now.
    pub fn bytes(&self) -> usize {
        lock(&self.kept).bytes
    }

    /// The chunks of one open file.
    pub(crate) fn file(self: Arc<Self>) -> FileChunks {
        let file = self.files.fetch_add(1, Ordering::Relaxed);
        FileChunks { cache: self, file }
    }

    /// The slot of a chunk, made where there is none.
    fn slot(&self, key: Key) -> Arc<Mutex<Option<Buffer>>> {
        let mut kept = lock(&self.kept);
        let now = kept.tick();
        let slot = kept.slots.entry(key).or_insert_with(|| Slot {
            used: now,
            bytes: 0,
            values: Arc::default(),
        });
        let (before, values) = (std::mem::replace(&mut slot.used, now), Arc::clone(&slot.values));
        kept.uses.remove(&before);
        kept.uses.insert(now, key);
        values
    }

    /// Counts the bytes of a chunk that was just decoded, and forgets others to make room.
    fn decoded(&self, key: Key, bytes: usize) {
        let mut kept = lock(&self.kept);
        let Some(slot) = kept.slots.get_mut(&key) else { return };
        let before = std::mem::replace(&mut slot.bytes, bytes);
        kept.bytes = kept.bytes.saturating_sub(before).saturating_add(bytes);
        while kept.bytes > self.capacity {
            let Some((_, oldest)) = kept.uses.pop_first() else { break };
            let gone = kept.slots.remove(&oldest).map_or(0, |slot| slot.bytes);
            kept.bytes = kept.bytes.saturating_sub(gone);
        }
    }

    fn forget(&self, wanted: impl Fn(&Key) -> bool) {
        let mut kept = lock(&self.kept);
        let Kept { slots, uses, bytes, .. } = &mut *kept;
        slots.retain(|key, slot| {
            let goes = wanted(key);
            if goes {
                uses.remove(&slot.used);
                *bytes = bytes.saturating_sub(slot.bytes);
            }
            !goes
        });
    }
}

impl Kept {
    fn tick(&mut self) -> u64 {
        self.clock = self.clock.saturating_add(1);
        self.clock
    }
}

/// The chunks of one open file in a cache; they are forgotten when it is closed.
#[derive(Debug)]
pub(crate) struct FileChunks {
    cache: Arc<ChunkCache>,
    file: u64,
}

impl FileChunks {
    /// The values of a chunk, if they are there.
    pub(crate) fn get(&self, chunk: ChunkKey) -> Option<Buffer> {
        let key = (self.file, chunk);
        let there = lock(&self.cache.kept).slots.contains_key(&key);
        // What is being decoded is not waited for.
        there.then(|| self.cache.slot(key).try_lock().ok()?.clone()).flatten()
    }

    /// The values of a chunk of so many bytes: kept ones, or those that `decode` gives. Threads that
    /// want the same chunk at once wait for the first of them.
    ///
    /// # Errors
    /// Those of `decode`.
    pub(crate) fn get_or_decode<E>(
        &self,
        chunk: ChunkKey,
        bytes: usize,
        decode: impl FnOnce() -> Result<Buffer, E>,
    ) -> Result<Buffer, E> {
        if bytes > self.cache.capacity {
            return decode();
        }
        let key = (self.file, chunk);
        let slot = self.cache.slot(key);
        let mut values = lock(&slot);
        if let Some(values) = values.as_ref() {
            return Ok(values.clone());
        }
        match decode() {
            Ok(decoded) => {
                *values = Some(decoded.clone());
                drop(values);
                self.cache.decoded(key, bytes);
                Ok(decoded)
            }
            Err(error) => {
                drop(values);
                self.cache.forget(|other| *other == key);
                Err(error)
            }
        }
    }
}

impl Drop for FileChunks {
    fn drop(&mut self) {
        let file = self.file;
        self.cache.forget(|key| key.0 == file);
    }
}

/// A lock whose holder panicked guards values that are whole all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::AtomicUsize;

    fn values(file: &FileChunks, chunk: u64, count: &AtomicUsize) -> Buffer {
        let decode = || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Buffer::from(vec![u8::try_from(chunk).unwrap(); 40]))
        };
        file.get_or_decode((0, chunk), 40, decode).unwrap()
    }

    #[test]
    fn the_least_recently_used_go_first_and_the_bytes_stay_within_the_capacity() {
        let cache = Arc::new(ChunkCache::new(100));
        let (file, other) = (Arc::clone(&cache).file(), Arc::clone(&cache).file());
        let count = AtomicUsize::new(0);
        assert_eq!(values(&file, 1, &count).as_slice(), [1; 40]);
        assert_eq!(values(&file, 2, &count).as_slice(), [2; 40]);
        assert_eq!(values(&file, 1, &count).as_slice(), [1; 40]);
        assert_eq!((count.load(Ordering::Relaxed), cache.bytes()), (2, 80));
        // The same chunk of another file is another chunk, and takes the place of chunk 2.
        assert!(other.get((0, 1)).is_none());
        values(&other, 1, &count);
        assert_eq!((count.load(Ordering::Relaxed), cache.bytes()), (3, 80));
        assert!(file.get((0, 1)).is_some() && file.get((0, 2)).is_none());
        drop(file);
        assert_eq!(cache.bytes(), 40);
        drop(other);
        assert_eq!(cache.bytes(), 0);
        assert!(lock(&cache.kept).uses.is_empty());
    }

    #[test]
    fn what_is_too_large_or_fails_is_not_kept() {
        let cache = Arc::new(ChunkCache::new(39));
        let file = Arc::clone(&cache).file();
        let count = AtomicUsize::new(0);
        values(&file, 1, &count);
        values(&file, 1, &count);
        assert_eq!((count.load(Ordering::Relaxed), cache.bytes()), (2, 0));
        let failed = file.get_or_decode((0, 7), 10, || Err::<Buffer, _>("damaged"));
        assert_eq!(failed, Err("damaged"));
        assert!(lock(&cache.kept).slots.is_empty());
    }

    #[test]
    fn threads_that_want_a_chunk_at_once_decode_it_once() {
        let file = Arc::new(ChunkCache::new(1000)).file();
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(values(&file, 3, &count).as_slice(), [3; 40]));
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
