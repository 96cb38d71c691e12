//! What peers ask of each other travels through the same port: tickets that are JSON objects with
//! the key `tarn.fragment`, and actions whose type starts with `tarn.peer.`.

use super::encode::{self, MessageStream};
use super::status::to_status;
use crate::engine::Engine;
use crate::federation::serve;
use tarn_schemas::Principal;
use tonic::Status;

pub(crate) use crate::federation::wire::is_fragment;

/// How the types of peers' actions begin.
const PEER_ACTIONS: &str = "tarn.peer.";

/// Whether an action is a peer's.
pub(crate) fn is_peer_action(kind: &str) -> bool {
    kind.starts_with(PEER_ACTIONS)
}

/// Runs a fragment for a peer.
pub(crate) async fn do_get(
    engine: &Engine,
    who: &Principal,
    ticket: &[u8],
) -> Result<MessageStream, Status> {
    let rows =
        Box::pin(serve::do_get(engine, who, ticket)).await.map_err(|error| to_status(&error))?;
    encode::batches(rows.schema(), rows, None)
}

/// Answers a peer's action with one JSON text.
pub(crate) async fn do_action(
    engine: &Engine,
    who: &Principal,
    kind: &str,
    body: &[u8],
) -> Result<Vec<u8>, Status> {
    let answer = serve::do_action(engine, who, kind, body).await;
    answer
        .map_err(|error| to_status(&error))?
        .ok_or_else(|| Status::unimplemented(format!("there is no action {kind:?}")))
}
