//! From changes of the catalog to the events of a peer's feed.

use super::content::{PeerRecord, PeerVersion};
use super::statement::{Kind, hash_of_content};
use crate::datasets::{Stored, held_like};
use crate::decision::{Action, Seen};
use crate::model::Dataset;
use crate::policy::{Resource, Rights};
use crate::register::timestamp;
use crate::store::{Rows, Write};
use crate::{Catalog, CatalogError};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Any, Transaction};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tarn_schemas::{DatasetName, LabName, Principal};

/// Datasets that are decided in one transaction: others wait for it.
const PAGE: i64 = 500;
/// How often everything is decided anew where policies speak of the time.
const LOOKING: TimeDelta = TimeDelta::minutes(5);
/// How long a peer that asks waits at most while changes are decided; the rest is for its next question.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most versions that are told of a dataset.
const MOST_VERSIONS: u32 = 50;

/// How far a feed is.
#[derive(Debug, Clone)]
pub(super) struct FeedState {
    /// Which feed this is.
    pub(super) feed: String,
    /// The last change that was decided.
    decided: u64,
    /// The policies by which.
    policies: String,
    /// When everything was looked at last.
    looked_at: String,
    /// Up to which dataset everything was decided anew; none if that is done.
    walked: Option<String>,
    /// Sequence of the last event.
    pub(super) last: u64,
    /// Whether everything that changed was decided.
    pub(super) is_done: bool,
}

/// What a peer is told of a dataset.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) kind: Kind,
    pub(super) hash: String,
    pub(super) content: String,
}

impl Told {
    fn new(kind: Kind, content: String) -> Self {
        Self { kind, hash: hash_of_content(&content), content }
    }

    /// It is to be forgotten.
    pub(super) fn nothing() -> Self {
        Self { kind: Kind::Tombstone, hash: String::new(), content: String::new() }
    }
}

/// Decides for one peer; datasets that are one to the policies are decided once.
pub(super) struct ForPeer {
    rights: Rights,
    decided: BTreeMap<Resource, (Seen, bool)>,
}

impl Catalog {
    /// What is decided for a peer is decided for somebody there who is not signed in.
    pub(super) fn for_peer(&self, peer: &LabName) -> ForPeer {
        let anybody = Principal::Visitor { lab: peer.clone(), name: None };
        let rights = Rights::bare(&anybody, self.lab().as_str());
        ForPeer { rights, decided: BTreeMap::new() }
    }

    /// Brings the feed of a peer up to the last change, or as far as it comes within the time that somebody waits.
    pub(super) async fn project(&self, peer: &LabName) -> Result<FeedState, CatalogError> {
        let (database, started) = (&self.inner.database, Instant::now());
        let mut state = match self.feed_state(peer).await? {
            Some(state) => state,
            None => self.begin_feed(peer).await?,
        };
        let policies = self.inner.policies.fingerprint();
        let (now, looked_at) = (Utc::now(), state.looked_at.parse::<DateTime<Utc>>());
        let long_ago = looked_at.map_or(true, |at| (now - at).abs() > LOOKING);
        if state.policies != policies || (self.policies_heed_time() && long_ago) {
            self.begin_walk(peer).await?;
            state = self.feed_state(peer).await?.ok_or_else(|| no_peer(peer))?;
        }
        loop {
            let walked = state.walked.take();
            state.is_done = walked.is_none() && state.decided >= database.last_change().await?;
            if state.is_done || started.elapsed() > PATIENCE {
                return Ok(state);
            }
            // What new policies close is taken back before anything else is told.
            match walked {
                Some(after) => Box::pin(self.decide_anew(peer, &after)).await?,
                None => Box::pin(self.decide_changed(peer)).await?,
            }
            state = self.feed_state(peer).await?.ok_or_else(|| no_peer(peer))?;
        }
    }

    pub(super) async fn feed_state(
        &self,
        peer: &LabName,
    ) -> Result<Option<FeedState>, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query(
            "SELECT s.feed, s.decided, s.policies, s.looked_at, s.walked, s.last, l.catalog_id
             FROM peer_feed_state s CROSS JOIN lab l WHERE s.peer = $1",
        )
        .bind(peer.as_str())
        .fetch_optional(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let Some(row) = row else { return Ok(None) };
        // A restored catalog has an id of its own: what it tells does not continue what was told before.
        let feed = [database.text(&row, "feed")?, database.text(&row, "catalog_id")?].join(".");
        Ok(Some(FeedState {
            feed: hash_of_content(&feed),
            decided: database.number(&row, "decided")?,
            policies: database.text(&row, "policies")?,
            looked_at: database.text(&row, "looked_at")?,
            walked: database.optional_text(&row, "walked")?,
            last: database.number(&row, "last")?,
            is_done: false,
        }))
    }

    async fn begin_feed(&self, peer: &LabName) -> Result<FeedState, CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query(
            "INSERT INTO peer_feed_state (peer, feed, decided, policies, looked_at, last)
             SELECT lab, $2, 0, $3, $4, 0 FROM peer WHERE lab = $1 ON CONFLICT (peer) DO NOTHING",
        )
        .bind(peer.as_str())
        .bind(uuid::Uuid::new_v4().simple().to_string())
        .bind(self.inner.policies.fingerprint())
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await?;
        self.feed_state(peer).await?.ok_or_else(|| no_peer(peer))
    }

    /// Decides the datasets that changed since it was done last, at most a page of them.
    async fn decide_changed(&self, peer: &LabName) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let state = self.feed_state(peer).await?.ok_or_else(|| no_peer(peer))?;
        let (mut names, to) = database.changed(state.decided, PAGE).await?;
        // What was made of other data is decided by these as well, which may be among what changed.
        for made in self.derived_datasets(&mut write.transaction).await? {
            if !names.contains(&made) {
                names.push(made);
            }
        }
        self.tell(&mut write, (peer, state.last), &names).await?;
        sqlx::query("UPDATE peer_feed_state SET decided = $2 WHERE peer = $1")
            .bind(peer.as_str())
            .bind(i64::try_from(to).unwrap_or(i64::MAX))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// From now on the policies of now decide: everything is looked at again.
    async fn begin_walk(&self, peer: &LabName) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        sqlx::query(
            "UPDATE peer_feed_state SET policies = $2, looked_at = $3, walked = '' WHERE peer = $1",
        )
        .bind(peer.as_str())
        .bind(self.inner.policies.fingerprint())
        .bind(timestamp(Utc::now()))
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Decides a page of all datasets anew.
    async fn decide_anew(&self, peer: &LabName, after: &str) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        let rows = sqlx::query("SELECT name FROM dataset WHERE name > $1 ORDER BY name LIMIT $2")
            .bind(after)
            .bind(PAGE)
            .fetch_all(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        let mut names = Vec::with_capacity(rows.len());
        for row in &rows {
            names.push(database.dataset_name(&database.text(row, "name")?)?);
        }
        let state = self.feed_state(peer).await?.ok_or_else(|| no_peer(peer))?;
        self.tell(&mut write, (peer, state.last), &names).await?;
        sqlx::query("UPDATE peer_feed_state SET walked = $2 WHERE peer = $1")
            .bind(peer.as_str())
            .bind(names.last().map(ToString::to_string))
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Puts what is new to a peer of these datasets at the end of its feed.
    async fn tell(
        &self,
        write: &mut Write<'_>,
        (peer, mut last): (&LabName, u64),
        names: &[DatasetName],
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let before = last;
        let texts: Vec<&str> = names.iter().map(DatasetName::as_str).collect();
        let query = "SELECT peer, dataset, kind, hash FROM peer_feed WHERE dataset IN";
        let mut known = BTreeMap::new();
        for row in database.rows_for(&mut write.transaction, query, &texts).await? {
            if database.text(&row, "peer")? == peer.as_str() {
                let kind = self.kind(&row)?;
                let event = (kind, database.text(&row, "hash")?);
                known.insert(database.text(&row, "dataset")?, event);
            }
        }
        let mut of_peer = self.for_peer(peer);
        let mut rows = Rows::new();
        for stored in self.load_all(&mut write.transaction, names).await? {
            let name = stored.dataset.name.clone();
            let told = Box::pin(self.told(&mut of_peer, &mut write.transaction, stored)).await?;
            let before = known.get(name.as_str());
            let told = match (told, before) {
                // What was withdrawn, or closed, before it was told of is not told of.
                (None | Some(Told { kind: Kind::Retraction, .. }), None) => continue,
                (Some(told), Some((kind, hash))) if told.kind == *kind && told.hash == *hash => {
                    continue;
                }
                (None, Some((Kind::Tombstone, _))) => continue,
                (None, Some(_)) => Told::nothing(),
                (Some(told), _) => told,
            };
            last = last.saturating_add(1);
            rows.push([
                peer.as_str().into(),
                name.as_str().into(),
                i64::try_from(last).unwrap_or(i64::MAX).into(),
                told.kind.as_str().into(),
                told.hash.into(),
            ]);
        }
        if last == before {
            return Ok(());
        }
        rows.insert_or(
            write,
            "INTO peer_feed (peer, dataset, sequence, kind, hash)",
            "ON CONFLICT (peer, dataset) DO UPDATE SET sequence = excluded.sequence,
                 kind = excluded.kind, hash = excluded.hash",
        )
        .await?;
        sqlx::query("UPDATE peer_feed_state SET last = $2 WHERE peer = $1")
            .bind(peer.as_str())
            .bind(i64::try_from(last).unwrap_or(i64::MAX))
            .execute(&mut *write.transaction)
            .await
            .map(drop)
            .map_err(|error| database.error(&error))
    }

    /// A stored kind of event.
    pub(super) fn kind(&self, row: &sqlx::any::AnyRow) -> Result<Kind, CatalogError> {
        let database = &self.inner.database;
        let text = database.text(row, "kind")?;
        Kind::of(&text).ok_or_else(|| database.unreadable("a kind of event", &text))
    }

    /// What a peer may be told of a dataset now; nothing where it may not know of it.
    pub(super) async fn told(
        &self,
        of_peer: &mut ForPeer,
        read: &mut Transaction<'static, Any>,
        stored: Stored,
    ) -> Result<Option<Told>, CatalogError> {
        let database = &self.inner.database;
        let dataset = stored.dataset;
        let rights = &of_peer.rights;
        let decide = || {
            Ok::<_, CatalogError>((self.seen(rights, &dataset)?, self.may_count(rights, &dataset)?))
        };
        // What it was made from makes a dataset one of its kind.
        let (seen, counted) = if dataset.sources.is_empty() {
            let resource = self.inner.policies.resource(&dataset);
            match of_peer.decided.get(&resource) {
                Some(known) => *known,
                None => {
                    let found = decide()?;
                    of_peer.decided.insert(resource, found);
                    found
                }
            }
        } else {
            decide()?
        };
        if seen != Seen::Whole {
            return Ok(None);
        }
        let kind = if dataset.withdrawn.is_some() { Kind::Retraction } else { Kind::Upsert };
        let versions = self.versions_for(&of_peer.rights, read, &dataset, &stored.notes);
        let versions = Box::pin(versions).await?;
        let record = PeerRecord::new(database, dataset.counted(counted), versions)?;
        Ok(Some(Told::new(kind, record.text(database)?)))
    }

    /// What somebody may be told of one dataset, whole or in part.
    pub(super) async fn record_for(
        &self,
        rights: &Rights,
        read: &mut Transaction<'static, Any>,
        stored: Stored,
    ) -> Result<Option<PeerRecord>, CatalogError> {
        let Stored { dataset, notes, .. } = stored;
        let Some(shown) = self.shown(rights, dataset.clone())? else { return Ok(None) };
        let versions = if shown.redacted {
            Vec::new()
        } else {
            Box::pin(self.versions_for(rights, read, &dataset, &notes)).await?
        };
        PeerRecord::new(&self.inner.database, shown, versions).map(Some)
    }

    /// The newest versions that somebody may see whole.
    async fn versions_for(
        &self,
        rights: &Rights,
        read: &mut Transaction<'static, Any>,
        newest: &Dataset,
        notes: &str,
    ) -> Result<Vec<PeerVersion>, CatalogError> {
        let mut versions = Vec::new();
        for version in
            newest.version.saturating_sub(MOST_VERSIONS).saturating_add(1)..newest.version
        {
            let found = self.load(read, &newest.name, Some(version)).await?;
            let Some(Stored { dataset, notes, .. }) = found else { continue };
            let older = held_like(&self.inner.policies, dataset, newest);
            if self.decide_as(rights, Action::Describe, &older)?.allowed {
                versions.push(PeerVersion { version, created_at: older.registered_at, notes });
            }
        }
        let created_at = newest.registered_at.clone();
        versions.push(PeerVersion { version: newest.version, created_at, notes: notes.to_owned() });
        Ok(versions)
    }
}

/// Whoever asks was removed meanwhile.
pub(super) fn no_peer(peer: &LabName) -> CatalogError {
    CatalogError::NotFound {
        kind: "peer",
        name: peer.to_string(),
        hint: "; `tarn peer list` shows who is known".to_owned(),
    }
}
