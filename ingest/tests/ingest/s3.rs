//! Sources and tables in a bucket of a real S3 server (SeaweedFS).

use crate::support::{Lab, e3sm, program, request};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tarn_connectors::{Location, StoreConfig, Stores};

struct Server {
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

/// A server with an empty bucket `lake` and no keys.
fn server() -> Option<Server> {
    let weed = program("weed")?;
    let folder = tempfile::tempdir().unwrap();
    let (master, volume, filer, s3) = (port(), port(), port(), port());
    let process = Command::new(weed)
        .arg("server")
        .arg(format!("-dir={}", folder.path().display()))
        .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.volumeSizeLimitMB=256"])
        .args(["-volume.max=20", "-s3"])
        .arg(format!("-master.port={master}"))
        .arg(format!("-volume.port={volume}"))
        .arg(format!("-filer.port={filer}"))
        .arg(format!("-s3.port={s3}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server { process, _folder: folder, url: format!("http://127.0.0.1:{s3}") };
    let until = Instant::now() + Duration::from_secs(90);
    while !has_bucket(s3) {
        assert!(Instant::now() < until, "SeaweedFS did not start");
        std::thread::sleep(Duration::from_millis(300));
    }
    Some(server)
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

#[tokio::test(flavor = "multi_thread")]
async fn files_and_tables_in_a_bucket_give_the_rows_of_local_ones() {
    let Some(files) = e3sm() else { return };
    let Some(server) = server() else { return };
    let options = BTreeMap::from(
        [
            ("aws_endpoint", server.url.as_str()),
            ("aws_region", "us-east-1"),
            ("aws_allow_http", "true"),
            ("aws_access_key_id", "any"),
            ("aws_secret_access_key", "any"),
            ("aws_skip_signature", "true"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let stores = Stores::new(vec![StoreConfig { url: "s3://lake".to_owned(), options }]);
    let (bucket, _) = stores.object_store(&Location::parse("s3://lake").unwrap()).unwrap();
    for file in &files {
        let name = file.rsplit('/').next().unwrap();
        let payload = PutPayload::from(std::fs::read(file).unwrap());
        bucket.put(&format!("raw/{name}").into(), payload).await.unwrap();
    }
    bucket.put(&"raw/.hidden.nc".into(), "x".into()).await.unwrap();
    assert_eq!(stores.expand("s3://lake/raw").await.unwrap().len(), 3);
    assert_eq!(stores.expand("s3://lake/raw/*_2000*.nc").await.unwrap().len(), 1);

    let lab =
        Lab { stores, store: Location::parse("s3://lake/tables").unwrap(), ..Lab::new().await };
    // Two at the same time, of the same files.
    let both = request(&["s3://lake/raw".to_owned()]);
    let (one, two) = tokio::join!(lab.ingest(&both), lab.ingest(&both));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.files_added + two.files_added, 3);
    assert_eq!(one.rows_added + two.rows_added, 8 * 780);
    assert_eq!(one.tables[0].rows, Some(8 * 780));
    let left: Vec<_> = objects(bucket.as_ref()).await;
    assert_eq!(left.iter().filter(|key| key.ends_with(".parquet")).count(), 3, "{left:?}");
    assert!(!left.iter().any(|key| key.contains("probe")), "{left:?}");

    // The same content from a local folder is there already.
    let local = lab.ingest(&request(&files)).await.unwrap();
    assert_eq!((local.files_added, local.files_skipped), (0, 3));
}

async fn objects(store: &dyn ObjectStore) -> Vec<String> {
    use futures::TryStreamExt;
    store.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}
