//! Cut at every length, damaged at every byte.

use crate::{allocator, python};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use tarn_formats::{ChunkCache, FormatError, MemorySource, OpenOptions, Reader, Region};

/// Memory for a file of some thousand bytes. Deflate makes a thousand bytes of one, and twice that is
/// held while a chunk is decoded.
pub(crate) const MOST: usize = 96 << 20;
/// Lengths that a file is cut to, and bytes that are damaged, at most.
const CASES: usize = 1500;

fn open(bytes: Vec<u8>) -> Result<Arc<dyn Reader>, FormatError> {
    let options = OpenOptions {
        chunk_cache: Arc::new(ChunkCache::new(1 << 20)),
        siblings: None,
        fallback: None,
    };
    tarn_formats::open_with(Arc::new(MemorySource::new("memory", bytes)), &options)
}

/// Opens a file and reads the first cells of every variable; says how many variables were read.
fn read_all(bytes: Vec<u8>) -> usize {
    open(bytes).map_or(0, |reader| read_first(reader.as_ref()))
}

/// Reads the first cells of every variable; says how many variables were read.
pub(crate) fn read_first(reader: &dyn Reader) -> usize {
    let contents = reader.contents();
    let read = |path: &str, shape: &[u64]| {
        let mut left = 4096;
        let ranges: Vec<Range<u64>> = shape
            .iter()
            .map(|length| {
                let length = *length.min(&left);
                left /= length.max(1);
                0..length
            })
            .collect();
        let region = Region::new(ranges);
        let array = reader.read(path, &region).ok()?;
        assert_eq!(Some(array.len() as u64), region.cells(), "{path}");
        Some(())
    };
    contents.variables.iter().filter_map(|v| read(&v.path, &v.shape())).count()
}

/// Runs a case of which only the name of the file and of the case is known if it fails.
fn case(path: &Path, what: &str, bytes: Vec<u8>) {
    let (result, most) = allocator::most(|| catch_unwind(AssertUnwindSafe(|| read_all(bytes))));
    assert!(result.is_ok(), "{}: {what}: a panic", path.display());
    assert!(most <= MOST, "{}: {what}: {most} bytes of memory", path.display());
}

/// All places in a file, or as many as there may be cases.
fn places(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(length.div_ceil(CASES).max(1))
}

fn each_file(visit: impl Fn(&Path, &[u8])) {
    let folder = tempfile::tempdir().unwrap();
    let modules = "h5py, netCDF4, hdf5plugin";
    let Some(output) = python::python(modules, "hostile/generate.py", &[folder.path()]) else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let contents = open(bytes.clone()).unwrap().contents().clone();
        assert_eq!(contents.unreadable, [], "{}", path.display());
        assert_eq!(read_all(bytes.clone()), contents.variables.len(), "{}", path.display());
        visit(&path, &bytes);
        files += 1;
    }
    assert_eq!(files, 7);
}

/// Files with several bytes or whole numbers changed at random. `TARN_TEST_DAMAGE` is how many of each
/// file, `TARN_TEST_SEED` which.
#[test]
fn a_file_damaged_at_random_is_refused_or_read_in_bounded_memory() {
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
    };
    let (rounds, seed) = (number("TARN_TEST_DAMAGE", 300), number("TARN_TEST_SEED", 7));
    each_file(|path, bytes| {
        for round in 0..rounds {
            let seed = seed.wrapping_mul(1 << 32).wrapping_add(round);
            let damaged = damaged(bytes, seed);
            case(path, &format!("random damage {seed}"), damaged);
        }
    });
}

/// The file with one to four numbers of one to eight bytes replaced.
fn damaged(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    // SplitMix64.
    let mut random = |below: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    };
    let mut damaged = bytes.to_vec();
    for _ in 0..=random(3) {
        let place = random(bytes.len());
        let width = [1, 1, 2, 4, 8][random(5)].min(bytes.len() - place);
        let own = damaged[place..place + width].to_vec();
        let number = match random(6) {
            0 => u64::MAX,
            1 => 0,
            // Sizes and addresses that are far too large, and places in the file.
            2 => 1 << random(64),
            3 => random(bytes.len()) as u64,
            4 => u64::from(own[0]).wrapping_add(1),
            _ => u64::from(own[0]) ^ (1 << random(8)),
        };
        damaged[place..place + width].copy_from_slice(&number.to_le_bytes()[..width]);
    }
    damaged
}

#[test]
fn a_file_cut_at_any_length_is_refused_or_read_in_bounded_memory() {
    each_file(|path, bytes| {
        for length in places(bytes.len()) {
            case(path, &format!("cut to {length}"), bytes[..length].to_vec());
        }
    });
}

#[test]
fn a_file_damaged_at_any_byte_is_refused_or_read_in_bounded_memory() {
    each_file(|path, bytes| {
        for place in places(bytes.len()) {
            let old = bytes[place];
            for new in [old ^ (1 << (place % 8)), 0xff, old.wrapping_add(1)] {
                let mut damaged = bytes.to_vec();
                damaged[place] = new;
                case(path, &format!("byte {place} {old:#04x} -> {new:#04x}"), damaged);
            }
        }
    });
}
