//! Full-text search with filters and facets.
//!
//! The index is a projection of the database that can be made again at any time. Its commits carry
//! the catalog's id and the last change they hold; every search first brings it up to date from the
//! `change` table, so that registrations do not wait for it. An index that is missing, damaged, of another
//! catalog or ahead of the database (after a restore) is made anew. Any number of processes share
//! it: whoever finds it behind updates it under a file lock.

mod cursor;
mod document;
mod elements;
mod entry;
mod facets;
mod fields;
mod index;
mod place;
mod query;
mod ranges;
mod replicas;
mod view;

pub use cursor::Cursor;
pub(crate) use index::Index;

use crate::datasets::Stored;
use crate::model::{Dataset, SearchAnswer, SearchHit, SearchRequest};
use crate::policy::Rights;
use crate::{Catalog, CatalogError};
use chrono::Utc;
use entry::Entry;
use fields::SUBJECT;
use index::{Found, Lock, State};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tarn_schemas::{DatasetName, Principal};
use view::{Decided, Indexed, View};

/// Datasets that go into one commit of the index.
const BATCH: i64 = 4000;

/// What documents hold: another number makes every index anew.
pub(crate) const LAYOUT: u32 = 2;

/// How long an update waits for another process that updates.
const PATIENCE: Duration = Duration::from_secs(30);

/// Hits without a limit in the request, and the most there are.
const HITS: usize = 20;
const MOST_HITS: usize = 1000;

impl Catalog {
    /// Full-text search with filters and facets, over what the principal may know of. Every word has
    /// to occur, in its stem, in title, description, keywords, creators, dataset or lab name, or in a
    /// name, standard name, long name or unit of a variable. Totals and counts are exact; a facet
    /// lists its 1000 most frequent values; there are at most 1000 hits.
    ///
    /// The text may hold conditions on values, `sea_water_temperature > 20 degC`; filters are exact
    /// values, and `time`, `within_time`, `bbox`, `within_bbox`.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] for an unknown filter or facet, a text of more than 64 words, or a
    /// condition that cannot be read.
    pub async fn search(
        &self,
        who: &Principal,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, CatalogError> {
        let rights = Arc::new(self.rights(who).await?);
        let query = query::Query::new(request)?;
        let limit = if request.limit == 0 { HITS } else { request.limit.min(MOST_HITS) };
        let after: Option<Cursor> = request.cursor.as_deref().map(str::parse).transpose()?;
        // One more than is shown says whether there is a next page.
        let mut wanted = limit.saturating_add(1);
        let mut found = loop {
            let mut found = self.found(&rights, &query, wanted).await?;
            let all = found.hits.len() < wanted;
            found.hits.retain(|(score, name)| {
                after
                    .as_ref()
                    .is_none_or(|after| after.is_before(*score, self.lab().as_str(), name))
            });
            if all || found.hits.len() > limit {
                break found;
            }
            wanted = wanted.saturating_mul(4);
        };
        let more = found.hits.len() > limit;
        found.hits.truncate(limit);
        // One snapshot for all hits; what may not be shown any more is left out.
        let mut read = self.inner.database.read().await?;
        let hits: Vec<(f32, DatasetName)> = found
            .hits
            .into_iter()
            .filter_map(|(score, name)| Some((score, DatasetName::new(name).ok()?)))
            .collect();
        let names: Vec<DatasetName> = hits.iter().map(|(_, name)| name.clone()).collect();
        let scores: BTreeMap<DatasetName, f32> =
            hits.into_iter().map(|(score, name)| (name, score)).collect();
        let stored = self.load_all(&mut read, &names).await?;
        let mut hits = Vec::with_capacity(stored.len());
        let mut shown = Vec::with_capacity(stored.len());
        for Stored { dataset, .. } in stored {
            shown.extend(self.shown(&rights, dataset)?);
        }
        drop(read);
        self.note_listed(who, "search", &shown).await?;
        for dataset in shown {
            let score = scores.get(&dataset.name).copied().unwrap_or_default();
            hits.push(hit(dataset, score, &query));
        }
        let next = hits.last().filter(|_| more).map(|hit| Cursor::of(hit).to_string());
        Ok(SearchAnswer { hits, total: found.total, facets: found.facets, next })
    }

    /// The subjects of records that everyone may see, in the order of their texts: those after one, at
    /// most `limit`. What a harvester hears of them is what a search tells anybody.
    pub async fn subjects(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, CatalogError> {
        let rights = Arc::new(self.rights(&Principal::Anonymous).await?);
        let facets = vec![SUBJECT.to_owned()];
        let mut query = query::Query::new(&SearchRequest { facets, ..SearchRequest::default() })?;
        query.most_values = usize::MAX;
        let mut counts = self.found(&rights, &query, 1).await?.facets;
        let subjects = counts.remove(SUBJECT).unwrap_or_default().into_iter().map(|(term, _)| term);
        let after = after.unwrap_or_default();
        let mut subjects: Vec<String> = subjects.filter(|term| term.as_str() > after).collect();
        subjects.sort_unstable();
        subjects.truncate(limit);
        Ok(subjects)
    }

    /// What a query finds, in a new index where this one turns out to be damaged.
    async fn found(
        &self,
        rights: &Arc<Rights>,
        query: &query::Query,
        limit: usize,
    ) -> Result<Found, CatalogError> {
        match self.search_once(false, rights, query.clone(), limit).await {
            // Damage shows when it is read.
            Err(CatalogError::Index { problem, .. }) => {
                tracing::warn!(problem, "the search index is made anew");
                self.search_once(true, rights, query.clone(), limit).await
            }
            found => found,
        }
    }

    async fn search_once(
        &self,
        anew: bool,
        rights: &Arc<Rights>,
        query: query::Query,
        limit: usize,
    ) -> Result<Found, CatalogError> {
        self.catch_up(Which::Own, anew).await?;
        let decided = self.decided(rights).await?;
        let (catalog, rights) = (self.clone(), Arc::clone(rights));
        let now = Utc::now();
        let index = self.inner.index.clone();
        index
            .blocking(move |index| {
                let (policies, values) = (&catalog.inner.policies, query.asks_for_values());
                let visible = |term: &str| {
                    let (view, for_whom) = (View::parse(term)?, (&*rights, &decided));
                    Ok(view.is_for(policies, for_whom, now)?
                        && (!values || view.tells_values_to(policies, for_whom, now)?))
                };
                index.search(&query, limit, visible)
            })
            .await?
    }

    /// What a principal sees of datasets with tables that queries made of other data. Decisions of these may
    /// change without a change of them: an input is withdrawn, or an embargo of it begins.
    async fn decided(&self, rights: &Rights) -> Result<Decided, CatalogError> {
        let mut read = self.inner.database.read().await?;
        let derived = self.derived_datasets(&mut read).await?;
        let names: Vec<DatasetName> = derived.into_iter().collect();
        let mut decided = Decided::new();
        for Stored { dataset, .. } in self.load_all(&mut read, &names).await? {
            let found = (self.seen(rights, &dataset)?, self.may_count(rights, &dataset)?);
            decided.insert(dataset.name, found);
        }
        Ok(decided)
    }

    /// Brings the index up to the last change; `anew` throws it away first.
    async fn catch_up(&self, which: Which, anew: bool) -> Result<(), CatalogError> {
        let index = self.index_of(which);
        if !anew {
            let state = index.blocking(Index::refresh).await?;
            if state.holds(self.last_of(which).await?) {
                return Ok(());
            }
        }
        let Some(mut lock) = self.lock_index(which).await? else {
            return self.catch_up_in_memory(which).await;
        };
        let mut anew = anew;
        // What comes after the batch that is being written, read meanwhile: each takes about as long.
        let mut ahead: Option<(u64, Batch)> = None;
        loop {
            // Whoever held the lock before may have done the work.
            let state = index.blocking(Index::refresh).await?;
            let last = self.last_of(which).await?;
            if !anew && state.holds(last) {
                return Ok(());
            }
            let from = match state {
                State::Holds(sequence) if !anew && sequence <= last => Some(sequence),
                _ => None,
            };
            let (documents, to) = match ahead.take() {
                Some((after, batch)) if from == Some(after) => batch,
                _ => self.since(which, from.unwrap_or(0)).await?,
            };
            // The lock travels with the work: if this call is dropped, the work ends under it.
            let writing =
                index.blocking(move |index| (lock, index.write(from.is_none(), &documents, to)));
            let (back, written) = if to < last {
                let (written, next) = tokio::join!(writing, self.since(which, to));
                ahead = Some((to, next?));
                written?
            } else {
                writing.await?
            };
            lock = back;
            anew = match written {
                // What cannot be continued is begun again.
                Err(error) if from.is_some() => {
                    tracing::warn!(%error, "the search index is made anew");
                    true
                }
                written => {
                    written?;
                    false
                }
            };
        }
    }

    fn index_of(&self, which: Which) -> &Arc<Index> {
        match which {
            Which::Own => &self.inner.index,
            Which::Replicas => &self.inner.peer_index,
        }
    }

    /// The last change that an index has to hold.
    async fn last_of(&self, which: Which) -> Result<u64, CatalogError> {
        match which {
            Which::Own => self.inner.database.last_change().await,
            Which::Replicas => self.last_told().await,
        }
    }

    /// What an index has to take in after a change.
    async fn since(&self, which: Which, sequence: u64) -> Result<Batch, CatalogError> {
        match which {
            Which::Own => self.changed_since(sequence).await,
            Which::Replicas => self.told_since(sequence).await,
        }
    }

    /// The datasets that changed after a change, and the last change that they include.
    async fn changed_since(&self, sequence: u64) -> Result<Batch, CatalogError> {
        let (names, to) = self.inner.database.changed(sequence, BATCH).await?;
        let mut read = self.inner.database.read().await?;
        let stored = self.load_all(&mut read, &names).await?;
        let indexed = stored.into_iter().map(|Stored { dataset, .. }| {
            let resource = self.inner.policies.resource(&dataset);
            Entry::Own(Box::new(Indexed { dataset, resource }))
        });
        Ok((indexed.collect(), to))
    }

    /// Makes the index of a home that may only be read, in memory: searching changes nothing.
    async fn catch_up_in_memory(&self, which: Which) -> Result<(), CatalogError> {
        let (documents, to) = self.since(which, 0).await?;
        let index = self.index_of(which);
        index.blocking(move |index| index.write_in_memory(&documents, to)).await?
    }

    /// Waits for the lock that updates of the index are made under; none in a home that may only be
    /// read.
    async fn lock_index(&self, which: Which) -> Result<Option<std::fs::File>, CatalogError> {
        let started = Instant::now();
        loop {
            match self.index_of(which).blocking(Index::try_lock).await?? {
                Lock::Taken(lock) => return Ok(Some(lock)),
                Lock::ReadOnly => return Ok(None),
                Lock::Busy => {}
            }
            if started.elapsed() > PATIENCE {
                return Err(CatalogError::Conflict(
                    "another process has been updating the search index for 30 seconds; try again"
                        .to_owned(),
                ));
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }
}

/// Datasets that changed, and the last change that they include.
type Batch = (Vec<Entry>, u64);

/// Which index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    /// That of this lab's datasets.
    Own,
    /// That of what other labs told of theirs.
    Replicas,
}

/// Whether a search can be run.
pub(crate) fn check(request: &SearchRequest) -> Result<(), CatalogError> {
    query::Query::new(request).map(drop)
}

/// A dataset as a hit.
fn hit(dataset: Dataset, score: f32, query: &query::Query) -> SearchHit {
    SearchHit {
        snippet: snippet(&dataset.record.description, |text| query.words_in(text)),
        summary: summary(&dataset.record.description),
        title: dataset.record.title,
        lab: dataset.lab,
        name: dataset.name,
        version: dataset.version,
        ark: dataset.ark,
        tier: dataset.tier,
        tables: dataset.tables.into_iter().map(|table| (table.name, table.columns)).collect(),
        score,
        stale: false,
    }
}

/// Longest text shown of a description, in characters.
const LONGEST: usize = 300;

/// The sentence in which most of the words stand, the first of several; none where none does. Of a
/// long one its beginning.
fn snippet(description: &str, words_in: impl Fn(&str) -> usize) -> Option<String> {
    let text = description.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut best: Option<(usize, &str)> = None;
    for sentence in text.split_inclusive(". ") {
        let words = words_in(sentence);
        if words > best.map_or(0, |(most, _)| most) {
            best = Some((words, sentence.trim()));
        }
    }
    let (_, sentence) = best?;
    if sentence.chars().count() <= LONGEST {
        return Some(sentence.to_owned());
    }
    let start: String = sentence.chars().take(LONGEST).collect();
    Some(format!("{} …", start.rsplit_once(' ').map_or(start.as_str(), |(words, _)| words)))
}

/// The first sentences of a description, 300 characters at most.
fn summary(description: &str) -> String {
    let text = description.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    match start.rfind(". ") {
        Some(end) if end > LONGEST / 4 => start.get(..=end).unwrap_or(&start).to_owned(),
        _ => {
            let whole_words = start.rsplit_once(' ').map_or(start.as_str(), |(words, _)| words);
            format!("{whole_words} …")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{snippet, summary};

    #[test]
    fn a_snippet_is_the_sentence_with_most_words() {
        let text = "Ships and buoys. A buoy drifts in the gulf. The gulf is warm.";
        let words = |wanted: &'static [&'static str]| {
            move |text: &str| wanted.iter().filter(|word| text.contains(**word)).count()
        };
        assert_eq!(snippet(text, words(&["gulf", "buoy"])).unwrap(), "A buoy drifts in the gulf.");
        assert_eq!(snippet(text, words(&["gulf"])).unwrap(), "A buoy drifts in the gulf.");
        assert_eq!(snippet(text, words(&["ice"])), None);
        assert!(snippet(&"gulf ".repeat(200), words(&["gulf"])).unwrap().ends_with("gulf …"));
    }

    #[test]
    fn a_summary_ends_with_a_sentence_or_a_word() {
        assert_eq!(summary("One.\n  Two."), "One. Two.");
        let sentences = "This sentence has some words in it, enough to count. ".repeat(10);
        assert!(summary(&sentences).ends_with("to count."));
        assert!(summary(&sentences).chars().count() <= 300);
        let words = "wörter ".repeat(100);
        assert!(summary(&words).ends_with("wörter …"));
        assert_eq!(summary(&"x".repeat(400)).chars().count(), 302);
    }
}
