//! Chunks behind filters that there is no code for here: the C library undoes them, if it can.

use super::chunked::Piece;
use super::image;
use super::index::{H5Dataset, H5Index};
use super::read::Read;
use crate::error::FormatError;
use crate::fallback::{ChunkFile, Fallback, FallbackError, GUARD, MOST_BYTES};
use crate::filters::Filter;

/// Takes the datasets out whose filters nobody can undo.
pub(super) fn refuse(index: &mut H5Index, fallback: Option<&dyn Fallback>) {
    let datasets = std::mem::take(&mut index.datasets);
    for dataset in datasets {
        match reason(&dataset, fallback) {
            Some(reason) => index.refused.push((dataset, reason)),
            None => index.datasets.push(dataset),
        }
    }
}

/// Why a dataset cannot be read.
fn reason(dataset: &H5Dataset, fallback: Option<&dyn Fallback>) -> Option<String> {
    let foreign = dataset.filters.iter().find(|filter| filter.is_foreign())?;
    let Some(fallback) = fallback else {
        return Some(format!("its filter {}", foreign.number_and_name()));
    };
    // The library undoes all of them, or none.
    dataset.filters.iter().find_map(|filter| {
        let error = fallback.check(filter.id).err()?;
        Some(format!("its filter {} [{error}]", filter.number_and_name()))
    })
}

/// Most filters of a dataset, the library's `H5Z_MAX_NFILTERS`.
const MOST_FILTERS: usize = 32;

/// A file of the chunk, with the guard before its filters.
fn guarded(filters: &[Filter], mask: u32, stored: &[u8], size: usize) -> Option<Vec<u8>> {
    let bytes = u64::try_from(size).ok()?;
    let halves =
        [u32::try_from(bytes & u64::from(u32::MAX)).ok()?, u32::try_from(bytes >> 32).ok()?];
    let guard = Filter { id: GUARD, parameters: halves.to_vec() };
    let all: Vec<Filter> = std::iter::once(guard).chain(filters.iter().cloned()).collect();
    // The guard is left out of no chunk.
    (all.len() <= MOST_FILTERS).then(|| image::of_chunk(&all, mask << 1, stored, size)).flatten()
}

impl Read<'_> {
    /// The bytes of a chunk, by the C library, which undoes all its filters.
    pub(super) fn by_library(
        &self,
        piece: &Piece,
        stored: &[u8],
        size: usize,
    ) -> Result<Vec<u8>, FormatError> {
        let filters = &self.dataset.filters;
        let foreign = filters.iter().filter(|filter| filter.is_foreign());
        let names: Vec<String> = foreign.map(Filter::number_and_name).collect();
        let failed = |source| FormatError::Fallback {
            location: self.location().to_owned(),
            place: format!("{}, chunk at {:?}", self.dataset.path, piece.first()),
            filter: names.join(", "),
            source,
        };
        let fallback = self.reader.fallback.as_deref().ok_or_else(|| {
            // Such a dataset is not listed, so nobody asks for it.
            failed(FallbackError::Broken { problem: "is not there".to_owned() })
        })?;
        let most = stored.len().max(size) as u64;
        if most > MOST_BYTES {
            return Err(FormatError::TooLarge {
                location: self.location().to_owned(),
                place: self.dataset.path.clone(),
                what: format!("one chunk behind the filter {}", names.join(", ")),
                needed: most,
                limit: MOST_BYTES,
            });
        }
        let image = guarded(filters, piece.chunk.mask, stored, size)
            .ok_or_else(|| self.corrupt("its filters have too many parameters"))?;
        let filters: Vec<u16> = filters.iter().map(|filter| filter.id).collect();
        let chunk = ChunkFile { file: self.location(), filters: &filters, image, size };
        let bytes = fallback.read(&chunk).map_err(failed)?;
        if bytes.len() == size {
            return Ok(bytes);
        }
        let problem = format!("gave {} bytes in place of {size}", bytes.len());
        Err(failed(FallbackError::Broken { problem }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saved::{Shelf, to_batch};
    use crate::{MemorySource, OpenOptions, Reader, Region, open_with};
    use arrow::array::AsArray;
    use arrow::datatypes::UInt8Type;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    const ODD: u16 = 480;
    const STORED: &[u8] = b"stored";
    const VALUES: &[u8] = b"nine bytes";

    /// A library that answers what it is told to.
    #[derive(Debug)]
    struct Told {
        check: Result<(), FallbackError>,
        read: Result<&'static [u8], FallbackError>,
        calls: AtomicUsize,
        seen: Mutex<Vec<u8>>,
    }

    impl Told {
        fn new(read: Result<&'static [u8], FallbackError>) -> Arc<Self> {
            let (calls, seen) = Default::default();
            Arc::new(Self { check: Ok(()), read, calls, seen })
        }
    }

    impl Fallback for Told {
        fn check(&self, filter: u16) -> Result<(), FallbackError> {
            if filter == ODD { self.check.clone() } else { Ok(()) }
        }

        fn read(&self, chunk: &ChunkFile<'_>) -> Result<Vec<u8>, FallbackError> {
            self.calls.fetch_add(1, Ordering::Relaxed);
            assert_eq!((chunk.file, chunk.size), ("odd.h5", VALUES.len()));
            assert_eq!(chunk.filters, [2, ODD]);
            self.seen.lock().unwrap().clone_from(&chunk.image);
            self.read.clone().map(<[u8]>::to_vec)
        }
    }

    /// A file with a dataset of one chunk behind a shuffle and the odd filter, of which those in `mask`
    /// are left out.
    fn file(mask: u32, fallback: Option<Arc<Told>>) -> Arc<dyn Reader> {
        let filters = [2, ODD].map(|id| Filter { id, parameters: vec![1] });
        let stored = if mask == 0 { STORED } else { VALUES };
        let image = image::of_chunk(&filters, mask, stored, VALUES.len()).unwrap();
        open_with(Arc::new(MemorySource::new("odd.h5", image)), &options(fallback)).unwrap()
    }

    fn options(fallback: Option<Arc<Told>>) -> OpenOptions {
        let fallback = fallback.map(|told| told as Arc<dyn Fallback>);
        OpenOptions { fallback, ..OpenOptions::default() }
    }

    fn read(reader: &dyn Reader, first: u64, last: u64) -> Result<Vec<u8>, FormatError> {
        let region = Region::new(std::iter::once(first..last).collect());
        let values = reader.read("/chunk", &region)?;
        Ok(values.as_primitive::<UInt8Type>().values().to_vec())
    }

    #[test]
    fn a_chunk_goes_to_the_library_once_with_its_filters_and_its_size() {
        let told = Told::new(Ok(VALUES));
        let reader = file(0, Some(Arc::clone(&told)));
        assert!(reader.contents().variable("/chunk").unwrap().fallback);
        assert_eq!(read(&*reader, 2, 5).unwrap(), &VALUES[2..5]);
        assert_eq!(read(&*reader, 4, 9).unwrap(), &VALUES[4..9]);
        assert_eq!(told.calls.load(Ordering::Relaxed), 1);
        // What the library is given is a file of its own, which ends with the chunk.
        let seen = told.seen.lock().unwrap().clone();
        assert!(seen.ends_with(STORED));
        let again = open_with(Arc::new(MemorySource::new("seen", seen)), &options(Some(told)));
        let again = again.unwrap();
        let names = &again.contents().variable("/chunk").unwrap().filters;
        assert_eq!(names, &["filter 65535", "shuffle", "filter 480"]);
    }

    #[test]
    fn a_chunk_without_the_foreign_filter_needs_no_library() {
        let told = Told::new(Err(FallbackError::Busy { seconds: 1 }));
        let reader = file(2, Some(Arc::clone(&told)));
        assert_eq!(read(&*reader, 0, 10).unwrap(), VALUES);
        assert_eq!(told.calls.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn failures_and_answers_of_another_size_name_dataset_chunk_and_filter() {
        let died = FallbackError::Died { status: "signal: 11".to_owned() };
        for told in [Told::new(Err(died)), Told::new(Ok(&VALUES[1..]))] {
            let error = read(&*file(0, Some(told)), 0, 10).unwrap_err();
            assert!(matches!(error, FormatError::Fallback { .. }), "{error}");
            let text = error.to_string();
            assert!(text.starts_with("odd.h5: /chunk, chunk at [0]: its filter 480:"), "{text}");
        }
    }

    #[test]
    fn what_the_library_lacks_is_listed_with_the_reason_and_saved_rows_do_not_remember_it() {
        let missing = FallbackError::NoPlugin { version: "1.10.8".to_owned() };
        let told = Told { check: Err(missing), ..Arc::into_inner(Told::new(Ok(VALUES))).unwrap() };
        for (fallback, words) in [(None, "its filter 480"), (Some(Arc::new(told)), "plugin")] {
            let reader = file(0, fallback);
            let contents = reader.contents();
            assert!(contents.variables.is_empty());
            assert!(contents.unreadable[0].reason.contains(words), "{:?}", contents.unreadable);
            assert!(matches!(read(&*reader, 0, 1), Err(FormatError::Unsupported { .. })));

            let rows = vec![("key".to_owned(), reader.entries().unwrap().unwrap())];
            let shelf = Arc::new(Shelf::new(&[to_batch(&rows).unwrap()]).unwrap());
            let filters = [2, ODD].map(|id| Filter { id, parameters: vec![1] });
            let image = image::of_chunk(&filters, 0, STORED, VALUES.len()).unwrap();
            let source = Arc::new(MemorySource::new("odd.h5", image));
            let saved = shelf.reader("key", source, &options(Some(Told::new(Ok(VALUES))))).unwrap();
            assert_eq!(read(&*saved, 0, 10).unwrap(), VALUES);
        }
    }
}
