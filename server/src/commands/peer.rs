//! `tarn peer`

use super::{Context, Outcome};
use crate::cli::Peer;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use tarn_query::federation::peers;
use tarn_schemas::{ErrorCode, LabName};

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
        Peer::Status => {
            let statuses = peers::status(&home.catalog).await?;
            let all_answer = statuses.iter().all(|status| status.reachable);
            if context.json {
                say!("{}", serde_json::json!(statuses));
            } else {
                let rows = statuses.into_iter().map(|status| {
                    vec![
                        status.lab.to_string(),
                        if status.reachable { "answers" } else { "does not answer" }.to_owned(),
                        format!("{} ms", status.ms),
                        status.tables.to_string(),
                        status.as_of.unwrap_or_default(),
                        status.error.unwrap_or_default(),
                    ]
                });
                say_part!(
                    "{}",
                    text_table(&["lab", "state", "took", "tables", "known as of", "error"], rows)
                );
            }
            if !all_answer {
                return Err(Outcome::Exit(ErrorCode::Unavailable.exit_code()));
            }
        }
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
