//! Chunks behind filters that there is no code for here: the C library undoes them, if it can.

use super::chunked::Piece;
use super::image;
use super::index::{H5Dataset, H5Index};
use super::read::Read;
use crate::error::FormatError;
use crate::fallback::{ChunkFile, Fallback, FallbackError, MOST_BYTES};
use crate::filters::{self, Filter};

/// Takes the datasets out whose filters nobody can undo.
pub(super) fn refuse(index: &mut H5Index, fallback: Option<&dyn Fallback>) {
    let datasets = std::mem::take(&mut index.datasets);
    for dataset in datasets {
        match reason(&dataset, fallback) {
            Some(reason) => index.refused.push((dataset, reason)),
            None => index.datasets.push(dataset),
        }
    }
}

/// Why a dataset cannot be read.
fn reason(dataset: &H5Dataset, fallback: Option<&dyn Fallback>) -> Option<String> {
    filters::foreign(&dataset.filters, 0).find_map(|filter| {
        let name = filter.number_and_name();
        match fallback.map(|fallback| fallback.check(filter.id)) {
            None => Some(format!("its filter {name}")),
            Some(Ok(())) => None,
            Some(Err(error)) => Some(format!("its filter {name} [{error}]")),
        }
    })
}

impl Read<'_> {
    /// The bytes of a chunk, by the C library, which undoes all its filters.
    pub(super) fn by_library(
        &self,
        piece: &Piece,
        stored: &[u8],
        size: usize,
    ) -> Result<Vec<u8>, FormatError> {
        let filters = &self.dataset.filters;
        let foreign: Vec<&Filter> = filters::foreign(filters, piece.chunk.mask).collect();
        let names: Vec<String> = foreign.iter().map(|filter| filter.number_and_name()).collect();
        let failed = |source| FormatError::Fallback {
            location: self.location().to_owned(),
            place: format!("{}, chunk at {:?}", self.dataset.path, piece.first()),
            filter: names.join(", "),
            source,
        };
        let fallback = self.reader.fallback.as_deref().ok_or_else(|| {
            // Such a dataset is not listed, so nobody asks for it.
            failed(FallbackError::Broken { problem: "is not there".to_owned() })
        })?;
        let most = stored.len().max(size) as u64;
        if most > MOST_BYTES {
            return Err(FormatError::TooLarge {
                location: self.location().to_owned(),
                place: self.dataset.path.clone(),
                what: format!("one chunk behind the filter {}", names.join(", ")),
                needed: most,
                limit: MOST_BYTES,
            });
        }
        let image = image::of_chunk(filters, piece.chunk.mask, stored, size)
            .ok_or_else(|| self.corrupt("its filters have too many parameters"))?;
        let filters: Vec<u16> = foreign.iter().map(|filter| filter.id).collect();
        let chunk = ChunkFile { file: self.location(), filters: &filters, image, size };
        let bytes = fallback.read(&chunk).map_err(failed)?;
        if bytes.len() == size {
            return Ok(bytes);
        }
        let problem = format!("gave {} bytes in place of {size}", bytes.len());
        Err(failed(FallbackError::Broken { problem }))
    }
}
