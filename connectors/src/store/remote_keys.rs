//! Prefixes of object stores as sources of keys.

use super::hierarchy::below;
use super::{Location, StoreError};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, mpsc};
use tarn_formats::{KeySource, SourceError, Span};
use tokio::runtime::Handle;

/// Requests that are under way at once.
const AT_ONCE: usize = 64;

/// The keys below a prefix.
pub(super) struct RemoteKeys {
    /// As it is shown.
    name: String,
    prefix: Arc<Prefix>,
    runtime: Handle,
}

struct Prefix {
    location: Location,
    store: Arc<dyn ObjectStore>,
    path: ObjectPath,
}

impl RemoteKeys {
    /// Must be called inside a tokio runtime, which does the requests.
    pub(super) fn new(location: Location, store: Arc<dyn ObjectStore>, path: ObjectPath) -> Self {
        let name = location.to_string();
        let prefix = Arc::new(Prefix { location, store, path });
        Self { name, prefix, runtime: Handle::current() }
    }

    /// Runs requests on the runtime and waits for them: this works on every thread, also on one that
    /// `block_on` would refuse.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SourceError>> + Send + 'static,
    ) -> Result<T, SourceError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // The receiver is gone only if its thread is.
            let _ = sender.send(work.await);
        });
        receiver.recv().map_err(|_| SourceError::Io {
            location: self.name.clone(),
            source: "the runtime that reads from the store has been shut down".into(),
        })?
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteKeys").field(&self.name).finish()
    }
}

impl Prefix {
    fn failed(&self, key: &str, error: &object_store::Error) -> SourceError {
        let location = self.location.child(key).to_string();
        let error = StoreError::from_object_store(&location, error);
        SourceError::Io { location, source: Box::new(error) }
    }

    fn key(&self, key: &str) -> Result<ObjectPath, SourceError> {
        let path = if key.is_empty() {
            Ok(self.path.clone())
        } else {
            below(&self.location, &self.path, key)
        };
        path.map_err(|error| SourceError::Io {
            location: self.location.to_string(),
            source: Box::new(error),
        })
    }

    async fn get(&self, key: &str, span: &Span) -> Result<Option<Bytes>, SourceError> {
        let range = match span {
            // Stores refuse empty ranges.
            Span::Range(range) if range.is_empty() => return Ok(Some(Bytes::new())),
            Span::Range(range) => Some(GetRange::Bounded(range.clone())),
            Span::Last(count) => Some(GetRange::Suffix(*count)),
            Span::Whole(_) => None,
        };
        let options = GetOptions { range, ..GetOptions::default() };
        let answer = match self.store.get_opts(&self.key(key)?, options).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(key, &error)),
        };
        let wanted = span.of(&self.location.to_string(), key, answer.meta.size)?;
        let bytes = answer.bytes().await.map_err(|error| self.failed(key, &error))?;
        if bytes.len() as u64 == wanted.end - wanted.start {
            return Ok(Some(bytes));
        }
        Err(SourceError::Io {
            location: self.location.child(key).to_string(),
            source: format!("the store answered {} bytes to a request for {wanted:?}", bytes.len())
                .into(),
        })
    }

    async fn folders(&self, key: &str) -> Result<Vec<String>, SourceError> {
        let path = self.key(key)?;
        let listed = self.store.list_with_delimiter(Some(&path)).await;
        let listed = listed.map_err(|error| self.failed(key, &error))?;
        let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }
}

impl KeySource for RemoteKeys {
    fn location(&self) -> &str {
        &self.name
    }

    fn read(&self, wanted: &[(String, Span)]) -> Result<Vec<Option<Bytes>>, SourceError> {
        let (prefix, wanted) = (Arc::clone(&self.prefix), wanted.to_vec());
        self.wait(async move {
            let get = |(key, span): (String, Span)| {
                let prefix = Arc::clone(&prefix);
                async move { prefix.get(&key, &span).await }
            };
            futures::stream::iter(wanted).map(get).buffered(AT_ONCE).try_collect().await
        })
    }

    fn folders(&self, key: &str) -> Result<Option<Vec<String>>, SourceError> {
        if !self.prefix.location.is_listable() {
            return Ok(None);
        }
        let (prefix, key) = (Arc::clone(&self.prefix), key.to_owned());
        self.wait(async move { prefix.folders(&key).await }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_below_a_prefix_are_read_by_span_and_missing_ones_are_none() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        for key in ["x.zarr/a/c/0", "x.zarr/b/c/0", "secret"] {
            store.put(&ObjectPath::from(key), "0123456789".into()).await.unwrap();
        }
        let location = Location::parse("s3://bucket/x.zarr").unwrap();
        let keys = RemoteKeys::new(location, store, ObjectPath::from("x.zarr"));
        let wanted = |key: &str, span| (key.to_owned(), span);
        let read = keys.read(&[
            wanted("a/c/0", Span::Last(3)),
            wanted("a/c/1", Span::Whole(10)),
            wanted("b/c/0", Span::Range(2..4)),
            wanted("b/c/0", Span::Range(4..4)),
            wanted("b/c/0", Span::Whole(10)),
        ]);
        let expected = ["789", "", "23", "", "0123456789"];
        let expected = expected.iter().zip([true, false, true, true, true]);
        let expected: Vec<_> =
            expected.map(|(text, is)| is.then(|| Bytes::from_static(text.as_bytes()))).collect();
        assert_eq!(read.unwrap(), expected);
        assert_eq!(keys.folders("").unwrap().unwrap(), ["a", "b"]);
        let error = keys.read(&[wanted("a/c/0", Span::Whole(9))]).unwrap_err();
        assert!(matches!(error, SourceError::TooLong { len: 10, most: 9, .. }), "{error}");
        for (key, span) in [
            ("a/c/0", Span::Last(11)),
            ("a/c/0", Span::Range(8..11)),
            ("../secret", Span::Whole(10)),
        ] {
            assert!(keys.read(&[wanted(key, span)]).is_err(), "{key}");
        }
    }
}
