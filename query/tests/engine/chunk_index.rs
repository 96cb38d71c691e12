//! Tables over many files are planned from the chunk index.

use crate::program::program;
use crate::support::{Lab, rows};
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};
use tarn_query::{Engine, SessionOptions};
use tarn_schemas::Principal;

/// Files of the table.
const FILES: usize = 10_000;

/// Writes one small NetCDF-4 file: a day of four values, `time` and `v` contiguous and findable by
/// their bytes.
const WRITE: &str = r#"
import sys, netCDF4, numpy as np
with netCDF4.Dataset(sys.argv[1], "w") as f:
    f.createDimension("time", 4)
    f.createDimension("x", 3)
    t = f.createVariable("time", "f8", ("time",))
    t.units = "days since 2000-01-01"
    t[:] = [123456.0, 123456.25, 123456.5, 123456.75]
    f.createVariable("x", "i4", ("x",))[:] = [10, 20, 30]
    v = f.createVariable("v", "f8", ("time", "x"))
    v.units = "K"
    v[:] = np.arange(12).reshape(4, 3) + 654321.5
"#;

/// Files of one day each: copies of one that the library wrote, with other values.
fn write(folder: &Path, count: usize) -> Option<()> {
    let model = folder.join("model.nc");
    let done = Command::new(program("python")?).arg("-c").arg(WRITE).arg(&model).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let bytes = fs::read(&model).unwrap();
    fs::remove_file(model).unwrap();
    let place = |value: f64| {
        let wanted = value.to_le_bytes();
        bytes.windows(8).position(|window| window == wanted).unwrap()
    };
    let (time, v) = (place(123_456.0), place(654_321.5));
    for file in 0..count {
        let mut own = bytes.clone();
        let day = f64::from(u32::try_from(file).unwrap());
        let mut put = |at: usize, value: f64| own[at..at + 8].copy_from_slice(&value.to_le_bytes());
        (0_u8..4).for_each(|i| put(time + 8 * usize::from(i), day + f64::from(i) / 4.0));
        (0_u8..12).for_each(|i| put(v + 8 * usize::from(i), day * 100.0 + f64::from(i)));
        fs::write(folder.join(format!("day_{file:05}.nc")), own).unwrap();
    }
    Some(())
}

async fn ask(engine: &Engine, sql: &str) -> Vec<Vec<String>> {
    let session = engine.session(Principal::Owner, SessionOptions::default()).await.unwrap();
    rows(&session, sql).await.unwrap()
}

/// Other bytes in a file whose size stays.
fn spoil(path: &Path) {
    let length = fs::metadata(path).unwrap().len();
    fs::write(path, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
}

const QUERIES: [&str; 4] = [
    "SELECT count(*), min(time), max(time) FROM days.v",
    "SELECT time, x, v FROM days.v WHERE time >= TIMESTAMP '2010-05-01' AND \
     time < TIMESTAMP '2010-05-03' ORDER BY time, x",
    "SELECT sum(v), count(v) FROM days.v WHERE time < TIMESTAMP '2000-01-11'",
    "SELECT x, max(v) FROM days.v WHERE x > 10 AND time > TIMESTAMP '2027-05-01' GROUP BY x ORDER BY x",
];

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_are_planned_without_opening_one() {
    let lab = Lab::new("ornl").await;
    let folder = lab.folder.path().join("data");
    fs::create_dir(&folder).unwrap();
    let Some(()) = write(&folder, FILES) else { return };
    lab.register("days", "public").await;
    lab.put("days", "v", &[folder.to_str().unwrap()], json!({})).await;

    let timed = Instant::now();
    let mut expected = vec![];
    for sql in QUERIES {
        expected.push(ask(&lab.engine, sql).await);
    }
    eprintln!("{FILES} files, opened: {:?}", timed.elapsed());
    assert_eq!(expected[0][0][0], (FILES * 12).to_string());
    assert_eq!(expected[1].len(), 2 * 12);
    assert_eq!(expected[1][0][2], "377300.0");
    assert_eq!(expected[2][0], ["54660.0", "120"]);
    assert_eq!(expected[3].len(), 2);

    // The days that the queries read: 0 to 9, two of May 2010, and those from May 2027 on.
    let read = |file: usize| file < 10 || (3773..3775).contains(&file) || file >= 9982;
    for file in (0..FILES).filter(|file| !read(*file)) {
        spoil(&folder.join(format!("day_{file:05}.nc")));
    }
    lab.pin_again("days", "v").await;
    let engine = lab.restarted();
    for (sql, expected) in QUERIES.iter().zip(&expected) {
        let timed = Instant::now();
        assert_eq!(&ask(&engine, sql).await, expected, "{sql}");
        eprintln!("from the index: {:?} {sql}", timed.elapsed());
    }
    let index = lab.folder.path().join("catalog/chunks");
    for entry in fs::read_dir(&index).unwrap() {
        let entry = entry.unwrap();
        eprintln!("index: {} bytes", entry.metadata().unwrap().len());
    }
    // Without the index the spoiled files are opened, and say so.
    fs::remove_dir_all(index).unwrap();
    let engine = lab.restarted();
    let session = engine.session(Principal::Owner, SessionOptions::default()).await.unwrap();
    let error = rows(&session, QUERIES[0]).await.unwrap_err().to_string();
    assert!(error.contains("day_00010.nc"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_is_made_again_and_a_changed_file_is_noticed() {
    let lab = Lab::new("ornl").await;
    let folder = lab.folder.path().join("data");
    fs::create_dir(&folder).unwrap();
    let Some(()) = write(&folder, 20) else { return };
    lab.register("days", "public").await;
    lab.put("days", "v", &[folder.to_str().unwrap()], json!({})).await;
    let sql = "SELECT sum(v), min(time), max(x) FROM days.v WHERE time > TIMESTAMP '2000-01-03'";
    let expected = ask(&lab.engine, sql).await;
    let index = lab.folder.path().join("catalog/chunks");
    let file = || fs::read_dir(&index).unwrap().next().unwrap().unwrap().path();
    let whole = fs::read(file()).unwrap();
    for at in [10, whole.len() / 3, whole.len() / 2, whole.len() - 20] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        fs::write(file(), damaged).unwrap();
        assert_eq!(ask(&lab.restarted(), sql).await, expected);
        assert_eq!(fs::read(file()).unwrap(), whole, "made again");
    }
    // Touched, and with the same content: the index still holds.
    let path = folder.join("day_00007.nc");
    let touched = File::options().write(true).open(&path).unwrap();
    touched.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(ask(&lab.restarted(), sql).await, expected);
    // Other content, as long as before.
    let mut other = fs::read(&path).unwrap();
    let last = other.len() - 1;
    other[last] ^= 1;
    fs::write(&path, other).unwrap();
    let engine = lab.restarted();
    let session = engine.session(Principal::Owner, SessionOptions::default()).await.unwrap();
    let error = rows(&session, sql).await.unwrap_err().to_string();
    assert!(error.contains("day_00007.nc") && error.contains("has changed"), "{error}");
}
