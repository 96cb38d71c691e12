//! Checksums of files, which tell a file that was only touched from one that changed.

use super::{FileStat, Location, StoreError, Stores, blocking, changed, hierarchy, remote};
use futures::StreamExt;
use object_store::ObjectStoreExt;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::PoisonError;

/// Most checksums that are remembered.
const MOST_CHECKSUMS: usize = 1 << 16;

impl Stores {
    /// SHA-256 of a file's bytes in lower-case hexadecimal, streamed; of a Zarr store that of the
    /// lines that `sha256sum` prints for its keys in their order.
    pub async fn sha256(&self, file: &FileStat) -> Result<String, StoreError> {
        let location = Location::parse(&file.location)?;
        if hierarchy::is_store(file) {
            return hierarchy::sha256(self, &location).await;
        }
        if let Some(path) = location.local_path() {
            return blocking(&location, move || local_sha256(&path)).await;
        }
        self.sha256_of_object(&location, file).await
    }

    /// The file as it is now, which must have the content that it had as `file`: the same size and
    /// tag or, where only the tag differs (a file that was touched, copied back or restored), the
    /// same SHA-256. A tag is hashed once in the life of this process.
    pub async fn same_content(
        &self,
        file: &FileStat,
        sha256: &str,
    ) -> Result<FileStat, StoreError> {
        let now = self.now(file).await?;
        if now.bytes != file.bytes {
            return Err(changed(file, &now));
        }
        if now.tag == file.tag {
            return Ok(now);
        }
        let key = (now.location.clone(), now.tag.clone());
        let known =
            self.checksums.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let checksum = if let Some(known) = known {
            known
        } else {
            let checksum = self.sha256(&now).await?;
            // What was hashed must be what has this tag.
            self.check_unchanged(&now).await?;
            let mut all = self.checksums.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MOST_CHECKSUMS {
                all.clear();
            }
            all.insert(key, checksum.clone());
            checksum
        };
        if checksum == sha256 { Ok(now) } else { Err(changed(file, &now)) }
    }

    pub(super) async fn sha256_of_object(
        &self,
        location: &Location,
        file: &FileStat,
    ) -> Result<String, StoreError> {
        let (store, path) = self.object_store(location)?;
        let failed = |error| StoreError::from_object_store(location, &error);
        self.ranges.count(file.bytes);
        let answer = store.get(&path).await.map_err(failed)?;
        remote::check_tag(file, &answer.meta)?;
        let mut stream = answer.into_stream();
        let mut hash = Sha256::new();
        while let Some(bytes) = stream.next().await {
            hash.update(&bytes.map_err(failed)?);
        }
        Ok(hexadecimal(&hash.finalize()))
    }
}

pub(super) fn local_sha256(path: &Path) -> Result<String, StoreError> {
    let failed = |error: std::io::Error| StoreError::from_io(path.display(), &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(hexadecimal(&hash.finalize())),
            Some(bytes) => hash.update(bytes),
        }
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_file_that_was_touched_is_the_same_and_one_with_other_bytes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.nc");
        fs::write(&path, "a.nc").unwrap();
        let stores = Stores::default();
        let before = stores.stat(&Location::from_path(&path).unwrap()).await.unwrap();
        let sha256 = stores.sha256(&before).await.unwrap();
        assert_eq!(stores.same_content(&before, &sha256).await.unwrap(), before);
        let touch = |seconds| {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        touch(1_000);
        let now = stores.same_content(&before, &sha256).await.unwrap();
        assert_ne!(now.tag, before.tag);
        stores.check_unchanged(&now).await.unwrap();

        // As long as before, and other bytes.
        fs::write(&path, "b.nc").unwrap();
        touch(2_000);
        let error = stores.same_content(&before, &sha256).await.unwrap_err();
        assert!(matches!(error, StoreError::Changed { .. }), "{error}");
        fs::write(&path, "a.nc").unwrap();
        touch(3_000);
        stores.same_content(&before, &sha256).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_exchanged_for_one_of_the_same_size_and_time_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.nc"), folder.path().join("b.nc"));
        fs::write(&path, "a.nc").unwrap();
        fs::write(&other, "b.nc").unwrap();
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let stores = Stores::default();
        let before = stores.stat(&Location::from_path(&path).unwrap()).await.unwrap();
        let sha256 = stores.sha256(&before).await.unwrap();
        // The kernel's clock for files ticks every few milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        fs::rename(&other, &path).unwrap();
        let error = stores.same_contents(&[(&before, &sha256)]).await.pop().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    }

    #[tokio::test]
    async fn the_checksum_is_that_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let stores = Stores::default();
        let file = stores.stat(&Location::from_path(&path).unwrap()).await.unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            stores.sha256(&file).await.unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
