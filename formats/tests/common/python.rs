//! The Python that the tests compare with.

use crate::left_out::left_out;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a script of the crate's `tests` folder with a Python that has `modules`; `None`, said aloud,
/// where none is found.
pub(crate) fn python(modules: &str, script: &str, arguments: &[&Path]) -> Option<Output> {
    let own = std::env::var("TARN_TEST_PYTHON").unwrap_or_default();
    let cached = format!(
        "{}/tarn/venv/bin/python",
        std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()))
    );
    for python in [own.as_str(), &cached, "python3"] {
        let can = Command::new(python).args(["-c", &format!("import {modules}")]).output();
        if !can.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
        return Some(Command::new(python).arg(script).args(arguments).output().unwrap());
    }
    left_out(&format!("no Python with {modules}: set TARN_TEST_PYTHON"));
    None
}
