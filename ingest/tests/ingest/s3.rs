//! Sources and tables in a bucket of a real S3 server (SeaweedFS).

use crate::program::program;
use crate::support::{Lab, e3sm, request};
use crate::weed::Server;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use tarn_connectors::Location;

#[tokio::test(flavor = "multi_thread")]
async fn files_and_tables_in_a_bucket_give_the_rows_of_local_ones() {
    let Some(files) = e3sm() else { return };
    let Some(weed) = program("weed") else { return };
    let server = Server::start(&weed);
    let stores = server.stores();
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
