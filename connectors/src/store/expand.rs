//! Paths, URLs, globs and folders → files.

use super::location::BUCKETS;
use super::{
    FileStat, Found, Location, StoreError, Stores, blocking, hierarchy, local_stat, remote,
};
use futures::{StreamExt, TryStreamExt};
use glob::{MatchOptions, Pattern};
use object_store::path::Path as ObjectPath;
use std::path::{Path, PathBuf};

/// The folder that makes its parent a Delta table.
const DELTA_LOG: &str = "_delta_log";

/// Wildcards stay inside one folder and do not match hidden files, as in a shell.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The files that a text stands for, sorted by location.
pub(super) async fn find(stores: &Stores, text: &str) -> Result<Vec<Found>, StoreError> {
    let mut files = if text.contains("://") && !text.starts_with("file://") {
        expand_remote(stores, text).await?
    } else {
        let location = Location::parse(text)?;
        let path = location.local_path().ok_or_else(|| not_found(text))?;
        blocking(&location, move || expand_local(&path)).await?
    };
    if files.is_empty() {
        let problem = if is_pattern(text) {
            "no file matches this pattern"
        } else {
            "there are no files in this folder"
        };
        return Err(StoreError::Nothing { location: text.to_owned(), problem });
    }
    files.sort_by(|a, b| a.stat.location.cmp(&b.stat.location));
    files.dedup_by(|a, b| a.stat.location == b.stat.location);
    Ok(files)
}

fn not_found(text: &str) -> StoreError {
    StoreError::NotFound { location: text.to_owned() }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

fn expand_local(path: &Path) -> Result<Vec<Found>, StoreError> {
    let mut files = Vec::new();
    let text = path.to_string_lossy();
    if path.exists() || !is_pattern(&text) {
        collect(path, &mut files)?;
        return Ok(files);
    }
    let invalid = |error: glob::PatternError| StoreError::Invalid {
        location: text.to_string(),
        problem: format!("not a glob: {error}"),
    };
    for found in glob::glob_with(&text, MATCH).map_err(invalid)? {
        let found = found.map_err(|e| StoreError::from_io(e.path().display(), e.error()))?;
        collect(&found, &mut files)?;
    }
    Ok(files)
}

/// The file, or every file of the folder. A folder that is a Zarr store is one file. Links to folders inside it are not followed: they may
/// lead in a circle.
fn collect(path: &Path, files: &mut Vec<Found>) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::from_io(path.display(), &error);
    if !path.is_dir() {
        files.push(Found { stat: local_stat(path)?, named: true });
        return Ok(());
    }
    if let Some(stat) = hierarchy::local_root(path)? {
        files.push(Found { stat, named: true });
        return Ok(());
    }
    if path.join(DELTA_LOG).is_dir() {
        let stat = FileStat::of_delta_table(&Location::from_path(path)?);
        files.push(Found { stat, named: true });
        return Ok(());
    }
    let mut folders: Vec<PathBuf> = vec![path.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if is_hidden(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let (kind, path) = (entry.file_type().map_err(failed)?, entry.path());
            if kind.is_dir() {
                match hierarchy::local_root(&path)? {
                    Some(stat) => files.push(Found { stat, named: false }),
                    None => folders.push(path),
                }
            } else if path.is_file() {
                if path.to_str().is_none() {
                    return Err(StoreError::Invalid {
                        location: path.display().to_string(),
                        problem: "the path is not UTF-8: rename the file".to_owned(),
                    });
                }
                files.push(Found { stat: local_stat(&path)?, named: false });
            }
        }
    }
    Ok(())
}

async fn expand_remote(stores: &Stores, text: &str) -> Result<Vec<Found>, StoreError> {
    let found = |files: Vec<FileStat>, named: bool| {
        files.into_iter().map(|stat| Found { stat, named }).collect()
    };
    let wild = is_pattern(text);
    let bucket = text.split_once("://").is_some_and(|(scheme, _)| BUCKETS.contains(&scheme));
    if wild && bucket {
        return Ok(found(match_remote(stores, text).await?, true));
    }
    let location = Location::parse(text)?;
    if wild && !location.is_listable() {
        return Err(StoreError::Invalid {
            location: text.to_owned(),
            problem: "globs do not work over HTTP: name every file".to_owned(),
        });
    }
    let store = |stat| Ok(found(vec![stat], true));
    // What is called so is asked for first: a server may answer to the folder with a page.
    let extension = Path::new(location.url().path()).extension();
    let is_called_store = extension.is_some_and(|extension| extension == "zarr");
    if is_called_store && let Some(stat) = hierarchy::root(stores, &location).await? {
        return store(stat);
    }
    match stores.stat(&location).await {
        Err(StoreError::NotFound { .. } | StoreError::Invalid { .. }) if location.is_listable() => {
            if !is_called_store && let Some(stat) = hierarchy::root(stores, &location).await? {
                return store(stat);
            }
            let (_, prefix) = stores.object_store(&location)?;
            let files = list(stores, &location, &prefix, |_| true).await?;
            let log = format!("{}/{DELTA_LOG}/", prefix.as_ref());
            if files.iter().any(|file| is_below(file, &log)) {
                return store(FileStat::of_delta_table(&location));
            }
            // As in a file system, a folder is there if something is in it.
            if files.is_empty() { Err(not_found(text)) } else { Ok(found(files, false)) }
        }
        stat => Ok(found(vec![stat?], true)),
    }
}

/// Whether the key of a file of a bucket begins so.
fn is_below(file: &FileStat, prefix: &str) -> bool {
    let location = Location::parse(&file.location);
    let key = location.ok().and_then(|it| ObjectPath::from_url_path(it.url().path()).ok());
    key.is_some_and(|key| key.as_ref().starts_with(prefix.trim_start_matches('/')))
}

/// The objects of a bucket whose keys match a glob.
async fn match_remote(stores: &Stores, text: &str) -> Result<Vec<FileStat>, StoreError> {
    let invalid = |problem: String| StoreError::Invalid { location: text.to_owned(), problem };
    let (scheme, rest) = text.split_once("://").unwrap_or(("s3", text));
    let (bucket, glob) = rest.split_once('/').unwrap_or((rest, ""));
    if is_pattern(bucket) {
        return Err(invalid("the bucket must be named".to_owned()));
    }
    let pattern = Pattern::new(glob).map_err(|e| invalid(format!("not a glob: {e}")))?;
    let literal = glob.find(['*', '?', '[']).and_then(|at| glob.get(..at)).unwrap_or(glob);
    let folder = literal.rsplit_once('/').map_or("", |(folder, _)| folder);
    let prefix = ObjectPath::parse(folder).map_err(|e| invalid(e.to_string()))?;
    let location = Location::parse(&format!("{scheme}://{bucket}/"))?;
    list(stores, &location, &prefix, |key| pattern.matches_with(key, MATCH)).await
}

/// The objects and Zarr stores below a prefix that `keep` accepts, without hidden ones.
async fn list(
    stores: &Stores,
    location: &Location,
    prefix: &ObjectPath,
    keep: impl Fn(&str) -> bool,
) -> Result<Vec<FileStat>, StoreError> {
    let (store, _) = stores.object_store(location)?;
    stores.ranges.count(0);
    let found: Vec<_> = store
        .list(Some(prefix))
        .try_collect()
        .await
        .map_err(|error| StoreError::from_object_store(location, &error))?;
    let depth = prefix.parts().count();
    let shown = |key: &str| !key.split('/').skip(depth).any(is_hidden) && keep(key);
    let (of_stores, files) = hierarchy::in_stores(location, found);
    let of_stores = of_stores.into_iter().filter(|(key, _)| shown(key)).map(|(_, stat)| stat);
    let files = files.into_iter().filter(|meta| shown(meta.location.as_ref()));
    let files = files.map(|meta| FileStat {
        location: location.with_key(meta.location.as_ref()).to_string(),
        bytes: meta.size,
        tag: remote::tag(&meta),
    });
    Ok(of_stores.chain(files).collect())
}

/// The objects in the folder of a location, without those of folders in it; none if there are more
/// than `most`, or if they cannot be listed.
pub(super) async fn beside(stores: &Stores, location: &Location, most: usize) -> Vec<FileStat> {
    let Ok((store, path)) = stores.object_store(location) else { return vec![] };
    let depth = path.parts().count();
    let folder: ObjectPath = path.parts().take(depth.saturating_sub(1)).collect();
    let mut found = vec![];
    let mut listed = store.list(Some(&folder));
    while let Some(meta) = listed.next().await {
        // A page of an answer holds a thousand.
        if found.len() % 1000 == 0 {
            stores.ranges.count(0);
        }
        let Ok(meta) = meta else { return vec![] };
        found.push(FileStat {
            location: location.with_key(meta.location.as_ref()).to_string(),
            bytes: meta.size,
            tag: remote::tag(&meta),
        });
        if found.len() > most.max(1000) {
            return vec![];
        }
    }
    found
}
