//! One dataset of another lab: its owner says what whoever asks may see, and while it does not answer, what it told
//! everyone here before.

use super::client::Connection;
use super::error::{Failure, PeerError};
use super::lab::visitor_name;
use super::wire::{RECORD, RecordRequest};
use crate::error::QueryError;
use serde::Serialize;
use std::time::Duration;
use tarn_catalog::{Catalog, PeerRecord};
use tarn_schemas::{DatasetName, Freshness, LabName, Principal};

/// Longest wait for the owner, who is asked by somebody who waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// A dataset of another lab.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// What is told of it.
    #[serde(flatten)]
    pub record: PeerRecord,
    /// How what is told stands to the lab: `current` is its own word of now.
    pub state: Freshness,
    /// When it was told, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Why the lab does not say so itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What somebody may see of a dataset of a peer. The peer decides; only if it does not answer, what it told before
/// is shown, which is for everyone here.
///
/// # Errors
/// [`QueryError::NotFound`] for what the lab does not have, or not for them, and for a lab that is no peer;
/// [`QueryError::SiteUnavailable`] if it does not answer, and nothing is known of the dataset here.
pub async fn show(
    catalog: &Catalog,
    who: &Principal,
    (lab, name): (&LabName, &DatasetName),
) -> Result<Shown, QueryError> {
    let peer =
        catalog.peers().await?.into_iter().find(|peer| peer.lab == *lab).ok_or_else(|| {
            QueryError::NotFound(format!("no peer {:?}; see `tarn peer list`", lab.as_str()))
        })?;
    let body = serde_json::to_vec(&RecordRequest { name: name.clone() })
        .map_err(|error| QueryError::Internal(format!("a question to a peer: {error}")))?;
    let secret = Some(peer.secret.as_str());
    let connection = Connection::new(lab, &peer.flight, secret, visitor_name(who), PATIENCE)?;
    let error: PeerError = match connection.call::<PeerRecord>(RECORD, body).await {
        Ok(record) if record.lab == *lab && record.name == *name => {
            let as_of = Some(super::sites::now());
            return Ok(Shown { record, state: Freshness::Current, as_of, error: None });
        }
        Ok(_) => PeerError::new(lab, Failure::Mismatch, "it answers with another dataset"),
        Err(error) => error,
    };
    if error.failure == Failure::NotFound {
        return Err(QueryError::NotFound(format!("lab {lab} has no dataset {:?}", name.as_str())));
    }
    // A lab that answers and refuses has decided.
    if !matches!(error.failure, Failure::Unreachable | Failure::TimedOut) {
        return Err(error.into());
    }
    let Some(replica) = catalog.replica(lab, name).await? else { return Err(error.into()) };
    let state = catalog.replica_state(lab).await?;
    // Whatever the last question said, this one was not answered.
    let stale = state.state == Freshness::Stale;
    Ok(Shown {
        record: replica.record,
        state: if stale { Freshness::Stale } else { Freshness::Unreachable },
        as_of: state.as_of,
        error: Some(error.problem),
    })
}
