//! `tarn init`

use super::{Context, Outcome};
use crate::cli::Init;
use crate::config::Config;
use crate::home::{Home, folder};
use tarn_schemas::LabName;

/// Makes a home.
pub(crate) async fn run(context: &Context, args: &Init) -> Result<(), Outcome> {
    let lab = LabName::new(args.lab.as_str())?;
    let (folder, _) = folder(context.home.as_deref())?;
    let config = Config::new(lab).of_environment();
    Home::create(&folder, &config).await?;
    if context.json {
        say!("{}", serde_json::json!({"home": folder, "lab": config.lab}));
    }
    context.note(format_args!(
        "Made lab {} in {}: tarn.toml, a catalog and a local store.\n\
         Next: tarn record new FILES… > record.yaml, then tarn register record.yaml",
        config.lab,
        folder.display()
    ));
    Ok(())
}
