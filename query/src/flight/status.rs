//! Failures as gRPC statuses: one place, nothing internal in the text.

use crate::error::QueryError;
use std::fmt::Display;
use tarn_catalog::CatalogError;
use tarn_schemas::code::{Coded, ErrorCode};
use tonic::{Code, Status};
use uuid::Uuid;

/// A status with a code of the one table. The text ends with the code in brackets, because clients
/// often see the text alone.
pub(crate) fn refuse(code: ErrorCode, message: impl Display) -> Status {
    Status::new(Code::from(code.grpc_status()), format!("{message} [{}]", code.as_str()))
}

/// A failure whose text must not leave the node: the log has it under the id that the caller sees.
pub(crate) fn hidden(code: ErrorCode, what: &str, error: &dyn Display) -> Status {
    let id = Uuid::new_v4();
    tracing::error!(%id, code = code.as_str(), "{error}");
    refuse(code, format!("{what}; the log of the node says more under error id {id}"))
}

/// What a caller over the network learns of a failed query.
pub fn to_status(error: &QueryError) -> Status {
    let code = error.code();
    match error {
        QueryError::Internal(_) => hidden(code, "the node failed", error),
        QueryError::Catalog(CatalogError::Database { .. } | CatalogError::Index { .. }) => {
            hidden(code, "the catalog of the node cannot be used", error)
        }
        QueryError::Store(_) => hidden(code, "a store of the node cannot be used", error),
        QueryError::Format(_) => hidden(code, "a file of the table cannot be read", error),
        _ => refuse(code, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_grpc_status_and_internals_stay_inside() {
        let status = to_status(&QueryError::NotFound("no table \"x\"".to_owned()));
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no table \"x\" [not_found]");
        let status = to_status(&QueryError::Internal("/secret/path".to_owned()));
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"));
        assert!(status.message().ends_with("[internal]"));
        let database =
            CatalogError::Database { place: "/home/x/catalog.db".into(), problem: "full".into() };
        let status = to_status(&QueryError::Catalog(database));
        assert_eq!(status.code(), Code::Unavailable);
        assert!(!status.message().contains("/home"));
    }
}
