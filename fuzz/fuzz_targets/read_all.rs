//! Opens bytes as a file, or keys as a store, and reads the first cells of every variable.
#![allow(dead_code, reason = "each target calls one of the two")]

use std::sync::Arc;
use tarn_formats::{ChunkCache, KeySource, MemorySource, OpenOptions, Reader, Region};

/// Cells of a variable that are read.
const CELLS: u64 = 1 << 16;

fn options() -> OpenOptions {
    OpenOptions { chunk_cache: Arc::new(ChunkCache::new(1 << 20)), siblings: None, fallback: None }
}

pub fn read_all(bytes: &[u8]) {
    let source = Arc::new(MemorySource::new("memory", bytes.to_vec()));
    if let Ok(reader) = tarn_formats::open_with(source, &options()) {
        read(reader.as_ref());
    }
}

pub fn read_store(keys: Arc<dyn KeySource>) {
    if let Ok(reader) = tarn_formats::open_store(keys, &options()) {
        read(reader.as_ref());
    }
}

fn read(reader: &dyn Reader) {
    for variable in &reader.contents().variables {
        let mut left = CELLS;
        let ranges = variable.shape().into_iter().map(|length| {
            let length = length.min(left);
            left /= length.max(1);
            0..length
        });
        let region = Region::new(ranges.collect());
        if let Ok(array) = reader.read(&variable.path, &region) {
            assert_eq!(Some(array.len() as u64), region.cells(), "{}", variable.path);
        }
    }
}
