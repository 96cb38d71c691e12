//! One search over this lab and its peers.
//!
//! What peers told of their records is searched here, so that an answer takes as long as ever when one is away. It
//! says how old each lab's part is. Labs that became peers before labs had keys tell nothing by themselves, and are
//! asked while the answer waits.

use super::client::Connection;
use super::error::PeerError;
use super::lab::visitor_name;
use super::serve::no_home;
use super::sites::now;
use super::sync::pull;
use super::wire::SEARCH;
use crate::engine::Engine;
use crate::error::QueryError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tarn_catalog::{Catalog, Cursor, Peer, ReplicaState, SearchAnswer, SearchRequest};
use tarn_schemas::{LabName, Principal, SiteReport, SiteStatus};

/// Hits if the request names no number.
const USUAL_LIMIT: usize = 20;
/// A copy that nobody has asked after for so many seconds is brought up to date before it is searched: no node serves
/// this home, or the peer is new. One that serves asks more often.
const LEFT_ALONE: u64 = 90;
/// Longest wait for that.
const FRESHENING: Duration = Duration::from_secs(3);

/// Searches this lab's catalog and what its peers told of theirs. Hits come best first, counts of facets add up. A
/// visitor from another lab finds this lab's own records alone.
///
/// # Errors
/// If this node has no home, or its own catalog cannot be searched.
pub async fn search(
    engine: &Engine,
    who: &Principal,
    request: &SearchRequest,
) -> Result<(SearchAnswer, Vec<SiteReport>), QueryError> {
    let catalog = engine.catalog().ok_or_else(no_home)?;
    let peers = match who {
        Principal::Visitor { .. } => Vec::new(),
        _ => catalog.peers().await?,
    };
    let (told, asked): (Vec<Peer>, Vec<Peer>) =
        peers.into_iter().partition(|peer| peer.key.is_some());
    freshen(catalog, &told).await?;
    let body = serde_json::to_vec(request)
        .map_err(|error| QueryError::Internal(format!("the search cannot be written: {error}")))?;
    let patience = Duration::from_secs(engine.config().peer_seconds.max(1));
    let asked = asked.iter().map(|peer| ask(peer, who, body.clone(), patience));
    let started = Instant::now();
    let own = async {
        let answer = catalog.search(who, request).await?;
        Ok::<_, QueryError>((report(catalog.lab(), started, &Ok(&answer)), answer))
    };
    let copies = async {
        if told.is_empty() {
            return Ok((Vec::new(), SearchAnswer::default()));
        }
        let answer = catalog.search_replicas(request).await?;
        let mut states = catalog.replica_states().await?;
        let reports = told.iter().filter_map(|peer| states.remove(&peer.lab));
        let reports = reports.map(|state| of_copy(state, started, &answer)).collect();
        Ok::<_, QueryError>((reports, answer))
    };
    let (own, copies, others) =
        futures::future::join3(own, copies, futures::future::join_all(asked)).await;
    let (own_report, own_answer) = own?;
    let (copied, copied_answer) = copies?;
    let mut reports = vec![own_report];
    reports.extend(copied);
    let mut answers = vec![own_answer, copied_answer];
    for (report, answer) in others {
        reports.push(report);
        answers.extend(answer);
    }
    let limit = if request.limit == 0 { USUAL_LIMIT } else { request.limit };
    Ok((merge(answers, limit), reports))
}

/// Brings copies up to date that nobody has asked after for long. What does not come in time comes later.
async fn freshen(catalog: &Catalog, told: &[Peer]) -> Result<(), QueryError> {
    let states = catalog.replica_states().await?;
    let left_alone = told.iter().filter(|peer| {
        let tried = states.get(&peer.lab).and_then(ReplicaState::tried_before);
        tried.is_none_or(|seconds| seconds > LEFT_ALONE)
    });
    let read = left_alone.map(|peer| async move {
        let read = pull(catalog, peer, FRESHENING, |_, _| {});
        match tokio::time::timeout(FRESHENING, read).await {
            // How it ended is kept with the copy.
            Ok(_) => Ok(()),
            Err(_) => {
                let problem = format!("no answer within {} s", FRESHENING.as_secs());
                catalog.note_asked(peer, Some(&problem)).await
            }
        }
    });
    futures::future::try_join_all(read).await?;
    Ok(())
}

/// The part of a lab that was answered from the copy of its records.
fn of_copy(state: ReplicaState, started: Instant, answer: &SearchAnswer) -> SiteReport {
    let rows = answer.hits.iter().filter(|hit| hit.lab == state.lab).count();
    let unknown = state.as_of.is_none();
    let nothing = || "nothing that it tells was read to its end yet".to_owned();
    SiteReport {
        lab: state.lab,
        status: if unknown { SiteStatus::Skipped } else { SiteStatus::Ok },
        rows: u64::try_from(rows).unwrap_or(u64::MAX),
        bytes: 0,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        as_of: state.as_of,
        state: Some(state.state),
        age_seconds: state.age_seconds,
        error: state.problem.or_else(|| unknown.then(nothing)),
    }
}

async fn ask(
    peer: &Peer,
    who: &Principal,
    body: Vec<u8>,
    patience: Duration,
) -> (SiteReport, Option<SearchAnswer>) {
    let started = Instant::now();
    let secret = Some(peer.secret.as_str());
    let answer: Result<SearchAnswer, PeerError> =
        match Connection::new(&peer.lab, &peer.flight, secret, visitor_name(who), patience) {
            Ok(connection) => connection.call(SEARCH, body).await,
            Err(error) => Err(error),
        };
    let report = report(&peer.lab, started, &answer.as_ref());
    let answer = answer.ok().map(|mut answer| {
        // A lab speaks for its own data only.
        answer.hits.retain(|hit| hit.lab == peer.lab);
        answer
    });
    (report, answer)
}

fn report(
    lab: &LabName,
    started: Instant,
    answer: &Result<&SearchAnswer, &PeerError>,
) -> SiteReport {
    SiteReport {
        lab: lab.clone(),
        status: answer.as_ref().map_or_else(|error| error.site_status(), |_| SiteStatus::Ok),
        rows: answer
            .as_ref()
            .map_or(0, |answer| u64::try_from(answer.hits.len()).unwrap_or(u64::MAX)),
        bytes: 0,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        as_of: answer.is_ok().then(now),
        state: None,
        age_seconds: None,
        error: answer.as_ref().err().map(|error| error.problem.clone()),
    }
}

/// One answer of several.
fn merge(answers: Vec<SearchAnswer>, limit: usize) -> SearchAnswer {
    let mut merged = SearchAnswer::default();
    let mut more = false;
    let mut facets: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for answer in answers {
        more |= answer.next.is_some();
        merged.hits.extend(answer.hits);
        merged.total = merged.total.saturating_add(answer.total);
        for (facet, counts) in answer.facets {
            let sums = facets.entry(facet).or_default();
            for (value, count) in counts {
                let sum = sums.entry(value).or_default();
                *sum = sum.saturating_add(count);
            }
        }
    }
    merged.hits.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.lab.cmp(&b.lab)));
    more |= merged.hits.len() > limit;
    merged.hits.truncate(limit);
    merged.next = merged.hits.last().filter(|_| more).map(|hit| Cursor::of(hit).to_string());
    merged.facets = facets
        .into_iter()
        .map(|(facet, counts)| {
            let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
            counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            (facet, counts)
        })
        .collect();
    merged
}
