//! The catalog over real databases and search indexes in temporary folders.
//!
//! Every store passes the same suite: the modules of [`sqlite`] and [`postgres`] are the same files.
#![expect(clippy::duplicate_mod, reason = "one suite, run on two stores")]

#[cfg(test)]
mod postgres;
#[cfg(test)]
mod sqlite;
