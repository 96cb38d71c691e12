//! Keeps where data lie from those who may only read them.

use crate::error::QueryError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tarn_catalog::{TableEntry, TableStorage};
use tarn_schemas::Principal;

/// Locations of the tables that a session opened, to be taken out of what its errors say. The owner
/// of the node sees them. Clones share what they know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Veil {
    /// Location, and what stands in its place. `None` for the owner.
    hidden: Option<Arc<Mutex<BTreeMap<String, String>>>>,
}

impl Veil {
    /// A veil before the eyes of `who`.
    pub(crate) fn of(who: &Principal) -> Self {
        Self { hidden: (*who != Principal::Owner).then(Arc::default) }
    }

    /// Hides where a table's data lie. Of files, the names stay.
    pub(crate) fn hide(&self, entry: &TableEntry) {
        let Some(hidden) = &self.hidden else { return };
        let mut hidden = hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hide = |location: &str, shown: &str| {
            let path = location.strip_prefix("file://").unwrap_or(location);
            for text in [location, path] {
                hidden.insert(text.trim_end_matches('/').to_owned(), shown.to_owned());
            }
        };
        match &entry.storage {
            TableStorage::InPlace { files, .. } => {
                for file in files {
                    let location = file.stat.location.as_str();
                    hide(location, location.rsplit('/').next().unwrap_or_default());
                }
            }
            TableStorage::Delta { url, .. } => hide(url, "the table's folder"),
        }
    }

    /// An error that does not say where data lie.
    pub(crate) fn error(&self, error: QueryError) -> QueryError {
        let Some(hidden) = &self.hidden else { return error };
        let hidden = hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let text = error.to_string();
        // Longest first: one location may begin another.
        let mut locations: Vec<_> =
            hidden.iter().filter(|(from, _)| text.contains(*from)).collect();
        if locations.is_empty() {
            return error;
        }
        locations.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        let text = locations.into_iter().fold(text, |text, (from, to)| text.replace(from, to));
        error.saying(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarn_catalog::PinnedFile;
    use tarn_connectors::store::FileStat;
    use tarn_schemas::code::Coded;
    use tarn_schemas::{TableName, TableOptions};

    fn entry(storage: TableStorage) -> TableEntry {
        TableEntry {
            name: TableName::new("t").unwrap(),
            storage,
            schema: String::new(),
            rows: None,
            columns: vec![],
        }
    }

    fn in_place(location: &str) -> TableEntry {
        let stat = FileStat { location: location.to_owned(), bytes: 1, tag: "1".to_owned() };
        let files = vec![PinnedFile { stat, sha256: String::new() }];
        entry(TableStorage::InPlace { files, options: TableOptions::default() })
    }

    #[test]
    fn everyone_but_the_owner_sees_names_of_files_alone() {
        let problem = || {
            QueryError::InvalidData(
                "/data/lab/a.nc: damaged; /data/lab/a.nc.old too; s3://bucket/t/part-0 as well"
                    .to_owned(),
            )
        };
        let delta = entry(TableStorage::Delta { url: "s3://bucket/t/".to_owned(), version: 0 });
        let veil = Veil::of(&Principal::Anonymous);
        for entry in
            [in_place("/data/lab/a.nc"), in_place("file:///data/lab/a.nc.old"), delta.clone()]
        {
            veil.hide(&entry);
        }
        let seen = veil.clone().error(problem());
        assert_eq!(seen.code(), problem().code());
        assert_eq!(
            seen.to_string(),
            "a.nc: damaged; a.nc.old too; the table's folder/part-0 as well"
        );
        let owner = Veil::of(&Principal::Owner);
        owner.hide(&delta);
        assert_eq!(owner.error(problem()).to_string(), problem().to_string());
    }
}
