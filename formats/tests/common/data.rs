//! The shared files.

use crate::left_out::left_out;
use std::path::{Path, PathBuf};

/// The folder of shared data, by its canonical path as the catalog has it; `None`, said aloud, where
/// it is not there.
pub(crate) fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("TARN_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
        PathBuf::from,
    );
    if folder.join("MANIFEST.json").exists() {
        return Some(folder.canonicalize().unwrap());
    }
    left_out(&format!("no shared data at {}: set TARN_TEST_DATA", folder.display()));
    None
}
