//! Does the store keep "create only if absent"? A store that ignores it loses commits without a
//! word: two writers both succeed, and one of the commits is overwritten.

use crate::IngestError;
use futures::future::join_all;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use tarn_connectors::{Location, StoreError};

/// Writers that race for one key. Some stores pass one put after another and fail this.
const WRITERS: usize = 8;

/// Fails unless of several conditional puts on one key exactly one succeeds.
pub(crate) async fn check_conditional_puts(
    location: &Location,
    store: &dyn ObjectStore,
    folder: &ObjectPath,
) -> Result<(), IngestError> {
    let base = folder.clone().join(format!(".tarn-probe-{}", uuid::Uuid::new_v4()));
    let (twice, raced) = (base.clone().join("twice"), base.join("raced"));
    let answer = async {
        let first = create(store, &twice).await?;
        let second = create(store, &twice).await?;
        let race = join_all((0..WRITERS).map(|_| create(store, &raced))).await;
        let mut winners = 0;
        for won in race {
            winners += usize::from(won?);
        }
        Ok(first && !second && winners == 1)
    }
    .await;
    for key in [&twice, &raced] {
        // What stays behind is a few bytes under a hidden name.
        let _ = store.delete(key).await;
    }
    match answer {
        Ok(true) => Ok(()),
        Ok(false) => Err(StoreError::Failed {
            location: location.to_string(),
            problem: "this store ignores conditional writes (If-None-Match), so commits of two \
                      writers would overwrite each other: keep tables in another store"
                .to_owned(),
        }
        .into()),
        Err(error) => Err(StoreError::from_object_store(location, &error).into()),
    }
}

/// Whether the object was created; false if it was there.
async fn create(store: &dyn ObjectStore, key: &ObjectPath) -> Result<bool, object_store::Error> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.put_opts(key, "probe".into(), options).await {
        Ok(_) => Ok(true),
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::memory::InMemory;

    #[tokio::test]
    async fn a_store_that_keeps_conditions_passes_and_nothing_stays() {
        let store = InMemory::new();
        let location = Location::parse("s3://lake/tables").unwrap();
        let folder = ObjectPath::from("tables");
        check_conditional_puts(&location, &store, &folder).await.unwrap();
        assert!(store.list_with_delimiter(None).await.unwrap().common_prefixes.is_empty());
    }
}
