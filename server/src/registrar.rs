//! Telling the registrar of DOIs what it has still to hear.

use crate::failure::Failure;
use crate::home::Home;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tarn_catalog::{Catalog, DoiTask, Pick, Taken};
use tarn_connectors::registrar::{Publication, Registrar, RegistrarError, Registration};
use tarn_schemas::ErrorCode;
use tarn_schemas::export::{Refused, export};

/// Where the registrar's secret is read from.
const SECRET: &str = "TARN_DOI_SECRET";
/// How often it is looked whether there is something to tell.
const LOOKING: Duration = Duration::from_secs(2);
/// How often it is looked whether somebody else has ended.
const WAITING: Duration = Duration::from_millis(200);
/// How often what the registrar was told is compared with what is for everyone.
const COMPARING: Duration = Duration::from_secs(3600);

/// The registrar of a home, where its configuration names one.
pub(crate) fn of(home: &Home) -> Result<Option<Arc<dyn Registrar>>, Failure> {
    let Some(config) = &home.config.doi else { return Ok(None) };
    let secret = std::env::var(SECRET).unwrap_or_default();
    config.registrar(secret).map(Some).map_err(failure)
}

/// The registrar, which has to be there.
pub(crate) fn required(home: &Home) -> Result<Arc<dyn Registrar>, Failure> {
    of(home)?.ok_or_else(none_configured)
}

/// There is no registrar.
pub(crate) fn none_configured() -> Failure {
    Failure::new(
        ErrorCode::InvalidArgument,
        "this lab registers no DOIs: its operator names a registrar under [doi] in tarn.toml (docs/dois.md)",
    )
}

fn failure(error: RegistrarError) -> Failure {
    let code = match error {
        RegistrarError::Unavailable { .. } => ErrorCode::Unavailable,
        RegistrarError::Refused { .. } => ErrorCode::PermissionDenied,
        RegistrarError::Config { .. } => ErrorCode::InvalidArgument,
    };
    Failure::new(code, error.to_string())
}

/// Tells the registrar again and again what it has still to hear.
pub(crate) async fn work(catalog: Catalog, registrar: Arc<dyn Registrar>, base: String) {
    let mut compared = None::<Instant>;
    loop {
        let step = async {
            if compared.is_none_or(|at| at.elapsed() >= COMPARING) {
                catalog.compare_dois().await?;
                compared = Some(Instant::now());
            }
            match catalog.take_doi_task(Pick::Due).await? {
                Taken::Task(task) => tell(&catalog, registrar.as_ref(), &base, *task).await,
                Taken::Busy | Taken::Nothing => {
                    tokio::time::sleep(LOOKING).await;
                    Ok(())
                }
            }
        };
        if let Err(error) = step.await {
            tracing::warn!(%error, "the registrar of DOIs is told nothing now");
            tokio::time::sleep(LOOKING).await;
        }
    }
}

/// Tells it once whatever it has not heard, also what is not due yet or was refused. What somebody else
/// is telling it is waited for.
pub(crate) async fn sync(
    catalog: &Catalog,
    registrar: &dyn Registrar,
    base: &str,
) -> Result<(), Failure> {
    catalog.compare_dois().await?;
    for name in catalog.open_dois().await? {
        loop {
            match catalog.take_doi_task(Pick::Of(&name)).await? {
                Taken::Task(task) => {
                    tell(catalog, registrar, base, *task).await?;
                    break;
                }
                // A lease ends, if its holder does not end it before.
                Taken::Busy => tokio::time::sleep(WAITING).await,
                Taken::Nothing => break,
            }
        }
    }
    Ok(())
}

/// Tells it one thing, and notes what came of it.
async fn tell(
    catalog: &Catalog,
    registrar: &dyn Registrar,
    base: &str,
    task: DoiTask,
) -> Result<(), Failure> {
    let name = name_of(&task);
    let known = match task.registrar_id.clone() {
        Some(id) => Ok(Some(id)),
        None => registrar.find(&name).await,
    };
    let (task, answer) = match known {
        Err(error) => (task, Err(error)),
        Ok(id) => {
            // It may have been closed while the registrar was asked.
            let Some(task) = catalog.renew_doi_task(&task).await? else { return Ok(()) };
            let publication = match publication(catalog, registrar, base, &task, id).await? {
                Ok(publication) => publication,
                Err(refused) => {
                    tracing::warn!(dataset = name, %refused, "no DOI without what it needs");
                    return Ok(catalog.doi_failed(&task, &refused.to_string(), None).await?);
                }
            };
            let answer = if task.shown {
                registrar.publish(&publication).await
            } else {
                let hidden = registrar.hide(&publication).await;
                let Publication { doi, id, .. } = publication;
                hidden.map(|()| Registration { doi, id })
            };
            (task, answer)
        }
    };
    match answer {
        Ok(Registration { doi, id }) => {
            catalog.doi_done(&task, doi.as_deref(), id.as_deref()).await?;
        }
        Err(error) => {
            tracing::warn!(dataset = name, %error, "a DOI is not registered yet");
            let wait = match &error {
                RegistrarError::Unavailable { wait, .. } => Some(wait.unwrap_or_default()),
                _ => None,
            };
            catalog.doi_failed(&task, &error.to_string(), wait).await?;
        }
    }
    Ok(())
}

async fn publication(
    catalog: &Catalog,
    registrar: &dyn Registrar,
    base: &str,
    task: &DoiTask,
    id: Option<String>,
) -> Result<Result<Publication, Refused>, Failure> {
    let DoiTask { dataset, doi, .. } = task;
    let metadata = if task.shown {
        let mut source = dataset.source(&catalog.defaults().await?, base);
        source.doi.clone_from(doi);
        let text = match export(&source, registrar.format()) {
            Ok(text) => text,
            Err(refused) => return Ok(Err(refused)),
        };
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?
    } else {
        Value::Null
    };
    Ok(Ok(Publication { name: name_of(task), doi: doi.clone(), id, metadata }))
}

/// The name at the registrar, which is that of every version.
fn name_of(task: &DoiTask) -> String {
    format!("{}.{}", task.dataset.lab, task.dataset.name)
}
