//! `tarn show` and `tarn versions`

use super::{Context, Outcome};
use crate::cli::Named;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use tarn_catalog::{Dataset, SearchHit, SearchRequest, TableStorage};
use tarn_query::federation;
use tarn_schemas::{DatasetRef, ErrorCode, Principal};

/// Shows one dataset of this lab, or what a peer says of one of its own.
pub(crate) async fn show(context: &Context, args: &Named) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let wanted: DatasetRef = args.name.parse()?;
    if wanted.lab.as_ref().is_some_and(|lab| lab != home.catalog.lab()) {
        let hit = at_peer(&home, &wanted).await?;
        if context.json {
            say!("{}", serde_json::json!(hit));
        } else {
            print_hit(&hit);
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

async fn at_peer(home: &Home, wanted: &DatasetRef) -> Result<SearchHit, Failure> {
    let lab = wanted.lab.as_ref().map(ToString::to_string).unwrap_or_default();
    let request = SearchRequest {
        filters: vec![("lab".to_owned(), lab.clone())],
        limit: 10_000,
        ..SearchRequest::default()
    };
    let engine = home.engine()?;
    let (answer, sites) = federation::search(&engine, &Principal::Owner, &request).await?;
    answer.hits.into_iter().find(|hit| hit.name == wanted.name).ok_or_else(|| {
        match sites.iter().find(|site| site.lab.as_str() == lab) {
            Some(site) if site.error.is_some() => Failure::new(
                ErrorCode::Unavailable,
                format!("lab {lab} did not answer: {}", site.error.clone().unwrap_or_default()),
            ),
            Some(_) => Failure::new(
                ErrorCode::NotFound,
                format!("lab {lab} has no dataset {:?}", wanted.name.as_str()),
            ),
            None => {
                Failure::new(ErrorCode::NotFound, format!("no peer {lab:?}; see `tarn peer list`"))
            }
        }
    })
}

/// Prints a search hit with its tables.
pub(crate) fn print_hit(hit: &SearchHit) {
    say!("{}.{}@{}  {}  [{}]  {}", hit.lab, hit.name, hit.version, hit.title, hit.tier, hit.ark);
    let text = hit.snippet.as_ref().unwrap_or(&hit.summary);
    if !text.is_empty() {
        say!("    {text}");
    }
    for (table, columns) in &hit.tables {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| match &column.units {
                Some(units) => format!("{} [{units}]", column.name),
                None => column.name.clone(),
            })
            .collect();
        say!("    {}.{}.{table}({})", hit.lab, hit.name, columns.join(", "));
    }
}

fn print_dataset(dataset: &Dataset) {
    let record = &dataset.record;
    say!("{}.{}@{}  {}", dataset.lab, dataset.name, dataset.version, record.title);
    say!("{}", record.description.trim());
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
            say!("{name:>11}  {value}");
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
