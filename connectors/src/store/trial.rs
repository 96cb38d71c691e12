//! Trying whether a store can be used, before anything depends on it.

use super::{Location, StoreError, Stores};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, PutPayload};

/// What is written for a trial.
const TRIAL: &[u8] = b"tarn";

impl Stores {
    /// Writes an object into a folder, reads it, and takes it away again.
    ///
    /// # Errors
    /// [`StoreError`] of the first step that the store refuses, or where it gives other bytes than were written.
    pub async fn try_writing(&self, folder: &Location) -> Result<(), StoreError> {
        let place = folder.child(&format!(".tarn-trial-{}", std::process::id()));
        let (store, path) = self.object_store(&place)?;
        let failed = |error: object_store::Error| StoreError::from_object_store(&place, &error);
        store.put(&path, PutPayload::from_static(TRIAL)).await.map_err(failed)?;
        let read = async { store.get(&path).await?.bytes().await }.await;
        // It goes also where it could not be read.
        let removed = store.delete(&path).await;
        let read = read.map_err(failed)?;
        removed.map_err(failed)?;
        if read.as_ref() == TRIAL {
            return Ok(());
        }
        Err(StoreError::Invalid {
            location: place.to_string(),
            problem: "the store gives other bytes than were written".to_owned(),
        })
    }

    /// Lists the first object of a folder, if it has any.
    ///
    /// # Errors
    /// [`StoreError`] where the store refuses, and for a local folder that is not there.
    pub async fn try_reading(&self, folder: &Location) -> Result<(), StoreError> {
        if let Some(path) = folder.local_path() {
            let found = std::fs::read_dir(&path);
            return found.map(drop).map_err(|error| StoreError::from_io(folder, &error));
        }
        let (store, path) = self.object_store(folder)?;
        let found = store.list(Some(&path)).try_next().await;
        found.map(drop).map_err(|error| StoreError::from_object_store(folder, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_trial_leaves_nothing_and_names_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let place = Location::from_path(folder.path()).unwrap();
        let stores = Stores::default();
        stores.try_writing(&place).await.unwrap();
        stores.try_reading(&place).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let none = Location::from_path(&folder.path().join("none")).unwrap();
        let told = stores.try_reading(&none).await.unwrap_err().to_string();
        assert!(told.contains("none"), "{told}");
        // A file stands where the folder should be: nobody can write into it, root neither.
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o400)).unwrap();
        assert!(stores.try_writing(&Location::from_path(&file).unwrap()).await.is_err());
    }
}
