//! `tarn backup` and `tarn restore`

use super::{Context, Outcome};
use crate::cli::{Backup, Restore};
use crate::failure::{Failure, io};
use crate::home::{Home, folder};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use tarn_schemas::ErrorCode;

/// Writes a backup. It is there, whole and durable, or not at all.
pub(crate) async fn backup(context: &Context, args: &Backup) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    let (folder, _) = folder(context.home.as_deref())?;
    let config = folder.join("tarn.toml");
    let config = std::fs::read_to_string(&config).map_err(|e| io(config.display(), &e))?;
    let place = &args.file;
    let beside = place.with_added_extension("part");
    let file = private_file(&beside).map_err(|e| io(beside.display(), &e))?;
    let written = async {
        let rows = home.catalog.backup(BufWriter::new(&file), &config).await?;
        file.sync_all().map_err(|e| io(beside.display(), &e))?;
        // A link fails where the name is taken, a rename would replace it.
        std::fs::hard_link(&beside, place).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Failure::new(
                ErrorCode::Conflict,
                format!("{} is there already; choose another name", place.display()),
            ),
            _ => io(place.display(), &e),
        })?;
        Ok::<_, Failure>(rows)
    }
    .await;
    let _ = std::fs::remove_file(&beside);
    let rows = written?;
    let bytes = place.metadata().map_err(|e| io(place.display(), &e))?.len();
    if context.json {
        say!("{}", serde_json::json!({"file": place, "rows": rows, "bytes": bytes}));
    }
    context.note(format_args!(
        "{}: {rows} rows, {bytes} bytes. It holds the secrets shared with peers: keep it as safe as \
         the home. The tables in the store are not in it.",
        place.display()
    ));
    Ok(())
}

/// Makes a home from a backup.
pub(crate) async fn restore(context: &Context, args: &Restore) -> Result<(), Outcome> {
    let (folder, _) = folder(context.home.as_deref())?;
    let home = Home::restore(&folder, &args.file).await?;
    if context.json {
        say!("{}", serde_json::json!({"home": folder, "lab": home.catalog.lab()}));
    }
    context.note(format_args!("Restored lab {} in {}.", home.catalog.lab(), folder.display()));
    Ok(())
}

/// A new file that only its owner may read.
fn private_file(place: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(place)
}
