//! The C library of HDF5 in a process of its own: what undoes the filters that Tarn has no code for.
//!
//! ```text
//! a reader ── ChildFallback ── frames over a socket ── child ── libhdf5 ── plugin
//!             a few children,                          limits, no files,
//!             each for one file; kills                 no network, one chunk
//! ```
//!
//! Plugins are C code that is given bytes from strangers. So a child is this same program, started
//! anew without its environment and its open files; it limits its memory, its time and what it may
//! open, loads the library and the plugin, and gives up the file system before it sees a byte
//! ([`limits`]). It is given one chunk at a time ([`tarn_formats::fallback`] says how), and chunks of
//! one file only: what a hostile chunk does to it can change no value of another file. Whatever it
//! does, it is stopped when its time is over.

mod child;
mod library;
mod limits;
mod pool;
#[cfg(test)]
mod tests;
mod wire;

pub use child::serve;
pub use pool::{ChildFallback, Launch, Limits};
