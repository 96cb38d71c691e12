//! The outside: object stores, registrars of DOIs, and the issuers of logins.
//!
//! [`store`] turns locations (paths, `file://`, `s3://`, `http(s)://` URLs, globs, folders) into
//! [`Source`](tarn_formats::Source)s and object stores.
//! [`oidc`] checks logins and tokens of OpenID providers.

pub mod authorities;
pub mod fallback;
pub mod oidc;
pub mod registrar;
pub mod store;

pub use store::{FileStat, Found, Location, StoreConfig, StoreError, Stores};
