//! Opens bytes as a file and reads the first cells of every variable.

use std::sync::Arc;
use tarn_formats::{ChunkCache, MemorySource, OpenOptions, Region};

/// Cells of a variable that are read.
const CELLS: u64 = 1 << 16;

pub fn read_all(bytes: &[u8]) {
    let source = Arc::new(MemorySource::new("memory", bytes.to_vec()));
    let options = OpenOptions { chunk_cache: Arc::new(ChunkCache::new(1 << 20)), siblings: None, fallback: None };
    let Ok(reader) = tarn_formats::open_with(source, &options) else { return };
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
