//! Why an ingest fails.

use deltalake::DeltaTableError;
use deltalake::kernel::transaction::TransactionError;
use std::error::Error;
use tarn_catalog::CatalogError;
use tarn_connectors::{Location, StoreError};
use tarn_formats::FormatError;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why an ingest fails. Nothing was committed, except where [`IngestError::Partial`] says so.
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
    /// The sources give no table.
    #[error("nothing to ingest: {problem}")]
    Nothing {
        /// Why, and what to do.
        problem: String,
    },
    /// A file is not one that the record describes.
    #[error("{location}: {problem}")]
    Unlisted {
        /// The file.
        location: String,
        /// What the record says, and what to do.
        problem: String,
    },
    /// A column does not fit into the table.
    #[error("table {table}, column {column}: {problem}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What does not fit, with both types, and what to do.
        problem: String,
    },
    /// The table is another one than the request expects, or changed meanwhile.
    #[error("table {table}: {problem}")]
    Conflict {
        /// The table.
        table: String,
        /// What differs and what to do.
        problem: String,
    },
    /// Delta fails.
    #[error("table {table}: {problem}")]
    Delta {
        /// The table.
        table: String,
        /// What went wrong and what to do.
        problem: String,
    },
    /// The caller stopped it.
    #[error("cancelled; nothing was committed and what was written is gone. Run the same again")]
    Cancelled,
    /// Of several tables some were committed before another one failed.
    #[error(
        "{error}; committed before that: {}. Run the same ingest again to finish, nothing is added \
         twice", tables.join(", ")
    )]
    Partial {
        /// The tables that were committed.
        tables: Vec<String>,
        /// Why the rest was not.
        error: Box<IngestError>,
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

impl IngestError {
    /// What an error below Delta or Parquet means: the store's own word where it is one.
    pub(crate) fn below(table: &str, location: &Location, error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(inner) = cause {
            if let Some(store) = inner.downcast_ref::<object_store::Error>() {
                return StoreError::from_object_store(location, store).into();
            }
            if let Some(io) = inner.downcast_ref::<std::io::Error>() {
                // `source()` of a wrapping I/O error skips the very error that it wraps.
                let Some(wrapped) = io.get_ref() else {
                    return StoreError::from_io(location, io).into();
                };
                let wrapped: &(dyn Error + 'static) = wrapped;
                cause = Some(wrapped);
                continue;
            }
            cause = inner.source();
        }
        Self::Delta { table: table.to_owned(), problem: error.to_string() }
    }

    /// Whether a commit lost against another writer and may be tried again.
    pub(crate) fn is_lost_race(error: &DeltaTableError) -> bool {
        matches!(
            error,
            DeltaTableError::VersionAlreadyExists(_)
                | DeltaTableError::Transaction {
                    source: TransactionError::CommitConflict(_)
                        | TransactionError::MaxCommitAttempts(_)
                        | TransactionError::VersionAlreadyExists(_)
                }
        )
    }
}

impl Coded for IngestError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Format(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::Nothing { .. } | Self::Unlisted { .. } | Self::Column { .. } => {
                ErrorCode::InvalidData
            }
            Self::Conflict { .. } => ErrorCode::Conflict,
            Self::Delta { .. } => ErrorCode::Unavailable,
            Self::Cancelled => ErrorCode::Cancelled,
            Self::Partial { error, .. } => error.code(),
            Self::Verification { .. } => ErrorCode::DataLoss,
        }
    }
}
