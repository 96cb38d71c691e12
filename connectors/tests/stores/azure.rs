//! Files of Azure Blob Storage, as Azurite speaks it.

use crate::data::data;
use crate::left_out::left_out;
use crate::support::{open, open_local, same_values, upload};
use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tarn_connectors::{StoreConfig, Stores};

struct Azurite {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, from npm's package `azurite` (`tests/node`).
fn program() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let modules = std::env::var_os("TARN_NODE_MODULES")
        .map_or_else(|| Path::new(&home).join(".cache/tarn/node/node_modules"), PathBuf::from);
    let path = modules.join(".bin/azurite-blob");
    if path.exists() {
        return Some(path);
    }
    left_out(&format!("no {}: make setup", path.display()));
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_are_found_and_read() {
    let Some(files) = data() else { return };
    let Some(azurite) = program() else { return };
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let process = Command::new(azurite)
        .args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort"])
        .arg(port.to_string())
        .arg("--location")
        .arg(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Azurite { process, _folder: folder };
    let until = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "Azurite did not start");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Azurite's account and key are public and the same everywhere.
    let key =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let endpoint = format!("http://127.0.0.1:{port}/devstoreaccount1");
    let options = [
        ("azure_storage_account_name", "devstoreaccount1"),
        ("azure_storage_account_key", key),
        ("azure_storage_endpoint", endpoint.as_str()),
        ("azure_allow_http", "true"),
    ];
    let options: BTreeMap<_, _> =
        options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let config = StoreConfig { url: "az://lake".to_owned(), options };
    let stores = || Stores::new(vec![config.clone()]);
    make_container(&endpoint, key);

    let path = files.join("netcdf/orca2_votemper.nc");
    for name in ["a/one.nc", "a/two.nc", "b.nc"] {
        upload(&stores(), &format!("az://lake/{name}"), std::fs::read(&path).unwrap()).await;
    }
    let stores = stores();
    assert_eq!(stores.expand("az://lake/a").await.unwrap().len(), 2);
    assert_eq!(stores.expand("az://lake/*.nc").await.unwrap().len(), 1);
    let before = stores.traffic();
    let remote = open(&stores, "az://lake/a/one.nc").await.unwrap();
    let cost = stores.traffic() - before;
    eprintln!("open: {cost:?}");
    assert!(cost.requests <= 4, "{cost:?}");
    same_values(remote, open_local(&path)).await;
}

/// Containers are made by an account's owner, not by Tarn.
fn make_container(endpoint: &str, key: &str) {
    let code = r#"
import sys, base64, hashlib, hmac, urllib.request, email.utils
endpoint, key = sys.argv[1:]
date = email.utils.formatdate(usegmt=True)
text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n/devstoreaccount1/devstoreaccount1/lake\nrestype:container"
signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
request = urllib.request.Request(endpoint + "/lake?restype=container", method="PUT", headers={
    "x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0",
    "Authorization": f"SharedKey devstoreaccount1:{signature}"})
urllib.request.urlopen(request)
"#;
    let done = Command::new("python3").args(["-c", code, endpoint, key]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
