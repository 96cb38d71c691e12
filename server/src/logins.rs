//! Logins of this user at nodes: `tarn/logins.json` in the folder for configuration, for this user's
//! eyes only. `tarn login` writes it, the Python client reads it too.

use crate::failure::{Failure, io};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use tarn_schemas::ErrorCode;
use url::Url;

/// A login at one node.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The lab.
    pub lab: String,
    /// Flight address of the node; empty where that is of another host.
    pub flight: String,
    /// The token.
    pub token: String,
    /// Until when, RFC 3339.
    pub expires_at: String,
    /// The person, as the lab names them.
    pub name: String,
    /// How people call them.
    pub called: String,
}

/// All of them, by the HTTP address of the node.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Logins {
    #[serde(default)]
    pub logins: BTreeMap<String, Login>,
    /// Which node was given ID tokens of a client, by the issuer and the client. Another that asks for
    /// them could show them to the first, as if it were this user; so it stays here after a logout.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clients: BTreeMap<String, String>,
}

/// How a client at an issuer is called in `clients`.
fn client_key(issuer: &str, client: &str) -> String {
    format!("{client} at {issuer}")
}

/// Whether a login is kept for the Flight address that its node says, by which programs find it: not for one
/// of another host. A node that names that of another would have them work there under a login of its choice.
pub(crate) fn keeps_flight(node: &str, flight: &str) -> bool {
    host(node).is_some_and(|own| host(flight) == Some(own))
}

/// The host of an address. All names of this machine are one.
fn host(address: &str) -> Option<String> {
    let url = Url::parse(address).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    let local = ["localhost", "127.0.0.1", "[::1]"].contains(&host.as_str());
    Some(if local { "localhost".to_owned() } else { host })
}

fn path() -> Result<PathBuf, Failure> {
    let set = |variable: &str| {
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    set("XDG_CONFIG_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".config")))
        .map(|folder| folder.join("tarn").join("logins.json"))
        .ok_or_else(|| {
            let problem = "no folder for the login is known; set HOME or XDG_CONFIG_HOME";
            Failure::new(ErrorCode::InvalidArgument, problem)
        })
}

impl Logins {
    /// Refuses to give a node ID tokens of a client whose ID tokens another node was given.
    pub(crate) fn check_client(
        &self,
        node: &str,
        issuer: &str,
        client: &str,
    ) -> Result<(), Failure> {
        match self.clients.get(&client_key(issuer, client)) {
            Some(known) if known != node => Err(Failure::new(
                ErrorCode::PermissionDenied,
                format!(
                    "{node} asks for a login of the client {client:?} at {issuer}, which is that of \
                     {known}: whoever has it could log in there as you. Nothing was given to {node}. \
                     Its operator registers a client of its own at the issuer; if it is the same node \
                     under a new address, remove the line of {known} under `clients` in {}",
                    path()?.display()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Notes that a node is given an ID token of a client.
    pub(crate) fn keep_client(&mut self, node: &str, issuer: &str, client: &str) {
        self.clients.insert(client_key(issuer, client), node.to_owned());
    }

    /// What is stored; nothing if there is no file.
    pub(crate) fn load() -> Result<Self, Failure> {
        let path = path()?;
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.map_err(|error| io(path.display(), &error))?,
        };
        serde_json::from_str(&text).map_err(|error| {
            let problem = format!("{error}; remove the file and log in again");
            Failure::new(ErrorCode::InvalidData, problem).at(path.display())
        })
    }

    /// The token for the node at a Flight address.
    pub(crate) fn token_of(&self, flight: &str) -> Option<String> {
        let found = self.logins.values().find(|login| login.flight.trim_end_matches('/') == flight);
        found.map(|login| login.token.clone())
    }

    /// Stores it: written beside its place and moved there, readable by this user alone from the
    /// first byte.
    pub(crate) fn store(&self) -> Result<PathBuf, Failure> {
        let path = path()?;
        let failed = |error: std::io::Error| io(path.display(), &error);
        if let Some(folder) = path.parent() {
            let mut builder = std::fs::DirBuilder::new();
            builder.recursive(true);
            #[cfg(unix)]
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            builder.create(folder).map_err(failed)?;
        }
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let mut options = std::fs::File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options.open(&beside).and_then(|mut file| {
            let text = serde_json::to_string_pretty(self).map_err(std::io::Error::other)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&beside, &path)
        });
        if written.is_err() {
            // What is left of it is of no use, and the failure is what counts.
            let _ = std::fs::remove_file(&beside);
        }
        written.map_err(failed)?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_kept_for_the_host_where_it_was_given() {
        let (lab, flight) = ("https://lake.lab.gov", "https://lake.lab.gov:8815");
        assert!(keeps_flight(lab, flight) && keeps_flight(lab, "grpc+tls://LAKE.lab.gov:1"));
        assert!(keeps_flight("http://localhost:8080", "http://127.0.0.1:8815"));
        for (node, wrong) in [
            ("https://lake.1ab.gov", flight),
            (lab, "https://flight.lab.gov:8815"),
            (lab, "https://lake.lab.gov.evil.org:8815"),
            (lab, "https://evil.org/lake.lab.gov"),
            (lab, "junk"),
            (lab, ""),
        ] {
            assert!(!keeps_flight(node, wrong), "{node} {wrong}");
        }
    }

    #[test]
    fn a_client_belongs_to_the_node_that_had_it_first() {
        let (lab, evil) = ("https://lake.lab.gov", "https://lake.1ab.gov");
        let mut logins = Logins::default();
        assert!(logins.check_client(evil, "https://sso.lab.gov", "cli").is_ok());
        logins.keep_client(lab, "https://sso.lab.gov", "cli");
        assert!(logins.check_client(lab, "https://sso.lab.gov", "cli").is_ok());
        let refused = logins.check_client(evil, "https://sso.lab.gov", "cli").unwrap_err();
        assert_eq!(refused.code(), ErrorCode::PermissionDenied);
        assert!(logins.check_client(evil, "https://sso.lab.gov", "other").is_ok());
        assert!(logins.check_client(evil, "https://other.gov", "cli").is_ok());
        let text = serde_json::to_string(&logins).unwrap();
        let again: Logins = serde_json::from_str(&text).unwrap();
        assert!(again.check_client(evil, "https://sso.lab.gov", "cli").is_err());
        // What an older version wrote.
        let old: Logins = serde_json::from_str(r#"{"logins": {}}"#).unwrap();
        assert!(old.check_client(evil, "https://sso.lab.gov", "cli").is_ok());
    }
}
