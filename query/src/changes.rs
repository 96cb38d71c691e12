//! Who does what statements change. The engine reads such a statement ([`Session::change`]); doing it takes a store
//! and a catalog to write to, which whoever serves a door has.

use crate::engine::{Change, Query, Session};
use futures::future::BoxFuture;
use tarn_schemas::code::ErrorCode;

/// What was done by a statement that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Rows of a table that was made.
    pub rows: Option<u64>,
    /// What happened, for people.
    pub note: String,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct NotChanged {
    /// The kind of the failure.
    pub code: ErrorCode,
    /// What happened and what to do.
    pub message: String,
}

/// Does what statements change, with the rights of whoever asks.
pub trait Changes: std::fmt::Debug + Send + Sync + 'static {
    /// Does it, as this query.
    fn change<'a>(
        &'a self,
        session: &'a Session,
        query: &'a Query,
        change: Change,
    ) -> BoxFuture<'a, Result<Changed, NotChanged>>;
}
