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
    let token = Home::create(&folder, &config).await?;
    if context.json {
        let made = serde_json::json!({
            "home": folder,
            "lab": config.lab,
            "administrator_token": token,
        });
        say!("{made}");
    }
    context.note(format_args!(
        "Made lab {} in {}: tarn.toml, a catalog and a local store.\n\
         Next: tarn record new FILES… > record.yaml, then tarn register record.yaml\n\
         Whoever logs in (docs/login.md) and shows this token within seven days becomes the first \
         administrator over the network; it works once and is not shown again:\n  {token}",
        config.lab,
        folder.display()
    ));
    Ok(())
}
