//! The metadata catalog: records, versions, tables, identifiers, search, tokens, peers, decisions.
//!
//! One [`Catalog`] per lab node over SQLite. Everything that asks for data goes through
//! [`Catalog::decide`]; every listing takes the [`Principal`](tarn_schemas::Principal) and shows only what it may know.

mod about;
mod access;
mod administrators;
mod admission;
mod ark;
pub mod audit;
mod carried_tables;
mod chunk_index;
mod content;
mod data_use;
mod datasets;
pub mod decision;
mod derived;
mod doi;
mod doi_tasks;
mod drafts;
mod drop_table;
pub mod error;
mod export;
mod feed;
mod fill;
mod harvest;
mod held_back;
mod inputs;
mod invitations;
mod key_file;
mod keyed_requests;
mod known_files;
mod lineage;
mod lineage_edges;
mod logins;
pub mod model;
mod named_inputs;
mod obligation;
mod peers;
mod people;
mod policy;
mod prefill;
mod profiles;
mod pseudonym;
mod publication;
mod reading;
mod receipts;
mod register;
mod register_many;
mod relaxing;
mod released;
mod releases;
mod render;
mod renewed_limits;
mod replica;
mod said;
mod same_person;
mod saved_queries;
mod saved_searches;
pub mod schema_text;
mod seal_key;
mod search;
mod secret;
mod sessions;
mod shown;
mod sources;
mod standing;
mod store;
mod table_folders;
mod tables;
mod tokens;
mod versions;
mod views;
mod visa_key;
mod visas;
mod withdrawal;

pub use about::About;
pub use ark::parse as parse_ark;
pub use chunk_index::ChunkIndex;
pub use data_use::IntendedUse;
pub use decision::{Action, Decision, Door};
pub use derived::{Making, check_elsewhere};
pub use doi::{Doi, DoiState};
pub use doi_tasks::{DoiTask, Pick, Taken};
pub use drafts::{Draft, DraftState, NOT_OFFERED, Submission};
pub use error::CatalogError;
pub use feed::{
    PageRequest, PeerRecord, PeerTable, PeerVersion, PeerWithdrawal, Position, RecordsRequest,
    Signed, Tree, TreeRequest,
};
pub use harvest::Place;
pub use keyed_requests::{KeptResponse, KeyedRequest, Known};
pub use logins::LoginPerson;
pub use model::*;
pub use obligation::{Masking, Obligation, Span, Step};
pub use people::KnownPerson;
pub use policy::subject;
pub use prefill::prefill;
pub use reading::Reading;
pub use receipts::{NewReceipt, Receipt, ReceiptSegment};
pub use register_many::Seen;
pub use released::Release;
pub use render::render_yaml;
pub use replica::{Applied, Drift, FeedRefusal, Replica, ReplicaState, TreeWalk};
pub use saved_queries::{KeptAnswer, NewQuery, PinnedTable, Readers, SavedQuery};
pub use saved_searches::SavedRun;
pub use search::Cursor;
pub use secret::new_peer_secret;
pub use sessions::Session;
pub use views::{DEEPEST_VIEW, NewView, View, ViewDefinition, ViewInput};

use audit::{Act, Said};
use sqlx::Row;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use store::{Database, Engine};
use tarn_connectors::oidc::Issuers;
use tarn_schemas::LabName;
use tarn_schemas::profile::community::Community;

/// How grants and the audit log name whoever works on the home itself.
const OWNER: &str = "owner";

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
    /// Of the records of other labs.
    peer_index: Arc<search::Index>,
    trees: feed::KeptTrees,
    chunks: ChunkIndex,
    profiles: profiles::Profiles,
    lab: LabName,
    policies: policy::Policies,
    signer: audit::Signer,
    visa_signer: visa_key::VisaSigner,
    pseudonyms: pseudonym::PseudonymKey,
    unwritten: shown::Unwritten,
    /// Set once, by the node that serves.
    issuers: OnceLock<Issuers>,
}

impl Catalog {
    /// Makes the catalog of a folder in a SQLite file there. Refuses a folder that has one already.
    pub async fn create(
        folder: &Path,
        lab: LabName,
        defaults: LabDefaults,
    ) -> Result<Self, CatalogError> {
        Self::create_in(folder, None, lab, defaults).await
    }

    /// Makes the catalog of a folder (the first search makes its index): in the PostgreSQL database
    /// of a URL, or in a SQLite file. Refuses a database that is a catalog already.
    ///
    /// The SQLite file is readable by its owner only, because it holds the secrets of peers.
    pub async fn create_in(
        folder: &Path,
        url: Option<&str>,
        lab: LabName,
        defaults: LabDefaults,
    ) -> Result<Self, CatalogError> {
        check(&defaults)?;
        let database = Self::open_empty(folder, url).await?;
        database.migrate().await?;
        let defaults_text = serde_json::to_string(&defaults)
            .map_err(|error| database.unreadable("the lab's defaults", &error))?;
        let mut write = database.write().await?;
        // One transaction decides who made it, if two try at once or a first try was killed.
        let made = sqlx::query(
            "INSERT INTO lab (only_row, name, catalog_id, defaults) VALUES (1, $1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(lab.as_str())
        .bind(uuid::Uuid::new_v4().simple().to_string())
        .bind(defaults_text)
        .execute(&mut *write.transaction)
        .await
        .map_err(|error| database.error(&error))?;
        if made.rows_affected() == 0 {
            return Err(is_one_already(&database));
        }
        write.note(Said::new(Act::Create, OWNER).with("lab", lab.as_str())).await?;
        write.commit().await?;
        Self::with_database(folder, database).await
    }

    /// A database that may be empty; the SQLite file is made.
    async fn open_empty(folder: &Path, url: Option<&str>) -> Result<Database, CatalogError> {
        let engine = store::engine(folder, url)?;
        let failed = |error: std::io::Error| CatalogError::Database {
            place: engine.place(),
            problem: format!(
                "it cannot be made ({error}); check that this user may write there and that the disk has space"
            ),
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        if let Engine::Sqlite(place) = &engine {
            make_private_file(place).map_err(failed)?;
        }
        Database::open(engine).await
    }

    /// Opens the catalog of a folder in its SQLite file; brings an older schema up to date.
    pub async fn open(folder: &Path) -> Result<Self, CatalogError> {
        Self::open_in(folder, None).await
    }

    /// Opens the catalog of a folder, in the PostgreSQL database of a URL or in a SQLite file; brings
    /// an older schema up to date.
    pub async fn open_in(folder: &Path, url: Option<&str>) -> Result<Self, CatalogError> {
        let engine = store::engine(folder, url)?;
        if let Engine::Sqlite(place) = &engine
            && !place.exists()
        {
            return Err(CatalogError::NotFound {
                kind: "catalog",
                name: place.display().to_string(),
                hint: "; make a home with `tarn init`".to_owned(),
            });
        }
        let database = Database::open(engine).await?;
        database.migrate().await?;
        Self::with_database(folder, database).await
    }

    /// Writes the whole catalog, as it is at one moment, with the text of the home's configuration.
    /// Whoever has the backup has the secrets that this lab shares with its peers. Returns the
    /// number of rows. Files and tables in stores are not in it.
    pub async fn backup(&self, to: impl std::io::Write, config: &str) -> Result<u64, CatalogError> {
        let at = register::timestamp(chrono::Utc::now());
        let mut write = self.inner.database.write().await?;
        write.note(Said::new(Act::Backup, OWNER)).await?;
        write.commit().await?;
        self.inner.database.dump(to, self.lab().as_str(), at, config.to_owned()).await
    }

    /// The configuration in a backup that is whole.
    pub fn backup_config(backup: &Path) -> Result<String, CatalogError> {
        store::check_backup(open_backup(backup)?).map(|header| header.config)
    }

    /// Makes the catalog of a folder from a backup, in the PostgreSQL database of a URL or in a
    /// SQLite file; either engine takes the backups of both. Refuses a database that is not empty
    /// and a backup that is not whole; nothing is left behind then.
    pub async fn restore_in(
        folder: &Path,
        url: Option<&str>,
        backup: &Path,
    ) -> Result<Self, CatalogError> {
        store::check_backup(open_backup(backup)?)?;
        let database = Self::open_empty(folder, url).await?;
        // A new id: an index that was made after the backup knows changes that are not in it.
        let id = uuid::Uuid::new_v4().simple().to_string();
        database.fill(open_backup(backup)?, &id).await?;
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
        let policies = policy::Policies::load(folder)?;
        // What the index says of who may know depends on the policies.
        let id = format!("{}.{}.{}", search::LAYOUT, text("catalog_id")?, policies.fingerprint());
        let index = search::Index::new(folder, "search", id);
        let replicas = format!("{}.{}", search::LAYOUT, text("catalog_id")?);
        let peer_index = search::Index::new(folder, "search-peers", replicas);
        let chunks = ChunkIndex::new(folder.join("chunks"));
        let profiles = profiles::Profiles::new(folder.join("profiles"));
        let signer = audit::Signer::new(folder);
        let visa_signer = visa_key::VisaSigner::new(folder);
        let pseudonyms = pseudonym::PseudonymKey::new(folder);
        let issuers = OnceLock::new();
        let inner = Inner {
            database,
            index,
            peer_index,
            trees: feed::KeptTrees::default(),
            chunks,
            profiles,
            lab,
            policies,
            signer,
            visa_signer,
            pseudonyms,
            unwritten: shown::Unwritten::default(),
            issuers,
        };
        let catalog = Self { inner: Arc::new(inner) };
        Box::pin(catalog.renew_limits()).await?;
        Ok(catalog)
    }

    /// What happened after a place in the feed of changes, oldest first. The feed names every dataset,
    /// whoever may know of it: it is for this node's own followers, which decide before they tell.
    pub async fn changes(&self, after: u64, limit: u32) -> Result<Vec<Change>, CatalogError> {
        self.inner.database.changes(after, limit).await
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
        let changed = sqlx::query("UPDATE lab SET defaults = $1 WHERE defaults <> $1")
            .bind(&text)
            .execute(&mut *write.transaction)
            .await
            .map_err(|error| database.error(&error))?;
        if changed.rows_affected() == 0 {
            return Ok(());
        }
        write.note(Said::new(Act::ChangeDefaults, OWNER).with("defaults", text)).await?;
        write.commit().await
    }
}

fn open_backup(path: &Path) -> Result<std::io::BufReader<std::fs::File>, CatalogError> {
    std::fs::File::open(path)
        .map(std::io::BufReader::new)
        .map_err(|error| CatalogError::Backup(format!("{}: {error}", path.display())))
}

fn is_one_already(database: &Database) -> CatalogError {
    CatalogError::Conflict(format!(
        "{} is a catalog already; choose another folder or database, or use this one as it is",
        database.engine().place()
    ))
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
