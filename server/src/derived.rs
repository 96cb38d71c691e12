//! Tables that are made of queries: rows from the engine, into the lab's store, known to the catalog; and taken
//! away again.

use crate::failure::Failure;
use crate::views;
use crate::writing::{Writing, sweep};
use futures::StreamExt;
use serde_json::{Value, json};
use tarn_catalog::{Catalog, Making, check_elsewhere};
use tarn_connectors::{Location, Stores};
use tarn_ingest::{new_folder, write_table};
use tarn_query::{Change, Creation, Dropping, Query, QueryError, Session, Stop, engine_name};

/// Where tables are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workshop<'a> {
    pub catalog: &'a Catalog,
    pub stores: &'a Stores,
    /// The folder or prefix of the lab's tables.
    pub store: &'a Location,
}

/// Does what a statement changes, with the rights of whoever asks, and says what was done.
pub(crate) async fn change(
    workshop: Workshop<'_>,
    session: &Session,
    query: &Query,
    change: Change,
) -> Result<Value, Failure> {
    match change {
        Change::CreateTable(creation) => Box::pin(create(workshop, session, query, creation)).await,
        Change::DropTable(dropping) => {
            // It is no query, and nobody waits for one.
            query.stop(Stop::Abandoned);
            drop_table(workshop.catalog, session, dropping).await
        }
        Change::CreateView(view) => {
            Box::pin(views::create(workshop.catalog, session, query, view)).await
        }
        Change::DropView(dropping) => {
            query.stop(Stop::Abandoned);
            views::drop_view(workshop.catalog, session, dropping).await
        }
    }
}

/// What was done, for people.
pub(crate) fn told(done: &Value) -> String {
    let text = |key: &str| done[key].as_str().unwrap_or_default();
    match done["rows"].as_u64() {
        Some(rows) => {
            format!("{}  {rows} rows  dataset version {}", text("table"), done["version"])
        }
        None => format!("{}{}  {}", text("table"), text("view"), text("note")),
    }
}

/// Takes a table away that a query made.
async fn drop_table(
    catalog: &Catalog,
    session: &Session,
    Dropping { dataset, name: table }: Dropping,
) -> Result<Value, Failure> {
    let told = catalog.drop_derived_table(session.principal(), &dataset, &table);
    let (version, lab) = (Box::pin(told).await?, catalog.lab());
    let note = format!(
        "is taken away in dataset version {version}; older versions keep it. The tier, exposure and markings that \
         {lab}.{dataset} took over from what the table was made of stay: a new record loosens them, which takes \
         two people (`tarn register`)"
    );
    Ok(json!({ "table": format!("{lab}.{dataset}.{table}"), "version": version, "note": note }))
}

/// Makes a table of a query. Until the catalog takes it, in one transaction with what it was made from, nobody
/// sees any of it; where that does not come to pass, its files are taken away.
async fn create(
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
    sweep(catalog, stores).await;
    let (prepared, tables) = Box::pin(session.plan_derived(query, &sql)).await?;
    check_elsewhere(&dataset, tables.iter())?;
    let answer = prepared.start().await?;
    let rows = answer.stream.map(|batch| batch.map_err(|error| QueryError::from(error).into()));
    let (schema, folder) = (answer.schema, new_folder(store, &dataset, &table));
    let writing = Writing::begin(catalog, stores, folder.clone()).await?;
    let work = async {
        let entry = write_table::<Failure>(stores, folder, &table, &schema, rows).await?;
        let (lab, rows) = (catalog.lab(), entry.rows);
        let inputs: Vec<String> = tables
            .iter()
            .map(|input| format!("{lab}.{}@{}.{}", input.dataset, input.version, input.table))
            .collect();
        let making = Making { sql, tables, engine: engine_name() };
        let made = (entry, writing.name());
        let version = Box::pin(catalog.put_derived_table(who, &dataset, made, making)).await?;
        Ok::<_, Failure>(json!({
            "table": format!("{lab}.{dataset}.{table}"), "version": version, "rows": rows,
            "made_from": inputs,
        }))
    };
    let done = writing.during(Box::pin(work)).await;
    match done {
        Ok(made) => {
            writing.keep();
            Ok(made)
        }
        Err(error) => {
            writing.discard().await;
            Err(error)
        }
    }
}
