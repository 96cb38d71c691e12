//! One search over this lab and its peers.

use super::client::Connection;
use super::error::PeerError;
use super::lab::visitor_name;
use super::serve::no_home;
use super::sites::now;
use super::wire::SEARCH;
use crate::engine::Engine;
use crate::error::QueryError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tarn_catalog::{Cursor, Peer, SearchAnswer, SearchRequest};
use tarn_schemas::{LabName, Principal, SiteReport, SiteStatus};

/// Hits if the request names no number.
const USUAL_LIMIT: usize = 20;

/// Searches this lab's catalog and those of all peers, all at once. Hits come best first, counts of
/// facets add up. A peer that does not answer is left out and reported: search goes on without it.
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
    let body = serde_json::to_vec(request)
        .map_err(|error| QueryError::Internal(format!("the search cannot be written: {error}")))?;
    let patience = Duration::from_secs(engine.config().peer_seconds.max(1));
    let asked = peers.iter().map(|peer| ask(peer, who, body.clone(), patience));
    let started = Instant::now();
    let own = async {
        let answer = catalog.search(who, request).await?;
        Ok::<_, QueryError>((report(catalog.lab(), started, &Ok(&answer)), answer))
    };
    let (own, others) = futures::future::join(own, futures::future::join_all(asked)).await;
    let (own_report, own_answer) = own?;
    let mut reports = vec![own_report];
    let mut answers = vec![own_answer];
    for (report, answer) in others {
        reports.push(report);
        answers.extend(answer);
    }
    let limit = if request.limit == 0 { USUAL_LIMIT } else { request.limit };
    Ok((merge(answers, limit), reports))
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
