//! Tables that are made of queries: rows from the engine, into the lab's store, known to the catalog.

use crate::failure::Failure;
use futures::StreamExt;
use serde_json::{Value, json};
use tarn_catalog::{Catalog, Making};
use tarn_connectors::{Location, Stores};
use tarn_ingest::{Made, write_table};
use tarn_query::{Creation, Query, QueryError, Session, Stop, engine_name};

/// Where tables are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workshop<'a> {
    pub catalog: &'a Catalog,
    pub stores: &'a Stores,
    /// The folder or prefix of the lab's tables.
    pub store: &'a Location,
}

/// Makes a table of a query, with the rights of whoever asks. Until the catalog takes it, in one
/// transaction with what it was made from, nobody sees any of it.
pub(crate) async fn create(
    Workshop { catalog, stores, store }: Workshop<'_>,
    session: &Session,
    query: &Query,
    creation: Creation,
) -> Result<Value, Failure> {
    let (who, Creation { dataset, table, sql }) = (session.principal(), creation);
    let may = Box::pin(catalog.check_derived_table(who, &dataset, &table)).await;
    if let Err(error) = may {
        // Nobody waits for it any more.
        query.stop(Stop::Abandoned);
        return Err(error.into());
    }
    let (prepared, tables) = Box::pin(session.plan_derived(query, &sql)).await?;
    let answer = prepared.start().await?;
    let rows = answer.stream.map(|batch| batch.map_err(|error| QueryError::from(error).into()));
    let schema = answer.schema;
    let work = write_table::<Failure>(stores, store, (&dataset, &table), &schema, rows);
    let made: Made = Box::pin(work).await?;
    let (lab, rows) = (catalog.lab(), made.entry.rows);
    let inputs: Vec<String> = tables
        .iter()
        .map(|input| format!("{lab}.{}@{}.{}", input.dataset, input.version, input.table))
        .collect();
    let making = Making { sql, tables, engine: engine_name() };
    let told = catalog.put_derived_table(who, &dataset, made.entry.clone(), making);
    match Box::pin(told).await {
        Ok(version) => Ok(json!({
            "table": format!("{lab}.{dataset}.{table}"), "version": version, "rows": rows,
            "made_from": inputs,
        })),
        Err(error) => {
            made.discard().await;
            Err(error.into())
        }
    }
}
