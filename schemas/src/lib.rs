//! The nouns of Tarn: names, records, tiers, principals, table options, error codes.
//!
//! No I/O happens here. Every other crate imports this one and this one imports none of them
//! (`schemas ← formats, client ← connectors ← catalog ← ingest, query ← server`).

pub mod code;
pub mod cursor;
pub mod export;
pub mod facts;
pub mod formula;
pub mod longitude;
pub mod name;
pub mod order_hash;
pub mod principal;
pub mod profile;
pub mod record;
pub mod shown;
pub mod site;
pub mod standard_names;
pub mod table;
pub mod tier;
pub mod time;
pub mod units;
pub mod unseen;

pub use code::ErrorCode;
pub use facts::{Extent, FileFacts, VariableFacts};
pub use name::{DatasetName, DatasetRef, LabName, NameError, TableName, TableRef};
pub use principal::{Credential, Principal, Scope};
pub use record::Record;
pub use site::{Freshness, PartialMode, SiteReport, SiteStatus};
pub use table::{ColumnSource, Layout, TableOptions};
pub use tier::Tier;
