//! `tarn doi`

use super::{Context, Outcome};
use crate::cli::DoiCommand;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use crate::registrar;
use tarn_catalog::{Doi, DoiState};
use tarn_schemas::{DatasetName, ErrorCode, Principal};

/// Asks for DOIs and says how they stand.
pub(crate) async fn run(context: &Context, args: DoiCommand) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    match args {
        DoiCommand::Request { name } => {
            let registrar = registrar::required(&home)?;
            let name = DatasetName::new(&name)?;
            let choose = |blade: &str| registrar.doi_for(blade);
            let doi = home.catalog.request_doi(&Principal::Owner, &name, choose).await?;
            if context.json {
                say!("{}", serde_json::json!(doi));
            } else {
                say!("{}", doi.doi.as_deref().unwrap_or("(the registrar gives it)"));
            }
            context.note("A node that serves registers it within seconds; at once: tarn doi sync");
            Ok(())
        }
        DoiCommand::List => list(context, &home).await,
        DoiCommand::Sync => {
            let registrar = registrar::required(&home)?;
            let base = home.config.public_http();
            registrar::sync(&home.catalog, registrar.as_ref(), &base).await?;
            list(context, &home).await?;
            let dois = home.catalog.dois(&Principal::Owner).await?;
            let settled = [DoiState::Registered, DoiState::Hidden];
            let open = dois.iter().filter(|doi| !settled.contains(&doi.state)).count();
            if open > 0 {
                let problem = format!("{open} of {} are not registered yet", dois.len());
                return Err(Failure::new(ErrorCode::Unavailable, problem).into());
            }
            Ok(())
        }
    }
}

async fn list(context: &Context, home: &Home) -> Result<(), Outcome> {
    let dois = home.catalog.dois(&Principal::Owner).await?;
    if context.json {
        say!("{}", serde_json::json!(dois));
        return Ok(());
    }
    let rows =
        dois.into_iter().map(|Doi { dataset, doi, state, attempts, next_at, problem, .. }| {
            vec![
                dataset.to_string(),
                doi.unwrap_or_default(),
                state.as_str().to_owned(),
                attempts.to_string(),
                next_at.unwrap_or_default(),
                problem.unwrap_or_default(),
            ]
        });
    say_part!("{}", text_table(&["dataset", "doi", "state", "attempts", "next", "problem"], rows));
    Ok(())
}
