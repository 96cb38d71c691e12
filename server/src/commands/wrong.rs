//! Everything that is wrong with a record at once: what has the wrong shape, files that are not there, and
//! the rules that the rest breaks.

use super::record::facts_of;
use super::register::{say_violations, text_of_path};
use super::{Context, Outcome};
use crate::failure::Failure;
use crate::home::Home;
use std::path::Path;
use tarn_connectors::Location;
use tarn_connectors::store::Found;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::profile::{Document, Violation, salvage};
use tarn_schemas::{DatasetName, ErrorCode, Principal, Record};

/// The files that a record names, whose paths are relative to it.
#[derive(Default)]
pub(super) struct Files {
    /// Those that are there.
    pub(super) there: Vec<Found>,
    /// What the newest version of the dataset knows of those that are not there any more, with the place in the list
    /// of all.
    pub(super) gone: Vec<(usize, FileFacts)>,
    /// Those of which nothing is known.
    pub(super) missing: Vec<Violation>,
}

/// Looks for the files of a record.
pub(super) async fn find_files(
    home: &Home,
    path: &Path,
    record: &Record,
) -> Result<Files, Failure> {
    let mut files = Files::default();
    for (place, text) in record.files.iter().enumerate() {
        let text_of_file = text_of_path(path, text);
        let failure = match home.stores.find(&text_of_file).await.map_err(Failure::from) {
            Ok(found) => {
                files.there.extend(found);
                continue;
            }
            Err(failure) if failure.code() == ErrorCode::NotFound => failure,
            Err(failure) => return Err(failure),
        };
        match known(home, &record.name, &text_of_file).await? {
            Some(known) => {
                let place = files.there.len().saturating_add(files.gone.len());
                files.gone.extend(known.into_iter().map(|known| (place, known)));
            }
            None => files.missing.push(Violation {
                pointer: format!("/files/{place}"),
                rule: "files.found".to_owned(),
                found: failure.to_string(),
                fix: format!(
                    "there is no {text:?}: correct the path, which is relative to the record"
                ),
            }),
        }
    }
    Ok(files)
}

/// What the newest version of a dataset knows of a file that is not there.
async fn known(
    home: &Home,
    name: &DatasetName,
    text: &str,
) -> Result<Option<Vec<FileFacts>>, Failure> {
    let Ok(location) = Location::parse(text) else { return Ok(None) };
    Ok(home.catalog.known_files(&Principal::Owner, name, &[location.to_string()]).await?)
}

/// Puts what is known of files that are not there any more among the facts of the others.
pub(super) fn put_gone(facts: &mut Vec<FileFacts>, gone: Vec<(usize, FileFacts)>) {
    for (place, known) in gone {
        facts.insert(place.min(facts.len()), known);
    }
}

/// Says which files are not there any more.
pub(super) fn say_gone(context: &Context, gone: &[(usize, FileFacts)]) {
    for (_, file) in gone {
        context.note(format_args!(
            "{} is not there any more: what the newest version knows of it stays",
            file.location
        ));
    }
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
        let mut files = find_files(home, path, &rest.record).await?;
        let missing = std::mem::take(&mut files.missing);
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
    mut files: Files,
) -> Result<Outcome, Failure> {
    let mut missing = std::mem::take(&mut files.missing);
    let found = rules(home, record, &files).await?;
    // What is said of all files together may be so because some are missing.
    let others = found.into_iter().filter(|violation| violation.pointer != "/files");
    let before = missing.len();
    missing.extend(others);
    let code = if missing.len() == before { ErrorCode::NotFound } else { ErrorCode::InvalidData };
    say_violations(context, record.name.as_str(), &missing);
    Ok(Outcome::Exit(code.exit_code()))
}

/// The rules that a record breaks with the files that are there.
async fn rules(home: &Home, record: &Record, files: &Files) -> Result<Vec<Violation>, Failure> {
    let (mut facts, _) = facts_of(&home.stores, &files.there, |_| {}).await?;
    put_gone(&mut facts, files.gone.clone());
    Ok(home.catalog.assess(record, &facts).await?.violations)
}
