//! Files of object stores as byte sources: range requests, pinned to one state of the file.

use super::{FileStat, StoreError};
use bytes::Bytes;
use object_store::path::Path as ObjectPath;
use object_store::{
    GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, coalesce_ranges,
};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use tarn_formats::source::check_ranges;
use tarn_formats::{ByteSource, SourceError};
use tokio::runtime::Handle;

/// What tells two states of an object apart: its ETag, or the time of its last change.
pub(super) fn tag(meta: &ObjectMeta) -> String {
    meta.e_tag.clone().unwrap_or_else(|| {
        let time = meta.last_modified;
        (i128::from(time.timestamp()) * 1_000_000_000 + i128::from(time.timestamp_subsec_nanos()))
            .to_string()
    })
}

/// Fails unless an answer is of the pinned state. Checked on answers rather than asked for by
/// `If-Match`, which not every store knows.
pub(super) fn check_tag(file: &FileStat, meta: &ObjectMeta) -> Result<(), StoreError> {
    let now = tag(meta);
    if now == file.tag && meta.size == file.bytes {
        return Ok(());
    }
    Err(StoreError::Changed {
        location: file.location.clone(),
        was: format!("{} bytes, tag {}", file.bytes, file.tag),
        now: format!("{} bytes, tag {now}", meta.size),
    })
}

/// An object, pinned to its size and tag.
pub(super) struct RemoteFile(Arc<Pinned>);

struct Pinned {
    file: FileStat,
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    runtime: Handle,
}

impl RemoteFile {
    /// An object as it was listed. Must be called inside a tokio runtime, which does the requests.
    pub(super) fn new(file: FileStat, store: Arc<dyn ObjectStore>, path: ObjectPath) -> Self {
        Self(Arc::new(Pinned { file, store, path, runtime: Handle::current() }))
    }
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteFile").field(&self.0.file).finish()
    }
}

impl Pinned {
    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let expected = range.end - range.start;
        let failed = |error| StoreError::from_object_store(&self.file.location, &error);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let answer = self.store.get_opts(&self.path, options).await.map_err(failed)?;
        check_tag(&self.file, &answer.meta)?;
        let bytes = answer.bytes().await.map_err(failed)?;
        if bytes.len() as u64 != expected {
            return Err(StoreError::Failed {
                location: self.file.location.clone(),
                problem: format!(
                    "the store answered {} bytes to a request for {expected}",
                    bytes.len()
                ),
            });
        }
        Ok(bytes)
    }
}

impl ByteSource for RemoteFile {
    fn location(&self) -> &str {
        &self.0.file.location
    }

    fn len(&self) -> u64 {
        self.0.file.bytes
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        check_ranges(self.location(), self.len(), ranges)?;
        let io = |source: Box<dyn std::error::Error + Send + Sync>| SourceError::Io {
            location: self.location().to_owned(),
            source,
        };
        // Stores refuse empty ranges.
        let wanted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        let (sender, receiver) = mpsc::sync_channel(1);
        let pinned = Arc::clone(&self.0);
        // The requests run on the runtime and the answer comes through a channel, so this works on
        // every thread, also on one that `block_on` would refuse.
        self.0.runtime.spawn(async move {
            let fetch = |range| pinned.fetch(range);
            let answer = coalesce_ranges(&wanted, fetch, OBJECT_STORE_COALESCE_DEFAULT).await;
            // The receiver is gone only if its thread is.
            let _ = sender.send(answer);
        });
        let fetched = receiver
            .recv()
            .map_err(|_| io("the runtime that reads from the store has been shut down".into()))?
            .map_err(|error| io(Box::new(error)))?;
        let mut fetched = fetched.into_iter();
        ranges
            .iter()
            .map(|range| {
                if range.is_empty() {
                    return Ok(Bytes::new());
                }
                fetched.next().ok_or_else(|| io("the store gave too few ranges".into()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    async fn remote(store: &Arc<dyn ObjectStore>) -> RemoteFile {
        let path = ObjectPath::from("x");
        let meta = store.head(&path).await.unwrap();
        let file = FileStat { location: "s3://b/x".into(), bytes: meta.size, tag: tag(&meta) };
        RemoteFile::new(file, Arc::clone(store), path)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ranges_come_in_the_order_asked_for_and_the_object_is_pinned() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        store.put(&ObjectPath::from("x"), "0123456789".into()).await.unwrap();
        let source = remote(&store).await;
        let read = source.read_ranges(&[8..10, 4..4, 0..2, 1..3]).unwrap();
        assert_eq!(read, ["89", "", "01", "12"]);
        assert!(matches!(source.read(5..11), Err(SourceError::OutOfBounds { .. })));

        store.put(&ObjectPath::from("x"), "9876543210".into()).await.unwrap();
        let error = source.read(0..2).unwrap_err().to_string();
        assert!(error.contains("has changed"), "{error}");
    }
}
