//! Telling the registrar of DOIs what it has still to hear.

use crate::failure::Failure;
use crate::home::Home;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tarn_catalog::{Catalog, DoiTask};
use tarn_connectors::registrar::{Publication, Registrar, RegistrarError, Registration};
use tarn_schemas::ErrorCode;
use tarn_schemas::export::export;

/// Where the registrar's secret is read from.
const SECRET: &str = "TARN_DOI_SECRET";
/// How often it is looked whether there is something to tell.
const LOOKING: Duration = Duration::from_secs(2);
/// What is taken at once.
const TOGETHER: u32 = 20;

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
    loop {
        match round(&catalog, registrar.as_ref(), &base, false).await {
            Ok(0) => tokio::time::sleep(LOOKING).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the registrar of DOIs is told nothing now");
                tokio::time::sleep(LOOKING).await;
            }
        }
    }
}

/// Tells it what is due, or with `all` whatever it has not heard; says how much that was.
pub(crate) async fn round(
    catalog: &Catalog,
    registrar: &dyn Registrar,
    base: &str,
    all: bool,
) -> Result<usize, Failure> {
    let limit = if all { u32::MAX } else { TOGETHER };
    let tasks = catalog.take_doi_tasks(all, limit).await?;
    for task in &tasks {
        match tell(catalog, registrar, base, task).await? {
            Ok(Registration { doi, id }) => {
                catalog.doi_done(task, doi.as_deref(), id.as_deref()).await?;
            }
            Err(error) => {
                let name = task.dataset.full_name();
                tracing::warn!(dataset = name, %error, "a DOI is not registered yet");
                let wait = match &error {
                    RegistrarError::Unavailable { wait, .. } => Some(wait.unwrap_or_default()),
                    _ => None,
                };
                catalog.doi_failed(task, &error.to_string(), wait).await?;
            }
        }
    }
    Ok(tasks.len())
}

async fn tell(
    catalog: &Catalog,
    registrar: &dyn Registrar,
    base: &str,
    task: &DoiTask,
) -> Result<Result<Registration, RegistrarError>, Failure> {
    let DoiTask { dataset, doi, registrar_id, .. } = task;
    let mut source = dataset.source(&catalog.defaults().await?, base);
    source.doi.clone_from(doi);
    let metadata = if task.shown {
        let text = export(&source, registrar.format());
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(ErrorCode::Internal, error.to_string()))?
    } else {
        Value::Null
    };
    let publication = Publication {
        name: format!("{}.{}", dataset.lab, dataset.name),
        doi: doi.clone(),
        id: registrar_id.clone(),
        metadata,
    };
    Ok(if task.shown {
        registrar.publish(&publication).await
    } else {
        let hidden = registrar.hide(&publication).await;
        hidden.map(|()| Registration { doi: doi.clone(), id: registrar_id.clone() })
    })
}
