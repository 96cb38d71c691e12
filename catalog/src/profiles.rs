//! Community profiles of a lab: those that ship, and those in the folder `profiles` beside the
//! catalog.

use crate::CatalogError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tarn_schemas::profile::community::{Community, SHIPPED};

/// Largest file of a profile.
const LARGEST: u64 = 1 << 20;

/// The profiles, read when they are first asked for. A lab's profile replaces a shipped one of the
/// same name.
#[derive(Debug)]
pub(crate) struct Profiles {
    folder: PathBuf,
    read: OnceLock<Result<Arc<[Community]>, String>>,
}

impl Profiles {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, read: OnceLock::new() }
    }

    /// All profiles by name.
    ///
    /// # Errors
    /// [`CatalogError::Argument`], naming the file that is no profile.
    pub(crate) fn all(&self) -> Result<Arc<[Community]>, CatalogError> {
        let read = self.read.get_or_init(|| load(&self.folder).map(Into::into));
        read.clone().map_err(CatalogError::Argument)
    }
}

fn load(folder: &Path) -> Result<Vec<Community>, String> {
    let mut found = Vec::new();
    for (name, text) in SHIPPED {
        found.push(Community::read(text).map_err(|problem| format!("profile {name}: {problem}"))?);
    }
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    paths.sort();
    for path in paths {
        let wrong = |problem: String| format!("profile {}: {problem}", path.display());
        let length = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
        if length > LARGEST {
            return Err(wrong(format!("{length} bytes; a profile has at most {LARGEST}")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        let profile = Community::read(&text).map_err(wrong)?;
        found.retain(|known| known.name() != profile.name());
        found.push(profile);
    }
    found.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_adds_profiles_by_file_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let names = |profiles: &Profiles| -> Vec<String> {
            profiles.all().unwrap().iter().map(|profile| profile.name().to_owned()).collect()
        };
        assert_eq!(names(&Profiles::new(folder.path().join("none"))), ["cf-acdd", "nexus"]);
        std::fs::write(folder.path().join("own.json"), r#"{"title": "beamline-7"}"#).unwrap();
        std::fs::write(folder.path().join("nexus.json"), r#"{"title": "nexus"}"#).unwrap();
        let profiles = Profiles::new(folder.path().to_owned());
        assert_eq!(names(&profiles), ["beamline-7", "cf-acdd", "nexus"]);
        for (text, word) in [
            ("{", "no JSON"),
            ("{}", "title"),
            (r#"{"title": "x", "type": 7}"#, "no JSON Schema"),
            (r#"{"title": "x", "checks": ["spelling"]}"#, "spelling"),
        ] {
            std::fs::write(folder.path().join("own.json"), text).unwrap();
            let error = Profiles::new(folder.path().to_owned()).all().unwrap_err().to_string();
            assert!(error.contains("own.json") && error.contains(word), "{error}");
        }
    }
}
