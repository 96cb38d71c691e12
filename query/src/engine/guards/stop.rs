//! Why a query was stopped.

use tarn_schemas::code::{Coded, ErrorCode};
use thiserror::Error;

/// Why a query was stopped before it had ended.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody cancelled it.
    #[error("the query was cancelled")]
    Cancelled,
    /// Nobody waits for its answer any more.
    #[error("the query was stopped because its client went away")]
    Abandoned,
    /// It ran for too long.
    #[error(
        "the query ran for more than {seconds} s; narrow it with WHERE, aggregate, add a LIMIT, or ask \
         the operator to raise `seconds` in [limits]"
    )]
    Time {
        /// The limit.
        seconds: u64,
    },
    /// It could not be planned in time.
    #[error(
        "the query could not be planned within {seconds} s; join fewer tables, take steps apart with \
         WITH, or send several statements"
    )]
    Planning {
        /// The limit.
        seconds: u64,
    },
    /// Its answer is too long.
    #[error(
        "the answer has more than {rows} rows; add a LIMIT, aggregate, or raise the limit of rows"
    )]
    Rows {
        /// The limit.
        rows: u64,
    },
    /// It read too much.
    #[error(
        "the query read more than {bytes} bytes from tables; narrow it with WHERE, name fewer columns, or \
         ask the operator to raise `scan_gib` in [limits]"
    )]
    Scanned {
        /// The limit.
        bytes: u64,
    },
    /// It would read too much, and was not begun.
    #[error(
        "the query would read {bytes} bytes from tables, and may read {limit}; narrow it with WHERE, name \
         fewer columns, or ask the operator to raise `scan_gib` in [limits]"
    )]
    TooLarge {
        /// What it would read.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// It waited too long for its turn.
    #[error(
        "the query waited {seconds} s for its turn because many others run; try again in a moment"
    )]
    Queue {
        /// The limit.
        seconds: u64,
    },
    /// Too many queries of one person wait.
    #[error("{waiting} queries of yours wait for their turn already; read or cancel some first")]
    QueueFull {
        /// The limit.
        waiting: usize,
    },
}

impl Coded for Stop {
    fn code(&self) -> ErrorCode {
        match self {
            Self::Cancelled | Self::Abandoned => ErrorCode::Cancelled,
            Self::Time { .. } => ErrorCode::DeadlineExceeded,
            Self::Planning { .. }
            | Self::Rows { .. }
            | Self::Scanned { .. }
            | Self::TooLarge { .. }
            | Self::Queue { .. }
            | Self::QueueFull { .. } => ErrorCode::ResourceExhausted,
        }
    }
}
