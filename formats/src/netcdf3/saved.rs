//! The header of a NetCDF classic file as a row, and the file opened from it.

use super::NetCdf3Reader;
use super::header::Header;
use crate::error::FormatError;
use crate::saved::{self, Entry, FileDescription, hexadecimal};
use crate::source::ByteSource;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The header as it is in the file, and the file's length, which it may count on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Metadata {
    length: u64,
    #[serde(with = "hexadecimal")]
    header: Vec<u8>,
}

impl NetCdf3Reader {
    /// The rows of the file.
    pub(super) fn rows(&self) -> Result<Vec<Entry>, FormatError> {
        let header = self.source.read(0..self.header_bytes)?.to_vec();
        let description = FileDescription::NetCdf3(Metadata { length: self.source.len(), header });
        let description = description.text(self.source.location())?;
        let mut entries = vec![Entry { description, ..Entry::default() }];
        for variable in &self.contents.variables {
            let begin = self.stored.get(&variable.path).map(|stored| stored.begin);
            entries.push(Entry {
                path: variable.path.clone(),
                offsets: begin.into_iter().collect(),
                sizes: variable.stored_bytes.into_iter().collect(),
                ..Entry::default()
            });
        }
        saved::add_values(self, &mut entries)?;
        Ok(entries)
    }
}

impl Metadata {
    /// The file, opened without asking its source; `None` where that is not the file it was.
    pub(crate) fn reader(self, source: Arc<dyn ByteSource>) -> Option<NetCdf3Reader> {
        if source.len() != self.length {
            return None;
        }
        let header = Header::known(&self.header, source.as_ref())?;
        NetCdf3Reader::with(source, &header).ok()
    }
}
