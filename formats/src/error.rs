//! Why a file, or a part of it, cannot be read.

use crate::fallback::FallbackError;
use crate::source::SourceError;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a file, or a part of it, cannot be read. Every message names the file and the place in it.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The bytes are of no format that Tarn reads.
    #[error(
        "{location}: this is {found}, not a file Tarn can read (HDF5, NetCDF-4, NetCDF-3, SPEC, or the folder of a Zarr store)"
    )]
    UnknownFormat {
        /// The file.
        location: String,
        /// What it looks like: "an empty file", "an HTML page", "a Git LFS pointer", …
        found: String,
    },
    /// The bytes break the rules of their format.
    #[error(
        "{location}: {place}: {problem}; the file is damaged or truncated: fetch it again or repair it"
    )]
    Corrupt {
        /// The file.
        location: String,
        /// Variable, group, attribute or byte offset.
        place: String,
        /// What is wrong there.
        problem: String,
    },
    /// The file is sound but uses something that is not read yet.
    #[error("{location}: {place}: {feature} is not supported; the rest of the file can be read")]
    Unsupported {
        /// The file.
        location: String,
        /// Variable, group or attribute.
        place: String,
        /// The type, filter or layout.
        feature: String,
    },
    /// A grid, variable, attribute or column that is not there.
    #[error("{location}: no {kind} {name:?}; there are: {}", or_none(.available))]
    NotFound {
        /// The file.
        location: String,
        /// `grid`, `variable`, `attribute` or `column`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// Names that exist.
        available: String,
    },
    /// Options that do not fit the file.
    #[error("{location}: {problem}")]
    Options {
        /// The file.
        location: String,
        /// What does not fit, and what to write instead.
        problem: String,
    },
    /// Files that cannot be one table.
    #[error("{first} and {second} cannot be one table: {problem}")]
    Union {
        /// The file that the table began with.
        first: String,
        /// The file that differs.
        second: String,
        /// In what, and what to do.
        problem: String,
    },
    /// More would be needed than a limit allows.
    #[error("{location}: {place}: {what} needs {needed} bytes, more than the limit of {limit}")]
    TooLarge {
        /// The file.
        location: String,
        /// Variable, group or attribute.
        place: String,
        /// Which thing.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The C library was asked to undo a filter that Tarn has no code for, and did not.
    #[error("{location}: {place}: its filter {filter}: {source}")]
    Fallback {
        /// The file.
        location: String,
        /// Variable, and the first cell of the chunk.
        place: String,
        /// Number and name of the filter, or of all of them.
        filter: String,
        /// What happened.
        source: FallbackError,
    },
    /// The bytes cannot be fetched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Arrow refused an array that was built: a defect of Tarn.
    #[error("building an Arrow array failed: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}

fn or_none(names: &str) -> &str {
    if names.is_empty() { "none" } else { names }
}

impl FormatError {
    /// Whether bytes are missing that will be there when the file is opened again.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self, Self::Source(SourceError::Pending { .. }))
    }

    pub(crate) fn corrupt(
        location: impl Into<String>,
        place: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self::Corrupt { location: location.into(), place: place.into(), problem: problem.into() }
    }
}

impl Coded for FormatError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownFormat { .. }
            | Self::Corrupt { .. }
            | Self::Unsupported { .. }
            | Self::Union { .. }
            | Self::Source(SourceError::OutOfBounds { .. } | SourceError::TooLong { .. }) => {
                ErrorCode::InvalidData
            }
            // A column is a name in the call, as in SQL.
            Self::NotFound { kind: "column" | "variable", .. } => ErrorCode::InvalidArgument,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Options { .. } => ErrorCode::InvalidArgument,
            Self::TooLarge { .. } => ErrorCode::ResourceExhausted,
            Self::Fallback { source, .. } => source.code(),
            Self::Source(SourceError::Changed { .. }) => ErrorCode::DataLoss,
            Self::Source(SourceError::Pending { .. }) => ErrorCode::Internal,
            Self::Source(SourceError::Io { source, .. }) => source
                .downcast_ref::<std::io::Error>()
                .filter(|e| e.kind() == std::io::ErrorKind::NotFound)
                .map_or(ErrorCode::Unavailable, |_| ErrorCode::NotFound),
            Self::Arrow(_) => ErrorCode::Internal,
        }
    }
}
