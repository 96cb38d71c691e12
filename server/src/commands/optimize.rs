//! `tarn optimize`

use super::ingest::or_ctrl_c;
use super::{Context, Outcome};
use crate::cli::Optimize;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::IngestBar;
use std::sync::Arc;
use std::time::Instant;
use tarn_ingest::{Cancel, OptimizeRequest, OptimizedTable, optimize};
use tarn_schemas::{DatasetRef, ErrorCode, Principal, TableName};

/// Rewrites the data files of a dataset's tables.
pub(crate) async fn run(context: &Context, args: Optimize) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (dataset, table) = named(&args.name, home.catalog.lab().as_str())?;
    let request = OptimizeRequest {
        dataset: dataset.name,
        table,
        order: args.z_order,
        file_bytes: args.target_size.saturating_mul(1 << 20),
    };
    let started = Instant::now();
    let bar = Arc::new(IngestBar::new(context.quiet || context.json));
    let (shown, cancel) = (bar.clone(), Cancel::new());
    let work = optimize(
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
    let json = |table: &OptimizedTable| {
        serde_json::json!({
            "table": table.entry, "files_replaced": table.files_replaced,
            "files_written": table.files_written, "bytes_replaced": table.bytes_replaced,
            "bytes_written": table.bytes_written,
        })
    };
    if context.json {
        let tables: Vec<_> = report.tables.iter().map(json).collect();
        say!(
            "{}",
            serde_json::json!({
                "dataset": request.dataset, "version": report.dataset_version, "tables": tables,
            })
        );
        return Ok(());
    }
    for table in &report.tables {
        let name = format!("{}.{}.{}", home.catalog.lab(), request.dataset, table.entry.name);
        if table.files_replaced == 0 {
            say!("{name}  nothing to do");
        } else {
            say!(
                "{name}  {} file(s) of {} bytes became {} of {}",
                table.files_replaced,
                table.bytes_replaced,
                table.files_written,
                table.bytes_written
            );
        }
    }
    context.note(format_args!(
        "{} table(s) in {:.1} s; dataset version {}",
        report.tables.len(),
        started.elapsed().as_secs_f64(),
        report.dataset_version
    ));
    Ok(())
}

/// A dataset of this lab, and one of its tables where it is named: `dataset`, `dataset.table`,
/// `lab.dataset` or `lab.dataset.table`.
fn named(text: &str, lab: &str) -> Result<(DatasetRef, Option<TableName>), Failure> {
    let own = text.strip_prefix(lab).and_then(|rest| rest.strip_prefix('.')).unwrap_or(text);
    let (dataset, table) = match own.split_once('.') {
        Some((dataset, table)) => (dataset, Some(TableName::new(table)?)),
        None => (own, None),
    };
    let dataset: DatasetRef = dataset.parse()?;
    if dataset.version.is_some() {
        return Err(Failure::new(
            ErrorCode::InvalidArgument,
            format!("{text}: versions do not change; leave out @ and what follows"),
        ));
    }
    Ok((dataset, table))
}
