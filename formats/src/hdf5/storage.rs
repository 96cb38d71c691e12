//! The bytes of a file for the metadata parser: pages that are read once.

use crate::source::{ByteSource, SourceError};
use bytes::Bytes;
use hdf5_reader::error::{Error, Result};
use hdf5_reader::storage::{Storage, StorageBuffer};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Metadata is small and scattered: neighbours are read along.
const PAGE: u64 = 64 * 1024;
/// Metadata pages kept for one parse.
const MAX_PAGES: usize = 1024;

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

    fn page(&self, number: u64) -> Result<Bytes> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.get(&number) {
            return Ok(page.clone());
        }
        let start = number.saturating_mul(PAGE);
        let end = start.saturating_add(PAGE).min(self.source.len());
        let page = self.read(start, end)?;
        if pages.len() >= MAX_PAGES {
            pages.clear();
        }
        pages.insert(number, page.clone());
        Ok(page)
    }

    fn read(&self, start: u64, end: u64) -> Result<Bytes> {
        self.source.read(start..end).map_err(|error| {
            let message = error.to_string();
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
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
        if first != last {
            let bytes = self.read(start, end)?;
            let bytes = self.retouched(start, &bytes).unwrap_or_else(|| bytes.to_vec());
            return Ok(StorageBuffer::from_vec(bytes));
        }
        let page = self.page(first)?;
        let at = usize::try_from(start % PAGE).map_err(|_| outside())?;
        let bytes = at.checked_add(len).and_then(|end| page.get(at..end)).ok_or_else(outside)?;
        match self.retouched(start, bytes) {
            Some(retouched) => Ok(StorageBuffer::from_vec(retouched)),
            None => StorageBuffer::from_shared_owner(Arc::new(page), at, len),
        }
    }
}
