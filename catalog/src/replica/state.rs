//! How far the copy of each lab's records is, and how old.

use crate::feed::Position;
use crate::model::Peer;
use crate::register::timestamp;
use crate::{Catalog, CatalogError};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use tarn_schemas::shown::harmless;
use tarn_schemas::{Freshness, LabName};

/// Longest text of what went wrong, in characters.
const LONGEST_PROBLEM: usize = 300;

/// How far the copy of a lab's records is, and how old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaState {
    /// The lab.
    pub lab: LabName,
    /// How the copy stands to the lab.
    pub state: Freshness,
    /// When the lab last said that there is no more than what is here, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Seconds since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    /// After how many seconds of silence its records count as stale: the lab's own word.
    pub grace_seconds: u64,
    /// How far its feed was read.
    pub position: Position,
    /// When it was asked last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<String>,
    /// Why it could not be read the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Which feed was read.
    #[serde(skip)]
    pub(crate) feed: String,
}

impl ReplicaState {
    /// A lab of which nothing was read yet.
    pub(crate) fn new(lab: LabName) -> Self {
        Self {
            lab,
            state: Freshness::Stale,
            as_of: None,
            age_seconds: None,
            grace_seconds: 0,
            position: Position::default(),
            tried_at: None,
            problem: None,
            feed: String::new(),
        }
    }

    /// Seconds since the lab was asked last; none if it never was, or a clock went back.
    pub fn tried_before(&self) -> Option<u64> {
        seconds_since(self.tried_at.as_deref()?, Utc::now())
    }
}

fn seconds_since(at: &str, now: DateTime<Utc>) -> Option<u64> {
    let at: DateTime<Utc> = at.parse().ok()?;
    u64::try_from((now - at).num_seconds()).ok()
}

/// How a copy stands to its lab.
fn freshness(age: Option<u64>, grace: u64, failed: bool) -> Freshness {
    match age {
        Some(age) if age > grace => Freshness::Stale,
        None if !failed => Freshness::Stale,
        _ if failed => Freshness::Unreachable,
        _ => Freshness::Current,
    }
}

impl Catalog {
    /// How far the copy of every peer's records is, by lab.
    pub async fn replica_states(&self) -> Result<BTreeMap<LabName, ReplicaState>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query("SELECT * FROM replica_state")
            .fetch_all(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        let states = rows.iter().map(|row| self.replica_state_of(row));
        states.map(|state| state.map(|state| (state.lab.clone(), state))).collect()
    }

    /// How far the copy of one lab's records is.
    pub async fn replica_state(&self, lab: &LabName) -> Result<ReplicaState, CatalogError> {
        let database = &self.inner.database;
        let row = sqlx::query("SELECT * FROM replica_state WHERE lab = $1")
            .bind(lab.as_str())
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?;
        row.map_or_else(|| Ok(ReplicaState::new(lab.clone())), |row| self.replica_state_of(&row))
    }

    pub(super) fn replica_state_of(&self, row: &AnyRow) -> Result<ReplicaState, CatalogError> {
        let database = &self.inner.database;
        let lab = LabName::new(database.text(row, "lab")?)
            .map_err(|error| database.unreadable("the name of a peer", &error))?;
        let as_of = database.optional_text(row, "as_of")?;
        let problem = database.optional_text(row, "problem")?;
        let grace_seconds = database.number(row, "grace_seconds")?;
        let now = Utc::now();
        // A moment that is still to come, by a clock that is a little ahead, is now.
        let age_seconds = as_of.as_deref().map(|at| seconds_since(at, now).unwrap_or(0));
        Ok(ReplicaState {
            lab,
            state: freshness(age_seconds, grace_seconds, problem.is_some()),
            as_of,
            age_seconds,
            grace_seconds,
            position: Position {
                upserts: database.number(row, "upserts")?,
                retractions: database.number(row, "retractions")?,
            },
            tried_at: database.optional_text(row, "tried_at")?,
            problem,
            feed: database.text(row, "feed")?,
        })
    }

    /// Remembers that a lab was asked, and why that failed if it did.
    pub async fn note_asked(&self, peer: &Peer, problem: Option<&str>) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        // The words may be the peer's.
        let cut = |text: &str| harmless(text).chars().take(LONGEST_PROBLEM).collect::<String>();
        let problem = problem.map(cut);
        let mut write = database.write().await?;
        sqlx::query(
            "INSERT INTO replica_state (lab, feed, upserts, retractions, grace_seconds, tried_at, problem)
             SELECT lab, '', 0, 0, 0, $2, $3 FROM peer WHERE lab = $1
             ON CONFLICT (lab) DO UPDATE SET tried_at = excluded.tried_at, problem = excluded.problem",
        )
        .bind(peer.lab.as_str())
        .bind(timestamp(Utc::now()))
        .bind(problem)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Takes back all that is known of a lab that does not take this one for a peer any more: what it closes is not told.
    pub async fn take_back_replicas(&self, lab: &LabName) -> Result<(), CatalogError> {
        let database = &self.inner.database;
        let mut write = database.write().await?;
        self.forget_replicas(&mut write, lab).await?;
        sqlx::query(
            "UPDATE replica_state SET feed = '', upserts = 0, retractions = 0 WHERE lab = $1",
        )
        .bind(lab.as_str())
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// Number of records that search finds of each lab, by lab.
    pub async fn replica_counts(&self) -> Result<BTreeMap<LabName, u64>, CatalogError> {
        let database = &self.inner.database;
        let rows = sqlx::query(
            "SELECT lab, count(*) AS number FROM replica WHERE kind = 'upsert' GROUP BY lab",
        )
        .fetch_all(database.pool())
        .await
        .map_err(|error| database.error(&error))?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            let lab = LabName::new(database.text(row, "lab")?)
                .map_err(|error| database.unreadable("the name of a lab", &error))?;
            counts.insert(lab, database.number(row, "number")?);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_current_unreachable_and_then_stale() {
        assert_eq!(freshness(Some(3), 60, false), Freshness::Current);
        assert_eq!(freshness(Some(3), 60, true), Freshness::Unreachable);
        assert_eq!(freshness(Some(61), 60, true), Freshness::Stale);
        assert_eq!(freshness(Some(61), 60, false), Freshness::Stale);
        assert_eq!(freshness(None, 0, true), Freshness::Unreachable);
        assert_eq!(freshness(None, 0, false), Freshness::Stale);
    }
}
