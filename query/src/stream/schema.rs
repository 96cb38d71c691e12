//! Arrow schemas as text, as the catalog keeps them.

use crate::error::QueryError;
use arrow::datatypes::SchemaRef;
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;

/// Reads the schema of a table entry: an IPC schema message in base64.
pub(crate) fn decode(text: &str) -> Result<SchemaRef, QueryError> {
    let wrong = |problem: String| QueryError::Internal(format!("the schema of the table: {problem}"));
    let bytes = STANDARD.decode(text).map_err(|error| wrong(error.to_string()))?;
    let schema = try_schema_from_ipc_buffer(&bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(Arc::new(schema))
}
