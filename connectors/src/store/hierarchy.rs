//! Zarr stores: folders and prefixes that stand for one thing, as a file does.
//!
//! A store is known by the metadata of its root. Its [`FileStat`] comes in two kinds, told apart by
//! the tag: by its root (the size and tag of that one document, for who names a store and reads it
//! now) and as a whole (the size of all keys together and a digest of all their sizes and tags, for
//! who pins it). The second lists every key, the first asks for one.

use super::checksum::{hexadecimal, local_sha256};
use super::remote_keys::RemoteKeys;
use super::{FileStat, Location, StoreError, Stores, blocking, local_stat, remote};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_formats::{KeySource, LocalKeys};

/// Documents of which the root of a store has one, in the order in which readers look for them.
const ROOTS: [&str; 4] = ["zarr.json", ".zmetadata", ".zarray", ".zgroup"];
/// What tags of stores begin with; those of files are numbers or ETags.
const BY_ROOT: &str = "zarr-root ";
const AS_A_WHOLE: &str = "zarr-whole ";
/// Objects that are hashed at once.
const AT_ONCE: usize = 16;

/// Whether this is the state of a store and not of a file.
pub(super) fn is_store(file: &FileStat) -> bool {
    file.tag.starts_with(BY_ROOT) || is_whole(file)
}

fn is_whole(file: &FileStat) -> bool {
    file.tag.starts_with(AS_A_WHOLE)
}

/// The state of a store now, of the kind that `file` is.
pub(super) async fn now(stores: &Stores, file: &FileStat) -> Result<FileStat, StoreError> {
    let location = Location::parse(&file.location)?;
    if is_whole(file) {
        return whole(stores, &location).await;
    }
    let found = root(stores, &location).await?;
    found.ok_or_else(|| StoreError::NotFound { location: file.location.clone() })
}

/// The store at a location by its root; `None` if there is none.
pub(super) async fn root(
    stores: &Stores,
    location: &Location,
) -> Result<Option<FileStat>, StoreError> {
    if let Some(path) = location.local_path() {
        return blocking(location, move || local_root(&path)).await;
    }
    let (store, prefix) = stores.object_store(location)?;
    for name in ROOTS {
        match store.head(&below(location, &prefix, name)?).await {
            Ok(meta) => return Ok(Some(by_root(location.to_string(), name, &meta))),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(StoreError::from_object_store(location, &error)),
        }
    }
    Ok(None)
}

/// The store in a folder by its root; `None` if there is none.
pub(super) fn local_root(folder: &Path) -> Result<Option<FileStat>, StoreError> {
    for name in ROOTS {
        let path = folder.join(name);
        if path.is_file() {
            let FileStat { bytes, tag, .. } = local_stat(&path)?;
            let Some(location) = folder.to_str().map(str::to_owned) else { return Ok(None) };
            return Ok(Some(FileStat { location, bytes, tag: format!("{BY_ROOT}{name} {tag}") }));
        }
    }
    Ok(None)
}

fn by_root(location: String, name: &str, meta: &ObjectMeta) -> FileStat {
    let tag = format!("{BY_ROOT}{name} {}", remote::tag(meta));
    FileStat { location, bytes: meta.size, tag }
}

/// Objects, some of which make up stores: the stores by their roots, the outermost ones, and the
/// objects that are in none.
pub(super) fn in_stores(
    bucket: &Location,
    objects: Vec<ObjectMeta>,
) -> (Vec<(String, FileStat)>, Vec<ObjectMeta>) {
    let mut roots: BTreeMap<String, (usize, FileStat)> = BTreeMap::new();
    for meta in &objects {
        let key = meta.location.as_ref();
        let Some((folder, name)) = key.rsplit_once('/') else { continue };
        let Some(rank) = ROOTS.iter().position(|root| *root == name) else { continue };
        if roots.get(folder).is_none_or(|(known, _)| rank < *known) {
            let stat = by_root(bucket.with_key(folder).to_string(), name, meta);
            roots.insert(folder.to_owned(), (rank, stat));
        }
    }
    // All folders above a key, the key's own last.
    let within = |key: &str| {
        let mut slashes = key.match_indices('/').map(|(at, _)| at);
        slashes.any(|at| key.get(..at).is_some_and(|folder| roots.contains_key(folder)))
    };
    let files = objects.into_iter().filter(|meta| !within(meta.location.as_ref())).collect();
    let outermost = roots.iter().filter(|(folder, _)| !within(folder));
    (outermost.map(|(folder, (_, stat))| (folder.clone(), stat.clone())).collect(), files)
}

/// The object `key` below a prefix.
pub(super) fn below(
    location: &Location,
    prefix: &ObjectPath,
    key: &str,
) -> Result<ObjectPath, StoreError> {
    ObjectPath::parse(format!("{prefix}/{key}")).map_err(|error| StoreError::Invalid {
        location: location.to_string(),
        problem: error.to_string(),
    })
}

/// The state of a store as a whole.
pub(super) async fn whole(stores: &Stores, location: &Location) -> Result<FileStat, StoreError> {
    let keys = keys(stores, location).await?;
    let mut digest = Sha256::new();
    let mut bytes = 0_u64;
    for (key, stat) in &keys {
        bytes = bytes.saturating_add(stat.bytes);
        digest.update(format!("{key}\0{}\0{}\n", stat.bytes, stat.tag));
    }
    let tag = format!("{AS_A_WHOLE}{}", hexadecimal(&digest.finalize()));
    Ok(FileStat { location: location.to_string(), bytes, tag })
}

/// SHA-256 of a store: of the lines that `sha256sum` prints for its keys in their order, so
/// `find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum`.
pub(super) async fn sha256(stores: &Stores, location: &Location) -> Result<String, StoreError> {
    let keys = keys(stores, location).await?;
    let sums: Vec<String> = futures::stream::iter(keys)
        .map(|(key, stat)| async move {
            let location = Location::parse(&stat.location)?;
            let sum = match location.local_path() {
                Some(path) => blocking(&location, move || local_sha256(&path)).await?,
                None => stores.sha256_of_object(&location, &stat).await?,
            };
            Ok::<_, StoreError>(format!("{sum}  {key}\n"))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(hexadecimal(&Sha256::digest(sums.concat())))
}

/// Every key of a store with its state, in the order of their bytes.
async fn keys(
    stores: &Stores,
    location: &Location,
) -> Result<BTreeMap<String, FileStat>, StoreError> {
    if let Some(path) = location.local_path() {
        return blocking(location, move || local_keys(&path)).await;
    }
    if !location.is_listable() {
        return Err(StoreError::Invalid {
            location: location.to_string(),
            problem: "a Zarr store over HTTP cannot be registered or ingested: its keys cannot be \
                      listed, so nobody can say when one changes; read it with read_zarr('…')"
                .to_owned(),
        });
    }
    let (store, prefix) = stores.object_store(location)?;
    let failed = |error| StoreError::from_object_store(location, &error);
    let objects: Vec<ObjectMeta> = store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
    let folder = format!("{prefix}/");
    let keys = objects.into_iter().filter_map(|meta| {
        let key = meta.location.as_ref().strip_prefix(&folder)?.to_owned();
        let location = location.with_key(meta.location.as_ref()).to_string();
        Some((key, FileStat { location, bytes: meta.size, tag: remote::tag(&meta) }))
    });
    Ok(keys.collect())
}

fn local_keys(folder: &Path) -> Result<BTreeMap<String, FileStat>, StoreError> {
    let failed = |path: &Path, error: &std::io::Error| StoreError::from_io(path.display(), error);
    let mut keys = BTreeMap::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(&inner).map_err(|error| failed(&inner, &error))? {
            let path = entry.map_err(|error| failed(&inner, &error))?.path();
            // Links to folders are not followed, neither here nor when keys are read.
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else if path.is_file() {
                let key = path.strip_prefix(folder).ok().and_then(Path::to_str);
                let key = key.ok_or_else(|| StoreError::Invalid {
                    location: path.display().to_string(),
                    problem: "the path is not UTF-8: rename the file".to_owned(),
                })?;
                keys.insert(key.to_owned(), local_stat(&path)?);
            }
        }
    }
    Ok(keys)
}

/// The keys of a store. Remote ones need a tokio runtime to be running.
pub(super) async fn source(
    stores: &Stores,
    location: &Location,
) -> Result<Arc<dyn KeySource>, StoreError> {
    if let Some(path) = location.local_path() {
        return blocking(location, move || {
            let failed =
                |problem| StoreError::Failed { location: path.display().to_string(), problem };
            let keys = LocalKeys::open(&path).map_err(|error| failed(error.to_string()))?;
            Ok(Arc::new(keys) as Arc<dyn KeySource>)
        })
        .await;
    }
    let (store, prefix) = stores.object_store(location)?;
    Ok(Arc::new(RemoteKeys::new(location.clone(), store, prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn stores_count_as_files_and_their_keys_do_not() {
        let names =
            ["a.zarr/.zgroup", "a.zarr/x/.zarray", "a.zarr/x/0", "b/c.zarr/zarr.json", "b/d.nc"];
        let folder = folder(&names);
        let stores = Stores::default();
        let base = folder.path().to_str().unwrap();
        for (text, expected) in [
            ("", vec![("a.zarr", false), ("b/c.zarr", false), ("b/d.nc", false)]),
            ("/a.zarr", vec![("a.zarr", true)]),
            ("/b/c.zarr/", vec![("b/c.zarr", true)]),
            ("/a.zarr/x", vec![("a.zarr/x", true)]),
            ("/*/*.zarr", vec![("b/c.zarr", true)]),
        ] {
            let found = stores.find(&format!("{base}{text}")).await.unwrap();
            let found: Vec<_> = found.iter().map(|f| (f.stat.location.as_str(), f.named)).collect();
            let expected: Vec<_> =
                expected.iter().map(|(name, named)| (format!("{base}/{name}"), *named)).collect();
            let expected: Vec<_> =
                expected.iter().map(|(name, named)| (name.as_str(), *named)).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_store_as_a_whole_changes_with_any_key_and_has_the_sum_of_its_sums() {
        let folder = folder(&["a.zarr/.zgroup", "a.zarr/x/.zarray", "a.zarr/x/0"]);
        let stores = Stores::default();
        let path = folder.path().join("a.zarr");
        let by_root = stores.expand(path.to_str().unwrap()).await.unwrap().remove(0);
        let before = stores.whole(&by_root).await.unwrap();
        assert_eq!(before.bytes, "a.zarr/.zgroupa.zarr/x/.zarraya.zarr/x/0".len() as u64);
        let sum = |key: &str| {
            let bytes = fs::read(path.join(key)).unwrap();
            format!("{}  {key}\n", hexadecimal(&Sha256::digest(bytes)))
        };
        let lines = [sum(".zgroup"), sum("x/.zarray"), sum("x/0")].concat();
        let sha256 = stores.sha256(&before).await.unwrap();
        assert_eq!(sha256, hexadecimal(&Sha256::digest(lines)));
        assert!(matches!(stores.source(&before).await.unwrap(), tarn_formats::Source::Store(_)));

        // Touched: another tag, the same content.
        let chunk = path.join("x/0");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000);
        fs::File::options().write(true).open(&chunk).unwrap().set_modified(time).unwrap();
        assert!(stores.check_unchanged(&before).await.is_err());
        stores.check_unchanged(&by_root).await.unwrap();
        let now = stores.same_content(&before, &sha256).await.unwrap();
        stores.check_unchanged(&now).await.unwrap();

        // One more key.
        fs::write(path.join("x/1"), "").unwrap();
        let error = stores.same_content(&now, &sha256).await.unwrap_err();
        assert!(matches!(error, StoreError::Changed { .. }), "{error}");
        fs::remove_dir_all(&path).unwrap();
        assert!(stores.source(&by_root).await.is_err());
    }

    #[test]
    fn objects_make_up_the_outermost_stores() {
        let bucket = Location::parse("s3://bucket/").unwrap();
        let meta = |key: &str| ObjectMeta {
            location: ObjectPath::from(key),
            last_modified: std::time::UNIX_EPOCH.into(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let keys = [
            "a/x.zarr/y/zarr.json",
            "a/x.zarr/zarr.json",
            "a/x.zarr/y/c/0",
            "a/f.nc",
            ".zgroup",
            "a/x.zarrow",
        ];
        let (stores, files) = in_stores(&bucket, keys.iter().map(|key| meta(key)).collect());
        let stores: Vec<_> =
            stores.iter().map(|(key, stat)| (key.as_str(), stat.location.as_str())).collect();
        assert_eq!(stores, [("a/x.zarr", "s3://bucket/a/x.zarr")]);
        let files: Vec<_> = files.iter().map(|meta| meta.location.as_ref()).collect();
        assert_eq!(files, ["a/f.nc", ".zgroup", "a/x.zarrow"]);
    }
}
