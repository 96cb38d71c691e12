//! `tarn ingest`

use super::record::say_left_out;
use super::{Context, Outcome};
use crate::cli::Ingest;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::IngestBar;
use std::sync::Arc;
use std::time::Instant;
use tarn_catalog::TableStorage;
use tarn_ingest::{Cancel, IngestError, IngestRequest, ingest};
use tarn_schemas::{DatasetRef, ErrorCode, Principal, TableName, TableOptions};

/// Makes tables of files.
pub(crate) async fn run(context: &Context, args: Ingest) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let dataset: DatasetRef = args.dataset.parse()?;
    if dataset.lab.as_ref().is_some_and(|lab| lab != home.catalog.lab())
        || dataset.version.is_some()
    {
        return Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!("{dataset}: files are ingested into the newest version of this lab's own datasets ({})", home.catalog.lab()),
        )
        .into());
    }
    let table = args.table.as_deref().map(TableName::new).transpose()?;
    let said = TableOptions {
        grid: args.grid,
        layout: args.layout.into(),
        columns: args.columns,
        select: args.select,
        ..TableOptions::default()
    };
    // What the record says of the table counts where the command line says nothing.
    let found = home.catalog.dataset(&Principal::Owner, &dataset).await.map_err(|error| {
        let failure = Failure::from(error);
        match failure.code() {
            ErrorCode::NotFound => failure.and(format_args!(
                "a dataset is registered before its files are ingested: tarn record new FILES… \
                 --name {0} > {0}.yaml, then tarn register {0}.yaml",
                dataset.name
            )),
            _ => failure,
        }
    })?;
    let recorded = found.record.tables;
    let options = match table.as_ref().and_then(|table| recorded.get(table)) {
        Some(recorded) if said == TableOptions::default() => recorded.clone(),
        _ => said,
    };
    let request = IngestRequest {
        sources: args.sources,
        dataset: dataset.name,
        table,
        options,
        in_place: args.in_place,
    };

    let started = Instant::now();
    let bar = Arc::new(IngestBar::new(context.quiet || context.json));
    let shown = bar.clone();
    let cancel = Cancel::new();
    let work = ingest(
        &home.catalog,
        &home.stores,
        &home.store,
        &Principal::Owner,
        &request,
        Arc::new(move |progress| shown.show(&progress)),
        &cancel,
    );
    let report = Box::pin(or_ctrl_c(work, &cancel, &bar)).await;
    bar.finish();
    let report = report?;
    say_left_out(context, &report.unknown);
    if context.json {
        say!(
            "{}",
            serde_json::json!({
                "dataset": request.dataset, "version": report.dataset_version, "tables": report.tables,
                "files_added": report.files_added, "files_skipped": report.files_skipped, "copies": report.copies,
                "rows_added": report.rows_added,
                "files_left_out": report.unknown,
            })
        );
        return Ok(());
    }
    for table in &report.tables {
        let rows = table.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let place = match &table.storage {
            TableStorage::Delta { url, version } => format!("Delta version {version} at {url}"),
            TableStorage::InPlace { files, .. } => format!("{} file(s) in place", files.len()),
        };
        say!("{}.{}.{}  {rows} rows  {place}", home.catalog.lab(), request.dataset, table.name);
    }
    for copy in &report.copies {
        context.note(format_args!("left out, a byte-identical copy of another file: {copy}"));
    }
    context.note(format_args!(
        "{} file(s) added, {} there already; {} table(s), {} row(s) added in {:.1} s; dataset version {}",
        report.files_added,
        report.files_skipped,
        report.tables.len(),
        report.rows_added,
        started.elapsed().as_secs_f64(),
        report.dataset_version
    ));
    Ok(())
}

/// Work on data files, until it is done or Ctrl-C ends it.
///
/// # Errors
/// Those of the work, and [`ErrorCode::Cancelled`] after a second Ctrl-C.
pub(super) async fn or_ctrl_c<T>(
    work: impl Future<Output = Result<T, IngestError>>,
    cancel: &Cancel,
    bar: &IngestBar,
) -> Result<T, Failure> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => Ok(done?),
        // What was written is taken away again before the process ends; a second one ends it at once.
        _ = tokio::signal::ctrl_c() => {
            cancel.cancel();
            tokio::select! {
                done = work => Ok(done?),
                _ = tokio::signal::ctrl_c() => {
                    bar.finish();
                    Err(Failure::new(
                        ErrorCode::Cancelled,
                        "ended at once; data files that no table names may stay behind in the \
                         store. Run the same command again to go on",
                    ))
                }
            }
        }
    }
}
