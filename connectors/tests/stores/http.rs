//! Files of a web server.

use crate::data::data;
use crate::support::{blocking, open, open_local, same_values};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tarn_connectors::{StoreConfig, Stores};
use tarn_formats::{OpenOptions, Region};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A web server with one file, which counts what it is asked for.
struct Web {
    url: String,
    file: Arc<File>,
}

#[derive(Default)]
struct File {
    bytes: Mutex<Vec<u8>>,
    tag: AtomicU64,
    /// Whether it knows ranges; some servers do not.
    ranges: bool,
    requests: AtomicU64,
    sent: AtomicU64,
}

impl Web {
    async fn start(bytes: Vec<u8>, ranges: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/data/x.nc", listener.local_addr().unwrap());
        let file = Arc::new(File { bytes: bytes.into(), ranges, ..File::default() });
        let served = Arc::clone(&file);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { url, file }
    }
}

async fn serve(mut stream: TcpStream, file: Arc<File>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer).await {
        request.extend_from_slice(&buffer[..count]);
        if count == 0 {
            return;
        }
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(request.drain(..end + 4).collect()).unwrap();
        let answer = file.answer(&head.to_ascii_lowercase());
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

impl File {
    fn answer(&self, head: &str) -> Vec<u8> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let bytes = self.bytes.lock().unwrap();
        if !head.replace("%2e", ".").contains(" /data/x.nc ") {
            return b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec();
        }
        let tag = self.tag.load(Ordering::SeqCst);
        let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
        let range = range.filter(|_| self.ranges).map(|range| {
            let (first, last) = range.trim().split_once('-').unwrap();
            first.parse::<usize>().unwrap()..last.parse::<usize>().unwrap() + 1
        });
        let (status, body) = match &range {
            None => ("200 OK".to_owned(), &bytes[..]),
            Some(range) => (
                format!(
                    "206 Partial Content\r\ncontent-range: bytes {}-{}/{}",
                    range.start,
                    range.end - 1,
                    bytes.len()
                ),
                &bytes[range.clone()],
            ),
        };
        let mut answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\netag: \"{tag}\"\r\n\
             last-modified: Sun, 22 Nov 2026 00:00:00 GMT\r\n\r\n",
            body.len()
        )
        .into_bytes();
        if head.starts_with("get") {
            self.sent.fetch_add(body.len() as u64, Ordering::SeqCst);
            answer.extend_from_slice(body);
        }
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_web_server_is_read_by_ranges_and_the_requests_are_those_it_sees() {
    let Some(folder) = data() else { return };
    for name in ["nemo_1m_20150101-20150201_grid-T.nc", "orca2_votemper.nc", "A1B_north_america.nc"]
    {
        let path = folder.join("netcdf").join(name);
        let web = Web::start(std::fs::read(&path).unwrap(), true).await;
        let stores = Stores::default();
        let remote = open(&stores, &web.url).await.unwrap();
        let (ours, seen) = (stores.traffic(), web.file.requests.load(Ordering::SeqCst));
        eprintln!("open {name}: {ours:?}");
        assert_eq!((ours.requests, ours.bytes), (seen, web.file.sent.load(Ordering::SeqCst)));
        assert!(seen <= 4, "{seen}");
        same_values(remote, open_local(&path)).await;
        let ours = stores.traffic();
        assert_eq!(ours.requests, web.file.requests.load(Ordering::SeqCst));
        assert_eq!(ours.bytes, web.file.sent.load(Ordering::SeqCst));
    }
}

/// No server of Google's runs here. What is asked of it is HEAD and GET with ranges under
/// `/bucket/object`, as of a web server.
#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_google_cloud_storage_is_read_by_ranges() {
    let Some(folder) = data() else { return };
    let path = folder.join("netcdf/orca2_votemper.nc");
    let web = Web::start(std::fs::read(&path).unwrap(), true).await;
    let host = web.url.trim_end_matches("/data/x.nc");
    let account = format!(
        r#"{{"gcs_base_url": "{host}", "disable_oauth": true, "client_email": "",
            "private_key": "", "private_key_id": ""}}"#
    );
    let stores = Stores::new(vec![StoreConfig {
        url: "gs://data".to_owned(),
        options: [("google_service_account_key".to_owned(), account)].into(),
    }]);
    let remote = open(&stores, "gs://data/x.nc").await.unwrap();
    assert!(stores.traffic().requests <= 4, "{:?}", stores.traffic());
    same_values(remote, open_local(&path)).await;
    let ours = stores.traffic();
    assert_eq!(ours.requests, web.file.requests.load(Ordering::SeqCst));
    assert_eq!(ours.bytes, web.file.sent.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_a_missing_file_and_a_changed_one_are_said() {
    let Some(folder) = data() else { return };
    let bytes = std::fs::read(folder.join("netcdf/orca2_votemper.nc")).unwrap();
    let web = Web::start(bytes.clone(), false).await;
    let error = open(&Stores::default(), &web.url).await.unwrap_err().to_string();
    assert!(error.contains("ranges of bytes"), "{error}");

    let web = Web::start(bytes, true).await;
    let stores = Stores::default();
    let missing = web.url.replace("x.nc", "y.nc");
    let error = stores.expand(&missing).await.unwrap_err().to_string();
    assert!(error.contains("not found"), "{error}");
    let remote = open(&stores, &web.url).await.unwrap();
    let variable = remote.contents().variables.last().unwrap().clone();
    web.file.tag.store(1, Ordering::SeqCst);
    // What was not read before is asked of the server, which has another file now.
    let stat = stores.expand(&web.url).await.unwrap().remove(0);
    assert_eq!(stat.tag, "\"1\"");
    let fresh = Stores::default();
    let old = tarn_connectors::FileStat { tag: "\"0\"".to_owned(), ..stat };
    let source = fresh.source(&old).await.unwrap();
    let error =
        blocking(move || source.open(&OpenOptions::default()).unwrap_err().to_string()).await;
    assert!(error.contains("has changed"), "{error}");
    // And what is kept is of one state, all of it.
    let region = Region::whole(&variable.shape());
    let kept = blocking(move || remote.read(&variable.path, &region)).await;
    assert!(kept.is_ok() || kept.unwrap_err().to_string().contains("has changed"));
}
