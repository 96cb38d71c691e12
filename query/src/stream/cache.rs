//! Decoded blocks, shared by the ranks of a job and bounded by bytes.

use arrow::array::RecordBatch;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Plan and block.
type Key = ([u8; 32], usize);

/// The blocks used last.
#[derive(Debug)]
pub(crate) struct BlockCache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blocks: HashMap<Key, (RecordBatch, u64)>,
    uses: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
}

impl BlockCache {
    /// A cache of at most `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block, if it is here.
    pub(crate) fn get(&self, key: Key) -> Option<RecordBatch> {
        let mut state = self.state();
        state.clock += 1;
        let now = state.clock;
        let (batch, used) = state.blocks.get_mut(&key)?;
        let batch = batch.clone();
        let before = std::mem::replace(used, now);
        state.uses.remove(&before);
        state.uses.insert(now, key);
        Some(batch)
    }

    /// Keeps a block and drops those not used for longest.
    pub(crate) fn put(&self, key: Key, batch: &RecordBatch) {
        let bytes = batch.get_array_memory_size();
        let mut state = self.state();
        if bytes > self.capacity || state.blocks.contains_key(&key) {
            return;
        }
        while state.bytes + bytes > self.capacity {
            let Some((_, oldest)) = state.uses.pop_first() else { break };
            if let Some((gone, _)) = state.blocks.remove(&oldest) {
                state.bytes = state.bytes.saturating_sub(gone.get_array_memory_size());
            }
        }
        state.clock += 1;
        let now = state.clock;
        state.bytes += bytes;
        state.uses.insert(now, key);
        state.blocks.insert(key, (batch.clone(), now));
    }

    /// Forgets a block.
    pub(crate) fn remove(&self, key: Key) {
        let mut state = self.state();
        if let Some((gone, used)) = state.blocks.remove(&key) {
            state.uses.remove(&used);
            state.bytes = state.bytes.saturating_sub(gone.get_array_memory_size());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};
    use std::sync::Arc;

    #[test]
    fn the_block_not_used_for_longest_goes_first() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![0; 1000]));
        let batch = RecordBatch::try_from_iter([("x", values)]).unwrap();
        let cache = BlockCache::new(batch.get_array_memory_size() * 2);
        let key = |block| ([0; 32], block);
        cache.put(key(1), &batch);
        cache.put(key(2), &batch);
        assert!(cache.get(key(1)).is_some());
        cache.put(key(3), &batch);
        assert!(cache.get(key(2)).is_none());
        assert!(cache.get(key(1)).is_some());
        assert!(cache.get(key(3)).is_some());
        cache.remove(key(1));
        assert!(cache.get(key(1)).is_none());
        assert_eq!(cache.state().bytes, batch.get_array_memory_size());
        let small = BlockCache::new(10);
        small.put(key(1), &batch);
        assert!(small.get(key(1)).is_none());
    }
}
