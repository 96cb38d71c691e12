//! Failures as gRPC statuses: one place, nothing internal in the text.

use crate::error::QueryError;
use std::fmt::Display;
use tarn_catalog::CatalogError;
use tarn_schemas::code::{Coded, ErrorCode};
use tonic::{Code, Status};
use uuid::Uuid;

/// Most bytes of a text as it travels. Clients on gRPC's C core lose a status whose headers are beyond 8 KiB.
const MOST_TEXT: usize = 6000;

/// A status with a code of the one table. The text ends with the code in brackets, because clients
/// often see the text alone.
pub(crate) fn refuse(code: ErrorCode, message: impl Display) -> Status {
    let message = message.to_string();
    let whole = shortened(&message);
    let cut = if whole.len() < message.len() { " …" } else { "" };
    Status::new(Code::from(code.grpc_status()), format!("{whole}{cut} [{}]", code.as_str()))
}

/// As much of a text as travels: what is not printable ASCII takes three bytes for each of its own.
fn shortened(message: &str) -> &str {
    let mut bytes = 0;
    let end = message.char_indices().find(|(_, letter)| {
        let plain = matches!(letter, ' '..='~') && *letter != '%';
        bytes += if plain { 1 } else { 3 * letter.len_utf8() };
        bytes > MOST_TEXT
    });
    end.and_then(|(end, _)| message.get(..end)).unwrap_or(message)
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
    fn a_text_that_would_not_arrive_is_cut_and_keeps_its_code() {
        let status = refuse(ErrorCode::NotFound, "x".repeat(9000));
        assert_eq!(status.message().len(), MOST_TEXT + " … [not_found]".len());
        let status = refuse(ErrorCode::NotFound, "é".repeat(1500));
        assert_eq!(status.message(), format!("{} … [not_found]", "é".repeat(1000)));
    }

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
