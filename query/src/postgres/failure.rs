//! Failures as SQLSTATE codes: what a client over this door learns, and nothing internal.

use crate::changes::NotChanged;
use crate::engine::Stop;
use crate::error::QueryError;
use std::fmt::Display;
use tarn_catalog::CatalogError;
use tarn_schemas::code::{Coded, ErrorCode};
use uuid::Uuid;

/// What a client is told when something fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code of five characters that clients decide by.
    pub(super) sqlstate: &'static str,
    /// What happened and what to do.
    pub(super) message: String,
}

impl Refusal {
    /// A refusal with this code.
    pub(super) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }

    /// What is told of a failure with a code of the one table. Of a defect, and of where the catalog lies, the log says
    /// more under the id that the client sees.
    pub(super) fn of(code: ErrorCode, message: &dyn Display) -> Self {
        let message = message.to_string();
        if code == ErrorCode::Internal || message.starts_with("catalog database ") {
            return hidden(code, "the node failed", &message);
        }
        Self::new(sqlstate(code, &message), message)
    }
}

/// What is told of so many connections that others would find no place.
pub fn crowded(whose: &str) -> Refusal {
    let problem =
        format!("there are too many connections {whose}; close some, or connect again in a moment");
    Refusal::new("53300", problem)
}

impl From<NotChanged> for Refusal {
    fn from(error: NotChanged) -> Self {
        Self::of(error.code, &error)
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let code = error.code();
        match &error {
            QueryError::Internal(_) => hidden(code, "the node failed", &error),
            QueryError::Catalog(CatalogError::Database { .. } | CatalogError::Index { .. }) => {
                hidden(code, "the catalog of the node cannot be used", &error)
            }
            QueryError::Store(_) => hidden(code, "a store of the node cannot be used", &error),
            QueryError::Format(_) => hidden(code, "a file of the table cannot be read", &error),
            QueryError::Stopped(Stop::Queue { .. } | Stop::QueueFull { .. }) => {
                Self::new("53300", error.to_string())
            }
            QueryError::Nesting(_) => Self::new("54001", error.to_string()),
            _ => {
                let message = error.to_string();
                Self::new(sqlstate(code, &message), message)
            }
        }
    }
}

fn hidden(code: ErrorCode, what: &str, error: &dyn Display) -> Refusal {
    let id = Uuid::new_v4();
    tracing::error!(%id, code = code.as_str(), "{error}");
    let message = format!("{what}; the log of the node says more under error id {id}");
    Refusal::new(sqlstate(code, &message), message)
}

/// The SQLSTATE of a code. What is wrong with SQL has one code in Tarn and several here; clients decide by some of them.
fn sqlstate(code: ErrorCode, message: &str) -> &'static str {
    match code {
        ErrorCode::InvalidArgument | ErrorCode::ResumeMismatch => of_sql(message),
        ErrorCode::NotFound => "42P01",
        ErrorCode::Unauthenticated => "28000",
        ErrorCode::PermissionDenied | ErrorCode::PolicyChanged | ErrorCode::Retracted => "42501",
        ErrorCode::InvalidData | ErrorCode::BadSample => "XX001",
        ErrorCode::Conflict | ErrorCode::PlanExpired | ErrorCode::Idle => "55000",
        ErrorCode::ResourceExhausted => "53400",
        ErrorCode::Unavailable | ErrorCode::Partial => "08006",
        ErrorCode::DeadlineExceeded | ErrorCode::Cancelled => "57014",
        ErrorCode::DataLoss => "XX001",
        ErrorCode::Internal => "XX000",
    }
}

fn of_sql(message: &str) -> &'static str {
    let says = |text: &str| message.contains(text);
    if says("the SQL is not understood") {
        "42601"
    } else if says("there is no column") {
        "42703"
    } else if says("is not allowed here") || says("is not supported") {
        "0A000"
    } else if says("there is no ") || says("Invalid function") {
        "42883"
    } else if says("ivide by zero") {
        "22012"
    } else if says("Cast error") || says("Parser error") {
        "22P02"
    } else if says("overflow") {
        "22003"
    } else {
        "42000"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_decide_by_the_code_and_internals_stay_inside() {
        let code = |error: QueryError| Refusal::from(error).sqlstate;
        assert_eq!(code(QueryError::NotFound("there is no table x".to_owned())), "42P01");
        assert_eq!(code(QueryError::Denied("no".to_owned())), "42501");
        assert_eq!(code(QueryError::Stopped(Stop::Cancelled)), "57014");
        assert_eq!(code(QueryError::Stopped(Stop::QueueFull { waiting: 1 })), "53300");
        let text = "the SQL is not understood: sql parser error";
        assert_eq!(code(QueryError::Invalid(text.to_owned())), "42601");
        let inside = Refusal::from(QueryError::Internal("/secret/path".to_owned()));
        assert_eq!(inside.sqlstate, "XX000");
        assert!(!inside.message.contains("secret"));
        let database =
            CatalogError::Database { place: "/home/x/catalog.db".into(), problem: "full".into() };
        assert!(!Refusal::from(QueryError::Catalog(database)).message.contains("/home"));
    }
}
