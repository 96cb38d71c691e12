//! The outside: object stores, and registrars of DOIs.
//!
//! [`store`] turns locations (paths, `file://`, `s3://`, `http(s)://` URLs, globs, folders) into
//! [`Source`](tarn_formats::Source)s and object stores.

pub mod fallback;
pub mod registrar;
pub mod store;

pub use store::{FileStat, Found, Location, StoreConfig, StoreError, Stores};
