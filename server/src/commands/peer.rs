//! `tarn peer`

use super::{Context, Outcome};
use crate::cli::Peer;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use std::cell::Cell;
use std::time::{Duration, Instant};
use tarn_query::federation::peers::{self, PeerStatus};
use tarn_query::federation::sync::{self, Pulled, Verified};
use tarn_schemas::{ErrorCode, LabName};

/// Longest wait for one answer while the records of a new peer are read.
const FIRST: Duration = Duration::from_secs(10);
/// How often it is said how far reading is.
const PROGRESS: Duration = Duration::from_secs(1);

/// Connects labs.
pub(crate) async fn run(context: &Context, args: Peer) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (flight, http) = (home.config.public_flight(), home.config.public_http());
    match args {
        Peer::Invite => {
            let invitation = peers::invite(&home.catalog, &flight, &http).await?;
            if context.json {
                say!("{}", serde_json::json!({"invitation": invitation}));
            } else {
                say!("{invitation}");
            }
            context.note(
                "Give this to the other lab by a safe way; it works once and for a day.\n\
                 They run: tarn peer accept INVITATION (while `tarn serve` runs here)",
            );
        }
        Peer::Accept { invitation } => {
            let peer = peers::accept(&home.catalog, &invitation, &flight, &http).await?;
            if context.json {
                say!(
                    "{}",
                    serde_json::json!({"lab": peer.lab, "flight": peer.flight, "http": peer.http})
                );
            }
            context.note(format_args!("{} and {} are peers now.", home.catalog.lab(), peer.lab));
            // The records are there at once, if they can be: the server reads them too.
            if peer.key.is_some()
                && let Err(error) = sync::pull(&home.catalog, &peer, FIRST, |_, _| {}).await
            {
                context.note(format_args!("Its records are not read yet: {error}"));
            }
        }
        Peer::List => {
            let peers = home.catalog.peers().await?;
            if peers.is_empty() {
                context.note(
                    "No peers yet. `tarn peer invite` makes an invitation for another lab; \
                     `tarn peer accept` takes one.",
                );
            }
            if context.json {
                let peers: Vec<_> = peers
                    .iter()
                    .map(|p| serde_json::json!({"lab": p.lab, "flight": p.flight, "http": p.http, "since": p.since}))
                    .collect();
                say!("{}", serde_json::json!(peers));
            } else {
                let rows =
                    peers.into_iter().map(|p| vec![p.lab.to_string(), p.flight, p.http, p.since]);
                say_part!("{}", text_table(&["lab", "flight", "http", "since"], rows));
            }
        }
        Peer::Status { verify } => {
            let statuses = peers::status(&home.catalog, verify).await?;
            let all_answer = statuses.iter().all(|status| status.reachable);
            let all_equal = statuses
                .iter()
                .all(|status| status.verified.as_ref().is_none_or(|verified| verified.equal));
            if context.json {
                say!("{}", serde_json::json!(statuses));
            } else {
                say_statuses(context, statuses);
            }
            if !all_answer {
                return Err(Outcome::Exit(ErrorCode::Unavailable.exit_code()));
            }
            if !all_equal {
                return Err(Outcome::Exit(ErrorCode::InvalidData.exit_code()));
            }
        }
        Peer::Sync { lab, verify } => sync_peers(context, &home, lab, verify).await?,
        Peer::Remove { lab } => {
            let lab = LabName::new(lab)?;
            if !home.catalog.remove_peer(&lab).await? {
                return Err(Failure::new(
                    ErrorCode::NotFound,
                    format!("no peer {lab}; see `tarn peer list`"),
                )
                .into());
            }
            context.note(format_args!(
                "{lab} is forgotten here. Tell them to run: tarn peer remove {}",
                home.catalog.lab()
            ));
        }
    }
    Ok(())
}

/// Prints how peers are.
fn say_statuses(context: &Context, statuses: Vec<PeerStatus>) {
    for status in &statuses {
        if let Some(verified) = &status.verified {
            say_verified(context, &status.lab, verified);
        }
    }
    let rows = statuses.into_iter().map(|status| {
        let replica = status.replica;
        vec![
            status.lab.to_string(),
            if status.reachable { "answers" } else { "does not answer" }.to_owned(),
            format!("{} ms", status.ms),
            status.tables.to_string(),
            status.records.to_string(),
            replica.state.as_str().to_owned(),
            replica.as_of.unwrap_or_default(),
            status.error.or(replica.problem).unwrap_or_default(),
        ]
    });
    let head = ["lab", "state", "took", "tables", "records", "copy", "known as of", "error"];
    say_part!("{}", text_table(&head, rows));
}

/// Says how a copy compares with its lab.
fn say_verified(context: &Context, lab: &LabName, verified: &Verified) {
    let named = [
        ("missing here", &verified.drift.missing),
        ("not at the lab", &verified.drift.extra),
        ("others here", &verified.drift.differing),
    ];
    for (what, names) in named {
        for name in names {
            say!("{lab}.{name}  {what}");
        }
    }
    let root = verified.root.get(..16).unwrap_or(&verified.root);
    context.note(format_args!(
        "{lab}: {} ({} records, root {root}…, {} questions)",
        match (verified.equal, verified.repaired) {
            (true, true) => "differed, and was repaired",
            (true, false) => "the copy is equal",
            (false, _) => "the copy differs; `tarn peer sync --verify` repairs it",
        },
        verified.records,
        verified.questions
    ));
}

/// Reads the records of one peer or of all of them.
async fn sync_peers(
    context: &Context,
    home: &Home,
    lab: Option<String>,
    compares: bool,
) -> Result<(), Outcome> {
    let lab = lab.map(LabName::new).transpose()?;
    let mut peers = home.catalog.peers().await?;
    if let Some(lab) = &lab {
        peers.retain(|peer| peer.lab == *lab);
        if peers.is_empty() {
            let problem = format!("no peer {lab}; see `tarn peer list`");
            return Err(Failure::new(ErrorCode::NotFound, problem).into());
        }
    }
    let patience = Duration::from_secs(home.config.peer_seconds.max(1));
    let (mut done, mut failed) = (Vec::with_capacity(peers.len()), None);
    for peer in peers {
        let said = Cell::new(Instant::now());
        let read = sync::pull(&home.catalog, &peer, patience, |events, last| {
            if said.get().elapsed() >= PROGRESS {
                said.set(Instant::now());
                context.note(format_args!("{}: {events} changes read, of {last} in all", peer.lab));
            }
        });
        let read = match read.await {
            Ok(mut pulled) if compares => {
                match sync::verify(&home.catalog, &peer, patience, true).await {
                    Ok(verified) => pulled.verified = Some(verified),
                    Err(error) => pulled.error = Some(error.to_string()),
                }
                pulled
            }
            Ok(pulled) => pulled,
            Err(error) => {
                let said = error.to_string();
                failed = failed.or(Some(Failure::from(error)));
                Pulled {
                    lab: peer.lab.clone(),
                    events: 0,
                    ms: 0,
                    error: Some(said),
                    verified: None,
                }
            }
        };
        if !context.json {
            match &read.error {
                None => context
                    .note(format_args!("{}: {} changes in {} ms", read.lab, read.events, read.ms)),
                Some(error) => context.note(format_args!("{}: {error}", read.lab)),
            }
            if let Some(verified) = &read.verified {
                say_verified(context, &read.lab, verified);
            }
        }
        done.push(read);
    }
    if context.json {
        say!("{}", serde_json::json!(done));
    }
    match failed {
        // What went wrong was said with its lab.
        Some(failure) => Err(Outcome::Exit(failure.code().exit_code())),
        None => Ok(()),
    }
}
