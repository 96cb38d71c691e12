//! A real S3 server (SeaweedFS).

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tarn_connectors::{StoreConfig, Stores};

/// A server with an empty bucket `lake` and no keys; it ends with this.
pub(crate) struct Server {
    process: Child,
    _folder: tempfile::TempDir,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A free port that stays a port with 10000 added, where SeaweedFS puts gRPC.
fn port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 55_000 {
            return port;
        }
    }
}

impl Server {
    /// Starts `weed`.
    pub(crate) fn start(weed: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (master, volume, filer, s3) = (port(), port(), port(), port());
        let process = Command::new(weed)
            .arg("server")
            .arg(format!("-dir={}", folder.path().display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=256"])
            .args(["-volume.max=20", "-s3"])
            // Servers of their own, which have the same ports in every process.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg(format!("-s3.port={s3}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, _folder: folder, url: format!("http://127.0.0.1:{s3}") };
        let until = Instant::now() + Duration::from_secs(90);
        while !has_bucket(s3) {
            assert!(Instant::now() < until, "SeaweedFS did not start");
            std::thread::sleep(Duration::from_millis(300));
        }
        server
    }

    /// Stores that read and write its bucket, with nothing kept.
    pub(crate) fn stores(&self) -> Stores {
        let options = [
            ("aws_endpoint", self.url.as_str()),
            ("aws_region", "us-east-1"),
            ("aws_allow_http", "true"),
            ("aws_access_key_id", "any"),
            ("aws_secret_access_key", "any"),
            ("aws_skip_signature", "true"),
        ];
        let options: BTreeMap<_, _> =
            options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Stores::new(vec![StoreConfig { url: "s3://lake".to_owned(), options }])
    }
}

/// Makes the bucket, or finds it made.
fn has_bucket(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let request = "PUT /lake HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\
                   Connection: close\r\n\r\n";
    let mut answer = String::new();
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let sent =
        stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer));
    sent.is_ok() && (answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 409"))
}
