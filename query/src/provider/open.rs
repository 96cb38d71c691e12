//! Opens tables of the catalog, and files by path.

use crate::error::QueryError;
use crate::provider::delta::{DeltaEntryTable, DeltaSnapshot};
use crate::provider::delta_log::Said;
use crate::provider::figures::Figures;
use crate::provider::footers::Footers;
use crate::provider::grid::GridTable;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::{SessionState, SessionStateBuilder};
use deltalake::kernel::StorageType;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tarn_catalog::{ChunkIndex, PinnedFile, TableEntry, TableStorage, schema_text};
use tarn_connectors::store::FileStat;
use tarn_connectors::{Location, StoreError, Stores};
use tarn_formats::saved::Entry;
use tarn_formats::{ByteSource, FormatError, Reader, Table};
use tarn_schemas::{Layout, Principal, TableOptions};

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
    /// The same, for scans that give conditions to Parquet readers; made when it is first needed.
    pushing: OnceLock<Arc<SessionState>>,
    /// Metadata of registered files, where there is a home.
    index: Option<ChunkIndex>,
    snapshots: Kept<(String, u64), Arc<DeltaSnapshot>>,
    footers: Footers,
    /// By files and options, as JSON.
    grids: Kept<String, OpenGrid>,
}

/// Metadata of files by checksum.
type Learned = Vec<(String, Vec<Entry>)>;

/// A grid that is kept open, and what queries learned of its values.
#[derive(Debug, Clone)]
struct OpenGrid {
    table: Arc<Table>,
    figures: Arc<Figures>,
}

impl Opener {
    /// An opener with nothing open.
    pub(crate) fn new(
        stores: Stores,
        session: Arc<SessionState>,
        index: Option<ChunkIndex>,
    ) -> Self {
        deltalake::aws::register_handlers(None);
        let pushing = OnceLock::new();
        let (snapshots, grids, footers) = (Kept::default(), Kept::default(), Footers::default());
        Self { stores, session, pushing, index, snapshots, footers, grids }
    }

    /// The rows of a table, for `who` to read. `name` is what plans show.
    ///
    /// # Errors
    /// Files that changed since they were registered are refused.
    pub(crate) async fn table(
        &self,
        who: &Principal,
        name: &str,
        entry: &TableEntry,
    ) -> Result<Arc<dyn TableProvider>, QueryError> {
        let schema = schema_of(entry)?;
        match &entry.storage {
            TableStorage::Delta { url, version } => {
                let inner = self.snapshot(name, url, *version).await?;
                let footers = self.footers.of(who, url);
                Ok(Arc::new(DeltaEntryTable::new(name, inner, &schema, footers)))
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
    ) -> Result<Arc<DeltaSnapshot>, QueryError> {
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
        stays_inside(&table).map_err(|error| failed(&error))?;
        let pushing = self.pushing.get_or_init(|| {
            let mut config = self.session.config().clone();
            config.options_mut().execution.parquet.pushdown_filters = true;
            let state = SessionStateBuilder::new_from_existing(self.session.as_ref().clone());
            Arc::new(state.with_config(config).build())
        });
        let mut providers = Vec::with_capacity(2);
        for session in [&self.session, pushing] {
            let session = Arc::clone(session);
            let provider = table.table_provider().with_session(session).build().await;
            let provider: Arc<dyn TableProvider> =
                Arc::new(provider.map_err(|error| failed(&error))?);
            providers.push(provider);
        }
        let (Some(by_file), Some(by_log)) = (providers.pop(), providers.pop()) else {
            return Err(QueryError::Internal("a table was opened and is not there".to_owned()));
        };
        let said = Said::of(&table, &by_log.schema());
        let snapshot = Arc::new(DeltaSnapshot { by_log, by_file, said });
        self.snapshots.put(key, Arc::clone(&snapshot));
        Ok(snapshot)
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
        let now = self.current(name, files, options).await?;
        let key = serde_json::to_string(&(&now, options))
            .map_err(|error| QueryError::Internal(error.to_string()))?;
        if let Some(known) = self.grids.get(&key) {
            return Ok(known);
        }
        let (readers, learned) = self.readers(&now).await?;
        let table = open_grid(readers, options.clone()).await?;
        let open = OpenGrid { table, figures: Arc::default() };
        if let Some(learned) = learned {
            // A file that was exchanged while it was opened would otherwise be remembered as pinned.
            self.current(name, &now, options).await?;
            self.store(name, &now, learned).await?;
        }
        self.grids.put(key, open.clone());
        Ok(open)
    }

    /// Readers of pinned files: from the chunk index where it has them, opened otherwise. If any was
    /// opened, also what the index has to learn of them, which may be nothing.
    async fn readers(
        &self,
        files: &[PinnedFile],
    ) -> Result<(Vec<Arc<dyn Reader>>, Option<Learned>), QueryError> {
        let known = self.known_readers(files).await?;
        let is_new = known.is_none() && self.index.is_some();
        let known = known.unwrap_or_else(|| vec![None; files.len()]);
        if known.iter().all(Option::is_some) {
            return Ok((known.into_iter().flatten().collect(), None));
        }
        let opening = files.iter().zip(known).map(|(file, known)| async move {
            match known {
                Some(known) => Ok(known),
                // Only what is pinned: other files that this one refers to are not.
                None => self.reader(&file.stat, false).await,
            }
        });
        let opening: Vec<_> = opening.collect();
        let readers: Vec<Arc<dyn Reader>> =
            futures::stream::iter(opening).buffered(OPEN_AT_ONCE).try_collect().await?;
        if !is_new {
            return Ok((readers, Some(vec![])));
        }
        let checksums = files.iter().map(|file| file.sha256.clone());
        let opened: Vec<_> = checksums.zip(readers.iter().map(Arc::clone)).collect();
        let learned = blocking(move || {
            let mut learned = Vec::with_capacity(opened.len());
            for (checksum, reader) in opened {
                if let Some(entries) = reader.entries()? {
                    learned.push((checksum, entries));
                }
            }
            Ok(learned)
        });
        Ok((readers, Some(learned.await?)))
    }

    /// Readers from the chunk index, if it knows these files; none for those it cannot hold.
    async fn known_readers(
        &self,
        files: &[PinnedFile],
    ) -> Result<Option<Vec<Option<Arc<dyn Reader>>>>, QueryError> {
        let Some(index) = self.index.clone() else { return Ok(None) };
        let mut sources = Vec::with_capacity(files.len());
        for file in files {
            sources.push((file.sha256.clone(), self.stores.source_later(&file.stat)?));
        }
        let options = self.stores.open_options(None);
        blocking(move || {
            let checksums: Vec<&str> = sources.iter().map(|(sha256, _)| sha256.as_str()).collect();
            let Some(shelf) = index.load(&checksums).map(Arc::new) else { return Ok(None) };
            // The index is one of files: Zarr stores are opened.
            let reader = |(sha256, source): &(String, Option<Arc<dyn ByteSource>>)| {
                shelf.reader(sha256, Arc::clone(source.as_ref()?), &options)
            };
            Ok(Some(sources.iter().map(reader).collect()))
        })
        .await
    }

    /// Puts into the chunk index what was learned of all files of a table.
    async fn store(
        &self,
        name: &str,
        files: &[PinnedFile],
        learned: Learned,
    ) -> Result<(), QueryError> {
        let Some(index) = self.index.clone().filter(|_| !learned.is_empty()) else { return Ok(()) };
        let name = name.to_owned();
        let checksums: Vec<String> = files.iter().map(|file| file.sha256.clone()).collect();
        blocking(move || {
            let checksums: Vec<&str> = checksums.iter().map(String::as_str).collect();
            // The index is not needed for the answer.
            if let Err(error) = index.store(&checksums, &learned) {
                tracing::warn!(table = name, %error, "the chunk index cannot be written");
            }
            Ok(())
        })
        .await
    }

    /// The files as they are now, which must have the content that was registered.
    async fn current(
        &self,
        name: &str,
        files: &[PinnedFile],
        options: &TableOptions,
    ) -> Result<Vec<PinnedFile>, QueryError> {
        let pinned: Vec<_> = files.iter().map(|file| (&file.stat, file.sha256.as_str())).collect();
        let checked = self.stores.same_contents(&pinned).await;
        let (mut now, mut changed, mut first) = (Vec::with_capacity(files.len()), vec![], None);
        for (file, outcome) in files.iter().zip(checked) {
            match outcome {
                Ok(stat) => now.push(PinnedFile { stat, sha256: file.sha256.clone() }),
                Err(StoreError::Changed { .. }) => changed.push(file.stat.location.as_str()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        if let Some(error) = first {
            return Err(QueryError::InvalidData(format!(
                "a file of {name} cannot be read where it was registered: {error}"
            )));
        }
        let Some(one) = changed.first() else { return Ok(now) };
        Err(QueryError::InvalidData(format!(
            "{one}: the content of this file of {name} has changed since it was registered; put the \
             old file back, or register its record again as a new version (`tarn register \
             RECORD.yaml`){}",
            repair(name, &changed, options)
        )))
    }

    /// Readers of the files that a path, URL, glob or folder stands for, in order. Of a folder,
    /// files that Tarn cannot read are left out.
    pub(crate) async fn files(&self, path: &str) -> Result<Vec<OpenFile>, QueryError> {
        let found = self.stores.find(path).await?;
        let count = found.len();
        let opened: Vec<Result<OpenFile, String>> =
            futures::stream::iter(found)
                .map(|found| async move {
                    match self.reader(&found.stat, true).await {
                        Ok(reader) => Ok(Ok(OpenFile { reader, named: found.named })),
                        Err(QueryError::Format(FormatError::UnknownFormat {
                            location, ..
                        })) if !found.named => Ok(Err(location)),
                        Err(error) => Err(error),
                    }
                })
                .buffered(OPEN_AT_ONCE)
                .try_collect()
                .await?;
        let (open, left): (Vec<_>, Vec<_>) = opened.into_iter().partition(Result::is_ok);
        let left: Vec<String> = left.into_iter().filter_map(Result::err).collect();
        say_left_out(path, count, &left, "of no format that Tarn reads")?;
        Ok(open.into_iter().filter_map(Result::ok).collect())
    }

    /// A reader of one file, with the files beside it that it refers to, or without them.
    async fn reader(
        &self,
        stat: &FileStat,
        with_siblings: bool,
    ) -> Result<Arc<dyn Reader>, QueryError> {
        let source = self.stores.source(stat).await?;
        let siblings = with_siblings.then(|| Stores::siblings(stat)).flatten();
        let options = self.stores.open_options(siblings);
        blocking(move || Ok(source.open(&options)?)).await
    }
}

/// Fails where the log of a table names files outside its folder, which its writer may have done
/// since it was registered.
pub(crate) fn stays_inside(table: &DeltaTable) -> Result<(), DeltaTableError> {
    let outside = table.snapshot()?.log_data().iter().any(|file| {
        let vector = file.deletion_vector_descriptor();
        !Location::stays_inside(&file.path())
            || vector.is_some_and(|vector| vector.storage_type == StorageType::AbsolutePath)
    });
    if outside {
        return Err(DeltaTableError::generic("its log names files outside its folder"));
    }
    Ok(())
}

/// A file of the user's, open.
#[derive(Debug)]
pub(crate) struct OpenFile {
    /// Its reader.
    pub(crate) reader: Arc<dyn Reader>,
    /// Whether it was named itself; otherwise its folder was.
    pub(crate) named: bool,
}

/// Most names of files in a message.
const SHOWN: usize = 5;

/// Says which files of a folder are left out. If these are all of them, that is an error.
pub(crate) fn say_left_out(
    folder: &str,
    count: usize,
    left: &[String],
    why: &str,
) -> Result<(), QueryError> {
    if left.is_empty() {
        return Ok(());
    }
    let name = |location: &String| location.rsplit('/').next().unwrap_or(location).to_owned();
    let mut names: Vec<String> = left.iter().take(SHOWN).map(name).collect();
    if left.len() > SHOWN {
        names.push("…".to_owned());
    }
    let names = names.join(", ");
    if left.len() == count {
        return Err(QueryError::InvalidData(format!(
            "{folder}: there is no file that can be read in this folder; its {count} file(s) are \
             {why}: {names}"
        )));
    }
    tracing::warn!("{folder}: {} of {count} file(s) left out, {why}: {names}", left.len());
    Ok(())
}

/// The command that pins changed files anew, where the command line can say it; otherwise the
/// options stand in the record, whose registration does it.
fn repair(name: &str, changed: &[&str], options: &TableOptions) -> String {
    let unsaid = TableOptions {
        decode: options.decode,
        union: options.union,
        file_column: options.file_column,
        ..TableOptions::default()
    };
    let mut parts = name.split('.').skip(1);
    let (Some(dataset), Some(table)) = (parts.next(), parts.next()) else { return String::new() };
    if unsaid != TableOptions::default() {
        return String::new();
    }
    let quoted = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:,=".contains(c);
        if text.chars().all(plain) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let mut command = vec!["tarn ingest".to_owned()];
    command.extend(changed.iter().map(|location| quoted(location)));
    command.push(format!("--dataset {dataset} --table {table} --in-place"));
    if let Some(grid) = &options.grid {
        command.push(format!("--grid {}", quoted(grid)));
    }
    if options.layout == Layout::Tensors {
        command.push("--layout tensors".to_owned());
    }
    for (column, source) in &options.columns {
        command.push(format!("--column {}", quoted(&format!("{column}={source}"))));
    }
    if !options.select.is_empty() {
        command.push(format!("--select {}", quoted(&options.select.join(","))));
    }
    format!(" and then run: {}", command.join(" "))
}

/// The Arrow schema of a table of the catalog.
pub(crate) fn schema_of(entry: &TableEntry) -> Result<SchemaRef, QueryError> {
    let decoded = schema_text::decode(&entry.schema);
    decoded.map(|schema| Arc::new(schema_text::with_tensors(&schema))).map_err(|error| {
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
