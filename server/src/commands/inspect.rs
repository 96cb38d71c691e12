//! `tarn inspect`

use super::record::{nothing_to_read, say_left_out};
use super::{Context, Outcome};
use crate::cli::Inspect;
use crate::failure::Failure;
use crate::home::engine_or_files;
use crate::output::text_table;
use serde_json::json;
use std::sync::Arc;
use tarn_connectors::{FileStat, Found, Stores};
use tarn_formats::{AttributeValue, Contents, FormatError, Reader, Variable, contents};
use tarn_schemas::ErrorCode;

/// Says what is in files. A file that cannot be read is said at its place; the others go on.
pub(crate) async fn run(context: &Context, args: &Inspect) -> Result<(), Outcome> {
    let engine = engine_or_files(context.home.as_deref()).await?;
    let mut files = Vec::new();
    for text in &args.files {
        files.extend(engine.stores().find(text).await?);
    }
    let (mut described, mut unknown) = (Vec::new(), Vec::new());
    let mut first_failure = None;
    for Found { stat: file, named } in &files {
        match open(engine.stores(), file, true).await {
            Ok(reader) if context.json => described.push(as_json(file, reader.contents())),
            Ok(reader) => print(file, reader.contents()),
            Err(Unopened::UnknownFormat(_)) if !named => unknown.push(file.location.clone()),
            Err(failure) if files.len() == 1 => return Err(Failure::from(failure).into()),
            Err(failure) => {
                let failure = Failure::from(failure);
                failure.report(context.json);
                first_failure.get_or_insert(failure);
            }
        }
    }
    if unknown.len() == files.len() {
        return Err(nothing_to_read(&unknown).into());
    }
    if context.json {
        say!("{}", json!(described));
    }
    say_left_out(context, &unknown);
    match first_failure {
        Some(failure) => Err(Outcome::Exit(failure.code().exit_code())),
        None => Ok(()),
    }
}

/// Why a file was not opened.
#[derive(Debug)]
pub(crate) enum Unopened {
    /// It is of no format that Tarn reads.
    UnknownFormat(Failure),
    /// Anything else.
    Failed(Failure),
}

impl From<Unopened> for Failure {
    fn from(unopened: Unopened) -> Self {
        match unopened {
            Unopened::UnknownFormat(failure) | Unopened::Failed(failure) => failure,
        }
    }
}

/// Opens a file on a thread that may block, with or without the files beside it that it refers to.
pub(crate) async fn open(
    stores: &Stores,
    file: &FileStat,
    with_siblings: bool,
) -> Result<Arc<dyn Reader>, Unopened> {
    let source = stores.source(file).await.map_err(|error| Unopened::Failed(error.into()))?;
    let siblings = with_siblings.then(|| Stores::siblings(file)).flatten();
    let options = stores.open_options(siblings);
    let opened = tokio::task::spawn_blocking(move || source.open(&options)).await;
    match opened {
        Ok(Ok(reader)) => Ok(reader),
        Ok(Err(error @ FormatError::UnknownFormat { .. })) => {
            Err(Unopened::UnknownFormat(error.into()))
        }
        Ok(Err(error)) => Err(Unopened::Failed(error.into())),
        Err(error) => {
            let problem = format!("{}: {error}", file.location);
            Err(Unopened::Failed(Failure::new(ErrorCode::Internal, problem)))
        }
    }
}

fn attribute_text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Text(texts) => texts.join(", "),
        AttributeValue::Numbers(values) => {
            let format = arrow::util::display::FormatOptions::default();
            match arrow::util::display::ArrayFormatter::try_new(values.as_ref(), &format) {
                Ok(formatter) => {
                    let values: Vec<String> =
                        (0..values.len()).map(|i| formatter.value(i).to_string()).collect();
                    values.join(", ")
                }
                Err(error) => error.to_string(),
            }
        }
        AttributeValue::Unreadable(reason) => format!("({reason})"),
    }
}

/// Global attributes that a FAIR record is prefilled from.
const WANTED: [&str; 6] = ["title", "institution", "source", "history", "license", "Conventions"];

/// What a steward will have to type because the file does not say it.
fn missing(contents: &Contents) -> Vec<String> {
    let mut missing: Vec<String> = WANTED
        .iter()
        .filter(|name| contents::find(&contents.attributes, name).is_none())
        .map(|name| format!("global attribute {name}"))
        .collect();
    let without = |name: &str| -> Vec<String> {
        contents
            .variables
            .iter()
            .filter(|v| {
                v.data_type.is_numeric() && !v.dimensions.is_empty() && v.attribute(name).is_none()
            })
            .map(|v| v.path.trim_start_matches('/').to_owned())
            .collect()
    };
    for name in ["units", "standard_name"] {
        let variables = without(name);
        if !variables.is_empty() {
            missing.push(format!("{name} of {}", variables.join(", ")));
        }
    }
    missing
}

fn shape_text(variable: &Variable) -> String {
    let dimensions: Vec<String> = variable
        .dimensions
        .iter()
        .map(|dimension| format!("{}={}", dimension.name, dimension.length))
        .collect();
    dimensions.join(", ")
}

fn filters_text(variable: &Variable) -> String {
    let by = if variable.fallback { " (by libhdf5)" } else { "" };
    format!("{}{by}", variable.filters.join(", "))
}

fn print(file: &FileStat, contents: &Contents) {
    say!("{}  {}  {} bytes", file.location, contents.format, file.bytes);
    for attribute in &contents.attributes {
        let text = attribute_text(&attribute.value);
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(100).collect();
        let more = if short.len() < text.len() { " …" } else { "" };
        say!("  :{} = {short}{more}", attribute.name);
    }
    let rows = contents.variables.iter().map(|variable| {
        vec![
            variable.path.trim_start_matches('/').to_owned(),
            variable.data_type.to_string(),
            shape_text(variable),
            variable.text("units").unwrap_or_default().to_owned(),
            variable.text("standard_name").unwrap_or_default().to_owned(),
            variable.chunk_shape.as_ref().map_or_else(String::new, |chunks| {
                chunks.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
            }),
            filters_text(variable),
        ]
    });
    say_part!(
        "{}",
        text_table(
            &["variable", "type", "dimensions", "units", "standard name", "chunks", "filters"],
            rows
        )
    );
    say!("\ngrids (each is a table):");
    for grid in &contents.grids {
        let cells = grid.cells().map_or_else(|| "too many".to_owned(), |cells| cells.to_string());
        let names: Vec<&str> =
            grid.variables.iter().map(|path| path.trim_start_matches('/')).collect();
        say!("  {}  {cells} rows: {}", grid.name, names.join(", "));
    }
    for unreadable in &contents.unreadable {
        say!("  cannot be read: {}: {}", unreadable.path, unreadable.reason);
    }
    let missing = missing(contents);
    if !missing.is_empty() {
        say!("\nnot said by the file: {}", missing.join("; "));
    }
    say!();
}

fn as_json(file: &FileStat, contents: &Contents) -> serde_json::Value {
    let attributes =
        |list: &[tarn_formats::Attribute]| -> serde_json::Map<String, serde_json::Value> {
            list.iter().map(|a| (a.name.clone(), json!(attribute_text(&a.value)))).collect()
        };
    json!({
        "file": file.location,
        "bytes": file.bytes,
        "format": contents.format.as_str(),
        "attributes": attributes(&contents.attributes),
        "groups": contents.groups.iter().map(|(path, list)| json!({"path": path, "attributes": attributes(list)})).collect::<Vec<_>>(),
        "variables": contents.variables.iter().map(|v| json!({
            "path": v.path,
            "type": v.data_type.to_string(),
            "dimensions": v.dimensions.iter().map(|d| d.name.clone()).collect::<Vec<_>>(),
            "shape": v.shape(),
            "chunks": v.chunk_shape,
            "filters": v.filters,
            "fallback": v.fallback,
            "stored_bytes": v.stored_bytes,
            "attributes": attributes(&v.attributes),
        })).collect::<Vec<_>>(),
        "grids": contents.grids.iter().map(|g| json!({
            "name": g.name,
            "group": g.group,
            "dimensions": g.dimensions.iter().map(|d| json!({"name": d.name, "length": d.length, "unlimited": d.unlimited, "coordinate": d.coordinate})).collect::<Vec<_>>(),
            "rows": g.cells(),
            "variables": g.variables,
        })).collect::<Vec<_>>(),
        "unreadable": contents.unreadable.iter().map(|u| json!({"path": u.path, "reason": u.reason})).collect::<Vec<_>>(),
        "missing": missing(contents),
    })
}
