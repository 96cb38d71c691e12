//! Files opened from stores.

use crate::program::program;
use object_store::{ObjectStoreExt, PutPayload};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tarn_connectors::{Location, Stores};
use tarn_formats::{ByteSource, FormatError, LocalFile, OpenOptions, Reader, Region};

/// Runs Python code on a file to be written.
pub(crate) fn write_by_python(code: &str, path: &Path) -> Option<()> {
    let python = program("python")?;
    let done = Command::new(python).arg("-c").arg(code).arg(path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(())
}

/// Every file with this ending in a folder of the shared data.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.to_string_lossy().ends_with(ending));
    files.sort();
    files
}

pub(crate) async fn upload(stores: &Stores, url: &str, bytes: Vec<u8>) {
    let (store, path) = stores.object_store(&Location::parse(url).unwrap()).unwrap();
    store.put(&path, PutPayload::from(bytes)).await.unwrap();
}

/// Opens the file of a URL as a query does.
pub(crate) async fn open(stores: &Stores, url: &str) -> Result<Arc<dyn Reader>, FormatError> {
    let found = stores.expand(url).await.unwrap().remove(0);
    let source = stores.source(&found).await.unwrap();
    blocking(move || source.open(&OpenOptions::default())).await
}

pub(crate) fn open_local(path: &Path) -> Arc<dyn Reader> {
    let source: Arc<dyn ByteSource> = Arc::new(LocalFile::open(path).unwrap());
    tarn_formats::open(source).unwrap()
}

pub(crate) async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// Every value of the file at a URL is that of the local file.
pub(crate) async fn same_values(remote: Arc<dyn Reader>, local: Arc<dyn Reader>) {
    assert_eq!(remote.contents(), local.contents());
    blocking(move || {
        for variable in &local.contents().variables {
            let region = Region::whole(&variable.shape());
            let [ours, theirs] =
                [&remote, &local].map(|reader| reader.read(&variable.path, &region));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => assert_eq!(&ours, &theirs, "{}", variable.path),
                (ours, theirs) => {
                    assert_eq!(ours.is_err(), theirs.is_err(), "{}", variable.path);
                }
            }
        }
    })
    .await;
}
