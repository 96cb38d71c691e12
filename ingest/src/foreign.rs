//! Delta tables that others wrote, used where they are: nothing is copied, and the newest version of
//! the table is pinned.

use crate::delta::{Log, StoredFile, Target};
use crate::{IngestError, IngestRequest, inside};
use arrow::datatypes::Field;
use object_store::path::Path as ObjectPath;
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, ParquetRecordBatchStreamBuilder};
use std::sync::Arc;
use tarn_catalog::{Dataset, TableEntry, TableStorage};
use tarn_connectors::{Found, Location, Stores};
use tarn_schemas::facts::{Extent, FileFacts, VariableFacts};
use tarn_schemas::{TableName, TableOptions};

/// The Delta tables among the sources: all of them, or none.
///
/// # Errors
/// Tables that would be copied, tables beside files, and options that only files have.
pub(crate) fn among(
    request: &IngestRequest,
    found: &[Found],
) -> Result<Vec<Location>, IngestError> {
    let (tables, files): (Vec<&Found>, Vec<&Found>) =
        found.iter().partition(|found| found.stat.is_delta_table());
    let Some(first) = tables.first().map(|table| table.stat.location.as_str()) else {
        return Ok(Vec::new());
    };
    let refused = |problem: String| Err(IngestError::Nothing { problem });
    if let Some(file) = files.first() {
        return refused(format!(
            "{first} is a Delta table and {} is not: ingest them by commands of their own",
            file.stat.location
        ));
    }
    if !request.in_place {
        return refused(format!(
            "{first} is a Delta table already: add --in-place to use it where it is"
        ));
    }
    if request.options != TableOptions::default() {
        return refused(format!(
            "{first} is a Delta table, which is used as it is: leave out --grid, --layout, --column \
             and --select, and choose columns in queries"
        ));
    }
    if request.table.is_some() && tables.len() > 1 {
        return refused(format!(
            "{} Delta tables cannot be one table: name each by a command of its own",
            tables.len()
        ));
    }
    let folders = tables.iter().map(|table| Ok(Location::parse(&table.stat.location)?.child("")));
    folders.collect()
}

/// What the log of a Delta table says of it, for records: its columns, the bytes of its files, and as
/// checksum the SHA-256 of lines of path, bytes and deletion vector of its files, in their order.
pub(crate) async fn facts(stores: &Stores, folder: &str) -> Result<FileFacts, IngestError> {
    let location = Location::parse(folder)?.child("");
    let target = target(stores, folder, &location)?;
    let log = load(&target).await?;
    let schema = log.schema(&target)?;
    let (bytes, sha256) = log.content(&target)?;
    let rows = log.rows();
    let text = |field: &Field, key: &str| field.metadata().get(key).cloned();
    let variables = schema.fields().iter().map(|field| VariableFacts {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
        dimensions: vec!["row".to_owned()],
        shape: rows.into_iter().collect(),
        standard_name: text(field, "standard_name"),
        long_name: text(field, "long_name"),
        units: text(field, "units"),
        min: None,
        max: None,
        missing: None,
    });
    Ok(FileFacts {
        location: folder.to_owned(),
        media_type: "application/vnd.apache.parquet".to_owned(),
        bytes,
        sha256,
        variables: variables.collect(),
        extent: Extent::default(),
        attributes: Vec::new(),
    })
}

fn target(stores: &Stores, table: &str, location: &Location) -> Result<Target, IngestError> {
    let (store, folder) = stores.object_store(location)?;
    Ok(Target { table: table.to_owned(), location: location.clone(), store, folder })
}

/// The newest state of a table that stays in its folder.
async fn load(target: &Target) -> Result<Log, IngestError> {
    let log = Log::load(target).await?.ok_or_else(|| IngestError::Conflict {
        table: target.table.clone(),
        problem: format!("{} holds no Delta table", target.location),
    })?;
    log.check_reach(target)?;
    if log.maps_by_number(target)? {
        check_numbers(target, &log).await?;
    }
    Ok(log)
}

/// A Delta table of others at its newest version.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// The table as the catalog will know it.
    pub entry: TableEntry,
    /// Rows that it has more than before; all of them where that is not known.
    pub rows: u64,
    /// Whether its version is another one than before.
    pub is_new: bool,
}

/// Pins the newest version of a table.
///
/// # Errors
/// A table that needs what Tarn cannot read, that reaches outside its folder, or that is the lab's own.
pub(crate) async fn pin(
    stores: &Stores,
    store: &Location,
    dataset: &Dataset,
    name: Option<&TableName>,
    location: &Location,
) -> Result<Pinned, IngestError> {
    let name = match name {
        Some(name) => name.clone(),
        None => named_after(location)?,
    };
    let refused = |problem: String| IngestError::Conflict { table: name.to_string(), problem };
    let listed = |file: &FileFacts| {
        Location::parse(&file.location).is_ok_and(|file| file.child("") == *location)
    };
    if !dataset.files.is_empty() && !dataset.files.iter().any(listed) {
        return Err(IngestError::Unlisted {
            location: location.to_string(),
            problem: format!(
                "the record of {} does not list this table; add its folder under `files:`, run `tarn \
                 register RECORD.yaml`, then ingest",
                dataset.name
            ),
        });
    }
    if inside(store, location) {
        return Err(refused(format!(
            "{location} is in this lab's own store, whose tables are made by ingesting files"
        )));
    }
    let existing = dataset.tables.iter().find(|entry| entry.name == name);
    let before = match existing.map(|entry| &entry.storage) {
        None => None,
        Some(TableStorage::Delta { url, version }) if *url == location.url().as_str() => {
            Some(*version)
        }
        Some(_) => {
            return Err(refused(
                "another table of the dataset has this name: use --table NAME".to_owned(),
            ));
        }
    };
    let target = target(stores, name.as_str(), location)?;
    let log = load(&target).await?;
    let entry = log.entry(&name, &target)?;
    let old = existing.and_then(|entry| entry.rows).unwrap_or(0);
    let is_new = before != Some(log.version());
    let rows = entry.rows.unwrap_or(0).saturating_sub(old);
    Ok(Pinned { entry, rows: if is_new { rows } else { 0 }, is_new })
}

/// Refuses a table that finds its columns by numbers (`delta.columnMapping.mode` is `id`) where names
/// in its files say something else: queries go by the names.
async fn check_numbers(target: &Target, log: &Log) -> Result<(), IngestError> {
    let refused = |problem: String| IngestError::Conflict { table: target.table.clone(), problem };
    let schema = log.schema(target)?;
    for (name, bytes) in log.files_with_bytes() {
        let below = ObjectPath::parse(&name).unwrap_or_else(|_| ObjectPath::from(name.as_str()));
        let path = target.folder.parts().chain(below.parts()).collect();
        let stored = StoredFile { store: Arc::clone(&target.store), path, bytes };
        let builder = ParquetRecordBatchStreamBuilder::new(stored).await;
        let file = builder.map_err(|error| target.failed(&error))?.schema().clone();
        let number = |field: &Field| field.metadata().get(PARQUET_FIELD_ID_META_KEY).cloned();
        for field in schema.fields() {
            let said = |key: &str| field.metadata().get(key);
            let (physical, wanted) =
                (said("delta.columnMapping.physicalName"), said("delta.columnMapping.id"));
            let by_number = file.fields().iter().find(|f| number(f).as_ref() == wanted);
            let by_name = file.fields().iter().find(|f| Some(f.name()) == physical);
            if field.data_type().is_nested() || by_number != by_name {
                return Err(refused(format!(
                    "it finds columns by numbers, and in {name} the number of column {} is not at \
                     the name that the table gives: rewrite the table with the column mapping `name`",
                    field.name()
                )));
            }
        }
    }
    Ok(())
}

/// The name of the folder as the name of a table.
fn named_after(location: &Location) -> Result<TableName, IngestError> {
    let text = location.to_string();
    let folder = text.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    TableName::from_text(&folder).map_err(|error| IngestError::Nothing {
        problem: format!(
            "the folder {folder:?} makes no name of a table ({error}): name it with --table"
        ),
    })
}
