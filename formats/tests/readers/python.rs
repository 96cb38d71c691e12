//! Files written by the libraries that Tarn is compared with.

use std::path::Path;
use std::process::Command;

/// A folder with the files that a script of this crate writes; `None`, said aloud, where there is no
/// Python with h5py and netCDF4.
pub(crate) fn generated(script: &Path) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let own = std::env::var("TARN_TEST_PYTHON").unwrap_or_default();
    let cached = format!(
        "{}/tarn/venv/bin/python",
        std::env::var("XDG_CACHE_HOME")
            .unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap_or_default()))
    );
    for python in [own.as_str(), &cached, "python3"] {
        let can = Command::new(python).args(["-c", "import h5py, netCDF4, hdf5plugin"]).output();
        if !can.is_ok_and(|output| output.status.success()) {
            continue;
        }
        let output = Command::new(python).arg(&script).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return Some(folder);
    }
    let message = "no Python with h5py, netCDF4 and hdf5plugin: set TARN_TEST_PYTHON";
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{message}");
    eprintln!("left out: {message}");
    None
}
