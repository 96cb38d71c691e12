//! Why a query fails.

use tarn_catalog::CatalogError;
use tarn_formats::FormatError;
use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a query fails.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The SQL, a name in it or an argument is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A table, dataset, function or file that is not there, or may not be known.
    #[error("{0}")]
    NotFound(String),
    /// Policy refuses.
    #[error("{0}")]
    Denied(String),
    /// The token is missing or not valid.
    #[error("{0}")]
    Unauthenticated(String),
    /// A lab does not answer, and the query does not allow a partial answer.
    #[error(
        "lab {lab} did not answer: {problem}; ask again with --partial allow for an answer without it, or see `tarn peer status`"
    )]
    SiteUnavailable {
        /// The lab.
        lab: String,
        /// What happened.
        problem: String,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The catalog fails.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A limit was reached.
    #[error("{0}")]
    ResourceExhausted(String),
    /// The engine fails.
    #[error("{0}")]
    Internal(String),
}

impl Coded for QueryError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid(_) => ErrorCode::InvalidArgument,
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Denied(_) => ErrorCode::PermissionDenied,
            Self::Unauthenticated(_) => ErrorCode::Unauthenticated,
            Self::SiteUnavailable { .. } => ErrorCode::Unavailable,
            Self::Format(error) => error.code(),
            Self::Catalog(error) => error.code(),
            Self::ResourceExhausted(_) => ErrorCode::ResourceExhausted,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }
}
