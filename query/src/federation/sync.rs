//! Reading what peers tell of their records, and finding where the copy here differs.

use super::client::Connection;
use super::error::{Failure, PeerError};
use super::wire::{FEED, RECORDS, TREE, signed_from_bytes};
use crate::error::QueryError;
use serde::Serialize;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tarn_catalog::{Applied, Catalog, CatalogError, Drift, Peer, Signed};
use tarn_schemas::{DatasetName, LabName};

/// Most pages of one reading that bring nothing: the lab is still deciding what this one may know.
const MOST_EMPTY: u32 = 1000;
/// How often reading begins again because another process of this node reads too, and comparing because the lab
/// goes on.
const MOST_TRIES: u32 = 5;
/// Records that are asked for by name at once.
const SOME_RECORDS: usize = 500;

/// What was read of a lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// The lab.
    pub lab: LabName,
    /// Events that were taken over.
    pub events: u64,
    /// Milliseconds that it took.
    pub ms: u64,
    /// Why it could not be read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How the copy compares, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

/// How a copy compares with the lab.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Whether both have the same records, by the time this is said.
    pub equal: bool,
    /// Root of the hash tree at the lab.
    pub root: String,
    /// Root of the hash tree here, before anything was repaired.
    pub own_root: String,
    /// Records here.
    pub records: usize,
    /// Questions that the comparison took.
    pub questions: u64,
    /// The records in which the copy differed.
    pub drift: Drift,
    /// Whether these were taken over anew.
    pub repaired: bool,
}

/// What went wrong with a peer, in words for its state.
fn problem_of(error: &QueryError) -> String {
    match error {
        QueryError::SiteUnavailable { problem, .. } => problem.clone(),
        other => other.to_string(),
    }
}

fn connection(peer: &Peer, patience: Duration) -> Result<Connection, PeerError> {
    Connection::new(&peer.lab, &peer.flight, Some(&peer.secret), None, patience)
}

async fn ask(
    connection: &Connection,
    peer: &Peer,
    kind: &str,
    request: &impl Serialize,
) -> Result<Signed, QueryError> {
    let body = serde_json::to_vec(request)
        .map_err(|error| QueryError::Internal(format!("a question to a peer: {error}")))?;
    let answer = connection.action(kind, body).await?;
    signed_from_bytes(&answer).ok_or_else(|| {
        let problem = format!("its answer to {kind} is none; does it run a much newer Tarn?");
        PeerError::new(&peer.lab, Failure::Failed, problem).into()
    })
}

/// Reads what is new of a peer's records; `progress` hears of every page. How it ended is kept with the copy.
///
/// # Errors
/// If the peer does not answer, or says what cannot be believed: nothing of that is taken over.
pub async fn pull(
    catalog: &Catalog,
    peer: &Peer,
    patience: Duration,
    progress: impl Fn(u64, u64),
) -> Result<Pulled, QueryError> {
    let started = Instant::now();
    let read = read_all(catalog, peer, patience, &progress).await;
    let (events, anew) = match read {
        Ok(read) => read,
        Err(error) => {
            if matches!(error, QueryError::Denied(_)) {
                catalog.take_back_replicas(&peer.lab).await?;
            }
            catalog.note_asked(peer, Some(&problem_of(&error))).await?;
            return Err(error);
        }
    };
    // What is not in a feed that began anew is found by comparing.
    let verified = if anew { Some(verify(catalog, peer, patience, true).await?) } else { None };
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Pulled { lab: peer.lab.clone(), events, ms, error: None, verified })
}

async fn read_all(
    catalog: &Catalog,
    peer: &Peer,
    patience: Duration,
    progress: &impl Fn(u64, u64),
) -> Result<(u64, bool), QueryError> {
    let connection = connection(peer, patience)?;
    let (mut events, mut anew, mut empty, mut tries) = (0_u64, false, 0_u32, 0_u32);
    loop {
        let request = catalog.next_page_request(&peer.lab).await?;
        let signed = ask(&connection, peer, FEED, &request).await?;
        let applied: Applied = match catalog.apply_page(peer, &request, &signed).await {
            Err(CatalogError::Conflict(_)) if tries < MOST_TRIES => {
                tries = tries.saturating_add(1);
                continue;
            }
            // It is read by somebody else, who goes on with it.
            Err(CatalogError::Conflict(_)) => return Ok((events, anew)),
            applied => applied?,
        };
        events = events.saturating_add(applied.events);
        progress(events, applied.last);
        anew |= applied.began_anew;
        if applied.complete {
            return Ok((events, anew));
        }
        empty = if applied.events == 0 { empty.saturating_add(1) } else { 0 };
        if empty > MOST_EMPTY {
            let problem = "it says again and again that there is more, and sends nothing";
            return Err(PeerError::new(&peer.lab, Failure::Failed, problem).into());
        }
    }
}

/// Compares the copy of a peer's records with the peer, by hash trees; `repair` takes over what differs.
///
/// # Errors
/// As [`pull`]; and if the peer changes faster than it can be read.
pub async fn verify(
    catalog: &Catalog,
    peer: &Peer,
    patience: Duration,
    repair: bool,
) -> Result<Verified, QueryError> {
    let mut tries = 0_u32;
    loop {
        let compared = async {
            read_all(catalog, peer, patience, &|_, _| {}).await?;
            compare(catalog, peer, patience, repair).await
        };
        match compared.await {
            Err(QueryError::Catalog(CatalogError::Conflict(_))) if tries < MOST_TRIES => {
                tries = tries.saturating_add(1);
            }
            Err(error) => {
                catalog.note_asked(peer, Some(&problem_of(&error))).await?;
                return Err(error);
            }
            Ok(verified) => return Ok(verified),
        }
    }
}

async fn compare(
    catalog: &Catalog,
    peer: &Peer,
    patience: Duration,
    repair: bool,
) -> Result<Verified, QueryError> {
    let connection = connection(peer, patience)?;
    let mut walk = catalog.begin_walk_of(&peer.lab).await?;
    while let Some(request) = walk.next_request() {
        let signed = ask(&connection, peer, TREE, &request).await?;
        walk.absorb(catalog, peer, (&request, &signed))?;
    }
    let root = walk.root().unwrap_or_default().to_owned();
    let mut verified = Verified {
        equal: root == walk.own_root(),
        root,
        own_root: walk.own_root(),
        records: walk.records(),
        questions: walk.questions(),
        drift: walk.drift().clone(),
        repaired: false,
    };
    let names = verified.drift.names();
    if !repair || names.is_empty() {
        return Ok(verified);
    }
    take_over(catalog, peer, &connection, names).await?;
    // Only a comparison says that they are equal now.
    let after = Box::pin(compare(catalog, peer, patience, false)).await?;
    verified.equal = after.equal;
    verified.repaired = true;
    Ok(verified)
}

async fn take_over(
    catalog: &Catalog,
    peer: &Peer,
    connection: &Connection,
    mut names: BTreeSet<DatasetName>,
) -> Result<(), QueryError> {
    while !names.is_empty() {
        let request = Catalog::records_request(names.iter().take(SOME_RECORDS).cloned().collect());
        let signed = ask(connection, peer, RECORDS, &request).await?;
        let answered = catalog.apply_records(peer, &request, &signed).await?;
        if answered.is_empty() {
            let problem = "it does not send the records that it was asked for";
            return Err(PeerError::new(&peer.lab, Failure::Failed, problem).into());
        }
        names.retain(|name| !answered.contains(name));
    }
    Ok(())
}
