//! `tarn record new`

use super::{Context, Outcome};
use crate::cli::Record as Args;
use crate::failure::Failure;
use crate::fallback::fallback;
use crate::home::{Home, folder, is_home};
use tarn_catalog::LabDefaults;
use tarn_connectors::{Found, Stores};
use tarn_formats::FormatError;
use tarn_ingest::{IngestError, facts};
use tarn_schemas::facts::FileFacts;
use tarn_schemas::profile::LAB_CORE;
use tarn_schemas::profile::community::{Community, SHIPPED};
use tarn_schemas::{DatasetName, ErrorCode, Record, TableName};

/// Prints a record in YAML with what the files know.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Outcome> {
    let (files, name, tier) = match args {
        Args::New { files, name, tier } => (files, name, tier),
        Args::Profile { name } => return profile(context, &name).await,
    };
    let (stores, defaults) = settings(context).await?;
    let found = expand(&stores, &files).await?;
    let name = name.map(DatasetName::new).transpose()?;
    let facts = extract(context, &stores, &found).await?;
    let name = match name {
        Some(name) => name,
        None => name_of(&facts)?,
    };
    let record = Record { tier, ..tarn_catalog::prefill(name, &facts, &defaults) };
    if context.json {
        say!("{}", serde_json::json!(record));
    } else {
        say_part!("{}", tarn_catalog::render_yaml(&record, &facts));
    }
    Ok(())
}

/// Prints a profile as JSON Schema.
async fn profile(context: &Context, name: &str) -> Result<(), Outcome> {
    if name == "lab-core" {
        say_part!("{LAB_CORE}");
        return Ok(());
    }
    let (folder, _) = folder(context.home.as_deref())?;
    let own;
    let shipped: Vec<Community>;
    let known: &[Community] = if is_home(&folder) {
        own = Home::open(Some(&folder)).await?.catalog.profiles()?;
        &own
    } else {
        shipped = SHIPPED.iter().filter_map(|(_, text)| Community::read(text).ok()).collect();
        &shipped
    };
    let Some(profile) = known.iter().find(|profile| profile.name() == name) else {
        let names: Vec<&str> = known.iter().map(Community::name).collect();
        let problem = format!("no profile {name:?}; there are lab-core, {}", names.join(", "));
        return Err(Failure::new(ErrorCode::NotFound, problem).into());
    };
    say!("{:#}", profile.document());
    Ok(())
}

/// The stores and defaults of the home, if there is one.
async fn settings(context: &Context) -> Result<(Stores, LabDefaults), Failure> {
    let (folder, _) = folder(context.home.as_deref())?;
    if is_home(&folder) {
        let home = Home::open(Some(&folder)).await?;
        return Ok((home.stores, home.config.defaults));
    }
    Ok((Stores::default().with_fallback(fallback()), LabDefaults::default()))
}

/// All files that the arguments stand for.
pub(crate) async fn expand(stores: &Stores, texts: &[String]) -> Result<Vec<Found>, Failure> {
    let mut files = Vec::new();
    for text in texts {
        files.extend(stores.find(text).await?);
    }
    Ok(files)
}

/// Facts of every file, in order. Of folders, files of no format that Tarn reads are left out.
pub(crate) async fn extract(
    context: &Context,
    stores: &Stores,
    files: &[Found],
) -> Result<Vec<FileFacts>, Failure> {
    let said = |file: &Found| context.note(format_args!("reading {}", file.stat.location));
    let (facts, unknown) = facts_of(stores, files, said).await?;
    say_left_out(context, &unknown);
    Ok(facts)
}

/// Facts of every file, in order, and the files of folders that are of no format that Tarn reads.
pub(crate) async fn facts_of(
    stores: &Stores,
    files: &[Found],
    said: impl Fn(&Found),
) -> Result<(Vec<FileFacts>, Vec<String>), Failure> {
    let (mut facts, mut unknown) = (Vec::new(), Vec::new());
    for file in files {
        said(file);
        match facts::extract(stores, &file.stat).await {
            Err(IngestError::Format(FormatError::UnknownFormat { location, .. }))
                if !file.named =>
            {
                unknown.push(location);
            }
            extracted => facts.push(extracted?),
        }
    }
    if facts.is_empty() && !unknown.is_empty() {
        return Err(nothing_to_read(&unknown));
    }
    Ok((facts, unknown))
}

/// The failure of folders in which nothing can be read.
pub(crate) fn nothing_to_read(unknown: &[String]) -> Failure {
    Failure::new(
        ErrorCode::InvalidData,
        format!(
            "no file there is of a format that Tarn reads (HDF5, NetCDF-4, NetCDF-3, SPEC): {}",
            unknown.join(", ")
        ),
    )
}

/// Says which files of folders were left out.
pub(crate) fn say_left_out(context: &Context, unknown: &[String]) {
    if !unknown.is_empty() {
        context.note(format_args!(
            "{} file(s) left out, of no format that Tarn reads: {}",
            unknown.len(),
            unknown.join(", ")
        ));
    }
}

fn name_of(files: &[FileFacts]) -> Result<DatasetName, Failure> {
    let first = files.first().map(|file| file.location.as_str()).unwrap_or_default();
    let stem = first.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    let none = || {
        Failure::new(ErrorCode::InvalidArgument, "no name can be made of the file's; give --name")
    };
    let name = TableName::from_text(stem).map_err(|_| none())?;
    let name = name.as_str().trim_start_matches('_');
    // A dataset is named by words: `2020.nc` is `data_2020`.
    let name =
        if name.starts_with(|c: char| c.is_ascii_digit()) { &format!("data_{name}") } else { name };
    DatasetName::new(name).map_err(|_| none())
}
