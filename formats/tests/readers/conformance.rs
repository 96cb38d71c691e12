//! The contract of [`Reader`], run over files of every format.

use crate::data::data;
use crate::support::{open, read_whole};
use crate::written::written;
use arrow::array::{Array, ArrayRef, UInt64Array};
use arrow::compute::take;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tarn_formats::saved::{Entry, Shelf, to_batch};
use tarn_formats::{
    Access, ByteSource, ChunkCache, Contents, FormatError, LocalFile, MemorySource, OpenOptions,
    Reader, Region, SourceError, Variable, traffic,
};

/// Real files, small ones of every kind.
const FILES: &[&str] = &[
    "arm/sgpmetE13.b1.20190508.000000.cdf",
    "hdf5/bitshuffle.h5",
    "hdf5/btree_v2_chunked.h5",
    "hdf5/chunked_lz4.h5",
    "hdf5/dense_groups.h5",
    "hdf5/scaleoffset.h5",
    "hdf5/smpl_unsupptype.h5",
    "hdf5/test_szip.h5",
    "hdf5/vlen_string_s390x.h5",
    "netcdf/derived/atlantic_profiles.cdf2.nc",
    "netcdf/derived/rotated_pole.cdf5.nc",
    "netcdf/nc4_groups.nc",
    "netcdf/pnetcdf/pnetcdf_cdf1_fixed.nc",
    "netcdf/pnetcdf/pnetcdf_cdf2_interleaved_records.nc",
    "netcdf/pnetcdf/pnetcdf_cdf5_unsigned_int64.nc",
    "netcdf/vlstr_type.nc",
    "nexus/external_angles.hdf5",
    "spec/02_03_setup.dat",
];

#[test]
fn every_reader_keeps_the_contract_on_real_files() {
    let Some(folder) = data() else { return };
    for file in FILES {
        contract_of_file(&folder.join(file));
    }
}

#[test]
fn every_reader_keeps_the_contract_on_written_files() {
    let Some(folder) = written() else { return };
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "nc" || e == "h5") {
            contract_of_file(&path);
        }
    }
}

#[test]
fn damaged_and_truncated_files_give_errors_and_never_a_panic() {
    let mut paths = Vec::new();
    if let Some(folder) = data() {
        paths.extend(FILES.iter().map(|file| folder.join(file)));
    }
    let folder = written();
    if let Some(folder) = &folder {
        let names = ["earliest.h5", "latest.h5", "links.h5", "groups.nc", "NETCDF3_64BIT_DATA.nc"];
        paths.extend(names.iter().map(|name| folder.path().join(name)));
    }
    for path in paths {
        truncated(&path);
        damaged(&path);
    }
}

fn contract_of_file(path: &Path) {
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    contract(&Opened {
        name: path.display().to_string(),
        plainly: &|| open(path),
        asked: &|access, options| {
            let memory = MemorySource::new(path.display().to_string(), bytes.clone());
            tarn_formats::open_with(Arc::new(Choosy(memory, access)), options).unwrap()
        },
    });
}

/// Ways to open one file or store.
pub(crate) struct Opened<'a> {
    pub(crate) name: String,
    pub(crate) plainly: &'a (dyn Fn() -> Arc<dyn Reader> + Sync),
    /// From a source that is best asked in this way.
    pub(crate) asked: &'a dyn Fn(Access, &OpenOptions) -> Arc<dyn Reader>,
}

pub(crate) fn contract(opened: &Opened<'_>) {
    let (name, reader) = (&opened.name, (opened.plainly)());
    let contents = reader.contents();
    assert_eq!(contents, (opened.plainly)().contents(), "{name}: contents differ");
    grids_are_sound(reader.as_ref());
    for variable in &contents.variables {
        regions(reader.as_ref(), variable);
        refusals(reader.as_ref(), variable);
    }
    let error = reader.read("/no such variable", &Region::whole(&[])).unwrap_err();
    assert!(matches!(error, FormatError::NotFound { .. }), "{error}");

    let whole = || -> Vec<ArrayRef> {
        contents.variables.iter().map(|variable| read_whole(reader.as_ref(), variable)).collect()
    };
    let alone = whole();
    for access in [
        Access { gap: 0, run: 1, batch: 1, head: 0 },
        // As stores are asked: opened from a head, with what is missing fetched afterwards.
        Access { gap: 30, run: 100, batch: 250, head: 600 },
        Access { gap: 1 << 40, run: 1 << 40, batch: 1 << 40, head: 1 },
    ] {
        let options = OpenOptions {
            chunk_cache: Arc::new(ChunkCache::new(0)),
            siblings: None,
            fallback: None,
        };
        let asked = (opened.asked)(access, &options);
        let found = asked.contents();
        assert_eq!(found.variables, contents.variables, "{name}: {access:?}");
        assert_eq!(found.attributes, contents.attributes, "{name}: {access:?}");
        assert_eq!(found.groups, contents.groups, "{name}: {access:?}");
        let paths = |contents: &Contents| -> Vec<String> {
            contents.unreadable.iter().map(|unreadable| unreadable.path.clone()).collect()
        };
        assert_eq!(paths(found), paths(contents), "{name}: {access:?}");
        for (variable, values) in contents.variables.iter().zip(&alone) {
            let array = read_whole(asked.as_ref(), variable);
            assert_eq!(&array, values, "{name}: {} {access:?}", variable.path);
        }
    }
    saved_metadata(reader.as_ref(), &alone);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(whole)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), alone, "{name}: concurrent reads differ");
        }
    });
}

/// A file opened from its saved metadata is the same file, and asks for none of them again.
fn saved_metadata(reader: &dyn Reader, alone: &[ArrayRef]) {
    let location = reader.location();
    let Some(entries) = reader.entries().unwrap() else { return };
    let other = vec![Entry { description: "damaged".to_owned(), ..Entry::default() }];
    let files = [("other".to_owned(), other), ("key".to_owned(), entries.clone())];
    let batch = to_batch(&files).unwrap();
    let shelf = Arc::new(Shelf::new(&[batch]).unwrap());
    let (options, contents) = (OpenOptions::default(), reader.contents());
    let local = || -> Arc<dyn ByteSource> { Arc::new(LocalFile::open(location).unwrap()) };
    assert!(shelf.reader("other", local(), &options).is_none());
    assert!(shelf.reader("unknown", local(), &options).is_none());
    let ((), cost) = traffic::during(|| {
        for _ in 0..2 {
            let saved = shelf.reader("key", local(), &options).unwrap();
            assert_eq!(saved.contents(), contents, "{location}");
            assert_eq!(saved.entries().unwrap().as_ref(), Some(&entries), "{location}");
            for variable in &contents.variables {
                let coordinate = variable.dimensions.iter().any(|dimension| {
                    dimension.coordinate.as_ref() == Some(&variable.path)
                        && variable.data_type.is_primitive()
                        && dimension.length < 50_000
                });
                if coordinate {
                    read_whole(saved.as_ref(), variable);
                }
            }
        }
    });
    assert_eq!(cost.requests, 0, "{location}");
    let saved = shelf.reader("key", local(), &options).unwrap();
    for (variable, values) in contents.variables.iter().zip(alone) {
        let array = read_whole(saved.as_ref(), variable);
        assert_eq!(&array, values, "{location}: {}", variable.path);
        regions(saved.as_ref(), variable);
        refusals(saved.as_ref(), variable);
    }
}

/// A source that is asked in its own way.
#[derive(Debug)]
struct Choosy(MemorySource, Access);

impl ByteSource for Choosy {
    fn location(&self) -> &str {
        self.0.location()
    }

    fn len(&self) -> u64 {
        self.0.len()
    }

    fn access(&self) -> Access {
        self.1
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        self.0.read_ranges(ranges)
    }
}

fn grids_are_sound(reader: &dyn Reader) {
    let contents = reader.contents();
    let mut names: Vec<_> = contents.grids.iter().map(|grid| &grid.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), contents.grids.len(), "{}: grid names", reader.location());
    assert!(contents.grids.is_sorted_by(|a, b| a.cells() >= b.cells()), "{}", reader.location());
    for grid in &contents.grids {
        assert!(!grid.variables.is_empty(), "{}: {}", reader.location(), grid.name);
        for path in &grid.variables {
            let variable = contents.variable(path).unwrap();
            assert_eq!(variable.dimensions, grid.dimensions, "{}: {path}", reader.location());
        }
        for coordinate in grid.dimensions.iter().filter_map(|d| d.coordinate.as_ref()) {
            let variable = contents.variable(coordinate);
            let rank = variable.map(|variable| variable.dimensions.len());
            assert_eq!(rank, Some(1), "{}: {coordinate}", reader.location());
        }
    }
}

/// Any region is the same part of the whole.
fn regions(reader: &dyn Reader, variable: &Variable) {
    let whole = read_whole(reader, variable);
    let shape = variable.shape();
    assert_eq!(Region::whole(&shape).cells(), Some(whole.len() as u64), "{}", variable.path);
    let config = Config { cases: 6, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let bounds = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        shape.len(),
    );
    let result = runner.run(&bounds, |bounds| {
        let ranges = bounds.iter().zip(&shape).map(|((a, b), length)| {
            let room = usize::try_from(*length).unwrap() + 1;
            let (a, b) = (a.index(room) as u64, b.index(room) as u64);
            a.min(b)..a.max(b)
        });
        let region = Region::new(ranges.collect());
        let part = reader.read(&variable.path, &region).unwrap();
        let expected = take(&whole, &UInt64Array::from(cells(&region, &shape)), None).unwrap();
        prop_assert_eq!(part.as_ref(), expected.as_ref(), "{} {:?}", variable.path, region);
        Ok(())
    });
    assert!(result.is_ok(), "{}: {}", reader.location(), result.unwrap_err());
}

/// Places of a region's cells in the whole array, by the definition of C order.
fn cells(region: &Region, shape: &[u64]) -> Vec<u64> {
    region.ranges().iter().zip(shape).fold(vec![0], |places, (range, length)| {
        places.iter().flat_map(|at| range.clone().map(move |i| at * length + i)).collect()
    })
}

fn refusals(reader: &dyn Reader, variable: &Variable) {
    let shape = variable.shape();
    let more_dimensions = [shape.as_slice(), &[1]].concat();
    let mut wrong = vec![Region::whole(&more_dimensions)];
    for axis in 0..shape.len() {
        let mut ranges = Region::whole(&shape).ranges().to_vec();
        ranges[axis].end += 1;
        wrong.push(Region::new(ranges));
    }
    for region in wrong {
        let refused = reader.read(&variable.path, &region);
        assert!(
            matches!(refused, Err(FormatError::Options { .. })),
            "{} {region:?}",
            variable.path
        );
    }
}

fn try_open(bytes: &[u8]) -> Result<Arc<dyn Reader>, FormatError> {
    tarn_formats::open(Arc::new(MemorySource::new("memory", bytes.to_vec())))
}

/// A file that ends too early is refused, or what can be read is right.
fn truncated(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let reader = try_open(&bytes).unwrap();
    let steps = (0..64).chain((64..bytes.len()).step_by(bytes.len() / 40 + 1));
    for length in steps.filter(|length| *length < bytes.len()) {
        let Ok(short) = try_open(&bytes[..length]) else { continue };
        for variable in &short.contents().variables {
            let Ok(values) = short.read(&variable.path, &Region::whole(&variable.shape())) else {
                continue;
            };
            let Some(original) = reader.contents().variable(&variable.path) else {
                panic!("{}: cut to {length} it has {}", path.display(), variable.path);
            };
            let expected = read_whole(reader.as_ref(), original);
            assert!(values.len() <= expected.len(), "{}: {}", path.display(), variable.path);
            // Text has no length of its own: a log that was cut has fewer scans, the last one cut too.
            let sure = if path.extension().is_some_and(|e| e == "dat") {
                values.len().saturating_sub(1)
            } else {
                values.len()
            };
            let (cut, whole) = (values.slice(0, sure), expected.slice(0, sure));
            assert!(cut == whole, "{}: {} cut to {length}", path.display(), variable.path);
        }
    }
}

/// Bytes changed at random give an error or other values.
fn damaged(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    // Metadata stands in front in most files.
    for round in 0..60 {
        let mut mutant = bytes.clone();
        for _ in 0..=random(3) {
            let at = random(if round % 2 == 0 { bytes.len() } else { bytes.len().min(4096) });
            mutant[at] =
                [0, 0xff, 0x7f, 0x80, mutant[at] ^ 1, mutant[at].wrapping_add(1)][random(6)];
        }
        let Ok(reader) = try_open(&mutant) else { continue };
        for variable in &reader.contents().variables {
            let shape = variable.shape();
            // A damaged shape may be huge, and is then refused or cut down.
            let small = Region::new(shape.iter().map(|length| 0..*length.min(&64)).collect());
            if let Ok(array) = reader.read(&variable.path, &small) {
                assert_eq!(Some(array.len() as u64), small.cells());
            }
            drop(reader.read(&variable.path, &Region::whole(&shape)));
        }
    }
}
