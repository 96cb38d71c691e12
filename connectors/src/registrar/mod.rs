//! Registrars of DOIs: who gives them out and keeps what is said of them.
//!
//! A registrar is asked again until it has answered, also after a crash between its answer and our
//! noting it. So whoever tells it something asks first whether it knows the dataset
//! ([`Registrar::find`]), and one at a time does (the catalog's lease); then
//! [`Registrar::publish`] may be called any number of times and registers a dataset once.

mod answer;
mod config;
mod datacite;
mod error;
mod osti;

pub use config::{RegistrarConfig, Service};
pub use datacite::DataCite;
pub use error::RegistrarError;
pub use osti::Osti;

use async_trait::async_trait;
use serde_json::Value;
use std::fmt::Debug;
use tarn_schemas::export::Format;

/// What is to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The name at the registrar that stays the same for ever: `lab.dataset`.
    pub name: String,
    /// The DOI, where it is known: chosen here, or given by the registrar before.
    pub doi: Option<String>,
    /// What the registrar calls it, where it did already.
    pub id: Option<String>,
    /// The record in [`Registrar::format`], with the address of its page.
    pub metadata: Value,
}

/// What a registrar answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The DOI without `https://doi.org/`. None if the registrar gives it later: ask again then.
    pub doi: Option<String>,
    /// What the registrar calls it, where that is not the DOI.
    pub id: Option<String>,
}

/// A registrar of DOIs.
#[async_trait]
pub trait Registrar: Send + Sync + Debug {
    /// The format of what it is told.
    fn format(&self) -> Format;

    /// The DOI of a dataset by the name in its ARK, where DOIs are chosen here.
    fn doi_for(&self, name: &str) -> Option<String>;

    /// What it calls a dataset of this name that it was told of before, where that is not the DOI: an
    /// earlier attempt may have been answered without our hearing it.
    ///
    /// # Errors
    /// As [`Registrar::publish`].
    async fn find(&self, name: &str) -> Result<Option<String>, RegistrarError>;

    /// Registers a dataset, or brings what is registered up to date. `id` of the publication has to be
    /// what [`Registrar::find`] says where it is not known: without it a dataset is a new one.
    ///
    /// # Errors
    /// [`RegistrarError::Unavailable`] if asking again later may help, [`RegistrarError::Refused`] if
    /// somebody has to change something first.
    async fn publish(&self, publication: &Publication) -> Result<Registration, RegistrarError>;

    /// Takes a dataset out of the registrar's search. Its DOI goes on leading to its page, and what was
    /// said of it before cannot be called back. What was never registered is hidden already.
    async fn hide(&self, publication: &Publication) -> Result<(), RegistrarError>;
}
