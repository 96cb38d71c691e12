//! A throw-away PostgreSQL (Debian's package `postgresql-15`) that ends with this process.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Makes the cluster and runs it until standard input ends, which it does however this process ends.
/// Without fsync: these tests are not about power failures.
const SCRIPT: &str = r#"
set -e; cd /; D=$(mktemp -d)
"$1/initdb" -D "$D/data" -U lab -A trust -E UTF8 --locale=C.UTF-8 -N >/dev/null
"$1/postgres" -D "$D/data" -p "$2" -k "$D" -c listen_addresses=127.0.0.1 -c fsync=off \
  -c max_connections=600 >"$D/log" 2>&1 </dev/null &
cat >/dev/null; kill -QUIT $!; wait $! || true; rm -rf "$D"
"#;

struct Server {
    port: u16,
    binaries: PathBuf,
    databases: Mutex<BTreeSet<String>>,
    /// Holds its standard input open.
    _process: Child,
}

static SERVER: LazyLock<Server> = LazyLock::new(start);

/// The programs of the newest PostgreSQL of this machine.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.unwrap().path().join("bin"))
        .filter(|binaries| binaries.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is missing: apt-get install postgresql (scripts/setup.sh does)")
}

/// Whether this is root, as whom PostgreSQL does not run.
fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn start() -> Server {
    let binaries = binaries();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let process = command
        .args(["-c", SCRIPT, "sh"])
        .arg(&binaries)
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !answers(&binaries, port) {
        assert!(Instant::now() < until, "PostgreSQL did not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    Server { port, binaries, databases: Mutex::default(), _process: process }
}

/// Whether a server takes connections. One that is still starting answers too, and refuses them.
fn answers(binaries: &Path, port: u16) -> bool {
    Command::new(binaries.join("pg_isready"))
        .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
        .status()
        .is_ok_and(|status| status.success())
}

/// URL of the database that stands for a folder.
pub(super) fn database(folder: &Path) -> String {
    let server = &*SERVER;
    let name = format!("t{}", &blake3::hash(folder.as_os_str().as_encoded_bytes()).to_hex()[..20]);
    let mut databases = server.databases.lock().unwrap();
    if !databases.contains(&name) {
        let port = server.port.to_string();
        let made = Command::new(server.binaries.join("createdb"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "lab", "-T", "template0", &name])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        databases.insert(name.clone());
    }
    format!("postgres://lab@127.0.0.1:{}/{name}", server.port)
}
