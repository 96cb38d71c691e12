//! What makes a version: everything it says and pins, as one hash.

use crate::model::{TableEntry, TableStorage};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use tarn_schemas::Record;
use tarn_schemas::facts::FileFacts;

/// The table without what may differ while its content is the same: tags of files (modification
/// times, ETags), which tell that a file may have changed; its SHA-256 tells whether it did.
fn content(table: &TableEntry) -> TableEntry {
    let mut table = table.clone();
    if let TableStorage::InPlace { files, .. } = &mut table.storage {
        for file in files {
            file.stat.tag.clear();
        }
    }
    table
}

/// Whether two tables pin the same bytes and read them in the same way.
pub(crate) fn same_table(one: &TableEntry, other: &TableEntry) -> bool {
    content(one) == content(other)
}

/// BLAKE3, in lower-case hexadecimal, over the record (without its version notes), its files'
/// locations and checksums, and its tables. Tables go in by name, whatever their order.
pub(crate) fn hash(
    record: &Record,
    files: &[FileFacts],
    tables: &[TableEntry],
) -> Result<String, serde_json::Error> {
    let record = Record { version_notes: None, ..record.clone() };
    let files: Vec<Value> =
        files.iter().map(|file| json!([file.location, file.bytes, file.sha256])).collect();
    let mut tables: Vec<TableEntry> = tables.iter().map(content).collect();
    tables.sort_by(|one, other| one.name.cmp(&other.name));
    // Keys of a `Value` are sorted, so equal content gives equal text.
    let whole = json!({
        "record": serde_json::to_value(record)?,
        "files": files,
        "tables": serde_json::to_value(tables)?,
    });
    Ok(blake3::hash(whole.to_string().as_bytes()).to_hex().to_string())
}

/// What differs between two versions, for their notes: `changed: title, files`. None where nothing does.
pub(crate) fn changes(
    before: (&Record, &[FileFacts]),
    after: (&Record, &[FileFacts]),
) -> Result<Option<String>, serde_json::Error> {
    let (old, new) = (serde_json::to_value(before.0)?, serde_json::to_value(after.0)?);
    let none = serde_json::Map::new();
    let (old, new) = (old.as_object().unwrap_or(&none), new.as_object().unwrap_or(&none));
    let mut changed: BTreeSet<&str> = old
        .keys()
        .chain(new.keys())
        .filter(|key| old.get(*key) != new.get(*key) && *key != "version_notes")
        .map(String::as_str)
        .collect();
    let pins = |files: &[FileFacts]| -> Vec<(String, String)> {
        files.iter().map(|file| (file.location.clone(), file.sha256.clone())).collect()
    };
    if pins(before.1) != pins(after.1) {
        changed.insert("files");
    }
    let changed: Vec<&str> = changed.into_iter().collect();
    Ok((!changed.is_empty()).then(|| format!("changed: {}", changed.join(", "))))
}
