//! Files of prepared blocks as memory.
//!
//! This is the only module with `unsafe` code in this crate. What the one call relies on: the bytes of a
//! mapping must not change, and the file must not become shorter, for as long as anybody reads them.
//!
//! - Files are written under another name, and get theirs when they are whole ([`super::segment`]). Nobody writes into a
//!   file that has its name: it is made read-only before, and its folder can be entered by its owner alone.
//! - What is removed, by this program or by a person, keeps its bytes until the last mapping of it is gone.
//! - Only who may do anything with the node's memory anyway (its owner, root) could write into one against
//!   that: then rows are wrong, or the process ends by SIGBUS. Nothing in Rust depends on what the bytes are:
//!   a mapping is read as `&[u8]`, and Arrow's arrays over it are checked when they are made.
#![expect(unsafe_code, reason = "mapping a file, see above")]

use arrow::buffer::Buffer;
use bytes::Bytes;
use memmap2::Mmap;
use std::fs::File;
use std::io;

/// The bytes of a file that nobody changes any more.
pub(super) fn map(file: &File) -> io::Result<Buffer> {
    // SAFETY: the file is one of the folder of prepared blocks, see the head of this module.
    let mapping = unsafe { Mmap::map(file)? };
    Ok(Buffer::from(Bytes::from_owner(mapping)))
}
