//! Becoming peers: one lab invites, the other accepts.
//!
//! The invitation holds the inviting lab's addresses and a random secret. Accepting it calls the
//! inviting lab, which redeems the secret once and stores the peer; then the accepting lab stores it
//! too. From then on both labs present that secret to each other.

use super::client::Connection;
use super::error::{Failure, PeerError};
use super::lab::ask;
use super::sites::now;
use super::sync::{Verified, verify};
use super::wire::{ACCEPT, AcceptAnswer, AcceptRequest, INVITATION_PREFIX, Invitation};
use crate::error::QueryError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore;
use serde::Serialize;
use std::time::{Duration, Instant};
use tarn_catalog::{Catalog, Peer, ReplicaState};
use tarn_schemas::LabName;

/// Longest wait for an answer while becoming peers and asking for their state.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// The lab.
    pub lab: LabName,
    /// Whether it answers and accepts this lab.
    pub reachable: bool,
    /// Milliseconds until it answered, or until the attempt was given up.
    pub ms: u64,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Number of tables that the owner of this home may query there.
    pub tables: usize,
    /// When that was told, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The copy of its records here.
    pub replica: ReplicaState,
    /// Records of the lab that a search here finds.
    pub records: u64,
    /// How the copy compares with the lab, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
}

/// Makes an invitation for one lab, valid once and for a day. The text holds the secret that both
/// labs will share: hand it over as carefully as a password.
///
/// # Errors
/// If the catalog cannot be written, or no random numbers can be had.
pub async fn invite(
    catalog: &Catalog,
    own_flight_url: &str,
    own_http_url: &str,
) -> Result<String, QueryError> {
    let mut random = [0_u8; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| QueryError::Internal(format!("no random numbers: {error}")))?;
    let secret = format!("tarn_p_{}", URL_SAFE_NO_PAD.encode(random));
    let invitation = Invitation {
        lab: catalog.lab().clone(),
        flight: address(own_flight_url, "Flight")?,
        http: address(own_http_url, "HTTP")?,
        secret,
        key: Some(catalog.public_key()?),
    };
    catalog.put_invitation(&invitation.secret).await?;
    invitation
        .to_text()
        .map_err(|error| QueryError::Internal(format!("the invitation cannot be written: {error}")))
}

/// Accepts an invitation: calls the inviting lab, and on success remembers it as a peer.
///
/// # Errors
/// [`QueryError::Invalid`] for a text that is no invitation or comes from this very lab;
/// [`QueryError::SiteUnavailable`] if the inviting lab does not answer. Nothing is stored then.
pub async fn accept(
    catalog: &Catalog,
    invitation: &str,
    own_flight_url: &str,
    own_http_url: &str,
) -> Result<Peer, QueryError> {
    let invitation = Invitation::from_text(invitation).ok_or_else(|| {
        let problem = if invitation.trim().starts_with(INVITATION_PREFIX) {
            "the invitation is damaged; copy it again, whole and in one line, or ask for a new one"
        } else {
            "this is no invitation; it starts with `tarn-invite:` and comes from `tarn peer invite` \
             at the other lab"
        };
        QueryError::Invalid(problem.to_owned())
    })?;
    if &invitation.lab == catalog.lab() {
        return Err(QueryError::Invalid(format!(
            "this invitation comes from a lab called {} and so is this one; a lab cannot be its own peer",
            invitation.lab
        )));
    }
    if catalog.peers().await?.iter().any(|peer| peer.lab == invitation.lab) {
        return Err(QueryError::Invalid(format!(
            "lab {0} is a peer already; run `tarn peer remove {0}` first",
            invitation.lab
        )));
    }
    let request = AcceptRequest {
        lab: catalog.lab().clone(),
        flight: address(own_flight_url, "Flight")?,
        http: address(own_http_url, "HTTP")?,
        secret: invitation.secret.clone(),
        key: Some(catalog.public_key()?),
    };
    let body = serde_json::to_vec(&request)
        .map_err(|error| QueryError::Internal(format!("the request cannot be written: {error}")))?;
    let flight = address(&invitation.flight, "Flight")?;
    let connection = Connection::new(&invitation.lab, &flight, None, None, PATIENCE)?;
    let answer: AcceptAnswer =
        connection.call(ACCEPT, body).await.map_err(|error| of_acceptance(error, &flight))?;
    if answer.lab != invitation.lab {
        return Err(QueryError::Invalid(format!(
            "at {flight} answers lab {}, but the invitation comes from {}",
            answer.lab, invitation.lab
        )));
    }
    let peer = Peer {
        lab: invitation.lab,
        flight,
        http: invitation.http,
        secret: invitation.secret,
        since: now(),
        key: invitation.key,
    };
    catalog.put_peer(peer.clone()).await?;
    Ok(peer)
}

/// While accepting, a refusal is about the invitation and not about a shared secret.
fn of_acceptance(error: PeerError, flight: &str) -> QueryError {
    match error.failure {
        Failure::Refused => QueryError::Denied(format!(
            "lab {} refuses the invitation: it has expired, was used already or is not genuine; ask for a new one",
            error.lab
        )),
        Failure::Unreachable | Failure::TimedOut => QueryError::Unreachable(format!(
            "lab {} does not answer at {flight} ({}); it must run while the invitation is accepted: \
             start `tarn serve` there, then accept again",
            error.lab, error.problem
        )),
        _ => error.into(),
    }
}

/// Asks every peer, all at once, whether it answers and what it shows to the owner of this home; `compares` also
/// compares the copies of their records here, and changes nothing.
///
/// # Errors
/// If the catalog cannot be read. A peer that does not answer is a status, not an error.
pub async fn status(catalog: &Catalog, compares: bool) -> Result<Vec<PeerStatus>, QueryError> {
    let counts = catalog.replica_counts().await?;
    let counts = &counts;
    let asked = catalog.peers().await?.into_iter().map(|peer| async move {
        let started = Instant::now();
        let listing = match Connection::new(
            &peer.lab,
            &peer.flight,
            Some(&peer.secret),
            Some("owner"),
            PATIENCE,
        ) {
            Ok(connection) => ask(&connection, &peer.lab).await,
            Err(error) => Err(error),
        };
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (mut error, tables, as_of) = match listing {
            Ok(listing) => (None, listing.tables(), Some(listing.as_of().to_owned())),
            Err(error) => (Some(error.problem), 0, None),
        };
        let reachable = error.is_none();
        let verified = if compares && reachable && peer.key.is_some() {
            match verify(catalog, &peer, PATIENCE, false).await {
                Ok(verified) => Some(verified),
                Err(problem) => {
                    error = Some(problem.to_string());
                    None
                }
            }
        } else {
            None
        };
        let replica = catalog.replica_state(&peer.lab).await?;
        let records = counts.get(&peer.lab).copied().unwrap_or_default();
        let lab = peer.lab;
        Ok(PeerStatus { lab, reachable, ms, error, tables, as_of, replica, records, verified })
    });
    futures::future::join_all(asked).await.into_iter().collect()
}

/// An address that a peer can call.
pub(super) fn address(text: &str, kind: &str) -> Result<String, QueryError> {
    let wrong = |problem: &str| {
        QueryError::Invalid(format!(
            "the {kind} address {text:?} {problem}; write http://host:port or https://host:port"
        ))
    };
    let url = url::Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("cannot be called"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("holds a password"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}
