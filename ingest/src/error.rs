//! Why an ingest fails.

use tarn_catalog::CatalogError;
use tarn_connectors::StoreError;
use tarn_formats::FormatError;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why an ingest fails. Nothing was committed.
#[derive(Debug, Error)]
pub enum IngestError {
    /// A file cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog refuses or fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Delta fails: conflict, schema, store.
    #[error("table {table}: {problem}")]
    Delta {
        /// The table.
        table: String,
        /// What went wrong and what to do.
        problem: String,
    },
    /// What was written does not read back as the source: nothing is committed.
    #[error(
        "table {table}, column {column}: written data differ from the source: {problem}; nothing was committed"
    )]
    Verification {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Which figure differs.
        problem: String,
    },
}

impl Coded for IngestError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Format(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::Delta { .. } => ErrorCode::Unavailable,
            Self::Verification { .. } => ErrorCode::DataLoss,
        }
    }
}
