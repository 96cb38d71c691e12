//! File bytes → arrays and tables in Arrow.
//!
//! A [`Reader`] opens the bytes behind a [`ByteSource`], or the keys of a store behind a [`KeySource`],
//! and lists what is inside as [`Contents`]:
//! variables with their dimensions, attributes and chunking, grouped into [`Grid`]s. It reads
//! *stored* values by [`Region`]; [`cf`] decodes them; [`table`] makes rows of them, as cells or as
//! tensors, over one file or many. No network and no catalog here.

mod budget;
pub mod cache;
pub mod cf;
pub mod contents;
mod cursor;
mod default_fill;
mod elements;
pub mod error;
pub mod fallback;
mod fetch;
mod filters;
mod grids;
pub mod hdf5;
mod hyperslab;
pub mod keys;
pub mod netcdf3;
pub mod reader;
mod recognise;
pub mod region;
mod replay;
pub mod saved;
pub mod siblings;
pub mod simd;
pub mod source;
pub mod spec;
pub mod table;
pub mod traffic;
pub mod zarr;

pub use cache::ChunkCache;
pub use contents::{
    Attribute, AttributeValue, Contents, Dimension, Format, Grid, Unreadable, Variable,
};
pub use error::FormatError;
pub use fallback::{ChunkFile, Fallback, FallbackError};
pub use keys::{KeySource, LocalKeys, Span};
pub use reader::{Ahead, OpenOptions, Reader, Source, open, open_store, open_with};
pub use region::{Region, Selection};
pub use siblings::{LocalSiblings, SourceResolver, Unresolved};
pub use source::{Access, ByteSource, LocalFile, MemorySource, SourceError};
pub use table::Table;
pub use traffic::Traffic;
