//! The metadata catalog: records, versions, tables, identifiers, search, tokens, peers, decisions.
//!
//! One [`Catalog`] per lab node over SQLite. Everything that asks for data goes through
//! [`Catalog::decide`]; every listing takes the [`Principal`](tarn_schemas::Principal) and shows only what it may know.

mod ark;
mod chunk_index;
mod content;
mod database;
mod datasets;
pub mod decision;
pub mod error;
mod export;
mod fill;
mod inputs;
mod invitations;
pub mod model;
mod peers;
mod prefill;
mod profiles;
mod register;
mod render;
pub mod schema_text;
mod search;
mod secret;
mod tokens;

pub use chunk_index::ChunkIndex;
pub use decision::{Action, Decision};
pub use error::CatalogError;
pub use model::*;
pub use prefill::prefill;
pub use render::render_yaml;
pub use secret::new_peer_secret;

use database::Database;
use sqlx::Row;
use std::path::Path;
use std::sync::Arc;
use tarn_schemas::profile::community::Community;
use tarn_schemas::{LabName, Principal};

/// The catalog of one lab. Cheap to clone.
///
/// It lives in a folder: `catalog.sqlite` holds everything, `search/` and `chunks/` indexes that are
/// made again whenever they are missing or damaged. Any number of handles and processes may use one folder.
#[derive(Debug, Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    index: Arc<search::Index>,
    chunks: ChunkIndex,
    profiles: profiles::Profiles,
    lab: LabName,
}

impl Catalog {
    /// Makes the database in a folder (the first search makes its index). Refuses a folder that has one already.
    ///
    /// The database file is readable by its owner only, because it holds the secrets of peers.
    pub async fn create(
        folder: &Path,
        lab: LabName,
        defaults: LabDefaults,
    ) -> Result<Self, CatalogError> {
        check(&defaults)?;
        let place = Database::path(folder);
        let failed = |error: std::io::Error| CatalogError::Database {
            place: place.display().to_string(),
            problem: format!(
                "it cannot be made ({error}); check that this user may write there and that the disk has space"
            ),
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        make_private_file(&place).map_err(failed)?;
        let database = Database::open(&place).await?;
        database.migrate().await?;
        let defaults_text = serde_json::to_string(&defaults)
            .map_err(|error| database.unreadable("the lab's defaults", &error))?;
        let mut write = database.write().await?;
        // One transaction decides who made it, if two try at once or a first try was killed.
        let made = sqlx::query(
            "INSERT INTO lab (only_row, name, catalog_id, defaults) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )
        .bind(lab.as_str())
        .bind(uuid::Uuid::new_v4().simple().to_string())
        .bind(defaults_text)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if made.rows_affected() == 0 {
            return Err(CatalogError::Conflict(format!(
                "{} is a catalog already; choose another folder, or use this one as it is",
                place.display()
            )));
        }
        write.commit().await?;
        Self::with_database(folder, database).await
    }

    /// Opens the catalog of a folder; brings an older schema up to date.
    pub async fn open(folder: &Path) -> Result<Self, CatalogError> {
        let place = Database::path(folder);
        if !place.exists() {
            return Err(CatalogError::NotFound {
                kind: "catalog",
                name: place.display().to_string(),
                hint: "; make a home with `tarn init`".to_owned(),
            });
        }
        let database = Database::open(&place).await?;
        database.migrate().await?;
        Self::with_database(folder, database).await
    }

    async fn with_database(folder: &Path, database: Database) -> Result<Self, CatalogError> {
        let row = sqlx::query("SELECT name, catalog_id FROM lab")
            .fetch_optional(database.pool())
            .await
            .map_err(|error| database.error(&error))?
            .ok_or_else(|| database.problem("its making was interrupted; run `tarn init` again"))?;
        let text =
            |column: &str| row.try_get::<String, _>(column).map_err(|error| database.error(&error));
        let lab = LabName::new(text("name")?)
            .map_err(|error| database.unreadable("the name of the lab", &error))?;
        let index = search::Index::new(folder, text("catalog_id")?);
        let chunks = ChunkIndex::new(folder.join("chunks"));
        let profiles = profiles::Profiles::new(folder.join("profiles"));
        Ok(Self { inner: Arc::new(Inner { database, index, chunks, profiles, lab }) })
    }

    /// The metadata of registered files.
    pub fn chunk_index(&self) -> &ChunkIndex {
        &self.inner.chunks
    }

    /// The lab whose catalog this is.
    pub fn lab(&self) -> &LabName {
        &self.inner.lab
    }

    /// The community profiles that records of this lab may name, by name.
    ///
    /// # Errors
    /// [`CatalogError::Argument`] if a file of the folder `profiles` is none.
    pub fn profiles(&self) -> Result<Arc<[Community]>, CatalogError> {
        self.inner.profiles.all()
    }

    /// What records of this lab may leave out.
    pub async fn defaults(&self) -> Result<LabDefaults, CatalogError> {
        let database = &self.inner.database;
        let text: String = sqlx::query("SELECT defaults FROM lab")
            .fetch_one(database.pool())
            .await
            .and_then(|row| row.try_get("defaults"))
            .map_err(|error| database.error(&error))?;
        serde_json::from_str(&text)
            .map_err(|error| database.unreadable("the lab's defaults", &error))
    }

    /// Changes what records of this lab may leave out, for registrations from now on.
    pub async fn set_defaults(&self, defaults: &LabDefaults) -> Result<(), CatalogError> {
        check(defaults)?;
        let database = &self.inner.database;
        let text = serde_json::to_string(defaults)
            .map_err(|error| database.unreadable("the lab's defaults", &error))?;
        let mut write = database.write().await?;
        sqlx::query("UPDATE lab SET defaults = ?1")
            .bind(text)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        write.commit().await
    }

    /// May `who` do `action` on this dataset, now?
    pub fn decide(&self, who: &Principal, action: Action, dataset: &Dataset) -> Decision {
        decision::decide(who, action, dataset, chrono::Utc::now())
    }
}

fn check(defaults: &LabDefaults) -> Result<(), CatalogError> {
    match &defaults.naan {
        Some(naan) if !ark::is_naan(naan) => Err(CatalogError::Argument(format!(
            "{naan:?} is no NAAN: write the five digits that the lab was given"
        ))),
        _ => Ok(()),
    }
}

/// Makes an empty file that only its owner may read, unless it is there. SQLite gives its
/// side files (`-wal`, `-shm`) the same mode.
fn make_private_file(place: &Path) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(place).map(drop)
}
