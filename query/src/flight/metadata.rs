//! The listings of Flight SQL: labs are catalogs, datasets are schemas.

mod keys;
mod server;
mod types;

use super::status::{hidden, refuse};
use crate::engine::Session;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::error::FlightError;
use arrow_flight::sql::Command;
use std::collections::BTreeSet;
use std::fmt::Display;
use tarn_schemas::TableRef;
use tarn_schemas::code::ErrorCode;
use tonic::Status;

/// The types of tables.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";

fn failed(error: &dyn Display) -> Status {
    hidden(ErrorCode::Internal, "the listing failed", error)
}

/// The schema of a listing; `None` if the command is none.
pub(crate) fn schema(command: &Command) -> Option<SchemaRef> {
    Some(match command {
        Command::CommandGetCatalogs(query) => query.into_builder().schema(),
        Command::CommandGetDbSchemas(query) => query.clone().into_builder().schema(),
        Command::CommandGetTables(query) => query.clone().into_builder().schema(),
        Command::CommandGetTableTypes(query) => query.into_builder().schema(),
        Command::CommandGetSqlInfo(_) => server::schema(),
        Command::CommandGetXdbcTypeInfo(_) => types::schema(),
        Command::CommandGetPrimaryKeys(_) => keys::primary(),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => keys::foreign(),
        _ => return None,
    })
}

/// The rows of a listing, as far as the session may know them.
pub(crate) async fn answer(command: Command, session: &Session) -> Result<RecordBatch, Status> {
    let batch = match command {
        Command::CommandGetCatalogs(query) => {
            let mut builder = query.into_builder();
            let tables = tables(session).await?;
            let labs: BTreeSet<_> =
                session.lab().into_iter().chain(tables.iter().map(|(name, _)| &name.lab)).collect();
            for lab in labs {
                builder.append(lab.as_str());
            }
            builder.build()
        }
        Command::CommandGetDbSchemas(query) => {
            let mut builder = query.into_builder();
            let tables = tables(session).await?;
            let datasets: BTreeSet<_> =
                tables.iter().map(|(name, _)| (&name.lab, &name.dataset)).collect();
            for (lab, dataset) in datasets {
                builder.append(lab.as_str(), dataset.as_str());
            }
            builder.build()
        }
        Command::CommandGetTables(query) => {
            let mut builder = query.into_builder();
            let views = session.views().await.map_err(|error| super::to_status(&error))?;
            for (name, schema) in tables(session).await? {
                let kind = if views.contains(&name) { VIEW } else { TABLE };
                builder
                    .append(
                        name.lab.as_str(),
                        name.dataset.as_str(),
                        name.table.as_str(),
                        kind,
                        &schema,
                    )
                    .map_err(|error| failed(&error))?;
            }
            builder.build()
        }
        Command::CommandGetTableTypes(query) => {
            let mut builder = query.into_builder();
            builder.append(TABLE);
            builder.append(VIEW);
            builder.build()
        }
        Command::CommandGetSqlInfo(query) => server::rows(query.info),
        Command::CommandGetXdbcTypeInfo(query) => types::rows(query.data_type),
        other => {
            let schema = schema(&other).ok_or_else(|| {
                refuse(ErrorCode::InvalidArgument, "this Flight SQL command is not a listing")
            })?;
            Ok(RecordBatch::new_empty(schema))
        }
    };
    batch.map_err(|error: FlightError| failed(&error))
}

async fn tables(session: &Session) -> Result<Vec<(TableRef, SchemaRef)>, Status> {
    session.tables().await.map_err(|error| super::to_status(&error))
}
