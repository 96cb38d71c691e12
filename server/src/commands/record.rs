//! `tarn record new`

use super::{Context, Outcome};
use crate::cli::Record as Args;
use crate::failure::Failure;
use crate::home::{Home, folder, is_home};
use tarn_catalog::LabDefaults;
use tarn_connectors::Stores;
use tarn_connectors::store::FileStat;
use tarn_ingest::facts;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, ErrorCode, TableName};

/// Prints a record in YAML with what the files know.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Outcome> {
    let Args::New { files, name } = args;
    let (stores, defaults) = settings(context).await?;
    let found = expand(&stores, &files).await?;
    let name = match name {
        Some(name) => DatasetName::new(name)?,
        None => name_of(&found)?,
    };
    let facts = extract(context, &stores, &found).await?;
    let record = tarn_catalog::prefill(name, &facts, &defaults);
    if context.json {
        say!("{}", serde_json::json!(record));
    } else {
        say_part!("{}", tarn_catalog::render_yaml(&record, &facts));
    }
    Ok(())
}

/// The stores and defaults of the home, if there is one.
async fn settings(context: &Context) -> Result<(Stores, LabDefaults), Failure> {
    let (folder, _) = folder(context.home.as_deref())?;
    if is_home(&folder) {
        let home = Home::open(Some(&folder)).await?;
        return Ok((home.stores, home.config.defaults));
    }
    Ok((Stores::default(), LabDefaults::default()))
}

/// All files that the arguments stand for.
pub(crate) async fn expand(stores: &Stores, texts: &[String]) -> Result<Vec<FileStat>, Failure> {
    let mut files = Vec::new();
    for text in texts {
        files.extend(stores.expand(text).await?);
    }
    Ok(files)
}

/// Facts of every file, in order.
pub(crate) async fn extract(
    context: &Context,
    stores: &Stores,
    files: &[FileStat],
) -> Result<Vec<FileFacts>, Failure> {
    let mut facts = Vec::new();
    for file in files {
        context.note(format_args!("reading {}", file.location));
        facts.push(facts::extract(stores, file).await?);
    }
    Ok(facts)
}

fn name_of(files: &[FileStat]) -> Result<DatasetName, Failure> {
    let first = files.first().map(|file| file.location.as_str()).unwrap_or_default();
    let stem = first.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or_default();
    let name = TableName::from_text(stem).map_err(|_| {
        Failure::new(ErrorCode::InvalidArgument, "no name can be made of the file's; give --name")
    })?;
    Ok(DatasetName::new(name.as_str())?)
}
