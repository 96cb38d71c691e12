//! What peers ask of each other travels through the same port: tickets that are JSON objects with
//! the key `tarn.fragment`, and actions whose type starts with `tarn.peer.`.

use super::encode::FlightStream;
use crate::engine::Engine;
use arrow_flight::Action;
use bytes::Bytes;
use tarn_schemas::Principal;
use tonic::Status;

/// How the types of peers' actions begin.
const PEER_ACTIONS: &str = "tarn.peer.";

/// Whether a ticket is a peer's fragment.
pub(crate) fn is_fragment(ticket: &[u8]) -> bool {
    ticket.first() == Some(&b'{')
}

/// Whether an action is a peer's.
pub(crate) fn is_peer_action(kind: &str) -> bool {
    kind.starts_with(PEER_ACTIONS)
}

/// Runs a fragment for a peer.
pub(crate) async fn do_get(
    engine: &Engine,
    who: &Principal,
    ticket: Bytes,
) -> Result<FlightStream, Status> {
    let _ = (engine, who, ticket);
    Err(Status::unimplemented("this node does not run fragments"))
}

/// Answers a peer's action with one JSON text.
pub(crate) async fn do_action(
    engine: &Engine,
    who: &Principal,
    action: Action,
) -> Result<Bytes, Status> {
    let _ = (engine, who, action);
    Err(Status::unimplemented("this node does not answer peers"))
}
