//! Zarr stores with a damaged key.

use crate::damage::{MOST, read_first};
use crate::keys::MemoryKeys;
use crate::{allocator, python};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Bytes that are damaged in each store, at most.
const CASES: usize = 240;

#[test]
fn a_store_damaged_at_any_byte_is_refused_or_read_in_bounded_memory() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = [folder.path(), Path::new("5"), Path::new("4")];
    let script = "readers/zarr_stores.py";
    let Some(output) = python::python("zarr, numcodecs", script, &arguments) else { return };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for number in 0..4 {
        let whole = MemoryKeys::of(&folder.path().join(format!("{number}.zarr")));
        assert_eq!(whole.clone().open().map(|reader| read_first(reader.as_ref())).unwrap(), 6);
        let places: Vec<(&String, usize)> = whole
            .bytes
            .iter()
            .flat_map(|(key, bytes)| (0..bytes.len()).map(move |place| (key, place)))
            .collect();
        for (key, place) in places.iter().step_by(places.len().div_ceil(CASES)) {
            for flip in [1_u8 << (place % 8), 0xff, b'0' ^ b'9'] {
                let mut keys = whole.clone();
                let mut bytes = whole.bytes[*key].to_vec();
                bytes[*place] ^= flip;
                keys.bytes.insert((*key).clone(), bytes.into());
                let read = || keys.open().map_or(0, |reader| read_first(reader.as_ref()));
                let (result, most) = allocator::most(|| catch_unwind(AssertUnwindSafe(read)));
                let what = format!("store {number}: {key}: byte {place} ^ {flip:#04x}");
                assert!(result.is_ok(), "{what}: a panic");
                assert!(most <= MOST, "{what}: {most} bytes of memory");
            }
        }
    }
}
