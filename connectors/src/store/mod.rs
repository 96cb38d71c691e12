//! Object stores by URL, and files in them as byte sources.

mod checksum;
mod config;
mod error;
mod expand;
mod hierarchy;
mod later;
mod location;
mod ranges;
mod remote;
mod remote_keys;
mod seen;
mod trial;

pub use config::StoreConfig;
pub use error::StoreError;
pub use location::Location;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use later::{LaterFile, OpenFiles};
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, path::Path as ObjectPath};
use ranges::Ranges;
use seen::Seen;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tarn_formats::{
    ByteSource, Fallback, LocalFile, LocalSiblings, OpenOptions, Source, SourceError,
    SourceResolver, Traffic,
};

/// A found file: where it is and how to tell whether it changed. A Zarr store counts as one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Location as text (path or URL).
    pub location: String,
    /// Length in bytes.
    pub bytes: u64,
    /// ETag, or for local files the times in nanoseconds at which their bytes and their inode changed
    /// last (nobody can set the second, so a file that was exchanged with its times kept has another);
    /// of a Zarr store what begins with `zarr-root` (its size and tag are those of the metadata of its root) or `zarr-whole` (they
    /// are those of all its keys, see [`Stores::whole`]).
    pub tag: String,
}

impl FileStat {
    /// The state of a local file. Blocks.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and its like, and [`StoreError::Invalid`] for folders, pipes and devices.
    pub fn of_local(path: &Path) -> Result<Self, StoreError> {
        local_stat(path)
    }

    /// A Delta table in a folder. Its state is its version, which its log tells.
    fn of_delta_table(folder: &Location) -> Self {
        let location = folder.to_string().trim_end_matches('/').to_owned();
        Self { location, bytes: 0, tag: DELTA_TABLE.to_owned() }
    }

    /// Whether this is a Delta table, which no reader of files opens.
    #[must_use]
    pub fn is_delta_table(&self) -> bool {
        self.tag == DELTA_TABLE
    }
}

/// A file that a path, URL, glob or folder stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub stat: FileStat,
    /// Whether it was named, by its path or a glob; otherwise its folder was, which may hold files
    /// of other kinds too.
    pub named: bool,
}

/// Tag of a Delta table.
const DELTA_TABLE: &str = "delta-table";
/// Files of one folder that are listed rather than asked for one by one, at least.
const LISTED: usize = 8;
/// Files that are asked for at once.
const AT_ONCE: usize = 16;
/// All stores that this process may use. Clones share their connections.
#[derive(Clone, Default)]
pub struct Stores {
    configs: Arc<Vec<StoreConfig>>,
    /// Stores by host or bucket and the settings they were made with.
    open: Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>,
    /// Checksums by location and tag, of files whose tag changed since they were registered.
    checksums: Arc<Mutex<HashMap<(String, String), String>>>,
    /// What is kept of objects, and how many requests there were.
    ranges: Arc<Ranges>,
    open_files: Arc<OpenFiles>,
    /// States of objects that were confirmed a moment ago.
    seen: Arc<Seen>,
    fallback: Option<Arc<dyn Fallback>>,
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").field("configs", &self.configs).finish_non_exhaustive()
    }
}

impl Stores {
    /// Stores with the settings of the configuration.
    pub fn new(configs: Vec<StoreConfig>) -> Self {
        Self { configs: Arc::new(configs), ..Self::default() }
    }

    /// The same stores, with what reads chunks that Tarn has no code for.
    #[must_use]
    pub fn with_fallback(self, fallback: Arc<dyn Fallback>) -> Self {
        Self { fallback: Some(fallback), ..self }
    }

    /// How their files are opened, with the files beside one that it refers to, or without.
    pub fn open_options(&self, siblings: Option<Arc<dyn SourceResolver>>) -> OpenOptions {
        OpenOptions { siblings, fallback: self.fallback.clone(), ..OpenOptions::default() }
    }

    /// The options to use for a location: those of the longest configured prefix. What they leave
    /// unset comes from the environment.
    pub fn options_for(&self, location: &Location) -> BTreeMap<String, String> {
        self.config_for(location).map(|config| config.options.clone()).unwrap_or_default()
    }

    /// Whether a location is in a store that the configuration names. A local one has to be there, and
    /// to be in the folder of such a store by its canonical path too: links lead nowhere else.
    ///
    /// Asks the file system, so call it where blocking is allowed.
    pub fn offers(&self, location: &Location) -> bool {
        if self.config_for(location).is_none() {
            return false;
        }
        location.local_path().is_none_or(|path| self.holds(&path))
    }

    /// Whether a store that the configuration names would have this location, and it is not there. Where a link
    /// leads out of the store nothing is said.
    ///
    /// Asks the file system, so call it where blocking is allowed; of what is remote nothing is asked.
    pub fn lacks(&self, location: &Location) -> bool {
        let Some(path) = self.config_for(location).and_then(|_| location.local_path()) else {
            return false;
        };
        let missing = |path: &Path| {
            let found = path.symlink_metadata();
            found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        };
        let folder = path.ancestors().skip(1).find(|folder| !missing(folder));
        missing(&path) && folder.is_some_and(|folder| self.holds(folder))
    }

    /// Whether a path that is there lies in the folder of a store, wherever links lead.
    fn holds(&self, path: &Path) -> bool {
        let mut folders = self.configs.iter().filter_map(|config| {
            Location::parse(&config.url).ok()?.local_path()?.canonicalize().ok()
        });
        path.canonicalize().is_ok_and(|path| folders.any(|folder| path.starts_with(folder)))
    }

    fn config_for(&self, location: &Location) -> Option<&StoreConfig> {
        self.configs
            .iter()
            .filter(|config| config.covers(location))
            .max_by_key(|config| config.url.len())
    }

    /// The object store of a location and the path in it: the root of the file system, a bucket or
    /// a host. Asks nothing of the store.
    pub fn object_store(
        &self,
        location: &Location,
    ) -> Result<(Arc<dyn ObjectStore>, ObjectPath), StoreError> {
        let path = ObjectPath::from_url_path(location.url().path()).map_err(|error| {
            StoreError::Invalid { location: location.to_string(), problem: error.to_string() }
        })?;
        let config = self.config_for(location);
        let key = self.store_name(location);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(&key) {
            return Ok((Arc::clone(store), path));
        }
        let store = config::connect(location, config)?;
        open.insert(key, Arc::clone(&store));
        Ok((store, path))
    }

    /// What tells the store of a location, with the settings it is read with, from others.
    fn store_name(&self, location: &Location) -> String {
        let base = &location.url()[..url::Position::BeforePath];
        format!("{base} {}", self.config_for(location).map_or("", |config| config.url.as_str()))
    }

    /// All requests to stores so far, and the bytes that were asked for; without repetitions after
    /// failures, which the store's client makes, and without those of Delta tables.
    pub fn traffic(&self) -> Traffic {
        self.ranges.traffic()
    }

    /// The files that a path, URL, glob or folder stands for, sorted by location. A folder means all
    /// files in it, recursively; hidden files are left out. `?`, `*` and `[…]` stay inside one
    /// folder, `**` does not. `http(s)://` has no folders and no globs.
    pub async fn expand(&self, text: &str) -> Result<Vec<FileStat>, StoreError> {
        Ok(self.find(text).await?.into_iter().map(|found| found.stat).collect())
    }

    /// As [`Stores::expand`], and whether each file was named itself or found in a folder.
    pub async fn find(&self, text: &str) -> Result<Vec<Found>, StoreError> {
        expand::find(self, text).await
    }

    /// The same file, or the same store with the size and tag of all its keys: what is pinned must
    /// say when any of them changes. Lists every key.
    pub async fn whole(&self, file: &FileStat) -> Result<FileStat, StoreError> {
        if !hierarchy::is_store(file) {
            return Ok(file.clone());
        }
        hierarchy::whole(self, &Location::parse(&file.location)?).await
    }

    /// Size and tag of a file or store as it is now.
    async fn now(&self, file: &FileStat) -> Result<FileStat, StoreError> {
        if hierarchy::is_store(file) {
            return hierarchy::now(self, file).await;
        }
        self.stat(&Location::parse(&file.location)?).await
    }

    /// Size and tag of one file as it is now.
    pub async fn stat(&self, location: &Location) -> Result<FileStat, StoreError> {
        if let Some(path) = location.local_path() {
            return blocking(location, move || local_stat(&path)).await;
        }
        let (store, path) = self.object_store(location)?;
        self.ranges.count(0);
        let meta = store
            .head(&path)
            .await
            .map_err(|error| StoreError::from_object_store(location, &error))?;
        Ok(FileStat { location: location.to_string(), bytes: meta.size, tag: remote::tag(&meta) })
    }

    /// Fails with [`StoreError::Changed`] unless the file still has the size and tag of `file`.
    pub async fn check_unchanged(&self, file: &FileStat) -> Result<(), StoreError> {
        let now = self.now(file).await?;
        if now.bytes == file.bytes && now.tag == file.tag {
            return Ok(());
        }
        Err(changed(file, &now))
    }

    /// As [`Stores::same_content`] for many files with their checksums, in their order: local ones
    /// are looked at together, and those of one folder of a store are listed, a thousand in a
    /// request. Of objects whose state was confirmed in the last ten seconds nothing is asked.
    pub async fn same_contents(
        &self,
        files: &[(&FileStat, &str)],
    ) -> Vec<Result<FileStat, StoreError>> {
        let known = self.stats(files).await;
        let checking = files.iter().map(|(file, sha256)| {
            let known = known.get(&file.location).filter(|now| *now == *file).cloned();
            async move {
                let now = match known {
                    Some(now) => now,
                    // Changed, gone, or not among those that were looked at together.
                    None => self.same_content(file, sha256).await?,
                };
                self.seen.put(&now);
                Ok(now)
            }
        });
        let checking: Vec<_> = checking.collect();
        futures::stream::iter(checking).buffered(AT_ONCE).collect().await
    }

    /// The states of files, as far as they can be had together.
    async fn stats(&self, files: &[(&FileStat, &str)]) -> HashMap<String, FileStat> {
        let mut known = HashMap::new();
        let (mut local, mut folders) = (vec![], BTreeMap::<String, (Location, usize)>::new());
        for (file, _) in files {
            let Ok(location) = Location::parse(&file.location) else { continue };
            if let Some(path) = location.local_path() {
                local.push(path);
            } else if self.seen.has(file) {
                known.insert(file.location.clone(), (*file).clone());
            } else if location.is_listable()
                && let Some((folder, _)) = file.location.rsplit_once('/')
            {
                folders.entry(folder.to_owned()).or_insert((location, 0)).1 += 1;
            }
        }
        let found = tokio::task::spawn_blocking(move || later::stats(local)).await;
        let found = found.unwrap_or_default().into_iter().filter_map(Result::ok);
        known.extend(found.map(|stat| (stat.location.clone(), stat)));
        for (location, count) in folders.into_values() {
            if count >= LISTED {
                let listed = expand::beside(self, &location, count.saturating_mul(4)).await;
                known.extend(listed.into_iter().map(|stat| (stat.location.clone(), stat)));
            }
        }
        known
    }

    /// Opens one file, which must still have the size and tag of `file`. Local files are read with
    /// `pread`. Others are read through the object store, which needs a tokio runtime to be running
    /// when this is called (reads then block the calling thread, so they must not run on an async
    /// worker); nothing is asked of the store here, and every answer with another size or tag is
    /// refused.
    ///
    /// Of a Zarr store the keys are given, which are checked now and not again when they are read.
    pub async fn source(&self, file: &FileStat) -> Result<Source, StoreError> {
        let location = Location::parse(&file.location)?;
        if file.is_delta_table() {
            return Err(StoreError::Invalid {
                location: file.location.clone(),
                problem: "this is a Delta table and no file: make it a table of a dataset (`tarn \
                          ingest FOLDER --dataset NAME --in-place`)"
                    .to_owned(),
            });
        }
        if hierarchy::is_store(file) {
            return Ok(Source::Store(hierarchy::source(self, &location).await?));
        }
        if let Some(path) = location.local_path() {
            self.check_unchanged(file).await?;
            return blocking(&location, move || {
                let failed = |problem: String| StoreError::Failed {
                    location: path.display().to_string(),
                    problem,
                };
                let source = LocalFile::open(&path).map_err(|error| match error {
                    SourceError::Io { source, .. } => failed(source.to_string()),
                    error => failed(error.to_string()),
                })?;
                Ok(Source::File(Arc::new(source)))
            })
            .await;
        }
        Ok(Source::File(self.remote(file, &location)?))
    }

    /// As [`Stores::source`], but nothing is asked of a file before it is first read, and few local
    /// files are open at once. A file that has changed by then is refused with
    /// [`SourceError::Changed`]. A Zarr store is no file: `None`.
    pub fn source_later(&self, file: &FileStat) -> Result<Option<Arc<dyn ByteSource>>, StoreError> {
        if hierarchy::is_store(file) {
            return Ok(None);
        }
        let location = Location::parse(&file.location)?;
        if let Some(path) = location.local_path() {
            let files = Arc::clone(&self.open_files);
            return Ok(Some(Arc::new(LaterFile::new(file.clone(), path, files))));
        }
        self.remote(file, &location).map(Some)
    }

    fn remote(
        &self,
        file: &FileStat,
        location: &Location,
    ) -> Result<Arc<dyn ByteSource>, StoreError> {
        let (store, path) = self.object_store(location)?;
        let (name, ranges) = (self.store_name(location), Arc::clone(&self.ranges));
        let pinned = remote::Pinned::new(file.clone(), store, path, Arc::clone(&self.seen));
        Ok(Arc::new(remote::RemoteFile::new(pinned, &name, ranges)))
    }

    /// What opens the files that `file` refers to: for a local file those in its folder and below,
    /// for others nothing. They are not pinned to a state as `file` is.
    ///
    /// Asks the file system for the folder, so call it where blocking is allowed.
    pub fn siblings(file: &FileStat) -> Option<Arc<dyn SourceResolver>> {
        let path = Location::parse(&file.location).ok()?.local_path()?;
        Some(Arc::new(LocalSiblings::of(path).ok()?))
    }

    /// The bytes of a file, or of a part of it, as they come, if it still has as many as it had. A Zarr
    /// store is no file: it is not found.
    pub async fn stream(
        &self,
        location: &Location,
        bytes: u64,
        part: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, StoreError>>, StoreError> {
        let (store, path) = self.object_store(location)?;
        self.ranges.count(part.as_ref().map_or(bytes, |part| part.end.saturating_sub(part.start)));
        let failed = |error| StoreError::from_object_store(location, &error);
        let changed = |now: u64| StoreError::Changed {
            location: location.to_string(),
            was: format!("{bytes} bytes"),
            now: format!("{now} bytes"),
        };
        let range = part.map(GetRange::Bounded);
        let partly = range.is_some();
        let answer = store.get_opts(&path, GetOptions { range, ..GetOptions::default() }).await;
        let answer = match answer {
            Ok(answer) => answer,
            // A store refuses a part behind the end of a file that is shorter by now.
            Err(error) => {
                let now = if partly { store.head(&path).await.ok() } else { None };
                let now = now.filter(|now| now.size != bytes);
                return Err(now.map_or_else(|| failed(error), |now| changed(now.size)));
            }
        };
        if answer.meta.size != bytes {
            return Err(changed(answer.meta.size));
        }
        let location = location.clone();
        let stream = answer.into_stream();
        let failed = move |error| StoreError::from_object_store(&location, &error);
        Ok(stream.map(move |piece| piece.map_err(&failed)).boxed())
    }
}

fn changed(was: &FileStat, now: &FileStat) -> StoreError {
    let describe = |stat: &FileStat| format!("{} bytes, tag {}", stat.bytes, stat.tag);
    StoreError::Changed { location: was.location.clone(), was: describe(was), now: describe(now) }
}

/// Runs file system work on a blocking thread.
async fn blocking<T: Send + 'static>(
    location: &Location,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| StoreError::Failed {
        location: location.to_string(),
        problem: format!("the work was stopped: {error}"),
    })?
}

/// Size and times of a local file; a folder is no file.
fn local_stat(path: &Path) -> Result<FileStat, StoreError> {
    let location = path.display();
    let metadata = std::fs::metadata(path).map_err(|e| StoreError::from_io(&location, &e))?;
    if metadata.is_dir() {
        return Err(StoreError::Invalid {
            location: location.to_string(),
            problem: "this is a folder, not a file".to_owned(),
        });
    }
    // Reading a pipe or a device may never end.
    if !metadata.is_file() {
        return Err(StoreError::Invalid {
            location: location.to_string(),
            problem: "this is a pipe or a device, not a file".to_owned(),
        });
    }
    Ok(local_stat_of(&location.to_string(), &metadata))
}

fn local_stat_of(location: &str, metadata: &std::fs::Metadata) -> FileStat {
    let changed = format!(
        "{}.{:09} {}.{:09}",
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec()
    );
    FileStat { location: location.to_owned(), bytes: metadata.len(), tag: changed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tarn_schemas::code::{Coded, ErrorCode};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.nc", "a.nc", ".hidden.nc", "sub/c.nc", "sub/.git/d.nc", "x[1].txt"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    async fn names(folder: &Path, text: &str) -> Vec<String> {
        let found = Stores::default().expand(text).await.unwrap();
        let prefix = format!("{}/", folder.display());
        found
            .into_iter()
            .map(|file| file.location.strip_prefix(&prefix).unwrap().to_owned())
            .collect()
    }

    #[tokio::test]
    async fn paths_globs_and_folders_give_their_files_in_order_without_hidden_ones() {
        let folder = folder();
        let base = folder.path().to_str().unwrap();
        let all = ["a.nc", "b.nc", "sub/c.nc", "x[1].txt"];
        assert_eq!(names(folder.path(), base).await, all);
        assert_eq!(names(folder.path(), &format!("file://{base}")).await, all);
        assert_eq!(names(folder.path(), &format!("{base}/*.nc")).await, ["a.nc", "b.nc"]);
        assert_eq!(names(folder.path(), &format!("{base}/**/*.nc")).await, &all[..3]);
        assert_eq!(names(folder.path(), &format!("{base}/a.nc")).await, ["a.nc"]);
        assert_eq!(names(folder.path(), &format!("{base}/x[1].txt")).await, ["x[1].txt"]);
        for missing in [format!("{base}/none.nc"), format!("{base}/none*.nc")] {
            let error = Stores::default().expand(&missing).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::NotFound, "{error}");
        }
        fs::create_dir(folder.path().join("empty")).unwrap();
        for (text, word) in [("none*.nc", "matches"), ("empty", "no files")] {
            let error = Stores::default().expand(&format!("{base}/{text}")).await.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[tokio::test]
    async fn files_of_a_folder_are_told_from_files_that_were_named() {
        let folder = folder();
        let base = folder.path().to_str().unwrap();
        for (text, named) in [("", false), ("/*.nc", true), ("/a.nc", true), ("/s*", false)] {
            let found = Stores::default().find(&format!("{base}{text}")).await.unwrap();
            assert!(found.iter().all(|found| found.named == named), "{text}: {found:?}");
        }
    }

    #[tokio::test]
    async fn a_pipe_or_a_device_is_refused_before_it_is_read() {
        let error = Stores::default().expand("/dev/zero").await.unwrap_err().to_string();
        assert!(error.contains("/dev/zero") && error.contains("not a file"), "{error}");
        let folder = folder();
        let pipe = folder.path().join("pipe.nc");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let named = Stores::default().expand(pipe.to_str().unwrap()).await.unwrap_err();
        assert!(named.to_string().contains("not a file"), "{named}");
    }

    #[tokio::test]
    async fn a_file_that_changed_since_it_was_listed_is_refused() {
        let folder = folder();
        let path = folder.path().join("a.nc");
        let stores = Stores::default();
        let file = stores.expand(path.to_str().unwrap()).await.unwrap().remove(0);
        let Source::File(source) = stores.source(&file).await.unwrap() else { panic!("a store") };
        assert_eq!(source.len(), 4);
        fs::write(&path, "other bytes").unwrap();
        let error = stores.source(&file).await.unwrap_err();
        assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    }

    #[test]
    fn the_longest_configured_prefix_counts_and_secrets_are_not_printed() {
        let config = |url: &str, endpoint: &str| StoreConfig {
            url: url.to_owned(),
            options: BTreeMap::from([
                ("aws_endpoint".to_owned(), endpoint.to_owned()),
                ("aws_secret_access_key".to_owned(), "hunter2".to_owned()),
            ]),
        };
        let stores = Stores::new(vec![
            config("s3://lake", "http://one"),
            config("s3://lake/tables/", "http://two"),
        ]);
        for (location, endpoint) in [
            ("s3://lake/x", Some("http://one")),
            ("s3://lake/tables/x", Some("http://two")),
            ("s3://lake/tables", Some("http://two")),
            ("s3://lake/tables2", Some("http://one")),
            ("s3://lake2/x", None),
        ] {
            let options = stores.options_for(&Location::parse(location).unwrap());
            assert_eq!(options.get("aws_endpoint").map(String::as_str), endpoint, "{location}");
        }
        assert!(!format!("{stores:?}").contains("hunter2"));
    }

    #[test]
    fn an_option_that_does_not_exist_is_named() {
        for scheme in ["s3", "gs", "az", "http", "https"] {
            let stores = Stores::new(vec![StoreConfig {
                url: format!("{scheme}://lake"),
                options: BTreeMap::from([("aws_end_point".to_owned(), "http://x".to_owned())]),
            }]);
            let location = Location::parse(&format!("{scheme}://lake/x")).unwrap();
            let error = stores.object_store(&location).unwrap_err();
            assert!(error.to_string().contains("aws_end_point"), "{error}");
        }
    }
}
