//! Reading all peers' records again and again, while a node serves.

use super::sync::{pull, verify};
use crate::engine::Engine;
use rand::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tarn_catalog::{Catalog, Peer};
use tarn_schemas::LabName;
use tokio::task::JoinSet;

/// How often a peer is asked that answers.
const PAUSE: Duration = Duration::from_secs(3);
/// How often one is asked that has not answered for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(45);
/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(500);
/// How often the copy is compared with its lab.
const COMPARING: Duration = Duration::from_mins(30);
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// When it is a peer's turn.
#[derive(Debug, Clone, Copy)]
struct Turn {
    due: Instant,
    compare: Instant,
    failures: u32,
    is_asked: bool,
}

/// Follows the feeds of all peers until it is dropped. Each is asked by itself, so that one that hangs holds up no
/// other; one that fails is asked less and less often.
pub async fn follow(engine: Engine) {
    let Some(catalog) = engine.catalog().cloned() else { return };
    let patience = PATIENCE.min(Duration::from_secs(engine.config().peer_seconds.max(1)));
    let mut turns: BTreeMap<LabName, Turn> = BTreeMap::new();
    let mut asked: JoinSet<(LabName, bool, bool)> = JoinSet::new();
    loop {
        let peers = catalog.peers().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whose records are to be read is not known");
            Vec::new()
        });
        turns.retain(|lab, turn| turn.is_asked || peers.iter().any(|peer| peer.lab == *lab));
        for peer in peers.into_iter().filter(|peer| peer.key.is_some()) {
            let now = Instant::now();
            let turn = turns.entry(peer.lab.clone()).or_insert(Turn {
                due: now,
                compare: now + COMPARING,
                failures: 0,
                is_asked: false,
            });
            if !turn.is_asked && turn.due <= now {
                turn.is_asked = true;
                let compares = turn.compare <= now;
                asked.spawn(read(catalog.clone(), peer, patience, compares));
            }
        }
        tokio::time::sleep(TICK).await;
        while let Some(Ok((lab, compared, succeeded))) = asked.try_join_next() {
            let Some(turn) = turns.get_mut(&lab) else { continue };
            turn.is_asked = false;
            turn.failures = if succeeded { 0 } else { turn.failures.saturating_add(1) };
            if compared && succeeded {
                turn.compare = Instant::now() + COMPARING;
            }
            turn.due = Instant::now() + pause(turn.failures);
        }
    }
}

async fn read(
    catalog: Catalog,
    peer: Peer,
    patience: Duration,
    compares: bool,
) -> (LabName, bool, bool) {
    let read = async {
        if compares {
            let verified = verify(&catalog, &peer, patience, true).await?;
            if verified.repaired {
                let records = verified.drift.names().len();
                tracing::warn!(lab = %peer.lab, records, "the copy of a peer's records differed, and was repaired");
            }
            return Ok(());
        }
        pull(&catalog, &peer, patience, |_, _| {}).await.map(drop)
    };
    match read.await {
        Ok(()) => (peer.lab, compares, true),
        Err(error) => {
            tracing::debug!(lab = %peer.lab, %error, "the records of a peer are not read");
            (peer.lab, compares, false)
        }
    }
}

/// Until a peer is asked again: longer and longer while it fails, and never for all at one moment.
fn pause(failures: u32) -> Duration {
    let longer = PAUSE.saturating_mul(2_u32.saturating_pow(failures.min(8)));
    longer.min(LONGEST_PAUSE).mul_f64(rand::rng().random_range(0.8..1.2))
}
