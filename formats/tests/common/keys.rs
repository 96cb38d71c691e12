//! Zarr stores in memory.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tarn_formats::{
    Access, ChunkCache, FormatError, KeySource, OpenOptions, Reader, SourceError, Span,
};

/// Keys in memory.
#[derive(Debug, Clone)]
pub(crate) struct MemoryKeys {
    pub(crate) bytes: BTreeMap<String, Bytes>,
    pub(crate) access: Access,
    pub(crate) listable: bool,
}

impl MemoryKeys {
    /// A copy of a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut bytes = BTreeMap::new();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(inner) = folders.pop() {
            for entry in std::fs::read_dir(inner).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let key = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                bytes.insert(key, std::fs::read(&path).unwrap().into());
            }
        }
        Self { bytes, access: Access::REMOTE, listable: true }
    }

    pub(crate) fn open(self) -> Result<Arc<dyn Reader>, FormatError> {
        let options = OpenOptions {
            chunk_cache: Arc::new(ChunkCache::new(1 << 20)),
            siblings: None,
            fallback: None,
        };
        tarn_formats::open_store(Arc::new(self), &options)
    }
}

impl KeySource for MemoryKeys {
    fn location(&self) -> &'static str {
        "memory.zarr"
    }

    fn access(&self) -> Access {
        self.access
    }

    fn read(&self, wanted: &[(String, Span)]) -> Result<Vec<Option<Bytes>>, SourceError> {
        let one = |(key, span): &(String, Span)| {
            let Some(bytes) = self.bytes.get(key) else { return Ok(None) };
            let range = span.of(self.location(), key, bytes.len() as u64)?;
            let [start, end] = [range.start, range.end].map(|at| usize::try_from(at).unwrap());
            Ok(Some(bytes.slice(start..end)))
        };
        wanted.iter().map(one).collect()
    }

    fn folders(&self, key: &str) -> Result<Option<Vec<String>>, SourceError> {
        let prefix = if key.is_empty() { String::new() } else { format!("{key}/") };
        let below = self.bytes.keys().filter_map(|key| key.strip_prefix(&prefix)?.split_once('/'));
        let names: BTreeSet<&str> = below.map(|(name, _)| name).collect();
        Ok(self.listable.then(|| names.into_iter().map(str::to_owned).collect()))
    }
}
