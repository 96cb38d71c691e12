//! `tarn audit`

use super::user::principal;
use super::{Context, Outcome};
use crate::cli::Audit;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use std::path::Path;
use tarn_catalog::audit::{AuditEntry, AuditFault, AuditFilter, SignedHead, Verified, verify_text};
use tarn_schemas::{ErrorCode, Principal};

/// Lists the log, or proves that it is whole.
pub(crate) async fn run(context: &Context, args: Audit) -> Result<(), Outcome> {
    match args {
        Audit::List { person, dataset, since, until } => {
            let home = Home::open(context.home.as_deref()).await?;
            let person = person.as_deref().map(subject).transpose()?;
            let dataset = dataset.as_deref().map(str::parse).transpose()?;
            let since = since.as_deref().map(moment).transpose()?;
            let until = until.as_deref().map(moment).transpose()?;
            let filter = AuditFilter { person, dataset, since, until, from: 0, limit: None };
            list(context, &home, filter).await
        }
        Audit::Verify { file, heads } => {
            let heads = heads.iter().map(|path| head(path)).collect::<Result<Vec<_>, _>>()?;
            let (verified, head) = match file {
                Some(file) => (verify_text(&entries(&file)?, heads), None),
                None => {
                    let home = Home::open(context.home.as_deref()).await?;
                    let found = home.catalog.audit_verify(&Principal::Owner, heads).await?;
                    // A log that is not whole is not signed.
                    let head = match &found {
                        Ok(_) => Some(home.catalog.audit_head().await?),
                        Err(_) => None,
                    };
                    (found, head)
                }
            };
            say_verified(context, &verified.map_err(damaged)?, head.as_ref());
            Ok(())
        }
    }
}

fn damaged(fault: AuditFault) -> Failure {
    Failure::new(ErrorCode::DataLoss, fault.to_string())
}

/// `owner`, `anonymous`, or a name as elsewhere on the command line.
fn subject(name: &str) -> Result<String, Failure> {
    match name {
        "owner" | "anonymous" => Ok(name.to_owned()),
        // As the list itself prints it.
        name if name.contains(':') => Ok(name.to_owned()),
        name => Ok(tarn_catalog::subject(&principal(name)?)),
    }
}

/// A day (its beginning in UTC) or a moment of RFC 3339.
pub(crate) fn moment(text: &str) -> Result<DateTime<Utc>, Failure> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map(|day| day.and_time(NaiveTime::MIN).and_utc());
    day.or_else(|_| DateTime::parse_from_rfc3339(text).map(|at| at.to_utc())).map_err(|_| {
        Failure::new(
            ErrorCode::InvalidArgument,
            format!("{text:?} is no time: write 2026-11-22 or 2026-11-22T08:30:00Z"),
        )
    })
}

async fn list(context: &Context, home: &Home, mut filter: AuditFilter) -> Result<(), Outcome> {
    let mut first = true;
    loop {
        let page = home.catalog.audit(&Principal::Owner, &filter).await?;
        let Some(last) = page.last() else { break };
        filter.from = last.sequence.saturating_add(1);
        if context.json {
            for entry in &page {
                say_part!("{}{}", if first { "[" } else { ",\n" }, serde_json::json!(entry));
                first = false;
            }
        } else {
            say_part!("{}", text_table(&HEADS, page.iter().map(row)));
        }
    }
    if context.json {
        say!("{}]", if first { "[" } else { "" });
    }
    Ok(())
}

const HEADS: [&str; 7] = ["entry", "when", "who", "act", "dataset", "outcome", "details"];

fn row(entry: &AuditEntry) -> Vec<String> {
    let details: Vec<String> =
        entry.details.iter().map(|(key, value)| format!("{key}={value}")).collect();
    vec![
        entry.sequence.to_string(),
        entry.at.clone(),
        entry.person.clone(),
        entry.act.name().to_owned(),
        entry.dataset.clone().unwrap_or_default(),
        entry.outcome.name().to_owned(),
        details.join(" "),
    ]
}

/// The entries of a file that `tarn audit list --json` or the API wrote, as the texts that were
/// hashed.
fn entries(file: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    let entries: Vec<AuditEntry> =
        serde_json::from_str(&text).map_err(|error| unreadable(file, &error))?;
    entries.iter().map(|entry| entry.text().map_err(|error| unreadable(file, &error))).collect()
}

fn head(file: &Path) -> Result<SignedHead, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    serde_json::from_str(&text).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        ErrorCode::InvalidArgument,
        format!(
            "{}: {error}; entries are what `tarn audit list --json` prints, a head is what \
             `tarn audit verify --json` prints under `head`",
            file.display()
        ),
    )
}

fn say_verified(context: &Context, verified: &Verified, head: Option<&SignedHead>) {
    let Verified { entries, root, heads } = verified;
    if context.json {
        let json =
            serde_json::json!({"entries": entries, "root": root, "heads": heads, "head": head});
        say!("{json}");
        return;
    }
    say!("{entries} entries, every one as it was written; {heads} signed heads agree");
    say!("root {root}");
    if let Some(head) = head {
        say!("signed {} with the key {}", head.at, head.key);
    }
}
