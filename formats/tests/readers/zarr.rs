//! Zarr stores against zarr-python, and damaged ones.

use crate::conformance::{Opened, contract};
use crate::data::data;
use crate::keys::MemoryKeys;
use crate::python::python;
use crate::support::{read_whole, texts};
use arrow::array::{Array, ArrayRef, AsArray};
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tarn_formats::{Access, Contents, Format, FormatError, LocalKeys, OpenOptions, Reader, Region};

/// A store of these documents.
fn store_of(documents: &[(&str, &str)]) -> MemoryKeys {
    let bytes = documents.iter().map(|(k, v)| ((*k).to_owned(), Bytes::from((*v).to_owned())));
    MemoryKeys { bytes: bytes.collect(), access: Access::REMOTE, listable: true }
}

fn open(folder: &Path) -> Arc<dyn Reader> {
    let keys = LocalKeys::open(folder).unwrap();
    tarn_formats::open_store(Arc::new(keys), &OpenOptions::default()).unwrap()
}

/// Random stores of zarr-python; `None` with a word where there is no Python with it.
fn stores(seed: &str, count: &str) -> Option<tempfile::TempDir> {
    let other = std::env::var("TARN_TEST_SEED");
    let seed = other.as_deref().unwrap_or(seed);
    let folder = tempfile::tempdir().unwrap();
    let arguments = [folder.path(), Path::new(seed), Path::new(count)];
    let output = python("zarr, numcodecs", "readers/zarr_stores.py", &arguments)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "zarr")).collect();
    paths.sort();
    paths
}

/// Values as bytes of this machine, which is little-endian wherever the tests run: times as their counts, NaT as the smallest.
fn bytes_of(array: &ArrayRef) -> Vec<u8> {
    if let Some(booleans) = array.as_boolean_opt() {
        return booleans.iter().map(|value| u8::from(value.unwrap())).collect();
    }
    if let Some(parts) = array.as_struct_opt() {
        let parts: Vec<Vec<u8>> = parts.columns().iter().map(bytes_of).collect();
        let width = parts[0].len() / array.len().max(1);
        let chunks = parts[0].chunks(width.max(1)).zip(parts[1].chunks(width.max(1)));
        return chunks.flat_map(|(real, imaginary)| [real, imaginary].concat()).collect();
    }
    let data = array.to_data();
    data.buffers()[0].as_slice().to_vec()
}

fn nulls_are_nat(array: &ArrayRef) -> bool {
    let bytes = bytes_of(array);
    (0..array.len()).filter(|at| array.is_null(*at)).all(|at| {
        bytes[at * 8..at * 8 + 8] == i64::MIN.to_le_bytes() || bytes[at * 8..at * 8 + 8] == [0; 8]
    })
}

#[test]
fn random_stores_of_zarr_python_are_read_to_the_bit() {
    let Some(folder) = stores("20261122", "120") else { return };
    let text = std::fs::read_to_string(folder.path().join("expected.jsonl")).unwrap();
    let mut readers: HashMap<String, Arc<dyn Reader>> = HashMap::new();
    let (mut faults, mut compared) = (Vec::new(), 0);
    for line in text.lines() {
        let wanted: Value = serde_json::from_str(line).unwrap();
        let (store, path) = (wanted["store"].as_str().unwrap(), wanted["path"].as_str().unwrap());
        let reader =
            readers.entry(store.to_owned()).or_insert_with(|| open(&folder.path().join(store)));
        if let Err(fault) = compare(folder.path(), reader.as_ref(), path, &wanted) {
            faults.push(format!("{store}{path}: {fault}"));
        }
        compared += 1;
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(compared, 120 * 6 + 2);
}

fn compare(folder: &Path, reader: &dyn Reader, path: &str, wanted: &Value) -> Result<(), String> {
    let contents = reader.contents();
    if let Some(unreadable) = contents.unreadable.iter().find(|u| u.path == path) {
        return Err(format!("unreadable: {}", unreadable.reason));
    }
    let variable = contents.variable(path).ok_or("not listed")?;
    for (what, own, expected) in [
        ("shape", serde_json::json!(variable.shape()), &wanted["shape"]),
        ("chunks", serde_json::json!(variable.chunk_shape), &wanted["chunks"]),
    ] {
        if own != *expected {
            return Err(format!("{what} {own} in place of {expected}"));
        }
    }
    let values = reader.read(path, &Region::whole(&variable.shape())).map_err(|e| e.to_string())?;
    if let Some(list) = wanted["texts"].as_array() {
        let own = texts(&values).ok_or("no texts")?;
        let wanted: Vec<&str> = list.iter().map(|text| text.as_str().unwrap()).collect();
        return if own == wanted { Ok(()) } else { Err(format!("{own:?} in place of {wanted:?}")) };
    }
    let expected = std::fs::read(folder.join(wanted["values"].as_str().unwrap())).unwrap();
    let mut own = bytes_of(&values);
    if values.null_count() > 0 {
        if !nulls_are_nat(&values) {
            return Err("a NULL that is no NaT".to_owned());
        }
        for at in (0..values.len()).filter(|at| values.is_null(*at)) {
            own[at * 8..at * 8 + 8].copy_from_slice(&i64::MIN.to_le_bytes());
        }
    }
    if own == expected {
        return Ok(());
    }
    let first = own.iter().zip(&expected).position(|(a, b)| a != b);
    Err(format!(
        "{} {:?}: {} bytes in place of {}, the first that differs is {first:?}",
        values.data_type(),
        variable.filters,
        own.len(),
        expected.len()
    ))
}

#[test]
fn stores_keep_the_contract_of_readers() {
    let Some(folder) = stores("7", "16") else { return };
    let mut folders = paths(folder.path());
    if let Some(data) = data() {
        folders.extend(paths(&data.join("zarr")));
    }
    for path in folders {
        contract(&Opened {
            name: path.display().to_string(),
            plainly: &|| open(&path),
            asked: &|access, options| {
                let keys = MemoryKeys { access, ..MemoryKeys::of(&path) };
                tarn_formats::open_store(Arc::new(keys), options).unwrap()
            },
        });
    }
}

/// Values that zarr-python 3.1 reads from the stores of the shared data.
#[test]
fn stores_of_the_shared_data_hold_what_zarr_python_reads() {
    let Some(data) = data() else { return };
    let Some(output) = python("zarr, numcodecs", "readers/zarr_shared.py", &[&data.join("zarr")])
    else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut compared = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let wanted: Value = serde_json::from_str(line).unwrap();
        let (store, path) = (wanted["store"].as_str().unwrap(), wanted["path"].as_str().unwrap());
        let reader = open(&data.join("zarr").join(store));
        let variable = reader.contents().variable(path).unwrap_or_else(|| panic!("{store}{path}"));
        let values = read_whole(reader.as_ref(), variable);
        if let Some(list) = wanted["texts"].as_array() {
            let list: Vec<&str> = list.iter().map(|text| text.as_str().unwrap()).collect();
            assert_eq!(texts(&values).unwrap(), list, "{store}{path}");
        } else {
            let own: String = bytes_of(&values).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(own, wanted["hex"].as_str().unwrap(), "{store}{path}");
        }
        compared += 1;
    }
    assert!(compared >= 16, "{compared} arrays");
}

#[test]
fn the_same_profiles_in_both_versions_have_the_same_grids() {
    let Some(data) = data() else { return };
    let contents =
        |name: &str| -> Contents { open(&data.join("zarr").join(name)).contents().clone() };
    let (two, three) =
        (contents("atlantic_profiles_v2.zarr"), contents("atlantic_profiles_v3.zarr"));
    assert_eq!((two.format, three.format), (Format::Zarr2, Format::Zarr3));
    assert_eq!(two.grids, three.grids);
    let grid = &two.grids[0];
    assert_eq!(grid.name, "depth_lat_lon");
    assert_eq!(grid.variables, ["/salinity", "/theta"]);
    let coordinates: Vec<_> = grid.dimensions.iter().map(|d| d.coordinate.as_deref()).collect();
    assert_eq!(coordinates, [Some("/depth"), Some("/lat"), Some("/lon")]);
    assert_eq!(two.variable("depth").unwrap().text("units"), Some("m"));
    assert_eq!(two.unreadable, []);
}

const GROUP: &str = r#"{"zarr_format": 3, "node_type": "group", "attributes": {}}"#;

/// Metadata of an array of version 3, with some members of its own.
fn array_3(members: &[(&str, &str)]) -> String {
    let mut all: BTreeMap<&str, &str> = BTreeMap::from([
        ("zarr_format", "3"),
        ("node_type", r#""array""#),
        ("shape", "[4]"),
        ("data_type", r#""int32""#),
        ("chunk_grid", r#"{"name": "regular", "configuration": {"chunk_shape": [2]}}"#),
        ("chunk_key_encoding", r#"{"name": "default"}"#),
        ("fill_value", "7"),
        ("codecs", r#"[{"name": "bytes", "configuration": {"endian": "little"}}]"#),
    ]);
    all.extend(members.iter().copied());
    let members: Vec<String> =
        all.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

#[test]
fn what_is_not_supported_is_named_and_the_rest_is_read() {
    let arrays = [
        ("good", vec![]),
        ("bfloat", vec![("data_type", r#""bfloat16""#)]),
        ("rectilinear", vec![("chunk_grid", r#"{"name": "rectilinear"}"#)]),
        ("zfp", vec![("codecs", r#"[{"name": "zfp"}]"#)]),
        ("ranks", vec![("shape", "[4, 4]")]),
        (
            "zero",
            vec![("chunk_grid", r#"{"name": "regular", "configuration": {"chunk_shape": [0]}}"#)],
        ),
        ("fill", vec![("fill_value", "3000000000")]),
        ("transformed", vec![("storage_transformers", r#"[{"name": "secret"}]"#)]),
        ("version", vec![("zarr_format", "4")]),
    ];
    let mut documents = vec![("zarr.json".to_owned(), GROUP.to_owned())];
    documents.push(("broken/zarr.json".to_owned(), "{".to_owned()));
    documents.push(("good/c/1".to_owned(), "abcdABCD".to_owned()));
    for (name, members) in &arrays {
        documents.push((format!("{name}/zarr.json"), array_3(members)));
    }
    let documents: Vec<_> = documents.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let reader = store_of(&documents).open().unwrap();
    let contents = reader.contents();
    assert_eq!(contents.variables.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(), ["/good"]);
    let values = reader.read("good", &Region::whole(&[4])).unwrap();
    let expected = [7, 7, i32::from_le_bytes(*b"abcd"), i32::from_le_bytes(*b"ABCD")];
    assert_eq!(values.as_primitive::<arrow::datatypes::Int32Type>().values(), &expected);
    for (path, reason) in [
        ("/bfloat", "bfloat16"),
        ("/rectilinear", "the chunk grid rectilinear"),
        ("/zfp", "the codec zfp"),
        ("/ranks", "chunks of shape [2] of an array of shape [4, 4]"),
        ("/zero", "chunks of shape [0]"),
        ("/fill", "the fill value 3000000000"),
        ("/transformed", "the storage transformer secret"),
        ("/version", "another version of Zarr"),
        ("/broken", "its metadata: it is no JSON"),
    ] {
        let found = contents.unreadable.iter().find(|unreadable| unreadable.path == path);
        assert!(found.is_some_and(|u| u.reason.contains(reason)), "{path}: {found:?}");
        let error = reader.read(path, &Region::whole(&[4])).unwrap_err();
        assert!(matches!(error, FormatError::Unsupported { .. }), "{error}");
    }
}

#[test]
fn hostile_stores_are_refused_with_the_key() {
    let root = |metadata: &str| store_of(&[("zarr.json", metadata)]);
    let chunk = |metadata: &str, bytes: &[u8]| {
        let mut keys = root(metadata);
        keys.bytes.insert("c/0".to_owned(), bytes.to_vec().into());
        keys.open().unwrap()
    };
    let read = |reader: &Arc<dyn Reader>| {
        let shape = reader.contents().variables[0].shape();
        reader.read("data", &Region::whole(&shape)).unwrap_err().to_string()
    };
    // Shapes beyond all memory, of chunks beyond all memory.
    let huge = array_3(&[("shape", "[9223372036854775807]")]);
    assert!(read(&root(&huge).open().unwrap()).contains("more than the limit"));
    let chunks = r#"{"name": "regular", "configuration": {"chunk_shape": [1000000000000]}}"#;
    let reader = root(&array_3(&[("chunk_grid", chunks)])).open().unwrap();
    let error = reader.read("data", &Region::whole(&[4])).unwrap_err();
    assert!(matches!(error, FormatError::TooLarge { .. }), "{error}");
    // A chunk that is cut off, one with more than it should have, and one that grows without end.
    assert!(read(&chunk(&array_3(&[]), b"abc")).contains("key c/0: 3 bytes cannot become 8"));
    assert!(read(&chunk(&array_3(&[]), b"abcdabcdabcd")).contains("c/0: 12 bytes, where 8 are"));
    let zstd = r#"[{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 1}}]"#;
    // A frame of zstd of 4 GiB of zeros says so in its head: 28 B5 2F FD, 1 GiB blocks of one byte.
    let bomb = b"\x28\xb5\x2f\xfd\xe0\0\0\0\0\x01\0\0\0\x03\0\x10\0";
    assert!(read(&chunk(&array_3(&[("codecs", zstd)]), bomb)).contains("key c/0: undoing zstd"));
    // Keys that lead out.
    let consolidated = format!(
        r#"{{"zarr_format": 3, "node_type": "group", "consolidated_metadata": {{"metadata": {{
            "../up": {0}, "/etc": {0}, "a/../b": {0}, "fine": {0}, "": {0} }}}}}}"#,
        array_3(&[])
    );
    let reader = root(&consolidated).open().unwrap();
    let unreadable: Vec<_> =
        reader.contents().unreadable.iter().map(|u| (u.path.as_str(), u.reason.as_str())).collect();
    let reason = "a name that leads out of the store";
    assert_eq!(unreadable, [("/../up", reason), ("//etc", reason), ("/a/../b", reason)]);
    // No metadata at all, some that are no JSON, and some that cannot be found.
    assert!(matches!(store_of(&[]).open(), Err(FormatError::UnknownFormat { .. })));
    assert!(root("[").open().unwrap_err().to_string().contains("zarr.json: it is no JSON"));
    let deep = "[".repeat(1 << 20);
    assert!(root(&deep).open().unwrap_err().to_string().contains("too deep"));
    let hidden = MemoryKeys { listable: false, ..root(GROUP) };
    assert!(hidden.open().unwrap_err().to_string().contains("not consolidated"));
}

#[test]
fn hostile_shards_are_refused_with_the_key() {
    let codecs = |index: &str| {
        format!(
            r#"[{{"name": "sharding_indexed", "configuration": {{"chunk_shape": [2],
                "codecs": [{{"name": "bytes"}}], "index_codecs": {index}}}}}]"#
        )
    };
    let plain = codecs(r#"[{"name": "bytes"}]"#);
    let grid = r#"{"name": "regular", "configuration": {"chunk_shape": [4]}}"#;
    let of = |codecs: &str, bytes: Vec<u8>| {
        let mut keys =
            store_of(&[("zarr.json", &array_3(&[("codecs", codecs), ("chunk_grid", grid)]))]);
        keys.bytes.insert("c/0".to_owned(), bytes.into());
        let reader = keys.open().unwrap();
        assert_eq!(reader.contents().unreadable, []);
        reader.read("data", &Region::whole(&[4]))
    };
    let shard = |chunks: &[u8], index: [u64; 4]| {
        [chunks.to_vec(), index.iter().flat_map(|n| n.to_le_bytes()).collect()].concat()
    };
    let missing = u64::MAX;
    let good = of(&plain, shard(b"abcdefgh", [missing, missing, 0, 8])).unwrap();
    let expected = [7, 7, i32::from_le_bytes(*b"abcd"), i32::from_le_bytes(*b"efgh")];
    assert_eq!(good.as_primitive::<arrow::datatypes::Int32Type>().values(), &expected);
    for (index, problem) in [
        ([0, 8, 100, 8], "lie outside"),
        ([0, 8, u64::MAX - 1, 8], "lie outside"),
        ([0, 8, 0, 1 << 40], "its index places it"),
        ([0, 7, 0, 8], "7 bytes cannot become 8"),
    ] {
        let error = of(&plain, shard(b"abcdefgh", index)).unwrap_err().to_string();
        assert!(error.contains("c/0") && error.contains(problem), "{error}");
    }
    assert!(of(&plain, b"short".to_vec()).unwrap_err().to_string().contains("c/0"));
    let summed = codecs(r#"[{"name": "bytes"}, {"name": "crc32c"}]"#);
    let bytes = [shard(b"abcdefgh", [0, 8, 0, 8]), vec![0; 4]].concat();
    assert!(of(&summed, bytes).unwrap_err().to_string().contains("the checksum is"));
}

#[test]
fn damaged_and_incomplete_stores_give_errors_and_never_a_panic() {
    let Some(folder) = stores("99", "12") else { return };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below.max(1) as u64).unwrap()
    };
    let (mut opened, mut refused) = (0, 0);
    for path in paths(folder.path()) {
        let whole = MemoryKeys::of(&path);
        let names: Vec<String> = whole.bytes.keys().cloned().collect();
        for round in 0..60 {
            let mut keys = whole.clone();
            for _ in 0..=random(3) {
                let documents =
                    names.iter().filter(|name| name.contains("zarr") || name.contains(".z"));
                let documents: Vec<_> = documents.collect();
                let name = if round % 2 == 0 {
                    documents[random(documents.len())]
                } else {
                    &names[random(names.len())]
                };
                let Some(bytes) = keys.bytes.get(name) else { continue };
                let mut bytes = bytes.to_vec();
                match random(5) {
                    0 => bytes.truncate(random(bytes.len() + 1)),
                    1 => bytes.extend_from_within(..bytes.len() / 2),
                    2 if round % 7 == 0 => drop(keys.bytes.remove(name)),
                    _ if bytes.is_empty() => {}
                    _ => {
                        let at = random(bytes.len());
                        bytes[at] =
                            [b'0', b'9', b'-', 0xff, bytes[at] ^ 1, bytes[at].wrapping_add(1)]
                                [random(6)];
                    }
                }
                keys.bytes.insert(name.clone(), bytes.into());
            }
            let Ok(reader) = keys.open() else {
                refused += 1;
                continue;
            };
            opened += 1;
            for variable in &reader.contents().variables {
                let shape = variable.shape();
                // A damaged shape may be huge, and is then refused or cut down.
                let small = Region::new(shape.iter().map(|length| 0..*length.min(&64)).collect());
                if let Ok(array) = reader.read(&variable.path, &small) {
                    assert_eq!(Some(array.len() as u64), small.cells());
                }
                if Region::whole(&shape).cells().is_some_and(|cells| cells < 1 << 20) {
                    drop(reader.read(&variable.path, &Region::whole(&shape)));
                }
            }
        }
    }
    assert!(opened > 300 && refused > 20, "{opened} opened, {refused} refused");
}
