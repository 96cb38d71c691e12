//! Queries under citable identifiers: saving one runs it, and running one compares.

use crate::commands::principal;
use crate::failure::Failure;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use serde_json::{Value, json};
use tarn_catalog::{Catalog, KeptAnswer, NewQuery, PinnedTable, Readers, SavedQuery, subject};
use tarn_query::{AnswerDigest, Engine, QueryError, SessionOptions, engine_name, parameter};
use tarn_schemas::{ErrorCode, Principal, SiteReport};

/// Largest answer of a query that is kept, in bytes of its columns: it is held back until it is known
/// to be the same.
const MOST_BYTES: usize = 256 << 20;
/// How everyone is called among those whom a query is shared with.
const PUBLIC: &str = "public";

/// A query that is to be kept.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Its name, one of its owner's.
    pub name: String,
    /// The statement.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Vec<Value>,
    /// Whom to share it with: `public`, NAME, or NAME@LAB.
    pub readers: Vec<String>,
}

/// The whole answer of a query that is kept.
#[derive(Debug)]
pub(crate) struct Whole {
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub sites: Vec<SiteReport>,
    answer: KeptAnswer,
    tables: Vec<PinnedTable>,
}

/// Runs a query and keeps it under a new ARK, with what its answer was.
pub(crate) async fn save(
    engine: &Engine,
    catalog: &Catalog,
    who: &Principal,
    wish: Wish,
) -> Result<SavedQuery, Failure> {
    let Wish { name, sql, parameters, readers } = wish;
    let readers = shared_with(&readers)?;
    catalog.check_query(who, &name, &sql).await?;
    let Whole { answer, tables, .. } = Box::pin(ask(engine, who, &sql, &parameters, &[])).await?;
    let engine = engine_name();
    let query = NewQuery { name, sql, parameters, tables, engine, answer, readers };
    Ok(catalog.save_query(who, query).await?)
}

/// Runs a saved query once more, with the rights that the caller has now. The answer is what it was.
///
/// # Errors
/// Why it is not: a table that is gone, withdrawn, changed or not to be read as it was; another engine;
/// or, where nothing of these is known to be different, another answer.
pub(crate) async fn run(
    engine: &Engine,
    catalog: &Catalog,
    who: &Principal,
    named: &str,
) -> Result<(SavedQuery, Whole), Failure> {
    let query = catalog.saved_query(who, named).await?;
    let SavedQuery { sql, parameters, tables, .. } = &query;
    let at = |failure: Failure| failure.at(format_args!("{} cannot be answered again", query.ark));
    let whole = Box::pin(ask(engine, who, sql, parameters, tables)).await.map_err(at)?;
    // Whoever came so far reads the same of every table as whoever saved it.
    let Some(then) = &query.answer else {
        let problem = "your rights changed while it ran: run it again";
        return Err(at(Failure::new(ErrorCode::Conflict, problem)));
    };
    if whole.answer != *then {
        return Err(at(differs(&query, then, &whole.answer)));
    }
    Ok((query, whole))
}

fn differs(query: &SavedQuery, then: &KeptAnswer, now: &KeptAnswer) -> Failure {
    let own = engine_name();
    let why = if query.engine == own {
        format!(
            "versions of tables and engine ({own}) are the same, so this may be a defect: please \
             report it"
        )
    } else {
        format!("it was computed by {} then, and is by {own} now", query.engine)
    };
    Failure::new(
        ErrorCode::Conflict,
        format!(
            "the answer is another one: {} row(s) with SHA-256 {} on {}, {} row(s) with SHA-256 {} \
             now; {why}",
            then.rows, then.sha256, query.saved_at, now.rows, now.sha256
        ),
    )
}

/// The whole answer of a statement whose answer can be had again.
async fn ask(
    engine: &Engine,
    who: &Principal,
    sql: &str,
    parameters: &[Value],
    pins: &[PinnedTable],
) -> Result<Whole, Failure> {
    let parameters = parameters.iter().map(parameter).collect::<Result<Vec<_>, _>>()?;
    let session = engine.session(who.clone(), SessionOptions::default()).await?;
    let query = session.begin();
    let planned = session.plan_citable(&query, sql, &parameters, pins);
    let (prepared, tables) = Box::pin(planned).await?;
    let mut running = prepared.start().await?;
    let (mut digest, mut batches, mut bytes) =
        (AnswerDigest::new(&running.schema), Vec::new(), 0_usize);
    while let Some(batch) = running.stream.next().await {
        let batch = batch.map_err(QueryError::from)?;
        bytes = bytes.saturating_add(batch.get_array_memory_size());
        if bytes > MOST_BYTES {
            let problem = "the answer has more than 256 MiB, and queries that are kept have less: \
                           aggregate, or select less";
            return Err(Failure::new(ErrorCode::ResourceExhausted, problem));
        }
        digest.add(&batch)?;
        batches.push(batch);
    }
    let (rows, sha256) = digest.finish();
    let (schema, sites) = (running.schema, running.sites.reports());
    Ok(Whole { schema, batches, sites, answer: KeptAnswer { rows, sha256 }, tables })
}

fn shared_with(names: &[String]) -> Result<Readers, Failure> {
    let mut readers = Readers::default();
    for name in names {
        if name == PUBLIC {
            readers.public = true;
        } else {
            readers.people.insert(subject(&principal(name)?));
        }
    }
    Ok(readers)
}

/// A query as clients read it.
pub(crate) fn shown(catalog: &Catalog, query: &SavedQuery) -> Value {
    let lab = catalog.lab();
    let tables: Vec<Value> = query
        .tables
        .iter()
        .map(|table| {
            json!({
                "written": table.written, "dataset": format!("{lab}.{}@{}", table.dataset, table.version),
                "table": table.table,
            })
        })
        .collect();
    let mut shown = json!({
        "id": query.id, "ark": query.ark, "name": query.name, "owner": query.owner,
        "query": query.sql, "parameters": query.parameters, "tables": tables,
        "engine": query.engine, "saved_at": query.saved_at, "answer": query.answer,
    });
    if let Some(readers) = &query.readers {
        let everyone = readers.public.then(|| PUBLIC.to_owned());
        let all: Vec<String> = readers.people.iter().cloned().chain(everyone).collect();
        shown["readers"] = json!(all);
    }
    shown
}
