//! `tarn register`

use super::record::extract;
use super::{Context, Outcome, inspect};
use crate::cli::Register;
use crate::failure::{Failure, io};
use crate::home::Home;
use crate::output::IngestBar;
use std::path::Path;
use std::sync::Arc;
use tarn_catalog::{Assessment, CatalogError, MissingPoint};
use tarn_connectors::store::FileStat;
use tarn_formats::Table;
use tarn_ingest::{IngestRequest, ingest};
use tarn_schemas::profile::Violation;
use tarn_schemas::{ErrorCode, Principal, Record};

/// Validates, decides, mints, stores; says every violation, the FAIR score and what is left.
pub(crate) async fn run(context: &Context, args: &Register) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let record = read(&args.record)?;
    let folder = args.record.parent().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for text in &record.files {
        let located = if text.contains("://") || Path::new(text).is_absolute() {
            text.clone()
        } else {
            folder.join(text).display().to_string()
        };
        files.extend(home.stores.expand(&located).await?);
    }
    let facts = extract(context, &home.stores, &files).await?;
    check_tables(&home, &record, &files).await?;

    if args.dry_run {
        let assessment = home.catalog.assess(&record, &facts).await?;
        return say_assessment(context, &assessment);
    }
    let registered = match home.catalog.register(&Principal::Owner, record.clone(), facts).await {
        Err(CatalogError::Invalid { dataset, violations }) => {
            say_violations(context, &dataset, &violations);
            return Err(Outcome::Exit(ErrorCode::InvalidData.exit_code()));
        }
        other => other?,
    };
    let mut version = registered.dataset.version;
    for (table, options) in &record.tables {
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
        )
        .await;
        bar.finish();
        version = done?.dataset_version;
    }

    let dataset = &registered.dataset;
    if context.json {
        println!(
            "{}",
            serde_json::json!({
                "lab": dataset.lab, "name": dataset.name, "version": version, "ark": dataset.ark,
                "created": registered.created, "fair_score": dataset.fair_score, "missing": registered.missing,
            })
        );
        return Ok(());
    }
    let what = if registered.created { "Registered" } else { "Unchanged:" };
    println!("{what} {}.{}@{version}  {}", dataset.lab, dataset.name, dataset.ark);
    say_score(dataset.fair_score, &registered.missing);
    if dataset.tables.is_empty() && record.tables.is_empty() {
        context.note(format_args!(
            "It has no tables yet. Next: tarn ingest FILES… --dataset {} (add --in-place to leave the files where they are)",
            dataset.name
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Record, Failure> {
    let text = std::fs::read_to_string(path).map_err(|e| io(path.display(), &e))?;
    serde_yaml_ng::from_str(&text)
        .map_err(|e| Failure::new(ErrorCode::InvalidData, format!("{}: {e}", path.display())))
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
        println!("{}", serde_json::json!(assessment));
    } else if assessment.violations.is_empty() {
        println!("{} may be registered (dry run: nothing was stored).", assessment.record.name);
        say_score(assessment.fair_score, &assessment.missing);
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

fn say_violations(context: &Context, dataset: &str, violations: &[Violation]) {
    if context.json {
        eprintln!(
            "{}",
            serde_json::json!({"error": {"code": ErrorCode::InvalidData, "violations": violations}})
        );
        return;
    }
    eprintln!("error: {dataset} is not registered; {} thing(s) to mend:", violations.len());
    for violation in violations {
        eprintln!(
            "  {}\n      found {}\n      {} [{}]",
            violation.pointer, violation.found, violation.fix, violation.rule
        );
    }
}

fn say_score(score: f64, missing: &[MissingPoint]) {
    println!("FAIR score {score:.0} %");
    for point in missing {
        println!("  {:+.1}  {}  {}", point.points, point.metric, point.fix);
    }
}
