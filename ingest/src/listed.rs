//! Files against the record: a dataset holds what its record says it holds.

use crate::IngestError;
use crate::plan::SourceFile;
use tarn_catalog::Dataset;

/// Most names of the record's files that a message lists.
const SHOWN: usize = 5;

/// Refuses files that the record of a dataset does not list, or lists with other content. A file
/// whose content is listed may lie anywhere. A record without files lists nothing and takes all.
///
/// # Errors
/// [`IngestError::Unlisted`]
pub(crate) fn check(dataset: &Dataset, files: &[SourceFile]) -> Result<(), IngestError> {
    if dataset.files.is_empty() {
        return Ok(());
    }
    for file in files {
        if dataset.files.iter().any(|known| known.sha256 == file.sha256) {
            continue;
        }
        let there = dataset.files.iter().any(|known| known.location == file.stat.location);
        return Err(IngestError::Unlisted {
            location: file.stat.location.clone(),
            problem: if there {
                format!(
                    "it has changed since version {} of {} was registered; register a new version \
                     with `tarn register RECORD.yaml`, then ingest",
                    dataset.version, dataset.name
                )
            } else {
                format!(
                    "the record of {} does not list it, only {}; add it under `files:`, run `tarn \
                     register RECORD.yaml`, then ingest",
                    dataset.name,
                    names(dataset)
                )
            },
        });
    }
    Ok(())
}

fn names(dataset: &Dataset) -> String {
    let mut names: Vec<&str> = dataset
        .files
        .iter()
        .take(SHOWN)
        .map(|file| file.location.rsplit('/').next().unwrap_or(&file.location))
        .collect();
    let more = format!("{} more", dataset.files.len().saturating_sub(SHOWN));
    if dataset.files.len() > SHOWN {
        names.push(&more);
    }
    names.join(", ")
}
