//! Why the catalog refuses or fails.

use crate::replica::FeedRefusal;
use tarn_connectors::oidc::OidcError;
use tarn_schemas::code::{Coded, ErrorCode};
use tarn_schemas::profile::Violation;
use thiserror::Error;

/// Why the catalog refuses or fails.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The record breaks rules of its profile.
    #[error("the record of {dataset} breaks {} rule(s)", violations.len())]
    Invalid {
        /// The dataset.
        dataset: String,
        /// Every broken rule.
        violations: Vec<Violation>,
    },
    /// A name does not exist, or may not be known to exist.
    #[error("no {kind} {name:?}{hint}")]
    NotFound {
        /// `dataset`, `table`, `version`, `peer`, `token`, …
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// What to do, starting with `; `, or nothing.
        hint: String,
    },
    /// Policy refuses.
    #[error("{0}")]
    Denied(String),
    /// No such token, or expired or revoked.
    #[error("the token is not valid: {0}")]
    Unauthenticated(&'static str),
    /// A login or a token of an issuer is not accepted.
    #[error("the login is not accepted: {0}")]
    Login(#[from] OidcError),
    /// The call is malformed: an unknown filter, a name that is none.
    #[error("{0}")]
    Argument(String),
    /// Exists already, or changed meanwhile.
    #[error("{0}")]
    Conflict(String),
    /// The database fails, is locked, full or read-only.
    #[error("catalog database {place}: {problem}")]
    Database {
        /// Path of the database.
        place: String,
        /// What it said.
        problem: String,
    },
    /// A backup cannot be written or read, or is damaged.
    #[error("the backup: {0}")]
    Backup(String),
    /// The policies cannot be read, or fail. Nothing is allowed then.
    #[error("the policies: {0}")]
    Policy(String),
    /// The audit log cannot be signed.
    #[error("the audit log: {0}")]
    Audit(String),
    /// Visas cannot be signed.
    #[error("the key of visas: {0}")]
    VisaKey(String),
    /// What a peer says of its records is refused.
    #[error("the feed of a peer is refused: {0}")]
    Feed(#[from] FeedRefusal),
    /// The search index fails.
    #[error("search index {place}: {problem}")]
    Index {
        /// Path of the index.
        place: String,
        /// What it said.
        problem: String,
    },
}

impl CatalogError {
    /// Whether this is an answer to what was asked for, and not a failure of the catalog.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Invalid { .. }
                | Self::NotFound { .. }
                | Self::Denied(_)
                | Self::Argument(_)
                | Self::Conflict(_)
        )
    }
}

impl Coded for CatalogError {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Invalid { .. } => ErrorCode::InvalidData,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Denied(_) => ErrorCode::PermissionDenied,
            Self::Unauthenticated(_) => ErrorCode::Unauthenticated,
            Self::Login(error) => error.code(),
            Self::Argument(_) => ErrorCode::InvalidArgument,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::Backup(_) | Self::Feed(_) => ErrorCode::InvalidData,
            Self::Policy(_) | Self::Audit(_) | Self::VisaKey(_) => ErrorCode::Internal,
            Self::Database { .. } | Self::Index { .. } => ErrorCode::Unavailable,
        }
    }
}
