//! `tarn register`

use super::record::{extract, facts_of, say_left_out};
use super::{Context, Outcome, inspect, wrong};
use crate::cli::Register;
use crate::failure::{Failure, io};
use crate::home::Home;
use crate::output::IngestBar;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use tarn_catalog::{Assessment, CatalogError, MissingPoint, Registered};
use tarn_connectors::store::FileStat;
use tarn_formats::Table;
use tarn_ingest::{Cancel, IngestRequest, ingest};
use tarn_schemas::profile::{Document, Truth, Violation, read_document};
use tarn_schemas::{DatasetName, ErrorCode, Principal, Record};

/// Validates, decides, mints, stores; says every violation, the FAIR score and what is left.
pub(crate) async fn run(context: &Context, args: &Register) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    match args.only() {
        Some(path) => Box::pin(one(context, &home, path, args)).await,
        None => Box::pin(many(context, &home, args)).await,
    }
}

/// A file of a record at a path: relative ones are relative to the record.
pub(super) fn text_of_path(path: &Path, text: &str) -> String {
    let folder = path.parent().unwrap_or(Path::new("."));
    if text.contains("://") || Path::new(text).is_absolute() {
        text.to_owned()
    } else {
        folder.join(text).display().to_string()
    }
}

/// Records that are stored together, in one transaction.
const TOGETHER: usize = 256;

/// Registers many records. One that is refused stops no other; it is said why, and the command fails
/// at the end.
async fn many(context: &Context, home: &Home, args: &Register) -> Result<(), Outcome> {
    let (mut done, mut refused) = (0_usize, None::<ErrorCode>);
    for paths in args.records.chunks(TOGETHER) {
        let (mut batch, mut places) = (Vec::new(), Vec::new());
        let mut records = Vec::new();
        for path in paths {
            let document = read(path)?;
            match read_document(&document) {
                Ok(record) => records.push((path, record)),
                Err(violations) => {
                    Box::pin(wrong::shape(context, home, path, &document, violations)).await?;
                    refused = Some(ErrorCode::InvalidData);
                }
            }
        }
        // Reading files takes its time: whoever registers the same meanwhile is not overwritten.
        let names: Vec<&DatasetName> = records.iter().map(|(_, record)| &record.name).collect();
        let seen = home.catalog.newest_versions(&names).await?;
        for (path, record) in records {
            // Tables are made of the files: one after the other. A dry run stores nothing together.
            if args.dry_run || !record.tables.is_empty() {
                match Box::pin(one(context, home, path, args)).await {
                    Ok(()) => done = done.saturating_add(1),
                    Err(Outcome::Exit(_)) => refused = Some(ErrorCode::InvalidData),
                    Err(failed) => return Err(failed),
                }
                continue;
            }
            let files = wrong::find_files(home, path, &record).await?;
            if !files.missing.is_empty() {
                wrong::files(context, home, &record, files).await?;
                refused = Some(ErrorCode::InvalidData);
                continue;
            }
            let (mut facts, unknown) = facts_of(&home.stores, &files.there, |_| {}).await?;
            say_left_out(context, &unknown);
            wrong::say_gone(context, &files.gone);
            wrong::put_gone(&mut facts, files.gone);
            batch.push((record, facts));
            places.push(path);
        }
        let answers =
            Box::pin(home.catalog.register_many_from(&Principal::Owner, batch, Some(&seen)))
                .await?;
        for (path, answer) in places.into_iter().zip(answers) {
            match answer {
                Ok(registered) => {
                    done = done.saturating_add(1);
                    say_registered(context, &registered, registered.dataset.version);
                }
                Err(CatalogError::Invalid { dataset, violations }) => {
                    say_violations(context, &dataset, &violations);
                    refused = Some(ErrorCode::InvalidData);
                }
                Err(error) => {
                    let failure = Failure::from(error).at(path.display());
                    refused = Some(failure.code());
                    // Its code is that of the command; the others go on.
                    let _ = failure.report(context.json);
                }
            }
        }
    }
    context.note(format_args!("{done} of {} record(s) registered", args.records.len()));
    refused.map_or(Ok(()), |code| Err(Outcome::Exit(code.exit_code())))
}

async fn one(context: &Context, home: &Home, path: &Path, args: &Register) -> Result<(), Outcome> {
    let document = read(path)?;
    let record = match read_document(&document) {
        Ok(record) => record,
        Err(violations) => {
            return Err(Box::pin(wrong::shape(context, home, path, &document, violations)).await?);
        }
    };
    let seen = home.catalog.newest_versions(&[&record.name]).await?.version(&record.name);
    let files = wrong::find_files(home, path, &record).await?;
    if !files.missing.is_empty() {
        return Err(wrong::files(context, home, &record, files).await?);
    }
    let mut facts = extract(context, &home.stores, &files.there).await?;
    wrong::say_gone(context, &files.gone);
    // Tables are not made anew of the files that are left: they stay as they are.
    let remade = if files.gone.is_empty() { record.tables.clone() } else { BTreeMap::default() };
    wrong::put_gone(&mut facts, files.gone);
    let files: Vec<FileStat> = files
        .there
        .into_iter()
        .map(|file| file.stat)
        .filter(|stat| facts.iter().any(|known| known.location == stat.location))
        .collect();
    if !remade.is_empty() {
        check_tables(home, &record, &files).await?;
    }

    if args.dry_run {
        let assessment = home.catalog.assess(&record, &facts).await?;
        return say_assessment(context, &assessment);
    }
    let who = Principal::Owner;
    let done = home
        .catalog
        .register_from(&who, record.clone(), facts.clone(), Some(args.from.unwrap_or(seen)))
        .await;
    let registered = match done {
        // The same words as of a dry run.
        Err(CatalogError::Invalid { .. }) => {
            return say_assessment(context, &home.catalog.assess(&record, &facts).await?);
        }
        other => other?,
    };
    let mut version = registered.dataset.version;
    for (table, options) in &remade {
        let request = IngestRequest {
            sources: files.iter().map(|file| file.location.clone()).collect(),
            dataset: record.name.clone(),
            table: Some(table.clone()),
            options: options.clone(),
            in_place: true,
        };
        let bar = Arc::new(IngestBar::new(context.quiet || context.json));
        let shown = bar.clone();
        let done = ingest(
            &home.catalog,
            &home.stores,
            &home.store,
            &Principal::Owner,
            &request,
            Arc::new(move |p| shown.show(&p)),
            &Cancel::new(),
        )
        .await;
        bar.finish();
        version = done?.dataset_version;
    }

    let dataset = &registered.dataset;
    say_registered(context, &registered, version);
    if !context.json {
        say_score(dataset.fair_score, &registered.missing);
        say_notices(context, &registered.notices);
    }
    if dataset.tables.is_empty() && record.tables.is_empty() {
        context.note(format_args!(
            "It has no tables yet. Next: tarn ingest FILES… --dataset {} (add --in-place to leave the files where they are)",
            dataset.name
        ));
    }
    Ok(())
}

fn say_registered(context: &Context, registered: &Registered, version: u32) {
    let dataset = &registered.dataset;
    if context.json {
        say!(
            "{}",
            serde_json::json!({
                "lab": dataset.lab, "name": dataset.name, "version": version, "ark": dataset.ark,
                "created": registered.created, "fair_score": dataset.fair_score, "missing": registered.missing,
                "notices": registered.notices,
            })
        );
        return;
    }
    let what = if registered.created { "Registered" } else { "Unchanged:" };
    say!("{what} {}.{}@{version}  {}", dataset.lab, dataset.name, dataset.ark);
}

/// Largest record: texts and names of files, not data.
const LARGEST: u64 = 16 << 20;

/// Deepest brackets. The reader of YAML takes time by the square of their depth.
const DEEPEST: usize = 500;

/// How deep brackets open in a text, wherever they stand.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The document of a file.
pub(super) fn read(path: &Path) -> Result<Document, Failure> {
    let no_record = |what: &str| {
        let problem = format!(
            "{}: this is {what} and no record, which is a text in YAML or JSON; make one with \
             `tarn record new FILES… > record.yaml`",
            path.display()
        );
        Failure::new(ErrorCode::InvalidData, problem)
    };
    let length = std::fs::metadata(path).map_err(|e| io(path.display(), &e))?.len();
    if length > LARGEST {
        let problem = format!(
            "{}: {length} bytes; a record has at most {LARGEST}: name folders under `files` instead of every file",
            path.display()
        );
        return Err(Failure::new(ErrorCode::InvalidData, problem));
    }
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        ErrorKind::InvalidData => no_record("a binary file"),
        ErrorKind::IsADirectory => no_record("a folder"),
        _ => io(path.display(), &e),
    })?;
    if nesting(&text) > DEEPEST {
        let problem = format!(
            "{}: brackets inside brackets, more than {DEEPEST} deep: a record has lists and fields, not more",
            path.display()
        );
        return Err(Failure::new(ErrorCode::InvalidData, problem));
    }
    let document: Document = serde_yaml_ng::from_str(&text)
        .map_err(|e| Failure::new(ErrorCode::InvalidData, format!("{}: {e}", path.display())))?;
    if !document.value.is_object() {
        return Err(no_record("a text"));
    }
    Ok(document)
}

/// Options under `tables:` that do not fit the files stop the registration before anything is stored.
async fn check_tables(home: &Home, record: &Record, files: &[FileStat]) -> Result<(), Failure> {
    if record.tables.is_empty() {
        return Ok(());
    }
    let mut readers = Vec::new();
    for file in files {
        // A registered table is what its pinned files hold; others may change unseen.
        readers.push(inspect::open(&home.stores, file, false).await?);
    }
    let tables = record.tables.clone();
    tokio::task::spawn_blocking(move || {
        for (name, options) in &tables {
            Table::open(&readers, options)
                .map_err(|e| Failure::from(e).at(format_args!("tables.{name}")))?;
        }
        Ok(())
    })
    .await
    .map_err(|e| Failure::new(ErrorCode::Internal, e.to_string()))?
}

fn say_assessment(context: &Context, assessment: &Assessment) -> Result<(), Outcome> {
    if context.json {
        say!("{}", serde_json::json!(assessment));
    } else if assessment.violations.is_empty() {
        say!("{} may be registered (dry run: nothing was stored).", assessment.record.name);
        say_score(assessment.fair_score, &assessment.missing);
        say_truth(&assessment.truth);
        say_notices(context, &assessment.notices);
    } else {
        say_violations(context, assessment.record.name.as_str(), &assessment.violations);
        say_score(assessment.fair_score, &assessment.missing);
    }
    if assessment.violations.is_empty() {
        Ok(())
    } else {
        Err(Outcome::Exit(ErrorCode::InvalidData.exit_code()))
    }
}

pub(super) fn say_violations(context: &Context, dataset: &str, violations: &[Violation]) {
    if context.json {
        tell!(
            "{}",
            serde_json::json!({"error": {"code": ErrorCode::InvalidData, "violations": violations}})
        );
        return;
    }
    tell!("error: {dataset} is not registered; {} thing(s) to mend:", violations.len());
    for violation in violations {
        tell!(
            "  {}\n      found {}\n      {} [{}]",
            violation.pointer,
            violation.found,
            violation.fix,
            violation.rule
        );
    }
}

fn say_notices(context: &Context, notices: &[String]) {
    for notice in notices {
        context.note(format_args!("note: {notice}"));
    }
}

/// What was compared with the bytes and numbers, and what does not agree.
fn say_truth(truth: &[Truth]) {
    for check in truth.iter().filter(|check| !check.wrong.is_empty()) {
        say!("  not true: {}: {}; {}", check.name, check.wrong.join(", "), check.fix);
    }
    let agreed = truth.iter().filter(|check| check.wrong.is_empty());
    let agreed: Vec<String> =
        agreed.map(|check| format!("{} ({})", check.name, check.checked)).collect();
    if !agreed.is_empty() {
        say!("Compared with the files: {}", agreed.join(", "));
    }
}

fn say_score(score: f64, missing: &[MissingPoint]) {
    say!("FAIR score {score:.0} %");
    for point in missing {
        say!("  {:+.1}  {} {}: {}", point.points, point.metric, point.title, point.fix);
    }
}
