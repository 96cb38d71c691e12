//! The Python environment of the tests.

use crate::left_out::left_out;
use std::path::{Path, PathBuf};

/// A program of the environment; `None`, said aloud, where it is not there.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    let venv = std::env::var_os("TARN_VENV").map_or_else(|| cache.join("tarn/venv"), PathBuf::from);
    let path = venv.join("bin").join(name);
    if path.exists() {
        return Some(path);
    }
    left_out(&format!("no {}: make setup", path.display()));
    None
}
