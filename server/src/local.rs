//! Flight on a Unix socket, for programs of the node's own account.

use crate::failure::Failure;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tarn_query::flight::{self, FlightDoor};
use tarn_schemas::ErrorCode;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

/// A socket that is removed when the node ends.
#[derive(Debug)]
pub(crate) struct LocalDoor {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalDoor {
    /// Listens at a path. Only the node's own account may connect; who calls is then asked as everywhere.
    pub(crate) fn open(path: PathBuf) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let problem = match error.kind() {
                io::ErrorKind::AddrInUse => "something is there already".to_owned(),
                io::ErrorKind::InvalidInput => "the path is too long for a socket".to_owned(),
                _ => error.to_string(),
            };
            Failure::new(
                ErrorCode::Conflict,
                format!(
                    "Flight on {}: {problem}; choose another with `flight_unix` in tarn.toml",
                    path.display()
                ),
            )
        };
        if is_abandoned(&path) {
            fs::remove_file(&path).map_err(failed)?;
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Serves until `stop`.
    pub(crate) async fn serve(
        self,
        door: FlightDoor,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let connections = UnixListenerStream::new(self.listener);
        let served = flight::serve_connections(connections, door, stop.cancelled_owned()).await;
        // Where it stays, the next start removes it.
        let _ = fs::remove_file(&self.path);
        served.map_err(|error| {
            Failure::new(
                ErrorCode::Unavailable,
                format!("Flight on {}: {error}", self.path.display()),
            )
        })
    }
}

/// Whether there is a socket that nobody listens at: one of a node that was killed.
fn is_abandoned(path: &Path) -> bool {
    let socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_own_account_may_connect_and_what_a_killed_node_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flight.sock");
        let door = LocalDoor::open(path.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(LocalDoor::open(path.clone()).is_err());
        drop(door);
        LocalDoor::open(path.clone()).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"a file of somebody").unwrap();
        assert!(LocalDoor::open(path.clone()).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"a file of somebody");
    }
}
