//! `tarn sql`

use super::{Context, Outcome};
use crate::cli::{Sql, SqlFormat};
use crate::derived::{Workshop, create};
use crate::failure::{Failure, io};
use crate::home::{Home, engine_or_files, folder};
use crate::output::BatchWriter;
use futures::StreamExt;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;
use tarn_query::{Session, SessionOptions};
use tarn_schemas::site::SiteReport;
use tarn_schemas::{ErrorCode, PartialMode, Principal, SiteStatus};

/// Runs one statement, or a prompt.
pub(crate) async fn run(context: &Context, args: &Sql) -> Result<(), Outcome> {
    let engine = engine_or_files(context.home.as_deref()).await?;
    let options =
        SessionOptions { partial: args.partial.into(), files: true, ..SessionOptions::default() };
    let format = chosen(context, args.format, args.output.as_deref())?;
    let session = engine.session(Principal::Owner, options).await?;
    match &args.query {
        Some(query) => {
            let output = args.output.as_deref();
            let complete = run_one(context, &session, query, format, output).await?;
            partial_unless(complete)
        }
        None if std::io::stdin().is_terminal() => prompt(context, &session, format).await,
        None => script(context, &session, format).await,
    }
}

/// The format of an answer: the one that was said, or what fits where it goes.
pub(super) fn chosen(
    context: &Context,
    said: Option<SqlFormat>,
    output: Option<&Path>,
) -> Result<SqlFormat, Failure> {
    let format = match said {
        Some(format) => format,
        None if context.json => SqlFormat::Json,
        None => output.and_then(by_extension).unwrap_or(SqlFormat::Table),
    };
    if matches!(format, SqlFormat::Arrow | SqlFormat::Parquet)
        && output.is_none_or(|path| path == Path::new("-"))
        && std::io::stdout().is_terminal()
    {
        let problem = "this format is not text; add --output FILE or redirect the output";
        return Err(Failure::new(ErrorCode::InvalidArgument, problem));
    }
    Ok(format)
}

/// Runs one statement and says which labs are missing; false if the answer lacks one.
async fn run_one(
    context: &Context,
    session: &Session,
    query: &str,
    format: SqlFormat,
    output: Option<&Path>,
) -> Result<bool, Failure> {
    let sites = answer(context, session, query, format, output).await?;
    say_missing(context, &sites);
    let allowed = session.options().partial == PartialMode::Allow;
    Ok(!allowed || sites.iter().all(|site| site.status == SiteStatus::Ok))
}

fn partial_unless(complete: bool) -> Result<(), Outcome> {
    if complete { Ok(()) } else { Err(Outcome::Exit(ErrorCode::Partial.exit_code())) }
}

/// Runs the statements of standard input, which is no terminal; the last needs no `;`. The first
/// that fails ends the run with its exit code.
async fn script(context: &Context, session: &Session, format: SqlFormat) -> Result<(), Outcome> {
    let mut complete = true;
    let mut statement = String::new();
    for line in std::io::stdin().lines() {
        let line = line.map_err(|error| io("standard input", &error))?;
        statement.push_str(&line);
        statement.push('\n');
        if let Some(query) = statement.trim().strip_suffix(';').map(str::to_owned) {
            statement.clear();
            if !query.trim().is_empty() {
                complete &= run_one(context, session, &query, format, None).await?;
            }
        }
    }
    if !statement.trim().is_empty() {
        complete &= run_one(context, session, &statement, format, None).await?;
    }
    partial_unless(complete)
}

fn by_extension(path: &Path) -> Option<SqlFormat> {
    match path.extension()?.to_str()? {
        "csv" => Some(SqlFormat::Csv),
        "json" => Some(SqlFormat::Json),
        "arrow" | "arrows" | "ipc" => Some(SqlFormat::Arrow),
        "parquet" => Some(SqlFormat::Parquet),
        _ => None,
    }
}

/// Runs a statement and prints its answer; Ctrl-C stops it.
async fn answer(
    context: &Context,
    session: &Session,
    query: &str,
    format: SqlFormat,
    output: Option<&Path>,
) -> Result<Vec<SiteReport>, Failure> {
    let started = Instant::now();
    let work = async {
        if let Some(creation) = session.creation(query).await? {
            let home = Home::open(context.home.as_deref()).await?;
            let Home { catalog, stores, store, .. } = &home;
            let workshop = Workshop { catalog, stores, store };
            let made = Box::pin(create(workshop, session, &session.begin(), creation)).await?;
            if context.json {
                say!("{made}");
            } else {
                let table = made["table"].as_str().unwrap_or_default();
                say!("{table}  {} rows  dataset version {}", made["rows"], made["version"]);
            }
            return Ok((0, Vec::new()));
        }
        let mut answer = session.sql(query).await?;
        let mut writer = BatchWriter::new(format, output, &answer.schema)?;
        while let Some(batch) = answer.stream.next().await {
            writer.write(&batch.map_err(tarn_query::QueryError::from)?)?;
        }
        let sites = answer.sites.reports();
        let rows = writer.finish(&sites)?;
        Ok::<_, Failure>((rows, sites))
    };
    let (rows, sites) = tokio::select! {
        done = work => done?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::new(ErrorCode::Cancelled, "cancelled")),
    };
    if format == SqlFormat::Table || output.is_some() {
        context.note(format_args!(
            "{rows} row(s) in {:.3} s{}",
            started.elapsed().as_secs_f64(),
            labs(&sites)
        ));
    }
    Ok(sites)
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

fn say_missing(context: &Context, sites: &[SiteReport]) {
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

/// A prompt with history. A statement ends with `;`.
async fn prompt(context: &Context, session: &Session, format: SqlFormat) -> Result<(), Outcome> {
    let failed = |error: rustyline::error::ReadlineError| {
        Failure::new(ErrorCode::Internal, format!("prompt: {error}"))
    };
    let mut editor = rustyline::DefaultEditor::new().map_err(failed)?;
    let history = folder(context.home.as_deref()).ok().map(|(folder, _)| folder.join("history"));
    if let Some(history) = &history {
        // No history yet is no failure.
        let _ = editor.load_history(history);
    }
    context.note("End a statement with ; and leave with Ctrl-D. Try: SHOW TABLES;");
    let mut statement = String::new();
    loop {
        let line = match editor.readline(if statement.is_empty() { "tarn> " } else { "   -> " }) {
            Ok(line) => line,
            Err(rustyline::error::ReadlineError::Interrupted) => {
                statement.clear();
                continue;
            }
            Err(rustyline::error::ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error).into()),
        };
        statement.push_str(&line);
        statement.push('\n');
        let Some(query) = statement.trim().strip_suffix(';').map(str::to_owned) else { continue };
        statement.clear();
        if query.trim().is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(format!("{query};"));
        match answer(context, session, &query, format, None).await {
            Ok(sites) => say_missing(context, &sites),
            Err(failure) => {
                failure.report(context.json);
            }
        }
    }
    if let Some(history) = history.filter(|history| history.parent().is_some_and(Path::exists)) {
        let _ = editor.save_history(&history);
    }
    Ok(())
}
