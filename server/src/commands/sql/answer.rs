//! One statement and its answer on a terminal: progress while it runs, an end by Ctrl-C.

use super::Context;
use crate::cli::SqlFormat;
use crate::derived::{Workshop, change, told};
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{BatchWriter, QueryLine};
use futures::StreamExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tarn_query::{QueryError, Session, Stop};
use tarn_schemas::site::SiteReport;
use tarn_schemas::{ErrorCode, SiteStatus};

/// How often the line of progress changes.
const PACE: Duration = Duration::from_millis(200);

/// How long what was cancelled may take to undo what it began.
const UNDOING: Duration = Duration::from_secs(2);

/// What came of a statement.
#[derive(Debug)]
pub(super) struct Done {
    rows: usize,
    elapsed: Duration,
    /// Which lab did what.
    pub(super) sites: Vec<SiteReport>,
}

impl Done {
    /// Says how many rows there were, and how long they took.
    pub(super) fn note(&self, context: &Context, rows: bool, time: bool) {
        let (count, labs) = (self.rows, labs(&self.sites));
        let seconds = self.elapsed.as_secs_f64();
        match (rows, time) {
            (true, true) => context.note(format_args!("{count} row(s) in {seconds:.3} s{labs}")),
            (true, false) => context.note(format_args!("{count} row(s){labs}")),
            (false, _) => {}
        }
    }
}

/// Runs a statement and prints its answer; Ctrl-C stops the statement and nothing else.
pub(super) async fn answer(
    context: &Context,
    session: &Session,
    sql: &str,
    format: SqlFormat,
    output: Option<&Path>,
) -> Result<Done, Failure> {
    let started = Instant::now();
    let query = session.begin();
    let line = QueryLine::new(context.quiet || context.json);
    let work = async {
        if let Some(wanted) = session.change(sql).await? {
            let home = Home::open(context.home.as_deref()).await?;
            let Home { catalog, stores, store, .. } = &home;
            let workshop = Workshop { catalog, stores, store };
            let done = Box::pin(change(workshop, session, &query, wanted)).await?;
            line.end();
            if context.json {
                say!("{done}");
            } else {
                say!("{}", told(&done));
            }
            return Ok((0, Vec::new()));
        }
        let mut answer = session.plan_as(&query, sql, &[]).await?.start().await?;
        let mut writer = BatchWriter::new(format, output, &answer.schema)?;
        while let Some(batch) = answer.stream.next().await {
            let batch = batch.map_err(QueryError::from)?;
            if output.is_none() && format != SqlFormat::Table {
                // Rows appear where the line stands.
                line.end();
            }
            writer.write(&batch)?;
        }
        line.end();
        let sites = answer.sites.reports();
        let rows = writer.finish(&sites)?;
        Ok::<_, Failure>((rows, sites))
    };
    // One listener for the whole statement: what comes while the line is drawn is heard, too.
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(work, interrupt);
    let mut ticks = tokio::time::interval(PACE);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            _ = &mut interrupt => {
                query.stop(Stop::Cancelled);
                // What was begun is undone meanwhile: a table that is being written leaves no file.
                let _ = tokio::time::timeout(UNDOING, &mut work).await;
                break Err(Failure::new(ErrorCode::Cancelled, "cancelled"));
            }
            _ = ticks.tick() => line.show(&query.progress()),
        }
    };
    line.end();
    let (rows, sites) = done?;
    Ok(Done { rows, elapsed: started.elapsed(), sites })
}

/// Which lab did what, if more than one took part.
fn labs(sites: &[SiteReport]) -> String {
    if sites.len() < 2 {
        return String::new();
    }
    let parts: Vec<String> = sites
        .iter()
        .map(|site| match site.status {
            SiteStatus::Ok => format!("{} {} rows {} ms", site.lab, site.rows, site.ms),
            _ => format!("{} missing", site.lab),
        })
        .collect();
    format!(" ({})", parts.join(", "))
}

/// Says which labs did not answer.
pub(super) fn say_missing(context: &Context, sites: &[SiteReport]) {
    let missing: Vec<&SiteReport> =
        sites.iter().filter(|site| site.status != SiteStatus::Ok).collect();
    if !missing.is_empty() {
        context.note(format_args!(
            "PARTIAL: {} of {} labs answered",
            sites.len() - missing.len(),
            sites.len()
        ));
    }
    for site in missing {
        context.note(format_args!(
            "  {}: {}",
            site.lab,
            site.error.as_deref().unwrap_or("no answer")
        ));
    }
}
