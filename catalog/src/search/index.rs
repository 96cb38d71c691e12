//! The index on disk: opening, updating under a lock, searching.

use super::entry::Entry;
use super::facets::{Counts, FacetCounts};
use super::fields::{ANALYZER, DATASET, Fields, analyzer};
use super::query::Query;
use crate::CatalogError;
use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tantivy::collector::sort_key::{SortBySimilarityScore, SortByString};
use tantivy::collector::{Count, TopDocs};
use tantivy::merge_policy::LogMergePolicy;
use tantivy::query::Bm25StatisticsProvider;
use tantivy::schema::Field;
use tantivy::{IndexReader, IndexWriter, Order, ReloadPolicy, TantivyDocument, Term};

/// Memory of the writer's one thread in bytes.
const WRITER_MEMORY: usize = 48 << 20;
/// Segments of about one size that are merged into one. Tantivy's 8 would write each document of a
/// million twice as often; each segment costs a search some microseconds.
const MERGED_TOGETHER: usize = 16;

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It holds all changes up to this sequence.
    Holds(u64),
    /// It is missing, damaged, or that of another catalog.
    Unusable,
}

impl State {
    /// Whether nothing is to be done if this is the last change.
    pub(super) fn holds(self, last: u64) -> bool {
        self == Self::Holds(last)
    }
}

/// An attempt to take the lock of the index.
#[derive(Debug)]
pub(super) enum Lock {
    /// It is taken until the file is dropped.
    Taken(File),
    /// Another process has it.
    Busy,
    /// This user may not write in the folder.
    ReadOnly,
}

/// What a search found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Score and dataset, best first.
    pub(super) hits: Vec<(f32, String)>,
    pub(super) total: u64,
    pub(super) facets: Counts,
}

/// The search index of a catalog. Its methods block.
#[derive(Debug)]
pub(crate) struct Index {
    folder: PathBuf,
    lock: PathBuf,
    catalog_id: String,
    fields: Fields,
    open: Mutex<Option<Open>>,
}

/// An open index and the commit its reader shows.
struct Open {
    index: tantivy::Index,
    reader: IndexReader,
    payload: String,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("payload", &self.payload).finish_non_exhaustive()
    }
}

impl Index {
    /// The index in a folder of a catalog's folder, `search/` or another. Nothing is opened or made yet.
    pub(crate) fn new(folder: &Path, name: &str, catalog_id: String) -> Arc<Self> {
        Arc::new(Self {
            folder: folder.join(name),
            lock: folder.join(format!("{name}.lock")),
            catalog_id,
            fields: Fields::new(),
            open: Mutex::new(None),
        })
    }

    /// Runs blocking work on the index. A panic in it, as damaged files may cause, is an error.
    pub(super) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, CatalogError> {
        let index = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&index)).await.map_err(|error| {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.problem(&error)
        })
    }

    /// A problem of this index in words.
    pub(super) fn problem(&self, problem: impl std::fmt::Display) -> CatalogError {
        CatalogError::Index {
            place: self.folder.display().to_string(),
            problem: problem.to_string(),
        }
    }

    /// Tries to take the lock that updates are made under.
    pub(super) fn try_lock(&self) -> Result<Lock, CatalogError> {
        let file = match File::options().create(true).truncate(false).write(true).open(&self.lock) {
            Ok(file) => file,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                return Ok(Lock::ReadOnly);
            }
            Err(error) => {
                return Err(self.problem(format!("{}: {error}", self.lock.display())));
            }
        };
        match file.try_lock() {
            Ok(()) => Ok(Lock::Taken(file)),
            Err(TryLockError::WouldBlock) => Ok(Lock::Busy),
            Err(TryLockError::Error(error)) => Err(self.problem(error)),
        }
    }

    /// Shows the last commit, whichever process made it, and says how far it is.
    pub(super) fn refresh(&self) -> State {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.try_refresh(&mut open).unwrap_or_else(|error| {
            tracing::debug!(%error, "the search index cannot be used");
            State::Unusable
        });
        if state == State::Unusable {
            *open = None;
        }
        state
    }

    fn try_refresh(&self, open: &mut Option<Open>) -> tantivy::Result<State> {
        let now = if let Some(now) = open {
            now
        } else {
            let index = self.open_index()?;
            let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
            // Which commit the reader shows is not known, so it is loaded again below.
            open.insert(Open { index, reader, payload: String::new() })
        };
        // The payload is read before the reader is loaded: the reader may show more, never less.
        let payload = now.index.load_metas()?.payload.unwrap_or_default();
        if payload != now.payload {
            now.reader.reload()?;
            now.payload = payload;
        }
        Ok(self.sequence(&now.payload).map_or(State::Unusable, State::Holds))
    }

    /// Opens the folder afresh.
    fn open_index(&self) -> tantivy::Result<tantivy::Index> {
        let index = tantivy::Index::open_in_dir(&self.folder)?;
        if index.schema() != self.fields.schema {
            return Err(tantivy::TantivyError::SchemaError(
                "the index has other fields".to_owned(),
            ));
        }
        index.tokenizers().register(ANALYZER, analyzer());
        Ok(index)
    }

    /// The text that a commit carries.
    fn payload(&self, sequence: u64) -> String {
        format!("{} {sequence}", self.catalog_id)
    }

    fn sequence(&self, payload: &str) -> Option<u64> {
        let (id, sequence) = payload.split_once(' ')?;
        sequence.parse().ok().filter(|_| id == self.catalog_id)
    }

    /// Puts datasets into the index, in place of what it held of them, in one commit that says that
    /// all changes up to `sequence` are in. Made anew it holds nothing else. Call it under the lock.
    pub(super) fn write(
        &self,
        anew: bool,
        datasets: &[Entry],
        sequence: u64,
    ) -> Result<(), CatalogError> {
        self.try_write(anew, datasets, sequence).map_err(|error| self.problem(error))
    }

    fn try_write(&self, anew: bool, datasets: &[Entry], sequence: u64) -> tantivy::Result<()> {
        let index = if anew {
            self.remove()?;
            std::fs::create_dir_all(&self.folder)?;
            let index = tantivy::Index::create_in_dir(&self.folder, self.fields.schema.clone())?;
            index.tokenizers().register(ANALYZER, analyzer());
            index
        } else {
            // Opened afresh each time, because another process may have changed the list of files
            // that tantivy keeps in memory.
            self.open_index()?
        };
        self.fill(&index, datasets, sequence)
    }

    /// Makes an index in the memory of this process, for a home that may not be written to.
    pub(super) fn write_in_memory(
        &self,
        datasets: &[Entry],
        sequence: u64,
    ) -> Result<(), CatalogError> {
        let make = || -> tantivy::Result<Open> {
            let index = tantivy::Index::create_in_ram(self.fields.schema.clone());
            index.tokenizers().register(ANALYZER, analyzer());
            self.fill(&index, datasets, sequence)?;
            let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
            Ok(Open { index, reader, payload: self.payload(sequence) })
        };
        let made = make().map_err(|error| self.problem(error))?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        Ok(())
    }

    fn fill(
        &self,
        index: &tantivy::Index,
        datasets: &[Entry],
        sequence: u64,
    ) -> tantivy::Result<()> {
        let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_MEMORY)?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(MERGED_TOGETHER);
        writer.set_merge_policy(Box::new(policy));
        for entry in datasets {
            writer.delete_term(Term::from_field_text(self.fields.dataset, &entry.key()));
            let documents = entry.documents(&self.fields);
            let documents = documents
                .map_err(|error| tantivy::TantivyError::InternalError(error.to_string()))?;
            for document in documents {
                writer.add_document(document)?;
            }
        }
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&self.payload(sequence));
        commit.commit()?;
        writer.wait_merging_threads()
    }

    /// Removes the folder. A reader may put a lock file into it meanwhile, so this is tried again.
    fn remove(&self) -> std::io::Result<()> {
        let mut left = 20;
        loop {
            match std::fs::remove_dir_all(&self.folder) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty && left > 0 => {
                    left -= 1;
                }
                removed => return removed,
            }
        }
    }

    /// Runs a query on the commit that [`Index::refresh`] showed last.
    ///
    /// `visible` says by their policies which documents may be found; what it cannot say, the search fails with.
    pub(super) fn search(
        &self,
        query: &Query,
        limit: usize,
        visible: impl Fn(&str) -> Result<bool, CatalogError>,
    ) -> Result<Found, CatalogError> {
        let searcher = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if open.is_none() {
                // Another call found it damaged meanwhile, and made it anew.
                self.try_refresh(&mut open).map_err(|error| self.problem(error))?;
            }
            open.as_ref().map(|open| open.reader.searcher())
        };
        let searcher = searcher.ok_or_else(|| self.problem("it cannot be opened"))?;
        let mut allowed = Vec::new();
        let policies = terms(&searcher, self.fields.policy).map_err(|error| self.problem(error))?;
        for term in policies {
            if visible(&term)? {
                allowed.push(Term::from_field_text(self.fields.policy, &term));
            }
        }
        let run = || -> tantivy::Result<Found> {
            let formulas = if query.asks_for_elements() {
                terms(&searcher, self.fields.composition)?
            } else {
                BTreeSet::new()
            };
            let compiled = query.compile(&self.fields, allowed, &formulas);
            let facets = FacetCounts { keys: query.facets.clone(), most: query.most_values };
            let by_name = (SortByString::for_field(DATASET), Order::Asc);
            let best = TopDocs::with_limit(limit);
            let (hits, total, facets) = if query.ranks() {
                let order = ((SortBySimilarityScore, Order::Desc), by_name);
                let (hits, total, facets) = searcher.search_with_statistics_provider(
                    &compiled,
                    &(best.order_by(order), Count, facets),
                    &Blind,
                )?;
                let hits = hits.into_iter().map(|((score, _), address)| (score, address));
                (hits.collect::<Vec<_>>(), total, facets)
            } else {
                let (hits, total, facets) =
                    searcher.search(&compiled, &(best.order_by(by_name), Count, facets))?;
                let hits = hits.into_iter().map(|(_, address)| (0.0, address));
                (hits.collect(), total, facets)
            };
            let mut found = Found {
                hits: Vec::with_capacity(hits.len()),
                total: u64::try_from(total).unwrap_or(u64::MAX),
                facets,
            };
            for (score, address) in hits {
                let document: TantivyDocument = searcher.doc(address)?;
                if let Some(name) = self.fields.dataset_of(&document) {
                    found.hits.push((score, name));
                }
            }
            Ok(found)
        };
        run().map_err(|error| {
            *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
            self.problem(error)
        })
    }
}

/// The terms of a field, over all segments.
fn terms(searcher: &tantivy::Searcher, field: Field) -> tantivy::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for segment in searcher.segment_readers() {
        let terms = segment.inverted_index(field)?;
        let mut stream = terms.terms().stream()?;
        while stream.advance() {
            found.insert(String::from_utf8_lossy(stream.key()).into_owned());
        }
    }
    Ok(found)
}

/// Statistics for ranking that do not depend on what is in the index: how often words occur in
/// documents that somebody may not know of would show in the scores of those that they may.
struct Blind;

/// As in an index of this many documents, every word in a hundredth of them, of twenty words each.
const DOCUMENTS: u64 = 10_000;

impl Bm25StatisticsProvider for Blind {
    fn total_num_tokens(&self, _: Field) -> tantivy::Result<u64> {
        Ok(20 * DOCUMENTS)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        Ok(DOCUMENTS)
    }

    fn doc_freq(&self, _: &Term) -> tantivy::Result<u64> {
        Ok(DOCUMENTS / 100)
    }
}
