//! The bytes of a file for the metadata parser: pages that are read once.

use crate::source::{ByteSource, SourceError};
use bytes::Bytes;
use hdf5_reader::error::{Error, Result};
use hdf5_reader::storage::{Storage, StorageBuffer};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Metadata is small and scattered: neighbours are read along.
const PAGE: u64 = 64 * 1024;
/// Metadata pages that are fetched at once; twice as many are kept for one parse.
const MAX_PAGES: usize = 512;
/// Ranges over more pages than this are read as they are.
const LONG: u64 = 16;

/// A [`ByteSource`] as the parser's storage, addressed from `base`. Lives as long as one parse.
#[derive(Debug)]
pub(super) struct PagedStorage {
    source: Arc<dyn ByteSource>,
    base: u64,
    pages: Mutex<HashMap<u64, Bytes>>,
    /// Bytes that are shown in place of the file's, by the byte where they begin.
    shown: Mutex<Vec<(u64, Vec<u8>)>>,
    failure: Mutex<Option<SourceError>>,
}

impl PagedStorage {
    pub(super) fn new(source: Arc<dyn ByteSource>, base: u64) -> Self {
        Self {
            source,
            base,
            pages: Mutex::default(),
            shown: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    /// Shows other bytes than the file's from `at` on.
    pub(super) fn show(&self, at: u64, bytes: Vec<u8>) {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).push((at, bytes));
    }

    /// The bytes of the file from `start` on with what is shown in their place; `None` where that is
    /// nothing.
    fn retouched(&self, start: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut retouched = None;
        let end = start.checked_add(bytes.len() as u64)?;
        for (at, other) in shown.iter() {
            let (first, last) = (start.max(*at), end.min(at.saturating_add(other.len() as u64)));
            if first >= last {
                continue;
            }
            let length = usize::try_from(last - first).ok()?;
            let (to, from) =
                (usize::try_from(first - start).ok()?, usize::try_from(first - at).ok()?);
            let target = retouched.get_or_insert_with(|| bytes.to_vec());
            let other = other.get(from..from.checked_add(length)?)?;
            target.get_mut(to..to.checked_add(length)?)?.copy_from_slice(other);
        }
        retouched
    }

    /// The error of the source that made a parse fail, if one did.
    pub(super) fn failure(&self) -> Option<SourceError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The page that holds a range, fetched if it is not there.
    fn page(&self, number: u64, range: Range<u64>) -> Result<Option<Bytes>> {
        let kept = || {
            let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
            pages.get(&number).cloned()
        };
        if let Some(page) = kept() {
            return Ok(Some(page));
        }
        self.pages(&[range])?;
        Ok(kept())
    }

    /// The pages that hold these ranges of the file, fetched at once if they are not there.
    ///
    /// # Errors
    /// Those of the source.
    fn pages(&self, ranges: &[Range<u64>]) -> Result<()> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = ranges.iter().filter(|range| !range.is_empty());
        let numbers = numbers.flat_map(|range| range.start / PAGE..=(range.end - 1) / PAGE);
        let wanted: BTreeSet<u64> = numbers.take(MAX_PAGES).collect();
        if pages.len().saturating_add(wanted.len()) > 2 * MAX_PAGES {
            pages.clear();
        }
        let missing: Vec<u64> =
            wanted.into_iter().filter(|number| !pages.contains_key(number)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let bytes = |number: &u64| {
            let start = number.saturating_mul(PAGE);
            start..start.saturating_add(PAGE).min(self.source.len())
        };
        let fetched = self.read(&missing.iter().map(bytes).collect::<Vec<_>>())?;
        pages.extend(missing.into_iter().zip(fetched));
        Ok(())
    }

    /// Fetches what will be read soon, as far as it lies in the file. Only a hint: failures come
    /// out when it is read.
    pub(super) fn prepare(&self, wanted: impl Iterator<Item = (u64, u64)>) {
        let length = self.source.len();
        let inside = wanted.filter_map(|(offset, bytes)| {
            let start = offset.checked_add(self.base)?;
            let end = start.checked_add(bytes)?.min(length);
            (start < end).then_some(start..end)
        });
        if self.pages(&inside.collect::<Vec<_>>()).is_err() {
            // What it says is said again.
            let _ = self.failure();
        }
    }

    /// Whether asking for one page after another costs too much.
    pub(super) fn is_remote(&self) -> bool {
        self.source.access().is_remote()
    }

    fn read(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.source.read_ranges(ranges).map_err(|error| {
            let message = error.to_string();
            if !matches!(error, SourceError::Pending { .. }) {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
            Error::Other(message)
        })
    }
}

impl Storage for PagedStorage {
    fn len(&self) -> u64 {
        self.source.len().saturating_sub(self.base)
    }

    fn read_range(&self, offset: u64, len: usize) -> Result<StorageBuffer> {
        let outside = || Error::UnexpectedEof {
            offset,
            needed: len as u64,
            available: self.len().saturating_sub(offset),
        };
        let start = offset.checked_add(self.base).ok_or_else(outside)?;
        let end = u64::try_from(len).ok().and_then(|len| start.checked_add(len));
        let end = end.filter(|end| *end <= self.source.len()).ok_or_else(outside)?;
        if len == 0 {
            return Ok(StorageBuffer::from_vec(vec![]));
        }
        let (first, last) = (start / PAGE, (end - 1) / PAGE);
        let range = start..end;
        if last - first >= LONG {
            let bytes = self.read(std::slice::from_ref(&range))?.pop().unwrap_or_default();
            let bytes = self.retouched(start, &bytes).unwrap_or_else(|| bytes.to_vec());
            return Ok(StorageBuffer::from_vec(bytes));
        }
        let at = usize::try_from(start % PAGE).map_err(|_| outside())?;
        if first == last {
            let page = self.page(first, range)?.ok_or_else(outside)?;
            let bytes =
                at.checked_add(len).and_then(|end| page.get(at..end)).ok_or_else(outside)?;
            return match self.retouched(start, bytes) {
                Some(retouched) => Ok(StorageBuffer::from_vec(retouched)),
                None => StorageBuffer::from_shared_owner(Arc::new(page), at, len),
            };
        }
        self.pages(std::slice::from_ref(&range))?;
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::with_capacity(len);
        for number in first..=last {
            let page = pages.get(&number).ok_or_else(outside)?;
            let from = if number == first { at } else { 0 };
            let rest = len.saturating_sub(bytes.len()).saturating_add(from).min(page.len());
            bytes.extend_from_slice(page.get(from..rest).ok_or_else(outside)?);
        }
        Ok(StorageBuffer::from_vec(self.retouched(start, &bytes).unwrap_or(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;

    #[test]
    fn every_range_has_the_bytes_of_the_file_however_it_lies_on_pages() {
        let all: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
        let source = Arc::new(MemorySource::new("memory", all.clone()));
        let storage = PagedStorage::new(source, 7);
        storage.prepare([(0, 10), (1_999_990, 100), (u64::MAX, 1)].into_iter());
        let page = usize::try_from(PAGE).unwrap();
        for (start, length) in [
            (0, 1),
            (page - 10, 20),
            (page, page),
            (5, 3 * page),
            (100, 20 * page),
            (all.len() - 9, 2),
        ] {
            let read = storage.read_range(start as u64, length).unwrap();
            assert_eq!(read.as_ref(), &all[7 + start..7 + start + length], "{start} {length}");
        }
        storage.show(page as u64 + 5, vec![1, 2, 3, 4]);
        let read = storage.read_range(page as u64 - 4, 6).unwrap();
        assert_eq!(read.as_ref()[..2], all[page + 3..page + 5]);
        assert_eq!(read.as_ref()[2..], [1, 2, 3, 4]);
        assert!(storage.read_range(all.len() as u64 - 8, 2).is_err());
    }
}
