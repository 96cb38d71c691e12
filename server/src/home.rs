//! A home: the folder with a lab's configuration, catalog and store.

use crate::config::Config;
use crate::failure::{Failure, io};
use crate::fallback::fallback;
use std::path::{Path, PathBuf};
use tarn_catalog::Catalog;
use tarn_connectors::{Location, Stores};
use tarn_query::{Engine, EngineConfig};
use tarn_schemas::{ErrorCode, Principal};

/// An open home.
#[derive(Debug)]
pub(crate) struct Home {
    /// Its configuration.
    pub config: Config,
    /// Its catalog.
    pub catalog: Catalog,
    /// Its object stores.
    pub stores: Stores,
    /// Where its tables are.
    pub store: Location,
    /// Where it is.
    pub folder: PathBuf,
}

/// The folder that the command line means, and whether it was said.
pub(crate) fn folder(said: Option<&Path>) -> Result<(PathBuf, bool), Failure> {
    match said {
        Some(folder) => Ok((folder.to_owned(), true)),
        None => std::env::home_dir().map(|home| (home.join(".tarn"), false)).ok_or_else(|| {
            Failure::new(ErrorCode::InvalidArgument, "no home folder is known; give --home DIR")
        }),
    }
}

impl Home {
    /// Opens the home.
    pub(crate) async fn open(said: Option<&Path>) -> Result<Self, Failure> {
        let (folder, _) = folder(said)?;
        let folder = folder.canonicalize().unwrap_or(folder);
        let config = Config::load(&folder)?;
        let catalog = Catalog::open_in(&folder, config.database.as_deref()).await?;
        if catalog.defaults().await? != config.defaults {
            catalog.set_defaults(&config.defaults).await?;
        }
        if catalog.lab() != &config.lab {
            return Err(Failure::new(
                ErrorCode::InvalidArgument,
                format!(
                    "the catalog in {} belongs to lab {}, tarn.toml says {}; a lab keeps its name",
                    folder.display(),
                    catalog.lab(),
                    config.lab
                ),
            ));
        }
        let stores = config.stores();
        let store = config.store_location(&folder)?;
        Ok(Self { config, catalog, stores, store, folder })
    }

    /// Makes a new home. Returns the one-time token of its first administrator.
    pub(crate) async fn create(folder: &Path, config: &Config) -> Result<String, Failure> {
        let path = folder.join("tarn.toml");
        if path.exists() {
            return Err(Failure::new(
                ErrorCode::Conflict,
                format!("{} is a home already; nothing was changed", folder.display()),
            ));
        }
        std::fs::create_dir_all(folder.join(&config.store))
            .map_err(|e| io(folder.display(), &e))?;
        let database = config.database.as_deref();
        let (lab, defaults) = (config.lab.clone(), config.defaults.clone());
        let catalog = Catalog::create_in(folder, database, lab, defaults).await?;
        let token = catalog.invite_administrator(&Principal::Owner).await?;
        std::fs::write(&path, config.template()).map_err(|e| io(path.display(), &e))?;
        Ok(token)
    }

    /// Makes a home from a backup. A folder that is a home already is refused.
    pub(crate) async fn restore(folder: &Path, backup: &Path) -> Result<Self, Failure> {
        let path = folder.join("tarn.toml");
        if path.exists() {
            return Err(Failure::new(
                ErrorCode::Conflict,
                format!(
                    "{} is a home already; restore into another folder (--home DIR)",
                    folder.display()
                ),
            ));
        }
        let text = Catalog::backup_config(backup)?;
        std::fs::create_dir_all(folder).map_err(|e| io(folder.display(), &e))?;
        // Written beside its place, so that a restore that fails leaves no home.
        let beside = folder.join("tarn.toml.restoring");
        std::fs::write(&beside, &text).map_err(|e| io(beside.display(), &e))?;
        let made = async {
            let config = Config::read(&beside)?;
            Catalog::restore_in(folder, config.database.as_deref(), backup).await?;
            if !config.store.contains("://") {
                let store = folder.join(&config.store);
                std::fs::create_dir_all(&store).map_err(|e| io(store.display(), &e))?;
            }
            std::fs::rename(&beside, &path).map_err(|e| io(path.display(), &e))
        };
        if let Err(failure) = made.await {
            // What is left of it is overwritten by the next attempt.
            let _ = std::fs::remove_file(&beside);
            return Err(failure);
        }
        Self::open(Some(folder)).await
    }

    /// The engine of this home.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        let config = self.config.engine(&self.folder);
        Ok(Engine::new(Some(self.catalog.clone()), self.stores.clone(), config)?)
    }
}

/// Whether there is a home in the folder.
pub(crate) fn is_home(folder: &Path) -> bool {
    folder.join("tarn.toml").exists()
}

/// The engine of the home, or one that reads files only where there is no home (yet).
pub(crate) async fn engine_or_files(said: Option<&Path>) -> Result<Engine, Failure> {
    let (folder, _) = folder(said)?;
    if is_home(&folder) {
        return Home::open(Some(&folder)).await?.engine();
    }
    let stores = Stores::default().with_fallback(fallback());
    Ok(Engine::new(None, stores, EngineConfig::default())?)
}
