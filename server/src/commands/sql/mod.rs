//! `tarn sql`

mod answer;
mod complete;
mod meta;
mod prompt;

use super::{Context, Outcome};
use crate::cli::{Sql, SqlFormat};
use crate::failure::{Failure, io};
use crate::home::engine_or_files;
use answer::{answer, say_missing};
use std::io::IsTerminal;
use std::path::Path;
use tarn_query::{Session, SessionOptions, Statements};
use tarn_schemas::{ErrorCode, PartialMode, Principal, SiteStatus};

/// Runs one statement, or a prompt.
pub(crate) async fn run(context: &Context, args: &Sql) -> Result<(), Outcome> {
    let engine = engine_or_files(context.home.as_deref()).await?;
    let options =
        SessionOptions { partial: args.partial.into(), files: true, ..SessionOptions::default() };
    let format = chosen(context, args.format, args.output.as_deref())?;
    let session = engine.session(Principal::Owner, options).await?;
    match &args.query {
        Some(query) if args.estimate => estimate(context, &session, query).await,
        Some(query) => {
            let output = args.output.as_deref();
            let complete = run_one(context, &session, query, format, output).await?;
            partial_unless(complete)
        }
        None if std::io::stdin().is_terminal() => prompt::run(context, &session, format).await,
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
    if is_binary(format)
        && output.is_none_or(|path| path == Path::new("-"))
        && std::io::stdout().is_terminal()
    {
        let problem = "this format is not text; add --output FILE or redirect the output";
        return Err(Failure::new(ErrorCode::InvalidArgument, problem));
    }
    Ok(format)
}

/// Says what a statement would read.
async fn estimate(context: &Context, session: &Session, query: &str) -> Result<(), Outcome> {
    let estimate = session.plan(query).await?.estimate();
    if context.json {
        println!(
            "{}",
            serde_json::json!({"rows": estimate.rows, "bytes": estimate.bytes,
                "beyond": estimate.beyond, "certain": estimate.certain})
        );
        return Ok(());
    }
    let most = if estimate.certain { "" } else { "at most " };
    let rows = indicatif::HumanCount(estimate.rows);
    let bytes = indicatif::HumanBytes(estimate.bytes);
    let beyond =
        if estimate.beyond { ", and from tables whose size is not known here" } else { "" };
    println!("reads {most}{rows} rows, {bytes} from tables of this lab{beyond}");
    Ok(())
}

/// Runs one statement and says which labs are missing; false if the answer lacks one.
async fn run_one(
    context: &Context,
    session: &Session,
    query: &str,
    format: SqlFormat,
    output: Option<&Path>,
) -> Result<bool, Failure> {
    let done = answer(context, session, query, format, output).await?;
    done.note(context, format == SqlFormat::Table || output.is_some(), true);
    say_missing(context, &done.sites);
    let allowed = session.options().partial == PartialMode::Allow;
    Ok(!allowed || done.sites.iter().all(|site| site.status == SiteStatus::Ok))
}

fn partial_unless(complete: bool) -> Result<(), Outcome> {
    if complete { Ok(()) } else { Err(Outcome::Exit(ErrorCode::Partial.exit_code())) }
}

/// Runs the statements of standard input, which is no terminal, as they come; the last needs no `;`. The
/// first that fails ends the run with its exit code.
async fn script(context: &Context, session: &Session, format: SqlFormat) -> Result<(), Outcome> {
    let mut complete = true;
    let mut text = String::new();
    for line in std::io::stdin().lines() {
        let line = line.map_err(|error| io("standard input", &error))?;
        text.push_str(&line);
        text.push('\n');
        if line.contains(';') {
            let Statements { complete: statements, rest } = Statements::of(&text);
            text = rest;
            text.push('\n');
            for query in statements {
                complete &= run_one(context, session, &query, format, None).await?;
            }
        }
    }
    let rest = Statements::of(&text).rest;
    if !rest.is_empty() {
        complete &= run_one(context, session, &rest, format, None).await?;
    }
    partial_unless(complete)
}

/// Whether a format is for programs alone.
fn is_binary(format: SqlFormat) -> bool {
    matches!(format, SqlFormat::Arrow | SqlFormat::Parquet)
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
