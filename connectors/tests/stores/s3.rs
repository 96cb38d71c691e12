//! Files in a bucket: how many requests they take, and what they hold.

use crate::data::data;
use crate::program::program;
use crate::support::{blocking, files, open, open_local, same_values, upload, write_by_python};
use crate::weed::Server;
use std::sync::Arc;
use tarn_formats::{FormatError, Region, SourceError};

/// Requests that opening a NetCDF-4 file may take, with the one that finds it.
const BAR: u64 = 4;

/// A file as models write them: forty variables in groups of chunks between which the metadata lie
/// scattered, attributes written last, 30 MB.
const SCATTERED: &str = r#"
import sys, netCDF4, numpy as np
rng = np.random.default_rng(1)
with netCDF4.Dataset(sys.argv[1], "w") as f:
    for name, size in (("time", None), ("lat", 90), ("lon", 180)):
        f.createDimension(name, size)
    t = f.createVariable("time", "f8", ("time",), chunksizes=(16,))
    t.units = "days since 2000-01-01"
    names = [f"v{i:02}" for i in range(40)]
    for name in names:
        f.createVariable(name, "f4", ("time", "lat", "lon"), zlib=True, complevel=1, chunksizes=(1, 45, 90))
    for step in range(12):
        t[step] = step
        for name in names:
            f[name][step] = rng.normal(size=(90, 180)).astype("f4")
        f.sync()
    for name in names:
        f[name].units = "K"
        f[name].long_name = "a variable with a name that takes some room " * 20
    f.createVariable("lat", "f8", ("lat",))[:] = np.linspace(-89, 89, 90)
    f.createVariable("lon", "f8", ("lon",))[:] = np.arange(180) * 2.0
"#;

#[tokio::test(flavor = "multi_thread")]
async fn opening_a_file_of_a_bucket_takes_few_requests_and_gives_the_values_of_the_local_file() {
    let Some(folder) = data() else { return };
    let Some(weed) = program("weed") else { return };
    let scattered = tempfile::tempdir().unwrap();
    let scattered = scattered.path().join("scattered.nc");
    let Some(()) = write_by_python(SCATTERED, &scattered) else { return };
    let server = Server::start(&weed);
    let mut paths = files(&folder.join("netcdf"), ".nc");
    paths.extend(files(&folder.join("netcdf/cmip6"), ".nc"));
    paths.extend(files(&folder.join("hdf5"), ".h5"));
    paths.extend(files(&folder.join("spec"), ".spec"));
    paths.push(scattered);
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        let url = format!("s3://lake/{name}");
        upload(&server.stores(), &url, std::fs::read(&path).unwrap()).await;
        let stores = server.stores();
        let opened = open(&stores, &url).await;
        let cost = stores.traffic();
        let bytes = std::fs::metadata(&path).unwrap().len();
        eprintln!("open {name}: {bytes} bytes, {} requests, {} bytes", cost.requests, cost.bytes);
        let Ok(remote) = opened else {
            assert!(name.contains("lzo"), "{name}: {}", opened.unwrap_err());
            continue;
        };
        assert!(cost.requests <= BAR, "{name}: {cost:?}");
        assert!(cost.bytes <= bytes, "{name}: {cost:?}");
        same_values(remote, open_local(&path)).await;
        let cost = stores.traffic();
        eprintln!("read {name}: {} requests, {} bytes", cost.requests, cost.bytes);
        // Nothing is asked for twice.
        assert!(cost.bytes <= bytes, "{name}: {cost:?} of {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_at_one_point_reads_the_chunks_it_needs_and_they_come_together() {
    let Some(weed) = program("weed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scattered.nc");
    let Some(()) = write_by_python(SCATTERED, &path) else { return };
    let server = Server::start(&weed);
    let stores = server.stores();
    upload(&stores, "s3://lake/x.nc", std::fs::read(&path).unwrap()).await;
    let remote = open(&stores, "s3://lake/x.nc").await.unwrap();
    let local = open_local(&path);
    let before = stores.traffic();
    // Twelve chunks of 15 KB, one a step, 2.4 MB from one to the next: too far to be one request.
    let region = Region::new(vec![0..12, 50..51, 100..101]);
    let (series, expected) = blocking({
        let remote = Arc::clone(&remote);
        move || (remote.read("v07", &region).unwrap(), local.read("v07", &region).unwrap())
    })
    .await;
    assert_eq!(&series, &expected);
    let cost = stores.traffic() - before;
    eprintln!("series: {cost:?}");
    // The index of the chunks takes requests of its own: a page each of the levels of its tree.
    let chunk = 45 * 90 * 4;
    assert!(cost.bytes <= 12 * chunk + 4 * (64 << 10), "{cost:?}");
    assert!(cost.requests <= 12 + 2, "{cost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_exchanged_while_it_is_read_is_an_error_and_never_a_mixture() {
    let Some(weed) = program("weed") else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scattered.nc");
    let Some(()) = write_by_python(SCATTERED, &path) else { return };
    let server = Server::start(&weed);
    let stores = server.stores();
    let bytes = std::fs::read(&path).unwrap();
    upload(&stores, "s3://lake/x.nc", bytes.clone()).await;
    let remote = open(&stores, "s3://lake/x.nc").await.unwrap();
    // As long as before, and another object.
    let mut other = bytes;
    let middle = other.len() / 2;
    other[middle] ^= 1;
    upload(&stores, "s3://lake/x.nc", other).await;
    let error = blocking(move || remote.read("v30", &Region::whole(&[12, 90, 180])).unwrap_err());
    let error = error.await;
    assert!(matches!(error, FormatError::Source(SourceError::Changed { .. })), "{error}");
    let again = open(&stores, "s3://lake/x.nc").await.unwrap();
    let region = Region::whole(&[12, 90, 180]);
    blocking(move || again.read("v00", &region).unwrap()).await;
}
