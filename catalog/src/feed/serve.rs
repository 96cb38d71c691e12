//! What a peer gets that asks for a page, for the tree or for some records.

use super::PeerRecord;
use super::content::LARGEST;
use super::project::{Told, no_peer};
use super::statement::{Event, Kind, Page, PageRequest, RecordsRequest, Signed};
use super::tree::{Tree, TreeAnswer, TreeRequest};
use crate::datasets::no_dataset;
use crate::{Catalog, CatalogError};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tarn_schemas::{DatasetName, LabName, Principal};

/// Most events of a page, and bytes after which it ends.
const EVENTS: i64 = 1000;
const BYTES: usize = 4 << 20;
/// Most names of one request for records.
const MOST_NAMES: usize = 1000;

/// The tree of a peer's feed, as it was at a sequence.
pub(crate) type KeptTrees = std::sync::Mutex<BTreeMap<(LabName, String), (u64, Arc<Tree>)>>;

impl Catalog {
    /// The next page of a peer's feed, signed.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for a lab that is no peer.
    pub async fn feed_page(
        &self,
        peer: &LabName,
        request: &PageRequest,
        grace: Duration,
    ) -> Result<Signed, CatalogError> {
        let database = &self.inner.database;
        let state = Box::pin(self.project(peer)).await?;
        let mut read = database.read().await?;
        // One more than is sent says whether there are more.
        let query = |statement: &'static str, after: u64| {
            sqlx::query(statement)
                .bind(peer.as_str().to_owned())
                .bind(i64::try_from(after).unwrap_or(i64::MAX))
                .bind(EVENTS.saturating_add(1))
        };
        let taken_back = query(
            "SELECT dataset, sequence, kind FROM peer_feed
             WHERE peer = $1 AND sequence > $2 AND kind <> 'upsert' ORDER BY sequence LIMIT $3",
            request.after.retractions,
        )
        .fetch_all(&mut *read)
        .await
        .map_err(|error| database.error(&error))?;
        let told = query(
            "SELECT dataset, sequence, kind FROM peer_feed
             WHERE peer = $1 AND sequence > $2 AND kind = 'upsert' ORDER BY sequence LIMIT $3",
            request.after.upserts,
        )
        .fetch_all(&mut *read)
        .await
        .map_err(|error| database.error(&error))?;
        let most = usize::try_from(EVENTS).unwrap_or(usize::MAX);
        let all = taken_back.len() <= most;
        let rows: Vec<_> = taken_back
            .iter()
            .take(most)
            .chain(told.iter().take(if all { most } else { 0 }))
            .collect();
        let mut listed = Vec::with_capacity(rows.len());
        for row in rows {
            let name = database.dataset_name(&database.text(row, "dataset")?)?;
            listed.push((name, database.number::<u64>(row, "sequence")?, self.kind(row)?));
        }
        let (mut through, mut closed) = (request.after, Vec::new());
        let (mut events, mut bytes, mut done) =
            (Vec::with_capacity(listed.len()), 0_usize, 0_usize);
        let told_of = |(name, _, kind): &(DatasetName, u64, Kind)| {
            (*kind != Kind::Tombstone).then(|| name.clone())
        };
        for some in listed.chunks(200) {
            if bytes > BYTES {
                break;
            }
            let names: Vec<DatasetName> = some.iter().filter_map(told_of).collect();
            let mut now = Box::pin(self.told_now(peer, &mut read, &names)).await?;
            for (name, sequence, kind) in some {
                if bytes > BYTES {
                    break;
                }
                done = done.saturating_add(1);
                let place = if *kind == Kind::Upsert {
                    &mut through.upserts
                } else {
                    &mut through.retractions
                };
                *place = *sequence;
                // What changed after it was decided is not sent: an event of its own is at the end of the feed soon.
                let told = match kind {
                    Kind::Tombstone => Some((Told::nothing(), None)),
                    _ => now.remove(name).filter(|(told, _)| told.kind == *kind),
                };
                let Some((Told { kind, hash, content }, name_of_closed)) = told else { continue };
                closed.extend(name_of_closed);
                bytes = bytes.saturating_add(content.len());
                events.push(Event { sequence: *sequence, kind, name: name.clone(), hash, content });
            }
        }
        drop(read);
        let anybody = Principal::Visitor { lab: peer.clone(), name: None };
        self.note_closed(&anybody, "feed", closed).await?;
        let last = state.last.max(through.upserts).max(through.retractions);
        let complete = state.is_done && all && done == listed.len() && told.len() <= most;
        // What is taken back from now on comes behind everything that there is.
        if all && done >= taken_back.len() {
            through.retractions = last;
        }
        if complete {
            through.upserts = last;
        }
        let page = Page {
            after: request.after,
            through,
            complete,
            grace_seconds: grace.as_secs(),
            events,
        };
        self.state(("page", peer, &request.nonce), (state.feed, last), page)
    }

    /// What a peer may be told now of some datasets, with their names where they are not for everyone.
    async fn told_now(
        &self,
        peer: &LabName,
        read: &mut sqlx::Transaction<'static, sqlx::Any>,
        names: &[DatasetName],
    ) -> Result<BTreeMap<DatasetName, (Told, Option<String>)>, CatalogError> {
        let (mut of_peer, mut found) = (self.for_peer(peer), BTreeMap::new());
        for stored in self.load_all(read, names).await? {
            let name = stored.dataset.name.clone();
            let closed = self.closed_name(&stored.dataset);
            if let Some(told) = Box::pin(self.told(&mut of_peer, read, stored)).await? {
                debug_assert!(told.content.len() <= LARGEST);
                found.insert(name, (told, closed));
            }
        }
        Ok(found)
    }

    /// Some records of a peer's feed as they are now, signed; of those that it may not know a tombstone.
    pub async fn feed_records(
        &self,
        peer: &LabName,
        request: &RecordsRequest,
    ) -> Result<Signed, CatalogError> {
        if request.names.len() > MOST_NAMES {
            return Err(CatalogError::Argument(format!(
                "{} records were asked for, and {MOST_NAMES} are the most: ask again for the others",
                request.names.len()
            )));
        }
        let state = Box::pin(self.project(peer)).await?;
        let mut read = self.inner.database.read().await?;
        let mut now = Box::pin(self.told_now(peer, &mut read, &request.names)).await?;
        let (mut events, mut bytes) = (Vec::new(), 0_usize);
        for name in &request.names {
            // The others are asked for again.
            if bytes > BYTES {
                break;
            }
            let told = now.remove(name).map_or_else(Told::nothing, |(told, _)| told);
            bytes = bytes.saturating_add(told.content.len());
            let Told { kind, hash, content } = told;
            events.push(Event { sequence: state.last, kind, name: name.clone(), hash, content });
        }
        self.state(("records", peer, &request.nonce), (state.feed, state.last), events)
    }

    /// Nodes of the tree over what a peer was told, signed with the sequence that they are of.
    pub async fn feed_tree(
        &self,
        peer: &LabName,
        request: &TreeRequest,
    ) -> Result<Signed, CatalogError> {
        let state = Box::pin(self.project(peer)).await?;
        let database = &self.inner.database;
        let key = (peer.clone(), state.feed.clone());
        let kept = {
            let trees = self.inner.trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            trees
                .get(&key)
                .filter(|(last, _)| *last == state.last)
                .map(|(_, tree)| Arc::clone(tree))
        };
        let tree = if let Some(tree) = kept {
            tree
        } else {
            let rows = sqlx::query(
                "SELECT dataset, hash FROM peer_feed WHERE peer = $1 AND kind <> 'tombstone'",
            )
            .bind(peer.as_str())
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
            let mut entries = Vec::with_capacity(rows.len());
            for row in &rows {
                entries.push((database.text(row, "dataset")?, database.text(row, "hash")?));
            }
            let tree = Arc::new(Tree::new(self.lab(), entries));
            let mut trees =
                self.inner.trees.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // One at a time: those of large catalogs take much memory.
            trees.clear();
            trees.insert(key, (state.last, Arc::clone(&tree)));
            tree
        };
        let answer: TreeAnswer = tree.answer(request)?;
        self.state(("tree", peer, &request.nonce), (state.feed, state.last), answer)
    }

    /// A dataset as somebody may see it who asks from another lab, now.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`] for what is not there, or not for them to know.
    pub async fn record_for_peer(
        &self,
        who: &Principal,
        name: &DatasetName,
    ) -> Result<PeerRecord, CatalogError> {
        let started = Instant::now();
        let rights = self.rights(who).await?;
        let mut read = self.inner.database.read().await?;
        let found = match self.load(&mut read, name, None).await? {
            Some(stored) => {
                let dataset = stored.dataset.clone();
                let found = Box::pin(self.record_for(&rights, &mut read, stored)).await?;
                found.map(|record| (record, dataset))
            }
            None => None,
        };
        drop(read);
        match found {
            Some((record, dataset)) => {
                let shown = if record.redacted { dataset.redacted() } else { dataset };
                self.note_shown(who, "peer", &shown, None).await?;
                Ok(record)
            }
            None => {
                self.not_found(started, rights, name.clone()).await;
                Err(no_dataset(name.as_str()))
            }
        }
    }

    /// The last sequence of the feed of a peer, whatever was decided since.
    pub async fn feed_sequence(&self, peer: &LabName) -> Result<u64, CatalogError> {
        self.feed_state(peer).await?.map(|state| state.last).ok_or_else(|| no_peer(peer))
    }
}
