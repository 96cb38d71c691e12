//! Taking over what a lab says of its records: all of an answer that can be believed, or nothing.

use super::{FeedRefusal, ReplicaState};
use crate::feed::{Event, Kind, LARGEST, Page, PageRequest, PeerRecord, Position, RecordsRequest};
use crate::feed::{Signed, hash_of_content, read};
use crate::model::Peer;
use crate::register::timestamp;
use crate::store::{Rows, Write};
use crate::{Catalog, CatalogError};
use chrono::Utc;
use std::collections::BTreeSet;
use tarn_schemas::shown::is_obeyed;
use tarn_schemas::{DatasetName, LabName};

/// Most events of an answer.
const MOST_EVENTS: usize = 4000;

/// What came of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Events that were taken over.
    pub events: u64,
    /// How many the lab has in all.
    pub last: u64,
    /// Whether there is nothing behind them.
    pub complete: bool,
    /// Whether the lab's feed is another than before, as after a restored backup: it is read from its beginning,
    /// and what is not in it has to be found by the hash tree.
    pub began_anew: bool,
}

/// A number for one question.
fn nonce() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Catalog {
    /// The question for what comes behind what is known of a lab.
    pub async fn next_page_request(&self, lab: &LabName) -> Result<PageRequest, CatalogError> {
        let state = self.replica_state(lab).await?;
        Ok(PageRequest { nonce: nonce(), after: state.position })
    }

    /// The question for some records of a lab.
    pub fn records_request(names: Vec<DatasetName>) -> RecordsRequest {
        RecordsRequest { nonce: nonce(), names }
    }

    /// Takes over a page of a peer's feed.
    ///
    /// # Errors
    /// [`CatalogError::Feed`] for what cannot be believed; nothing is changed then.
    /// [`CatalogError::Conflict`] if somebody else has read on meanwhile.
    pub async fn apply_page(
        &self,
        peer: &Peer,
        request: &PageRequest,
        signed: &Signed,
    ) -> Result<Applied, CatalogError> {
        let question = ("page", self.lab(), request.nonce.as_str());
        let statement = read::<Page>(signed, peer, question, Utc::now())?;
        let page = statement.body;
        let mut write = self.inner.database.write().await?;
        let state = self.state_to_change(&mut write, peer).await?;
        if state.position != request.after {
            return Err(read_meanwhile(&peer.lab));
        }
        if state.feed != statement.feed && !state.feed.is_empty() {
            // What is not in the new feed is nobody's to tell: none of it stays until it is told again.
            self.forget_replicas(&mut write, &peer.lab).await?;
            let begin = ReplicaState { position: Position::default(), as_of: None, ..state };
            self.put_state(&mut write, &begin, &statement.feed).await?;
            write.commit().await?;
            let last = statement.last;
            return Ok(Applied { events: 0, last, complete: false, began_anew: true });
        }
        check_order(&page, request.after)?;
        let events = u64::try_from(page.events.len()).unwrap_or(u64::MAX);
        let records = check(peer, page.events)?;
        self.put_replicas(&mut write, &peer.lab, records).await?;
        let complete = page.complete;
        let state = ReplicaState {
            position: page.through,
            as_of: if complete { Some(statement.at) } else { state.as_of },
            grace_seconds: page.grace_seconds,
            problem: None,
            ..state
        };
        self.put_state(&mut write, &state, &statement.feed).await?;
        write.commit().await?;
        Ok(Applied { events, last: statement.last, complete, began_anew: false })
    }

    /// Takes over records of a peer that were asked for by name. Returns those that were answered.
    ///
    /// # Errors
    /// As [`Catalog::apply_page`].
    pub async fn apply_records(
        &self,
        peer: &Peer,
        request: &RecordsRequest,
        signed: &Signed,
    ) -> Result<BTreeSet<DatasetName>, CatalogError> {
        let question = ("records", self.lab(), request.nonce.as_str());
        let statement = read::<Vec<Event>>(signed, peer, question, Utc::now())?;
        let asked: BTreeSet<&DatasetName> = request.names.iter().collect();
        if let Some(event) = statement.body.iter().find(|event| !asked.contains(&event.name)) {
            let problem = "nobody asked for it";
            return Err(FeedRefusal::Order { sequence: event.sequence, problem }.into());
        }
        let names = statement.body.iter().map(|event| event.name.clone()).collect();
        let records = check(peer, statement.body)?;
        let mut write = self.inner.database.write().await?;
        self.state_to_change(&mut write, peer).await?;
        self.put_replicas(&mut write, &peer.lab, records).await?;
        write.commit().await?;
        Ok(names)
    }

    /// The state of a peer's copy, under the lock of writers: the peer may have been removed, or become another.
    async fn state_to_change(
        &self,
        write: &mut Write<'_>,
        peer: &Peer,
    ) -> Result<ReplicaState, CatalogError> {
        let database = &self.inner.database;
        let known = sqlx::query("SELECT 1 FROM peer WHERE lab = $1 AND secret = $2")
            .bind(peer.lab.as_str())
            .bind(&peer.secret)
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if known.is_none() {
            return Err(CatalogError::Conflict(format!("lab {} is no peer any more", peer.lab)));
        }
        let row = sqlx::query("SELECT * FROM replica_state WHERE lab = $1")
            .bind(peer.lab.as_str())
            .fetch_optional(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        row.map_or_else(
            || Ok(ReplicaState::new(peer.lab.clone())),
            |row| self.replica_state_of(&row),
        )
    }

    async fn put_state(
        &self,
        write: &mut Write<'_>,
        state: &ReplicaState,
        feed: &str,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        sqlx::query(
            "INSERT INTO replica_state (lab, feed, upserts, retractions, as_of, grace_seconds, tried_at, problem)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (lab) DO UPDATE SET feed = excluded.feed, upserts = excluded.upserts,
                 retractions = excluded.retractions, as_of = excluded.as_of,
                 grace_seconds = excluded.grace_seconds, tried_at = excluded.tried_at,
                 problem = excluded.problem",
        )
        .bind(state.lab.as_str())
        .bind(feed)
        .bind(number(state.position.upserts))
        .bind(number(state.position.retractions))
        .bind(&state.as_of)
        .bind(number(state.grace_seconds))
        .bind(timestamp(Utc::now()))
        .bind(&state.problem)
        .execute(&mut *write.transaction)
        .await
        .map(drop)
        .map_err(|error| database.error(&error))
    }

    async fn put_replicas(
        &self,
        write: &mut Write<'_>,
        lab: &LabName,
        events: Vec<Event>,
    ) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
        let query = "SELECT lab, dataset FROM replica WHERE dataset IN";
        let mut known = BTreeSet::new();
        for row in database.rows_for(&mut write.transaction, query, &names).await? {
            if database.text(&row, "lab")? == lab.as_str() {
                known.insert(database.text(&row, "dataset")?);
            }
        }
        let (mut rows, mut last) = (Rows::new(), self.last_replica(write).await?);
        // One event a dataset: a statement may not change a row twice.
        let mut done = BTreeSet::new();
        for event in events.into_iter().rev() {
            if !done.insert(event.name.clone()) {
                continue;
            }
            // What was never told of needs not be forgotten.
            if event.kind == Kind::Tombstone && !known.contains(event.name.as_str()) {
                continue;
            }
            last = last.saturating_add(1);
            rows.push([
                lab.as_str().into(),
                event.name.as_str().into(),
                event.kind.as_str().into(),
                event.hash.into(),
                event.content.into(),
                last.into(),
            ]);
        }
        rows.insert_or(
            write,
            "INTO replica (lab, dataset, kind, hash, content, changed)",
            "ON CONFLICT (lab, dataset) DO UPDATE SET kind = excluded.kind, hash = excluded.hash,
                 content = excluded.content, changed = excluded.changed",
        )
        .await
    }
}

fn read_meanwhile(lab: &LabName) -> CatalogError {
    CatalogError::Conflict(format!(
        "another process of this node is reading the feed of {lab} too; it goes on with that"
    ))
}

/// Whether a page begins where this lab stands, and its events are in their order.
fn check_order(page: &Page, after: Position) -> Result<(), FeedRefusal> {
    for (expected, found) in
        [(after.retractions, page.after.retractions), (after.upserts, page.after.upserts)]
    {
        if expected != found {
            return Err(FeedRefusal::Gap { expected, found });
        }
    }
    for (before, behind) in
        [(after.retractions, page.through.retractions), (after.upserts, page.through.upserts)]
    {
        if behind < before {
            return Err(FeedRefusal::Gap { expected: before, found: behind });
        }
    }
    if page.events.len() > MOST_EVENTS {
        return Err(FeedRefusal::Oversized {
            what: "number of events".to_owned(),
            bytes: page.events.len(),
            most: MOST_EVENTS,
        });
    }
    let (mut at, mut told) = (after, false);
    for event in &page.events {
        let wrong = |problem| FeedRefusal::Order { sequence: event.sequence, problem };
        let (last, end) = if event.kind == Kind::Upsert {
            told = true;
            (&mut at.upserts, page.through.upserts)
        } else if told {
            return Err(wrong("what is taken back comes before what is told"));
        } else {
            (&mut at.retractions, page.through.retractions)
        };
        if i64::try_from(event.sequence).is_err() {
            return Err(wrong("its place is no number that a catalog keeps"));
        }
        if event.sequence <= *last {
            return Err(wrong("it does not come behind the one before"));
        }
        if event.sequence > end {
            return Err(wrong("it comes behind the end of its page"));
        }
        *last = event.sequence;
    }
    Ok(())
}

/// Events whose content is what they say.
fn check(peer: &Peer, events: Vec<Event>) -> Result<Vec<Event>, FeedRefusal> {
    for event in &events {
        let wrong = |problem: String| FeedRefusal::Content { sequence: event.sequence, problem };
        if event.kind == Kind::Tombstone {
            if !event.content.is_empty() || !event.hash.is_empty() {
                return Err(wrong("what may not be known any more has no content".to_owned()));
            }
            continue;
        }
        if event.content.len() > LARGEST {
            return Err(FeedRefusal::Oversized {
                what: format!("record of {}", event.name),
                bytes: event.content.len(),
                most: LARGEST,
            });
        }
        if hash_of_content(&event.content) != event.hash {
            return Err(wrong("its content does not have its hash".to_owned()));
        }
        let record: PeerRecord = serde_json::from_str(&event.content)
            .map_err(|error| wrong(format!("its record cannot be read ({error})")))?;
        if record.lab != peer.lab || record.name != event.name {
            return Err(wrong(format!(
                "it is of {}.{}, and lab {} speaks for {}.{} here",
                record.lab, record.name, peer.lab, peer.lab, event.name
            )));
        }
        // Pages make a link of it.
        if !record.ark.starts_with("ark:")
            || record.ark.chars().any(|c| c.is_whitespace() || is_obeyed(c))
        {
            return Err(wrong(format!("{:?} is no ARK", record.ark)));
        }
        if record.withdrawn.is_some() != (event.kind == Kind::Retraction) {
            return Err(wrong("a withdrawn record is a retraction, and no other is".to_owned()));
        }
    }
    Ok(events)
}
