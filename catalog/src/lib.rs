//! The metadata catalog: records, versions, tables, identifiers, search, tokens, peers, decisions.
//!
//! One [`Catalog`] per lab node over SQLite. Everything that asks for data goes through
//! [`Catalog::decide`]; every listing takes the [`Principal`](tarn_schemas::Principal) and shows only what it may know.

pub mod decision;
pub mod error;
pub mod model;
pub mod schema_text;

pub use decision::{Action, Decision};
pub use error::CatalogError;
pub use model::*;

use std::path::Path;
use std::sync::Arc;
use tarn_schemas::facts::FileFacts;
use tarn_schemas::{DatasetName, DatasetRef, LabName, Principal, Record, Scope, TableName};

/// The catalog of one lab. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    inner: Arc<()>,
}

impl Catalog {
    /// Makes the database and the search index in a folder. Refuses a folder that has one already.
    pub async fn create(
        folder: &Path,
        lab: LabName,
        defaults: LabDefaults,
    ) -> Result<Self, CatalogError> {
        let _ = (folder, lab, defaults);
        todo!()
    }

    /// Opens the catalog of a folder; brings an older schema up to date.
    pub async fn open(folder: &Path) -> Result<Self, CatalogError> {
        let _ = folder;
        todo!()
    }

    /// The lab whose catalog this is.
    pub fn lab(&self) -> &LabName {
        let _ = &self.inner;
        todo!()
    }

    /// What `register` would say: every violation, the FAIR score and what is missing. Changes nothing.
    pub async fn assess(
        &self,
        record: &Record,
        files: &[FileFacts],
    ) -> Result<Assessment, CatalogError> {
        let _ = (record, files);
        todo!()
    }

    /// Validates, mints an ARK, stores and indexes a record as version 1, or as the next version if
    /// the dataset exists and anything changed (an unchanged record is answered with the version it
    /// has). Needs `Scope::Write`.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`] with every violation.
    pub async fn register(
        &self,
        who: &Principal,
        record: Record,
        files: Vec<FileFacts>,
    ) -> Result<Registered, CatalogError> {
        let _ = (who, record, files);
        todo!()
    }

    /// One dataset, by default its newest version. What the principal may not know does not exist.
    pub async fn dataset(
        &self,
        who: &Principal,
        dataset: &DatasetRef,
    ) -> Result<Dataset, CatalogError> {
        let _ = (who, dataset);
        todo!()
    }

    /// The newest version of every dataset the principal may know of, by name.
    pub async fn datasets(&self, who: &Principal) -> Result<Vec<Dataset>, CatalogError> {
        let _ = who;
        todo!()
    }

    /// All versions, oldest first.
    pub async fn versions(
        &self,
        who: &Principal,
        dataset: &DatasetName,
    ) -> Result<Vec<VersionInfo>, CatalogError> {
        let _ = (who, dataset);
        todo!()
    }

    /// Sets the tables named in `tables` of a dataset in one transaction and re-indexes it. If the newest version
    /// has none of them yet they join it; otherwise a new version is made. Returns the version.
    /// Idempotent: equal tables change nothing. Needs `Scope::Write`.
    pub async fn put_tables(
        &self,
        who: &Principal,
        dataset: &DatasetName,
        tables: Vec<TableEntry>,
    ) -> Result<u32, CatalogError> {
        let _ = (who, dataset, tables);
        todo!()
    }

    /// Full-text search with filters and facets, over what the principal may know of.
    pub async fn search(
        &self,
        who: &Principal,
        request: &SearchRequest,
    ) -> Result<SearchAnswer, CatalogError> {
        let _ = (who, request);
        todo!()
    }

    /// May `who` do `action` on this dataset, now?
    pub fn decide(&self, who: &Principal, action: Action, dataset: &Dataset) -> Decision {
        let _ = (who, action, dataset);
        todo!()
    }

    /// Makes a token and returns its secret, which is not stored. `valid_days` from now.
    pub async fn create_token(
        &self,
        name: &str,
        scope: Scope,
        valid_days: u32,
    ) -> Result<String, CatalogError> {
        let _ = (name, scope, valid_days);
        todo!()
    }

    /// All tokens, without secrets.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>, CatalogError> {
        todo!()
    }

    /// Revokes the tokens of this name or id; says how many.
    pub async fn revoke_token(&self, name_or_id: &str) -> Result<u64, CatalogError> {
        let _ = name_or_id;
        todo!()
    }

    /// The principal behind a bearer token.
    pub async fn authenticate(&self, token: &str) -> Result<Principal, CatalogError> {
        let _ = token;
        todo!()
    }

    /// Remembers a peer (an upsert by lab).
    pub async fn put_peer(&self, peer: Peer) -> Result<(), CatalogError> {
        let _ = peer;
        todo!()
    }

    /// All peers.
    pub async fn peers(&self) -> Result<Vec<Peer>, CatalogError> {
        todo!()
    }

    /// Forgets a peer and what it told; false if there was none.
    pub async fn remove_peer(&self, lab: &LabName) -> Result<bool, CatalogError> {
        let _ = lab;
        todo!()
    }

    /// The peer that a secret belongs to.
    pub async fn authenticate_peer(&self, secret: &str) -> Result<Peer, CatalogError> {
        let _ = secret;
        todo!()
    }

    /// Keeps an invitation until it is redeemed or a day has passed.
    pub async fn put_invitation(&self, secret: &str) -> Result<(), CatalogError> {
        let _ = secret;
        todo!()
    }

    /// Redeems an invitation once: true the first time, false for anything else.
    pub async fn redeem_invitation(&self, secret: &str) -> Result<bool, CatalogError> {
        let _ = secret;
        todo!()
    }

    /// Keeps what a peer last said of its tables (JSON), so that planning works while it is away.
    pub async fn put_peer_tables(
        &self,
        lab: &LabName,
        tables_json: &str,
    ) -> Result<(), CatalogError> {
        let _ = (lab, tables_json);
        todo!()
    }

    /// What a peer last said of its tables, and when (RFC 3339).
    pub async fn peer_tables(
        &self,
        lab: &LabName,
    ) -> Result<Option<(String, String)>, CatalogError> {
        let _ = lab;
        todo!()
    }

    /// A table of the newest version (or of `dataset.version`) with the dataset it belongs to.
    pub async fn table(
        &self,
        who: &Principal,
        dataset: &DatasetRef,
        table: &TableName,
    ) -> Result<(Dataset, TableEntry), CatalogError> {
        let _ = (who, dataset, table);
        todo!()
    }
}
