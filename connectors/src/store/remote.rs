//! Files of object stores as byte sources: range requests, pinned to one state of the file.

use super::ranges::{Ranges, Segment};
use super::seen::Seen;
use super::{FileStat, StoreError};
use bytes::Bytes;
use futures::FutureExt;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore};
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use tarn_formats::source::check_ranges;
use tarn_formats::{ByteSource, SourceError};
use tokio::runtime::Handle;

/// The tag of an object whose store tells neither an ETag nor a time.
pub(super) const NO_TAG: &str = "0";

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
pub(super) struct RemoteFile {
    pinned: Arc<Pinned>,
    /// What the object is kept under.
    name: Arc<str>,
    ranges: Arc<Ranges>,
    runtime: Handle,
}

/// An object at a path of a store, in one state.
pub(super) struct Pinned {
    file: FileStat,
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
    seen: Arc<Seen>,
}

impl RemoteFile {
    /// An object as it was listed, in the store that is called `store_name` with the settings it was
    /// made with. Must be called inside a tokio runtime, which does the requests; makes none.
    pub(super) fn new(pinned: Pinned, store_name: &str, ranges: Arc<Ranges>) -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        // Nothing tells states of this object apart: only what this opening read is its own.
        let Pinned { file, path, .. } = &pinned;
        let opening = if file.tag == NO_TAG {
            format!(" opening {}", OPENED.fetch_add(1, Ordering::Relaxed))
        } else {
            String::new()
        };
        let name = format!("{store_name} {path} {} {}{opening}", file.bytes, file.tag).into();
        Self { pinned: Arc::new(pinned), name, ranges, runtime: Handle::current() }
    }

    /// Where the bytes of each range will be.
    fn segments(&self, ranges: &[Range<u64>]) -> Vec<Vec<Segment>> {
        let fetch = |range| {
            let pinned = Arc::clone(&self.pinned);
            async move { pinned.fetch(range).await }
        };
        self.ranges.segments(&self.runtime, &self.name, ranges, fetch)
    }

    fn failed(&self, error: &StoreError) -> SourceError {
        let location = self.location().to_owned();
        match error {
            StoreError::Changed { was, now, .. } => {
                SourceError::Changed { location, was: was.clone(), now: now.clone() }
            }
            error => {
                let text = error.to_string();
                let text = text.strip_prefix(&format!("{location}: ")).unwrap_or(&text);
                SourceError::Io { source: text.to_owned().into(), location }
            }
        }
    }
}

impl fmt::Debug for RemoteFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteFile").field(&self.pinned.file).finish()
    }
}

impl Pinned {
    pub(super) fn new(
        file: FileStat,
        store: Arc<dyn ObjectStore>,
        path: ObjectPath,
        seen: Arc<Seen>,
    ) -> Self {
        Self { file, store, path, seen }
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let expected = range.end - range.start;
        let failed = |error| StoreError::from_object_store(&self.file.location, &error);
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let answer = self.store.get_opts(&self.path, options).await.map_err(failed)?;
        check_tag(&self.file, &answer.meta)
            .inspect_err(|_| self.seen.forget(&self.file.location))?;
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

/// The bytes of a range, when all of it has come.
async fn whole(segments: Vec<Segment>) -> Result<Bytes, Arc<StoreError>> {
    let cut = |run: &Bytes, inside: &Range<u64>| {
        let inside = usize::try_from(inside.start).ok()?..usize::try_from(inside.end).ok()?;
        (inside.end <= run.len()).then(|| run.slice(inside))
    };
    let mut bytes = vec![];
    let single = segments.len() == 1;
    for Segment { run, inside } in segments {
        // A run is as long as was asked for: fetching checks it.
        let part = cut(&run.await?, &inside).unwrap_or_default();
        if single {
            return Ok(part);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.into())
}

impl ByteSource for RemoteFile {
    fn location(&self) -> &str {
        &self.pinned.file.location
    }

    fn len(&self) -> u64 {
        self.pinned.file.bytes
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        check_ranges(self.location(), self.len(), ranges)?;
        let coming = self.segments(ranges).into_iter().map(whole);
        let mut coming = Box::pin(futures::future::try_join_all(coming));
        let answer = if let Some(kept) = coming.as_mut().now_or_never() {
            kept
        } else {
            let (sender, receiver) = mpsc::sync_channel(1);
            // The requests run on the runtime and the answer comes through a channel, so this works
            // on every thread, also on one that `block_on` would refuse.
            self.runtime.spawn(async move {
                // The receiver is gone only if its thread is.
                let _ = sender.send(coming.await);
            });
            receiver.recv().map_err(|_| SourceError::Io {
                location: self.location().to_owned(),
                source: "the runtime that reads from the store has been shut down".into(),
            })?
        };
        let answer = answer.map_err(|error| self.failed(&error))?;
        let complete = answer.iter().zip(ranges);
        match complete.clone().find(|(bytes, range)| bytes.len() as u64 != range.end - range.start)
        {
            None => Ok(answer),
            Some((bytes, range)) => Err(SourceError::Io {
                location: self.location().to_owned(),
                source: format!("{} bytes came for {range:?}", bytes.len()).into(),
            }),
        }
    }

    fn announce(&self, ranges: &[Range<u64>]) {
        if check_ranges(self.location(), self.len(), ranges).is_ok() {
            self.segments(ranges);
        }
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
        let pinned = Pinned::new(file, Arc::clone(store), path, Arc::default());
        RemoteFile::new(pinned, "s3://b", Arc::default())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ranges_come_in_the_order_asked_for_and_the_object_is_pinned() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let long = |digits: &str| format!("{digits}{}", "-".repeat(1 << 21));
        store.put(&ObjectPath::from("x"), long("0123456789").into()).await.unwrap();
        let source = remote(&store).await;
        let read = source.read_ranges(&[8..10, 4..4, 0..2, 1..3]).unwrap();
        assert_eq!(read, ["89", "", "01", "12"]);
        let end = source.len();
        assert!(matches!(source.read(5..end + 1), Err(SourceError::OutOfBounds { .. })));

        source.announce(&[4..6, 3..end + 1]);
        source.announce(std::slice::from_ref(&(5..7)));
        assert_eq!(source.read(5..7).unwrap(), "56");

        store.put(&ObjectPath::from("x"), long("9876543210").into()).await.unwrap();
        // What is kept is of the pinned state; what is not is refused.
        assert_eq!(source.read(0..2).unwrap(), "01");
        let error = source.read(end - 2..end).unwrap_err();
        assert!(matches!(error, SourceError::Changed { .. }), "{error}");
        assert_eq!(remote(&store).await.read(0..2).unwrap(), "98");
    }
}
