//! `tarn export`

use super::{Context, Outcome};
use crate::cli::Export;
use crate::failure::{Failure, io};
use crate::home::Home;
use std::path::Path;
use tarn_schemas::export::export;
use tarn_schemas::{DatasetRef, ErrorCode, Principal};

/// Prints a dataset of this lab in a format of others.
pub(crate) async fn run(context: &Context, args: &Export) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let wanted: DatasetRef = args.name.parse()?;
    if let Some(lab) = wanted.lab.as_ref().filter(|lab| *lab != home.catalog.lab()) {
        let problem = format!("{wanted} is a dataset of {lab}: ask its own node to export it");
        return Err(Failure::new(ErrorCode::NotFound, problem).into());
    }
    let dataset = home.catalog.dataset(&Principal::Owner, &wanted).await?;
    let source = dataset.source(&home.config.defaults, &home.config.public_http());
    let text = export(&source, args.format).map_err(Failure::from)?;
    match args.output.as_deref() {
        Some(path) if path != Path::new("-") => {
            std::fs::write(path, text).map_err(|error| io(path.display(), &error))?;
        }
        _ => say_part!("{text}"),
    }
    Ok(())
}
