//! Opens tables of the catalog, and files by path.

use crate::error::QueryError;
use crate::provider::delta::DeltaEntryTable;
use crate::provider::figures::Figures;
use crate::provider::grid::GridTable;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use deltalake::DeltaTableBuilder;
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use tarn_catalog::{PinnedFile, TableEntry, TableStorage, schema_text};
use tarn_connectors::store::FileStat;
use tarn_connectors::{Location, Stores};
use tarn_formats::{Reader, Table};
use tarn_schemas::TableOptions;

/// Files that are opened at once.
const OPEN_AT_ONCE: usize = 16;
/// Most tables that are kept open, of each kind.
const KEPT_OPEN: usize = 128;

/// Opens tables and files, and keeps what it opened: Delta snapshots by URL and version, grids by
/// the pinned content of their files.
#[derive(Debug)]
pub(crate) struct Opener {
    stores: Stores,
    /// Settings that Delta scans are made with.
    session: Arc<SessionState>,
    snapshots: Kept<(String, u64), Arc<dyn TableProvider>>,
    /// By files and options, as JSON.
    grids: Kept<String, OpenGrid>,
}

/// A grid that is kept open, and what queries learned of its values.
#[derive(Debug, Clone)]
struct OpenGrid {
    table: Arc<Table>,
    figures: Arc<Figures>,
}

impl Opener {
    /// An opener with nothing open.
    pub(crate) fn new(stores: Stores, session: Arc<SessionState>) -> Self {
        deltalake::aws::register_handlers(None);
        Self { stores, session, snapshots: Kept::default(), grids: Kept::default() }
    }

    /// The rows of a table. `name` is what plans show.
    ///
    /// # Errors
    /// Files that changed since they were registered are refused.
    pub(crate) async fn table(
        &self,
        name: &str,
        entry: &TableEntry,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let schema = schema_of(entry)?;
        match &entry.storage {
            TableStorage::Delta { url, version } => {
                let inner = self.snapshot(name, url, *version).await?;
                Ok(Arc::new(DeltaEntryTable::new(name, inner, &schema)))
            }
            TableStorage::InPlace { files, options } => {
                let open = self.open_grid(name, files, options).await?;
                Ok(Arc::new(GridTable::new(name, open.table).with_figures(open.figures)))
            }
        }
    }

    async fn snapshot(
        &self,
        name: &str,
        url: &str,
        version: u64,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let key = (url.to_owned(), version);
        if let Some(known) = self.snapshots.get(&key) {
            return Ok(known);
        }
        let location = Location::parse(url)?;
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(table = name, url, version, %error, "a Delta table cannot be opened");
            QueryError::InvalidData(format!(
                "the Delta table of {name} cannot be opened at version {version}: it is damaged, was \
                 vacuumed or its store cannot be reached; the node's log says which"
            ))
        };
        let table = DeltaTableBuilder::from_url(location.url().clone())
            .map_err(|error| failed(&error))?
            .with_version(version)
            .with_storage_options(self.stores.options_for(&location).into_iter().collect())
            .load()
            .await
            .map_err(|error| failed(&error))?;
        let provider: Arc<dyn TableProvider> = Arc::new(
            table
                .table_provider()
                .with_session(Arc::clone(&self.session))
                .build()
                .await
                .map_err(|error| failed(&error))?,
        );
        self.snapshots.put(key, Arc::clone(&provider));
        Ok(provider)
    }

    /// The grid of files in place, checked against what was registered.
    pub(crate) async fn grid(
        &self,
        name: &str,
        files: &[PinnedFile],
        options: &TableOptions,
    ) -> Result<Arc<Table>, QueryError> {
        Ok(self.open_grid(name, files, options).await?.table)
    }

    async fn open_grid(
        &self,
        name: &str,
        files: &[PinnedFile],
        options: &TableOptions,
    ) -> Result<OpenGrid, QueryError> {
        self.check(name, files).await?;
        let key = serde_json::to_string(&(files, options))
            .map_err(|error| QueryError::Internal(error.to_string()))?;
        if let Some(known) = self.grids.get(&key) {
            return Ok(known);
        }
        let stats = files.iter().map(|file| file.stat.clone()).collect();
        let readers = self.readers(stats).await?;
        let table = open_grid(readers, options.clone()).await?;
        let open = OpenGrid { table, figures: Arc::default() };
        // A file that was exchanged while it was opened would otherwise be remembered as pinned.
        self.check(name, files).await?;
        self.grids.put(key, open.clone());
        Ok(open)
    }

    /// Fails unless every file still is what was registered.
    async fn check(&self, name: &str, files: &[PinnedFile]) -> Result<(), QueryError> {
        futures::stream::iter(files)
            .map(Ok)
            .try_for_each_concurrent(OPEN_AT_ONCE, |file| async move {
                self.stores.check_unchanged(&file.stat).await.map_err(|error| {
                    QueryError::InvalidData(format!(
                        "a file of {name} is no longer the one that was registered: {error}; \
                         restore it, or register a new version of the dataset"
                    ))
                })
            })
            .await
    }

    /// Readers of the files that a path, URL, glob or folder stands for, in order.
    pub(crate) async fn files(&self, path: &str) -> Result<Vec<Arc<dyn Reader>>, QueryError> {
        let stats = self.stores.expand(path).await?;
        self.readers(stats).await
    }

    async fn readers(&self, stats: Vec<FileStat>) -> Result<Vec<Arc<dyn Reader>>, QueryError> {
        futures::stream::iter(stats)
            .map(|stat| async move {
                let source = self.stores.source(&stat).await?;
                blocking(move || Ok(tarn_formats::open(source)?)).await
            })
            .buffered(OPEN_AT_ONCE)
            .try_collect()
            .await
    }
}

/// The Arrow schema of a table of the catalog.
pub(crate) fn schema_of(entry: &TableEntry) -> Result<SchemaRef, QueryError> {
    schema_text::decode(&entry.schema).map(Arc::new).map_err(|error| {
        QueryError::InvalidData(format!(
            "the schema of table {} cannot be read: {error}",
            entry.name
        ))
    })
}

/// The table that options make of open files.
pub(crate) async fn open_grid(
    readers: Vec<Arc<dyn Reader>>,
    options: TableOptions,
) -> Result<Arc<Table>, QueryError> {
    blocking(move || Ok(Arc::new(Table::open(&readers, &options)?))).await
}

/// Runs work that reads files on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| QueryError::Internal(format!("reading a file stopped: {error}")))?
}

/// A few values by key; when there are too many, all are forgotten and opened again as needed.
#[derive(Debug)]
struct Kept<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn put(&self, key: K, value: V) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT_OPEN {
            all.clear();
        }
        all.insert(key, value);
    }
}
