//! The one trait of every format, and how a file finds its reader.

use crate::contents::Contents;
use crate::error::FormatError;
use crate::region::Region;
use crate::source::ByteSource;
use arrow::array::ArrayRef;
use std::fmt;
use std::sync::Arc;

/// An open file: what it holds, and its stored values by region.
///
/// A reader is immutable and reads from any number of threads at once without a lock. It allocates
/// what a region needs and nothing in proportion to the file; sizes that come from the file are
/// checked against its length, or against a limit, before memory is taken.
pub trait Reader: Send + Sync + fmt::Debug {
    /// Path or URL of the file.
    fn location(&self) -> &str;

    /// What the file holds.
    fn contents(&self) -> &Contents;

    /// The stored values of `region` of the variable at `path`, in C order: an Arrow array of
    /// exactly `region.cells()` values of the variable's `data_type`, without CF decoding.
    /// Chunks that were never written give the format's fill value.
    ///
    /// Regions made of whole chunks are read with the least work.
    ///
    /// # Errors
    /// [`FormatError::NotFound`] for an unknown variable, [`FormatError::Options`] for a region that
    /// does not fit its shape, [`FormatError::Corrupt`] or [`FormatError::Unsupported`] for its bytes.
    fn read(&self, path: &str, region: &Region) -> Result<ArrayRef, FormatError>;
}

/// Opens a file with the reader of its format, recognised by its first bytes.
///
/// # Errors
/// [`FormatError::UnknownFormat`], saying what was found instead; [`FormatError::Corrupt`].
pub fn open(source: Arc<dyn ByteSource>) -> Result<Arc<dyn Reader>, FormatError> {
    let _ = source;
    todo!()
}
