//! Everything that is wrong with a record at once: what has the wrong shape, files that are not there, and
//! the rules that the rest breaks.

use super::record::facts_of;
use super::register::{say_violations, text_of_path};
use super::{Context, Outcome};
use crate::failure::Failure;
use crate::home::Home;
use std::path::Path;
use tarn_connectors::store::Found;
use tarn_schemas::profile::{Document, Violation, salvage};
use tarn_schemas::{ErrorCode, Record};

/// The files of a record, whose paths are relative to it, and those that are not there.
pub(super) async fn find_files(
    home: &Home,
    path: &Path,
    record: &Record,
) -> Result<(Vec<Found>, Vec<Violation>), Failure> {
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for (place, text) in record.files.iter().enumerate() {
        match home.stores.find(&text_of_path(path, text)).await.map_err(Failure::from) {
            Ok(found) => files.extend(found),
            Err(failure) if failure.code() == ErrorCode::NotFound => missing.push(Violation {
                pointer: format!("/files/{place}"),
                rule: "files.found".to_owned(),
                found: failure.to_string(),
                fix: format!(
                    "there is no {text:?}: correct the path, which is relative to the record"
                ),
            }),
            Err(failure) => return Err(failure),
        }
    }
    Ok((files, missing))
}

/// Says what is wrong with a document that has the wrong shape, and with what can be read of it.
pub(super) async fn shape(
    context: &Context,
    home: &Home,
    path: &Path,
    document: &Document,
    mut violations: Vec<Violation>,
) -> Result<Outcome, Failure> {
    if let Some(rest) = salvage(document, &violations) {
        let (files, missing) = find_files(home, path, &rest.record).await?;
        let found = missing.into_iter().chain(rules(home, &rest.record, &files).await?).collect();
        violations.extend(rest.others(found));
    }
    say_violations(context, &path.display().to_string(), &violations);
    Ok(Outcome::Exit(ErrorCode::InvalidData.exit_code()))
}

/// Says which files of a record are not there, and what else is wrong with it. Where nothing is, the
/// command ends as one that did not find something.
pub(super) async fn files(
    context: &Context,
    home: &Home,
    record: &Record,
    files: &[Found],
    mut missing: Vec<Violation>,
) -> Result<Outcome, Failure> {
    let found = rules(home, record, files).await?;
    // What is said of all files together may be so because some are missing.
    let others = found.into_iter().filter(|violation| violation.pointer != "/files");
    let before = missing.len();
    missing.extend(others);
    let code = if missing.len() == before { ErrorCode::NotFound } else { ErrorCode::InvalidData };
    say_violations(context, record.name.as_str(), &missing);
    Ok(Outcome::Exit(code.exit_code()))
}

/// The rules that a record breaks with the files that are there.
async fn rules(home: &Home, record: &Record, files: &[Found]) -> Result<Vec<Violation>, Failure> {
    let (facts, _) = facts_of(&home.stores, files, |_| {}).await?;
    Ok(home.catalog.assess(record, &facts).await?.violations)
}
