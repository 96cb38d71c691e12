//! Footers of Parquet files, kept between the queries of one person.
//!
//! DataFusion finds footers by path alone, and two stores may have files of one path. So what is kept is kept for a
//! person and a table: nothing is shared between people, or between stores. Files of Delta tables are never written
//! again; whoever does so all the same is noticed at once by another size, and otherwise after some seconds: delta-rs gives
//! all files the same time.

use super::texts::of_texts;
use datafusion::common::{HashMap, Result, TableReference};
use datafusion::datasource::physical_plan::parquet::CachedParquetMetaData;
use datafusion::execution::cache::cache_manager::{
    CacheManager, CacheManagerConfig, CachedFileMetadataEntry, FileMetadataCache,
};
use datafusion::execution::cache::default_cache::DefaultCache;
use datafusion::execution::cache::{Cache, CacheEntryInfo};
use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tarn_schemas::Principal;

/// Bytes that all of them take at most; those that were not used for longest go first.
const MOST_BYTES: usize = 64 << 20;
/// How long one is kept.
const KEPT: Duration = Duration::from_secs(10);
/// People and tables that are told apart at once; beyond that all begin anew.
const MOST_SHELVES: usize = 1 << 16;

/// The footers that a node keeps.
#[derive(Debug)]
pub(crate) struct Footers {
    all: Arc<FileMetadataCache>,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    by_owner: std::collections::HashMap<(Principal, String), u64>,
    /// None is given twice.
    next: u64,
}

impl Default for Footers {
    fn default() -> Self {
        let all = DefaultCache::new_with_ttl(MOST_BYTES, Some(KEPT));
        Self { all: Arc::new(all), shelves: Mutex::default() }
    }
}

impl Footers {
    /// The footers that a person's queries know of the table in this place.
    pub(crate) fn of(&self, who: &Principal, place: &str) -> Shelf {
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (who.whoever(), place.to_owned());
        let known = shelves.by_owner.get(&key).copied();
        let number = known.unwrap_or_else(|| {
            if shelves.by_owner.len() >= MOST_SHELVES {
                shelves.by_owner.clear();
            }
            shelves.next = shelves.next.saturating_add(1);
            let number = shelves.next;
            shelves.by_owner.insert(key, number);
            number
        });
        Shelf { all: Arc::clone(&self.all), number }
    }
}

/// The footers of one table, as one person's queries know them.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    all: Arc<FileMetadataCache>,
    number: u64,
}

impl Shelf {
    fn key(&self, path: &Path) -> Path {
        Path::from(format!("{}/{path}", self.number))
    }

    /// The memory, disk and stores of a query, with these footers.
    pub(crate) fn in_place_of(&self, runtime: &RuntimeEnv) -> Result<RuntimeEnv> {
        let footers: Arc<FileMetadataCache> = Arc::new(self.clone());
        let config = CacheManagerConfig::default().with_file_metadata_cache(Some(footers));
        let cache_manager = CacheManager::try_new(&config)?;
        Ok(RuntimeEnv { cache_manager, ..runtime.clone() })
    }
}

impl Cache<Path, CachedFileMetadataEntry> for Shelf {
    fn get(&self, path: &Path) -> Option<CachedFileMetadataEntry> {
        self.all.get(&self.key(path))
    }

    fn put(&self, path: &Path, entry: CachedFileMetadataEntry) -> Option<CachedFileMetadataEntry> {
        self.all.put(&self.key(path), without_views(entry))
    }

    fn remove(&self, path: &Path) -> Option<CachedFileMetadataEntry> {
        self.all.remove(&self.key(path))
    }

    fn contains_key(&self, path: &Path) -> bool {
        self.all.contains_key(&self.key(path))
    }

    fn len(&self) -> usize {
        self.list_entries().len()
    }

    fn clear(&self) {
        for path in self.list_entries().keys() {
            self.remove(path);
        }
    }

    fn name(&self) -> String {
        "footers".to_owned()
    }

    fn cache_limit(&self) -> usize {
        self.all.cache_limit()
    }

    /// It is one for all.
    fn update_cache_limit(&self, _limit: usize) {}

    fn cache_ttl(&self) -> Option<Duration> {
        self.all.cache_ttl()
    }

    fn update_cache_ttl(&self, _ttl: Option<Duration>) {}

    fn drop_table_entries(&self, _table: &TableReference) -> Result<()> {
        self.clear();
        Ok(())
    }

    fn list_entries(&self) -> HashMap<Path, CacheEntryInfo<CachedFileMetadataEntry>> {
        let prefix = format!("{}/", self.number);
        let own = |(path, entry): (Path, _)| {
            Some((Path::from(path.as_ref().strip_prefix(&prefix)?), entry))
        };
        self.all.list_entries().into_iter().filter_map(own).collect()
    }
}

/// The footer without views, so that this is done once.
fn without_views(entry: CachedFileMetadataEntry) -> CachedFileMetadataEntry {
    let Some(footer) = entry.file_metadata.as_any().downcast_ref::<CachedParquetMetaData>() else {
        return entry;
    };
    match of_texts(footer.parquet_metadata()) {
        Some(footer) => {
            let footer = Arc::new(CachedParquetMetaData::new(Arc::new(footer)));
            CachedFileMetadataEntry::new(entry.meta, footer)
        }
        None => entry,
    }
}

#[cfg(test)]
mod tests {
    use super::super::texts::tests::{file, footer};
    use super::*;
    use chrono::Utc;
    use object_store::ObjectMeta;

    #[test]
    fn people_and_places_have_their_own() {
        let footers = Footers::default();
        let (bytes, _) = file();
        let path = Path::from("folder/part 0.parquet");
        let meta = ObjectMeta {
            location: path.clone(),
            last_modified: Utc::now(),
            size: 1,
            e_tag: None,
            version: None,
        };
        let entry = CachedFileMetadataEntry::new(
            meta,
            Arc::new(CachedParquetMetaData::new(footer(&bytes))),
        );
        let one = footers.of(&Principal::Owner, "s3://a/t");
        one.put(&path, entry);
        assert!(footers.of(&Principal::Owner, "s3://a/t").get(&path).is_some());
        assert!(footers.of(&Principal::Anonymous, "s3://a/t").get(&path).is_none());
        assert!(footers.of(&Principal::Owner, "s3://b/t").get(&path).is_none());
        assert_eq!((one.len(), footers.of(&Principal::Anonymous, "s3://a/t").len()), (1, 0));
        one.clear();
        assert!(one.get(&path).is_none());
    }
}
