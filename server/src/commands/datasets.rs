//! `tarn show` and `tarn versions`

use super::{Context, Outcome};
use crate::cli::Named;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use tarn_catalog::{ColumnInfo, Dataset, SearchHit, TableStorage};
use tarn_query::federation::{self, Shown};
use tarn_schemas::shown::harmless;
use tarn_schemas::{DatasetRef, ErrorCode, Freshness, Principal};

/// Shows one dataset of this lab, or what a peer says of one of its own.
pub(crate) async fn show(context: &Context, args: &Named) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let wanted: DatasetRef = args.name.parse()?;
    if let Some(lab) = wanted.lab.as_ref().filter(|lab| *lab != home.catalog.lab()) {
        let at = (lab, &wanted.name);
        let shown = federation::show(&home.catalog, &Principal::Owner, at).await?;
        if let Some(version) = wanted.version.filter(|version| *version != shown.record.version) {
            return Err(Failure::new(
                ErrorCode::NotFound,
                format!(
                    "lab {lab} tells other labs of version {} of {}, and version {version} was asked for",
                    shown.record.version, wanted.name
                ),
            )
            .into());
        }
        if context.json {
            say!("{}", serde_json::json!(shown));
        } else {
            print_shown(context, &shown);
        }
        return Ok(());
    }
    let dataset = home.catalog.dataset(&Principal::Owner, &wanted).await?;
    if context.json {
        say!("{}", serde_json::json!(dataset));
    } else {
        print_dataset(&dataset);
    }
    Ok(())
}

/// Prints a dataset of another lab, and how old what is told of it is.
fn print_shown(context: &Context, shown: &Shown) {
    let record = &shown.record;
    let text =
        |key: &str| record.record.get(key).and_then(|value| value.as_str()).unwrap_or_default();
    let id = format!("{}.{}@{}", record.lab, record.name, record.version);
    say!("{id}  {}  [{}]  {}", text("title"), record.tier, record.ark);
    let description = text("description").trim();
    if !description.is_empty() {
        say!("{description}");
    }
    if let Some(withdrawn) = &record.withdrawn {
        let instead = withdrawn.replaced_by.as_ref();
        let instead = instead.map_or_else(String::new, |name| format!("; use {name}"));
        say!("withdrawn {}: {}{instead}", withdrawn.at, withdrawn.reason);
    }
    for table in &record.tables {
        say_columns(&format!("{}.{}.{}", record.lab, record.name, table.name), &table.columns);
    }
    if let (Freshness::Stale | Freshness::Unreachable, Some(as_of)) = (shown.state, &shown.as_of) {
        let why = shown.error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
        let state = shown.state.as_str();
        context.note(format_args!("{} is {state}{why}: this is as of {as_of}", record.lab));
    }
}

/// Prints a search hit with its tables.
pub(crate) fn print_hit(hit: &SearchHit) {
    let stale = if hit.stale { "  (stale)" } else { "" };
    let id = format!("{}.{}@{}", hit.lab, hit.name, hit.version);
    // What peers say of theirs is not looked at by the rules of this lab.
    say!("{id}  {}  [{}]  {}{stale}", harmless(&hit.title), hit.tier, harmless(&hit.ark));
    let text = hit.snippet.as_ref().unwrap_or(&hit.summary);
    if !text.is_empty() {
        say!("    {}", harmless(text));
    }
    for (table, columns) in &hit.tables {
        say_columns(&format!("{}.{}.{table}", hit.lab, hit.name), columns);
    }
}

/// Prints the name of a table with its columns.
fn say_columns(table: &str, columns: &[ColumnInfo]) {
    let columns: Vec<String> = columns
        .iter()
        .map(|column| match &column.units {
            Some(units) => format!("{} [{units}]", column.name),
            None => column.name.clone(),
        })
        .collect();
    say!("    {table}({})", harmless(&columns.join(", ")));
}

fn print_dataset(dataset: &Dataset) {
    let record = &dataset.record;
    let title = harmless(&record.title);
    say!("{}.{}@{}  {title}", dataset.lab, dataset.name, dataset.version);
    for line in record.description.trim().lines() {
        say!("{}", harmless(line));
    }
    say!();
    let creators: Vec<&str> = record.creators.iter().map(|creator| creator.name.as_str()).collect();
    let publisher = record.publisher.as_ref().map(|publisher| publisher.name.clone());
    let extent = dataset.extent;
    let lines = [
        ("identifier", Some(dataset.ark.clone())),
        ("tier", Some(dataset.tier.to_string())),
        ("embargo", record.embargo.as_ref().map(|e| format!("until {}: {}", e.until, e.reason))),
        ("licence", record.license.clone().or_else(|| record.rights.clone())),
        ("creators", Some(creators.join("; "))),
        ("publisher", publisher),
        ("keywords", Some(record.keywords.join(", "))),
        ("time", extent.time.map(|(start, end)| format!("{} to {}", date(start), date(end)))),
        (
            "box",
            extent
                .written_box()
                .map(|[w, s, e, n]| format!("west {w}, south {s}, east {e}, north {n}")),
        ),
        (
            "files",
            Some(format!(
                "{} ({} bytes)",
                dataset.files.len(),
                dataset.files.iter().map(|f| f.bytes).sum::<u64>()
            )),
        ),
        ("FAIR score", Some(format!("{:.0} %", dataset.fair_score))),
        ("registered", Some(dataset.registered_at.clone())),
    ];
    for (name, value) in lines {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            say!("{name:>11}  {}", harmless(&value));
        }
    }
    for table in &dataset.tables {
        let rows = table.rows.map_or_else(String::new, |rows| format!(", {rows} rows"));
        say!(
            "\n{}.{}.{} ({}{rows})",
            dataset.lab,
            dataset.name,
            table.name,
            storage(&table.storage)
        );
        let rows = table.columns.iter().map(|column| {
            vec![
                column.name.clone(),
                column.data_type.clone(),
                column.units.clone().unwrap_or_default(),
                column.standard_name.clone().unwrap_or_default(),
            ]
        });
        say_part!("{}", text_table(&["column", "type", "units", "standard name"], rows));
    }
    for view in &dataset.views {
        let whose = if view.security_invoker { "of whoever asks" } else { "of whoever made it" };
        say!("\n{}.{}.{} (view with the rights {whose})", dataset.lab, dataset.name, view.name);
        if let Some(sql) = &view.sql {
            say!("{sql}");
        }
        let rows =
            view.columns.iter().map(|column| vec![column.name.clone(), column.data_type.clone()]);
        say_part!("{}", text_table(&["column", "type"], rows));
    }
}

fn date(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float cast saturates; far dates print as none"
    )]
    let whole = seconds.floor() as i64;
    chrono::DateTime::from_timestamp(whole, 0).map_or_else(
        || format!("{seconds} s since 1970"),
        |date| date.format("%Y-%m-%d").to_string(),
    )
}

fn storage(storage: &TableStorage) -> String {
    match storage {
        TableStorage::Delta { version, .. } => format!("Delta version {version}"),
        TableStorage::InPlace { files, .. } => format!("{} file(s) in place", files.len()),
    }
}

/// Lists versions.
pub(crate) async fn versions(context: &Context, args: &Named) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let wanted: DatasetRef = args.name.parse()?;
    if let Some(lab) = wanted.lab.as_ref().filter(|lab| *lab != home.catalog.lab()) {
        return Err(Failure::new(
            ErrorCode::NotFound,
            format!(
                "{lab} keeps the versions of its own datasets; this home is {}",
                home.catalog.lab()
            ),
        )
        .into());
    }
    let versions = home.catalog.versions(&Principal::Owner, &wanted.name).await?;
    if context.json {
        say!("{}", serde_json::json!(versions));
        return Ok(());
    }
    let rows = versions.iter().map(|version| {
        let tables: Vec<String> =
            version.tables.iter().map(|(name, pin)| format!("{name}: {pin}")).collect();
        vec![
            version.version.to_string(),
            version.created_at.clone(),
            version.created_by.clone(),
            version.notes.clone(),
            tables.join("; "),
            version.content_hash.chars().take(12).collect(),
        ]
    });
    say_part!("{}", text_table(&["version", "made", "by", "notes", "tables", "content"], rows));
    Ok(())
}
